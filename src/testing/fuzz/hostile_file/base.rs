//! Sound files with something in every table: what hostile ones are made of. Made once, the same every time.

use std::sync::OnceLock;

use uuid::Uuid;

use crate::algebra::{
    Action, CollectionName, EntityKey, Epoch, Index, Limits, Millis, Operation, Patch, ReplicaId, Schema,
    State, Trigger,
};
use crate::authority::MemoryStore;
use crate::journal::{self, Durability, Options};
use crate::merge::{Children, Keep, Resolutions, With};
use crate::replica::{self, Replica};
use crate::scenario::Link;
use crate::storage::Storage;
use crate::sync::{self, Engine, Next, Want};
use crate::testing::FaultyStorage;

/// Two files that were edited apart.
pub(super) struct Base {
    pub(super) schema: Schema,
    /// The one that is merged, with something in every table.
    pub(super) source: Vec<u8>,
    /// The one that it is merged into.
    pub(super) dest: Vec<u8>,
    /// What the authority of both of them holds.
    pub(super) store: MemoryStore,
}

/// Units with plots with trees, each decided in another way.
const SCHEMA: &str = r#"{"collections":{
    "units":{"policy":"manual","unique":[["code"]]},
    "plots":{"unique":[["unit","number"]],"references":{"unit":{"to":"units","on_delete":"cascade"}}},
    "trees":{"policy":"first_to_authority","references":{"plot":{"to":"plots","on_delete":"set_null"}}}}}"#;

pub(super) fn base() -> &'static Base {
    static BASE: OnceLock<Base> = OnceLock::new();
    BASE.get_or_init(made)
}

/// Opens a replica on these bytes, under the name that it has.
pub(super) fn opened(storage: impl Storage, id: u128, schema: &Schema) -> Result<Replica, replica::Error> {
    let options = Options::new().cache_bytes(1 << 20).pass_bytes(1_000).clock(|| 5_000);
    let options = options.schema(schema.clone()).replica(ReplicaId(Uuid::from_u128(id)));
    options.on(storage).map_err(replica::Error::from).and_then(Replica::of)
}

/// The n-th entity of a collection.
pub(super) fn key(collection: &str, n: u128) -> EntityKey {
    let name = CollectionName::new(collection).expect("a plain name");
    EntityKey::new(name, Uuid::from_u128(n + 1)).expect("an id that is not nil")
}

pub(super) fn create(collection: &str, n: u128, json: &str, at: u64) -> Operation {
    let state = State::from_json(json).expect("an object");
    Operation::create(key(collection, n), state).at(at).expect("a time")
}

pub(super) fn patch(collection: &str, n: u128, json: &str, at: u64) -> Operation {
    let patch = Patch::from_json(json).expect("an object");
    Operation::patch(key(collection, n), patch).at(at).expect("a time")
}

fn delete(collection: &str, n: u128, at: u64) -> Operation {
    Operation::delete(key(collection, n)).at(at).expect("a time")
}

