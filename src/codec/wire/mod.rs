//! The wire: the protocol's questions and answers as HTTP carries them, in JSON. No I/O; whoever has a connection
//! carries the texts.
//!
//! | asked | method, path | body or query | answered with 200 |
//! |---|---|---|---|
//! | [`Ask::Deliver`] | `POST /v1/bunches` | `{"replica":"<uuid>","generation":"<uuid>","bunch":{…}}` | `{"bunch":3,"outcomes":[…]}` |
//! | [`Ask::Changes`] | `POST /v1/changes` | `{"cursors":{"notes":9},"floors":{},"generation":"<uuid>","rows":1000}` | `{"generation":"<uuid>","rows":[…],"cursors":{…},"floors":{…},"has_more":false,"triggers_until":12}` |
//! | [`Ask::Reads`] | `POST /v1/reads` | `{"reads":[{"collection":"notes","ids":["<uuid>"]}]}` | `{"rows":[…]}` |
//! | [`Ask::Triggers`] | `GET /v1/triggers` | `above=7&generation=<uuid>&limit=1000` | `{"triggers":[…]}`, or a stream of [`Event`]s |
//! | [`Ask::LiveSets`] | `GET /v1/digests` | `generation=<uuid>` | `{"collections":{"notes":{"count":2,"sum":"<hex>","epoch":9}}}` |
//!
//! `generation` is left out where nothing was ever read. Bunches, outcomes, rows and triggers are those of
//! [`lines`](super::lines). What is no such answer is a [`Details`] (RFC 9457):
//!
//! | status | `type` | means |
//! |---|---|---|
//! | 400 | `urn:foldlog:malformed` | the request is not of this shape; nothing was done |
//! | 401 | `urn:foldlog:unauthorised` | the credentials are missing, expired or revoked |
//! | 409 | `urn:foldlog:forked` | another bunch came under this number: take a new replica id |
//! | 410 | `urn:foldlog:start-over` | fetch everything anew; `generation` says of which life of the data |
//! | 410 | `urn:foldlog:triggers-too-old` | triggers up to there are not kept (or were never given): sync down |
//! | 413 | `urn:foldlog:too-large` | more bytes or operations than the authority takes at once |
//! | 429 | `urn:foldlog:busy` | too much at once; `Retry-After` says when to come again |
//! | 503 | `urn:foldlog:unavailable` | the store does not answer; nothing was done, or it is answered when asked again |
//!
//! Reading is as strict as that of lines: an unknown key, a wrong value, something twice is refused.

mod answer;
mod ask;
mod details;
mod event;
mod map;
#[cfg(test)]
mod tests;

pub use answer::{Reply, Unanswered};
pub use ask::{Request, Route};
pub use details::{Details, Kind};
pub use event::{EVENT_BYTES_MAX, Event, EventId, Events};

#[cfg(doc)]
use crate::algebra::Ask;
