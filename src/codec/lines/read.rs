//! Reading lines, one at a time, in memory bounded by one line.

use std::io::BufRead;
use std::marker::PhantomData;

use memchr::memchr;

use super::Line;
use super::error::{LineError, Problem};
use super::object::is_space;
use crate::algebra::FIELDS_BYTES_MAX;

/// The longest line of one entity, in bytes: the largest state (16 MiB) spelt with as many escapes and
/// spaces again.
pub const LINE_BYTES_MAX: usize = 2 * FIELDS_BYTES_MAX;

/// The longest line of a whole bunch or of the answer to one, in bytes.
pub const BUNCH_BYTES_MAX: usize = 1 << 30;

/// Reads lines: an iterator that ends after the first error.
///
/// ```
/// use foldlog::algebra::Operation;
/// use foldlog::codec::lines::{Line, read};
/// let input = br#"{"op":"delete","collection":"notes","id":"8d56e5d3-d4f3-583e-9955-4d898ddc04c9"}
/// {"op":"destroy","collection":"notes","id":"8d56e5d3-d4f3-583e-9955-4d898ddc04c9"}"#;
/// let mut lines = read::<Operation, _>(&input[..]);
/// assert!(lines.next().expect("a line")?.to_line().starts_with(r#"{"op":"delete""#));
/// let error = lines.next().expect("another").unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     r#"line 2: "op" is "create", "update" or "delete", but this is "destroy""#
/// );
/// # Ok::<(), foldlog::codec::lines::LineError>(())
/// ```
pub fn read<T: Line, R: BufRead>(input: R) -> Reader<R, T> {
    Reader { input, line: 0, bytes: 0, buffer: Vec::new(), is_over: false, lines_of: PhantomData }
}

/// Reads all lines, or none if one of them is refused.
///
/// # Errors
/// The first line that is refused.
pub fn read_all<T: Line>(input: &[u8]) -> Result<Vec<T>, LineError> {
    read(input).collect()
}

/// See [`read`].
#[derive(Debug)]
pub struct Reader<R, T> {
    input: R,
    line: u64,
    bytes: u64,
    buffer: Vec<u8>,
    is_over: bool,
    lines_of: PhantomData<fn() -> T>,
}

impl<R: BufRead, T: Line> Reader<R, T> {
    /// The number of the line that was read last, from 1.
    #[must_use]
    pub fn line(&self) -> u64 {
        self.line
    }

    /// How many bytes were read, line feeds included.
    #[cfg(feature = "cli")]
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads the next line: nothing where there is none, and nothing of it where it is blank.
    fn advance(&mut self) -> Result<Option<Option<T>>, Problem> {
        let chunk = filled(&mut self.input)?;
        if chunk.is_empty() {
            return Ok(None);
        }
        if let Some(end) = memchr(b'\n', chunk) {
            let line = chunk.get(..end).unwrap_or(chunk);
            let parsed = if end > T::BYTES_MAX { Err(too_long::<T>()) } else { parse(self.line, line) };
            self.input.consume(end + 1);
            self.bytes += end as u64 + 1;
            return parsed.map(Some);
        }
        if self.fill()? { parse(self.line, &self.buffer).map(Some) } else { Ok(None) }
    }

    /// Puts the next line together in the buffer; whether there was one.
    fn fill(&mut self) -> Result<bool, Problem> {
        self.buffer.clear();
        let mut has_read = false;
        loop {
            let chunk = filled(&mut self.input)?;
            if chunk.is_empty() {
                return Ok(has_read);
            }
            has_read = true;
            let (piece, used, is_end) = match memchr(b'\n', chunk) {
                Some(end) => (chunk.get(..end).unwrap_or(chunk), end + 1, true),
                None => (chunk, chunk.len(), false),
            };
            if self.buffer.len() + piece.len() > T::BYTES_MAX {
                return Err(too_long::<T>());
            }
            self.buffer.extend_from_slice(piece);
            self.input.consume(used);
            self.bytes += used as u64;
            if is_end {
                return Ok(true);
            }
        }
    }
}

fn too_long<T: Line>() -> Problem {
    Problem::TooLong { max: T::BYTES_MAX }
}

/// What the input has next; nothing at its end.
fn filled(input: &mut impl BufRead) -> Result<&[u8], Problem> {
    let has_more = loop {
        match input.fill_buf() {
            Ok(chunk) => break !chunk.is_empty(),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    };
    // What was read is given without reading; the end must not be asked for again, which a terminal would take for more.
    if has_more { Ok(input.fill_buf()?) } else { Ok(&[]) }
}

/// The value of a line, or nothing if it is blank.
fn parse<T: Line>(number: u64, line: &[u8]) -> Result<Option<T>, Problem> {
    let text = std::str::from_utf8(line).map_err(|error| Problem::NotUtf8 { at: error.valid_up_to() + 1 })?;
    let text = if number == 1 { text.strip_prefix('\u{feff}').unwrap_or(text) } else { text };
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.trim_matches(is_space).is_empty() { Ok(None) } else { T::from_line(text).map(Some) }
}

impl<R: BufRead, T: Line> Iterator for Reader<R, T> {
    type Item = Result<T, LineError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.is_over {
            self.line += 1;
            match self.advance() {
                Ok(Some(None)) => {}
                Ok(Some(Some(value))) => return Some(Ok(value)),
                Ok(None) => {
                    self.line -= 1;
                    self.is_over = true;
                }
                Err(problem) => {
                    self.is_over = true;
                    return Some(Err(LineError { line: self.line, problem }));
                }
            }
        }
        None
    }
}
