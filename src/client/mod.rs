//! The client: what carries the sync engine's questions to an authority over HTTP, once or all the time.
//!
//! ```text
//! Connection   one question, one answer                          AsyncConnection
//! Driver       one sync: down, up, triggers, until nothing is left    AsyncDriver::sync
//! Courier      a sync at start, after a write, a trigger, an interval   AsyncDriver::run
//! ```
//!
//! Blocking with the feature `client`, for a program with a tokio runtime with `client-async`; what is decided is decided
//! by the same code. https needs one of `tls-webpki` and `tls-platform`.
//!
//! What it never does: lose what is unsent, ask two questions at once for one replica, follow a redirect, show a token,
//! hold a lock or the replica's file while it waits for a network.
//!
//! Invariant: whatever a network does, and whenever a client is stopped or dropped, the replica is as after some answer
//! that was taken whole, and whoever runs next goes on from there.

mod address;
#[cfg(feature = "client-async")]
mod asynchronous;
#[cfg(feature = "client")]
mod blocking;
mod board;
mod course;
mod credentials;
mod desk;
mod duty;
mod error;
mod gzip;
mod handle;
mod listening;
mod message;
mod news;
mod options;
mod rest;
mod status;
mod synced;
mod tls;
mod told;

pub use address::Address;
#[cfg(feature = "client-async")]
pub use asynchronous::{AsyncConnection, AsyncDriver};
#[cfg(feature = "client")]
pub use blocking::{Connection, Courier, Driver};
pub use credentials::Credentials;
pub use error::Error;
#[cfg(feature = "testing")]
pub(crate) use gzip::arrived;
pub use handle::Handle;
pub use news::News;
pub use options::{
    ANSWER_BYTES_MAX, CONNECT_MS_MAX, Options, REQUEST_MS_MAX, SILENCE_MS_MAX, STREAM_SILENCE_MS_MAX,
};
pub use status::{Event, Phase, Status};
pub use synced::Synced;
