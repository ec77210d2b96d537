//! The one error of the client.

use crate::algebra::Millis;
use crate::codec::wire::Unanswered;
use crate::{replica, sync};

/// The error of everything that a client does. What is unsent is kept, whichever it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// What was given is no authority's address.
    #[error("{given:?} is no authority's address: {why}")]
    Address {
        /// What was given, shortened.
        given: String,
        /// Why.
        why: &'static str,
    },
    /// What was given is no token.
    #[error("the token cannot stand in a header: {why}")]
    Token {
        /// Why. The token itself is never shown.
        why: &'static str,
    },
    /// This build speaks no https.
    #[error(
        "{address} asks for https, which this build does not speak; enable `tls-webpki` or `tls-platform`"
    )]
    NoTls {
        /// The address.
        address: String,
    },
    /// The connection cannot be made ready.
    #[error("the connection cannot be made ready: {why}")]
    Setup {
        /// Why.
        why: String,
    },
    /// Nobody answers.
    #[error("nobody answers: {why}; what is unsent is kept and goes with a later attempt")]
    Offline {
        /// What the network says.
        why: String,
    },
    /// The authority, or the way to it, wants to be left alone for now.
    #[error("the authority asks to come again later, not before {until} ms since the Unix epoch")]
    Busy {
        /// When the next attempt may be made.
        until: Millis,
    },
    /// The credentials are refused.
    #[error("the authority refuses the credentials; set a new token. What is unsent is kept")]
    Unauthorised,
    /// What came answers nothing.
    #[error(transparent)]
    Unanswered {
        /// What it is.
        #[from]
        source: Unanswered,
    },
    /// The answer goes on for too long.
    #[error("the answer has more than {max} bytes; ask for fewer rows at once, or raise `answer_bytes_max`")]
    TooLong {
        /// The limit.
        max: usize,
    },
    /// The answer is packed in a way that was not asked for, or broken.
    #[error("the answer cannot be unpacked: {why}")]
    Packed {
        /// Why.
        why: String,
    },
    /// What the sync engine says.
    #[error(transparent)]
    Sync {
        /// Its error.
        #[from]
        source: sync::Error,
    },
    /// The system gives no thread.
    #[error("no thread could be started: {source}; close something and start again")]
    Thread {
        /// What the system says.
        source: std::io::Error,
    },
    /// A call did not come to its end.
    #[error("a call of the replica did not come to its end: {why}")]
    Broken {
        /// Why.
        why: String,
    },
}

impl From<replica::Error> for Error {
    fn from(source: replica::Error) -> Self {
        Error::Sync { source: sync::Error::from(source) }
    }
}
