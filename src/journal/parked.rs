//! What waits for a decision: effects that were refused or clash, and what gave way to the authority.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;

use redb::{ReadableTable, WriteTransaction};
use uuid::Uuid;

use super::append::{Appended, Durability};
use super::columns::ColumnWriter;
use super::entry::{Entry, alone, from_alone};
use super::error::{Error, engine};
use super::tables::{
    PARKED, RUN, SUPERSEDED, Snapshot, UNPARKED, WAITS, damaged, entity_bytes, entity_of, is_empty_in,
    key_name, put_record, put_state, record_in, require_all, state_in,
};
use super::{Inner, Journal, Work, rewrite};
use crate::algebra::{BunchNumber, Effect, EntityKey, Epoch, Operation, State};
use crate::codec::columns::Layout;
use crate::codec::frame::{self, FrameKind};
use crate::codec::records::{self, CauseRecord, Level, ParkedRecord, SupersededRecord};

/// So much is kept of a reason: more than anybody reads, and little beside the effect.
const REASON_BYTES_MAX: usize = 4 * 1024;

/// An effect that the authority did not take, kept until somebody decides: edits mend it, [`Journal::retry`]
/// sends it again, [`Journal::discard`] gives it up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    /// The entity.
    pub key: EntityKey,
    /// What was not taken.
    pub effect: Effect,
    /// Why.
    pub cause: Cause,
    /// The bunch it was in.
    pub bunch: BunchNumber,
}

/// Why an effect is parked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The authority refused it for good.
    Refused {
        /// In its words, or the first 4 KiB of them.
        reason: String,
    },
    /// Another entity holds a unique key.
    Clash {
        /// The fields of the key.
        unique: Vec<String>,
        /// The entity that holds it.
        holder: Uuid,
    },
}

/// A pending effect that is not sealed because of something parked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldEffect {
    /// The entity.
    pub key: EntityKey,
    /// What is held.
    pub effect: Effect,
    /// The entity it waits for, where the authority named one; otherwise it shares a group or needs what
    /// is parked.
    pub waits_for: Option<EntityKey>,
}

/// An effect that gave way to the authority's side; its values are kept here until they are forgotten on
/// purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superseded {
    /// The entity.
    pub key: EntityKey,
    /// What gave way.
    pub effect: Effect,
    /// The epoch of what it gave way to.
    pub epoch: Epoch,
    /// The live state there; none for a tombstone.
    pub state: Option<State>,
    /// The bunch it was in.
    pub bunch: BunchNumber,
}

impl Journal {
    /// The parked effects, by entity.
    ///
    /// # Errors
    /// A journal that is suspended or damaged, or what the storage says.
    pub fn parked(&self) -> Result<Vec<Parked>, Error> {
        self.inner.read(|snapshot| {
            all(snapshot)?
                .into_values()
                .map(|(entry, record)| {
                    let cause = match record.cause {
                        CauseRecord::Refused { reason } => Cause::Refused { reason },
                        CauseRecord::Clash { unique, holder } => {
                            Cause::Clash { unique, holder: Uuid::from_bytes(holder) }
                        }
                    };
                    Ok(Parked {
                        key: entry.key,
                        effect: entry.effect,
                        cause,
                        bunch: BunchNumber(record.bunch),
                    })
                })
                .collect::<Result<Vec<_>, Error>>()
                .map(|mut parked| {
                    parked.sort_by(|a, b| a.key.cmp(&b.key));
                    parked
                })
        })
    }

    /// Makes a parked effect pending again as it is, and lets one that waits for another entity go.
    ///
    /// # Errors
    /// An entity that is neither; otherwise as [`Journal::append`].
    pub fn retry(&self, key: &EntityKey) -> Result<(), Error> {
        self.inner.maintain(|work| {
            let parked = work.take_parked(key)?;
            let waited = work.stop_waiting(key)?;
            match parked {
                Some(entry) => {
                    let pending = work.pending(std::slice::from_ref(key))?.remove(key);
                    let entry = pending.map_or(entry.clone(), |pending| entry.then(&pending));
                    work.overrides.insert(key.clone(), Some(entry));
                    Ok(())
                }
                None if waited => Ok(()),
                None => Err(Error::NotParked { key: key.clone() }),
            }
        })
    }

    /// Mends a parked effect: the operation is composed with it, and both are pending as one. (Appending
    /// an operation on a parked entity does the same; this one insists that it is parked.)
    ///
    /// # Errors
    /// An entity that is not parked; otherwise as [`Journal::append`].
    pub fn edit_parked(&self, operation: &Operation) -> Result<Appended, Error> {
        if !self.inner.is_parked(&operation.key) {
            return Err(Error::NotParked { key: operation.key.clone() });
        }
        self.append(std::slice::from_ref(operation), Durability::Durable)
    }

