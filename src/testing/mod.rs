//! What the project tests itself with, for those who embed it and for those who doubt it.
//!
//! | module | what is in it |
//! |---|---|
//! | [`strategies`] | proptest strategies: operations, logs, baselines, schedules; values differ and collide |
//! | [`oracle`] | the meaning of operations, played one by one over plain JSON values |
//! | [`baseline`] | what is known of an authority, with every authority that it may be |
//! | [`laws`], [`gathering`] | the laws, each as a check that says what it found instead |
//! | [`reading`] | the rules for triggers, as checks of the same kind |
//! | [`prefixes`] | the law of order, with a schema, and a search over all orders |
//! | [`schedule`], [`player`] | what happens to a journal, as data; and what must be true after each step |
//! | [`simulator`] | clients, an authority and a bad network, from one number |
//! | [`conformance`] | one suite for every store of an authority |
//! | [`values`] | what became of every value that was written |
//! | [`fuzz`] | the bodies of the fuzz targets |
//! | `postgres` | a PostgreSQL server to test on (feature `postgres`) |
//! | [`FaultyStorage`] | a storage that loses, reorders and tears what was not synced, and fails on demand |

pub mod baseline;
mod cases;
pub mod conformance;
mod crash;
pub mod fuzz;
pub mod gathering;
mod image;
pub mod laws;
pub mod oracle;
pub mod player;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod prefixes;
pub mod reading;
pub mod schedule;
pub mod simulator;
mod storage;
pub mod strategies;
pub mod values;

pub use cases::cases;
pub use crash::{CrashPoint, Crashes, Unsynced};
pub use image::SECTOR_BYTES;
pub use storage::{Fault, FaultyStorage, Times, UNSYNCED_BYTES_MAX};
