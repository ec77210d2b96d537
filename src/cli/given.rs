//! States and patches that are given as an argument, or on standard input in its place.

use std::convert::Infallible;
use std::io::{self, Read};
use std::str::FromStr;

use super::failure::Failure;
use crate::algebra::{self, Patch, State};
use crate::codec::lines::LINE_BYTES_MAX;

/// JSON as it was given: in the argument itself, or on standard input.
#[derive(Clone, Debug)]
pub(super) enum Given {
    Standard,
    Json(String),
}

impl FromStr for Given {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(if text == "-" { Given::Standard } else { Given::Json(text.to_owned()) })
    }
}

impl Given {
    /// It as a whole state.
    pub(super) fn state(&self) -> Result<State, Failure> {
        self.read("state", State::from_json)
    }

    /// It as a patch.
    pub(super) fn patch(&self) -> Result<Patch, Failure> {
        self.read("patch", Patch::from_json)
    }

    fn read<T>(
        &self,
        what: &str,
        read: impl FnOnce(&str) -> Result<T, algebra::Error>,
    ) -> Result<T, Failure> {
        let failed = |why: String| Failure::Failed(why);
        match self {
            Given::Standard => {
                let text = standard().map_err(|why| failed(format!("standard input: {why}")))?;
                read(text.trim()).map_err(|error| failed(format!("standard input: the {what}: {error}")))
            }
            Given::Json(text) => read(text).map_err(|error| match error {
                // Mostly a shell has taken the quotes away.
                algebra::Error::Json { .. } => failed(format!(
                    "the {what}: {error}; quote it for the shell, like '{{\"title\":\"milk\"}}', or give - and it on \
                     standard input"
                )),
                error => failed(format!("the {what}: {error}")),
            }),
        }
    }
}

/// All of standard input, up to the length of the longest line that is read elsewhere.
fn standard() -> Result<String, String> {
    let mut bytes = Vec::new();
    let max = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
    io::stdin()
        .lock()
        .take(max.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    if bytes.len() > LINE_BYTES_MAX {
        return Err(format!("longer than {LINE_BYTES_MAX} bytes; it holds one object"));
    }
    String::from_utf8(bytes).map_err(|error| {
        format!("byte {} is not UTF-8; the input must be", error.utf8_error().valid_up_to().saturating_add(1))
    })
}
