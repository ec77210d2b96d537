//! What a program does with its replica beside plain commits: typed values, undo, export and import.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::cell::Cell;

use foldlog::Uuid;
use foldlog::algebra::{Change, EntityKey, Limits, Operation, Outcome, Outcomes, Patch, Resulting, Update};
use foldlog::authority::MemoryStore;
use foldlog::journal::{self, Durability};
use foldlog::replica::{Error, Replica, Status};
use foldlog::sync::Want;
use serde::{Deserialize, Serialize};

use super::replica::{commit, key, note, options, patch, run, state};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Note {
    title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    done: Option<bool>,
}

fn titled(title: &str) -> Note {
    Note { title: title.to_owned(), done: None }
}

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn folder() -> Operation {
    Operation::create(key("folders", 1), state("{}"))
}

fn pending(replica: &Replica) -> Vec<Operation> {
    replica.journal().plan().unwrap().operations.into_iter().map(|planned| planned.operation).collect()
}

fn whole(replica: &Replica) {
    assert_eq!(replica.check().unwrap(), Vec::<String>::new());
}

/// A replica and its authority, which agree on a folder with notes 1 and 2 in it.
fn agreed() -> (MemoryStore, Replica) {
    let mut store = MemoryStore::new(super::replica::schema(super::replica::SCHEMA), Default::default());
    let replica = Replica::in_memory(options()).unwrap();
    commit(&replica, &[folder(), note(1, "one"), note(2, "two")]);
    run(&mut store, &replica, Want::SYNC);
    assert_eq!(pending(&replica), []);
    (store, replica)
}

