//! Replicas with a schema, and everything that can be seen of one.

use foldlog::Uuid;
use foldlog::algebra::{CollectionName, EntityKey, Operation, Patch, ReplicaId, Schema, State};
use foldlog::journal::{Durability, Options};
use foldlog::replica::{Error, Replica};
use foldlog::testing::FaultyStorage;

use crate::random::Random;

pub(crate) const NOW: u64 = 1_000_000;
const FOLDERS: u64 = 3;
const NOTES: u64 = 8;

pub(crate) fn schema() -> Schema {
    Schema::from_json(
        r#"{"collections":{
            "folders":{"policy":"manual"},
            "notes":{"unique":[["title"]],"references":{"in":{"to":"folders","on_delete":"cascade"}}}}}"#,
    )
    .unwrap()
}

pub(crate) fn opened(disk: &FaultyStorage, id: u128) -> Replica {
    let options = Options::new().cache_bytes(1 << 18).clock(|| NOW).schema(schema());
    Replica::of(options.replica(ReplicaId(Uuid::from_u128(id))).on(disk.clone()).unwrap()).unwrap()
}

pub(crate) fn key(collection: &str, n: u64) -> EntityKey {
    EntityKey::new(CollectionName::new(collection).unwrap(), Uuid::from_u128(u128::from(n) + 1)).unwrap()
}

/// What a program does: few titles and folders, so that they clash and cascade.
fn operation(random: &mut Random, at: u64) -> Operation {
    let folder = key("folders", random.below(FOLDERS)).id();
    let note = key("notes", random.below(NOTES));
    let (title, number) = (random.below(12), random.below(1_000));
    let operation = match random.below(9) {
        0 => Operation::delete(key("folders", random.below(FOLDERS))),
        1 | 2 => {
            let state = State::from_json(&format!(r#"{{"n":{number}}}"#)).unwrap();
            Operation::create(key("folders", random.below(FOLDERS)), state)
        }
        3 => Operation::delete(note),
        4 | 5 => {
            let state = format!(r#"{{"title":"{title}","in":"{folder}","n":{number}}}"#);
            Operation::create(note, State::from_json(&state).unwrap())
        }
        6 => Operation::patch(note, Patch::from_json(&format!(r#"{{"title":"{title}"}}"#)).unwrap()),
        _ => Operation::patch(note, Patch::from_json(&format!(r#"{{"n":{number}}}"#)).unwrap()),
    };
    operation.at(at).unwrap()
}

/// One transaction of a program; one that the replica refuses has changed nothing.
pub(crate) fn commit(replica: &Replica, random: &mut Random, at: u64, durability: Durability) {
    let all: Vec<Operation> = (0..=random.below(3)).map(|_| operation(random, at)).collect();
    match replica.commit(&all, durability) {
        Ok(_) => {}
        Err(error) => assert!(!matches!(error, Error::Journal { .. }), "{error}"),
    }
}

/// Everything that can be seen of it; and it is what it must be.
pub(crate) fn observed(replica: &Replica) -> String {
    assert_eq!(replica.check().unwrap(), [""; 0]);
    crate::seen::observed(replica)
}
