//! Rows that are read ahead, by a thread of their own.
//!
//! They come in batches, over a channel that holds a few: neither side waits long for the other, and memory holds no more
//! than that. One thread walks through one replica: the engine keeps what it read in one place, and two that walk through
//! different parts of one file mostly wait for each other.

use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, Scope};

use redb::ReadableTable;

use super::Bytes;
use super::walk::{Row, Rows, Sorted, Walked};
use crate::journal::Error;

/// So many bytes of rows are handed over at once, and so many times that wait to be taken: to wake a thread costs as much
/// as to read hundreds of rows.
const BATCH_BYTES: usize = 256 << 10;
const BATCHES: usize = 8;

/// Rows that lie one behind the other.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    /// Where the place and the value of each end, and whether it is what the authority has.
    rows: Vec<(usize, usize, bool)>,
}

impl Batch {
    /// Adds a row, and says whether there is room for another one.
    fn push(&mut self, row: Row<'_>) -> bool {
        self.bytes.extend_from_slice(row.place);
        let place = self.bytes.len();
        self.bytes.extend_from_slice(row.value);
        self.rows.push((place, self.bytes.len(), row.is_base));
        self.bytes.len() < BATCH_BYTES
    }

    fn row(&self, number: usize) -> Option<Row<'_>> {
        let (place, value, is_base) = *self.rows.get(number)?;
        let begins = number.checked_sub(1).and_then(|before| self.rows.get(before)).map_or(0, |row| row.1);
        let (place, value) = (self.bytes.get(begins..place)?, self.bytes.get(place..value)?);
        Some(Row { place, value, is_base })
    }
}

/// Rows that are read ahead.
pub(super) struct Ahead {
    batches: Receiver<Result<Batch, Error>>,
    batch: Batch,
    passed: usize,
    /// Where batches go back to when their rows are passed, to be filled again.
    back: SyncSender<Batch>,
}

impl Ahead {
    pub(super) fn of<'scope, R: ReadableTable<Bytes, Bytes> + Sync + 'scope>(
        scope: &'scope Scope<'scope, '_>,
        walked: Walked<'scope, R>,
    ) -> Result<Self, Error> {
        let (sender, batches) = sync_channel(BATCHES);
        let (back, empty) = sync_channel(BATCHES);
        let reads = move || {
            if let Err(error) = hand_over(&walked, &sender, &empty) {
                // Whether anybody still listens does not matter.
                drop(sender.send(Err(error)));
            }
        };
        let thread = Builder::new().name("foldlog-ahead".to_owned()).spawn_scoped(scope, reads);
        let doing = || "no thread could be started to read it".to_owned();
        thread.map_err(|source| Error::Io { doing: doing(), source })?;
        let mut ahead = Ahead { batches, batch: Batch::default(), passed: 0, back };
        ahead.refill()?;
        Ok(ahead)
    }

    fn refill(&mut self) -> Result<(), Error> {
        // Whoever reads ends with an error or with an empty batch, so that a broken-off walk is never taken for a whole
        // one.
        let next = self.batches.recv().map_err(|_| Error::Failed)??;
        let mut passed = std::mem::replace(&mut self.batch, next);
        passed.bytes.clear();
        passed.rows.clear();
        // Whether anybody still fills it does not matter.
        drop(self.back.try_send(passed));
        self.passed = 0;
        Ok(())
    }
}

impl Sorted for Ahead {
    fn first(&self) -> Option<Row<'_>> {
        self.batch.row(self.passed)
    }

    fn pass(&mut self) -> Result<(), Error> {
        self.passed += 1;
        if self.passed < self.batch.rows.len() { Ok(()) } else { self.refill() }
    }
}

/// Reads all rows for whoever takes them, as long as somebody does.
fn hand_over<R: ReadableTable<Bytes, Bytes>>(
    walked: &Walked<'_, R>,
    to: &SyncSender<Result<Batch, Error>>,
    empty: &Receiver<Batch>,
) -> Result<(), Error> {
    let mut batch = Batch::default();
    let send = |batch: &mut Batch| {
        let next = empty.try_recv().unwrap_or_else(|_| Batch {
            bytes: Vec::with_capacity(batch.bytes.capacity()),
            rows: Vec::with_capacity(batch.rows.capacity()),
        });
        let full = std::mem::replace(batch, next);
        if to.send(Ok(full)).is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let walked = Rows::all(walked, &mut |row| {
        if batch.push(row) { ControlFlow::Continue(()) } else { send(&mut batch) }
    })?;
    if walked.is_continue() && (batch.rows.is_empty() || send(&mut batch).is_continue()) {
        drop(to.send(Ok(Batch::default())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::algebra::{CollectionName, EntityKey, Epoch, Existence, FullRow, Operation, State, Version};
    use crate::journal::{Durability, Options};
    use crate::replica::Replica;

    fn key(n: u128) -> EntityKey {
        EntityKey::new(CollectionName::new("notes").unwrap(), Uuid::from_u128(n)).unwrap()
    }

    /// A replica that knows so many entities by the authority and so many by itself, each of so many bytes.
    fn replica(by_authority: u128, by_itself: u128, bytes: usize) -> Replica {
        let replica = Replica::in_memory(Options::new()).unwrap();
        let state = State::from_json(&format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes))).unwrap();
        let version = Version { existence: Existence::Live(state.clone()), ..Version::default() };
        let row = |n| FullRow { key: key(n), version: version.clone(), epoch: Epoch(1), writer: None };
        let rows: Vec<FullRow> = (1..=by_authority).map(row).collect();
        replica.take_reads(&[], &rows).unwrap();
        for n in 1..=by_itself {
            let create = Operation::create(key(100 + n), state.clone());
            replica.commit(&[create], Durability::Durable).unwrap();
        }
        replica
    }

    /// How many rows are in each batch; none that is taken where nobody listens.
    fn handed_over(replica: &Replica, listens: bool) -> Vec<usize> {
        let (sender, batches) = sync_channel(100);
        let (_back, empty) = sync_channel(1);
        let batches = listens.then_some(batches);
        let walked = replica
            .read(|_, view| hand_over(&Walked { tables: view.tables(), inner: None }, &sender, &empty));
        walked.unwrap();
        drop(sender);
        batches.into_iter().flatten().map(|batch| batch.unwrap().rows.len()).collect()
    }

    #[test]
    fn all_is_read_ahead_in_batches_of_which_the_last_is_empty_unless_nobody_takes_them() {
        let third = BATCH_BYTES / 3;
        for (replica, expected) in [
            (replica(0, 0, 0), vec![0]),
            (replica(3, 2, 10), vec![5, 0]),
            (replica(4, 0, third), vec![3, 1, 0]),
            (replica(0, 4, third), vec![3, 1, 0]),
            (replica(4, 1, third), vec![3, 2, 0]),
        ] {
            assert_eq!(handed_over(&replica, true), expected);
            assert_eq!(handed_over(&replica, false), [0; 0]);
        }
    }
}
