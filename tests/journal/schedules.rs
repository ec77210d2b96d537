//! Whole lives of a journal, beside a model of it and an authority: laws 1, 3, 5, 7 and 10 after every step.
//! What is compared stands in [`foldlog::testing::player`].

use std::cell::Cell;

use foldlog::testing::player::{self, Played};
use foldlog::testing::{self, strategies};
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestCaseError, TestRunner};

/// How often each thing has to come up in all cases together, at least.
const REACHED_MIN: u64 = 30;

/// How many threads share the cases of a property: the machines that this runs on have at least two cores.
const THREADS: u32 = 2;

/// Plays many schedules; gives what they came to.
fn play<S: Strategy>(
    cases: u32,
    strategy: impl Fn() -> S + Sync,
    play: impl Fn(S::Value) -> Result<Played, TestCaseError> + Sync,
) -> Played {
    let config = testing::cases(cases / THREADS);
    let played = |thread: u32| {
        let rng_seed = match config.rng_seed {
            RngSeed::Fixed(seed) => RngSeed::Fixed(seed.wrapping_mul(THREADS.into()) + u64::from(thread)),
            RngSeed::Random => RngSeed::Random,
        };
        let all = Cell::new(Played::default());
        let played =
            TestRunner::new(ProptestConfig { rng_seed, ..config.clone() }).run(&strategy(), |case| {
                let mut sum = all.get();
                sum += play(case)?;
                all.set(sum);
                Ok(())
            });
        played.unwrap_or_else(|failure| panic!("{failure}"));
        all.get()
    };
    let mut all = Played::default();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || played(thread))).collect();
        for thread in threads {
            all += thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    });
    println!("{} schedules: {all:?}", config.cases * THREADS);
    all
}

fn require_reached(played: Played, completions: u64) {
    let reached = [
        played.bunches,
        played.annihilated,
        played.parked,
        played.mended,
        played.held,
        played.superseded,
        played.agreed,
        played.deletes_dropped,
        played.applied,
        played.lost,
        played.cancelled,
    ];
    assert!(reached.iter().all(|count| *count >= REACHED_MIN), "something hardly ever came up: {played:?}");
    assert!(played.completions >= completions, "hardly any circle was cut: {played:?}");
}

#[test]
fn nothing_sealed_changes_nothing_is_lost_and_what_is_sent_is_what_was_done() {
    let schedules = || (strategies::schedule(16), any::<u64>());
    let played = play(10_000, schedules, |(schedule, seed)| Ok(player::play(&schedule, seed)?));
    require_reached(played, 0);
}

#[test]
fn nor_is_anything_lost_where_a_schema_orders_and_cuts() {
    let schedules = || (strategies::schema(), strategies::schedule(16), any::<u64>());
    let played =
        play(5_000, schedules, |(schema, schedule, seed)| Ok(player::play_with(&schema, &schedule, seed)?));
    require_reached(played, 10);
}

/// A few lives that are long, where what is kept grows old.
#[test]
fn a_long_life_is_as_good_as_a_short_one() {
    let schedules = || (strategies::schedule(200), any::<u64>());
    let played = play(100, schedules, |(schedule, seed)| Ok(player::play(&schedule, seed)?));
    assert!(played.bunches >= REACHED_MIN, "{played:?}");
}
