//! Law 6 by exhaustion: every log of up to five operations out of ten on three entities that refer to each other and
//! share a unique key, on several baselines, with several schemas. Where the plan's order breaks a reference or a
//! key at some prefix, a search over all orders says whether another one would have done.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use crate::every_log::every_log;
use foldlog::Uuid;
use foldlog::algebra::{
    Base, BaseMap, Collection, CollectionName, EntityKey, OnDelete, Operation, Patch, Reference, Schema,
    State,
};
use foldlog::testing::prefixes;

const LENGTH: usize = 5;
const FOLDER: &str = "00000000-0000-4000-8000-0000000000f1";

fn name(name: &str) -> CollectionName {
    CollectionName::new(name).unwrap()
}

fn key(collection: &str, id: u128) -> EntityKey {
    EntityKey::new(name(collection), Uuid::from_u128(0x4000_8000_0000_0000_0000 + id)).unwrap()
}

/// A folder and two notes.
fn keys() -> [EntityKey; 3] {
    [key("folders", 0xf1), key("notes", 0xa1), key("notes", 0xa2)]
}

fn state(json: &str) -> State {
    State::from_json(&json.replace("FOLDER", FOLDER)).unwrap()
}

fn operations() -> [Operation; 10] {
    let [folder, a, b] = keys();
    let patch = |key: &EntityKey, json: &str| Operation::patch(key.clone(), Patch::from_json(json).unwrap());
    [
        Operation::create(folder.clone(), State::empty()),
        Operation::delete(folder),
        Operation::create(a.clone(), state(r#"{"folder":"FOLDER","name":"x"}"#)),
        patch(&a, r#"{"folder":null}"#),
        patch(&a, r#"{"name":"y"}"#),
        Operation::delete(a),
        Operation::create(b.clone(), state(r#"{"name":"x"}"#)),
        Operation::update(b.clone(), state(r#"{"folder":"FOLDER","name":"y"}"#)),
        patch(&b, r#"{"name":"x"}"#),
        Operation::delete(b),
    ]
}

/// All absent, some or all of them live; and nothing known.
fn baselines() -> Vec<BaseMap> {
    let [folder, a, b] = keys();
    let complete = |live: &[(&EntityKey, &str)]| {
        let mut bases = BaseMap::new(true);
        for (key, json) in live {
            bases.insert((*key).clone(), Base::live(state(json), None));
        }
        bases
    };
    vec![
        BaseMap::new(false),
        complete(&[]),
        complete(&[(&folder, "{}")]),
        complete(&[(&a, r#"{"name":"x"}"#), (&b, r#"{"name":"y"}"#)]),
        complete(&[(&folder, "{}"), (&b, r#"{"folder":"FOLDER","name":"x"}"#)]),
        complete(&[
            (&folder, "{}"),
            (&a, r#"{"folder":"FOLDER","name":"y"}"#),
            (&b, r#"{"folder":"FOLDER","name":"x"}"#),
        ]),
    ]
}

fn schemas() -> Vec<Schema> {
    let of = |on_delete, is_required, is_unique| {
        let mut reference = Reference::to(name("folders")).on_delete(on_delete);
        reference.is_required = is_required;
        let notes = Collection::new().reference("folder", reference);
        let notes = if is_unique { notes.unique(["name"]) } else { notes };
        Schema::new([(name("folders"), Collection::new()), (name("notes"), notes)]).unwrap()
    };
    vec![
        of(OnDelete::Cascade, false, true),
        of(OnDelete::Restrict, true, true),
        of(OnDelete::SetNull, false, false),
    ]
}

#[test]
fn every_short_log_is_planned_in_a_valid_order_where_there_is_one() {
    let (operations, baselines, schemas) = (operations(), baselines(), schemas());
    let logs = every_log(&operations, LENGTH, |log| {
        for bases in &baselines {
            for schema in &schemas {
                prefixes::of_log(log, bases, schema)
                    .unwrap_or_else(|violation| panic!("{violation}\nlog: {log:?}\nbases: {bases:?}"));
            }
        }
    });
    println!("{logs} logs on {} baselines with {} schemas", baselines.len(), schemas.len());
    assert_eq!(logs, (1..=5).map(|length| 10_u64.pow(length)).sum::<u64>());
}
