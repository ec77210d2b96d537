//! An authority on a file, beside plain redb doing upserts of as many rows in as many transactions.
//!
//! | row | the authority does | plain redb does |
//! |---|---|---|
//! | creates, updates, moves | answers bunches of 100 operations of one account | a durable transaction of 100 upserts each, with the places of a unique key in a second table |
//! | 16 threads | creates, and a third each of the three, of 16 accounts at once | the same from 16 threads |
//! | down pages | answers pages of 10,000 rows | reads as many rows by their keys |
//!
//! Each for entities without a schema and for entities with a unique key and a reference; moves are updates that give every
//! entity another key; last, a third each of the three. The two take turns, a part of the bunches each, so that what the disk does meanwhile meets both.
//!
//! `cargo bench --features workload --bench authority [-- BUNCHES [OPERATIONS_A_BUNCH]]`

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use foldlog::Uuid;
use foldlog::algebra::{
    Answer, Ask, Bunch, BunchNumber, CollectionName, Cursors, Digest, EntityKey, Epoch, Millis, Operation,
    Outcome, Patch, Planned, ReplicaId, Schema, Seq, State,
};
use foldlog::authority::{Account, Authority, FileAuthority};
use redb::{Builder, Database, ReadableDatabase, TableDefinition};

const BUNCHES: u64 = 400;
const OPERATIONS: u64 = 100;
const THREADS: u64 = 16;
const PAGE_ROWS: usize = 10_000;
/// The two take turns so many times.
const PARTS: u64 = 10;
const FOLDERS: u64 = 100;
const CACHE_BYTES: usize = 128 * 1024 * 1024;
const ROWS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rows");
/// The places of a unique key, as plain as can be: the value, then the id.
const PLACES: TableDefinition<'_, &[u8], ()> = TableDefinition::new("places");
const SCHEMA: &str = r#"{"collections":{"folders":{},"notes":{"unique":[["title"]],
    "references":{"in":{"to":"folders","on_delete":"cascade"}}}}}"#;

/// What is measured.
#[derive(Clone, Copy)]
struct Given {
    bunches: u64,
    operations: u64,
}

/// What is done to entities that are there.
#[derive(Clone, Copy)]
enum Doing {
    Create,
    Update,
    Move,
}

impl Doing {
    /// What the mixed bunches do, in turn.
    fn of(place: u64) -> Self {
        match place % 3 {
            0 => Doing::Create,
            1 => Doing::Update,
            _ => Doing::Move,
        }
    }
}

/// How long the authority and plain redb took for as many rows.
#[derive(Clone, Copy, Default)]
struct Took {
    ours: Duration,
    theirs: Duration,
}

