//! Comparing two replicas: what differs is what comparing them entity by entity finds.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::ops::ControlFlow;

use foldlog::Uuid;
use foldlog::algebra::{EntityKey, Generation, Millis, Operation, Schema, Version};
use foldlog::authority::MemoryStore;
use foldlog::journal::{self, Options};
use foldlog::merge::Resolutions;
use foldlog::replica::{Error, Replica};
use foldlog::sync::Want;
use foldlog::testing::{FaultyStorage, cases, strategies};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::replica::{commit, key, note, options, run, schema, state};

fn replica() -> Replica {
    Replica::of(options().in_memory().unwrap()).unwrap()
}

fn free() -> Replica {
    let options = foldlog::journal::Options::new().clock(|| 1_000_000);
    Replica::of(options.in_memory().unwrap()).unwrap()
}

fn differing(one: &Replica, other: &Replica) -> Vec<(EntityKey, Version, Version)> {
    let mut found = Vec::new();
    one.differing(other, |key, ours, theirs| {
        found.push((key, ours, theirs));
        ControlFlow::Continue(())
    })
    .unwrap();
    found
}

/// The same, entity by entity.
fn compared(one: &Replica, other: &Replica) -> Vec<(EntityKey, Version, Version)> {
    let mut keys = [one.known().unwrap(), other.known().unwrap()].concat();
    keys.sort_unstable();
    keys.dedup();
    let both = |key: EntityKey| {
        let [ours, theirs] = [one, other].map(|replica| replica.entity(&key).unwrap().version);
        (ours != theirs).then_some((key, ours, theirs))
    };
    keys.into_iter().filter_map(both).collect()
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn what_differs_is_what_comparing_one_by_one_finds(
        logs in [vec(strategies::operation(), 0..8), vec(strategies::operation(), 0..8)],
    ) {
        let [one, other] = &[free(), free()];
        for (replica, log) in [one, other].into_iter().zip(&logs) {
            log.iter().for_each(|operation| commit(replica, std::slice::from_ref(operation)));
        }
        prop_assert_eq!(differing(one, other), compared(one, other));
        let turned: Vec<_> = differing(other, one).into_iter().map(|(key, a, b)| (key, b, a)).collect();
        prop_assert_eq!(differing(one, other), turned);
        prop_assert!(differing(one, one).is_empty() && differing(one, &one.clone()).is_empty());
    }
}

#[test]
fn what_both_have_of_one_authority_is_alike_until_one_of_them_changes_it() {
    let mut store = MemoryStore::new(schema(crate::replica::SCHEMA), foldlog::algebra::Generation::default());
    let (one, other) = (replica(), replica());
    commit(&one, &[Operation::create(key("folders", 1), state("{}")), note(2, "a"), note(3, "b")]);
    for replica in [&one, &other, &one] {
        run(&mut store, replica, Want::SYNC);
    }
    assert_eq!(differing(&one, &other), []);
    commit(&other, &[Operation::delete(key("notes", 3)), note(4, "c")]);
    let found = differing(&one, &other);
    assert_eq!(found, compared(&one, &other));
    assert_eq!(
        found.iter().map(|(key, ..)| key.clone()).collect::<Vec<_>>(),
        [key("notes", 3), key("notes", 4)]
    );
    // It ends when it is told to.
    let mut seen = 0;
    let stopped = one.differing(&other, |_, _, _| {
        seen += 1;
        ControlFlow::Break(())
    });
    assert!(stopped.is_ok() && seen == 1);
}

/// What two replicas fetched from one authority, and the file of one of them with something else in the place of some bytes.
fn fetched_and_damaged(from: &[u8], to: &[u8]) -> (Replica, FaultyStorage) {
    let mut store = MemoryStore::new(Schema::default(), Generation::default());
    let (one, storage) = (free(), FaultyStorage::new());
    let create = |n| Operation::create(key("notes", n), state(&format!(r#"{{"n":{n}}}"#)));
    commit(&one, &[1, 2, 3].map(create));
    run(&mut store, &one, Want::SYNC);
    run(&mut store, &one, Want::SYNC);
    let other = on(&storage);
    run(&mut store, &other, Want::SYNC);
    assert_eq!(differing(&one, &other), []);
    drop(other);
    let mut bytes = storage.bytes();
    let places: Vec<usize> =
        (0..bytes.len()).filter(|place| bytes.iter().skip(*place).take(from.len()).eq(from)).collect();
    assert!(!places.is_empty());
    for place in places {
        bytes.iter_mut().skip(place).zip(to).for_each(|(byte, other)| *byte = *other);
    }
    (one, FaultyStorage::from_bytes(&bytes))
}

fn on(storage: &FaultyStorage) -> Replica {
    Replica::of(Options::new().clock(|| 1_000_000).on(storage.clone()).unwrap()).unwrap()
}

fn not_compared(one: &Replica, other: &Replica) -> journal::Error {
    let compared = one.differing(other, |_, _, _| ControlFlow::Continue(()));
    match compared.unwrap_err() {
        Error::Journal { source } => source,
        other => panic!("{other}"),
    }
}

/// Where an entity stands.
fn place(name: &[u8], n: u128) -> Vec<u8> {
    [name, &[0], Uuid::from_u128(n).as_bytes().as_slice()].concat()
}

#[test]
fn what_is_damaged_is_told_of_whichever_has_it_and_set_aside_there() {
    let (last, nothing) = (place(b"notes", 3), place(b"\xffotes", 3));
    for (from, to) in [(last.as_slice(), nothing.as_slice()), (b"{\"n\":2}", b"{\"n\":7}")] {
        for is_first in [true, false] {
            let (sound, damaged) = fetched_and_damaged(from, to);
            let damaged = on(&damaged);
            let found =
                if is_first { not_compared(&damaged, &sound) } else { not_compared(&sound, &damaged) };
            assert!(matches!(found, journal::Error::Damaged { .. }), "{found}");
            for (replica, expected) in [(&sound, 0), (&damaged, 1)] {
                // Whatever maintains sets aside what was met with.
                replica.forget_losers(Millis(0)).unwrap();
                assert_eq!(replica.journal().set_aside().unwrap().len(), expected);
            }
            assert_eq!(differing(&sound, &damaged), compared(&sound, &damaged));
        }
    }
}

#[test]
fn rows_out_of_order_are_told_and_not_passed_over() {
    let (sound, storage) = fetched_and_damaged(&place(b"notes", 2), &place(b"notes", 9));
    // Rows that are the same bytes are not opened.
    let [damaged, alike] = [storage.snapshot(), storage].map(|storage| on(&storage));
    let found = not_compared(&damaged, &alike);
    assert!(matches!(found, journal::Error::Corrupted { .. }), "{found}");
    let refused = sound.check_merge(&[&damaged], &Resolutions::default(), &mut |_| {}).unwrap_err();
    assert!(refused.to_string().contains("out of order"), "{refused}");
}
