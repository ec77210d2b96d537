//! Lies in a file's tables: what is stored there has its checksums, and says something else.

use redb::{Builder, Database, ReadableTable, WriteTransaction};

use crate::codec::frame::FRAME_HEAD_BYTES;
use crate::journal::stored::{TABLES, Table};
use crate::journal::tables::{Keyed, Numbered, REFERENCES, UNIQUE};
use crate::storage::Backend;
use crate::storage::memory::MemoryStorage;
use crate::testing::fuzz::build::Bytes;
use crate::testing::fuzz::frames::reframed;
use std::sync::Arc;

/// The most lies in one file.
const LIES_MAX: u8 = 4;

/// The file with some lies in it.
pub(super) fn told(bytes: &mut Bytes<'_>, file: &[u8]) -> Vec<u8> {
    let storage = Arc::new(MemoryStorage::of(file.to_vec()));
    let mut builder = Builder::new();
    builder.set_cache_size(1 << 20);
    let shared: crate::storage::Arced = Arc::<MemoryStorage>::clone(&storage);
    let db: Database = builder.create_with_backend(Backend::new(shared)).expect("a sound file");
    let txn = db.begin_write().expect("a sound file");
    for _ in 0..1 + bytes.below(LIES_MAX) {
        lie(bytes, &txn);
    }
    txn.commit().expect("a sound file");
    drop(db);
    let mut copy = Vec::new();
    storage.copy_to(&mut copy);
    copy
}

fn lie(bytes: &mut Bytes<'_>, txn: &WriteTransaction) {
    let indexes = [UNIQUE, REFERENCES];
    let place = bytes.below(20);
    match TABLES.get(place) {
        Some(Table::Rows(columns)) => numbered(bytes, txn, columns.rows, |n| columns.place(true, n).to_vec()),
        Some(Table::Payload(columns)) => {
            numbered(bytes, txn, columns.payload, |n| columns.place(false, n).to_vec());
        }
        Some(Table::Numbered { table, .. }) => numbered(bytes, txn, *table, |n| n.to_le_bytes().to_vec()),
        Some(Table::Keyed { table, .. }) => keyed(bytes, txn, *table),
        None => {
            if let Some(table) = indexes.get(place - TABLES.len()) {
                keyed(bytes, txn, *table);
            }
        }
    }
}

/// What becomes of a value: its body bent, or gone, or a copy of it under another key.
enum Lie {
    Bent,
    Gone,
    Elsewhere,
}

impl Lie {
    fn of(bytes: &mut Bytes<'_>) -> Self {
        match bytes.below(8) {
            0 => Lie::Gone,
            1 => Lie::Elsewhere,
            _ => Lie::Bent,
        }
    }
}

fn numbered(bytes: &mut Bytes<'_>, txn: &WriteTransaction, table: Numbered, place: impl Fn(u64) -> Vec<u8>) {
    let mut table = txn.open_table(table).expect("a sound file");
    let all: Vec<(u64, Vec<u8>)> = table
        .iter()
        .expect("a sound file")
        .map(|row| row.expect("a sound file"))
        .map(|(key, value)| (key.value(), value.value().to_vec()))
        .collect();
    let Some(chosen) = usize::from(bytes.next()).checked_rem(all.len()) else { return };
    let Some((number, value)) = all.get(chosen) else { return };
    let lied = match Lie::of(bytes) {
        Lie::Gone => {
            table.remove(number).expect("a sound file");
            return;
        }
        Lie::Elsewhere => (number.wrapping_add_signed(i64::from(bytes.next()) - 128), value.clone()),
        Lie::Bent => (*number, bent(bytes, value)),
    };
    let (number, value) = lied;
    let value = reframed(&place(number), &value);
    table.insert(number, value.as_slice()).expect("a sound file");
}

fn keyed(bytes: &mut Bytes<'_>, txn: &WriteTransaction, table: Keyed) {
    let mut table = txn.open_table(table).expect("a sound file");
    let all: Vec<(Vec<u8>, Vec<u8>)> = table
        .iter()
        .expect("a sound file")
        .map(|row| row.expect("a sound file"))
        .map(|(key, value)| (key.value().to_vec(), value.value().to_vec()))
        .collect();
    let Some(chosen) = usize::from(bytes.next()).checked_rem(all.len()) else { return };
    let Some((key, value)) = all.get(chosen) else { return };
    let lied = match Lie::of(bytes) {
        Lie::Gone => {
            table.remove(key.as_slice()).expect("a sound file");
            return;
        }
        // Under the key of another one of this table, or a key that is none.
        Lie::Elsewhere => {
            let other = all.get(bytes.below(16)).map_or(key, |(other, _)| other);
            let mut other = other.clone();
            if bytes.below(2) == 0 {
                bytes.bend(&mut other);
            }
            (other, value.clone())
        }
        Lie::Bent => (key.clone(), bent(bytes, value)),
    };
    let (key, value) = lied;
    let value = reframed(&key, &value);
    // The engine takes no key that is longer than this at most; nor does anybody have one.
    if key.len() < 4_096 {
        table.insert(key.as_slice(), value.as_slice()).expect("a sound file");
    }
}

/// A stored value with another body; its head is made anew by who writes it.
fn bent(bytes: &mut Bytes<'_>, value: &[u8]) -> Vec<u8> {
    let (head, body) = value.split_at_checked(FRAME_HEAD_BYTES).unwrap_or((value, &[]));
    let mut body = body.to_vec();
    if bytes.below(4) == 0 {
        bytes.bend(&mut body);
    } else {
        bytes.tamper(&mut body);
    }
    [head, &body].concat()
}
