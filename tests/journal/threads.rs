//! One journal in many hands: threads that append, seal, settle and wait at once, and a journal that is handed
//! over between programs.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::collections::BTreeMap;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use foldlog::Uuid;
use foldlog::algebra::{
    Bunch, EntityKey, Epoch, Limits, Operation, Outcome, Outcomes, Patch, Resulting, Seq, State,
};
use foldlog::journal::{Appended, Durability, Error, Journal, Options, Storage};
use foldlog::testing::FaultyStorage;
use foldlog::testing::oracle::World;

fn key(number: u64) -> EntityKey {
    EntityKey::new("notes".parse().unwrap(), Uuid::from_u128(1 + u128::from(number))).unwrap()
}

fn accepted(bunch: &Bunch, epoch: &AtomicU64) -> Outcomes {
    let outcome = |_| Outcome::Accepted {
        epoch: Some(Epoch(epoch.fetch_add(1, Ordering::Relaxed))),
        result: Resulting::AsSent,
        overwrote: None,
    };
    Outcomes { bunch: bunch.number, outcomes: bunch.operations.iter().map(outcome).collect() }
}

/// What thread `writer` does in its `turn`th call, on few entities, so that the threads meet. What is deleted is
/// never patched: a bare journal forgets what it annihilated, so that would depend on where a bunch ended.
fn operations(writer: u64, turn: u64) -> Vec<Operation> {
    let random = (writer * 0x9e37_79b9 + turn * 0x85eb_ca6b) ^ (turn << 7);
    (0..1 + random % 3)
        .map(|nth| {
            let number = (random / 3 + nth) % 6;
            let value = writer * 1_000_000 + turn * 10 + nth;
            let state = || State::from_json(&format!(r#"{{"a":{value}}}"#)).unwrap();
            match ((random >> 3) % 4, number < 3) {
                (0, _) => Operation::create(key(number), state()),
                (1, true) => Operation::delete(key(number)),
                (_, true) => Operation::update(key(number), state()),
                (_, false) => {
                    Operation::patch(key(number), Patch::from_json(&format!(r#"{{"b":{value}}}"#)).unwrap())
                }
            }
        })
        .collect()
}

#[test]
fn threads_that_append_seal_settle_and_wait_lose_nothing_and_agree_on_one_order() {
    const WRITERS: u64 = 8;
    const TURNS: u64 = 120;
    let storage = FaultyStorage::new();
    let journal = Options::new().on(storage.clone()).unwrap();
    let appended: Mutex<BTreeMap<u64, Vec<Operation>>> = Mutex::new(BTreeMap::new());
    let (epoch, is_over) = (AtomicU64::new(1), AtomicBool::new(false));
    let authority = Mutex::new(World::default());
    let deliver = |limits: Limits| {
        let Some(bunch) = journal.seal(limits).unwrap() else { return false };
        assert_eq!(journal.open_bunch().unwrap().unwrap().id, bunch.id);
        authority.lock().unwrap().replay(bunch.operations.iter().map(|planned| &planned.operation));
        assert!(!journal.settle(&accepted(&bunch, &epoch)).unwrap().was_settled);
        true
    };
    thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (journal, appended) = (journal.clone(), &appended);
                scope.spawn(move || {
                    for turn in 0..TURNS {
                        let operations = operations(writer, turn);
                        let durability =
                            [Durability::Durable, Durability::Deferred][usize::from(turn % 4 == 3)];
                        let Appended { first, last } = journal.append(&operations, durability).unwrap();
                        assert_eq!(last.0 - first.0 + 1, operations.len() as u64);
                        let twice = appended.lock().unwrap().insert(first.0, operations);
                        assert!(twice.is_none(), "{first:?} was given out twice");
                        if turn % 16 == writer {
                            assert!(journal.wait_settled(last, Duration::from_secs(60)).unwrap(), "{last:?}");
                        }
                    }
                })
            })
            .collect();
        let is_over = &is_over;
        scope.spawn(|| {
            while !is_over.load(Ordering::Acquire) {
                if !deliver(Limits { operations: 3, ..Limits::default() }) {
                    thread::yield_now();
                }
            }
        });
        for reader in 0..2 {
            let journal = journal.clone();
            scope.spawn(move || {
                while !is_over.load(Ordering::Acquire) {
                    let status = journal.status().unwrap();
                    assert!(status.appended <= WRITERS * TURNS * 3);
                    if reader == 0 {
                        journal.compact().unwrap();
                    } else {
                        journal.plan().unwrap();
                    }
                }
            });
        }
        for writer in writers {
            writer.join().unwrap();
        }
        is_over.store(true, Ordering::Release);
    });
    while deliver(Limits::default()) {}
    // Every sequence number was given out once, in one row.
    let appended = appended.into_inner().unwrap();
    let mut next = 1;
    for (first, operations) in &appended {
        assert_eq!(*first, next);
        next += operations.len() as u64;
    }
    let status = journal.status().unwrap();
    assert_eq!((status.appended, status.settled, status.pending.operations), (next - 1, next - 1, 0));
    // And what the authority holds is what they did, one after the other.
    let mut seen = World::default();
    seen.replay(appended.values().flatten());
    let authority = authority.into_inner().unwrap();
    let differs = seen.live_difference(&authority);
    assert!(differs.is_none(), "left what was done, right what arrived: {differs:?}");
}

/// Memory whose syncs take a while and are counted, as on a disk.
#[derive(Debug)]
struct SlowDisk {
    disk: FaultyStorage,
    syncs: Arc<AtomicU64>,
}

impl Storage for SlowDisk {
    fn len(&self) -> io::Result<u64> {
        self.disk.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.disk.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.set_len(len)
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.disk.write(offset, data)
    }
    fn sync(&self) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        thread::sleep(Duration::from_millis(2));
        self.disk.sync()
    }
}

