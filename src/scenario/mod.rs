//! Scenarios: what happens to clients and an authority, as lines of JSON, and what is expected of them.
//!
//! Every scenario is played on storage in memory and again on files; with seeds, clients also crash between steps,
//! which may change nothing that is expected.
//!
//! A step is what it says and no more: `integrate` reads what was heard, and asks for no trigger that was lost on its way to
//! `hear`. That is the next `pull` or `sync` to make good; an engine that is left to itself asks for the gap as soon as it
//! hears of it ([`Engine::hear`](crate::sync::Engine::hear)).

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
