//! What operations mean: laws, every short log, orders, triggers, lines. One program, as they share what is slow to link.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod coalescing;
mod every_log;
mod exhaustive;
mod exhaustive_cuts;
mod exhaustive_order;
mod gathering;
mod laws;
mod lines;
mod order;
mod short_logs;
mod triggers;
