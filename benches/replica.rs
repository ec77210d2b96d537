//! A replica of a million entities, beside plain redb doing the upserts that come to the same.
//!
//! | row | the replica does | plain redb does |
//! |---|---|---|
//! | down sync | takes pages of rows from memory | a transaction of as many upserts of the same bytes |
//! | get | reads an entity | reads a row |
//! | local update | a durable patch | a durable upsert of the row |
//! | 10,000 pending | seals and settles them, the middle one of seven times | an upsert of each, twice, in two transactions |
//!
//! Each for entities without a schema and for entities with a unique key and a reference; and for ids that follow time
//! (UUID version 7) and ids that are scattered (version 4).
//!
//! `cargo bench --features workload --bench replica [-- ENTITIES [ROWS_A_PAGE]]`

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use foldlog::Uuid;
use foldlog::algebra::{
    CollectionName, Cursors, EntityKey, Epoch, Existence, FullRow, Generation, Limits, Millis, Operation,
    Outcome, Outcomes, Page, Patch, ReplicaId, Resulting, Schema, Stamp, Stamps, State, Version,
};
use foldlog::journal::{Durability, Options};
use foldlog::replica::Replica;
use redb::{Builder, Database, ReadableDatabase, TableDefinition};

const ENTITIES: u64 = 1_000_000;
/// As many as an engine asks for at once.
const PAGE_ROWS: u64 = 10_000;
const GETS: u64 = 20_000;
const UPDATES: u64 = 400;
const PENDING: u64 = 10_000;
/// Odd, so that there is one in the middle.
const ROUNDS: u64 = 7;
const CACHE_BYTES: usize = 16 * 1024 * 1024;
const ROWS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rows");
const SCHEMA: &str = r#"{"collections":{"folders":{},"notes":{"unique":[["title"]],
    "references":{"in":{"to":"folders","on_delete":"cascade"}}}}}"#;

#[derive(Clone, Copy, PartialEq)]
enum Ids {
    Ordered,
    Scattered,
}

/// What is measured.
#[derive(Clone, Copy)]
struct Given {
    entities: u64,
    page_rows: u64,
    ids: Ids,
    has_schema: bool,
}

fn main() {
    let mut numbers = std::env::args().filter_map(|text| text.parse().ok());
    let (entities, page_rows) = (numbers.next().unwrap_or(ENTITIES), numbers.next().unwrap_or(PAGE_ROWS));
    for has_schema in [false, true] {
        for ids in [Ids::Ordered, Ids::Scattered] {
            let keys = if has_schema { "a unique key and a reference" } else { "no schema" };
            let order = if ids == Ids::Ordered { "ordered" } else { "scattered" };
            println!("{entities} entities, {keys}, {order} ids, pages of {page_rows}");
            measure(Given { entities, page_rows, ids, has_schema });
        }
    }
}

