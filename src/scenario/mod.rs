//! Scenarios: what happens to clients and an authority, as lines of JSON, and what is expected of them.
//!
//! Every scenario is played on storage in memory and again on files; with seeds, clients also crash between steps,
//! which may change nothing that is expected.

mod client;
mod expect;
mod link;
mod names;
mod play;
mod step;
mod volatile;

#[cfg(feature = "testing")]
pub(crate) use link::Link;
pub use play::{Failure, Medium, Played, play};
pub use step::{Malformed, Scenario};
