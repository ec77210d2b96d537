//! What comes in between what a call has read and what it writes: a clock that has something done first.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::sync::{Arc, Barrier, Mutex};

use foldlog::Uuid;
use foldlog::algebra::{
    Bunch, BunchNumber, CollectionName, EntityKey, Epoch, Limits, Millis, Operation, Outcome, Outcomes,
    Patch, Resulting, Schema,
};
use foldlog::journal::{Durability, Options};
use foldlog::replica::{Replica, Resolution};
use foldlog::sync::{self, Engine, Want};
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

/// Clashes that were decided are carried out once who has the keys is seen.
#[test]
fn decisions_that_are_taken_back_while_they_are_carried_out_are_no_fault_of_what_was_fetched() {
    let schema = Schema::from_json(r#"{"collections":{"notes":{"unique":[["name"]]}}}"#).unwrap();
    let meanwhile = Meanwhile::default();
    let mut authority = Authority::of(schema.clone());
    let mut other = interrupted(&schema, &Meanwhile::default());
    let mut own = interrupted(&schema, &meanwhile);
    authority.sync(&mut own);
    let replica = own.replica().clone();
    let named = |n, name: &str| Operation::create(key(n), state(&format!(r#"{{"name":"{name}"}}"#)));
    other.replica().commit(&[named(1, "k"), named(2, "l")], Durability::Durable).unwrap();
    replica.commit(&[named(3, "k"), named(4, "l")], Durability::Durable).unwrap();
    authority.sync(&mut other);
    authority.answer_all(&mut own, Want::UP);
    for n in [3, 4] {
        replica.resolve(&key(n), &Resolution::Local).unwrap();
    }
    assert_eq!(replica.conflicts().unwrap(), []);
    let is_seen = |replica: &Replica| replica.get(&key(1)).unwrap().is_some();
    undone_once(is_seen, false, &meanwhile, replica.clone(), [key(3), key(4)].to_vec());
    authority.sync(&mut own);
    assert!(meanwhile.lock().unwrap().is_none(), "nothing came between");
    authority.sync(&mut own);
    assert_eq!(replica.conflicts().unwrap(), []);
    let seen = |n| replica.get(&key(n)).unwrap().map(|state| state.as_json().to_owned());
    let expected = [Some(r#"{"name":"k"}"#), Some(r#"{"name":"l"}"#), None, None];
    assert_eq!([1, 2, 3, 4].map(seen), expected.map(|state| state.map(str::to_owned)));
}

/// When the clock is asked the second time after something is so, this is undone. The first time it is asked when it is looked
/// for what was decided.
fn undone_once(
    is_so: impl Fn(&Replica) -> bool + Send + 'static,
    was_asked: bool,
    meanwhile: &Meanwhile,
    replica: Replica,
    undone: Vec<EntityKey>,
) {
    let again = Arc::clone(meanwhile);
    *meanwhile.lock().unwrap() = Some(Box::new(move || {
        let is_now = is_so(&replica);
        if is_now && was_asked {
            assert_eq!(replica.undo(&undone).unwrap(), undone);
        } else {
            undone_once(is_so, is_now, &again, replica, undone);
        }
    }));
}

/// What was decided for this side is carried out once it is seen what the other side did; here it is taken back meanwhile.
#[test]
fn what_is_taken_back_while_it_is_carried_out_brings_nothing_back() {
    let json = r#"{"collections":{"folders":{},"notes":{"policy":"manual",
        "references":{"in":{"to":"folders","on_delete":"cascade"}}}}}"#;
    let schema = Schema::from_json(json).unwrap();
    let meanwhile = Meanwhile::default();
    let mut authority = Authority::of(schema.clone());
    let mut other = interrupted(&schema, &Meanwhile::default());
    let mut own = interrupted(&schema, &meanwhile);
    let replica = own.replica().clone();
    let folder = EntityKey::new(CollectionName::new("folders").unwrap(), Uuid::from_u128(1)).unwrap();
    let commit =
        |replica: &Replica, operation| replica.commit(&[operation], Durability::Durable).map(drop).unwrap();
    commit(other.replica(), Operation::create(folder.clone(), state("{}")));
    authority.sync(&mut other);
    authority.sync(&mut own);
    commit(other.replica(), Operation::delete(folder.clone()));
    authority.sync(&mut other);
    commit(&replica, Operation::create(key(2), state(&format!(r#"{{"in":"{}"}}"#, folder.id()))));
    authority.answer_all(&mut own, Want::UP);
    replica.resolve(&key(2), &Resolution::Local).unwrap();
    assert!(replica.undecided().unwrap().contains(&key(2)));
    let gone = folder.clone();
    let is_gone = move |replica: &Replica| replica.get(&gone).unwrap().is_none();
    undone_once(is_gone, false, &meanwhile, replica.clone(), vec![key(2)]);
    authority.sync(&mut own);
    assert!(meanwhile.lock().unwrap().is_none(), "nothing came between");
    assert_eq!(replica.undecided().unwrap().len(), 0);
    assert_eq!(replica.unsent().unwrap(), []);
    assert_eq!([&folder, &key(2)].map(|key| replica.get(key).unwrap()), [None, None]);
    assert_eq!(replica.check().unwrap(), [""; 0]);
}

#[test]
fn threads_that_seal_at_once_get_one_bunch() {
    let folder = tempfile::tempdir().unwrap();
    let replica = Replica::create(folder.path().join("replica"), Options::new()).unwrap();
    for round in 1..=5 {
        patch(&replica, &round.to_string(), 1);
        let start = Barrier::new(4);
        let sealed: Vec<Bunch> = std::thread::scope(|scope| {
            let seal = || {
                start.wait();
                replica.seal(Limits::default()).unwrap().unwrap()
            };
            let threads = [(); 4].map(|()| scope.spawn(seal));
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(sealed.iter().all(|bunch| *bunch == sealed[0] && bunch.number == BunchNumber(round)));
        let accepted =
            Outcome::Accepted { epoch: Some(Epoch(round)), result: Resulting::AsSent, overwrote: None };
        let outcomes = Outcomes { bunch: BunchNumber(round), outcomes: vec![accepted] };
        replica.settle(&outcomes).unwrap();
    }
}
