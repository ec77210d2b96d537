//! What is larger than any one operation may be: it came of parts that were each within the limit, so it goes all the
//! way that smaller things go.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use foldlog::algebra::{
    Base, Bunch, Change, Epoch, FIELDS_BYTES_MAX, Knowledge, Limits, Millis, Operation, Outcome, Outcomes,
    Patch, Resulting, Row, Stamp, Stamps, State, Update,
};
use foldlog::journal::{Cause, Durability, Journal, Listing, verify};

use crate::calls::{key, patch, state};

/// More than half of what one operation may have.
const BYTES: usize = FIELDS_BYTES_MAX / 8 * 5;

fn field(name: &str) -> String {
    format!(r#"{{"{name}":"{}"}}"#, name.repeat(BYTES))
}

fn both() -> State {
    state(&field("a")).with(&patch(&field("b")))
}

fn append(journal: &Journal, change: Patch) {
    journal.append(&[Operation::patch(key(1), change)], Durability::Durable).unwrap();
}

fn sealed(journal: &Journal) -> Bunch {
    let bunch = journal.seal(Limits::default()).unwrap().unwrap();
    assert_eq!(journal.open_bunch().unwrap().unwrap(), bunch);
    bunch
}

fn settle(journal: &Journal, bunch: &Bunch, outcome: Outcome) {
    let outcomes = vec![outcome; bunch.operations.len()];
    journal.settle(&Outcomes { bunch: bunch.number, outcomes }).unwrap();
}

fn accepted(epoch: u64) -> Outcome {
    Outcome::Accepted { epoch: Some(Epoch(epoch)), result: Resulting::AsSent, overwrote: None }
}

fn change(bunch: &Bunch) -> &Change {
    &bunch.operations.first().unwrap().operation.change
}

/// Closes it, has every byte of it looked at, and opens it again.
fn reopened(journal: Journal, path: &std::path::Path) -> Journal {
    drop(journal);
    assert_eq!(verify(path).unwrap().findings, []);
    Journal::open(path).unwrap()
}

#[test]
fn patches_whose_fold_is_larger_than_one_may_be_are_sealed_parked_and_settled() {
    for is_compacted in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j.redb");
        let mut journal = Journal::create(&path).unwrap();
        append(&journal, patch(&field("a")));
        append(&journal, patch(&field("b")));
        if is_compacted {
            journal.compact().unwrap();
            journal = reopened(journal, &path);
        }
        let bunch = sealed(&journal);
        let composed = patch(&field("a")).then(&patch(&field("b")));
        assert_eq!(*change(&bunch), Change::Update(Update::Patch(composed)));
        if is_compacted {
            settle(&journal, &bunch, Outcome::Refused { reason: "too large".to_owned() });
            journal = reopened(journal, &path);
            assert_eq!(journal.parked().unwrap().len(), 1);
            journal.retry(&key(1)).unwrap();
        }
        let bunch = sealed(&journal);
        settle(
            &journal,
            &bunch,
            Outcome::Superseded {
                epoch: Epoch(4),
                state: Some(both()),
                stamps: Stamps::default(),
                writer: None,
            },
        );
        let journal = reopened(journal, &path);
        assert_eq!(journal.superseded().unwrap()[0].state, Some(both()));
        assert_eq!(journal.status().unwrap().set_aside, 0);
    }
}

