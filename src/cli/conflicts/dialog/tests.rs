use std::cell::Cell;

use uuid::Uuid;

use super::*;
use crate::algebra::{
    CollectionName, Epoch, Existence, FullRow, Generation, Millis, Operation, Page, Patch, ReplicaId, Schema,
    Stamp, Stamps, Version,
};
use crate::journal::{Durability, Options};

const SCHEMA: &str = r#"{"collections":{"notes":{"policy":"manual","unique":[["title"]]}}}"#;

fn key(n: u128) -> EntityKey {
    EntityKey::new(CollectionName::new("notes").unwrap(), Uuid::from_u128(n)).unwrap()
}

/// The authority's side, a state a note; the same number is the epoch and the time.
fn take(replica: &Replica, now: u64, states: &[(u128, &str)]) {
    let row = |(n, json): &(u128, &str)| {
        let stamp = Stamp { at: Millis(now), replica: Some(ReplicaId(Uuid::from_u128(7))) };
        let version = Version {
            existence: Existence::Live(State::from_json(json).unwrap()),
            stamps: Stamps { created: Some(stamp), ..Stamps::default() },
        };
        FullRow { key: key(*n), version, epoch: Epoch(now), writer: None }
    };
    let page = Page {
        generation: Generation(Uuid::from_u128(1)),
        rows: states.iter().map(row).collect(),
        cursors: [(CollectionName::new("notes").unwrap(), Epoch(now))].into(),
        ..Page::default()
    };
    replica.take_page(&page).unwrap();
}