    /// Gives up everything of an entity that is pending or parked, and says whether there was any. What
    /// is in the open bunch stays: its outcome is unknown.
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub fn discard(&self, key: &EntityKey) -> Result<bool, Error> {
        self.inner.require_bare()?;
        self.inner.maintain(|work| {
            let parked = work.take_parked(key)?;
            work.stop_waiting(key)?;
            let pending = work.pending(std::slice::from_ref(key))?.remove(key);
            for entry in parked.iter().chain(&pending) {
                work.state.settled += u64::from(entry.effect.shape.operations);
            }
            if pending.is_some() {
                work.overrides.insert(key.clone(), None);
            }
            Ok(parked.is_some() || pending.is_some())
        })
    }

    /// What gave way to the authority's side, oldest first.
    ///
    /// # Errors
    /// A journal that is suspended or damaged, or what the storage says.
    pub fn superseded(&self) -> Result<Vec<Superseded>, Error> {
        self.inner.read(|snapshot| {
            let table = snapshot.numbered(SUPERSEDED)?;
            let mut found = Vec::new();
            for row in table.iter().map_err(engine)? {
                let (number, value) = row.map_err(engine)?;
                let place = number.value().to_le_bytes();
                let name = || format!("superseded effect {}", number.value());
                let record: SupersededRecord =
                    frame::open_record(FrameKind::Superseded, &place, value.value())
                        .map_err(damaged(name()))?;
                let entry = from_alone(&place, &record.rows).map_err(damaged(name()))?;
                let state =
                    record.state.map(|json| records::state_of(&json)).transpose().map_err(damaged(name()))?;
                found.push(Superseded {
                    key: entry.key,
                    effect: entry.effect,
                    epoch: Epoch(record.epoch),
                    state,
                    bunch: BunchNumber(record.bunch),
                });
            }
            require_all(&table, found.len() as u64, || "what gave way".to_owned())?;
            Ok(found)
        })
    }

    /// Forgets everything that gave way so far, and says how many effects that were.
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub fn forget_superseded(&self) -> Result<u64, Error> {
        self.inner.maintain(|work| {
            work.folds = false;
            let mut table = work.txn.open_table(SUPERSEDED).map_err(engine)?;
            let mut forgotten = 0;
            table
                .retain(|_, _| {
                    forgotten += 1;
                    false
                })
                .map_err(engine)?;
            work.has_written = forgotten > 0;
            Ok(forgotten)
        })
    }
}

