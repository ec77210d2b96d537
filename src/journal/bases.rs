//! Base knowledge on disk: what the authority is known to hold.

use std::cell::RefCell;
use std::collections::HashMap;

use redb::{ReadOnlyTable, ReadableTableMetadata, WriteTransaction};

use super::error::{Error, engine};
use super::tables::{BASE, Snapshot, damaged, entity_bytes, key_name};
use super::{Journal, Work};
use crate::algebra::{Base, EntityKey, Row, Stamps};
use crate::codec::FrameError;
use crate::codec::frame::{self, FrameKind};
use crate::codec::records::{BaseRecord, JournalState};

/// What a baseline says of the entities that it does not list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Listing {
    /// Nothing: they stay unknown.
    #[default]
    Partial,
    /// That they are absent: the authority holds what was listed, now and before, and nothing else.
    Complete,
}

impl Journal {
    /// Notes what the authority holds, by rows that were fetched from it. A row without a state is a
    /// tombstone. An older row than the one held is skipped; pending operations stay and are planned
    /// against what is known from now on.
    ///
    /// # Errors
    /// A journal that is suspended, failed or damaged, or what the storage says.
    pub fn baseline(&self, rows: &[Row], listing: Listing) -> Result<(), Error> {
        self.inner.require_bare()?;
        self.inner.maintain(|work| {
            work.folds = false;
            work.has_written = true;
            work.state.is_complete |= listing == Listing::Complete;
            let mut bases = Bases::new(work.snapshot, &work.state)?;
            for row in rows {
                let base = base_of(row);
                if base.is_newer_than(&bases.get(&row.key)?) {
                    put(work.txn, &row.key, &base)?;
                    // A later row of the same entity is held against this one.
                    bases.expected.insert(row.key.clone(), base);
                }
            }
            Ok(())
        })
    }

    /// What the authority is known to hold of an entity.
    ///
    /// # Errors
    /// A journal that is suspended or damaged, or what the storage says.
    pub fn base(&self, key: &EntityKey) -> Result<Base, Error> {
        self.inner.read(|snapshot| Bases::new(snapshot, &snapshot.state()?)?.get(key))
    }
}

/// What a row says the authority holds.
pub(crate) fn base_of(row: &Row) -> Base {
    use crate::algebra::{Held, Knowledge};
    match &row.state {
        Some(state) => Base::live(state.clone(), row.epoch),
        None => Base::Dead(Held { epoch: row.epoch, state: Knowledge::Nothing }),
    }
}

/// Looks bases up.
pub(crate) struct Bases {
    table: ReadOnlyTable<&'static [u8], &'static [u8]>,
    is_empty: bool,
    is_complete: bool,
    /// What an open bunch will make of some of them.
    pub(crate) expected: HashMap<EntityKey, Base>,
    /// Records of which only the outline was needed so far, as mostly the whole is needed soon after.
    outlined: RefCell<Outlined>,
}

#[derive(Default)]
struct Outlined {
    records: HashMap<EntityKey, BaseRecord>,
    bytes: usize,
}

impl Outlined {
    fn take(&mut self, key: &EntityKey) -> Option<BaseRecord> {
        let taken = self.records.remove(key)?;
        self.bytes -= taken.state_bytes();
        Some(taken)
    }
}

/// So many bytes of states are kept at most: those of some ten thousand entities.
const OUTLINED_BYTES_MAX: usize = 4 * 1024 * 1024;

impl Bases {
    pub(crate) fn new(snapshot: &Snapshot, state: &JournalState) -> Result<Self, Error> {
        let table = snapshot.keyed(BASE)?;
        let is_empty = table.is_empty().map_err(engine)?;
        let is_complete = state.is_complete;
        Ok(Bases { table, is_empty, is_complete, expected: HashMap::new(), outlined: RefCell::default() })
    }

    pub(crate) fn get(&self, key: &EntityKey) -> Result<Base, Error> {
        match self.expected.get(key) {
            Some(base) => Ok(base.clone()),
            None => self.stored(key).map(|(base, _)| base),
        }
    }

    /// As [`Bases::get`], where it does not matter what a state says.
    pub(crate) fn outline(&self, key: &EntityKey) -> Result<Base, Error> {
        match self.expected.get(key) {
            Some(base) => Ok(base.clone()),
            None => self.record(key, |record| self.keep(key, record), || self.unlisted()),
        }
    }

