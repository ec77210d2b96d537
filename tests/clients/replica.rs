//! The replica on its file: every write of every call crashed, every part of the file damaged, schemas changed, watchers
//! told. What it means to its program is in the scenarios.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use foldlog::Uuid;
use foldlog::algebra::{
    Answer, Ask, CollectionName, EntityKey, FIELDS_BYTES_MAX, Generation, Limits, Millis, Operation, Patch,
    Schema, State,
};
use foldlog::authority::{MemoryStore, Rules, answer};
use foldlog::journal::{Durability, Journal, Options};
use foldlog::replica::{Cause, Changed, Error, Replica, Resolution, Status};
use foldlog::sync::{self, Engine, Next, Want};
use foldlog::testing::{FaultyStorage, Unsynced};

use super::seen::observed;

pub(super) const NOW: Millis = Millis(1_000_000);

pub(super) const SCHEMA: &str = r#"{"collections":{
    "folders":{"policy":"manual"},
    "notes":{"unique":[["title"]],"references":{"in":{"to":"folders","on_delete":"cascade"}}}}}"#;

pub(super) fn schema(json: &str) -> Schema {
    Schema::from_json(json).unwrap()
}

pub(super) fn key(collection: &str, n: u128) -> EntityKey {
    EntityKey::new(CollectionName::new(collection).unwrap(), Uuid::from_u128(n)).unwrap()
}

pub(super) fn state(json: &str) -> State {
    State::from_json(json).unwrap()
}

pub(super) fn patch(key: EntityKey, json: &str) -> Operation {
    Operation::patch(key, Patch::from_json(json).unwrap())
}

