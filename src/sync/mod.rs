//! The sync engine: what to ask next, and what to do with what comes. No I/O, no clock, no randomness of its own.
//!
//! ```text
//! an open bunch? ─→ deliver it ─→ settle
//! then: down (pages above the cursors) ─→ up (seal, deliver, settle, again) ─→ triggers ─→ reads
//! ```
//!
//! Invariant: at most one question is open, and where it stands is in the replica: an engine that is dropped at any
//! point is replaced by a new one.

mod backoff;
mod engine;

pub use backoff::{ATTEMPT_DELAY_MS_MAX, ATTEMPT_DELAY_MS_MIN};
pub use engine::{Engine, Error, Next, Options, Request, Taken, Want};