    /// Keeps a record while there is room, and gives its outline.
    fn keep(&self, key: &EntityKey, record: BaseRecord) -> Result<Base, FrameError> {
        let base = record.outline()?;
        let mut outlined = self.outlined.borrow_mut();
        let bytes = outlined.bytes + record.state_bytes();
        if bytes <= OUTLINED_BYTES_MAX {
            outlined.bytes = bytes;
            outlined.records.insert(key.clone(), record);
        }
        Ok(base)
    }

    /// What is stored, with the times of its fields.
    pub(crate) fn stored(&self, key: &EntityKey) -> Result<(Base, Stamps), Error> {
        self.record(key, BaseRecord::base_and_stamps, || (self.unlisted(), Stamps::default()))
    }

    fn unlisted(&self) -> Base {
        if self.is_complete { Base::Absent } else { Base::Unknown }
    }

    fn record<T>(
        &self,
        key: &EntityKey,
        read: impl FnOnce(BaseRecord) -> Result<T, FrameError>,
        unlisted: impl FnOnce() -> T,
    ) -> Result<T, Error> {
        if self.is_empty {
            return Ok(unlisted());
        }
        let damaged_base = |error| damaged(format!("the base of {key}"))(error);
        // Let go of before it is read, which may keep it again.
        let outlined = self.outlined.borrow_mut().take(key);
        if let Some(record) = outlined {
            return read(record).map_err(damaged_base);
        }
        let place = entity_bytes(key);
        match self.table.get(place.as_slice()).map_err(engine)? {
            None => self.require_missing(&place).map(|()| unlisted()),
            Some(guard) => frame::open_record::<BaseRecord>(FrameKind::Base, &place, guard.value())
                .and_then(read)
                .map_err(damaged_base),
        }
    }
}

impl Bases {
    /// Makes sure that a record that is not found is not there. The engine does not check the pages by which it
    /// finds its way, and where one is damaged, a search ends in the wrong place: then what stands before and
    /// behind that place is not in order with what was looked for, or is damaged itself.
    fn require_missing(&self, place: &[u8]) -> Result<(), Error> {
        let before = self.table.range(..place).map_err(engine)?.next_back();
        let behind = self.table.range(place..).map_err(engine)?.next();
        for (neighbour, is_before) in [(before, true), (behind, false)] {
            let Some(neighbour) = neighbour else { continue };
            let (key, value) = neighbour.map_err(engine)?;
            let wrong = || FrameError::Body { why: "it stands out of order".to_owned() };
            let opened = frame::open(FrameKind::Base, key.value(), value.value()).map(drop);
            opened
                .and_then(|()| if (key.value() < place) == is_before { Ok(()) } else { Err(wrong()) })
                .map_err(damaged(key_name(key.value())))?;
        }
        Ok(())
    }
}

/// Notes a base. Unknown is kept as no record.
pub(crate) fn put(txn: &WriteTransaction, key: &EntityKey, base: &Base) -> Result<(), Error> {
    let place = entity_bytes(key);
    let mut table = txn.open_table(BASE).map_err(engine)?;
    match BaseRecord::of(base, None) {
        Some(record) => {
            let framed =
                frame::record(FrameKind::Base, &place, &record).map_err(damaged(key_name(&place)))?;
            table.insert(place.as_slice(), framed.as_slice()).map_err(engine)?;
        }
        None => {
            table.remove(place.as_slice()).map_err(engine)?;
        }
    }
    Ok(())
}

impl Work<'_> {
    pub(crate) fn bases(&self) -> Result<Bases, Error> {
        Bases::new(self.snapshot, &self.state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Journal;

    #[test]
    fn what_is_not_known_any_more_leaves_no_record() {
        let journal = Journal::in_memory().unwrap();
        let key = EntityKey::new("notes".parse().unwrap(), uuid::Uuid::from_u128(1)).unwrap();
        for base in [Base::Absent, Base::Unknown] {
            let noted = journal.inner.with_writer(|_, db, _| {
                let txn = db.begin_write().map_err(engine)?;
                put(&txn, &key, &base)?;
                txn.commit().map_err(engine)
            });
            noted.unwrap();
            assert_eq!(journal.base(&key).unwrap(), base);
        }
        let records = journal.inner.read(|snapshot| snapshot.keyed(BASE)?.len().map_err(engine));
        assert_eq!(records.unwrap(), 0);
    }
}