pub(super) fn note(n: u128, title: &str) -> Operation {
    let folder = Uuid::from_u128(1);
    Operation::create(key("notes", n), state(&format!(r#"{{"title":"{title}","in":"{folder}"}}"#)))
}

pub(super) fn options() -> Options {
    Options::new().cache_bytes(1 << 20).clock(|| NOW.0).schema(schema(SCHEMA))
}

pub(super) fn opened(storage: &FaultyStorage) -> Replica {
    Replica::of(options().on(storage.clone()).unwrap()).unwrap()
}

pub(super) fn commit(replica: &Replica, operations: &[Operation]) {
    replica.commit(operations, Durability::Durable).unwrap();
}

pub(super) fn asked(store: &mut MemoryStore, ask: &Ask) -> Answer {
    let schema = schema(SCHEMA);
    answer(store, &Rules { schema: &schema, now: NOW, refuses: &|_| None }, ask).unwrap()
}

pub(super) fn run(store: &mut MemoryStore, replica: &Replica, want: Want) {
    try_run(store, replica, want).unwrap();
}

pub(super) fn try_run(store: &mut MemoryStore, replica: &Replica, want: Want) -> Result<(), sync::Error> {
    let mut engine = Engine::new(replica.clone(), sync::Options::default());
    engine.want_only(want);
    while let Next::Ask(request) = engine.next(NOW)? {
        let answer = asked(store, &request.ask);
        engine.answer(request.number, answer, NOW, 0)?;
    }
    Ok(())
}

#[test]
fn a_long_chain_of_deleted_parents_comes_back_with_its_last_child() {
    const LENGTH: u128 = 20_000;
    let chain = r#"{"collections":{"folders":{"references":{"in":{"to":"folders","on_delete":"cascade"}}}}}"#;
    let options = Options::new().cache_bytes(1 << 24).clock(|| NOW.0).schema(schema(chain));
    let replica = Replica::in_memory(options).unwrap();
    let folders: Vec<Operation> = (1..=LENGTH)
        .map(|n| match n {
            1 => Operation::create(key("folders", n), state("{}")),
            _ => {
                let parent = state(&format!(r#"{{"in":"{}"}}"#, Uuid::from_u128(n - 1)));
                Operation::create(key("folders", n), parent)
            }
        })
        .collect();
    commit(&replica, &folders);
    commit(&replica, &[Operation::delete(key("folders", 1))]);
    assert_eq!(replica.list(&CollectionName::new("folders").unwrap()).unwrap().len(), 0);
    commit(&replica, &[patch(key("folders", LENGTH), r#"{"v":1}"#)]);
    let live = replica.list(&CollectionName::new("folders").unwrap()).unwrap();
    assert_eq!(live.len(), usize::try_from(LENGTH).unwrap());
    let bunch = replica.seal(Limits::default()).unwrap().unwrap();
    assert_eq!(bunch.operations.len(), live.len());
}

/// Both sides' parts are within the limit: neither side ends up with what it cannot read, and nothing is lost.
#[test]
fn what_edits_made_larger_than_one_may_be_is_seen_parked_and_mended() {
    let large = |name: &str| format!(r#"{{"{name}":"{}"}}"#, "x".repeat(FIELDS_BYTES_MAX / 8 * 5));
    let mut store = MemoryStore::new(schema(SCHEMA), Generation(Uuid::from_u128(1)));
    let storage = FaultyStorage::new();
    let replica = opened(&storage);
    commit(&replica, &[patch(key("folders", 1), &large("a"))]);
    run(&mut store, &replica, Want::SYNC);
    commit(&replica, &[patch(key("folders", 1), &large("b"))]);
    drop(replica);
    let replica = opened(&storage);
    let both = state(&large("a")).with(&Patch::from_json(&large("b")).unwrap());
    assert_eq!(replica.get(&key("folders", 1)).unwrap(), Some(both.clone()));
    run(&mut store, &replica, Want::SYNC);
    assert_eq!(replica.journal().parked().unwrap().len(), 1);
    drop(replica);
    let replica = opened(&storage);
    assert_eq!(replica.get(&key("folders", 1)).unwrap(), Some(both));
    commit(&replica, &[patch(key("folders", 1), r#"{"a":null}"#)]);
    run(&mut store, &replica, Want::SYNC);
    let other = opened(&FaultyStorage::new());
    run(&mut store, &other, Want::SYNC);
    for replica in [&replica, &other] {
        assert_eq!(replica.get(&key("folders", 1)).unwrap(), Some(state(&large("b"))));
        assert_eq!(replica.journal().status().unwrap().set_aside, 0);
    }
}

/// A replica with something in every table: synchronised, changed, created, deleted, in conflict, clashing, lost; and
/// an authority where others wrote meanwhile.
pub(super) fn prepared() -> (FaultyStorage, MemoryStore) {
    let mut store = MemoryStore::new(schema(SCHEMA), Generation(Uuid::from_u128(1)));
    let other = opened(&FaultyStorage::new());
    let storage = FaultyStorage::new();
    let replica = opened(&storage);
    commit(
        &other,
        &[
            Operation::create(key("folders", 1), state("{}")),
            Operation::create(key("folders", 2), state("{}")),
        ],
    );
    commit(&other, &[note(1, "one"), note(2, "two"), note(3, "three")]);
    run(&mut store, &other, Want::SYNC);
    run(&mut store, &replica, Want::SYNC);
    commit(
        &other,
        &[
            patch(key("folders", 2), r#"{"by":"other"}"#),
            patch(key("notes", 1), r#"{"by":"other"}"#),
            note(7, "taken"),
        ],
    );
    run(&mut store, &other, Want::SYNC);
    commit(
        &replica,
        &[patch(key("folders", 2), r#"{"by":"this"}"#), patch(key("notes", 1), r#"{"by":"this"}"#)],
    );
    commit(&replica, &[note(8, "taken"), note(9, "nine")]);
    run(&mut store, &replica, Want::DOWN);
    assert_eq!(replica.conflicts().unwrap().len(), 2);
    assert_eq!(replica.losers().unwrap().len(), 1);
    commit(
        &replica,
        &[Operation::delete(key("notes", 3)), note(10, "ten"), Operation::delete(key("notes", 9))],
    );
    commit(&other, &[patch(key("notes", 2), r#"{"by":"other"}"#), note(11, "eleven")]);
    run(&mut store, &other, Want::SYNC);
    (storage, store)
}

pub(super) type Call = fn(&Replica, &mut MemoryStore) -> Result<(), Error>;

pub(super) const CALLS: [(&str, Call); 7] = [
    ("a delete with its cascade", |replica, _| {
        replica.commit(&[Operation::delete(key("folders", 1))], Durability::Durable).map(drop)
    }),
    ("a seal", |replica, _| replica.seal(Limits::default()).map(drop)),
    ("outcomes", |replica, store| {
        let bunch = replica.journal().open_bunch()?.unwrap();
        let generation = replica.standing()?.generation;
        match asked(store, &Ask::Deliver { replica: replica.id(), bunch, generation }) {
            Answer::Delivered(outcomes) => replica.settle(&outcomes).map(drop),
            other => panic!("{other:?}"),
        }
    }),
    ("a page", |replica, store| {
        let standing = replica.standing()?;
        let (cursors, floors, generation) = (standing.cursors, standing.floors, standing.generation);
        match asked(store, &Ask::Changes { cursors, floors, generation, rows_max: 100 }) {
            Answer::Changes(page) => replica.take_page(&page).map(drop),
            other => panic!("{other:?}"),
        }
    }),
    ("a resolution", |replica, _| replica.resolve(&key("folders", 2), &Resolution::Remote)),
    ("beginning anew", |replica, _| replica.begin_anew(replica.standing()?.generation)),
    ("another name", |replica, _| {
        replica.take_back_bunch(Some(foldlog::algebra::ReplicaId(Uuid::from_u128(77))))
    }),
];

#[test]
fn a_crash_at_any_write_leaves_the_old_replica_or_the_new_one() {
    let (storage, store) = prepared();
    let mut images = 0;
    for (name, call) in CALLS {
        let mut store = store.clone();
        let storage = storage.snapshot();
        let replica = opened(&storage);
        if ["outcomes", "another name"].contains(&name) {
            replica.seal(Limits::default()).unwrap();
        }
        let before = observed(&replica);
        storage.record();
        call(&replica, &mut store).unwrap();
        let after = observed(&replica);
        assert_ne!(before, after, "{name} did nothing");
        for point in storage.crashes() {
            for unsynced in [Unsynced::Lost, Unsynced::Kept, Unsynced::Sampled { seed: point.event() }] {
                let found = opened(&point.image(unsynced));
                let seen = observed(&found);
                let event = point.event();
                assert!(seen == before || seen == after, "{name}, event {event}, {unsynced:?}: {seen}");
                assert_eq!(found.check().unwrap(), [""; 0], "{name}, event {event}, {unsynced:?}");
                images += 1;
            }
        }
    }
    println!("{images} crash images");
    assert!(images > 300, "{images}");
}

#[test]
fn where_no_bunch_is_open_none_is_taken_back_and_a_new_name_is_taken_all_the_same() {
    let (storage, _) = prepared();
    let replica = opened(&storage);
    assert_eq!(replica.journal().open_bunch().unwrap(), None);
    let before = observed(&replica);
    replica.take_back_bunch(None).unwrap();
    assert_eq!(observed(&replica), before);
    let name = foldlog::algebra::ReplicaId(Uuid::from_u128(77));
    replica.take_back_bunch(Some(name)).unwrap();
    assert_eq!(replica.id(), name);
}

#[test]
fn whatever_bit_is_flipped_a_replica_is_whole_again_after_mending_or_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("replica");
    std::fs::write(&path, prepared().0.bytes()).unwrap();
    Journal::open(&path).unwrap().reclaim().unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let (mut whole, mut mended, mut refused) = (0, 0, 0);
    for place in (0..bytes.len()).step_by(bytes.len() / 400) {
        let mut damaged = bytes.clone();
        if let Some(byte) = damaged.get_mut(place) {
            *byte ^= 1 << (place % 8);
        }
        std::fs::write(&path, &damaged).unwrap();
        let case = format!("byte {place}");
        let is_typed = |error: &Error| {
            let is_damage = matches!(error, Error::Journal { source } if source.is_damage());
            assert!(is_damage || matches!(error, Error::Journal { .. }), "{case}: {error}");
        };
        let journal = match options().open(&path) {
            Ok(journal) => journal,
            Err(_) => {
                refused += 1;
                continue;
            }
        };
        let set_aside = match journal.mend() {
            Ok(set_aside) => set_aside,
            Err(_) => {
                refused += 1;
                continue;
            }
        };
        let checked = Replica::of(journal).and_then(|replica| {
            let found = replica.check()?;
            replica.commit(
                &[Operation::create(key("notes", 99), state(r#"{"title":"new"}"#))],
                Durability::Durable,
            )?;
            assert_eq!(replica.entity(&key("notes", 99))?.status, Status::Created, "{case}");
            Ok(found)
        });
        match checked {
            Ok(found) => {
                assert_eq!(found, [""; 0], "{case}");
                if set_aside > 0 { mended += 1 } else { whole += 1 }
            }
            Err(error) => {
                is_typed(&error);
                refused += 1;
            }
        }
        drop(std::fs::remove_file(folder.path().join("replica.damaged")));
    }
    println!("{mended} mended, {whole} whole, {refused} refused");
    assert!(mended > 15 && refused < 60, "{mended} mended, {whole} whole, {refused} refused");
}

/// What is known of the authority's side and cannot be read is read again, though it does not change there.
#[test]
fn what_was_set_aside_of_the_authoritys_side_is_fetched_anew() {
    let mut store = MemoryStore::new(schema(SCHEMA), Generation(Uuid::from_u128(1)));
    let storage = FaultyStorage::new();
    let notes: Vec<Operation> = (1..6).map(|n| note(n, &format!("note {n}"))).collect();
    {
        let other = opened(&FaultyStorage::new());
        commit(&other, &[Operation::create(key("folders", 1), state("{}"))]);
        commit(&other, &notes);
        run(&mut store, &other, Want::SYNC);
        run(&mut store, &opened(&storage), Want::SYNC);
    }
    let bytes = storage.bytes();
    let mut mended = 0;
    // A frame's head is of 24 bytes, two of a mark, one of the kind: 5 is base knowledge.
    for place in (0..bytes.len() - 24).filter(|place| bytes[*place..].starts_with(b"fl\x05\x01")) {
        let mut damaged = bytes.clone();
        damaged[place + 24] ^= 1;
        let replica = opened(&FaultyStorage::from_bytes(&damaged));
        if replica.journal().mend().unwrap() == 0 {
            // In a page that is free.
            continue;
        }
        mended += 1;
        run(&mut store.clone(), &replica, Want::SYNC);
        for expected in &notes {
            let seen = replica.get(&expected.key).unwrap();
            assert!(seen.is_some(), "byte {place}: {} is gone for good", expected.key);
        }
        assert_eq!(replica.check().unwrap(), [""; 0], "byte {place}");
    }
    assert!(mended > 4, "{mended}");
}

/// What was done here is stored twice: as what was done, and as what came of it. Where the one is damaged, the other goes on.
#[test]
fn what_is_seen_of_an_entity_goes_on_where_what_was_done_to_it_is_damaged() {
    let mut store = MemoryStore::new(schema(SCHEMA), Generation(Uuid::from_u128(1)));
    let storage = FaultyStorage::new();
    let touched = [note(4, "made"), note(1, "changed"), Operation::delete(key("notes", 2))];
    let seen = |replica: &Replica| touched.clone().map(|touched| replica.get(&touched.key).unwrap());
    let expected = {
        let replica = opened(&storage);
        commit(&replica, &[Operation::create(key("folders", 1), state("{}"))]);
        commit(&replica, &[note(1, "one"), note(2, "two"), note(3, "three")]);
        run(&mut store, &replica, Want::SYNC);
        commit(&replica, &touched[..1]);
        commit(&replica, &[patch(key("notes", 1), r#"{"title":"changed"}"#)]);
        commit(&replica, &touched[2..]);
        seen(&replica)
    };
    let bytes = storage.bytes();
    let mut parked = 0;
    for place in
        (0..bytes.len() - 24).filter(|place| bytes[*place..].starts_with(b"fl") && bytes[place + 3] == 1)
    {
        let mut damaged = bytes.clone();
        damaged[place + 24] ^= 1;
        let journal = options().schema(schema(SCHEMA)).on(FaultyStorage::from_bytes(&damaged));
        // The identity and the state have nothing that could go on in their place.
        let Ok(replica) = journal.map_err(Error::from).and_then(Replica::of) else { continue };
        if replica.journal().mend().unwrap() == 0 && replica.journal().set_aside().unwrap().is_empty() {
            continue;
        }
        assert_eq!(replica.check().unwrap(), [""; 0], "byte {place}");
        for waiting in replica.journal().parked().unwrap() {
            parked += 1;
            replica.journal().retry(&waiting.key).unwrap();
        }
        let mut store = store.clone();
        run(&mut store, &replica, Want::SYNC);
        assert!(seen(&replica) == expected, "byte {place}: {:?}", seen(&replica));
        for (operation, expected) in touched.iter().zip(&expected) {
            let held = store.entities().find(|(key, _)| **key == operation.key);
            let held = held.and_then(|(_, stored)| stored.version.existence.live());
            assert!(held == expected.as_ref(), "byte {place}: {held:?} of {}", operation.key);
        }
        assert_eq!(replica.check().unwrap(), [""; 0], "byte {place}");
    }
    assert!(parked >= 3, "{parked}");
}

#[test]
fn a_new_unique_key_over_duplicates_is_refused_with_their_names() {
    let storage = FaultyStorage::new();
    let loose = r#"{"collections":{"notes":{}}}"#;
    let with = |json: &str| Replica::of(Options::new().schema(schema(json)).on(storage.clone()).unwrap());
    let replica = with(loose).unwrap();
    let twins = [
        Operation::create(key("notes", 1), state(r#"{"title":"x"}"#)),
        Operation::create(key("notes", 2), state(r#"{"title":"x"}"#)),
    ];
    commit(&replica, &twins);
    let collection = key("notes", 1).collection().clone();
    drop(replica);
    let strict = r#"{"collections":{"notes":{"unique":[["title"]]}}}"#;
    match with(strict) {
        Err(Error::Duplicates { collection, unique, mut holders }) => {
            holders.sort();
            assert_eq!((collection.as_str(), unique), ("notes", vec!["title".to_owned()]));
            assert_eq!(holders, [key("notes", 1), key("notes", 2)]);
        }
        other => panic!("{other:?}"),
    }
    let replica = with(loose).unwrap();
    commit(&replica, &[patch(key("notes", 2), r#"{"title":"y"}"#)]);
    drop(replica);
    let replica = with(strict).unwrap();
    assert_eq!(replica.find(&collection, &["title"], &["y".into()]).unwrap(), [key("notes", 2)]);
    assert!(matches!(
        replica.commit(&[patch(key("notes", 1), r#"{"title":"y"}"#)], Durability::Durable),
        Err(Error::Taken { .. })
    ));
}

/// So much that it is not kept until the transaction ends.
#[test]
fn who_is_found_by_what_is_so_however_much_one_transaction_moves() {
    let replica = Replica::in_memory(options()).unwrap();
    let folders = [1, 2].map(|n| Operation::create(key("folders", n), state("{}")));
    let notes = (1..=33_000).map(|n| note(n, &format!("note {n}")));
    let moved = (1..=3).map(|n| patch(key("notes", n), &format!(r#"{{"in":"{}"}}"#, Uuid::from_u128(2))));
    let all: Vec<Operation> = folders.into_iter().chain(notes).chain(moved).collect();
    commit(&replica, &all);
    let found =
        |title: &str| replica.find(key("notes", 1).collection(), &["title"], &[title.into()]).unwrap();
    for n in [1, 2, 32_999, 33_000] {
        assert_eq!(found(&format!("note {n}")), [key("notes", n)]);
    }
    let children =
        |n| replica.children(&key("folders", n), key("notes", 1).collection(), "in").unwrap().len();
    assert_eq!([children(1), children(2)], [32_997, 3]);
    assert_eq!(replica.check().unwrap(), [""; 0]);
    let taken = replica.commit(&[note(40_000, "note 7")], Durability::Durable);
    assert!(matches!(taken, Err(Error::Taken { .. })), "{taken:?}");
}

#[test]
fn what_a_journal_holds_is_seen_once_it_is_a_replica() {
    let journal = options().in_memory().unwrap();
    journal
        .append(&[note(1, "one"), note(2, "two"), Operation::delete(key("notes", 2))], Durability::Durable)
        .unwrap();
    let replica = Replica::of(journal).unwrap();
    assert_eq!(replica.list(key("notes", 1).collection()).unwrap().len(), 1);
    assert_eq!(replica.entity(&key("notes", 1)).unwrap().status, Status::Created);
    assert_eq!(replica.check().unwrap(), [""; 0]);
}

#[test]
fn watchers_hear_what_looks_different_and_why() {
    let (storage, mut store) = prepared();
    let replica = opened(&storage);
    let watcher = replica.watch();
    let heard =
        || watcher.try_iter().map(|Changed { key, cause }| (key.to_string(), cause)).collect::<Vec<_>>();
    commit(&replica, &[patch(key("notes", 10), r#"{"a":1}"#)]);
    assert_eq!(heard(), [(key("notes", 10).to_string(), Cause::Local)]);
    commit(&replica, &[patch(key("notes", 10), r#"{"a":1}"#)]);
    assert_eq!(heard(), [], "nothing looks different");
    run(&mut store, &replica, Want::DOWN);
    let heard = heard();
    assert!(heard.contains(&(key("notes", 11).to_string(), Cause::Remote)), "{heard:?}");
}

/// A revival that was deleted again before it was sent comes to nothing for the authority, but not for who wrote it.
#[test]
fn what_was_revived_and_deleted_before_it_was_sent_comes_back_with_all_it_had() {
    for between in 0..6 {
        let mut store = MemoryStore::new(schema(SCHEMA), Generation(Uuid::from_u128(1)));
        let replica = opened(&FaultyStorage::new());
        let note = |json| patch(key("folders", 1), json);
        commit(&replica, &[Operation::create(key("folders", 1), state(r#"{"a":1}"#))]);
        run(&mut store, &replica, Want::SYNC);
        commit(&replica, &[Operation::delete(key("folders", 1))]);
        run(&mut store, &replica, Want::SYNC);
        commit(&replica, &[note(r#"{"b":2}"#)]);
        assert_eq!(replica.get(&key("folders", 1)).unwrap(), Some(state(r#"{"a":1,"b":2}"#)));
        if between == 1 {
            run(&mut store, &replica, Want::SYNC);
        }
        commit(&replica, &[Operation::delete(key("folders", 1))]);
        match between {
            2 => run(&mut store, &replica, Want::SYNC),
            3 => run(&mut store, &replica, Want::DOWN),
            4 => {
                run(&mut store, &replica, Want::SYNC);
                run(&mut store, &replica, Want::SYNC);
            }
            5 => {
                run(&mut store, &replica, Want::SYNC);
                replica.begin_anew(replica.standing().unwrap().generation).unwrap();
                run(&mut store, &replica, Want::SYNC);
            }
            _ => {}
        }
        commit(&replica, &[note(r#"{"c":3}"#)]);
        let other = opened(&FaultyStorage::new());
        run(&mut store, &replica, Want::SYNC);
        run(&mut store, &other, Want::SYNC);
        for replica in [&replica, &other] {
            let seen = replica.get(&key("folders", 1)).unwrap();
            assert_eq!(seen, Some(state(r#"{"a":1,"b":2,"c":3}"#)), "{between}");
            assert_eq!(replica.check().unwrap(), [""; 0], "{between}");
        }
    }
}
