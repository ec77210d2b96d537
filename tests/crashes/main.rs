//! Whole lives of a journal, of a replica that syncs and of one that others are merged into: the power goes at every write
//! of them, and again while what is left recovers.
//!
//! A workload is played once on a disk that remembers every write, and what can be seen is noted after each call. Then, for
//! every event, the disk is put together as a crash there could have left it (everything unsynced lost, everything kept, or
//! sampled: torn into sectors, reordered, some of it missing). Each is opened. It must show what could be seen after the last
//! call that had returned and was durable, or after a later one up to the one under way, and nothing in between. Of some,
//! every event of the recovery is crashed at as well. Commits of one phase and of two follow each other as they do in life.
//!
//! `FOLDLOG_CRASH_WORKLOADS` says how many workloads of each kind are played, `FOLDLOG_FIRST_SEED` with which seed they
//! begin. The long tier, more than a million images:
//!
//! ```sh
//! FOLDLOG_CRASH_WORKLOADS=400 cargo test --release --features testing --test crashes -- --nocapture
//! ```
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics has failed")]

mod engine;
mod engine_crash;
mod engine_faults;
mod figures;
mod journal;
mod merge;
#[path = "../prepared/mod.rs"]
mod prepared;
mod random;
mod replica;
#[path = "../clients/seen.rs"]
mod seen;
mod sync;
mod walk;

use figures::Figures;
use random::Random;

/// A number that the environment may name.
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Plays as many workloads as are asked for, or so many; gives what they came to.
fn played(workloads: u64, workload: impl Fn(&mut Random, &mut Figures)) -> Figures {
    let first = number("FOLDLOG_FIRST_SEED", 1);
    let mut figures = Figures::default();
    for seed in first..first + number("FOLDLOG_CRASH_WORKLOADS", workloads) {
        figures.seed = seed;
        workload(&mut Random(seed), &mut figures);
    }
    println!("{figures}");
    figures
}
