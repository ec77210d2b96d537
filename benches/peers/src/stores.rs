//! The systems that keep a log durably, each in a folder of its own.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use fjall::{KeyspaceCreateOptions, PersistMode};
use foldlog::algebra::{Kind, Operation, Seq};
use foldlog::journal::{Durability, Journal, Options};
use redb::{Builder, ReadableDatabase, ReadableTable, TableDefinition, TableError};

use crate::log::{Seen, row};

const CACHE_BYTES: usize = 16 << 20;
const ROWS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("operations");

/// A durable log. Appending may be called by many threads at once.
pub(crate) trait Store: Sync {
    /// Appends operations; they are durable when this returns.
    fn append(&self, batch: &[Operation]);
}

/// One that knows where it goes on.
pub(crate) trait Database: Store {
    /// What it holds, from the first operation to the last.
    fn seen(&self) -> Seen;
}

/// A system: its name, how it is made for so many operations in all, and how a log that it kept is read back.
pub(crate) struct System {
    pub(crate) name: &'static str,
    pub(crate) create: fn(&Path, usize) -> Box<dyn Store>,
    pub(crate) read: fn(&Path) -> Seen,
}

pub(crate) const SYSTEMS: [System; 5] = [
    System { name: "limit", create: Limit::create, read: Limit::read },
    System {
        name: "foldlog",
        create: |folder, _| Foldlog::open(folder),
        read: |folder| Foldlog::open(folder).seen(),
    },
    System { name: "redb", create: |folder, _| Redb::open(folder), read: |folder| Redb::open(folder).seen() },
    System {
        name: "sqlite",
        create: |folder, _| Sqlite::open(folder),
        read: |folder| Sqlite::open(folder).seen(),
    },
    System {
        name: "fjall",
        create: |folder, _| Fjall::open(folder),
        read: |folder| Fjall::open(folder).seen(),
    },
];

/// How a database is opened, or made where there is none, until it could append.
type Open = fn(&Path) -> Box<dyn Database>;

pub(crate) const DATABASES: [(&str, Open); 5] = [
    ("foldlog", |folder| Foldlog::open(folder)),
    ("foldlog_flushed", |folder| Box::new(Flushed(Foldlog::open(folder)))),
    ("redb", |folder| Redb::open(folder)),
    ("sqlite", |folder| Sqlite::open(folder)),
    ("fjall", |folder| Fjall::open(folder)),
];

struct Foldlog(Journal);

impl Foldlog {
    fn open(folder: &Path) -> Box<Self> {
        let journal = Options::new().cache_bytes(CACHE_BYTES).create(folder.join("journal"));
        Box::new(Foldlog(journal.expect("a journal")))
    }
}

impl Database for Foldlog {
    fn seen(&self) -> Seen {
        let (mut seen, mut next) = (Seen::default(), 1);
        loop {
            let stretch = self.0.log(Seq(next), 16_384).expect("the log");
            if stretch.operations.is_empty() {
                return seen;
            }
            for logged in &stretch.operations {
                let at = logged.at.map_or(0, |at| at.0);
                seen.note(logged.seq.0, logged.id.into_bytes(), logged.kind == Kind::Delete, at);
            }
            next += stretch.operations.len() as u64;
        }
    }
}

impl Store for Foldlog {
    fn append(&self, batch: &[Operation]) {
        self.0.append(batch, Durability::Durable).expect("room");
    }
}

/// The same, flushed after each append, as a program does that goes to the background.
struct Flushed(Box<Foldlog>);

impl Database for Flushed {
    fn seen(&self) -> Seen {
        self.0.seen()
    }
}

impl Store for Flushed {
    fn append(&self, batch: &[Operation]) {
        self.0.append(batch);
        self.0.0.flush().expect("room");
    }
}

/// No more than must be: a file whose blocks are there, written and synced. It knows its rows by their lengths.
pub(crate) struct Limit(Mutex<(File, u64)>);

/// No row of ours is longer than this.
const ROW_BYTES: usize = 256;

impl Limit {
    pub(crate) fn create(folder: &Path, operations: usize) -> Box<dyn Store> {
        let open = OpenOptions::new().create(true).truncate(true).write(true).open(folder.join("log"));
        let file = open.expect("a file");
        let zeros = vec![0; 1 << 20];
        for piece in 0..=(operations * ROW_BYTES) >> 20 {
            file.write_all_at(&zeros, (piece << 20) as u64).expect("room");
        }
        file.sync_all().expect("a disk");
        Box::new(Limit(Mutex::new((file, 0))))
    }

    fn read(folder: &Path) -> Seen {
        let mut file = BufReader::with_capacity(1 << 20, File::open(folder.join("log")).expect("the file"));
        let (mut seen, mut seq, mut len, mut bytes) = (Seen::default(), 0, [0; 4], Vec::new());
        while file.read_exact(&mut len).is_ok() && len != [0; 4] {
            bytes.resize(u32::from_le_bytes(len) as usize, 0);
            file.read_exact(&mut bytes).expect("a whole row");
            seq += 1;
            seen.note_row(seq, &bytes);
        }
        seen
    }
}

