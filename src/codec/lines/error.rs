//! What a line is refused for.

use thiserror::Error;

use crate::algebra;

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
    #[error("the bunch's operations are not those that its id was made of: it was changed on the way")]
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

impl From<algebra::Error> for Problem {
    fn from(source: algebra::Error) -> Self {
        match source {
            algebra::Error::Json { source } => source.into(),
            source => Problem::Invalid { source },
        }
    }
}

impl From<serde_json::Error> for Problem {
    fn from(error: serde_json::Error) -> Self {
        // The parser ends with "at line 1 column 5", where the line is always the first.
        let text = error.to_string();
        let why = text.rsplit_once(" at line ").map_or(text.as_str(), |(why, _)| why).to_owned();
        Problem::Json { column: error.column(), why }
    }
}
