//! Simulated worlds: clients, an authority, and everything that can go wrong between them.

use std::time::Instant;

use foldlog::testing::simulator::{Simulated, simulate_seed};

/// How many worlds the test plays; `FOLDLOG_SEEDS` says otherwise.
const SEEDS: u64 = 1_000;

/// What happens in each, besides what the end brings.
const ACTIONS: usize = 200;

/// The first seed; `FOLDLOG_FIRST_SEED` says otherwise.
const FIRST: u64 = 1;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn play(seeds: impl Iterator<Item = u64>) -> Simulated {
    let mut sum = Simulated::default();
    for seed in seeds {
        let clients = 3 + usize::try_from(seed % 3).unwrap_or(0);
        match simulate_seed(seed, clients, ACTIONS) {
            Ok(simulated) => sum += simulated,
            Err(failed) => panic!("seed {seed}: {}\n{:#?}", failed.0, failed.1),
        }
    }
    sum
}

#[test]
fn whatever_is_lost_doubled_or_late_all_agree_in_the_end_and_nothing_is_lost() {
    let begun = Instant::now();
    let (first, seeds) = (number("FOLDLOG_FIRST_SEED", FIRST), number("FOLDLOG_SEEDS", SEEDS));
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    // Each thread its own seeds, so that a failure is the same on any machine.
    let played: Vec<Simulated> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads)
            .map(|thread| {
                scope.spawn(move || play((first..first + seeds).filter(|seed| seed % threads == thread)))
            })
            .collect();
        all.into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let mut sum = Simulated::default();
    for simulated in played {
        sum += simulated;
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
        sum.undone,
        sum.lost,
        sum.renamed,
        sum.anew,
    ] {
        assert!(reached > 0 || seeds < SEEDS, "something never came up: {sum:?}");
    }
}

#[test]
fn a_seed_is_the_same_world_every_time() {
    for seed in 1..=20 {
        let once = simulate_seed(seed, 4, ACTIONS).map_err(|failed| failed.0.to_string());
        assert_eq!(once, simulate_seed(seed, 4, ACTIONS).map_err(|failed| failed.0.to_string()));
    }
}