/// A replica where both sides changed notes 1 to 3, each its title.
fn three_open() -> Replica {
    let options = Options::new().schema(Schema::from_json(SCHEMA).unwrap()).clock(|| 1_000);
    let replica = Replica::in_memory(options).unwrap();
    take(&replica, 1, &[(1, r#"{"title":"1"}"#), (2, r#"{"title":"2"}"#), (3, r#"{"title":"3"}"#)]);
    let mine = |n| Operation::patch(key(n), Patch::from_json(&format!(r#"{{"title":"mine {n}"}}"#)).unwrap());
    replica.commit(&[mine(1), mine(2), mine(3)], Durability::Durable).unwrap();
    let theirs =
        [(1, r#"{"title":"theirs 1"}"#), (2, r#"{"title":"theirs 2"}"#), (3, r#"{"title":"theirs 3"}"#)];
    take(&replica, 2, &theirs);
    assert_eq!(open(&replica), [1, 2, 3]);
    replica
}

fn open(replica: &Replica) -> Vec<u128> {
    replica.conflicts().unwrap().iter().map(|conflict| conflict.key.id().as_u128()).collect()
}

fn title(replica: &Replica, n: u128) -> Option<String> {
    let state = replica.get(&key(n)).unwrap()?;
    Some(state.get("title")?.as_str()?.to_owned())
}

/// Answers the dialog about all that is open; how many it resolved, and what it said.
fn talked(
    replica: &Replica,
    answers: &str,
    editor: impl FnMut(&str) -> Result<String, String>,
) -> (u64, String) {
    let keys: Vec<EntityKey> =
        replica.conflicts().unwrap().into_iter().map(|conflict| conflict.key).collect();
    let mut out = Vec::new();
    let resolved =
        Dialog { replica, input: answers.as_bytes(), out: &mut out, editor, width: 80 }.talk(&keys).unwrap();
    (resolved, String::from_utf8(out).unwrap())
}

fn no_editor(_: &str) -> Result<String, String> {
    panic!("nobody asked for an editor")
}

#[test]
fn each_answer_is_carried_out_before_the_next_question() {
    let replica = three_open();
    let (resolved, said) = talked(&replica, "l\nREMOTE\n d \n", no_editor);
    assert_eq!((resolved, open(&replica)), (3, vec![]));
    assert_eq!(title(&replica, 1).as_deref(), Some("mine 1"));
    assert_eq!(title(&replica, 2).as_deref(), Some("theirs 2"));
    assert_eq!(title(&replica, 3), None);
    for shown in ["1 of 3", "2 of 3", "3 of 3", "\"mine 1\"", "\"theirs 3\"", "local changed title"] {
        assert!(said.contains(shown), "{shown}: {said}");
    }
}

#[test]
fn newest_keeps_what_was_changed_later() {
    let replica = three_open();
    // The other side's was changed at 2 ms, this side's at 1,000.
    let (resolved, _) = talked(&replica, "n\ns\nq\n", no_editor);
    assert_eq!((resolved, open(&replica)), (1, vec![2, 3]));
    assert_eq!(title(&replica, 1).as_deref(), Some("mine 1"));
}

#[test]
fn what_was_decided_before_the_end_of_the_input_stays_and_the_rest_is_open() {
    for answers in ["r\n", "r\nq\nl\nl\n", "r\ns\n", "r\n\n?\nwhat\n", "r\ne", "r\na\n"] {
        let replica = three_open();
        let editor = |_: &str| Ok("not JSON".to_owned());
        assert_eq!(talked(&replica, answers, editor).0, 1, "{answers:?}");
        assert_eq!(open(&replica), [2, 3], "{answers:?}");
        assert_eq!(title(&replica, 1).as_deref(), Some("theirs 1"));
    }
}

#[test]
fn an_answer_that_is_none_is_explained_and_asked_again() {
    let replica = three_open();
    let (resolved, said) = talked(&replica, "\u{1b}[2J\nboth\n?\nl\n", no_editor);
    assert_eq!(resolved, 1);
    assert!(said.contains(r#""both" is none of the answers"#), "{said}");
    assert_eq!(said.matches("remote: the other side's is taken").count(), 3, "{said}");
    assert!(!said.contains('\u{1b}'), "{said:?}");
}

#[test]
fn what_is_saved_in_the_editor_is_what_the_entity_becomes() {
    let replica = three_open();
    let editor = |text: &str| {
        assert_eq!(text, "{\n  \"title\": \"mine 1\"\n}\n");
        Ok(text.replace("mine 1", "of both"))
    };
    assert_eq!(talked(&replica, "e\n", editor).0, 1);
    assert_eq!((open(&replica), title(&replica, 1).as_deref()), (vec![2, 3], Some("of both")));
}

#[test]
fn bad_json_is_explained_and_can_be_edited_again_from_where_it_was() {
    let replica = three_open();
    let calls = Cell::new(0);
    let editor = |text: &str| {
        calls.set(calls.get() + 1);
        Ok(match calls.get() {
            1 => text.replace('}', ""),
            2 => {
                assert_eq!(text, "{\n  \"title\": \"mine 1\"\n\n", "what was written is not lost");
                "[1]".to_owned()
            }
            _ => r#"{"title":"mended"}"#.to_owned(),
        })
    };
    let (resolved, said) = talked(&replica, "e\ny\nperhaps\nyes\n", editor);
    assert_eq!((resolved, calls.get(), title(&replica, 1).as_deref()), (1, 3, Some("mended")));
    assert!(said.contains("that is no state: not valid JSON"), "{said}");
    assert!(said.contains("a state or a patch is a JSON object, but this is an array"), "{said}");
}

#[test]
fn an_empty_file_and_an_editor_that_fails_decide_nothing() {
    let replica = three_open();
    let calls = Cell::new(0);
    let editor = |_: &str| {
        calls.set(calls.get() + 1);
        if calls.get() == 1 { Ok(" \n".to_owned()) } else { Err("vi ended with 1".to_owned()) }
    };
    let (resolved, said) = talked(&replica, "e\ne\nq\n", editor);
    assert_eq!((resolved, open(&replica)), (0, vec![1, 2, 3]));
    assert!(said.contains("the file is empty: nothing is decided"), "{said}");
    assert!(said.contains("nothing is decided: vi ended with 1"), "{said}");
    assert_eq!(title(&replica, 1).as_deref(), Some("mine 1"));
}

#[test]
fn a_decision_that_takes_a_unique_key_is_refused_and_another_one_is_asked_for() {
    let replica = three_open();
    let editor = |_: &str| Ok(r#"{"title":"mine 2"}"#.to_owned());
    let (resolved, said) = talked(&replica, "e\nn\nr\nq\n", editor);
    assert_eq!((resolved, open(&replica)), (1, vec![2, 3]));
    assert!(said.contains("that does not go: "), "{said}");
    assert!(said.contains("cannot have the key (title)"), "{said}");
    assert_eq!(title(&replica, 1).as_deref(), Some("theirs 1"));
}

#[test]
fn all_are_deleted_only_after_a_yes_those_that_were_skipped_too() {
    let replica = three_open();
    assert_eq!(talked(&replica, "s\na\nno\nq\n", no_editor).0, 0);
    assert_eq!(open(&replica), [1, 2, 3]);
    assert_eq!(talked(&replica, "s\na\nyes\n", no_editor).0, 3);
    assert_eq!(open(&replica), []);
    assert_eq!([1, 2, 3].map(|n| title(&replica, n)), [None, None, None]);
}

#[test]
fn a_state_is_edited_with_its_values_as_they_are_stored() {
    let json = r#"{"a\"b":1.0,"big":18446744073709551615,"nested":{"x":[1,2]},"text":"ä\n"}"#;
    let state = State::from_json(json).unwrap();
    assert_eq!(State::from_json(&indented(&state)).unwrap(), state);
    assert_eq!(indented(&State::empty()), "{}\n");
}
