//! An independent judge: SQLite's session extension, which combines the changes of a database into net
//! inserts, updates and deletes, and has never heard of foldlog.
//!
//! A random log is played into tables, with a session for every few operations; `sqlite3changegroup`
//! combines what they recorded, and that must be the plan of the folded log over the same baseline: the
//! same entities, the same kinds, the same resulting states, and for a patch the very same fields.
//!
//! Where the two rightly differ:
//! - SQLite forgets a deleted row, so a patch of one would start from nothing. Section "meaning" lets it go
//!   on from its last state. A trigger keeps the rows that were deleted, and a patch puts one back first.
//! - SQLite lists the columns that differ. A plan sends the whole state where the last writer gave a whole
//!   state, so of such an update the resulting states are compared, not the fields.
//! - SQLite knows the row it changes. Unknown bases have no counterpart; every base here is known.
//! - A column that is NULL stands for an absent field, as a null field does in a state.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics has failed")]
#![expect(unsafe_code, reason = "the session extension is called through its C interface")]

mod session;

use std::cell::Cell;
use std::collections::BTreeMap;

use foldlog::Uuid;
use foldlog::algebra::{
    Base, BaseMap, Change, CollectionName, EntityKey, Fold, Held, Knowledge, Operation, Patch, State, Update,
    plan,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rusqlite::Connection;
use session::Net;

const FIELDS: [&str; 3] = ["a", "b", "c"];
const VALUES: [&str; 5] = ["1", "1.0", "\"x\"", "[1,{\"k\":null}]", "false"];

/// A value a field; none is an absent one.
type Row = [Option<usize>; 3];

#[derive(Clone, Debug)]
enum Act {
    Create(Row),
    State(Row),
    /// Per field: not named, or the new value.
    Patch([Option<Option<usize>>; 3]),
    Delete,
}

#[derive(Clone, Debug)]
enum Was {
    Absent,
    Live(Row),
    Dead(Row),
}

fn row() -> impl Strategy<Value = Row> {
    prop::array::uniform3(prop::option::of(0..VALUES.len()))
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        2 => row().prop_map(Act::Create),
        2 => row().prop_map(Act::State),
        4 => prop::array::uniform3(prop::option::of(prop::option::of(0..VALUES.len()))).prop_map(Act::Patch),
        3 => Just(Act::Delete),
    ]
}

fn was() -> impl Strategy<Value = Was> {
    prop_oneof![Just(Was::Absent), row().prop_map(Was::Live), row().prop_map(Was::Dead)]
}

/// Six entities, three to a table.
fn key(entity: usize) -> EntityKey {
    let table = if entity < 3 { "notes" } else { "tags" };
    let id = Uuid::from_u128(0x5eed_0000_0000_4000_8000_0000_0000_0000 + entity as u128);
    EntityKey::new(CollectionName::new(table).unwrap(), id).unwrap()
}

fn json(fields: impl Iterator<Item = (&'static str, Option<usize>)>) -> String {
    let fields: Vec<String> = fields
        .map(|(name, value)| format!("\"{name}\":{}", value.map_or("null", |value| VALUES[value])))
        .collect();
    format!("{{{}}}", fields.join(","))
}

fn state(row: &Row) -> State {
    State::from_json(&json(FIELDS.into_iter().zip(*row))).unwrap()
}

fn operation(entity: usize, act: &Act) -> Operation {
    let change = match act {
        Act::Create(row) => Change::Create(state(row)),
        Act::State(row) => Change::Update(Update::State(state(row))),
        Act::Patch(fields) => {
            let named = FIELDS.into_iter().zip(*fields).filter_map(|(name, value)| Some((name, value?)));
            Change::Update(Update::Patch(Patch::from_json(&json(named)).unwrap()))
        }
        Act::Delete => Change::Delete,
    };
    Operation::new(key(entity), change)
}

/// The tables, and beside them what was deleted.
fn tables() -> Connection {
    let db = Connection::open_in_memory().unwrap();
    for table in ["notes", "tags"] {
        db.execute_batch(&format!(
            "CREATE TABLE {table} (id TEXT NOT NULL PRIMARY KEY, a TEXT, b TEXT, c TEXT);
             CREATE TABLE dead_{table} (id TEXT NOT NULL PRIMARY KEY, a TEXT, b TEXT, c TEXT);
             CREATE TRIGGER bury_{table} AFTER DELETE ON {table} BEGIN
               INSERT OR REPLACE INTO dead_{table} VALUES (old.id, old.a, old.b, old.c);
             END;"
        ))
        .unwrap();
    }
    db
}

fn text(value: Option<usize>) -> Option<&'static str> {
    value.map(|value| VALUES[value])
}

