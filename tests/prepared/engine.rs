//! Changing single values of a journal's file by the engine alone: what is left is sound page by page.
#![expect(clippy::indexing_slicing, reason = "a test that panics has failed")]

use std::path::Path;

use redb::{Database, ReadableTable, TableDefinition, WriteTransaction};

/// Where the kind, the version, and the checksum stand in a frame's head, and where its body begins.
const VERSION: usize = 3;
const HASH: usize = 8;
const BODY: usize = 24;

/// The log's rows, the run's, and the triggers.
pub(crate) const LOG_ROWS: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("log_rows");
pub(crate) const RUN_ROWS: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("run_rows");
pub(crate) const INBOX: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("inbox");

/// A table whose keys are no numbers.
pub(crate) fn keyed(name: &str) -> TableDefinition<'_, &'static [u8], &'static [u8]> {
    TableDefinition::new(name)
}

/// Changes a file that nobody has open.
pub(crate) fn changed<T>(path: &Path, change: impl FnOnce(&WriteTransaction) -> T) -> T {
    let engine = Database::open(path).unwrap();
    let txn = engine.begin_write().unwrap();
    let done = change(&txn);
    txn.commit().unwrap();
    done
}

/// The numbers of a table's values.
pub(crate) fn numbers(path: &Path, table: TableDefinition<'static, u64, &[u8]>) -> Vec<u64> {
    changed(path, |txn| {
        txn.open_table(table).unwrap().iter().unwrap().map(|value| value.unwrap().0.value()).collect()
    })
}

/// Changes a value that has a number.
pub(crate) fn at_number(
    path: &Path,
    table: TableDefinition<'static, u64, &[u8]>,
    number: u64,
    change: impl FnOnce(&mut Vec<u8>),
) {
    changed(path, |txn| {
        let mut table = txn.open_table(table).unwrap();
        let mut value = table.get(number).unwrap().unwrap().value().to_owned();
        change(&mut value);
        table.insert(number, value.as_slice()).unwrap();
    });
}

/// Changes the first value of a table whose keys are no numbers; gives the key.
pub(crate) fn at_first_key(path: &Path, name: &str, change: impl FnOnce(&[u8], &mut Vec<u8>)) -> Vec<u8> {
    changed(path, |txn| {
        let mut table = txn.open_table(keyed(name)).unwrap();
        let (key, mut value) = {
            let (key, value) = table.first().unwrap().unwrap();
            (key.value().to_owned(), value.value().to_owned())
        };
        change(&key, &mut value);
        table.insert(key.as_slice(), value.as_slice()).unwrap();
        key
    })
}

/// What a frame of rows is bound to: the list, that it is rows, and its number.
pub(crate) fn place_of_rows(list: u8, number: u64) -> Vec<u8> {
    [&[list, 1][..], &number.to_le_bytes()].concat()
}

/// Says of a frame that a newer program wrote it.
pub(crate) fn newer(place: &[u8], frame: &mut [u8]) {
    frame[VERSION] += 1;
    resealed(place, frame);
}

/// Makes a frame's checksum agree with what was changed in it.
pub(crate) fn resealed(place: &[u8], frame: &mut [u8]) {
    let (head, body) = frame.split_at_mut(BODY);
    let mut hasher = blake3::Hasher::new();
    hasher.update(body);
    hasher.update(&head[..HASH]);
    hasher.update(place);
    hasher.finalize_xof().fill(&mut head[HASH..]);
}
