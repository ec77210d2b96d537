//! What the project tests itself with, for those who embed it and for those who doubt it.
//!
//! | module | what is in it |
//! |---|---|
//! | [`strategies`] | proptest strategies: operations, logs, baselines, schedules; values differ and collide |
//! | [`oracle`] | the meaning of operations, played one by one over plain JSON values |
//! | [`baseline`] | what is known of an authority, with every authority that it may be |
//! | [`laws`] | the laws, each as a check that says what it found instead |
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
pub mod conformance;
mod crash;
pub mod fuzz;
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

pub use crash::{CrashPoint, Crashes, Unsynced};
pub use image::SECTOR_BYTES;
pub use storage::{Fault, FaultyStorage, Times, UNSYNCED_BYTES_MAX};

use std::num::NonZeroU32;

use proptest::test_runner::Config;

/// How a property is tried: on so many cases, or on as many times that as the environment variable
/// `FOLDLOG_ROUNDS` says, or on one in as many as `FOLDLOG_CASES_ONE_IN` says. What fails is told, and written to no
/// file.
///
/// # Panics
/// Where one of the variables is no number above 0, and where there would be more cases than proptest counts.
#[must_use]
pub fn cases(cases: u32) -> Config {
    let number = |name| match std::env::var(name) {
        Ok(text) => {
            text.parse::<NonZeroU32>().unwrap_or_else(|_| panic!("{name} is a number above 0, not {text}"))
        }
        Err(_) => NonZeroU32::MIN,
    };
    let rounds = number("FOLDLOG_ROUNDS");
    let cases = cases
        .checked_mul(rounds.get())
        .unwrap_or_else(|| panic!("{rounds} times {cases} cases are too many"));
    let cases = (cases / number("FOLDLOG_CASES_ONE_IN")).max(1);
    Config { cases, failure_persistence: None, ..Config::default() }
}
