//! Bunches that look as if they took long.

use uuid::Uuid;

use super::ends::tests::planned;
use crate::algebra::{
    Answer, CollectionName, EntityKey, Generation, Group, Millis, Operation, Outcome, Patch, Planned, Schema,
    State,
};
use crate::authority::{MemoryStore, Rules, answer};

fn key(n: usize) -> EntityKey {
    EntityKey::new(CollectionName::new("things").unwrap(), Uuid::from_u128(n as u128 + 1)).unwrap()
}

fn delivered(
    store: &mut MemoryStore,
    schema: &Schema,
    number: u64,
    operations: impl IntoIterator<Item = Operation>,
) -> Vec<Outcome> {
    let is_refused = |planned: &Planned| {
        planned.operation.key.id().as_u128() == 1
            && planned.operation.change.fields_json().contains("refused")
    };
    let refuses = |planned: &Planned| is_refused(planned).then(|| "no".to_owned());
    let rules = Rules { schema, now: Millis(1), refuses: &refuses };
    match answer(store, &rules, &planned(number, operations)) {
        Ok(Answer::Delivered(outcomes)) => outcomes.outcomes,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_long_chain_waits_link_by_link_for_its_first_one() {
    const LINKS: usize = 20_000;
    let schema = r#"{"collections":{"things":{"references":{"in":{"to":"things","on_delete":"cascade"}}}}}"#;
    let schema = Schema::from_json(schema).unwrap();
    let made = |n: usize| {
        let json = match n {
            0 => r#"{"refused":true}"#.to_owned(),
            _ => format!(r#"{{"in":"{}"}}"#, key(n - 1).id()),
        };
        Operation::create(key(n), State::from_json(&json).unwrap())
    };
    let forwards: Vec<usize> = (0..LINKS).collect();
    let backwards: Vec<usize> = (0..LINKS).rev().collect();
    for order in [forwards, backwards] {
        let mut store = MemoryStore::new(schema.clone(), Generation::default());
        let outcomes = delivered(&mut store, &schema, 1, order.iter().map(|n| made(*n)));
        for (n, outcome) in order.into_iter().zip(outcomes) {
            match n {
                0 => assert!(matches!(outcome, Outcome::Refused { .. })),
                _ => assert_eq!(outcome, Outcome::Waits { on: key(n - 1) }),
            }
        }
    }
}

#[test]
fn a_bunch_that_falls_one_by_another_ends() {
    const THINGS: usize = 2_000;
    let schema = Schema::from_json(r#"{"collections":{"things":{"unique":[["at"]]}}}"#).unwrap();
    let at = |place: usize| format!(r#"{{"at":{place}}}"#);
    let mut store = MemoryStore::new(schema.clone(), Generation::default());
    let made = (0..=THINGS).map(|n| Operation::create(key(n), State::from_json(&at(n)).unwrap()));
    assert_eq!(delivered(&mut store, &schema, 1, made).len(), THINGS + 1);
    // Everything moves on by one place, and the last would have to move to where somebody else is.
    let moves = (0..THINGS).map(|n| Operation::patch(key(n), Patch::from_json(&at(n + 1)).unwrap()));
    let other = Operation::create(key(THINGS + 1), State::empty());
    let outcomes = delivered(&mut store, &schema, 2, moves.chain([other]));
    let is_out = |outcome: &Outcome| matches!(outcome, Outcome::Clash { .. } | Outcome::Waits { .. });
    assert!(outcomes.iter().all(is_out));
    assert!(matches!(outcomes.get(THINGS - 1), Some(Outcome::Clash { .. })));
    assert_eq!(outcomes.last(), Some(&Outcome::Waits { on: key(THINGS - 1) }));
    let few = (THINGS - 5..THINGS).map(|n| Operation::patch(key(n), Patch::from_json(&at(n + 1)).unwrap()));
    let other = Operation::create(key(THINGS + 1), State::empty());
    let outcomes = delivered(&mut store, &schema, 3, few.chain([other]));
    assert!(outcomes.split_last().is_some_and(|(_, few)| few.iter().all(is_out)));
    assert!(matches!(outcomes.last(), Some(Outcome::Accepted { .. })));
}

#[test]
fn many_operations_on_one_entity_are_taken_one_by_one() {
    const OPERATIONS: usize = 100_000;
    let schema = Schema::default();
    let mut store = MemoryStore::new(schema.clone(), Generation::default());
    let patches = (0..OPERATIONS).map(|n| {
        let json = format!(r#"{{"a":{n}}}"#);
        Operation::patch(key(1), Patch::from_json(&json).unwrap())
    });
    let outcomes = delivered(&mut store, &schema, 1, patches);
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Accepted { .. })));
    assert_eq!(outcomes.len(), OPERATIONS);
}

#[test]
fn many_fields_are_stamped_at_once() {
    let schema = Schema::default();
    let mut store = MemoryStore::new(schema.clone(), Generation::default());
    for (number, names) in (1..).zip(["m", "z", "a"]) {
        let fields: Vec<String> = (0..60_000).map(|n| format!(r#""{names}{n:06}":1"#)).collect();
        let patch = Patch::from_json(&format!("{{{}}}", fields.join(","))).unwrap();
        let outcomes = delivered(&mut store, &schema, number, [Operation::patch(key(1), patch)]);
        assert!(matches!(outcomes.as_slice(), [Outcome::Accepted { .. }]));
    }
}

#[test]
fn names_of_removed_fields_do_not_pile_up_for_ever() {
    let schema = Schema::default();
    let mut store = MemoryStore::new(schema.clone(), Generation::default());
    let refused = (1..=20).find(|number| {
        let fields: Vec<String> = (0..30_000).map(|n| format!(r#""{number:0>200}_{n}":1"#)).collect();
        let state = State::from_json(&format!("{{{}}}", fields.join(","))).unwrap();
        let outcomes = delivered(&mut store, &schema, *number, [Operation::create(key(1), state)]);
        matches!(outcomes.as_slice(), [Outcome::Refused { reason }] if reason.contains("48 MiB"))
    });
    assert!(refused.is_some());
    let outcomes = delivered(&mut store, &schema, 21, [Operation::delete(key(1))]);
    assert!(matches!(outcomes.as_slice(), [Outcome::Accepted { .. }]));
}

#[test]
fn a_long_chain_is_deleted_as_one_unit() {
    const LINKS: usize = 10_000;
    let schema = r#"{"collections":{"things":{"references":{"in":{"to":"things","on_delete":"cascade"}}}}}"#;
    let schema = Schema::from_json(schema).unwrap();
    let made = (0..LINKS).map(|n| {
        let json = if n == 0 { "{}".to_owned() } else { format!(r#"{{"in":"{}"}}"#, key(n - 1).id()) };
        Operation::create(key(n), State::from_json(&json).unwrap())
    });
    let made: Vec<Operation> = made.collect();
    let group = Group::new("all of it").unwrap();
    let delete = |n: usize| Operation { groups: vec![group.clone()], ..Operation::delete(key(n)) };
    let outwards: Vec<Operation> = (0..LINKS).rev().map(delete).collect();
    let inwards: Vec<Operation> = (0..LINKS).map(delete).collect();
    for deletes in [outwards, inwards] {
        let mut store = MemoryStore::new(schema.clone(), Generation::default());
        delivered(&mut store, &schema, 1, made.clone());
        let outcomes = delivered(&mut store, &schema, 2, deletes);
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Accepted { .. })));
    }
}
