//! Simulated worlds: clients, an authority, and everything that can go wrong between them.

use std::time::Instant;

use foldlog::testing::simulator::{self, Simulated};

/// How many worlds the test plays; `FOLDLOG_SEEDS` says otherwise.
const SEEDS: u64 = 1_000;

/// The first seed; `FOLDLOG_FIRST_SEED` says otherwise.
const FIRST: u64 = 1;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn whatever_is_lost_doubled_or_late_all_agree_in_the_end_and_nothing_is_lost() {
    let begun = Instant::now();
    let (first, seeds) = (number("FOLDLOG_FIRST_SEED", FIRST), number("FOLDLOG_SEEDS", SEEDS));
    let mut sum = Simulated::default();
    for seed in first..first + seeds {
        let clients = 3 + usize::try_from(seed % 3).unwrap_or(0);
        match simulator::simulate_seed(seed, clients, 200) {
            Ok(simulated) => sum += simulated,
            Err(failed) => panic!("seed {seed}: {}\n{:#?}", failed.0, failed.1),
        }
    }
    let rate = (sum.actions as f64 / begun.elapsed().as_secs_f64()).round();
    println!("{seeds} seeds, {rate} actions a second: {sum:?}");
    for reached in [
        sum.operations,
        sum.bunches,
        sum.crashes,
        sum.copies,
        sum.restores,
        sum.resolved,
        sum.lost,
        sum.renamed,
        sum.anew,
    ] {
        assert!(reached > 0 || seeds < SEEDS, "something never came up: {sum:?}");
    }
}
