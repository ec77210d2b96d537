//! Strategies for proptest: values that differ and collide.
//!
//! Entities, fields and values come from small sets, so that operations meet on the same entity, patches
//! on the same field, and states turn out equal. Among the values are those that a careless comparison
//! takes for one another: 1 and 1.0, an object in two spellings, the empty string, an absent field.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use uuid::Uuid;

use super::baseline::Baseline;
use super::schedule::{Answer, Schedule, SealLimits, Step};
use crate::algebra::{
    Action, Base, Change, Collection, CollectionName, EntityKey, Epoch, Existence, Group, Held, Index,
    Knowledge, Millis, OnDelete, Operation, Patch, Reference, ReplicaId, Schema, Stamp, State, Trigger,
    Update,
};

/// How many entities there are, half of them in each of the two collections.
pub const ENTITIES: usize = 6;

pub(super) const FIELDS: [&str; 4] = ["a", "b", "ab", "ä\"\n"];

pub(super) const VALUES: [&str; 13] = [
    "1",
    "1.0",
    "2",
    "\"\"",
    "\"1\"",
    "true",
    "[1,null]",
    r#"{"x":1,"y":[{}]}"#,
    r#"{ "y":[{}], "x":1 }"#,
    "-0.0",
    // The ids of entities 0 to 2: in a schema, references.
    "\"5eed0000-0000-4000-8000-000000000000\"",
    "\"5eed0000-0000-4000-8000-000000000001\"",
    "\"5EED0000-0000-4000-8000-000000000002\"",
];

/// What may be a reference: the collection that has it, its field, and the collection it leads to.
const REFERENCES: [(&str, &str, &str); 4] = [
    ("folders", "a", "folders"),
    ("folders", "b", "notes"),
    ("notes", "a", "folders"),
    ("notes", "b", "notes"),
];

/// What may be a unique key of a collection.
const UNIQUE: [(&str, &[&str]); 3] = [("folders", &["ab"]), ("notes", &["ab"]), ("notes", &["a", "ab"])];

/// The entity with a number, counted round.
#[must_use]
pub fn entity(number: usize) -> EntityKey {
    let name = if number.is_multiple_of(2) { "folders" } else { "notes" };
    let id = 0x5eed_0000_0000_4000_8000_0000_0000_0000 + (number % ENTITIES) as u128;
    let collection = CollectionName::new(name).expect("a plain name");
    EntityKey::new(collection, Uuid::from_u128(id)).expect("not nil")
}

/// A schema for the entities: references of every kind, also in circles, and unique keys.
pub fn schema() -> impl Strategy<Value = Schema> {
    let on_delete = select(vec![OnDelete::Cascade, OnDelete::SetNull, OnDelete::Restrict]);
    let references = vec(option::weighted(0.7, (on_delete, any::<bool>())), REFERENCES.len());
    (references, any::<[bool; UNIQUE.len()]>())
        .prop_map(|(references, unique)| schema_of(&references, &unique))
}

pub(super) fn schema_of(references: &[Option<(OnDelete, bool)>], unique: &[bool]) -> Schema {
    let name = |name: &str| CollectionName::new(name).expect("a plain name");
    let collections = ["folders", "notes"].map(|own| {
        let mut collection = Collection::new();
        for ((from, field, to), chosen) in REFERENCES.iter().zip(references) {
            if let Some((on_delete, is_required)) = chosen.filter(|_| *from == own) {
                let mut reference = Reference::to(name(to)).on_delete(on_delete);
                reference.is_required = is_required && on_delete == OnDelete::Restrict;
                collection = collection.reference(*field, reference);
            }
        }
        for ((from, fields), is_chosen) in UNIQUE.iter().zip(unique) {
            if *from == own && *is_chosen {
                collection = collection.unique(fields.iter().copied());
            }
        }
        (name(own), collection)
    });
    Schema::new(collections).expect("a schema that does not contradict itself")
}

/// One of the entities.
pub fn key() -> impl Strategy<Value = EntityKey> {
    (0..ENTITIES).prop_map(entity)
}

/// The text of a state or patch: for each field nothing, or its value.
pub(super) fn object(fields: &[Option<&str>]) -> String {
    let members: Vec<String> = FIELDS
        .iter()
        .zip(fields)
        .filter_map(|(name, value)| Some(format!("{}:{}", serde_json::Value::from(*name), (*value)?)))
        .collect();
    format!("{{{}}}", members.join(","))
}

/// A state of up to four fields.
pub fn state() -> impl Strategy<Value = State> {
    vec(option::of(select(&VALUES[..])), FIELDS.len())
        .prop_map(|fields| State::from_json(&object(&fields)).expect("an object"))
}