fn put(db: &Connection, table: &str, id: &str, row: &Row) {
    let [a, b, c] = row.map(text);
    db.prepare_cached(&format!(
        "INSERT INTO {table} VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (id) DO UPDATE SET a = ?2, b = ?3, c = ?4"
    ))
    .unwrap()
    .execute((id, a, b, c))
    .unwrap();
}

fn begin(db: &Connection, baseline: &[Was]) {
    for table in ["notes", "tags"] {
        db.execute_batch(&format!("DELETE FROM {table}; DELETE FROM dead_{table};")).unwrap();
    }
    for (entity, was) in baseline.iter().enumerate() {
        let key = key(entity);
        let (table, id) = (key.collection().as_str(), key.id().to_string());
        match was {
            Was::Absent => {}
            Was::Live(row) => put(db, table, &id, row),
            Was::Dead(row) => put(db, &format!("dead_{table}"), &id, row),
        }
    }
}

fn play(db: &Connection, entity: usize, act: &Act) {
    let key = key(entity);
    let (table, id) = (key.collection().as_str(), key.id().to_string());
    let run = |sql: &str, value: Option<&str>| {
        let mut statement = db.prepare_cached(sql).unwrap();
        match sql.contains("?2") {
            true => statement.execute((&id, value)).unwrap(),
            false => statement.execute((&id,)).unwrap(),
        };
    };
    match act {
        Act::Create(row) | Act::State(row) => put(db, table, &id, row),
        Act::Patch(fields) => {
            run(&format!("INSERT OR IGNORE INTO {table} SELECT * FROM dead_{table} WHERE id = ?1"), None);
            run(&format!("INSERT OR IGNORE INTO {table} (id) VALUES (?1)"), None);
            for (name, value) in FIELDS.into_iter().zip(fields) {
                if let Some(value) = value {
                    run(&format!("UPDATE {table} SET {name} = ?2 WHERE id = ?1"), text(*value));
                }
            }
        }
        Act::Delete => run(&format!("DELETE FROM {table} WHERE id = ?1"), None),
    }
}

fn bases(baseline: &[Was]) -> BaseMap {
    let mut bases = BaseMap::new(true);
    for (entity, was) in baseline.iter().enumerate() {
        match was {
            Was::Absent => {}
            Was::Live(row) => bases.insert(key(entity), Base::live(state(row), None)),
            Was::Dead(row) => {
                let held = Held { epoch: None, state: Knowledge::State(state(row)) };
                bases.insert(key(entity), Base::Dead(held));
            }
        }
    }
    bases
}

/// What both sides are brought to: the kind, the fields a patch names, the resulting state.
#[derive(Debug, PartialEq)]
struct Judged {
    net: Net,
    named: Option<Vec<String>>,
    state: Option<State>,
}

