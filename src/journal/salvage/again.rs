//! Parked effects that are gone from their places, and copies of parked effects that lie elsewhere.
//!
//! A copy proves that an effect was parked at some time. It may have been brought back since, and sent and accepted, or given
//! up: the copy lies there until the engine uses its page again.
//!
//! | what is known | the copy |
//! |---|---|
//! | the damaged value in the place has the same head, checksum and all | is what was there: it goes back |
//! | which effects are gone, and it is of none of them | is left |
//! | the entity's work is pending or sealed | is left: that came after it |
//! | nothing | is parked again, the newest of an entity; its cause says that it may be done with |

use std::collections::BTreeSet;
use std::ops::Range;

use redb::ReadableTable;

use super::super::entry::key_of;
use super::super::error::{Error, engine};
use super::super::parked;
use super::super::rebuild::MAY_BE_DONE;
use super::super::stored::{Place, Table};
use super::super::tables::{ColumnTables, LOG, RUN, entity_of};
use super::collect::{Collecting, is_there, put};
use super::scan::StoredCopy;
use crate::algebra::EntityKey;
use crate::codec::columns::Rows;
use crate::codec::frame::{FRAME_HEAD_BYTES, FrameError};
use crate::codec::records::CauseRecord;

/// What was parked again.
#[derive(Debug, Default)]
pub(super) struct Again {
    pub(super) values: u64,
    /// Of how many of them nothing tells whether they are done with.
    pub(super) doubted: u64,
}

/// What is gone of the parked effects.
pub(super) struct GoneParked<'g> {
    /// How many.
    pub(super) values: u64,
    /// What lies damaged in the places of some.
    pub(super) damaged: &'g [(Place, Vec<u8>)],
    /// Whether something of the lists is gone, too: then these do not tell what is pending.
    pub(super) has_gaps: bool,
}

impl Collecting<'_> {
    /// Parks again what is gone from its place and lies elsewhere, unless it is known to be done with.
    pub(super) fn park_again(
        &self,
        number: usize,
        table: &Table,
        gone: &GoneParked<'_>,
    ) -> Result<Again, Error> {
        let mut again = Again::default();
        let mut candidates: Vec<(EntityKey, &Place, &[StoredCopy])> = Vec::new();
        for (place, copies) in self.scan.of_table(number) {
            if let Some(Ok(key)) = place.key().map(entity_of)
                && !is_there(self.txn, table, place)?
            {
                candidates.push((key, place, copies));
            }
        }
        let keys: BTreeSet<&EntityKey> = candidates.iter().map(|(key, ..)| key).collect();
        let pending = if self.is_exact && !gone.has_gaps { self.pending_of(&keys)? } else { BTreeSet::new() };
        let heads: BTreeSet<&[u8]> =
            gone.damaged.iter().filter_map(|(_, value)| value.get(..FRAME_HEAD_BYTES)).collect();
        let places: BTreeSet<&Place> = gone.damaged.iter().map(|(place, _)| place).collect();
        let are_named = self.is_exact && gone.damaged.len() as u64 >= gone.values;
        for (key, place, copies) in &candidates {
            let was_there = copies.iter().find(|copy| self.is_exact && heads.contains(copy.head()));
            if let Some(copy) = was_there {
                again.values += u64::from(put(self.txn, table, place, &copy.read(self.trees))?);
                continue;
            }
            if (are_named && !places.contains(place)) || pending.contains(key) {
                continue;
            }
            let opened = |copy: &StoredCopy| parked::opened(key, &copy.read(self.trees)).ok();
            let newest = copies.iter().filter_map(opened);
            let newest = newest.max_by_key(|(entry, record)| (entry.effect.shape.last, record.bunch));
            if let Some((entry, record)) = newest {
                parked::put(self.txn, &entry, doubtful(record.cause), record.bunch)?;
                again.values += 1;
                again.doubted += 1;
            }
        }
        Ok(again)
    }

    /// Of which of these entities something is pending or sealed; of none where the lists do not open.
    fn pending_of(&self, keys: &BTreeSet<&EntityKey>) -> Result<BTreeSet<EntityKey>, Error> {
        let mut pending = BTreeSet::new();
        let Some(state) = self.state else { return Ok(pending) };
        let levels = state.levels.iter().map(|level| (RUN, level.range()));
        // The open bunch comes last: what was sealed was cut off in the levels.
        let open = state.open.iter().map(|open| (RUN, open.level.range()));
        for (tables, range) in levels.chain([(LOG, state.log_begins..u64::MAX)]).chain(open) {
            if !self.find_pending(tables, range, keys, &mut pending)? {
                return Ok(BTreeSet::new());
            }
        }
        Ok(pending)
    }

    /// Adds those of which a list has entries, and takes out those whose older ones it cuts off; says whether it opens.
    fn find_pending(
        &self,
        tables: ColumnTables,
        range: Range<u64>,
        keys: &BTreeSet<&EntityKey>,
        pending: &mut BTreeSet<EntityKey>,
    ) -> Result<bool, Error> {
        let payload = self.txn.open_table(tables.payload).map_err(engine)?;
        for value in payload.range(range.clone()).map_err(engine)? {
            let (first, value) = value.map_err(engine)?;
            if Table::Payload(tables).opened(&Place::Number(first.value()), value.value()).is_err() {
                return Ok(false);
            }
        }
        let rows = self.txn.open_table(tables.rows).map_err(engine)?;
        for value in rows.range(range).map_err(engine)? {
            let (first, value) = value.map_err(engine)?;
            if add_pending(tables, first.value(), value.value(), keys, pending).is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The same of one value of rows.
fn add_pending(
    tables: ColumnTables,
    first: u64,
    value: &[u8],
    keys: &BTreeSet<&EntityKey>,
    pending: &mut BTreeSet<EntityKey>,
) -> Result<(), FrameError> {
    let rows = Rows::open(&tables.place(true, first), first, value)?;
    for row in rows.iter() {
        let row = row?;
        let key = key_of(&row, &rows.preamble)?;
        if !keys.contains(&key) {
            continue;
        }
        if row.is_cut {
            pending.remove(&key);
        }
        if row.shape.operations > 0 {
            pending.insert(key);
        }
    }
    Ok(())
}

/// A cause that says that what is parked may be done with, and then why it was.
fn doubtful(cause: CauseRecord) -> CauseRecord {
    let reason = match cause {
        CauseRecord::Refused { reason } if !reason.starts_with(MAY_BE_DONE) => {
            format!("{MAY_BE_DONE}; it was refused before: {reason}")
        }
        CauseRecord::Refused { reason } => reason,
        CauseRecord::Clash { .. } => MAY_BE_DONE.to_owned(),
    };
    CauseRecord::Refused { reason }
}
