//! Where a replica stands with its authority: how far it read, and when it may ask again.

use redb::{ReadableTable, WriteTransaction};
use uuid::Uuid;

use super::Replica;
use super::error::Error;
use crate::algebra::{Cursors, Epoch, Generation, Millis, Page};
use crate::codec::FrameError;
use crate::codec::frame::{self, FrameKind};
use crate::codec::kept::ReplicaRecord;
use crate::journal;
use crate::journal::error::engine;
use crate::journal::tables::{self, CURSORS, META, REPLICA_KEY, Snapshot, collection_of, damaged};

/// Where a replica stands with its authority.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// How far each collection was read.
    pub cursors: Cursors,
    /// The floors when reading began, a collection.
    pub floors: Cursors,
    /// The generation of the authority's data that this belongs to; none before the first answer.
    pub generation: Option<Generation>,
    /// Whether everything is being fetched anew.
    pub is_fetching_all: bool,
    /// How many attempts failed since the last one that succeeded.
    pub failures: u32,
    /// When the next attempt may be made.
    pub next_attempt_at: Millis,
    /// Whether the authority refused the credentials: nothing is asked until there are new ones.
    pub is_unauthorised: bool,
}

impl Replica {
    /// Where the replica stands with its authority.
    ///
    /// # Errors
    /// What the journal says.
    pub fn standing(&self) -> Result<Standing, Error> {
        self.read(|snapshot, _| {
            let record = record(snapshot)?;
            let (cursors, floors) = cursors(snapshot)?;
            Ok(Standing {
                cursors,
                floors,
                generation: record.generation.map(|id| Generation(Uuid::from_bytes(id))),
                is_fetching_all: record.is_fetching_all,
                failures: record.failures,
                next_attempt_at: Millis(record.next_attempt_at),
                is_unauthorised: record.is_unauthorised,
            })
        })
    }

    /// Notes how the last attempt ended, durably: a program that dies does not forget to wait.
    ///
    /// # Errors
    /// What the journal says.
    pub(crate) fn note_attempt(
        &self,
        failures: u32,
        next_attempt_at: Millis,
        is_unauthorised: bool,
    ) -> Result<(), Error> {
        let noted = |record: ReplicaRecord| ReplicaRecord {
            failures,
            next_attempt_at: next_attempt_at.0,
            is_unauthorised,
            ..record
        };
        // Mostly there is nothing new to say, and then not even a transaction is begun.
        let known = self.read(|snapshot, _| record(snapshot))?;
        if noted(known.clone()) == known {
            return Ok(());
        }
        self.maintain(|work, _| {
            put_record(work.txn, &noted(record_in(work.txn)?.unwrap_or_default()))?;
            work.has_written = true;
            Ok(())
        })
    }
}

pub(super) fn record(snapshot: &Snapshot) -> Result<ReplicaRecord, journal::Error> {
    let found = snapshot.record(META, FrameKind::Replica, REPLICA_KEY)?;
    found.ok_or_else(missing)
}

pub(super) fn missing() -> journal::Error {
    damaged("the replica's record")(FrameError::Body { why: "it is missing".to_owned() })
}

pub(super) fn record_in(txn: &WriteTransaction) -> Result<Option<ReplicaRecord>, journal::Error> {
    tables::record_in(txn, META, FrameKind::Replica, REPLICA_KEY)
}

pub(super) fn put_record(txn: &WriteTransaction, record: &ReplicaRecord) -> Result<(), journal::Error> {
    tables::put_record(txn, META, FrameKind::Replica, REPLICA_KEY, record)
}

fn cursors(snapshot: &Snapshot) -> Result<(Cursors, Cursors), journal::Error> {
    let (mut cursors, mut floors) = (Cursors::new(), Cursors::new());
    for row in snapshot.keyed(CURSORS)?.iter().map_err(engine)? {
        let (name, value) = row.map_err(engine)?;
        let opened = frame::open_record::<(u64, u64)>(FrameKind::Cursor, name.value(), value.value());
        let (epoch, floor) = opened.map_err(damaged("a cursor"))?;
        let name = collection_of(name.value()).map_err(damaged("a cursor"))?;
        cursors.insert(name.clone(), Epoch(epoch));
        floors.insert(name, Epoch(floor));
    }
    Ok((cursors, floors))
}

/// Notes how far was read; and of what was not read at all before, the floor.
pub(super) fn put_cursors(txn: &WriteTransaction, page: &Page) -> Result<(), journal::Error> {
    for (name, epoch) in &page.cursors {
        let place = name.as_str().as_bytes();
        let known = record_of_cursor(txn, place)?;
        let told = page.floors.get(name).copied().unwrap_or_default();
        let floor = known.map_or(told.0, |(_, floor)| floor);
        tables::put_record(txn, CURSORS, FrameKind::Cursor, place, &(epoch.0, floor))?;
    }
    Ok(())
}

/// How far a collection was read, and its floor when reading began.
pub(super) fn record_of_cursor(
    txn: &WriteTransaction,
    place: &[u8],
) -> Result<Option<(u64, u64)>, journal::Error> {
    tables::record_in(txn, CURSORS, FrameKind::Cursor, place)
}
