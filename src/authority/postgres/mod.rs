//! An authority on PostgreSQL: the same rules, on tables that SQL can read.
//!
//! ```text
//! namespace ── layout, collections, columns, constraints     what there is, and how it is called
//!           ├─ accounts, counters, answers, triggers         an account each: who, epochs, bunches, hints
//!           └─ a table a collection ◁── its archive          what is live; the tombstones, inherited
//! ```
//!
//! A bunch is one transaction: it locks the row of its account, reads what it needs in a few round trips, judges it
//! in memory, and writes all that comes of it in one more. Readers see one snapshot and wait for nobody. Nothing
//! here decides anything: what is accepted is for the rules, and the constraints of the tables prove them right.
//!
//! Invariant: epochs and triggers of an account are given out in the order of its commits, as each writer holds the
//! account's row until its own is visible.

mod authority;
mod begin;
mod catalogue;
mod connect;
mod error;
mod fill;
mod flush;
mod foresight;
mod held;
mod make;
mod migrate;
mod names;
mod options;
mod own;
mod pages;
mod pipeline;
mod reading;
mod row;
mod statements;
mod store;
mod tables;
mod turns;
mod upkeep;
mod values;
mod watch;

pub use authority::PostgresAuthority;
pub use error::PostgresError;
pub use options::{PostgresOptions, TRIGGERS_MAX};
pub use store::PostgresStore;
pub use watch::{Watch, Woken};
