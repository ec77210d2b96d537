//! Clients and a server over loopback, with somebody between them who cuts, delays and doubles what goes by, and servers
//! that die: the laws hold that hold in the simulator, and nothing is lost that was acknowledged.
//!
//! ```text
//! clients of the simulator ─→ Connection ─→ proxy: cuts, delays, doubles, kills ─→ server ─→ file, process, PostgreSQL
//!                                                what the simulation looks at itself goes past the proxy ─↗
//! ```
//!
//! `FOLDLOG_ROUNDS` says how many rounds of each kind are played, `FOLDLOG_FIRST_SEED` with which seed they begin, and
//! `FOLDLOG_ACTIONS` how much happens in each. What is done and what goes wrong comes from the seed, when it does not:
//! threads and sockets have a will of their own.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod couriers;
mod crowd;
mod door;
mod file;
mod host;
mod http;
mod member;
mod network;
mod panics;
#[cfg(feature = "postgres")]
mod postgres;
mod process;
mod proxy;
mod schedule;
mod worlds;

/// A number that the environment may name.
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// The seeds of as many rounds as are asked for, or of these.
fn seeds(rounds: u64) -> std::ops::Range<u64> {
    let first = number("FOLDLOG_FIRST_SEED", 1);
    first..first + number("FOLDLOG_ROUNDS", rounds)
}

/// How much happens in a round, besides what its end brings.
fn actions() -> u64 {
    number("FOLDLOG_ACTIONS", 240)
}
