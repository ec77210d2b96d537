//! Simulated worlds: clients, an authority, and everything that can go wrong between them.

use std::fs;
use std::path::Path;
use std::time::Instant;

use foldlog::testing::simulator::{Given, Simulated, given, simulate, simulate_seed};

/// How many worlds the test plays; `FOLDLOG_SEEDS` says otherwise.
const SEEDS: u64 = 1_000;

/// What happens in each, besides what the end brings.
const ACTIONS: usize = 200;

/// The first seed; `FOLDLOG_FIRST_SEED` says otherwise.
const FIRST: u64 = 1;

/// Worlds that failed once, cut down to what it took.
const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios/simulated");

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn play(seeds: impl Iterator<Item = u64>) -> Simulated {
    let mut sum = Simulated::default();
    for seed in seeds {
        let clients = 3 + usize::try_from(seed % 3).unwrap_or(0);
        match simulate_seed(seed, clients, ACTIONS) {
            Ok(simulated) => sum += simulated,
            Err(failed) => {
                let (violation, given) = *failed;
                let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("seed-{seed}.ndjson"));
                fs::write(&path, given.to_lines()).expect("a file for the world that failed");
                panic!("seed {seed}: {violation}\nto keep it: cp {} {KEPT}/", path.display());
            }
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
fn what_failed_once_holds_now() {
    let mut worlds = 0;
    for entry in fs::read_dir(KEPT).expect("a folder of worlds") {
        let path = entry.expect("a file").path();
        let world = Given::from_lines(&fs::read_to_string(&path).expect("a text"));
        let world = world.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        if let Err(violation) = simulate(&world) {
            panic!("{}: {violation}", path.display());
        }
        worlds += 1;
    }
    assert!(worlds > 0, "there is nothing in {KEPT}");
}

#[test]
fn a_world_is_the_same_after_it_was_kept() {
    for seed in 1..=20 {
        let world = given(seed, 4, ACTIONS);
        assert_eq!(Given::from_lines(&world.to_lines()), Ok(world));
    }
    assert_eq!(
        Given::from_lines("").unwrap_err(),
        "line 1: the seed, the clients and the policies are missing"
    );
    let wrong = given(1, 3, 1).to_lines() + "{\"wait\":{\"hours\":1}}\n";
    assert!(Given::from_lines(&wrong).unwrap_err().starts_with("line 3: "));
}

#[test]
fn a_seed_is_the_same_world_every_time() {
    for seed in 1..=20 {
        let once = simulate_seed(seed, 4, ACTIONS).map_err(|failed| failed.0.to_string());
        assert_eq!(once, simulate_seed(seed, 4, ACTIONS).map_err(|failed| failed.0.to_string()));
    }
}