fn measure(given: Given) {
    let Given { entities, page_rows, ids, has_schema } = given;
    let folder = tempfile::tempdir().expect("a folder");
    let mut options = Options::new().cache_bytes(CACHE_BYTES);
    if has_schema {
        options = options.schema(Schema::from_json(SCHEMA).expect("a schema"));
    }
    let replica = Replica::create(folder.path().join("replica.redb"), options).expect("a replica");
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    let plain = builder.create(folder.path().join("plain.redb")).expect("a database");
    let key = |n| key(n, ids);

    let (mut ours, mut theirs) = (Duration::ZERO, Duration::ZERO);
    for first in (0..entities).step_by(usize::try_from(page_rows).expect("a small number")) {
        let page = page(first, given);
        let began = Instant::now();
        replica.take_page(&page).expect("a page");
        ours += began.elapsed();
        let began = Instant::now();
        upsert(&plain, page.rows.iter().map(|row| &row.key), "{}");
        theirs += began.elapsed();
    }
    let rate = entities as f64 / ours.as_secs_f64();
    println!("  down sync: {rate:.0} rows/s, {:.2}x the time of plain upserts", ratio(ours, theirs));

    let places = (0..GETS).map(|n| n.wrapping_mul(7_919_113) % entities);
    let began = Instant::now();
    for n in places.clone() {
        assert!(replica.get(&key(n)).expect("a read").is_some());
    }
    let ours = began.elapsed();
    let began = Instant::now();
    for n in places {
        let table = plain.begin_read().expect("a read").open_table(ROWS).expect("a table");
        assert!(table.get(key(n).id().as_bytes().as_slice()).expect("a read").is_some());
    }
    let theirs = began.elapsed();
    println!("  get: {:.1} us, {:.2}x plain", micros(ours, GETS), ratio(ours, theirs));

    let (mut ours, mut theirs) = (Duration::ZERO, Duration::ZERO);
    for n in 0..UPDATES {
        let key = key(n.wrapping_mul(104_729) % entities);
        let patch = Patch::from_json(&format!(r#"{{"n":{n}}}"#)).expect("a patch");
        let began = Instant::now();
        replica.commit(&[Operation::patch(key.clone(), patch)], Durability::Durable).expect("an update");
        ours += began.elapsed();
        let began = Instant::now();
        upsert(&plain, std::iter::once(&key), "{}");
        theirs += began.elapsed();
    }
    println!("  local update: {:.0} us, {:.2}x plain", micros(ours, UPDATES), ratio(ours, theirs));

    seal_and_settle(&replica, entities + 1);

    // What somebody works on: entities made lately, where ids tell.
    let keys: Vec<EntityKey> = (0..PENDING.min(entities)).map(|n| key(entities - 1 - n)).collect();
    let mut rounds = Vec::new();
    let mut theirs = Vec::new();
    for round in 0..ROUNDS {
        let patch = Patch::from_json(&format!(r#"{{"m":{round}}}"#)).expect("a patch");
        let operations: Vec<Operation> =
            keys.iter().map(|key| Operation::patch(key.clone(), patch.clone())).collect();
        replica.commit(&operations, Durability::Durable).expect("updates");
        rounds.push(seal_and_settle(&replica, entities + 1 + UPDATES + round * PENDING));
        let began = Instant::now();
        upsert(&plain, keys.iter(), "{}");
        upsert(&plain, keys.iter(), "{ }");
        theirs.push(began.elapsed());
    }
    let first: Duration = rounds.first().map(|(sealed, settled)| *sealed + *settled).expect("a round");
    rounds.sort_by_key(|(sealed, settled)| *sealed + *settled);
    theirs.sort();
    let (sealed, settled) = *rounds.get(rounds.len() / 2).expect("a middle");
    let theirs = *theirs.get(theirs.len() / 2).expect("a middle");
    println!(
        "  {} pending: sealed in {} ms, settled in {} ms, {:.2}x plain (the first of {ROUNDS} times: {} ms)",
        keys.len(),
        sealed.as_millis(),
        settled.as_millis(),
        ratio(sealed + settled, theirs),
        first.as_millis(),
    );
}

/// Seals what is pending and settles it, all of it accepted; how long each took.
fn seal_and_settle(replica: &Replica, first_epoch: u64) -> (Duration, Duration) {
    let began = Instant::now();
    let bunch = replica.seal(Limits::default()).expect("a seal").expect("a bunch");
    let sealed = began.elapsed();
    let accepted = |n: usize| Outcome::Accepted {
        epoch: Some(Epoch(first_epoch + n as u64)),
        result: Resulting::AsSent,
        overwrote: None,
    };
    let outcomes = (0..bunch.operations.len()).map(accepted).collect();
    let began = Instant::now();
    replica.settle(&Outcomes { bunch: bunch.number, outcomes }).expect("outcomes");
    (sealed, began.elapsed())
}

fn key(n: u64, ids: Ids) -> EntityKey {
    let scattered = Uuid::new_v5(&Uuid::NAMESPACE_OID, &n.to_le_bytes());
    let id = match ids {
        // Some four a millisecond.
        Ids::Ordered => {
            let [random @ .., _, _, _, _, _, _] = scattered.into_bytes();
            uuid::Builder::from_unix_timestamp_millis(1_700_000_000_000 + n / 4, &random).into_uuid()
        }
        Ids::Scattered => scattered,
    };
    EntityKey::new(CollectionName::new("notes").expect("a name"), id).expect("an id")
}

fn page(first: u64, given: Given) -> Page {
    let Given { entities, page_rows, ids, .. } = given;
    let rows = (first..(first + page_rows).min(entities)).map(|n| {
        let folder = Uuid::from_u128(1 + u128::from(n % 100));
        let json = format!(r#"{{"in":"{folder}","text":"{}","title":"title {n}"}}"#, "x".repeat(60));
        let created = Some(Stamp { at: Millis(n), replica: Some(ReplicaId(Uuid::from_u128(9))) });
        let version = Version {
            existence: Existence::Live(State::from_json(&json).expect("a state")),
            stamps: Stamps { created, ..Stamps::default() },
        };
        FullRow { key: key(n, ids), version, epoch: Epoch(n + 1), writer: None }
    });
    let rows: Vec<FullRow> = rows.collect();
    let cursor = Epoch(first + rows.len() as u64);
    let cursors: Cursors = BTreeMap::from([(CollectionName::new("notes").expect("a name"), cursor)]);
    Page {
        generation: Generation(Uuid::from_u128(1)),
        has_more: cursor.0 < entities,
        rows,
        cursors,
        ..Page::default()
    }
}

/// One durable transaction that writes about what a replica writes of an entity.
fn upsert<'k>(db: &Database, keys: impl Iterator<Item = &'k EntityKey>, more: &str) {
    let value =
        format!(r#"{{"in":"{}","text":"{}","title":"title 123456"}}{more}"#, Uuid::nil(), "x".repeat(60));
    let txn = db.begin_write().expect("a transaction");
    {
        let mut table = txn.open_table(ROWS).expect("a table");
        for key in keys {
            table.insert(key.id().as_bytes().as_slice(), value.as_bytes()).expect("a row");
        }
    }
    txn.commit().expect("a commit");
}

fn ratio(ours: Duration, theirs: Duration) -> f64 {
    ours.as_secs_f64() / theirs.as_secs_f64()
}

fn micros(duration: Duration, count: u64) -> f64 {
    duration.as_secs_f64() * 1e6 / count as f64
}