#[test]
fn appenders_that_come_while_another_one_commits_share_the_next_commit() {
    const THREADS: u64 = 16;
    const TURNS: u64 = 12;
    let (disk, syncs) = (FaultyStorage::new(), Arc::new(AtomicU64::new(0)));
    let journal = Options::new().on(SlowDisk { disk: disk.clone(), syncs: Arc::clone(&syncs) }).unwrap();
    let before = syncs.load(Ordering::Relaxed);
    let start = Barrier::new(THREADS.try_into().unwrap());
    thread::scope(|scope| {
        for writer in 0..THREADS {
            let (journal, start) = (journal.clone(), &start);
            scope.spawn(move || {
                start.wait();
                for turn in 0..TURNS {
                    let operation = Operation::create(key(writer * TURNS + turn), State::empty());
                    journal.append(&[operation], Durability::Durable).unwrap();
                }
            });
        }
    });
    let commits = syncs.load(Ordering::Relaxed) - before;
    println!("{} appends by {THREADS} threads: {commits} syncs", THREADS * TURNS);
    assert!(commits * 3 < THREADS * TURNS, "{commits} syncs");
    // And each was durable when it returned.
    let crashed = disk.after_crash(foldlog::testing::Unsynced::Lost);
    let status = Options::new().on(crashed).unwrap().status().unwrap();
    assert_eq!(status.appended, THREADS * TURNS);
}

#[test]
fn one_callers_bad_operation_refuses_nobody_elses() {
    let (disk, syncs) = (FaultyStorage::new(), Arc::new(AtomicU64::new(0)));
    let journal = Options::new().on(SlowDisk { disk, syncs }).unwrap();
    let mut bad = Operation::create(key(0), State::empty());
    bad.groups = vec![foldlog::algebra::Group::new("b").unwrap(), foldlog::algebra::Group::new("a").unwrap()];
    thread::scope(|scope| {
        for writer in 0..8 {
            let (journal, bad) = (journal.clone(), bad.clone());
            scope.spawn(move || {
                for turn in 0..8 {
                    let good = Operation::create(key(writer * 8 + turn), State::empty());
                    if writer % 2 == 0 {
                        journal.append(&[good], Durability::Durable).unwrap();
                    } else {
                        assert!(journal.append(&[good, bad.clone()], Durability::Durable).is_err());
                    }
                }
            });
        }
    });
    assert_eq!(journal.status().unwrap().appended, 32);
}

