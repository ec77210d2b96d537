//! The four principles, exhaustively: every pair of operations of two clients on one entity, whatever was there before,
//! in every order, by either way; and what a reader of the principles would expect, worked out over plain JSON.
//!
//! | seen before it operates | what the second operation means |
//! |---|---|
//! | the first one | what it does to what is there (1, 2, 3) |
//! | not the first one, and one of the two is a delete | the other one prevails, on what was there before both (2, 4) |
//! | not the first one, and nothing was there | it makes the entity as well: what it makes is what there is (3) |
//! | not the first one, otherwise | it is laid on the first one, and its fields win (1) |
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics has failed")]

use foldlog::algebra::{Generation, Millis, Operation, Patch, Schema, State};
use foldlog::authority::{MemoryStore, Rules, Store, answer};
use foldlog::journal::{Durability, Options};
use foldlog::replica::{Replica, Status};
use foldlog::sync::{self, Engine, Next, Want};
use serde_json::{Map, Value, json};

use super::replica::key;

type Fields = Map<String, Value>;

/// An operation before it is one.
#[derive(Clone, Debug)]
enum What {
    Create(Value),
    Replace(Value),
    Patch(Value),
    Delete,
}

/// What is there: never anything, a live state, or a tombstone with its last one.
#[derive(Clone, Debug, PartialEq)]
enum There {
    Absent,
    Live(Fields),
    Dead(Fields),
}

fn fields(value: &Value) -> Fields {
    value.as_object().unwrap().clone()
}

/// Section 3 of the design, over plain JSON.
fn after(there: &There, what: &What) -> There {
    let last = match there {
        There::Absent => Fields::new(),
        There::Live(last) | There::Dead(last) => last.clone(),
    };
    match what {
        What::Create(state) | What::Replace(state) => There::Live(fields(state)),
        What::Patch(patch) => {
            let mut now = last;
            for (name, value) in fields(patch) {
                match value {
                    Value::Null => drop(now.remove(&name)),
                    value => drop(now.insert(name, value)),
                }
            }
            There::Live(now)
        }
        What::Delete if *there == There::Absent => There::Absent,
        What::Delete => There::Dead(last),
    }
}

/// What two operations come to whose makers did not know of each other.
fn concurrent(there: &There, first: &What, second: &What) -> There {
    match (first, second) {
        (What::Delete, What::Delete) => after(there, first),
        (What::Delete, other) | (other, What::Delete) => after(there, other),
        (_, second) if *there == There::Absent => after(there, second),
        (first, second) => after(&after(there, first), second),
    }
}

fn operation(what: &What) -> Operation {
    let state = |state: &Value| State::from_json(&state.to_string()).unwrap();
    let key = key("notes", 1);
    match what {
        What::Create(value) => Operation::create(key, state(value)),
        What::Replace(value) => Operation::update(key, state(value)),
        What::Patch(patch) => Operation::patch(key, Patch::from_json(&patch.to_string()).unwrap()),
        What::Delete => Operation::delete(key),
    }
}

struct World {
    schema: Schema,
    store: MemoryStore,
    clients: [Engine; 2],
    now: u64,
}

impl World {
    /// Both clients know what is there.
    fn new(there: &There) -> Self {
        let schema = Schema::from_json(r#"{"collections":{"notes":{}}}"#).unwrap();
        let client = || {
            let options = Options::new().cache_bytes(1 << 20).clock(|| 1).schema(schema.clone());
            Engine::new(Replica::in_memory(options).unwrap(), sync::Options::default())
        };
        let store = MemoryStore::new(schema.clone(), Generation::default());
        let mut world = World { clients: [client(), client()], schema, store, now: 1_000 };
        let (There::Live(state) | There::Dead(state)) = there else {
            world.settle();
            return world;
        };
        world.operate(0, &What::Create(Value::Object(state.clone())));
        world.settle();
        if matches!(there, There::Dead(_)) {
            world.operate(0, &What::Delete);
            world.settle();
        }
        world
    }

    fn operate(&self, client: usize, what: &What) {
        self.clients[client].replica().commit(&[operation(what)], Durability::Durable).unwrap();
    }

    fn run(&mut self, client: usize, want: Want) {
        let engine = &mut self.clients[client];
        engine.want_only(want);
        loop {
            self.now += 1;
            let Next::Ask(request) = engine.next(Millis(self.now)).unwrap() else { return };
            let rules = Rules { schema: &self.schema, now: Millis(self.now), refuses: &|_| None };
            let answer = answer(&mut self.store, &rules, &request.ask).unwrap();
            engine.answer(request.number, answer, Millis(self.now), 1).unwrap();
        }
    }

    /// Two syncs each.
    fn settle(&mut self) {
        for client in [0, 1, 0, 1] {
            self.run(client, Want::SYNC);
        }
    }

    /// What everybody sees.
    fn seen(&mut self, of: &dyn Fn() -> String) -> Option<Fields> {
        self.settle();
        let key = key("notes", 1);
        let plain = |state: State| state.to::<Fields>().unwrap();
        let there = self.store.entity(&key).unwrap();
        let there = there.and_then(|stored| stored.version.existence.live().cloned()).map(plain);
        for client in &self.clients {
            let replica = client.replica();
            assert_eq!(replica.get(&key).unwrap().map(plain), there, "{}", of());
            assert_eq!(replica.entity(&key).unwrap().status, Status::Synchronised, "{}", of());
            assert_eq!(replica.check().unwrap(), Vec::<String>::new(), "{}", of());
        }
        there
    }
}

fn live(there: &There) -> Option<Fields> {
    match there {
        There::Live(state) => Some(state.clone()),
        There::Absent | There::Dead(_) => None,
    }
}

#[test]
fn the_principles_hold_for_every_pair_of_operations_in_every_order() {
    let before = fields(&json!({"a": 0, "b": 0}));
    let all = |by: u64| {
        [
            What::Create(json!({"a": by, "n": by})),
            What::Replace(json!({"b": by})),
            What::Patch(json!({"a": by})),
            What::Patch(json!({"b": by, "c": by})),
            What::Patch(json!({"a": null, "n": by})),
            What::Delete,
        ]
    };
    let mut played = 0;
    for there in [There::Absent, There::Live(before.clone()), There::Dead(before)] {
        for (first, second) in all(1).iter().flat_map(|first| all(2).map(|second| (first.clone(), second))) {
            // The second client writes before it reads, or after; and reads before it sends, or not.
            for (has_seen, way) in [(true, Want::SYNC), (false, Want::SYNC), (false, Want::UP)] {
                let mut world = World::new(&there);
                world.operate(0, &first);
                if !has_seen {
                    world.operate(1, &second);
                }
                world.run(0, Want::UP);
                if has_seen {
                    world.run(1, Want::DOWN);
                    world.operate(1, &second);
                }
                world.run(1, way);
                let expected = match has_seen {
                    true => after(&after(&there, &first), &second),
                    false => concurrent(&there, &first, &second),
                };
                let name = || format!("on {there:?}: {first:?}, then {second:?}, seen {has_seen}, {way:?}");
                assert_eq!(world.seen(&name), live(&expected), "{}", name());
                played += 1;
            }
        }
    }
    assert_eq!(played, 3 * 6 * 6 * 3);
}
