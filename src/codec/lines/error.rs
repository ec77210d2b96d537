//! What a line is refused for.

use thiserror::Error;

use crate::algebra::{self, shortened};

/// A line that was refused. Nothing of the input it stood in is kept.
#[derive(Debug, Error)]
#[error("line {line}: {problem}")]
#[non_exhaustive]
pub struct LineError {
    /// The line's number, from 1.
    pub line: u64,
    /// What is wrong with it.
    #[source]
    pub problem: Problem,
}

/// What is wrong with a line, and what to do about it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Problem {
    /// It could not be read.
    #[error("reading failed: {source}")]
    Io {
        /// What the system said.
        #[from]
        source: std::io::Error,
    },
    /// It goes on for too long.
    #[error("longer than {max} bytes; one line holds one object")]
    TooLong {
        /// The limit.
        max: usize,
    },
    /// It is not UTF-8.
    #[error("byte {at} is not UTF-8; the input must be")]
    NotUtf8 {
        /// The first byte that is not, from 1.
        at: usize,
    },
    /// It is not JSON.
    #[error("not valid JSON at column {column}: {why}")]
    Json {
        /// Where the parser gave up, from 1.
        column: usize,
        /// What it said.
        why: String,
    },
    /// Something stands behind the object.
    #[error("something stands behind the object, at column {column}; one line holds one object")]
    Trailing {
        /// Where, from 1.
        column: usize,
    },
    /// A string or a key that JSON cannot spell like that.
    #[error("a string or a key cannot be read: {why}; escape a character beyond \\uffff as two surrogates")]
    Text {
        /// What the parser said.
        why: String,
    },
    /// Something else than an object stands there.
    #[error("{what} is a JSON object, but this is {found}")]
    NotAnObject {
        /// What should stand there.
        what: &'static str,
        /// How it begins, shortened.
        found: String,
    },
    /// A key that means nothing here.
    #[error("{what} has no key {key:?}; the keys are {known}")]
    UnknownKey {
        /// What it stands in.
        what: &'static str,
        /// The key, shortened.
        key: String,
        /// Those that mean something.
        known: String,
    },
    /// A key that has to be there.
    #[error("{what} needs the key {key:?}")]
    MissingKey {
        /// What it is missing in.
        what: &'static str,
        /// The key.
        key: &'static str,
    },
    /// A value of another kind than its key wants.
    #[error("{key:?} is {expected}, but this is {found}")]
    WrongValue {
        /// The key.
        key: &'static str,
        /// What it should be.
        expected: &'static str,
        /// What stands there, shortened.
        found: String,
    },
    /// Keys that do not go together.
    #[error("{why}")]
    Shape {
        /// What is wrong and what to do.
        why: &'static str,
    },
    /// A value that the algebra refuses.
    #[error("{source}")]
    Invalid {
        /// Why.
        source: algebra::Error,
    },
    /// A bunch whose bytes are not what its id says.
    #[error(
        "the bunch's operations are not those that its id was made of: it was changed on the way; ask for it again"
    )]
    BunchId,
    /// One element of a list.
    #[error("{what} {place}: {problem}")]
    Element {
        /// What the list holds.
        what: &'static str,
        /// The element's place, from 1.
        place: usize,
        /// What is wrong with it.
        #[source]
        problem: Box<Problem>,
    },
}

impl Problem {
    /// Whether there is nothing wrong with what was sent but how large it is.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        match self {
            Problem::Invalid { source: algebra::Error::TooLarge { .. } } | Problem::TooLong { .. } => true,
            Problem::Element { problem, .. } => problem.is_too_large(),
            _ => false,
        }
    }
}

impl From<algebra::Error> for Problem {
    fn from(source: algebra::Error) -> Self {
        match source {
            // The line's form was checked before a value was looked into, so only a string can be wrong.
            algebra::Error::Json { source } => Problem::Text { why: reason(&source) },
            source => Problem::Invalid { source },
        }
    }
}

impl From<serde_json::Error> for Problem {
    fn from(error: serde_json::Error) -> Self {
        Problem::Json { column: error.column(), why: reason(&error) }
    }
}

/// What the parser said, without the place: it ends with "at line 1 column 5", where the line is always
/// the first.
pub(super) fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.as_str(), |(why, _)| why).to_owned()
}

/// Shortens what came from outside so that it can stand in a message, and writes out what a terminal
/// would obey or not show.
pub(super) fn shown(text: &str) -> String {
    let mut shown = String::new();
    for char in shortened(text).chars() {
        if char.is_control() || char == '\u{feff}' {
            shown.extend(char.escape_default());
        } else {
            shown.push(char);
        }
    }
    shown
}
