//! The wire: the protocol's questions and answers as HTTP carries them, in JSON. No I/O; whoever has a connection
//! carries the texts.
//!
//! | asked | method and path |
//! |---|---|
//! | [`Ask::Deliver`] | `POST /v1/bunches` |
//! | [`Ask::Changes`] | `POST /v1/changes` |
//! | [`Ask::Reads`] | `POST /v1/reads` |
//! | [`Ask::Triggers`] | `GET /v1/triggers`: a page, or a stream of [`Event`]s |
//! | [`Ask::LiveSets`] | `GET /v1/digests` |
//!
#![doc = include_str!("PROTOCOL.md")]

mod answer;
mod ask;
mod details;
mod event;
mod map;
#[cfg(test)]
mod tests;

pub use answer::{Reply, Unanswered};
#[cfg(feature = "server")]
pub(crate) use ask::COUNT_DEFAULT;
pub use ask::{Request, Route};
pub use details::{Details, Kind};
pub use event::{EVENT_BYTES_MAX, Event, EventId, Events};

#[cfg(doc)]
use crate::algebra::Ask;
