//! Comparing two replicas: what differs is what comparing them entity by entity finds.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::ops::ControlFlow;

use foldlog::algebra::{EntityKey, Operation, Version};
use foldlog::authority::MemoryStore;
use foldlog::replica::Replica;
use foldlog::sync::Want;
use foldlog::testing::{cases, strategies};
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