fn unit(n: u128, rest: &str) -> String {
    format!(r#"{{"unit":"{}",{rest}}}"#, Uuid::from_u128(n + 1))
}

/// A replica with its engine.
struct Side {
    storage: FaultyStorage,
    engine: Engine,
}

impl Side {
    fn new(id: u128, schema: &Schema) -> Self {
        let storage = FaultyStorage::new();
        let replica = opened(storage.clone(), id, schema).expect("a replica in memory");
        let limits = Limits { operations: 6, ..Limits::default() };
        let options = sync::Options { rows_max: 4, limits, ..sync::Options::default() };
        Side { storage, engine: Engine::new(replica, options) }
    }

    fn replica(&self) -> &Replica {
        self.engine.replica()
    }

    fn write(&self, operations: &[Operation]) {
        self.replica().commit(operations, Durability::Durable).expect("sound operations");
    }

    fn sync(&mut self, link: &mut Link, want: Want) {
        self.engine.online().expect("a replica that can be written");
        self.engine.want_only(want);
        for now in 10_000..10_100 {
            let Next::Ask(request) = self.engine.next(Millis(now)).expect("something to do") else { return };
            let answer = link.answer(&request.ask, Millis(now));
            self.engine.answer(request.number, answer, Millis(now), 1).expect("an honest answer");
        }
    }
}

fn made() -> Base {
    let schema = Schema::from_json(SCHEMA).expect("it is valid");
    let mut link = Link::new(schema.clone());
    let [mut source, mut dest, mut other] = [2, 1, 3].map(|id| Side::new(id, &schema));
    dest.write(&[create("units", 0, r#"{"code":0,"by":"desk"}"#, 1), create("units", 1, r#"{"code":1}"#, 1)]);
    let plots: Vec<Operation> =
        (0..8).map(|n| create("plots", n, &unit(n % 2, &format!(r#""number":{n}"#)), 2)).collect();
    dest.write(&plots);
    let plot = format!(r#"{{"plot":"{}","tag":1}}"#, key("plots", 1).id());
    dest.write(&(0..4).map(|n| create("trees", n, &plot, 3)).collect::<Vec<_>>());
    for side in [&mut dest, &mut source, &mut other] {
        side.sync(&mut link, Want::SYNC);
    }
    edit_apart(&mut source, &mut other, &mut link);
    merge_with_a_third(&source, &schema);
    leave_unfinished(&mut source);
    dest.write(&[
        patch("units", 0, r#"{"by":"desk again"}"#, 30),
        create("units", 5, r#"{"code":5,"by":"desk"}"#, 31),
        delete("plots", 5, 32),
        patch("trees", 2, r#"{"tag":7}"#, 33),
    ]);
    let Side { storage: source, engine } = source;
    drop(engine);
    let Side { storage: dest, engine } = dest;
    drop(engine);
    Base { schema, source: source.bytes(), dest: dest.bytes(), store: link.store }
}

/// Conflicts, losers, something parked, something that waits for it, tombstones.
fn edit_apart(source: &mut Side, other: &mut Side, link: &mut Link) {
    other.write(&[
        patch("units", 0, r#"{"by":"other"}"#, 10),
        patch("trees", 0, r#"{"tag":2}"#, 10),
        patch("plots", 2, r#"{"note":"other"}"#, 10),
        delete("trees", 3, 10),
    ]);
    other.sync(link, Want::SYNC);
    source.write(&[
        patch("units", 0, r#"{"by":"crew"}"#, 11),
        patch("trees", 0, r#"{"tag":3}"#, 11),
        patch("plots", 2, r#"{"note":"crew"}"#, 11),
        delete("plots", 3, 11),
    ]);
    source.write(&[create("units", 4, r#"{"code":4}"#, 12)]);
    source.write(&[create("plots", 20, &unit(4, r#""number":20"#), 12)]);
    link.refuse(key("units", 4), "not like this".to_owned());
    // Half of it is sent before what others did is heard of.
    source.sync(link, Want::UP);
    source.sync(link, Want::SYNC);
}

/// What merges leave: of a file that was merged, and of one whose entity lost.
fn merge_with_a_third(source: &Side, schema: &Schema) {
    let third = Side::new(4, schema);
    third.write(&[
        create("units", 8, r#"{"code":1,"by":"third"}"#, 15),
        create("plots", 9, &unit(8, r#""number":1"#), 15),
        create("trees", 9, r#"{"tag":9}"#, 15),
        delete("plots", 4, 15),
    ]);
    let keep = Keep { with: With::Dest, children: Children::Both };
    let resolutions = Resolutions { listed: Vec::new(), default: Some(keep) };
    let merged = source.replica().merge(&[third.replica()], &resolutions, &mut |_| {});
    merged.expect("a merge that is decided");
}

/// Levels of a run, a log, an open bunch, an inbox with a gap.
fn leave_unfinished(source: &mut Side) {
    let journal = source.replica().journal().clone();
    let done = |done: Result<(), journal::Error>| done.expect("a journal that can be written");
    for round in 0..3_u64 {
        let long = "x".repeat(700);
        let note = format!(r#"{{"note":"{round} {long}"}}"#);
        let notes: Vec<Operation> =
            (0..8 >> round).filter(|n| *n != 3).map(|n| patch("plots", n, &note, 20 + round)).collect();
        source.write(&notes);
        done(journal.compact());
    }
    let trigger = |index: u64, key: EntityKey, epoch: u64| Trigger {
        index: Index(index),
        key,
        action: if index.is_multiple_of(2) { Action::Upsert } else { Action::Delete },
        epoch: Epoch(epoch),
        sender: None,
    };
    let heard = [
        trigger(900, key("plots", 1), 900),
        trigger(901, key("trees", 1), 901),
        trigger(904, key("units", 7), 904),
    ];
    done(journal.receive(&heard).map(drop));
    // What is to be sent is sealed, and nobody answers.
    source.engine.online().expect("a replica that can be written");
    source.engine.want_only(Want::UP);
    source.engine.next(Millis(20_000)).expect("something to do");
    assert!(journal.open_bunch().expect("a bunch").is_some(), "nothing was sealed");
    source.write(&[
        patch("units", 1, r#"{"by":"crew"}"#, 25),
        create("units", 6, r#"{"code":5,"by":"crew"}"#, 26),
        create("trees", 5, r#"{"tag":5}"#, 27),
        delete("trees", 1, 28),
    ]);
}
