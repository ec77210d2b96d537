//! Where lines come from.

use std::convert::Infallible;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;
use std::str::FromStr;

use super::failure::Failure;
use crate::algebra::{FIELDS_BYTES_MAX, Schema};
use crate::codec::lines::{self, Line, Reader};

/// So much is read where all of it is wanted at once.
const TEXT_BYTES_MAX: u64 = 256 * 1024 * 1024;

type Input = Box<dyn BufRead + Send>;

/// A file, or standard input.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Standard,
    File(PathBuf),
}

impl FromStr for Source {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(if text == "-" { Source::Standard } else { Source::File(PathBuf::from(text)) })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Standard => f.write_str("standard input"),
            Source::File(path) => path.display().fmt(f),
        }
    }
}

/// Refuses to read standard input as two things: what is read first takes all of it, and the other would seem empty.
pub(super) fn require_one_standard<'s>(
    read: impl IntoIterator<Item = (&'static str, &'s Source)>,
) -> Result<(), Failure> {
    let mut standard = read.into_iter().filter(|(_, source)| matches!(source, Source::Standard));
    match (standard.next(), standard.next()) {
        (Some((first, _)), Some((second, _))) => Err(Failure::Usage(format!(
            "standard input can be read only once, but is asked for as {first} and as {second}; name a file in \
             place of one of them (FILE is - where none is named)"
        ))),
        _ => Ok(()),
    }
}

impl Source {
    fn open(&self) -> Result<Input, Failure> {
        self.opened().map_err(|error| Failure::Failed(format!("{self}: {error}")))
    }

    fn opened(&self) -> io::Result<Input> {
        Ok(match self {
            Source::Standard => Box::new(BufReader::new(io::stdin())),
            Source::File(path) => Box::new(BufReader::with_capacity(1 << 17, File::open(path)?)),
        })
    }

    /// Its lines, each error with the source's name. That it cannot be opened is known at once.
    pub(super) fn lines<T: Line>(&self) -> Result<Lines<T>, Failure> {
        let reading = Some((self.clone(), lines::read(self.open()?)));
        Ok(Lines { to_open: Vec::new().into_iter(), reading, bytes: 0 })
    }

    /// The lines of several, one after another; each is opened when its turn comes.
    pub(super) fn all_lines<T: Line>(sources: Vec<Source>) -> Lines<T> {
        Lines { to_open: sources.into_iter(), reading: None, bytes: 0 }
    }

    /// All of it as text.
    pub(super) fn text(&self) -> Result<String, Failure> {
        self.read().map_err(|why| Failure::Failed(format!("{self}: {why}")))
    }

    /// All of it as text, or why there is none: for who names the source by himself.
    pub(super) fn read(&self) -> Result<String, String> {
        let mut text = String::new();
        let input = self.opened().map_err(|error| error.to_string())?;
        let read = input.take(TEXT_BYTES_MAX.saturating_add(1)).read_to_string(&mut text);
        match read.map_err(|error| error.to_string())? {
            bytes if bytes as u64 > TEXT_BYTES_MAX => Err(format!("longer than {TEXT_BYTES_MAX} bytes")),
            _ => Ok(text),
        }
    }

    /// All of it as a schema.
    pub(super) fn schema(&self) -> Result<Schema, Failure> {
        let mut text = String::new();
        let max = u64::try_from(FIELDS_BYTES_MAX).unwrap_or(u64::MAX);
        self.open()?
            .take(max)
            .read_to_string(&mut text)
            .map_err(|error| Failure::Failed(format!("{self}: {error}")))?;
        Schema::from_json(&text).map_err(|error| Failure::Failed(format!("{self}: {error}")))
    }
}

/// The lines of one source, or of several. It ends after the first error.
pub(super) struct Lines<T> {
    to_open: std::vec::IntoIter<Source>,
    reading: Option<(Source, Reader<Input, T>)>,
    /// Read of those that are done with.
    bytes: u64,
}

impl<T: Line> Lines<T> {
    /// How many bytes were read by now.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes + self.reading.as_ref().map_or(0, |(_, reader)| reader.bytes())
    }

    fn failed(&mut self, failure: Failure) -> Option<Result<T, Failure>> {
        (self.to_open, self.reading) = (Vec::new().into_iter(), None);
        Some(Err(failure))
    }
}

impl<T: Line> Iterator for Lines<T> {
    type Item = Result<T, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((source, reader)) = &mut self.reading {
                match reader.next() {
                    Some(Ok(line)) => return Some(Ok(line)),
                    Some(Err(error)) => {
                        let named = Failure::Failed(format!("{source}: {error}"));
                        return self.failed(named);
                    }
                    None => self.bytes = self.bytes(),
                }
            }
            self.reading = None;
            let source = self.to_open.next()?;
            match source.open() {
                Ok(input) => self.reading = Some((source, lines::read(input))),
                Err(failure) => return self.failed(failure),
            }
        }
    }
}
