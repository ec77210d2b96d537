//! One interleaved comparison with plain redb rows: bulk appends and reading back, in turn, round by round.
//!
//! The rows are what one would write without this crate: one durable transaction for every 10,000 operations, a
//! row an operation, its number as the key, the same bytes of entity, kind, time and fields as the value.
//! Reading back visits, on both sides, who did what: number, entity, kind, time.

use std::time::{Duration, Instant};

use foldlog::algebra::{Change, Kind, Operation, Seq, Update};
use foldlog::journal::{Durability, Journal, Options};
use foldlog::workload::Workload;
use redb::{Builder, Database, ReadableDatabase, ReadableTable, TableDefinition};

const ROUNDS: usize = 9;
const OPERATIONS: u64 = 500_000;
const BATCH: usize = 10_000;
const CACHE_BYTES: usize = 16 * 1024 * 1024;
const ROWS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("operations");

fn main() {
    let shares = Workload {
        operations: OPERATIONS,
        entities: 50_000,
        skew: 0,
        payload_bytes: 100,
        ..Workload::default()
    };
    let log: Vec<Operation> = shares.iter().expect("a plain name").collect();
    let mut appends = Vec::new();
    let mut reads = Vec::new();
    for _ in 0..ROUNDS {
        let (rows_append, rows_read) = rows(&log);
        let (journal_append, journal_read) = journal(&log);
        appends.push((rows_append, journal_append));
        reads.push((rows_read, journal_read));
    }
    report("bulk append, 10,000 a durable transaction", &appends);
    report("reading back who did what", &reads);
}

/// One row an operation, in plain redb.
fn rows(log: &[Operation]) -> (Duration, Duration) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rows.redb");
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    let db = builder.create(&path).expect("a database");
    let mut next = 1_u64;
    let mut value = Vec::new();
    let began = Instant::now();
    for batch in log.chunks(BATCH) {
        let txn = db.begin_write().expect("a transaction");
        {
            let mut table = txn.open_table(ROWS).expect("a table");
            for operation in batch {
                value.clear();
                value.extend_from_slice(operation.key.id().as_bytes());
                let kind: u8 = match &operation.change {
                    Change::Create(_) => 0,
                    Change::Update(Update::Patch(_)) => 1,
                    Change::Update(Update::State(_)) => 2,
                    Change::Delete => 3,
                };
                value.push(kind);
                value.extend_from_slice(&operation.at.map_or(0, |at| at.0).to_le_bytes());
                value.extend_from_slice(operation.key.collection().as_str().as_bytes());
                value.push(0);
                value.extend_from_slice(operation.change.fields_json().as_bytes());
                table.insert(next, value.as_slice()).expect("room");
                next += 1;
            }
        }
        txn.commit().expect("room");
    }
    let appended = began.elapsed();
    drop(db);
    let db: Database = builder.open(&path).expect("the database");
    let began = Instant::now();
    let txn = db.begin_read().expect("a transaction");
    let table = txn.open_table(ROWS).expect("the table");
    let mut seen = Seen::default();
    for row in table.iter().expect("rows") {
        let (seq, value) = row.expect("a row");
        let value = value.value();
        let (id, rest) = value.split_first_chunk::<16>().expect("a row of ours");
        let (kind, rest) = rest.split_first().expect("a row of ours");
        let at = rest.first_chunk::<8>().map_or(0, |at| u64::from_le_bytes(*at));
        seen.note(seq.value(), foldlog::Uuid::from_bytes(*id), *kind == 3, at);
    }
    let read = began.elapsed();
    assert_eq!(seen, Seen::of(log));
    (appended, read)
}

/// What reading back comes to, so that nothing of it is left out.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    operations: u64,
    deletes: u64,
    sum: u64,
}

impl Seen {
    fn note(&mut self, seq: u64, id: foldlog::Uuid, is_delete: bool, at: u64) {
        self.operations += 1;
        self.deletes += u64::from(is_delete);
        self.sum = self.sum.wrapping_mul(3).wrapping_add(seq ^ id.as_u64_pair().1 ^ at);
    }

    fn of(log: &[Operation]) -> Self {
        let mut seen = Seen::default();
        for (seq, operation) in (1..).zip(log) {
            let at = operation.at.map_or(0, |at| at.0);
            seen.note(seq, operation.key.id(), operation.change == Change::Delete, at);
        }
        seen
    }
}

fn journal(log: &[Operation]) -> (Duration, Duration) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("bench.journal");
    let options = || Options::new().cache_bytes(CACHE_BYTES);
    let journal = options().create(&path).expect("a journal");
    let began = Instant::now();
    for batch in log.chunks(BATCH) {
        journal.append(batch, Durability::Durable).expect("room");
    }
    let appended = began.elapsed();
    drop(journal);
    let journal: Journal = options().open(&path).expect("the journal");
    let began = Instant::now();
    let mut seen = Seen::default();
    loop {
        let stretch = journal.log(Seq(seen.operations + 1), 16_384).expect("the log");
        if stretch.operations.is_empty() {
            break;
        }
        for logged in &stretch.operations {
            let at = logged.at.map_or(0, |at| at.0);
            seen.note(logged.seq.0, logged.id, logged.kind == Kind::Delete, at);
        }
    }
    let read = began.elapsed();
    assert_eq!(seen, Seen::of(log));
    (appended, read)
}

fn report(what: &str, pairs: &[(Duration, Duration)]) {
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    let per_operation = |time: Duration| time.as_secs_f64() * 1e9 / OPERATIONS as f64;
    let rows = median(pairs.iter().map(|(rows, _)| per_operation(*rows)).collect());
    let ours = median(pairs.iter().map(|(_, ours)| per_operation(*ours)).collect());
    let ratio = median(pairs.iter().map(|(rows, ours)| rows.as_secs_f64() / ours.as_secs_f64()).collect());
    println!(
        "{what}: rows {rows:.0} ns an operation, journal {ours:.0} ns, ratio {ratio:.1} ({ROUNDS} rounds in turn)"
    );
}
