//! Where lines come from.

use std::convert::Infallible;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;
use std::str::FromStr;

use super::failure::Failure;
use crate::algebra::{FIELDS_BYTES_MAX, Schema};
use crate::codec::lines::{self, Line, LineError, Reader};

/// So much is read where all of it is wanted at once.
const TEXT_BYTES_MAX: u64 = 256 * 1024 * 1024;

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

impl Source {
    fn open(&self) -> Result<Box<dyn BufRead>, Failure> {
        match self {
            Source::Standard => Ok(Box::new(BufReader::new(io::stdin()))),
            Source::File(path) => {
                let file = File::open(path).map_err(|error| Failure::Failed(format!("{self}: {error}")))?;
                Ok(Box::new(BufReader::with_capacity(1 << 17, file)))
            }
        }
    }

    /// Its lines, each error with the source's name.
    pub(super) fn lines<T: Line>(&self) -> Result<Lines<'_, T>, Failure> {
        Ok(Lines { source: self, reader: lines::read(self.open()?) })
    }

    /// All of it as text.
    pub(super) fn text(&self) -> Result<String, Failure> {
        let mut text = String::new();
        let read = self.open()?.take(TEXT_BYTES_MAX.saturating_add(1)).read_to_string(&mut text);
        match read.map_err(|error| Failure::Failed(format!("{self}: {error}")))? {
            bytes if bytes as u64 > TEXT_BYTES_MAX => {
                Err(Failure::Failed(format!("{self}: longer than {TEXT_BYTES_MAX} bytes")))
            }
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

/// The lines of a source.
pub(super) struct Lines<'s, T> {
    source: &'s Source,
    reader: Reader<Box<dyn BufRead>, T>,
}

impl<T: Line> Iterator for Lines<'_, T> {
    type Item = Result<T, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        let source = self.source;
        let named = |error: LineError| Failure::Failed(format!("{source}: {error}"));
        self.reader.next().map(|line| line.map_err(named))
    }
}