impl Store for Limit {
    fn append(&self, batch: &[Operation]) {
        let (mut one, mut all) = (Vec::new(), Vec::new());
        for operation in batch {
            row(operation, &mut one);
            all.extend_from_slice(&u32::try_from(one.len()).expect("short").to_le_bytes());
            all.extend_from_slice(&one);
        }
        let mut file = self.0.lock().expect("no panic");
        let (file, end) = &mut *file;
        file.write_all_at(&all, *end).expect("room");
        *end += all.len() as u64;
        file.sync_data().expect("a disk");
    }
}

struct Redb {
    db: redb::Database,
    next: AtomicU64,
}

impl Redb {
    fn open(folder: &Path) -> Box<Self> {
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE_BYTES);
        let db = builder.create(folder.join("rows.redb")).expect("a database");
        let next = match db.begin_read().expect("a read").open_table(ROWS) {
            Ok(rows) => rows.last().expect("rows").map_or(1, |(seq, _)| seq.value() + 1),
            Err(TableError::TableDoesNotExist(_)) => 1,
            Err(error) => panic!("a table: {error}"),
        };
        Box::new(Redb { db, next: AtomicU64::new(next) })
    }
}

impl Database for Redb {
    fn seen(&self) -> Seen {
        let table = self.db.begin_read().expect("a read").open_table(ROWS).expect("the table");
        let mut seen = Seen::default();
        for row in table.iter().expect("rows") {
            let (seq, row) = row.expect("a row");
            seen.note_row(seq.value(), row.value());
        }
        seen
    }
}

impl Store for Redb {
    fn append(&self, batch: &[Operation]) {
        let mut value = Vec::new();
        let txn = self.db.begin_write().expect("a transaction");
        {
            let mut table = txn.open_table(ROWS).expect("a table");
            for operation in batch {
                row(operation, &mut value);
                let seq = self.next.fetch_add(1, Ordering::Relaxed);
                table.insert(seq, value.as_slice()).expect("room");
            }
        }
        txn.commit().expect("room");
    }
}

struct Sqlite(Mutex<rusqlite::Connection>);

impl Sqlite {
    fn open(folder: &Path) -> Box<Self> {
        let db = rusqlite::Connection::open(folder.join("rows.sqlite")).expect("a database");
        db.execute_batch(&format!(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-{};
             CREATE TABLE IF NOT EXISTS operations (seq INTEGER PRIMARY KEY, operation BLOB NOT NULL);",
            CACHE_BYTES >> 10
        ))
        .expect("a table");
        Box::new(Sqlite(Mutex::new(db)))
    }
}

impl Database for Sqlite {
    fn seen(&self) -> Seen {
        let db = self.0.lock().expect("no panic");
        let mut all = db.prepare("SELECT seq, operation FROM operations ORDER BY seq").expect("a query");
        let mut rows = all.query([]).expect("rows");
        let mut seen = Seen::default();
        while let Some(row) = rows.next().expect("a row") {
            let seq: i64 = row.get(0).expect("a number");
            seen.note_row(seq.cast_unsigned(), row.get_ref(1).expect("bytes").as_blob().expect("bytes"));
        }
        seen
    }
}

impl Store for Sqlite {
    fn append(&self, batch: &[Operation]) {
        let mut value = Vec::new();
        let mut db = self.0.lock().expect("no panic");
        let txn = db.transaction().expect("a transaction");
        {
            let mut insert =
                txn.prepare_cached("INSERT INTO operations (operation) VALUES (?)").expect("a statement");
            for operation in batch {
                row(operation, &mut value);
                insert.execute([&value]).expect("room");
            }
        }
        txn.commit().expect("room");
    }
}

struct Fjall {
    db: fjall::Database,
    rows: fjall::Keyspace,
    next: AtomicU64,
}

impl Fjall {
    fn open(folder: &Path) -> Box<Self> {
        let db = fjall::Database::builder(folder.join("fjall")).open().expect("a database");
        let rows = db.keyspace("operations", KeyspaceCreateOptions::default).expect("a keyspace");
        let next = rows.last_key_value().map_or(1, |last| number(&last.key().expect("a key")) + 1);
        Box::new(Fjall { db, rows, next: AtomicU64::new(next) })
    }
}

fn number(key: &[u8]) -> u64 {
    u64::from_be_bytes(key.try_into().expect("8"))
}

impl Database for Fjall {
    fn seen(&self) -> Seen {
        let mut seen = Seen::default();
        for row in self.rows.iter() {
            let (seq, row) = row.into_inner().expect("a row");
            seen.note_row(number(&seq), &row);
        }
        seen
    }
}

impl Store for Fjall {
    fn append(&self, batch: &[Operation]) {
        let (mut value, mut writes) = (Vec::new(), self.db.batch().durability(Some(PersistMode::SyncData)));
        for operation in batch {
            row(operation, &mut value);
            let seq = self.next.fetch_add(1, Ordering::Relaxed);
            writes.insert(&self.rows, seq.to_be_bytes(), value.as_slice());
        }
        writes.commit().expect("room");
    }
}
