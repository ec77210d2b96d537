//! Why a command did not do what it was asked.

use std::io;

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

impl From<crate::journal::Error> for Failure {
    fn from(error: crate::journal::Error) -> Self {
        Failure::Failed(error.to_string())
    }
}

impl From<crate::algebra::Error> for Failure {
    fn from(error: crate::algebra::Error) -> Self {
        Failure::Failed(error.to_string())
    }
}
