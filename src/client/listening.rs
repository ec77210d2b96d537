//! What a stream of triggers is known by, and what its bytes say. No I/O.

use super::error::Error;
use super::message::{Incoming, Outgoing};
use crate::algebra::{Answer, Millis};
use crate::codec::lines::Problem;
use crate::codec::wire::{Event, Events, Unanswered};

/// The most bytes of an answer that came in place of a stream: the triggers that were asked for are not read from it.
const OTHER_BYTES_MAX: usize = 64 * 1024;

/// Whether a response is a stream of events.
pub(super) fn is_stream<'h>(status: u16, header: impl Fn(&str) -> Option<&'h str>) -> bool {
    let kind = header("content-type").and_then(|kind| kind.split(';').next()).unwrap_or("");
    status == 200 && kind.trim().eq_ignore_ascii_case("text/event-stream")
}

/// Whether it says that the token does not count.
pub(super) fn is_refused(status: u16) -> bool {
    matches!(status, 401 | 403)
}

/// A response in place of a stream, with its body still to come.
pub(super) fn in_place<'h>(
    outgoing: &Outgoing,
    status: u16,
    header: impl Fn(&str) -> Option<&'h str>,
) -> Result<Incoming, Error> {
    Incoming::new(outgoing.route, status, header, OTHER_BYTES_MAX)
}

/// Why there is no stream.
pub(super) fn no_stream(answer: Result<Answer, Error>, now: Millis) -> Error {
    match answer {
        Err(error) => error,
        Ok(Answer::Unauthorised) => Error::Unauthorised,
        Ok(Answer::Busy { retry_after_ms }) => {
            Error::Busy { until: Millis(now.0.saturating_add(retry_after_ms)).min(Millis::MAX) }
        }
        Ok(Answer::Offline) => Error::Offline { why: "nobody streams".to_owned() },
        Ok(
            Answer::Triggers(_)
            | Answer::TriggersTooOld
            | Answer::StartOver { .. }
            | Answer::Delivered(_)
            | Answer::Forked
            | Answer::TooLarge
            | Answer::Changes(_)
            | Answer::Rows(_)
            | Answer::LiveSets(_),
        ) => {
            let source = Problem::Shape { why: "a stream of events was asked for, and something else came" };
            Unanswered::Shape { source }.into()
        }
    }
}

/// The bytes of a stream.
#[derive(Debug, Default)]
pub(super) struct Listening {
    events: Events,
}

impl Listening {
    /// Takes bytes, and gives the events that they end.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<Vec<Event>, Error> {
        let mut found = Vec::new();
        self.events.read(bytes, &mut found).map_err(|source| Unanswered::Shape { source })?;
        Ok(found)
    }
}

/// It came to its end, as when a server goes down.
pub(super) fn ended() -> Error {
    Error::Offline { why: "the stream came to its end".to_owned() }
}