impl Work<'_> {
    /// Parks an effect.
    pub(crate) fn park(&mut self, entry: &Entry, cause: CauseRecord, bunch: u64) -> Result<(), Error> {
        self.has_written = true;
        if sabotaged!(refused_not_parked) {
            return Ok(());
        }
        put(self.txn, entry, cause, bunch)
    }

    /// Parks an effect again, as it was before operations brought it back that are taken back by now; says whether it is
    /// such a one.
    pub(crate) fn park_again(&mut self, pending: &Entry) -> Result<bool, Error> {
        let place = entity_bytes(&pending.key);
        let Some(table) = self.snapshot.keyed_if_there(UNPARKED)? else { return Ok(false) };
        let Some(found) = table.get(place.as_slice()).map_err(engine)? else { return Ok(false) };
        let (entry, record) = read(FrameKind::Unparked, &place, found.value())?;
        if entry != *pending {
            return Ok(false);
        }
        self.has_written = true;
        put_record(self.txn, PARKED, FrameKind::Parked, &place, &record)?;
        Ok(true)
    }

    /// Once all of the log is folded, nothing that it brought back is parked again.
    pub(crate) fn forget_what_was_brought_back(&mut self) -> Result<(), Error> {
        if self.folds && self.snapshot.keyed_if_there(UNPARKED)?.is_some() {
            self.has_written = true;
            self.txn.delete_table(UNPARKED).map_err(engine)?;
        }
        Ok(())
    }

    /// Keeps what gave way.
    pub(crate) fn keep_superseded(
        &mut self,
        entry: &Entry,
        epoch: Epoch,
        state: Option<&State>,
        bunch: u64,
    ) -> Result<(), Error> {
        let number = self.state.next_superseded;
        let place = number.to_le_bytes();
        let name = format!("superseded effect {number}");
        let rows = alone(&place, entry).map_err(damaged(name.clone()))?;
        let state = state.map(|state| state.as_json().to_owned());
        let record = SupersededRecord { bunch, epoch: epoch.0, state, rows };
        let framed = frame::record(FrameKind::Superseded, &place, &record).map_err(damaged(name))?;
        let mut table = self.txn.open_table(SUPERSEDED).map_err(engine)?;
        table.insert(number, framed.as_slice()).map_err(engine)?;
        self.state.next_superseded += 1;
        Ok(())
    }

    /// Takes an effect out of the parked ones.
    pub(crate) fn take_parked(&mut self, key: &EntityKey) -> Result<Option<Entry>, Error> {
        let taken = take(self.txn, key)?;
        self.has_written |= taken.is_some();
        Ok(taken.map(|(entry, _)| entry))
    }

    /// Notes that an entity's effect waits for another entity.
    pub(crate) fn wait_for(&mut self, key: &EntityKey, on: &EntityKey) -> Result<(), Error> {
        self.has_written = true;
        let on = (on.collection().as_str().to_owned(), on.id().into_bytes());
        put_record(self.txn, WAITS, FrameKind::Waits, &entity_bytes(key), &on)
    }

    /// Forgets for whom an entity's effect waited.
    pub(crate) fn stop_waiting(&mut self, key: &EntityKey) -> Result<bool, Error> {
        let waited = stop_waiting(self.txn, key)?;
        self.has_written |= waited;
        Ok(waited)
    }

    /// Of whom nothing is pending any more, nothing waits: what is done later waits for nobody.
    pub(crate) fn let_go_of_what_waited(&mut self) -> Result<(), Error> {
        if self.overrides.is_empty() || is_empty_in(self.txn, WAITS)? {
            return Ok(());
        }
        for key in self.overrides.iter().filter(|(_, entry)| entry.is_none()).map(|(key, _)| key) {
            self.has_written |= stop_waiting(self.txn, key)?;
        }
        Ok(())
    }

    /// The pending effects of some entities.
    pub(crate) fn pending(&self, keys: &[EntityKey]) -> Result<HashMap<EntityKey, Entry>, Error> {
        rewrite::effects_of(self.snapshot, &self.state, keys)
    }
}

impl Inner {
    /// Makes parked effects pending again inside a transaction that appends to their entities: each
    /// becomes an entry of a level of its own, older than what is appended.
    pub(crate) fn unpark(&self, txn: &WriteTransaction, keys: &[EntityKey]) -> Result<(), Error> {
        if keys.is_empty() {
            return Ok(());
        }
        let mut state = state_in(txn)?;
        let mut writer = ColumnWriter::new(txn, RUN, Layout::Run, state.next_ordinal);
        for key in keys {
            let (entry, record) = match take(txn, key) {
                Ok(Some(taken)) => taken,
                Ok(None) => continue,
                // Appending does not wait for it: it stays where it is, to be set aside.
                Err(Error::Damaged { .. }) => continue,
                Err(error) => return Err(error),
            };
            writer.push_entry(&entry, false)?;
            // Nobody takes back what a replica did one by one.
            if !self.is_of_replica.load(Ordering::Acquire) {
                put_record(txn, UNPARKED, FrameKind::Unparked, &entity_bytes(key), &record)?;
            }
        }
        let end = writer.finish()?;
        if end > state.next_ordinal {
            state.levels.push(Level::between(state.next_ordinal, end));
            state.next_ordinal = end;
        }
        put_state(txn, &state)
    }
}

/// Parks an effect.
pub(crate) fn put(
    txn: &WriteTransaction,
    entry: &Entry,
    cause: CauseRecord,
    bunch: u64,
) -> Result<(), Error> {
    let place = entity_bytes(&entry.key);
    let rows = alone(&place, entry).map_err(damaged(key_name(&place)))?;
    let cause = match cause {
        CauseRecord::Refused { reason } => CauseRecord::Refused { reason: beginning(reason) },
        CauseRecord::Clash { .. } => cause,
    };
    put_record(txn, PARKED, FrameKind::Parked, &place, &ParkedRecord { bunch, cause, rows })
}

/// A reason as far as anybody reads it: whoever gave it may have said anything.
fn beginning(mut reason: String) -> String {
    if reason.len() > REASON_BYTES_MAX {
        let end = (0..=REASON_BYTES_MAX).rev().find(|end| reason.is_char_boundary(*end));
        reason.truncate(end.unwrap_or(0));
        reason.push('…');
    }
    reason
}

fn take(txn: &WriteTransaction, key: &EntityKey) -> Result<Option<(Entry, ParkedRecord)>, Error> {
    let taken = get(txn, key)?;
    if taken.is_some() {
        let mut table = txn.open_table(PARKED).map_err(engine)?;
        table.remove(entity_bytes(key).as_slice()).map_err(engine)?;
    }
    Ok(taken)
}

