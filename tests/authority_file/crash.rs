//! Crashes at every write, and every call to the storage that may fail.

use std::time::Duration;

use foldlog::algebra::Answer;
use foldlog::authority::{Authority, Error, FileAuthority};
use foldlog::testing::{Fault, FaultyStorage, Times, Unsynced};

use crate::asking::{NOW, account, bunches, observed, opened};

const SAMPLES: u64 = 3;

fn both(authority: &FileAuthority) -> Result<String, Error> {
    Ok(observed(authority, &account("anna"))? + &observed(authority, &account("ben"))?)
}

#[test]
fn a_crash_at_every_write_keeps_what_was_answered_and_applies_the_rest_once_or_not_at_all() {
    let storage = FaultyStorage::new();
    let authority = opened(&storage).unwrap();
    both(&authority).unwrap();
    storage.record();
    let mut states = vec![both(&authority).unwrap()];
    let (mut answers, mut ends): (Vec<Answer>, Vec<u64>) = (Vec::new(), Vec::new());
    for (of, ask) in bunches() {
        answers.push(authority.answer(&of, NOW, &ask).unwrap());
        ends.push(storage.events());
        states.push(both(&authority).unwrap());
    }
    let (mut images, mut once_more) = (0, 0);
    for crash in storage.crashes() {
        let answered = ends.iter().filter(|end| **end <= crash.event()).count();
        let sampled = (0..SAMPLES).map(|seed| Unsynced::Sampled { seed: seed + crash.event() * SAMPLES });
        for mode in [Unsynced::Lost, Unsynced::Kept].into_iter().chain(sampled) {
            images += 1;
            let case = format!("crash at {}, {mode:?}", crash.event());
            let authority = opened(&crash.image(mode)).unwrap_or_else(|error| panic!("{case}: {error}"));
            let found = both(&authority).unwrap_or_else(|error| panic!("{case}: {error}"));
            let held = states.iter().position(|state| *state == found);
            let held = held.unwrap_or_else(|| panic!("{case}: neither before nor after a bunch: {found}"));
            assert!(held == answered || held == answered + 1, "{case}: {held} instead of {answered}");
            once_more += usize::from(held > answered);
            for ((of, ask), answer) in bunches().iter().zip(&answers) {
                assert_eq!(authority.answer(of, NOW, ask).unwrap(), *answer, "{case}");
            }
            assert_eq!(Some(&both(&authority).unwrap()), states.last(), "{case}");
        }
    }
    println!("{images} images, {once_more} with a bunch that nobody was told of");
    assert!(images > 100 && once_more > 10);
}

#[test]
fn a_call_that_fails_is_an_error_after_which_the_same_handle_goes_on() {
    let all = bunches();
    let (last, first) = all.split_last().unwrap();
    let storage = FaultyStorage::new();
    let authority = opened(&storage).unwrap();
    for (of, ask) in first {
        authority.answer(of, NOW, ask).unwrap();
    }
    drop(authority);
    let (after, calls) = {
        let storage = storage.snapshot();
        let authority = opened(&storage).unwrap();
        let begun = storage.calls();
        authority.answer(&last.0, NOW, &last.1).unwrap();
        let calls = storage.calls() - begun;
        (both(&authority).unwrap(), calls)
    };
    let (mut fired, mut failed) = (0, 0);
    for call in 0..calls {
        for fault in Fault::ALL {
            let storage = storage.snapshot();
            let authority = opened(&storage).unwrap();
            storage.fail_at(storage.calls() + call, fault, Times::Once);
            let answered = authority.answer(&last.0, NOW, &last.1);
            if storage.faults_fired() == 0 {
                continue;
            }
            fired += 1;
            if let Err(error) = answered {
                failed += 1;
                assert!(matches!(error, Error::Store { .. } | Error::Corrupted { .. }), "{error:?}");
            }
            storage.heal();
            let case = || format!("call {call}, {fault:?}");
            let again = authority.answer(&last.0, NOW, &last.1);
            again.unwrap_or_else(|error| panic!("{}: {error}", case()));
            assert_eq!(both(&authority).unwrap(), after, "{}", case());
        }
    }
    println!("{calls} calls, {fired} faults, {failed} of them felt");
    assert!(failed > 10);
}

#[test]
fn a_storage_that_fails_for_good_is_an_error_each_time_and_nothing_waits_for_it() {
    let storage = FaultyStorage::new();
    let authority = opened(&storage).unwrap();
    let (of, ask) = bunches().remove(0);
    storage.fail_at(storage.calls(), Fault::Write, Times::Always);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..3 {
                    let error = authority.answer(&of, NOW, &ask).unwrap_err();
                    assert!(matches!(error, Error::Store { .. } | Error::Corrupted { .. }), "{error:?}");
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
        }
    });
    storage.heal();
    assert!(matches!(authority.answer(&of, NOW, &ask).unwrap(), Answer::Delivered(_)));
}
