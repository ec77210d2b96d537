//! The command as its user meets it: real processes, what they print and what they leave. One program, as they share what is
//! slow to link.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod bad_input;
mod cli;
mod fold;
mod merge;
#[path = "../prepared/mod.rs"]
mod prepared;
mod replica;
mod salvage;
mod salvage_doubts;
mod scenario;
mod sync;