#[test]
fn what_is_changed_in_a_value_is_all_that_is_stored() {
    let (_, replica) = agreed();
    let notes = replica.collection::<Note>("notes").unwrap();
    // A field that the type does not know.
    let of_others = format!(r#"{{"in":"{}","title":"one"}}"#, id(1));
    assert_eq!(replica.get(&key("notes", 1)).unwrap().unwrap().as_json(), of_others);
    assert!(notes.change(id(1), |note| note.done = Some(true)).unwrap());
    notes.update(id(2), &titled("deux")).unwrap();
    // Nothing changed, nothing to store.
    notes.update(id(2), &titled("deux")).unwrap();
    let all = pending(&replica);
    let patches: Vec<Patch> = all
        .iter()
        .map(|operation| match &operation.change {
            Change::Update(Update::Patch(patch)) => patch.clone(),
            other => panic!("{other:?} is no patch"),
        })
        .collect();
    let expected = [r#"{"done":true}"#, r#"{"title":"deux"}"#].map(|json| Patch::from_json(json).unwrap());
    assert_eq!(patches, expected);
    let json = replica.get(&key("notes", 2)).unwrap().unwrap();
    assert_eq!(json.raw("in"), Some(format!("\"{}\"", id(1)).as_str()), "a field of others was lost");
    assert_eq!(notes.find(&["title"], &["deux".into()]).unwrap(), [(id(2), titled("deux"))]);
    assert_eq!(notes.children(&key("folders", 1), "in").unwrap().len(), 2);
    assert!(!notes.change(id(9), |_| unreachable!()).unwrap(), "there is no such note");
    notes.update(id(9), &titled("nine")).unwrap();
    assert_eq!(notes.get(id(9)).unwrap(), Some(titled("nine")));
    notes.patch(id(9), &serde_json::json!({ "done": false })).unwrap();
    assert_eq!(notes.list().unwrap().len(), 3);
    notes.delete(id(9)).unwrap();
    assert_eq!(notes.get(id(9)).unwrap(), None);
    whole(&replica);
}

#[test]
fn what_is_looked_for_by_what_is_no_key_or_has_no_value_is_not_found() {
    let (_, replica) = agreed();
    let notes = replica.collection::<Note>("notes").unwrap();
    let found = |unique: &[&str], values: &[serde_json::Value]| {
        let keys = replica.find(key("notes", 1).collection(), unique, values).unwrap();
        let typed = notes.find(unique, values).unwrap();
        assert_eq!(
            typed.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
            keys.iter().map(EntityKey::id).collect::<Vec<_>>()
        );
        keys.len()
    };
    assert_eq!(found(&["title"], &["one".into()]), 1);
    assert_eq!(found(&["title"], &["three".into()]), 0);
    assert_eq!(found(&["in"], &[id(1).to_string().into()]), 0);
    assert_eq!(found(&["title"], &["one".into(), "two".into()]), 0);
    assert_eq!(found(&["title"], &[serde_json::Value::Null]), 0);
}

#[test]
fn a_collection_of_another_durability_is_the_same_one() {
    let (_, replica) = agreed();
    let notes = replica.collection::<Note>("notes").unwrap();
    let quick = notes.clone().with_durability(Durability::Deferred);
    quick.create(id(3), &titled("three")).unwrap();
    assert_eq!(notes.get(id(3)).unwrap(), Some(titled("three")));
    assert_eq!(notes.clone().list().unwrap(), quick.list().unwrap());
    assert!(format!("{quick:?}").contains("Deferred"));
}

#[test]
fn a_delete_that_gave_way_is_made_again() {
    let (mut store, replica) = agreed();
    let other = Replica::in_memory(options()).unwrap();
    run(&mut store, &other, Want::SYNC);
    commit(&other, &[patch(key("notes", 1), r#"{"title":"three"}"#)]);
    run(&mut store, &other, Want::SYNC);
    commit(&replica, &[Operation::delete(key("notes", 1))]);
    run(&mut store, &replica, Want::SYNC);
    assert!(replica.get(&key("notes", 1)).unwrap().is_some(), "what was changed stays");
    let lost = replica.losers().unwrap();
    assert!(lost.len() == 1 && lost[0].was_delete && lost[0].fields.is_empty(), "{lost:?}");
    replica.restore(lost[0].number).unwrap();
    assert_eq!(replica.get(&key("notes", 1)).unwrap(), None);
    run(&mut store, &replica, Want::SYNC);
    run(&mut store, &other, Want::SYNC);
    assert_eq!(other.get(&key("notes", 1)).unwrap(), None);
    assert_eq!(replica.losers().unwrap(), lost, "the record stays");
}

#[test]
fn a_change_that_meets_another_one_is_made_once_more_on_top_of_it() {
    let (_, replica) = agreed();
    let notes = replica.collection::<Note>("notes").unwrap();
    let calls = Cell::new(0);
    let changed = notes.change(id(1), |note| {
        calls.set(calls.get() + 1);
        if calls.get() == 1 {
            commit(&replica, &[patch(key("notes", 1), r#"{"title":"eins"}"#)]);
        }
        note.title.push('!');
    });
    assert!(changed.unwrap());
    assert_eq!((calls.get(), notes.get(id(1)).unwrap().unwrap().title), (2, "eins!".to_owned()));
}

#[test]
fn a_state_of_another_type_is_named_with_its_entity() {
    let (_, replica) = agreed();
    let folders = replica.collection::<Note>("folders").unwrap();
    let error = folders.get(id(1)).unwrap_err();
    assert!(matches!(&error, Error::OtherType { key, .. } if *key == super::replica::key("folders", 1)));
    assert!(error.to_string().contains("missing field `title`"), "{error}");
    let not_an_object = replica.collection::<u32>("numbers").unwrap();
    assert!(matches!(not_an_object.create(id(1), &7), Err(Error::Invalid { .. })));
    assert_eq!(pending(&replica), []);
}

#[test]
fn all_entities_at_once_are_what_each_is_by_itself() {
    let (mut store, replica) = agreed();
    let one_by_one = |replica: &Replica| -> Vec<_> {
        let keys = replica.known().unwrap().into_iter();
        keys.map(|key| (key.clone(), replica.entity(&key).unwrap())).collect()
    };
    // Changed, changed back, deleted, made; what is on its way is changed back too.
    commit(&replica, &[patch(key("notes", 1), r#"{"a":1}"#), note(3, "three")]);
    replica.seal(Limits::default()).unwrap();
    commit(&replica, &[patch(key("notes", 1), r#"{"a":null}"#), Operation::delete(key("notes", 2))]);
    commit(&replica, &[note(4, "four")]);
    commit(&replica, &[patch(key("folders", 1), r#"{"b":1}"#)]);
    commit(&replica, &[patch(key("folders", 1), r#"{"b":null}"#)]);
    assert_eq!(replica.entities(None).unwrap(), one_by_one(&replica));
    let notes = replica.entities(Some(key("notes", 1).collection())).unwrap();
    let status = |n| notes.iter().find(|(found, _)| *found == key("notes", n)).unwrap().1.status;
    assert_eq!(
        [1, 2, 3, 4].map(status),
        [1, 1, 2, 2].map(|n| if n == 1 { Status::Changed } else { Status::Created })
    );
    assert_eq!(notes.len(), 4);
    run(&mut store, &replica, Want::SYNC);
    assert_eq!(replica.entities(None).unwrap(), one_by_one(&replica));
    // Where nothing was ever read, the authority may know what is only changed here.
    let alone = Replica::in_memory(options()).unwrap();
    commit(&alone, &[Operation::create(key("folders", 1), state("{}")), patch(key("folders", 2), "{}")]);
    let listed = alone.entities(None).unwrap();
    assert_eq!(listed, one_by_one(&alone));
    assert_eq!(
        listed.iter().map(|(_, entity)| entity.status).collect::<Vec<_>>(),
        [Status::Created, Status::Changed]
    );
}

#[test]
fn what_is_undone_is_as_the_authority_holds_it_and_a_group_is_undone_whole() {
    let (_, replica) = agreed();
    let before =
        replica.known().unwrap().into_iter().map(|key| replica.entity(&key).unwrap()).collect::<Vec<_>>();
    commit(&replica, &[patch(key("notes", 1), r#"{"title":"eins"}"#)]);
    commit(&replica, &[Operation::delete(key("folders", 1))]);
    commit(&replica, &[Operation::create(key("folders", 2), state("{}"))]);
    let unsent = [key("folders", 1), key("folders", 2), key("notes", 1), key("notes", 2)];
    assert_eq!(replica.unsent().unwrap(), unsent);
    let undone = replica.undo(&[key("notes", 2)]).unwrap();
    assert_eq!(undone, [key("folders", 1), key("notes", 1), key("notes", 2)]);
    assert_eq!(pending(&replica).len(), 1, "the other folder was not meant");
    assert_eq!(replica.undo(&[key("folders", 2), key("notes", 2)]).unwrap(), [key("folders", 2)]);
    let after =
        replica.known().unwrap().into_iter().map(|key| replica.entity(&key).unwrap()).collect::<Vec<_>>();
    assert_eq!((after, pending(&replica)), (before, Vec::new()));
    whole(&replica);
}

#[test]
fn what_is_on_its_way_is_not_undone() {
    let (_, replica) = agreed();
    let one = key("notes", 1);
    commit(&replica, &[patch(one.clone(), r#"{"title":"eins"}"#)]);
    let bunch = replica.seal(Limits::default()).unwrap().unwrap();
    assert_eq!(replica.undo(std::slice::from_ref(&one)).unwrap(), []);
    commit(&replica, &[patch(one.clone(), r#"{"title":"uno"}"#)]);
    assert_eq!(replica.undo(std::slice::from_ref(&one)).unwrap(), std::slice::from_ref(&one));
    assert_eq!(replica.get(&one).unwrap().unwrap().raw("title"), Some(r#""eins""#));
    let accepted = Outcome::Accepted {
        epoch: Some(foldlog::algebra::Epoch(9)),
        result: Resulting::AsSent,
        overwrote: None,
    };
    replica.settle(&Outcomes { bunch: bunch.number, outcomes: vec![accepted] }).unwrap();
    assert_eq!(replica.get(&one).unwrap().unwrap().raw("title"), Some(r#""eins""#));
    assert_eq!(replica.entity(&one).unwrap().status, Status::Synchronised);
    whole(&replica);
}

#[test]
fn an_undo_that_would_leave_something_broken_is_refused_and_changes_nothing() {
    let (_, replica) = agreed();
    let (one, three) = (key("notes", 1), key("notes", 3));
    commit(&replica, &[patch(one.clone(), r#"{"title":"eins"}"#)]);
    commit(&replica, &[note(3, "one")]);
    commit(&replica, &[Operation::create(key("folders", 4), state("{}"))]);
    commit(&replica, &[patch(three.clone(), &format!(r#"{{"in":"{}"}}"#, id(4)))]);
    let before = pending(&replica);
    let taken = replica.undo(std::slice::from_ref(&one)).unwrap_err();
    assert!(matches!(&taken, Error::Taken { holder, .. } if *holder == three), "{taken}");
    let needed = replica.undo(&[key("folders", 4)]).unwrap_err();
    assert!(matches!(&needed, Error::Needed { by, .. } if *by == three), "{needed}");
    assert_eq!(pending(&replica), before);
    whole(&replica);
    assert_eq!(replica.undo(&[one, key("folders", 4), three]).unwrap().len(), 3);
    assert_eq!(pending(&replica), []);
    whole(&replica);
}

#[test]
fn what_was_refused_can_be_undone() {
    let (_, replica) = agreed();
    let one = key("notes", 1);
    commit(&replica, &[patch(one.clone(), r#"{"title":"eins"}"#)]);
    let bunch = replica.seal(Limits::default()).unwrap().unwrap();
    let refused = Outcome::Refused { reason: "no".to_owned() };
    replica.settle(&Outcomes { bunch: bunch.number, outcomes: vec![refused] }).unwrap();
    assert_eq!(replica.undo(std::slice::from_ref(&one)).unwrap(), std::slice::from_ref(&one));
    assert_eq!(replica.journal().parked().unwrap(), []);
    assert_eq!(replica.get(&one).unwrap().unwrap().raw("title"), Some(r#""one""#));
    whole(&replica);
}

fn exported(replica: &Replica) -> String {
    let mut out = Vec::new();
    let lines = replica.export(&mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text.lines().count() as u64, lines);
    text
}

#[test]
fn what_was_exported_is_imported_whole_and_once() {
    let (_, replica) = agreed();
    commit(
        &replica,
        &[patch(key("notes", 1), r#"{"title":"häns\n\"1\""}"#), Operation::delete(key("notes", 2))],
    );
    let text = exported(&replica);
    let other = Replica::in_memory(options()).unwrap();
    commit(&other, &[note(1, "old"), folder()]);
    commit(&other, &[patch(key("notes", 1), r#"{"more":1}"#)]);
    other.import(text.as_bytes(), Durability::Durable).unwrap();
    assert_eq!(exported(&other), text, "a field that is not in the line is gone");
    let before = other.journal().status().unwrap();
    other.import(text.as_bytes(), Durability::Durable).unwrap();
    assert_eq!(other.journal().status().unwrap().appended, before.appended, "there is nothing more to do");
    // Of two lines the last one counts, and null deletes.
    let lines = format!(
        "{{\"collection\":\"folders\",\"id\":\"{0}\",\"state\":{{\"n\":1}}}}\n{{\"collection\":\"folders\",\"id\":\"{0}\",\"state\":null}}\n",
        id(7)
    );
    other.import(lines.as_bytes(), Durability::Durable).unwrap();
    assert_eq!(other.get(&key("folders", 7)).unwrap(), None);
    // What was never seen here may be there all the same, as long as nothing was fetched.
    let unseen = format!(r#"{{"collection":"folders","id":"{}","state":null}}"#, id(8));
    for (replica, expected) in [(&other, true), (&replica, false)] {
        replica.import(unseen.as_bytes(), Durability::Durable).unwrap();
        assert_eq!(
            pending(replica).contains(&Operation::delete(key("folders", 8)).at(1_000_000).unwrap()),
            expected
        );
        whole(replica);
    }
}

#[test]
fn a_bad_line_is_named_and_nothing_is_imported() {
    let (_, replica) = agreed();
    let good = format!(r#"{{"collection":"folders","id":"{}","state":{{}}}}"#, id(8));
    for (bad, line) in [("{\"collection\":\"folders\"}", 3), ("nonsense", 3), ("{}", 3)] {
        let input = format!("{good}\n\n{bad}\n");
        let error = replica.import(input.as_bytes(), Durability::Durable).unwrap_err();
        assert!(error.to_string().starts_with(&format!("line {line}: ")), "{error}");
    }
    // A line that no transaction could say either: two notes with one title.
    let taken = format!(r#"{{"collection":"notes","id":"{}","state":{{"title":"two"}}}}"#, id(8));
    let error = replica.import(format!("{good}\n{taken}").as_bytes(), Durability::Durable).unwrap_err();
    assert!(matches!(error, Error::Taken { .. }), "{error}");
    assert_eq!(replica.get(&key("folders", 8)).unwrap(), None);
    assert_eq!(pending(&replica), []);
}

#[test]
fn what_a_replica_would_not_see_its_journal_refuses() {
    let folder_of_file = tempfile::tempdir().unwrap();
    let path = folder_of_file.path().join("replica.redb");
    let replica = Replica::create(&path, options()).unwrap();
    commit(&replica, &[folder()]);
    let refused = |journal: &journal::Journal| {
        let key: EntityKey = key("folders", 1);
        let outcomes = Outcomes { bunch: foldlog::algebra::BunchNumber(1), outcomes: Vec::new() };
        let all = [
            journal.append(&[folder()], Durability::Durable).map(drop),
            journal.append_streamed([Ok::<_, journal::Error>(folder())], Durability::Durable).map(drop),
            journal.baseline(&[], journal::Listing::Complete),
            journal.seal(Limits::default()).map(drop),
            journal.settle(&outcomes).map(drop),
            journal.integrate(&[]).map(drop),
            journal.discard(&key).map(drop),
            journal.cancel(foldlog::algebra::Seq(1)).map(drop),
        ];
        for (place, done) in all.into_iter().enumerate() {
            assert!(matches!(done, Err(journal::Error::OfReplica)), "{place}: {done:?}");
        }
    };
    refused(replica.journal());
    drop(replica);
    // Opened as a journal, it still is a replica's.
    let journal = journal::Journal::open(&path).unwrap();
    refused(&journal);
    assert_eq!(journal.status().unwrap().appended, 1);
}
