//! Why a command did not do what it was asked.

use std::io;

use crate::{journal, replica};

/// How a person gets done what a journal refuses because it is a replica's.
const THROUGH_THE_REPLICA: &str = "`foldlog replica put`, `patch` and `delete` change its entities, `foldlog \
     replica undo` takes back what is unsent, `foldlog conflicts` decides what is open";

/// The end of a command that did not come to its end.
#[derive(Debug)]
pub(super) enum Failure {
    /// A check or an operation failed: exit code 1.
    Failed(String),
    /// It was called wrong: exit code 2.
    Usage(String),
    /// Nobody reads the output any more: no error.
    BrokenPipe,
}

impl Failure {
    pub(super) fn output(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Failure::BrokenPipe
        } else {
            Failure::Failed(format!("writing to standard output failed: {error}"))
        }
    }
}

impl From<journal::Error> for Failure {
    fn from(error: journal::Error) -> Self {
        Failure::Failed(match error {
            // The journal knows of no commands.
            journal::Error::OfReplica => format!("{error}: {THROUGH_THE_REPLICA}"),
            error => error.to_string(),
        })
    }
}

impl From<replica::Error> for Failure {
    fn from(error: replica::Error) -> Self {
        match error {
            replica::Error::Journal { source } => source.into(),
            error => Failure::Failed(error.to_string()),
        }
    }
}

impl From<crate::authority::Error> for Failure {
    fn from(error: crate::authority::Error) -> Self {
        Failure::Failed(error.to_string())
    }
}

impl From<crate::server::Error> for Failure {
    fn from(error: crate::server::Error) -> Self {
        Failure::Failed(error.to_string())
    }
}

impl From<crate::client::Error> for Failure {
    fn from(error: crate::client::Error) -> Self {
        Failure::Failed(error.to_string())
    }
}

impl From<crate::server::TokenError> for Failure {
    fn from(error: crate::server::TokenError) -> Self {
        Failure::Failed(error.to_string())
    }
}

impl From<crate::server::JwtKeyError> for Failure {
    fn from(error: crate::server::JwtKeyError) -> Self {
        Failure::Failed(error.to_string())
    }
}

impl From<crate::algebra::Error> for Failure {
    fn from(error: crate::algebra::Error) -> Self {
        Failure::Failed(error.to_string())
    }
}
