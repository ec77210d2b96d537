//! A replica on a disk that fails: every call of the storage, in every call of the replica's that writes.

use foldlog::algebra::{Generation, Operation};
use foldlog::authority::MemoryStore;
use foldlog::journal::{self, Durability};
use foldlog::replica::{Error, Replica, Resolution};
use foldlog::sync::{self, Engine, Next, Want};
use foldlog::testing::{Fault, FaultyStorage, Times};

use super::replica::{
    CALLS, NOW, SCHEMA, asked, commit, key, note, opened, patch, prepared, run, schema, state,
};
use super::seen::observed;

/// How a handle answers to what is asked of it next.
fn next(replica: &Replica) -> Result<(), Error> {
    replica.commit(&[patch(key("folders", 1), r#"{"next":true}"#)], Durability::Durable).map(drop)
}

fn is_refusal(error: &Error, times: Times) -> bool {
    match error {
        Error::Journal { source: journal::Error::Failed } => true,
        Error::Journal { source: journal::Error::Io { .. } | journal::Error::Corrupted { .. } } => {
            times == Times::Always
        }
        _ => false,
    }
}

#[test]
fn a_storage_call_that_fails_leaves_the_old_replica_or_the_new_one_and_work_goes_on_when_it_is_healed() {
    let (start, store) = prepared();
    let (mut faults, mut failed) = (0, 0);
    for (name, call) in CALLS {
        let begun = || -> (FaultyStorage, Replica) {
            let storage = start.snapshot();
            let replica = opened(&storage);
            if ["outcomes", "another name"].contains(&name) {
                replica.seal(foldlog::algebra::Limits::default()).unwrap();
            }
            (storage, replica)
        };
        let (before, after, calls) = {
            let (storage, replica) = begun();
            let (before, first) = (observed(&replica), storage.calls());
            call(&replica, &mut store.clone()).unwrap();
            let calls = storage.calls() - first;
            (before, observed(&replica), calls)
        };
        let once = (0..calls).map(|number| (number, Times::Once));
        let for_good = (0..calls).step_by(3).map(|number| (number, Times::Always));
        for (number, times) in once.chain(for_good) {
            for fault in Fault::ALL {
                let (storage, replica) = begun();
                assert_eq!(observed(&replica), before);
                storage.fail_at(storage.calls() + number, fault, times);
                let called = call(&replica, &mut store.clone());
                if storage.faults_fired() == 0 {
                    continue;
                }
                faults += 1;
                let case = || format!("{name}, call {number} of {calls}, {fault:?}, {times:?}");
                if let Err(error) = next(&replica) {
                    assert!(is_refusal(&error, times), "{}: {error}", case());
                    storage.heal();
                    drop(replica);
                    let replica = opened(&storage);
                    let found = observed(&replica);
                    assert!(found == before || found == after, "{}: neither old nor new: {found}", case());
                    assert!(called.is_err() || found == after, "{}: it returned, and is gone", case());
                    failed += 1;
                }
                storage.heal();
                let replica = opened(&storage);
                assert_eq!(replica.check().unwrap(), [""; 0], "{}", case());
                replica
                    .commit(&[Operation::create(key("folders", 3), state("{}"))], Durability::Durable)
                    .unwrap();
                assert!(replica.get(&key("folders", 3)).unwrap().is_some(), "{}", case());
            }
        }
    }
    println!("{} calls, {faults} faults, after {failed} of which the handle refused to write", CALLS.len());
    assert!(faults > 500 && failed > 100, "{faults}, {failed}");
}

/// A program whose disk is full is told so, and goes on when there is room again, without being restarted.
#[test]
fn a_full_disk_is_told_of_and_the_same_handle_goes_on_when_there_is_room() {
    let (start, _) = prepared();
    let storage = start.snapshot();
    let replica = opened(&storage);
    let long = "x".repeat(1 << 20);
    storage.fail_at(storage.calls(), Fault::NoSpace, Times::Always);
    let big = Operation::patch(
        key("folders", 2),
        foldlog::algebra::Patch::from_json(&format!(r#"{{"long":"{long}"}}"#)).unwrap(),
    );
    let refused = replica.commit(std::slice::from_ref(&big), Durability::Durable).unwrap_err();
    assert!(refused.to_string().contains("no space left"), "{refused}");
    assert!(is_refusal(&next(&replica).unwrap_err(), Times::Once));
    storage.heal();
    replica.journal().resume().unwrap();
    replica.commit(&[big], Durability::Durable).unwrap();
    assert_eq!(replica.check().unwrap(), [""; 0]);
}

/// What a person decided is not asked again because the disk failed when it was to be carried out.
#[test]
fn what_was_decided_is_carried_out_at_last_though_a_disk_failed_over_that() {
    let mut store = MemoryStore::new(schema(SCHEMA), Generation::default());
    let storage = FaultyStorage::new();
    {
        let (other, own) = (opened(&FaultyStorage::new()), opened(&storage));
        commit(&other, &[Operation::create(key("folders", 1), state("{}")), note(2, "a")]);
        run(&mut store, &own, Want::SYNC);
        run(&mut store, &other, Want::SYNC);
        commit(&own, &[Operation::create(key("notes", 3), state(r#"{"title":"a"}"#))]);
        run(&mut store, &own, Want::UP);
        own.resolve(&key("notes", 3), &Resolution::Local).unwrap();
    }
    let is_carried_out = |replica: &Replica| replica.get(&key("notes", 2)).unwrap().is_none();
    let mut failed = 0;
    for number in 0.. {
        let storage = storage.snapshot();
        let replica = opened(&storage);
        let mut engine = Engine::new(replica.clone(), sync::Options::default());
        storage.fail_at(storage.calls() + number, Fault::Any, Times::Once);
        engine.want_only(Want::DOWN);
        while let Ok(Next::Ask(request)) = engine.next(NOW) {
            let answer = asked(&mut store, &request.ask);
            if engine.answer(request.number, answer, NOW, 0).is_err() {
                failed += 1;
                break;
            }
        }
        if storage.faults_fired() == 0 {
            assert!(is_carried_out(&replica));
            break;
        }
        storage.heal();
        drop((engine, replica));
        let replica = opened(&storage);
        run(&mut store.clone(), &replica, Want::SYNC);
        assert_eq!(replica.conflicts().unwrap(), [], "call {number}: it is asked again");
        assert!(is_carried_out(&replica) && replica.undecided().unwrap().is_empty(), "call {number}");
        assert!(replica.get(&key("notes", 3)).unwrap().is_some(), "call {number}");
        assert_eq!(replica.check().unwrap(), [""; 0], "call {number}");
    }
    assert!(failed > 20, "{failed}");
}

/// What mending dropped is made anew when there is room for it.
#[test]
fn a_disk_that_is_full_when_a_mended_replica_is_made_whole_has_it_made_whole_later() {
    let (start, _) = prepared();
    let expected = {
        let replica = opened(&start.snapshot());
        (replica.known().unwrap(), replica.unsent().unwrap())
    };
    let bytes = start.bytes();
    // A frame's head is of 24 bytes, two of a mark, one of the kind: 12 is what is seen.
    let places = (0..bytes.len() - 24).filter(|place| bytes[*place..].starts_with(b"fl\x0c\x01"));
    let damaged = |place| {
        let mut bytes = bytes.clone();
        bytes[place + 24] ^= 1;
        let storage = FaultyStorage::from_bytes(&bytes);
        let replica = opened(&storage);
        // Or in a page that is free.
        (replica.journal().mend().unwrap() > 0).then_some((storage, replica))
    };
    let (storage, replica) = places.into_iter().find_map(damaged).unwrap();
    storage.fail_at(storage.calls(), Fault::NoSpace, Times::Always);
    for _ in 0..2 {
        assert!(replica.known().is_err());
    }
    storage.heal();
    replica.journal().resume().unwrap();
    assert_eq!((replica.known().unwrap(), replica.unsent().unwrap()), expected);
    assert_eq!(replica.check().unwrap(), [""; 0]);
    next(&replica).unwrap();
}
