//! The authority on a file answers as the one in memory does; what it answered is there after any crash, and what is
//! damaged is never an answer.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod alike;
mod asking;
mod crash;
mod damage;
mod kept;
mod opened;
mod schemas;