/// For whom an entity's effect waits by name.
pub(crate) fn waits_for(txn: &WriteTransaction, key: &EntityKey) -> Result<Option<EntityKey>, Error> {
    let found: Option<(String, [u8; 16])> = record_in(txn, WAITS, FrameKind::Waits, &entity_bytes(key))?;
    let named = found.map(|(collection, id)| records::key_of(&collection, id));
    named.transpose().map_err(damaged("a wait"))
}

/// Who waits for an entity by name.
pub(crate) fn waiters(txn: &WriteTransaction, on: &EntityKey) -> Result<Vec<EntityKey>, Error> {
    let place = |key: &EntityKey| (key.collection().as_str().to_owned(), key.id().into_bytes());
    let table = txn.open_table(WAITS).map_err(engine)?;
    let mut found = Vec::new();
    for row in table.iter().map_err(engine)? {
        let (who, whom) = row.map_err(engine)?;
        let named: (String, [u8; 16]) =
            frame::open_record(FrameKind::Waits, who.value(), whom.value()).map_err(damaged("a wait"))?;
        if named == place(on) {
            found.push(entity_of(who.value()).map_err(damaged("a wait"))?);
        }
    }
    Ok(found)
}

/// Forgets for whom an entity's effect waited, and says whether it did.
pub(crate) fn stop_waiting(txn: &WriteTransaction, key: &EntityKey) -> Result<bool, Error> {
    let mut table = txn.open_table(WAITS).map_err(engine)?;
    Ok(table.remove(entity_bytes(key).as_slice()).map_err(engine)?.is_some())
}

/// An entity's parked effect.
pub(crate) fn get(txn: &WriteTransaction, key: &EntityKey) -> Result<Option<(Entry, ParkedRecord)>, Error> {
    let place = entity_bytes(key);
    let table = txn.open_table(PARKED).map_err(engine)?;
    let found = table.get(place.as_slice()).map_err(engine)?;
    found.map(|guard| read(FrameKind::Parked, &place, guard.value())).transpose()
}

/// An entity's parked effect as it is stored.
pub(crate) fn opened(key: &EntityKey, bytes: &[u8]) -> Result<(Entry, ParkedRecord), Error> {
    read(FrameKind::Parked, &entity_bytes(key), bytes)
}

fn read(kind: FrameKind, place: &[u8], bytes: &[u8]) -> Result<(Entry, ParkedRecord), Error> {
    let record: ParkedRecord = frame::open_record(kind, place, bytes).map_err(damaged(key_name(place)))?;
    let entry = from_alone(place, &record.rows).map_err(damaged(key_name(place)))?;
    Ok((entry, record))
}

/// All parked effects.
pub(crate) fn all(snapshot: &Snapshot) -> Result<HashMap<EntityKey, (Entry, ParkedRecord)>, Error> {
    let table = snapshot.keyed(PARKED)?;
    let mut found = HashMap::new();
    for row in table.iter().map_err(engine)? {
        let (place, value) = row.map_err(engine)?;
        let (entry, record) = read(FrameKind::Parked, place.value(), value.value())?;
        found.insert(entry.key.clone(), (entry, record));
    }
    require_all(&table, found.len() as u64, || "the parked effects".to_owned())?;
    Ok(found)
}

/// The entities that are parked.
pub(crate) fn keys(snapshot: &Snapshot) -> Result<HashSet<EntityKey>, Error> {
    let table = snapshot.keyed(PARKED)?;
    let mut found = HashSet::new();
    for row in table.iter().map_err(engine)? {
        let (place, _) = row.map_err(engine)?;
        // What names no entity is damaged, and nobody's edit will ask for it.
        found.extend(entity_of(place.value()));
    }
    Ok(found)
}

/// Who waits for whom.
pub(crate) fn waits(snapshot: &Snapshot) -> Result<HashMap<EntityKey, EntityKey>, Error> {
    let table = snapshot.keyed(WAITS)?;
    let mut found = HashMap::new();
    for row in table.iter().map_err(engine)? {
        let (place, value) = row.map_err(engine)?;
        let key = entity_of(place.value()).map_err(damaged("a wait"))?;
        let (collection, id): (String, [u8; 16]) =
            frame::open_record(FrameKind::Waits, place.value(), value.value()).map_err(damaged("a wait"))?;
        found.insert(key, records::key_of(&collection, id).map_err(damaged("a wait"))?);
    }
    require_all(&table, found.len() as u64, || "who waits for whom".to_owned())?;
    Ok(found)
}
