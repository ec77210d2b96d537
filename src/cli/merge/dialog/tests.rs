use std::path::{Path, PathBuf};

use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::algebra::{CollectionName, Operation, Schema, State};
use crate::journal::{Durability, Options};
use crate::replica::Replica;

const SCHEMA: &str = r#"{"collections":{
    "units":{"unique":[["code"]]},
    "plots":{"references":{"unit":{"to":"units","on_delete":"cascade"}}},
    "strict":{"references":{"unit":{"to":"units","on_delete":"restrict"}}}}}"#;

fn key(collection: &str, n: u128) -> EntityKey {
    EntityKey::new(CollectionName::new(collection).unwrap(), Uuid::from_u128(n)).unwrap()
}

fn create(collection: &str, n: u128, state: serde_json::Value) -> Operation {
    Operation::create(key(collection, n), State::from_json(&state.to_string()).unwrap())
}

fn made(folder: &Path, name: &str, operations: &[Operation]) -> PathBuf {
    let path = folder.join(name);
    let options = Options::new().schema(Schema::from_json(SCHEMA).unwrap());
    Replica::create(&path, options).unwrap().commit(operations, Durability::Durable).unwrap();
    path
}

/// Two clashes: units 2 against 1, and 4 against 3; a plot below each of the first two.
fn two_clash(folder: &Path, below_second: &str) -> Files {
    let of = |unit: u128| json!({"unit": Uuid::from_u128(unit).to_string()});
    let dest = [
        create("units", 1, json!({"code": "oak", "by": "dest"})),
        create("units", 3, json!({"code": "elm", "by": "dest"})),
        create("plots", 5, of(1)),
        create(below_second, 7, of(3)),
    ];
    let source = [
        create("units", 2, json!({"code": "oak", "by": "crew"})),
        create("units", 4, json!({"code": "elm", "by": "crew"})),
        create("plots", 6, of(2)),
    ];
    let (dest, source) = (made(folder, "dest", &dest), made(folder, "crew", &source));
    Files::open(&dest, &[source]).unwrap()
}

/// Answers the dialog; what was decided, and what it said.
fn talked(files: &Files, answers: &str) -> (Option<Resolutions>, String) {
    talked_from(files, Resolutions::default(), answers)
}

fn talked_from(files: &Files, decided: Resolutions, answers: &str) -> (Option<Resolutions>, String) {
    let mut out = Vec::new();
    let decided =
        Dialog { files, input: answers.as_bytes(), out: &mut out, width: 100 }.talk(decided).unwrap();
    (decided, String::from_utf8(out).unwrap())
}

fn ways(decided: Resolutions) -> Vec<(u128, With, Children)> {
    let way = |one: Resolution| match one.how {
        How::Keep(Keep { with, children }) => (one.pair.source.id().as_u128(), with, children),
        How::Modify { .. } => panic!("nobody asked for that"),
    };
    decided.listed.into_iter().map(way).collect()
}

#[test]
fn each_clash_is_shown_with_its_children_and_decided() {
    let folder = tempfile::tempdir().unwrap();
    let files = two_clash(folder.path(), "plots");
    let (decided, said) = talked(&files, "?\nboth\ns\nw\n Newest\nb\nyes\n");
    assert_eq!(
        ways(decided.unwrap()),
        [(2, With::Source, Children::Winner), (4, With::Newest, Children::Both)]
    );
    for shown in [
        "2 clashes are to decide",
        "1 clash is to decide",
        "= \"oak\"",
        "* \"crew\"",
        &format!("below dest: {}", key("plots", 5)),
        &format!("below source: {}", key("plots", 6)),
        "\"both\" is none of the answers",
        "all is decided: ",
    ] {
        assert!(said.contains(shown), "{shown}: {said}");
    }
}

#[test]
fn nothing_is_merged_before_somebody_says_so_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let files = two_clash(folder.path(), "plots");
    for answers in ["", "q\n", "d\n", "d\nb\nd\nb\n", "d\nb\nd\nb\nno\n", "d\nb\nq\n", "k\nk\nq\n"] {
        assert_eq!(talked(&files, answers).0, None, "{answers:?}");
    }
}

#[test]
fn what_was_skipped_is_asked_about_again() {
    let folder = tempfile::tempdir().unwrap();
    let files = two_clash(folder.path(), "plots");
    let (decided, said) = talked(&files, "k\nd\nb\nd\nb\ny\n");
    assert_eq!(ways(decided.unwrap()), [(4, With::Dest, Children::Both), (2, With::Dest, Children::Both)]);
    assert!(said.contains("1 clash was skipped"), "{said}");
}

#[test]
fn one_of_two_may_get_another_key_and_both_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let files = two_clash(folder.path(), "plots");
    let answers = [
        "m",
        "neither",
        "s",
        "{\"code\":",
        "{}",
        r#"{"code":"elm"}"#,
        "d",
        "b",
        "M",
        "Source",
        r#"{"code":"Oak 2"}"#,
        "y",
    ];
    let (decided, said) = talked(&files, &(answers.join("\n") + "\n"));
    let to = Patch::from_json(r#"{"code":"Oak 2"}"#).unwrap();
    let listed = decided.unwrap().listed;
    assert_eq!(listed.last().unwrap().how, How::Modify { side: Side::Source, to });
    assert_eq!(listed.len(), 2);
    // What is no object, what changes nothing, and a key that somebody has.
    for shown in ["that cannot be used: ", "that changes nothing", "that does not go: "] {
        assert!(said.contains(shown), "{shown}: {said}");
    }
}

/// Units 2 and 1 clash, and a default decides; what that lets go is held by what refers to it, which is seen only once
/// units 3 is decided, which both files have.
#[test]
fn what_a_default_cannot_carry_out_is_asked_about() {
    let folder = tempfile::tempdir().unwrap();
    let unit = |n: u128, code: &str| create("units", n, json!({"code": code}));
    let both = made(folder.path(), "dest", &[unit(3, "elm")]);
    let source = folder.path().join("crew");
    std::fs::copy(&both, &source).unwrap();
    let options = || Options::new().schema(Schema::from_json(SCHEMA).unwrap());
    let strict = create("strict", 7, json!({"unit": Uuid::from_u128(2).to_string()}));
    let crew = Replica::open(&source, options()).unwrap();
    crew.commit(&[unit(2, "oak"), strict, unit(4, "ash")], Durability::Durable).unwrap();
    let renamed = Operation::patch(key("units", 3), Patch::from_json(r#"{"code":"ash"}"#).unwrap());
    let desk = Replica::open(&both, options()).unwrap();
    desk.commit(&[unit(1, "oak"), renamed], Durability::Durable).unwrap();
    drop((crew, desk));
    let files = Files::open(&both, &[source]).unwrap();
    let default = Some(Keep { with: With::Dest, children: Children::Winner });
    let (decided, said) = talked_from(&files, Resolutions { listed: Vec::new(), default }, "d\nd\nb\ny\n");
    assert!(decided.is_some() && said.contains("that does not go: "), "{said}");
}

#[test]
fn a_choice_that_cannot_be_carried_out_is_explained_and_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let files = two_clash(folder.path(), "strict");
    let (decided, said) = talked(&files, "d\nb\ns\nw\ns\nb\ny\n");
    assert_eq!(ways(decided.unwrap()), [(2, With::Dest, Children::Both), (4, With::Source, Children::Both)]);
    assert!(said.contains("that does not go: ") && said.contains("cannot go while"), "{said}");
}
