//! What the journal refuses, and leaves as it was; and what its smaller calls come to.

use foldlog::algebra::{EntityKey, Kind, Limits, Operation, Outcome, Outcomes};
use foldlog::journal::{APPEND_OPERATIONS_MAX, Durability, Error, Journal};
use uuid::Uuid;

use super::calls::{key, patch, state};

fn create(n: u128) -> Operation {
    Operation::create(key(n), state(r#"{"a":1}"#))
}

fn append(journal: &Journal, operation: Operation) {
    journal.append(&[operation], Durability::Durable).unwrap();
}

/// What will be sent, without its bases.
fn planned(journal: &Journal) -> Vec<(EntityKey, Kind)> {
    let plan = journal.plan().unwrap();
    plan.operations.into_iter().map(|one| (one.operation.key, one.operation.change.kind())).collect()
}

#[test]
fn only_what_is_parked_is_retried_or_edited_and_what_is_pending_or_parked_is_discarded() {
    let journal = Journal::in_memory().unwrap();
    append(&journal, create(1));
    append(&journal, create(2));
    let edit = Operation::patch(key(1), patch(r#"{"b":2}"#));
    let is_refused = |done: Result<(), Error>, n| {
        assert!(matches!(&done, Err(Error::NotParked { key: refused }) if *refused == key(n)), "{done:?}");
    };
    is_refused(journal.retry(&key(1)), 1);
    is_refused(journal.edit_parked(&edit).map(drop), 1);
    assert_eq!(planned(&journal), [(key(1), Kind::Create), (key(2), Kind::Create)]);

    let bunch = journal.seal(Limits::default()).unwrap().unwrap();
    assert!(!journal.discard(&key(1)).unwrap(), "what is on its way stays");
    let outcomes = vec![Outcome::Refused { reason: "no".to_owned() }; 2];
    journal.settle(&Outcomes { bunch: bunch.number, outcomes }).unwrap();
    assert_eq!(journal.parked().unwrap().len(), 2);
    // What is appended mends it; what is given up is gone, parked or pending.
    journal.edit_parked(&edit).unwrap();
    assert_eq!(planned(&journal), [(key(1), Kind::Create)]);
    assert!(journal.discard(&key(1)).unwrap());
    assert!(journal.discard(&key(2)).unwrap());
    assert!(!journal.discard(&key(2)).unwrap());
    assert_eq!((planned(&journal), journal.parked().unwrap()), (vec![], vec![]));
    is_refused(journal.retry(&key(2)), 2);
}

#[test]
fn more_at_once_than_a_transaction_may_hold_is_refused_whole() {
    let journal = Journal::in_memory().unwrap();
    let many = vec![Operation::delete(key(1)); APPEND_OPERATIONS_MAX + 1];
    let refused = journal.append(&many, Durability::Durable);
    let given = many.len() as u64;
    assert!(matches!(refused, Err(Error::TooMany { given: told, .. }) if told == given), "{refused:?}");
    assert_eq!(journal.status().unwrap().appended, 0);
}

#[test]
fn what_another_process_has_open_is_refused_for_now_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let journal = Journal::create(&path).unwrap();
    let error = Journal::open(&path).unwrap_err();
    assert!(matches!(error, Error::Locked { .. }) && error.is_temporary() && !error.is_damage(), "{error}");
    drop(journal);
    let error = Journal::open(folder.path().join("missing")).unwrap_err();
    assert!(!error.is_temporary() && !error.is_damage(), "{error}");
}

#[derive(serde::Serialize)]
struct Note {
    title: &'static str,
}

#[test]
fn a_typed_collection_appends_what_is_done_to_it() {
    let journal = Journal::in_memory().unwrap();
    let notes = journal.collection::<Note>("notes").unwrap().with_durability(Durability::Deferred);
    let [one, two, three] = [1, 2, 3].map(Uuid::from_u128);
    notes.create(one, &Note { title: "one" }).unwrap();
    notes.clone().update(two, &Note { title: "two" }).unwrap();
    notes.patch(two, &serde_json::json!({ "done": true, "title": null })).unwrap();
    assert_eq!(notes.delete(three).unwrap().0, 4);
    let expected = [(key(3), Kind::Delete), (key(1), Kind::Create), (key(2), Kind::State)];
    assert_eq!(planned(&journal), expected);
    for refused in [
        notes.create(Uuid::nil(), &Note { title: "nobody" }).map(drop),
        notes.patch(one, &[1]).map(drop),
        journal.collection::<Note>("").map(drop),
    ] {
        assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
    }
    assert_eq!(journal.status().unwrap().appended, 4);
}
