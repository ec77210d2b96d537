//! What comes in between what a call has read and what it writes: a clock that has something done first.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::sync::{Arc, Mutex};

use foldlog::Uuid;
use foldlog::algebra::{Millis, Operation, Patch, Schema};
use foldlog::journal::{Durability, Options};
use foldlog::replica::{Replica, Resolution};
use foldlog::sync::{self, Engine};
use foldlog::testing::FaultyStorage;

use crate::authority::{Authority, NOW, key, state};

type Meanwhile = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

/// An engine whose replica has something done by another thread when it next asks for the time.
fn interrupted(schema: &Schema, meanwhile: &Meanwhile) -> Engine {
    let meanwhile = Arc::clone(meanwhile);
    let clock = move || {
        let taken = meanwhile.lock().unwrap().take();
        if let Some(run) = taken {
            std::thread::spawn(run).join().unwrap();
        }
        NOW.0
    };
    let options = Options::new().schema(schema.clone()).clock(clock);
    Engine::new(Replica::of(options.on(FaultyStorage::new()).unwrap()).unwrap(), sync::Options::default())
}

fn patch(replica: &Replica, value: &str, at: u64) {
    let patch = Patch::from_json(&format!(r#"{{"a":"{value}"}}"#)).unwrap();
    let patch = Operation { at: Some(Millis(at)), ..Operation::patch(key(1), patch) };
    replica.commit(&[patch], Durability::Durable).unwrap();
}

#[test]
fn a_conflict_that_moves_while_it_is_resolved_is_resolved_as_it_is_then() {
    let schema = Schema::from_json(r#"{"collections":{"notes":{"policy":"manual"}}}"#).unwrap();
    let decided = state(r#"{"a":"decided"}"#);
    for (resolution, expected) in [
        (Resolution::Local, Some(r#"{"a":"local"}"#)),
        (Resolution::Remote, Some(r#"{"a":"remote 2"}"#)),
        (Resolution::Newest, Some(r#"{"a":"remote 2"}"#)),
        (Resolution::Modify(decided), Some(r#"{"a":"decided"}"#)),
        (Resolution::Delete, None),
    ] {
        let meanwhile = Meanwhile::default();
        let authority = Arc::new(Mutex::new(Authority::of(schema.clone())));
        let sync = |engine: &mut Engine| authority.lock().unwrap().sync(engine);
        let mut other = interrupted(&schema, &Meanwhile::default());
        let create = Operation::create(key(1), state(r#"{"a":"start"}"#));
        let create = Operation { at: Some(Millis(1)), ..create };
        other.replica().commit(&[create], Durability::Durable).unwrap();
        sync(&mut other);
        let own = Arc::new(Mutex::new(interrupted(&schema, &meanwhile)));
        let replica = own.lock().unwrap().replica().clone();
        sync(&mut own.lock().unwrap());
        patch(&replica, "local", 20);
        patch(other.replica(), "remote 1", 10);
        sync(&mut other);
        sync(&mut own.lock().unwrap());
        assert_eq!(replica.conflicts().unwrap().len(), 1);
        patch(other.replica(), "remote 2", 30);
        sync(&mut other);
        let (of_thread, by_thread) = (Arc::clone(&own), Arc::clone(&authority));
        *meanwhile.lock().unwrap() = Some(Box::new(move || {
            by_thread.lock().unwrap().sync(&mut of_thread.lock().unwrap());
        }));
        replica.resolve(&key(1), &resolution).unwrap();
        assert!(meanwhile.lock().unwrap().is_none(), "nothing came between");
        for _ in 0..2 {
            sync(&mut own.lock().unwrap());
            sync(&mut other);
        }
        let now = replica.get(&key(1)).unwrap();
        assert_eq!(now, expected.map(state), "{resolution:?}");
        assert_eq!(other.replica().get(&key(1)).unwrap(), now, "{resolution:?}");
        let losers = replica.losers().unwrap();
        let is_kept =
            |value: &str| losers.iter().any(|lost| lost.fields.raw("a") == Some(&format!("\"{value}\"")));
        for value in ["local", "remote 2"] {
            let is_live = now.as_ref().is_some_and(|now| now.as_json().contains(value));
            assert!(is_live || is_kept(value), "{resolution:?} loses {value:?}: {losers:?}");
        }
    }
}

#[test]
fn what_comes_in_while_a_value_is_stored_is_changed_and_not_replaced() {
    let schema = Schema::default();
    let meanwhile = Meanwhile::default();
    let authority = Arc::new(Mutex::new(Authority::of(schema.clone())));
    let mut other = interrupted(&schema, &Meanwhile::default());
    let create = Operation::create(key(1), state(r#"{"title":"b","more":"precious"}"#));
    other.replica().commit(&[create], Durability::Durable).unwrap();
    authority.lock().unwrap().sync(&mut other);
    let own = Arc::new(Mutex::new(interrupted(&schema, &meanwhile)));
    let replica = own.lock().unwrap().replica().clone();
    let notes = replica.collection::<Titled>("notes").unwrap();
    let (of_thread, by_thread) = (Arc::clone(&own), Arc::clone(&authority));
    *meanwhile.lock().unwrap() = Some(Box::new(move || {
        by_thread.lock().unwrap().sync(&mut of_thread.lock().unwrap());
    }));
    notes.update(Uuid::from_u128(1), &Titled { title: "a".to_owned() }).unwrap();
    assert!(meanwhile.lock().unwrap().is_none(), "nothing came between");
    assert_eq!(replica.get(&key(1)).unwrap(), Some(state(r#"{"title":"a","more":"precious"}"#)));
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Titled {
    title: String,
}

#[test]
fn a_double_is_read_as_it_was_written() {
    let replica = Replica::of(Options::new().on(FaultyStorage::new()).unwrap()).unwrap();
    let notes = replica.collection::<Vec1>("notes").unwrap();
    for (n, value) in
        (1..).zip([-200_283.813_992_915_82, 51.248_178_375_505_404, 0.1 + 0.2, f64::MIN_POSITIVE])
    {
        notes.create(Uuid::from_u128(n), &Vec1 { x: value }).unwrap();
        let read = notes.get(Uuid::from_u128(n)).unwrap().unwrap().x;
        assert_eq!(read.to_bits(), value.to_bits(), "{value} came back as {read}");
        assert_eq!(state(&format!(r#"{{"x":{value}}}"#)).get("x"), Some(serde_json::json!(value)));
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Vec1 {
    x: f64,
}