#[test]
fn a_base_that_a_patch_made_larger_than_one_may_be_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("j.redb");
    let journal = Journal::create(&path).unwrap();
    let row = Row { key: key(1), state: Some(state(&field("a"))), epoch: Some(Epoch(3)) };
    journal.baseline(&[row], Listing::Complete).unwrap();
    append(&journal, patch(&field("b")));
    let bunch = sealed(&journal);
    append(&journal, patch(r#"{"c":1}"#));
    assert_eq!(journal.plan().unwrap().operations.len(), 1);
    settle(&journal, &bunch, accepted(4));
    let journal = reopened(journal, &path);
    assert_eq!(journal.base(&key(1)).unwrap(), Base::live(both(), Some(Epoch(4))));
    assert_eq!(*change(&sealed(&journal)), Change::Update(Update::Patch(patch(r#"{"c":1}"#))));
}

/// Its page is then the only one of its table, and larger than any that one operation could make.
#[test]
fn a_base_that_many_patches_made_much_larger_than_one_may_be_does_not_keep_its_file_from_opening() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("j.redb");
    let mut journal = Journal::create(&path).unwrap();
    let mut whole = State::empty();
    let row = Row { key: key(1), state: Some(whole.clone()), epoch: Some(Epoch(3)) };
    journal.baseline(&[row], Listing::Complete).unwrap();
    for (name, epoch) in ["a", "b", "c", "d", "e", "f", "g"].into_iter().zip(4..) {
        append(&journal, patch(&field(name)));
        let bunch = sealed(&journal);
        settle(&journal, &bunch, accepted(epoch));
        whole = whole.with(&patch(&field(name)));
    }
    assert!(whole.as_json().len() > 64 * 1024 * 1024);
    journal = reopened(journal, &path);
    assert_eq!(journal.base(&key(1)).unwrap(), Base::live(whole.clone(), Some(Epoch(10))));
    // Nor from being turned to its last commit.
    append(&journal, patch(r#"{"z":1}"#));
    let bunch = sealed(&journal);
    drop(journal);
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.get_mut(9).unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    journal = Journal::open(&path).unwrap();
    assert_eq!(journal.open_bunch().unwrap(), Some(bunch));
    assert_eq!(journal.base(&key(1)).unwrap(), Base::live(whole, Some(Epoch(10))));
}

#[test]
fn what_is_revived_larger_than_one_may_be_is_sent_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("j.redb");
    let journal = Journal::create(&path).unwrap();
    let row = Row { key: key(1), state: Some(state(&field("a"))), epoch: Some(Epoch(3)) };
    journal.baseline(&[row], Listing::Complete).unwrap();
    journal.append(&[Operation::delete(key(1))], Durability::Durable).unwrap();
    let bunch = sealed(&journal);
    settle(&journal, &bunch, accepted(4));
    assert!(matches!(
        journal.base(&key(1)).unwrap(),
        Base::Dead(held) if held.state == Knowledge::State(state(&field("a")))
    ));
    append(&journal, patch(&field("b")));
    assert_eq!(*change(&sealed(&journal)), Change::Create(both()));
    let journal = reopened(journal, &path);
    let bunch = sealed(&journal);
    settle(&journal, &bunch, accepted(5));
    assert_eq!(journal.seal(Limits::default()).unwrap(), None);
    let status = journal.status().unwrap();
    assert_eq!((status.set_aside, status.pending.entities), (0, 0));
}

#[test]
fn a_refusal_is_kept_with_the_beginning_of_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("j.redb");
    let journal = Journal::create(&path).unwrap();
    append(&journal, patch(r#"{"a":1}"#));
    let bunch = sealed(&journal);
    settle(&journal, &bunch, Outcome::Refused { reason: "no, è così. ".repeat(4 << 20) });
    let journal = reopened(journal, &path);
    let parked = journal.parked().unwrap();
    let Cause::Refused { reason } = &parked[0].cause else { panic!("{:?}", parked[0].cause) };
    assert!(reason.starts_with("no, è così. no, è") && reason.ends_with('…') && reason.len() < 5_000);
}

#[test]
fn a_create_with_very_many_times_of_fields_is_sealed_and_settled() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("j.redb");
    let journal = Journal::create(&path).unwrap();
    let mut create = Operation::create(key(1), state(r#"{"a":1}"#)).at(2).unwrap();
    let name = "x".repeat(600);
    create.stamps =
        (0..90_000).map(|n| (format!("{n:05}{name}"), Stamp { at: Millis(1), replica: None })).collect();
    journal.append(&[create], Durability::Durable).unwrap();
    let bunch = sealed(&journal);
    let journal = reopened(journal, &path);
    settle(&journal, &bunch, accepted(1));
    assert_eq!(journal.seal(Limits::default()).unwrap(), None);
}
