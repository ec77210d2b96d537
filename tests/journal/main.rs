//! The journal on its file: what it does, what it survives, what it leaves. One program, as they share what is slow to link.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod birth;
#[path = "../prepared/bits.rs"]
mod bits;
mod calls;
mod contradicted;
mod crash;
mod damage;
#[path = "../prepared/engine.rs"]
mod engine;
mod large;
mod pass;
#[path = "../prepared/mod.rs"]
mod prepared;
mod reclaimed;
mod refusals;
mod reopened;
mod resumed;
mod ripgrep;
mod schedules;
mod set_aside;
mod threads;
