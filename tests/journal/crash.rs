//! Every write of every call: a crash there leaves the old journal or the new one, and nothing in between.
//!
//! A journal with something in every table is brought about once. Then each call is made on a copy whose every
//! write is remembered, and for every moment in it the disk is put together as the power cut could have left it:
//! all unsynced writes lost, all kept, and mixtures with torn and reordered ones. Each is opened and
//! compared with everything that could be seen before and after. The second half makes every storage call fail.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics has failed")]

use std::time::Duration;

use crate::prepared::{PARKED, key, observed, options, patch, prepared, state, trigger};
use foldlog::algebra::{
    Base, Epoch, Limits, Millis, Operation, Outcome, Outcomes, Resulting, Row, Seq, Stamps, Trigger,
};
use foldlog::journal::{Durability, Error, Journal, Listing, PASS_BYTES_DEFAULT};
use foldlog::testing::{CrashPoint, Fault, FaultyStorage, Times, Unsynced};

type Call = (&'static str, fn(&Journal) -> Result<(), Error>);

/// Every call that writes.
const CALLS: [Call; 17] = [
    ("append", |journal| journal.append(&some_operations(), Durability::Durable).map(drop)),
    ("append to a parked entity", |journal| {
        let edit = Operation::patch(key(PARKED), patch(r#"{"mended":true}"#));
        journal.append(&[edit], Durability::Durable).map(drop)
    }),
    ("append deferred, then flush", |journal| {
        journal.append(&some_operations(), Durability::Deferred)?;
        journal.flush()
    }),
    ("append a stream", |journal| {
        let all = (0..3_000).map(|n| Ok(Operation::create(key(100 + n), state(r#"{"long":"stream"}"#))));
        journal.append_streamed::<Error>(all, Durability::Durable).map(drop)
    }),
    ("compact", Journal::compact),
    ("compact what is long", Journal::compact),
    ("seal", |journal| journal.seal(Limits::default()).map(drop)),
    ("seal a little", |journal| journal.seal(Limits { operations: 2, ..Limits::default() }).map(drop)),
    ("settle", |journal| settle_all_ways(journal)),
    ("cancel", |journal| {
        let last = journal.status()?.appended;
        journal.cancel(Seq(last)).map(drop)
    }),
    ("retry", |journal| journal.retry(&key(PARKED))),
    ("drop", |journal| journal.discard(&key(PARKED)).map(drop)),
    ("baseline", |journal| {
        let row =
            |n, epoch| Row { key: key(n), state: Some(state(r#"{"far":1}"#)), epoch: Some(Epoch(epoch)) };
        journal.baseline(&[row(1, 900), row(70, 901), row(71, 902)], Listing::Complete)
    }),
    ("receive", |journal| {
        let triggers: Vec<Trigger> = (5..9).map(|n| trigger(n, n, 500 + n)).collect();
        journal.receive(&triggers).map(drop)
    }),
    ("integrate", |journal| {
        let row = |n, state| Row { key: key(n), state, epoch: Some(Epoch(800 + n)) };
        let rows = [row(1, Some(state(r#"{"read":1}"#))), row(2, None), row(60, Some(state("{}")))];
        journal.integrate(&rows).map(drop)
    }),
    ("forget what gave way", |journal| journal.forget_superseded().map(drop)),
    ("reclaim", |journal| journal.reclaim().map(drop)),
];

fn some_operations() -> Vec<Operation> {
    let text = "y".repeat(900);
    (0..12)
        .map(|n| match n % 3 {
            0 => Operation::create(key(50 + n), state(&format!(r#"{{"text":"{text}"}}"#))),
            1 => Operation::patch(key(n), patch(r#"{"a":"later"}"#)),
            _ => Operation::delete(key(n)),
        })
        .collect()
}

/// Seals everything, then settles with every kind of outcome.
fn settle_all_ways(journal: &Journal) -> Result<(), Error> {
    let Some(bunch) = journal.open_bunch()? else {
        panic!("the journal was prepared with an open bunch");
    };
    let outcomes = (0..)
        .zip(&bunch.operations)
        .map(|(place, sent)| match place % 7 {
            0 => Outcome::Accepted { epoch: Some(Epoch(700)), result: Resulting::AsSent, overwrote: None },
            1 => Outcome::Refused { reason: "no".to_owned() },
            2 => Outcome::Superseded {
                epoch: Epoch(701),
                state: Some(state(r#"{"theirs":1}"#)),
                stamps: Stamps::default(),
                writer: None,
            },
            3 => Outcome::Clash { unique: vec!["name".to_owned()], holder: key(1).id(), of: None },
            4 => Outcome::Waits { on: bunch.operations[1].operation.key.clone() },
            5 => Outcome::Retry,
            _ => Outcome::Accepted {
                epoch: Some(Epoch(702)),
                result: Resulting::Live(
                    match sent.operation.at {
                        Some(Millis(_)) | None => state(r#"{"merged":1}"#),
                    },
                    Stamps::default(),
                ),
                overwrote: None,
            },
        })
        .collect();
    journal.settle(&Outcomes { bunch: bunch.number, outcomes }).map(drop)
}

/// Settling needs an open bunch; sealing needs that there is none.
fn start(name: &str) -> FaultyStorage {
    let storage =
        prepared(!matches!(name, "seal" | "seal a little" | "compact" | "compact what is long" | "reclaim"));
    if name != "compact what is long" {
        return storage;
    }
    // So long that it is cut into slices, and that new ones join those that are there.
    let storage = storage.snapshot();
    let journal = open(&storage, PASS_BYTES[1]).unwrap();
    let create = |n| Operation::create(key(n), state("{}"));
    let change = |n| match n % 3 {
        0 => create(n + 100),
        1 => Operation::patch(key(n), patch(r#"{"changed":true}"#)),
        _ => Operation::delete(key(n)),
    };
    journal.append(&(100..180).map(create).collect::<Vec<_>>(), Durability::Durable).unwrap();
    journal.compact().unwrap();
    journal.append(&(100..160).map(change).collect::<Vec<_>>(), Durability::Durable).unwrap();
    drop(journal);
    storage.snapshot()
}

const SAMPLES: u64 = 6;

/// What passes may take: with little, what is folded goes into many commits.
const PASS_BYTES: [usize; 2] = [PASS_BYTES_DEFAULT, 2_000];

fn open(storage: &FaultyStorage, pass_bytes: usize) -> Result<Journal, Error> {
    options().pass_bytes(pass_bytes).on(storage.clone())
}

#[test]
fn a_crash_at_every_write_leaves_the_old_or_the_new_journal() {
    let (mut points, mut images, mut old, mut new) = (0_u64, 0_u64, 0_u64, 0_u64);
    for ((name, call), pass_bytes) in CALLS.into_iter().flat_map(|call| PASS_BYTES.map(|bytes| (call, bytes)))
    {
        let storage = start(name).snapshot();
        let journal = open(&storage, pass_bytes).unwrap();
        let before = observed(&journal);
        storage.record();
        call(&journal).unwrap_or_else(|error| panic!("{name}: {error}"));
        let after = observed(&journal);
        let crashes: Vec<CrashPoint> = storage.crashes().collect();
        assert!(crashes.len() > 3, "{name} writes: {}", crashes.len());
        let last = crashes.len() - 1;
        let mut outcomes = [false; 2];
        for (number, crash) in crashes.iter().enumerate() {
            points += 1;
            let modes = [Unsynced::Lost, Unsynced::Kept]
                .into_iter()
                .chain((0..SAMPLES).map(|seed| Unsynced::Sampled { seed: seed + number as u64 * SAMPLES }));
            for mode in modes {
                images += 1;
                let found = open(&crash.image(mode), pass_bytes)
                    .map(|journal| observed(&journal))
                    .unwrap_or_else(|error| panic!("{name}, crash {number} of {last}, {mode:?}: {error}"));
                assert!(
                    found == before || found == after,
                    "{name}, crash {number} of {last}, {mode:?}: neither old nor new\nfound {found}\nbefore {before}\nafter {after}"
                );
                outcomes[usize::from(found == after)] = true;
                old += u64::from(found == before);
                new += u64::from(found == after);
                // What returned is there, whatever the disk had not been told to keep.
                assert!(number < last || found == after, "{name} returned, and is gone: {mode:?}");
            }
        }
        assert!(outcomes[1], "{name} is never seen done");
    }
    println!("{} calls, {points} crash points, {images} images: {old} old, {new} new", CALLS.len());
}

#[test]
fn a_storage_call_that_fails_leaves_the_old_or_the_new_journal() {
    let mut faults = 0_u64;
    for ((name, call), pass_bytes) in CALLS.into_iter().flat_map(|call| PASS_BYTES.map(|bytes| (call, bytes)))
    {
        let prepared = start(name);
        let (before, after, calls) = {
            let storage = prepared.snapshot();
            let journal = open(&storage, pass_bytes).unwrap();
            let (before, begun) = (observed(&journal), storage.calls());
            call(&journal).unwrap();
            let calls = storage.calls() - begun;
            (before, observed(&journal), calls)
        };
        // Once at every call; for good at every third, as what follows is much the same.
        let once = (0..calls).map(|number| (number, Times::Once));
        let for_good = (0..calls).step_by(3).map(|number| (number, Times::Always));
        for (number, times) in once.chain(for_good) {
            for fault in Fault::ALL {
                let storage = prepared.snapshot();
                let journal = open(&storage, pass_bytes).unwrap();
                // The same reads, so that the same is in the cache.
                assert_eq!(observed(&journal), before);
                storage.fail_at(storage.calls() + number, fault, times);
                let called = call(&journal);
                if storage.faults_fired() == 0 {
                    continue;
                }
                faults += 1;
                let case = || format!("{name}, call {number} of {calls}, {fault:?}, {times:?}");
                if let Err(error) = &called {
                    assert!(!error.to_string().is_empty(), "{}", case());
                }
                // The handle says so again, or works; either way it does not panic.
                let again = journal.append(&some_operations(), Durability::Durable);
                if let Err(error) = &again {
                    let is_told = matches!(error, Error::Failed)
                        || times == Times::Always
                            && matches!(error, Error::Io { .. } | Error::Corrupted { .. });
                    assert!(is_told, "{}: {error}", case());
                }
                if again.is_ok() {
                    continue;
                }
                storage.heal();
                drop(journal);
                let found = open(&storage, pass_bytes)
                    .map(|journal| observed(&journal))
                    .unwrap_or_else(|error| panic!("{}: {error}", case()));
                assert!(found == before || found == after, "{}: neither old nor new: {found}", case());
                assert!(called.is_err() || found == after, "{}: it returned, and is gone", case());
                // The disk has room again, or works: so does the journal.
                if times == Times::Always {
                    let journal = open(&storage, pass_bytes).unwrap();
                    journal.append(&some_operations(), Durability::Durable).unwrap();
                    journal.compact().unwrap();
                }
            }
        }
    }
    println!("{} calls, {faults} faults", CALLS.len());
}

#[test]
fn a_handle_that_failed_goes_on_after_resume() {
    let storage = prepared(false).snapshot();
    let journal = open(&storage, PASS_BYTES_DEFAULT).unwrap();
    let before = observed(&journal);
    storage.fail_at(storage.calls(), Fault::ALL[0], Times::Always);
    let refused = journal.append(&some_operations(), Durability::Durable).unwrap_err();
    assert!(matches!(refused, Error::Io { .. } | Error::Failed), "{refused}");
    storage.heal();
    assert!(matches!(journal.compact(), Err(Error::Failed)));
    journal.resume().unwrap();
    assert_eq!(observed(&journal), before);
    journal.append(&some_operations(), Durability::Durable).unwrap();
    assert!(matches!(journal.base(&key(1)).unwrap(), Base::Live(_)));
}

/// Every call that only reads.
const READS: [Call; 10] = [
    ("plan", |journal| journal.plan().map(drop)),
    ("open bunch", |journal| journal.open_bunch().map(drop)),
    ("parked", |journal| journal.parked().map(drop)),
    ("held", |journal| journal.held().map(drop)),
    ("superseded", |journal| journal.superseded().map(drop)),
    ("reads", |journal| journal.reads().map(drop)),
    ("status", |journal| journal.status().map(drop)),
    ("base", |journal| journal.base(&key(1)).map(drop)),
    ("log", |journal| journal.log(Seq(1), 1_000).map(drop)),
    ("wait", |journal| {
        let last = Seq(journal.status()?.appended);
        journal.wait_settled(last, Duration::ZERO).map(drop)
    }),
];

#[test]
fn a_read_that_failed_once_leaves_a_journal_that_goes_on_after_resume() {
    // Nothing is kept in memory, so that every read reaches the disk.
    let open = |storage: &FaultyStorage| options().cache_bytes(0).on(storage.clone()).unwrap();
    let mut faults = 0_u64;
    let reads = READS.map(|call| (call, true));
    for ((name, call), only_reads) in reads.into_iter().chain(CALLS.map(|call| (call, false))) {
        let prepared = start(name);
        let calls = {
            let storage = prepared.snapshot();
            let journal = open(&storage);
            let begun = storage.calls();
            call(&journal).unwrap();
            storage.calls() - begun
        };
        assert!(calls > 0, "{name} reads");
        let step = if only_reads { 1 } else { 7 };
        let places = (0..calls).step_by(step);
        for (number, fault) in places.flat_map(|number| [(number, Fault::Read), (number, Fault::ShortRead)]) {
            let storage = prepared.snapshot();
            let journal = open(&storage);
            storage.fail_at(storage.calls() + number, fault, Times::Once);
            let called = call(&journal);
            if storage.faults_fired() == 0 {
                assert!(!only_reads, "{name} reads alone");
                continue;
            }
            faults += 1;
            let case = || format!("{name}, call {number} of {calls}, {fault:?}");
            let append = || journal.append(&some_operations(), Durability::Durable);
            if let Err(error) = called {
                let is_told = matches!(error, Error::Io { .. } | Error::Corrupted { .. } | Error::Failed);
                assert!(is_told, "{}: {error}", case());
            }
            if let Err(error) = append() {
                assert!(matches!(error, Error::Failed), "{}: {error}", case());
            }
            journal.resume().unwrap_or_else(|error| panic!("{}: {error}", case()));
            let last = append().unwrap_or_else(|error| panic!("{}: {error}", case())).last;
            let crashed = storage.after_crash(Unsynced::Lost);
            assert_eq!(open(&crashed).status().unwrap().appended, last.0, "{}", case());
        }
    }
    println!("{} calls, {faults} faults", READS.len() + CALLS.len());
}

#[test]
fn resuming_what_is_open_and_sound_opens_nothing_anew() {
    let storage = prepared(true).snapshot();
    let journal = options().on(storage.clone()).unwrap();
    journal.append(&some_operations(), Durability::Deferred).unwrap();
    let (calls, events) = (storage.calls(), storage.events());
    journal.resume().unwrap();
    assert_eq!((storage.calls(), storage.events()), (calls, events));
}