fn planned(
    log: &[Operation],
    bases: &BaseMap,
    before: &dyn Fn(&EntityKey) -> State,
) -> BTreeMap<EntityKey, Judged> {
    let mut fold = Fold::new();
    for operation in log {
        fold.push(operation);
    }
    let operations = plan(fold.effects(), bases, None).operations;
    let judged = operations.into_iter().map(|planned| {
        let key = planned.operation.key;
        let judged = match planned.operation.change {
            Change::Create(state) => Judged { net: Net::Insert, named: None, state: Some(state) },
            Change::Update(Update::State(state)) => {
                Judged { net: Net::Update, named: None, state: Some(state) }
            }
            Change::Update(Update::Patch(patch)) => Judged {
                net: Net::Update,
                named: Some(patch.iter().map(|(name, _)| name).collect()),
                state: Some(before(&key).with(&patch)),
            },
            Change::Delete => Judged { net: Net::Delete, named: None, state: None },
        };
        (key, judged)
    });
    judged.collect()
}

fn judged(
    changes: Vec<session::Change>,
    before: &dyn Fn(&EntityKey) -> State,
) -> BTreeMap<EntityKey, Judged> {
    let judged = changes.into_iter().map(|change| {
        let key =
            EntityKey::new(CollectionName::new(&change.table).unwrap(), change.id.parse().unwrap()).unwrap();
        let touched = || {
            FIELDS.into_iter().zip(&change.columns).filter_map(|(name, value)| Some((name, value.as_ref()?)))
        };
        let fields: Vec<String> = touched()
            .map(|(name, value)| format!("\"{name}\":{}", value.as_deref().unwrap_or("null")))
            .collect();
        let patch = Patch::from_json(&format!("{{{}}}", fields.join(","))).unwrap();
        let judged = match change.net {
            Net::Insert => Judged { net: Net::Insert, named: None, state: Some(State::empty().with(&patch)) },
            Net::Update => Judged {
                net: Net::Update,
                named: Some(touched().map(|(name, _)| name.to_owned()).collect()),
                state: Some(before(&key).with(&patch)),
            },
            Net::Delete => Judged { net: Net::Delete, named: None, state: None },
        };
        (key, judged)
    });
    judged.collect()
}

#[test]
fn the_plan_is_what_sqlites_changegroup_makes_of_the_log() {
    let db = tables();
    // Inserts, updates, deletes, and logs that came to nothing.
    let seen = Cell::new([0_usize; 4]);
    let note = |which: usize| {
        let mut counts = seen.get();
        counts[which] += 1;
        seen.set(counts);
    };
    let strategy =
        (prop::collection::vec(was(), 6), prop::collection::vec((0..6_usize, act()), 1..24), 1..4_usize);
    let mut runner =
        TestRunner::new(Config { cases: 10_000, failure_persistence: None, ..Config::default() });
    runner
        .run(&strategy, |(baseline, acts, chunk)| {
            begin(&db, &baseline);
            let mut changesets: Vec<Vec<u8>> = acts
                .chunks(chunk)
                .map(|acts| {
                    session::recorded(&db, || acts.iter().for_each(|(entity, act)| play(&db, *entity, act)))
                })
                .collect();
            let log: Vec<Operation> = acts.iter().map(|(entity, act)| operation(*entity, act)).collect();
            let before = |key: &EntityKey| {
                let entity = (0..6).find(|entity| self::key(*entity) == *key).unwrap();
                match &baseline[entity] {
                    Was::Live(row) => state(row),
                    Was::Absent | Was::Dead(_) => State::empty(),
                }
            };
            let mut ours = planned(&log, &bases(&baseline), &before);
            let theirs = judged(session::combined(&mut changesets), &before);
            for (key, ours) in &mut ours {
                // A whole state names no fields.
                if ours.named.is_none() && ours.net == Net::Update {
                    ours.named = theirs.get(key).and_then(|theirs| theirs.named.clone());
                }
            }
            prop_assert_eq!(&ours, &theirs);
            theirs.values().for_each(|judged| note(judged.net as usize));
            if theirs.is_empty() {
                note(3);
            }
            Ok(())
        })
        .unwrap();
    let [inserts, updates, deletes, nothings] = seen.get();
    println!(
        "compared {inserts} inserts, {updates} updates, {deletes} deletes; {nothings} logs came to nothing"
    );
    assert!(inserts.min(updates).min(deletes) > 1_000 && nothings > 20, "the generator lost its variety");
}