fn main() {
    let mut numbers = std::env::args().filter_map(|text| text.parse().ok());
    let given = Given {
        bunches: numbers.next().unwrap_or(BUNCHES),
        operations: numbers.next().unwrap_or(OPERATIONS),
    };
    for has_schema in [false, true] {
        let keys = if has_schema { "a unique key and a reference" } else { "no schema" };
        println!("{} bunches of {}, {keys}", given.bunches, given.operations);
        let schema = if has_schema { SCHEMA } else { r#"{"collections":{}}"# };
        measure(given, &Schema::from_json(schema).expect("a schema"), has_schema);
    }
}

fn measure(given: Given, schema: &Schema, has_keys: bool) {
    let folder = tempfile::tempdir().expect("a folder");
    let authority =
        FileAuthority::create(folder.path().join("authority.redb"), schema.clone()).expect("an authority");
    let plain = plain(&folder.path().join("plain.redb"));
    let rows = given.bunches * given.operations;
    let account = account(0);
    deliver(&authority, &account, bunch(0, folders()));

    let mut took = Took::default();
    in_turns(given.bunches, |numbers| {
        let bunches: Vec<Bunch> = numbers.clone().map(|n| bunch(1 + n, creates(n, given))).collect();
        took.ours += timed(|| bunches.into_iter().for_each(|bunch| deliver(&authority, &account, bunch)));
        let places = |n| has_keys.then(|| (None, place(n, None)));
        let number = |n| (n * given.operations..(n + 1) * given.operations).map(move |n| (n, places(n)));
        took.theirs += timed(|| numbers.for_each(|n| upsert(&plain, number(n))));
    });
    tell("creates", rows, took);

    let mut kinds = vec![("updates", Doing::Update)];
    if has_keys {
        kinds.push(("moves", Doing::Move));
    }
    for (round, (word, doing)) in (1..).zip(kinds) {
        let mut took = Took::default();
        in_turns(given.bunches, |numbers| {
            let number = |n| 1 + round * given.bunches + n;
            let made = |n| bunch(number(n), updates(n, given, doing));
            let bunches: Vec<Bunch> = numbers.clone().map(made).collect();
            took.ours += timed(|| bunches.into_iter().for_each(|bunch| deliver(&authority, &account, bunch)));
            took.theirs += timed(|| {
                numbers.for_each(|bunch| {
                    let all =
                        (0..given.operations).map(|one| scattered(bunch * given.operations + one, rows));
                    let moves = |n| match doing {
                        Doing::Update => None,
                        Doing::Create | Doing::Move => Some((Some(place(n, None)), place(n, Some(bunch)))),
                    };
                    upsert(&plain, all.map(|n| (n, moves(n))));
                });
            });
        });
        tell(word, rows, took);
    }

    let mut took = Took::default();
    let pages = read_all(&authority, &account, rows, &mut took.ours);
    took.theirs = timed(|| {
        for first in (0..rows).step_by(PAGE_ROWS) {
            let table = plain.begin_read().expect("a read").open_table(ROWS).expect("a table");
            for n in first..(first + PAGE_ROWS as u64).min(rows) {
                let row = table.get(id(n).as_bytes().as_slice()).expect("a read").expect("a row");
                assert!(row.value().len() > 100);
            }
        }
    });
    tell(&format!("{pages} down pages"), rows, took);
    if has_keys {
        let mut took = Took::default();
        in_turns(given.bunches, |numbers| {
            // They were moved in the order of their places.
            let base = |_, at| 2 * rows + at + 1;
            let made = |n| bunch(1 + 3 * given.bunches + n, mixed(n, given, base));
            let bunches: Vec<Bunch> = numbers.clone().map(made).collect();
            took.ours += timed(|| bunches.into_iter().for_each(|bunch| deliver(&authority, &account, bunch)));
            took.theirs += timed(|| {
                numbers.for_each(|bunch| {
                    let moved = |n, at| (n, Some(at / given.operations));
                    let of = |at| mixed_plain(at, rows, |n| moved(n, at), rows + at);
                    upsert(&plain, (bunch * given.operations..(bunch + 1) * given.operations).map(of));
                });
            });
        });
        tell("a third each", rows, took);
    }
    drop((authority, plain));
    threads(given, schema, has_keys);
}

/// Every thread an account of its own, all of them at once.
fn threads(given: Given, schema: &Schema, has_keys: bool) {
    let folder = tempfile::tempdir().expect("a folder");
    let authority =
        FileAuthority::create(folder.path().join("authority.redb"), schema.clone()).expect("an authority");
    let plain = plain(&folder.path().join("plain.redb"));
    let given = Given { bunches: given.bunches / PARTS, ..given };
    let rows = given.bunches * given.operations;
    (0..THREADS).for_each(|number| deliver(&authority, &account(number), bunch(0, folders())));
    let at_once = |word: &str, ours: &dyn Fn(u64) -> Vec<Bunch>, theirs: &(dyn Fn(u64, u64) + Sync)| {
        let mut took = Took::default();
        let all: Vec<(Account, Vec<Bunch>)> =
            (0..THREADS).map(|number| (account(number), ours(number))).collect();
        let authority = &authority;
        took.ours = timed(|| {
            thread::scope(|scope| {
                for (account, bunches) in all {
                    let deliver = move |bunch| deliver(authority, &account, bunch);
                    scope.spawn(move || bunches.into_iter().for_each(deliver));
                }
            });
        });
        took.theirs = timed(|| {
            thread::scope(|scope| {
                for number in 0..THREADS {
                    scope.spawn(move || (0..given.bunches).for_each(|bunch| theirs(number, bunch)));
                }
            });
        });
        tell(&format!("{word}, {THREADS} threads"), THREADS * rows, took);
    };
    let made = |_| (0..given.bunches).map(|n| bunch(1 + n, creates(n, given))).collect();
    at_once("creates", &made, &|number, bunch| {
        let first = number * rows + bunch * given.operations;
        let place = |n| has_keys.then(|| (None, place(n, None)));
        upsert(&plain, (first..first + given.operations).map(|n| (n, place(n))));
    });
    if has_keys {
        let base = |n, _| n + 1;
        let made =
            |_| (0..given.bunches).map(|n| bunch(1 + given.bunches + n, mixed(n, given, base))).collect();
        at_once("a third each", &made, &|number, bunch| {
            let of = |at| {
                mixed_plain(at, rows, |n| (number * rows + n, None), THREADS * rows + number * rows + at)
            };
            upsert(&plain, (bunch * given.operations..(bunch + 1) * given.operations).map(of));
        });
    }
}

fn in_turns(bunches: u64, mut part: impl FnMut(std::ops::Range<u64>)) {
    for turn in 0..PARTS {
        part(bunches * turn / PARTS..bunches * (turn + 1) / PARTS);
    }
}

fn tell(what: &str, rows: u64, took: Took) {
    let rate = |took: Duration| rows as f64 / took.as_secs_f64();
    let ratio = took.ours.as_secs_f64() / took.theirs.as_secs_f64();
    let (ours, theirs) = (rate(took.ours), rate(took.theirs));
    println!("  {what}: {ours:.0} rows/s, {ratio:.2}x the time of plain redb ({theirs:.0} rows/s)");
}

fn timed(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

fn account(number: u64) -> Account {
    Account::new(&format!("account {number}")).expect("a name")
}

fn deliver(authority: &FileAuthority, account: &Account, bunch: Bunch) {
    let replica = ReplicaId(Uuid::from_u128(7));
    let ask = Ask::Deliver { replica, bunch, generation: None };
    let answer = authority.answer(account, Millis(1_700_000_000_000), &ask).expect("an answer");
    let Answer::Delivered(outcomes) = answer else { panic!("{answer:?}") };
    assert!(outcomes.outcomes.iter().all(|outcome| matches!(outcome, Outcome::Accepted { .. })));
}

fn read_all(authority: &FileAuthority, account: &Account, rows: u64, took: &mut Duration) -> u64 {
    let (mut cursors, mut pages, mut read) = (Cursors::new(), 0, 0);
    loop {
        let ask = Ask::Changes { cursors, floors: Cursors::new(), generation: None, rows_max: PAGE_ROWS };
        let began = Instant::now();
        let answer = authority.answer(account, Millis(1_700_000_000_000), &ask).expect("an answer");
        *took += began.elapsed();
        let Answer::Changes(page) = answer else { panic!("{answer:?}") };
        pages += 1;
        read += page.rows.len() as u64;
        cursors = page.cursors;
        if !page.has_more {
            assert_eq!(read, rows + FOLDERS);
            return pages;
        }
    }
}

/// A bunch as a journal seals it, of operations on the bases that they were made on; its digest is only compared.
fn bunch(number: u64, operations: Vec<(Epoch, Operation)>) -> Bunch {
    let planned = |(place, (base, operation)): (u64, (Epoch, Operation))| Planned {
        operation,
        base: Some(base),
        first: Seq(place),
        last: Seq(place),
        operations: 1,
        touched: None,
    };
    let operations = (1..).zip(operations).map(planned).collect();
    Bunch { number: BunchNumber(number), id: Digest([7; 32]), operations }
}

fn folders() -> Vec<(Epoch, Operation)> {
    let create = |n| Operation::create(key("folders", Uuid::from_u128(1 + u128::from(n))), State::empty());
    (0..FOLDERS).map(create).map(|operation| (Epoch(0), operation)).collect()
}

fn creates(bunch: u64, given: Given) -> Vec<(Epoch, Operation)> {
    let numbers = bunch * given.operations..(bunch + 1) * given.operations;
    let create = |n| {
        let state = State::from_json(&row(n)).expect("a state");
        let operation = Operation::create(key("notes", id(n)), state);
        (Epoch(0), operation.at(1_699_000_000_000 + n).expect("a time"))
    };
    numbers.map(create).collect()
}

fn updates(bunch: u64, given: Given, doing: Doing) -> Vec<(Epoch, Operation)> {
    let rows = given.bunches * given.operations;
    let update = |place: u64| {
        let n = scattered(bunch * given.operations + place, rows);
        let (json, base) = match doing {
            // They were created in the order of their numbers, and updated in that of their places.
            Doing::Update => (format!(r#"{{"text":"{}"}}"#, "y".repeat(60)), n + 1),
            Doing::Create | Doing::Move => (
                format!(r#"{{"title":"{}"}}"#, title(n, Some(bunch))),
                rows + bunch * given.operations + place + 1,
            ),
        };
        let operation = Operation::patch(key("notes", id(n)), Patch::from_json(&json).expect("a patch"));
        (Epoch(base), operation.at(1_699_500_000_000 + n).expect("a time"))
    };
    (0..given.operations).map(update).collect()
}

/// A third each creates an entity, changes one, and gives one another key, all after what was done before: `base` tells
/// the epoch of an entity's last change, of its number and of its place here.
fn mixed(bunch: u64, given: Given, base: impl Fn(u64, u64) -> u64) -> Vec<(Epoch, Operation)> {
    let rows = given.bunches * given.operations;
    let one = |at: u64| {
        let n = scattered(at, rows);
        let base = base(n, at);
        let patch = |json: String, base| {
            let patch = Patch::from_json(&json).expect("a patch");
            (Epoch(base), Operation::patch(key("notes", id(n)), patch))
        };
        let (base, operation) = match Doing::of(at) {
            Doing::Create => {
                let state = State::from_json(&row(rows + at)).expect("a state");
                (Epoch(0), Operation::create(key("notes", id(rows + at)), state))
            }
            Doing::Update => patch(format!(r#"{{"text":"{}"}}"#, "z".repeat(60)), base),
            Doing::Move => patch(format!(r#"{{"title":"{}"}}"#, title(n, Some(rows + at))), base),
        };
        (base, operation.at(1_699_900_000_000 + at).expect("a time"))
    };
    (bunch * given.operations..(bunch + 1) * given.operations).map(one).collect()
}

/// The same for plain redb: `held` tells the number and the last move of an entity, `new` is a number that nothing has.
fn mixed_plain(
    at: u64,
    rows: u64,
    held: impl Fn(u64) -> (u64, Option<u64>),
    new: u64,
) -> (u64, Option<Places>) {
    let (n, moved) = held(scattered(at, rows));
    match Doing::of(at) {
        Doing::Create => (new, Some((None, place(new, None)))),
        Doing::Update => (n, None),
        Doing::Move => (n, Some((Some(place(n, moved)), place(n, Some(new))))),
    }
}

/// Every number below `rows` once, out of order.
fn scattered(n: u64, rows: u64) -> u64 {
    n.wrapping_mul(7_919) % rows
}

fn key(collection: &str, id: Uuid) -> EntityKey {
    EntityKey::new(CollectionName::new(collection).expect("a name"), id).expect("an id")
}

/// Scattered ids: the harder case.
fn id(n: u64) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, &n.to_le_bytes())
}

fn row(n: u64) -> String {
    let folder = Uuid::from_u128(1 + u128::from(n % FOLDERS));
    format!(r#"{{"in":"{folder}","text":"{}","title":"{}"}}"#, "x".repeat(60), title(n, None))
}

/// The unique key of a row, once it was moved by a bunch.
fn title(n: u64, moved: Option<u64>) -> String {
    moved.map_or_else(|| format!("title {n}"), |bunch| format!("title {n} {bunch}"))
}

fn place(n: u64, moved: Option<u64>) -> Vec<u8> {
    [title(n, moved).as_bytes(), id(n).as_bytes()].concat()
}

fn plain(path: &Path) -> Database {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    builder.create(path).expect("a database")
}

/// The place that is left, if there was one, and the place that is taken.
type Places = (Option<Vec<u8>>, Vec<u8>);

/// One durable transaction of upserts, with what becomes of their places. Those are written in order, as the authority does.
fn upsert(db: &Database, rows: impl Iterator<Item = (u64, Option<Places>)>) {
    let txn = db.begin_write().expect("a transaction");
    {
        let mut table = txn.open_table(ROWS).expect("a table");
        let mut moves = BTreeMap::new();
        for (n, places) in rows {
            table.insert(id(n).as_bytes().as_slice(), row(n).as_bytes()).expect("a row");
            if let Some((left, taken)) = places {
                moves.extend(left.map(|left| (left, false)));
                moves.insert(taken, true);
            }
        }
        let mut table = txn.open_table(PLACES).expect("a table");
        for (place, is_in) in moves {
            if is_in {
                table.insert(place.as_slice(), ()).expect("a place");
            } else {
                table.remove(place.as_slice()).expect("a place");
            }
        }
    }
    txn.commit().expect("a commit");
}
