//! Where data, words and summaries go.

use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

use serde_json::{Map, Value};

use super::failure::Failure;
use crate::codec::lines::Line;

/// Standard output for data, standard error for words.
pub(super) struct Output {
    data: BufWriter<Stdout>,
    line: String,
    is_json: bool,
    goes_on_unread: bool,
}

impl Output {
    /// One that goes on where nobody reads it any more comes to its end, for what that says; another one breaks off.
    pub(super) fn new(is_json: bool, goes_on_unread: bool) -> Self {
        let data = BufWriter::with_capacity(1 << 16, io::stdout());
        Output { data, line: String::new(), is_json, goes_on_unread }
    }

    pub(super) fn is_json(&self) -> bool {
        self.is_json
    }

    /// Writes one line of data.
    pub(super) fn line(&mut self, line: &impl Line) -> Result<(), Failure> {
        self.line.clear();
        line.write_line(&mut self.line);
        self.line.push('\n');
        let written = self.data.write_all(self.line.as_bytes());
        self.written(written)
    }

    /// Writes a line of text as data.
    pub(super) fn text(&mut self, text: &str) -> Result<(), Failure> {
        let written = writeln!(self.data, "{text}");
        self.written(written)
    }

    /// Says what was done: in words on standard error, or as JSON. Where standard output carries data the
    /// JSON goes to standard error too.
    pub(super) fn summary(
        &mut self,
        has_data: bool,
        words: &str,
        json: impl FnOnce() -> Map<String, Value>,
    ) -> Result<(), Failure> {
        self.flush()?;
        if self.is_json {
            let json = Value::Object(json()).to_string();
            if has_data { say(&json) } else { return self.text(&json) }
        } else {
            say(words);
        }
        Ok(())
    }

    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        let flushed = self.data.flush();
        self.written(flushed)
    }

    fn written(&self, done: io::Result<()>) -> Result<(), Failure> {
        match done.map_err(|error| Failure::output(&error)) {
            Err(Failure::BrokenPipe) if self.goes_on_unread => Ok(()),
            done => done,
        }
    }
}

/// How wide lines are where nobody's terminal says otherwise.
pub(super) const WIDTH_PIPED: usize = 100;

/// How wide a terminal is, or what is written where there is none.
pub(super) fn width(terminal: &console::Term) -> usize {
    terminal.size_checked().map_or(WIDTH_PIPED, |(_, columns)| usize::from(columns))
}

/// Whether somebody watches standard error.
pub(super) fn is_watched() -> bool {
    io::stderr().is_terminal()
}

/// Says something on standard error. Where nobody listens, that is no error.
pub(super) fn say(words: &str) {
    let _ = writeln!(io::stderr(), "{words}");
}