/// A patch of up to four fields; some are removed.
pub fn patch() -> impl Strategy<Value = Patch> {
    let value = prop_oneof![3 => select(&VALUES[..]), 1 => Just("null")];
    vec(option::weighted(0.4, value), FIELDS.len())
        .prop_map(|fields| Patch::from_json(&object(&fields)).expect("an object"))
}

/// A state that, in a schema, refers to two entities.
fn referring() -> impl Strategy<Value = State> {
    let id = |numbers: [usize; 2]| select(numbers.to_vec()).prop_map(|number| entity(number).id());
    (id([0, 2]), id([1, 3])).prop_map(|(folder, note)| {
        State::from_json(&format!(r#"{{"a":"{folder}","b":"{note}"}}"#)).expect("an object")
    })
}

/// A change of any kind.
pub fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        2 => referring().prop_map(Change::Create),
        2 => state().prop_map(Change::Create),
        2 => state().prop_map(|state| Change::Update(Update::State(state))),
        4 => patch().prop_map(|patch| Change::Update(Update::Patch(patch))),
        3 => Just(Change::Delete),
    ]
}

/// An operation on one of these entities: some at a time, which may run backwards; some in a group.
pub fn operation_on(key: impl Strategy<Value = EntityKey>) -> impl Strategy<Value = Operation> {
    let group = option::weighted(0.2, select(&["g", "h"][..]));
    (key, change(), option::of(0..20_u64), group).prop_map(|(key, change, at, group)| {
        let operation = Operation { at: at.map(Millis), ..Operation::new(key, change) };
        match group {
            Some(group) => operation.in_group(Group::new(group).expect("a plain name")),
            None => operation,
        }
    })
}

/// An operation on one of these entities that may itself be a folded or merged one: it states the stamps of some
/// fields, and perhaps of fields that it does not name.
pub fn stating_operation_on(key: impl Strategy<Value = EntityKey>) -> impl Strategy<Value = Operation> {
    let replica = option::of((1..3_u128).prop_map(|id| ReplicaId(Uuid::from_u128(id))));
    let stamp = (0..20_u64, replica).prop_map(|(at, replica)| Stamp { at: Millis(at), replica });
    let stamps = option::weighted(0.3, btree_map(select(&FIELDS[..]), stamp, 0..3));
    (operation_on(key), stamps).prop_map(|(operation, stamps)| {
        let stamps = stamps.into_iter().flatten().map(|(name, stamp)| (name.to_owned(), stamp)).collect();
        Operation { stamps, ..operation }
    })
}

/// An operation on any of the entities.
pub fn operation() -> impl Strategy<Value = Operation> {
    operation_on(key())
}

/// A log of up to so many operations.
pub fn log(operations_max: usize) -> impl Strategy<Value = Vec<Operation>> {
    vec(operation(), 0..=operations_max)
}

/// What an entity may be.
pub fn existence() -> impl Strategy<Value = Existence> {
    prop_oneof![Just(Existence::Absent), state().prop_map(Existence::Live), state().prop_map(Existence::Dead),]
}

/// Something that may be known of what an entity is: nothing, or with the state, its digest, or neither.
#[must_use]
pub fn known(truth: &Existence, how_much: u8, epoch: Option<Epoch>) -> Base {
    let held = |state: &State| {
        let state = match how_much {
            1 => Knowledge::Nothing,
            2 => Knowledge::Digest(state.digest()),
            _ => Knowledge::State(state.clone()),
        };
        Held { epoch, state }
    };
    match truth {
        _ if how_much == 0 => Base::Unknown,
        Existence::Absent => Base::Absent,
        Existence::Live(state) => Base::Live(held(state)),
        Existence::Dead(state) => Base::Dead(held(state)),
    }
}

/// A baseline of every kind of knowledge: unknown, absent, live, dead; with the state, its digest, neither.
pub fn baseline() -> impl Strategy<Value = Baseline> {
    let of_one = (existence(), 0..5_u8, option::of(1..9_u64));
    (any::<bool>(), vec(option::of(of_one), ENTITIES)).prop_map(|(is_complete, entities)| {
        let mut baseline = Baseline::new(is_complete);
        for (number, found) in entities.into_iter().enumerate() {
            if let Some((truth, how_much, epoch)) = found {
                baseline.insert(entity(number), known(&truth, how_much, epoch.map(Epoch)), truth);
            }
        }
        baseline
    })
}

/// A trigger on any of the entities, with an index and an epoch that collide with those of others.
pub fn trigger() -> impl Strategy<Value = Trigger> {
    let sender = option::of((1..3_u128).prop_map(Uuid::from_u128));
    (1..12_u64, key(), any::<bool>(), 1..9_u64, sender).prop_map(|(index, key, is_upsert, epoch, sender)| {
        let action = if is_upsert { Action::Upsert } else { Action::Delete };
        Trigger { index: Index(index), key, action, epoch: Epoch(epoch), sender }
    })
}

