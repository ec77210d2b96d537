//! What is gone at the authority without a trace: its tombstone was forgotten.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use foldlog::algebra::{Epoch, Limits, Operation, Patch, Schema};
use foldlog::journal::{Durability, Options};
use foldlog::replica::{Replica, Resolution};
use foldlog::sync::{self, Engine, Want};

use crate::authority::{Authority, create, engine, key, state};

const FOR_EVER: Epoch = Epoch(u64::MAX >> 1);

/// An authority, who has a title there, and who wants the same one.
fn wanting_one_title() -> (Authority, Engine, Engine) {
    let schema = Schema::from_json(r#"{"collections":{"notes":{"unique":[["title"]]}}}"#).unwrap();
    let mut authority = Authority::of(schema.clone());
    let client = || {
        let replica = Replica::in_memory(Options::new().schema(schema.clone())).unwrap();
        Engine::new(replica, sync::Options::default())
    };
    let (mut other, engine) = (client(), client());
    let titled = |n| Operation::create(key(n), state(r#"{"title":"a"}"#));
    other.replica().commit(&[titled(1)], Durability::Durable).unwrap();
    authority.sync(&mut other);
    engine.replica().commit(&[titled(2)], Durability::Durable).unwrap();
    (authority, other, engine)
}

/// Who has the title is deleted, and nothing is left that tells it.
fn forgotten(authority: &mut Authority, other: &mut Engine) {
    other.replica().commit(&[Operation::delete(key(1))], Durability::Durable).unwrap();
    authority.sync(other);
    authority.store.prune(key(1).collection(), FOR_EVER);
}

#[test]
fn a_clash_with_what_is_gone_without_a_trace_ends() {
    let (mut authority, mut other, mut engine) = wanting_one_title();
    authority.sync(&mut engine);
    assert_eq!(engine.replica().conflicts().unwrap().len(), 1);

    forgotten(&mut authority, &mut other);
    authority.sync(&mut engine);
    authority.sync(&mut engine);
    assert_eq!(engine.replica().conflicts().unwrap(), []);
    let there: Vec<_> = authority.store.entities().map(|(key, _)| key.clone()).collect();
    assert_eq!(there, [key(2)]);
}

#[test]
fn a_clash_that_was_decided_with_what_is_gone_without_a_trace_ends() {
    let (mut authority, mut other, mut engine) = wanting_one_title();
    authority.answer_all(&mut engine, Want::UP);
    engine.replica().resolve(&key(2), &Resolution::Local).unwrap();
    assert!(engine.replica().undecided().unwrap().contains(&key(2)));

    forgotten(&mut authority, &mut other);
    authority.sync(&mut engine);
    authority.sync(&mut engine);
    assert_eq!(engine.replica().undecided().unwrap().len(), 0);
    let there: Vec<_> = authority.store.entities().map(|(key, _)| key.clone()).collect();
    assert_eq!(there, [key(2)]);
}

#[test]
fn a_patch_of_what_was_deleted_and_forgotten_meanwhile_brings_back_all_of_it() {
    let mut authority = Authority::new();
    let (mut other, mut engine) = (engine(), engine());
    engine.replica().commit(&[create(1)], Durability::Durable).unwrap();
    authority.sync(&mut engine);
    authority.sync(&mut other);
    let patch = Operation::patch(key(1), Patch::from_json(r#"{"m":9}"#).unwrap());
    engine.replica().commit(&[patch], Durability::Durable).unwrap();
    engine.replica().seal(Limits::default()).unwrap().unwrap();
    forgotten(&mut authority, &mut other);
    authority.sync(&mut engine);
    authority.sync(&mut engine);
    let both = state(r#"{"m":9,"n":1}"#);
    assert_eq!(engine.replica().get(&key(1)).unwrap(), Some(both.clone()));
    authority.sync(&mut other);
    assert_eq!(other.replica().get(&key(1)).unwrap(), Some(both));
}
