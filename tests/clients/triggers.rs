//! Triggers, and what is read for them, where the authority is not what they were heard of.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use foldlog::Uuid;
use foldlog::algebra::{
    Action, Answer, Ask, EntityKey, Epoch, Generation, Index, Operation, Patch, ROWS_MAX, Trigger,
};
use foldlog::journal::{Durability, Options};
use foldlog::replica::Replica;
use foldlog::sync::{self, Engine, Next, Want};

use crate::authority::{Authority, NOW, asked, create, engine, key, state};

/// More questions than anything here takes.
const QUESTIONS_MAX: usize = 50;

/// Asks until nothing is asked any more.
fn asked_out(authority: &mut Authority, engine: &mut Engine) {
    for _ in 0..QUESTIONS_MAX {
        let Next::Ask(request) = engine.next(NOW).unwrap() else { return };
        let answer = authority.answer(&request.ask);
        engine.answer(request.number, answer, NOW, 1).unwrap();
    }
    panic!("it asks for ever");
}

/// Hears all triggers that there are above an index, and reads what they hint at.
fn heard(authority: &mut Authority, engine: &mut Engine, above: u64) -> u64 {
    let generation = engine.replica().standing().unwrap().generation.unwrap();
    let ask = Ask::Triggers { above: Index(above), generation: Some(generation), triggers_max: 100 };
    let Answer::Triggers(triggers) = authority.answer(&ask) else { panic!("there are none") };
    engine.hear(generation, &triggers).unwrap()
}

fn patch(json: &str) -> Operation {
    Operation::patch(key(1), Patch::from_json(json).unwrap())
}

#[test]
fn triggers_of_a_former_life_of_the_data_are_forgotten_with_it() {
    let mut authority = Authority::new();
    let (mut other, mut engine) = (engine(), engine());
    other.replica().commit(&[create(1)], Durability::Durable).unwrap();
    authority.sync(&mut other);
    authority.sync(&mut engine);
    let backup = authority.store.clone();
    other.replica().commit(&[patch(r#"{"lost":true}"#)], Durability::Durable).unwrap();
    authority.sync(&mut other);
    assert_eq!(heard(&mut authority, &mut engine, 0), 1);

    authority.store = backup;
    authority.store.restored_as(Generation(Uuid::from_u128(2)));
    engine.online().unwrap();
    asked_out(&mut authority, &mut engine);
    // A new one has the number of the one that was forgotten.
    authority.sync(&mut other);
    other.replica().commit(&[patch(r#"{"kept":true}"#)], Durability::Durable).unwrap();
    authority.sync(&mut other);
    assert_eq!(heard(&mut authority, &mut engine, 1), 1);
    engine.want_only(Want::READS);
    asked_out(&mut authority, &mut engine);
    assert_eq!(engine.replica().get(&key(1)).unwrap(), Some(state(r#"{"kept":true,"n":1}"#)));
}

#[test]
fn what_is_hinted_at_and_not_there_is_not_asked_for_again_and_again() {
    // The next trigger, and one behind a gap, which stays so that the gap is seen.
    for (index, left) in [(2, 0), (3, 1)] {
        let mut authority = Authority::new();
        let mut engine = engine();
        engine.replica().commit(&[create(1)], Durability::Durable).unwrap();
        authority.sync(&mut engine);
        authority.sync(&mut engine);
        let standing = engine.replica().standing().unwrap();
        let (index, action, epoch) = (Index(index), Action::Upsert, Epoch(99));
        let trigger = Trigger { index, key: key(1), action, epoch, sender: None };
        assert_eq!(engine.hear(standing.generation.unwrap(), &[trigger]).unwrap(), 1);
        engine.want_only(Want::READS);
        asked_out(&mut authority, &mut engine);
        assert_eq!(engine.replica().journal().reads().unwrap().plan.reads.len(), left);
        assert_eq!(engine.replica().get(&key(1)).unwrap(), Some(state(r#"{"n":1}"#)));
    }
}

#[test]
fn what_is_too_much_to_read_at_once_comes_by_pages() {
    let mut authority = Authority::new();
    let (mut other, mut engine) = (engine(), engine());
    authority.sync(&mut engine);
    let large = |n| {
        let text = "x".repeat(7 * 1024 * 1024);
        Operation::create(key(n), state(&format!(r#"{{"n":{n},"text":"{text}"}}"#)))
    };
    for n in 1..=3 {
        other.replica().commit(&[large(n)], Durability::Durable).unwrap();
        authority.sync(&mut other);
    }
    assert_eq!(authority.answer(&Ask::Reads { keys: (1..=3).map(key).collect() }), Answer::TooLarge);
    assert!(matches!(authority.answer(&Ask::Reads { keys: vec![key(1)] }), Answer::Rows(_)));
    heard(&mut authority, &mut engine, 0);
    engine.want_only(Want::READS);
    asked_out(&mut authority, &mut engine);
    assert_eq!(engine.replica().list(key(1).collection()).unwrap().len(), 3);
    assert_eq!(engine.replica().journal().reads().unwrap().plan.reads.len(), 0);
}

#[test]
fn no_more_is_asked_for_than_is_told_at_once() {
    let replica = Replica::in_memory(Options::new()).unwrap();
    let mut engine =
        Engine::new(replica, sync::Options { rows_max: 2 * ROWS_MAX, ..sync::Options::default() });
    let (_, ask) = asked(&mut engine);
    assert!(matches!(ask, Ask::Changes { rows_max: ROWS_MAX, .. }), "{ask:?}");
    let keys: Vec<EntityKey> = (1..=ROWS_MAX as u128 + 1).map(key).collect();
    let mut authority = Authority::new();
    assert_eq!(authority.answer(&Ask::Reads { keys: keys.clone() }), Answer::TooLarge);
    assert_eq!(authority.answer(&Ask::Reads { keys: keys[1..].to_vec() }), Answer::Rows(Vec::new()));
}