/// What an authority may answer to one operation.
pub fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        8 => Just(Answer::Accepted),
        1 => state().prop_map(Answer::AcceptedAs),
        1 => Just(Answer::AcceptedGone),
        1 => state().prop_map(Answer::AcceptedOver),
        2 => option::of(state()).prop_map(Answer::Superseded),
        1 => (0..4_usize).prop_map(Answer::Clash),
        3 => Just(Answer::Refused),
        2 => (0..4_usize).prop_map(Answer::Waits),
        2 => Just(Answer::Retry),
    ]
}

/// One thing that happens to a journal.
pub fn step() -> impl Strategy<Value = Step> {
    let limits = (option::weighted(0.3, 1..4_u32), option::weighted(0.2, 100..400_u64))
        .prop_map(|(operations_max, bytes_max)| SealLimits { operations_max, bytes_max });
    prop_oneof![
        8 => (vec(operation(), 0..6), any::<bool>())
            .prop_map(|(operations, is_durable)| Step::Append { operations, is_durable }),
        1 => Just(Step::Flush),
        1 => (0..ENTITIES, existence()).prop_map(|(entity, truth)| Step::Learn { entity, truth }),
        2 => (0..ENTITIES, existence()).prop_map(|(entity, truth)| Step::Remote { entity, truth }),
        2 => (any::<u8>(), any::<bool>(), any::<bool>()).prop_map(|(lost, loses, twice)| {
            Step::Hear { lost: if loses { lost } else { 0 }, twice }
        }),
        1 => Just(Step::FillGaps),
        2 => (any::<u8>(), any::<bool>())
            .prop_map(|(lost, loses)| Step::Integrate { lost: if loses { lost } else { 0 } }),
        1 => Just(Step::IntegrateAgain),
        2 => Just(Step::Compact),
        1 => Just(Step::Plan),
        4 => limits.prop_map(Step::Seal),
        2 => vec(answer(), 0..4).prop_map(Step::Deliver),
        4 => vec(answer(), 0..4).prop_map(Step::Settle),
        1 => Just(Step::SettleAgain),
        1 => (0..4_usize).prop_map(Step::Retry),
        1 => (0..4_usize, change()).prop_map(|(parked, change)| Step::Edit { parked, change }),
        1 => (0..4_usize).prop_map(Step::Drop),
        1 => (0..8_usize).prop_map(Step::Cancel),
        1 => Just(Step::Reclaim),
        2 => Just(Step::Crash),
        1 => Just(Step::Reopen),
        1 => Just(Step::Suspend),
    ]
}

/// A few steps that belong together, so that what takes several of them comes up often: edits behind an open
/// bunch, news under what is pending, a crash between an answer and its settling.
fn passage() -> impl Strategy<Value = Vec<Step>> {
    let append = |most: usize| {
        (vec(operation_on(few_keys()), 1..most), any::<bool>())
            .prop_map(|(operations, is_durable)| Step::Append { operations, is_durable })
    };
    let seal = || Just(Step::Seal(SealLimits::default()));
    let remote = || ((0..FEW), existence()).prop_map(|(entity, truth)| Step::Remote { entity, truth });
    let hear = || Just(Step::Hear { lost: 0, twice: false });
    let read = || Just(Step::Integrate { lost: 0 });
    let settle = || vec(answer(), 0..4).prop_map(Step::Settle);
    let between = || prop_oneof![3 => append(3).boxed(), 1 => step().boxed()];
    prop_oneof![
        6 => step().prop_map(|step| vec![step]),
        4 => (append(6), seal(), between(), settle()).prop_map(|(a, b, c, d)| vec![a, b, c, d]),
        2 => (append(4), remote(), hear(), read()).prop_map(|(a, b, c, d)| vec![a, b, c, d]),
        1 => (append(4), seal(), remote(), hear(), append(3), settle(), read())
            .prop_map(|(a, b, c, d, e, f, g)| vec![a, b, c, d, e, f, g]),
        1 => (append(4), (0..3_usize).prop_map(Step::Cancel)).prop_map(|(a, b)| vec![a, b]),
        1 => (append(4), Just(Step::Crash)).prop_map(|(a, b)| vec![a, b]),
    ]
}

/// How many entities the passages are about.
const FEW: usize = 4;

fn few_keys() -> impl Strategy<Value = EntityKey> {
    (0..FEW).prop_map(entity)
}

/// A schedule of up to so many steps.
pub fn schedule(steps_max: usize) -> impl Strategy<Value = Schedule> {
    vec(passage(), 0..=steps_max)
        .prop_map(move |passages| passages.into_iter().flatten().take(steps_max).collect())
}