#[test]
fn a_suspended_journal_is_free_for_another_handle_and_goes_on_behind_what_that_did() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.journal");
    let append = |journal: &Journal, number| {
        let operation = Operation::create(key(number), State::empty());
        journal.append(&[operation], Durability::Durable).map(|appended| appended.first)
    };
    let first = Journal::create(&path).unwrap();
    let clone = first.clone();
    assert_eq!(append(&first, 1).unwrap(), Seq(1));
    assert!(matches!(Journal::open(&path), Err(Error::Locked { .. })));
    clone.suspend().unwrap();
    clone.suspend().unwrap();
    assert!(matches!(append(&first, 2), Err(Error::Suspended)));
    assert!(matches!(first.status(), Err(Error::Suspended)));
    let second = Journal::open(&path).unwrap();
    assert_eq!(append(&second, 2).unwrap(), Seq(2));
    assert!(matches!(first.resume(), Err(Error::Locked { .. })));
    assert!(matches!(append(&clone, 3), Err(Error::Suspended)));
    let bunch = second.seal(Limits::default()).unwrap().unwrap();
    drop(second);
    first.resume().unwrap();
    clone.resume().unwrap();
    assert_eq!(append(&clone, 3).unwrap(), Seq(3));
    assert_eq!(first.open_bunch().unwrap().unwrap(), bunch);
    assert_eq!(first.status().unwrap().appended, 3);
}

#[test]
fn what_was_deferred_is_durable_once_the_journal_is_suspended() {
    let storage = FaultyStorage::new();
    let journal = Options::new().on(storage.clone()).unwrap();
    journal.append(&[Operation::create(key(1), State::empty())], Durability::Deferred).unwrap();
    journal.suspend().unwrap();
    let crashed = storage.after_crash(foldlog::testing::Unsynced::Lost);
    assert_eq!(Options::new().on(crashed).unwrap().status().unwrap().appended, 1);
}

#[test]
fn who_waits_for_an_outcome_is_told_that_the_journal_is_suspended() {
    let journal = Journal::in_memory().unwrap();
    let seq = journal.append(&[Operation::create(key(1), State::empty())], Durability::Durable).unwrap().last;
    thread::scope(|scope| {
        let begun = Instant::now();
        let waiter = scope.spawn(|| journal.wait_settled(seq, Duration::from_secs(60)));
        thread::sleep(Duration::from_millis(50));
        journal.suspend().unwrap();
        assert!(matches!(waiter.join().unwrap(), Err(Error::Suspended)));
        assert!(begun.elapsed() < Duration::from_secs(30));
    });
}

#[test]
fn resuming_takes_no_other_journal_for_its_own_and_makes_none() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.journal");
    let journal = Journal::create(&path).unwrap();
    journal.suspend().unwrap();
    let aside = directory.path().join("aside");
    std::fs::rename(&path, &aside).unwrap();
    assert!(matches!(journal.resume(), Err(Error::Missing { .. })));
    assert!(!path.exists());
    drop(Journal::create(&path).unwrap());
    let refused = journal.resume().unwrap_err();
    assert!(
        matches!(&refused, Error::NotAJournal { why, .. } if why.contains("another journal")),
        "{refused}"
    );
    assert!(matches!(journal.status(), Err(Error::Suspended)));
    std::fs::rename(&aside, &path).unwrap();
    journal.resume().unwrap();
    assert_eq!(journal.status().unwrap().appended, 0);
}
