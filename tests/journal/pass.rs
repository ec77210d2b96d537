//! A pass while others go on, and one that does not come to its end.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use foldlog::Uuid;
use foldlog::algebra::{EntityKey, Limits, Operation, Outcome, Outcomes, Patch, Plan, State};
use foldlog::journal::{Durability, Error, Journal, Options, verify};
use foldlog::testing::{Fault, FaultyStorage, Times, Unsynced};
use foldlog::workload::Workload;

/// So little that what is folded goes into many commits.
const PASS_BYTES: usize = 20_000;

fn options() -> Options {
    Options::new().pass_bytes(PASS_BYTES).clock(|| 1_000_000)
}

fn key(number: u128) -> EntityKey {
    EntityKey::new("tasks".parse().unwrap(), Uuid::from_u128(number)).unwrap()
}

fn create(number: u128) -> Operation {
    Operation::create(key(number), State::from_json(r#"{"a":1}"#).unwrap())
}

fn patch(number: u128, value: u64) -> Operation {
    Operation::patch(key(number), Patch::from_json(&format!(r#"{{"b":{value}}}"#)).unwrap())
}

fn some_log(operations: u64) -> Vec<Operation> {
    let workload = Workload { operations, entities: operations / 4, ..Workload::default() };
    workload.iter().unwrap().collect()
}

/// A journal with a few entities that were refused, and a long log.
fn with_parked_and_log(journal: &Journal, parked: u128, log: &[Operation]) {
    let refused: Vec<Operation> = (1..=parked).map(create).collect();
    journal.append(&refused, Durability::Durable).unwrap();
    let bunch = journal.seal(Limits::default()).unwrap().unwrap();
    let outcomes = bunch.operations.iter().map(|_| Outcome::Refused { reason: "no".to_owned() }).collect();
    journal.settle(&Outcomes { bunch: bunch.number, outcomes }).unwrap();
    journal.append(log, Durability::Durable).unwrap();
}

/// A journal with something to fold, where it is stored, and its plan.
fn before_a_pass() -> (FaultyStorage, Journal, Plan) {
    let storage = FaultyStorage::new();
    let journal = options().on(storage.clone()).unwrap();
    with_parked_and_log(&journal, 3, &some_log(12_000));
    let plan = journal.plan().unwrap();
    (storage, journal, plan)
}

#[test]
fn who_appends_during_a_pass_comes_between_its_commits_and_may_bring_back_what_was_parked() {
    const PARKED: u64 = 40;
    let log = some_log(20_000);
    let journal = options().in_memory().unwrap();
    with_parked_and_log(&journal, PARKED.into(), &log);
    let has_ended = AtomicBool::new(false);
    let meanwhile = thread::scope(|scope| {
        let pass = scope.spawn(|| {
            journal.compact().unwrap();
            has_ended.store(true, Ordering::Release);
        });
        let mut meanwhile = 0_u64;
        while !has_ended.load(Ordering::Acquire) {
            let edit = patch(u128::from(meanwhile % PARKED + 1), meanwhile);
            journal.append(&[edit], Durability::Durable).unwrap();
            meanwhile += 1;
        }
        pass.join().unwrap();
        meanwhile
    });
    assert!(meanwhile > 10, "a pass shut out those who append: {meanwhile} came in meanwhile");

    // As if they had come one after the other.
    let quiet = Options::new().clock(|| 1_000_000).in_memory().unwrap();
    with_parked_and_log(&quiet, PARKED.into(), &log);
    quiet.compact().unwrap();
    for number in 0..meanwhile {
        quiet.append(&[patch(u128::from(number % PARKED + 1), number)], Durability::Durable).unwrap();
    }
    assert_eq!(journal.plan().unwrap(), quiet.plan().unwrap());
    journal.compact().unwrap();
    assert_eq!(journal.plan().unwrap(), quiet.plan().unwrap());
    assert_eq!(journal.parked().unwrap(), quiet.parked().unwrap());
}

#[test]
fn a_pass_that_was_cut_short_leaves_a_sound_file_and_its_room_is_used_again() {
    let (storage, journal, before) = before_a_pass();
    storage.record();
    journal.compact().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.journal");
    let (mut cut, mut lengths) = (0, Vec::new());
    for crash in storage.crashes().step_by(3) {
        let image = crash.image(Unsynced::Kept);
        std::fs::write(&path, image.bytes()).unwrap();
        let report = verify(&path).unwrap();
        assert_eq!(report.findings, []);
        let again = options().open(&path).unwrap();
        assert_eq!(again.plan().unwrap(), before);
        again.compact().unwrap();
        assert_eq!(again.plan().unwrap(), before);
        again.reclaim().unwrap();
        drop(again);
        assert_eq!(verify(&path).unwrap().findings, []);
        lengths.push(std::fs::metadata(&path).unwrap().len());
        cut += 1;
    }
    assert!(cut > 20, "{cut} crashes");
    let shortest = lengths.iter().min().unwrap();
    assert!(lengths.iter().all(|length| *length <= shortest * 2), "nothing of a pass stays: {lengths:?}");
}

#[test]
fn a_pass_that_the_disk_has_no_room_for_changes_nothing() {
    let (storage, journal, before) = before_a_pass();
    storage.fail_at(storage.calls() + 20, Fault::NoSpace, Times::Always);
    let refused = journal.compact().unwrap_err();
    assert!(matches!(refused, Error::Io { .. }), "{refused}");
    storage.heal();
    journal.resume().unwrap();
    assert_eq!(journal.plan().unwrap(), before);
    journal.compact().unwrap();
    assert_eq!(journal.plan().unwrap(), before);
}

#[test]
fn compacting_again_writes_nothing_where_little_came_on_top_of_levels() {
    let storage = FaultyStorage::new();
    let journal = options().pass_bytes(2_000).on(storage.clone()).unwrap();
    for (turn, operations) in some_log(200).chunks(3).enumerate() {
        journal.append(operations.get(..1 + turn % 3).unwrap_or(operations), Durability::Durable).unwrap();
        journal.compact().unwrap();
        let writes = storage.events();
        journal.compact().unwrap();
        assert_eq!(storage.events(), writes, "turn {turn}");
    }
}
