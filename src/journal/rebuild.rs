//! Building the lists anew of what is left of them, entry by entry and level by level.
//!
//! Nothing is folded here: every entry that opens goes on as it is, in its order, so that what follows is a
//! journal like any other. Only these do not simply go on:
//!
//! | an entry | becomes |
//! |---|---|
//! | whose payload is lost | nothing, but for a cut |
//! | of an open bunch that cannot be read as it was sealed | pending again, under what was done since |
//! | older than a level of which rows are gone, and not known to be done with | parked: those rows may have said that it was sent |
//! | such a one that a sealed effect contains already | nothing |
//! | of an entity that is parked | nothing, if that contains it or it is known to be done with; else parked with it |

use std::collections::HashMap;

use redb::WriteTransaction;

use super::columns::{ColumnReader, ColumnWriter, Payload};
use super::entry::{Entry, entry_of, key_of, require_valid};
use super::error::{Error, engine};
use super::left::{Gone, Left};
use super::parked;
use super::tables::{LOG, RUN, Snapshot};
use crate::algebra::{EntityKey, Group};
use crate::codec::FrameError;
use crate::codec::columns::{Layout, Preamble};
use crate::codec::records::{CauseRecord, JournalState, Level};
use crate::codec::row::Row;
use crate::codec::slice::Slice;

/// Why an effect is parked that nobody refused.
pub(crate) const MAY_BE_DONE: &str = "a part of the journal was damaged that may have said that this was sent or given up: \
                           retry it, edit it or drop it";

/// What does not open of the lists.
#[derive(Debug, Default)]
pub(crate) struct Damage {
    pub(crate) log: Gone,
    pub(crate) run: Gone,
}

/// The effects of the open bunch, by entity.
pub(crate) enum Sealed {
    /// There is none, or it is sound and stays.
    Stays(HashMap<EntityKey, Entry>),
    /// It cannot be read as it was sealed: these are left of it, and pending again.
    ComesBack(HashMap<EntityKey, Entry>),
}

/// An entry that cannot go on: where it stood, why, and what there was of its payload.
pub(crate) type Unreadable<'u> = &'u dyn Fn(String, FrameError, &[u8]) -> Result<(), Error>;

/// The lists as they are left.
pub(crate) struct Lists<'d> {
    log: Left<'d>,
    run: Left<'d>,
    levels: Vec<Level>,
    log_range: std::ops::Range<u64>,
    /// The levels of which rows are gone, but for the oldest.
    gone: Vec<(usize, Slice)>,
    /// The newest level that says of an entity that everything older is done with.
    cuts: HashMap<EntityKey, usize>,
}

impl<'d> Lists<'d> {
    /// Looks at what is left.
    pub(crate) fn new(snapshot: &Snapshot, state: &JournalState, damage: &'d Damage) -> Result<Self, Error> {
        let end = ColumnReader::new(snapshot, LOG)?.end_of_all(state.log_begins, damage.log.lost_rows)?;
        let mut lists = Lists {
            log: Left::new(snapshot, LOG, &damage.log)?,
            run: Left::new(snapshot, RUN, &damage.run)?,
            levels: state.levels.clone(),
            log_range: state.log_begins..end,
            gone: Vec::new(),
            cuts: HashMap::new(),
        };
        for (number, level) in state.levels.iter().enumerate() {
            let mut rows = 0;
            let Lists { run, cuts, .. } = &mut lists;
            run.each(level.range(), |_, row, preamble, _| {
                rows += 1;
                if row.is_cut
                    && let Ok(key) = key_of(row, preamble)
                {
                    cuts.insert(key, number);
                }
                Ok(())
            })?;
            if rows < level.rows && number > 0 {
                lists.gone.push((number, level.slice));
            }
        }
        Ok(lists)
    }

    /// Whether every entry that the state knows of opens.
    pub(crate) fn are_whole(&self) -> Result<bool, Error> {
        let mut is_whole = true;
        let mut rows = 0;
        let mut look = |row: &Row, preamble: &Preamble, payload: Option<Payload<'_>>| {
            rows += 1;
            is_whole &= opened(row, preamble, payload).is_ok_and(|entry| entry.is_some());
            Ok(())
        };
        for level in &self.levels {
            self.run.each(level.range(), |_, row, preamble, payload| look(row, preamble, payload))?;
        }
        self.log.each(self.log_range.clone(), |_, row, preamble, payload| look(row, preamble, payload))?;
        let known: u64 = self.levels.iter().map(|level| level.rows).sum();
        Ok(is_whole && rows == known + (self.log_range.end - self.log_range.start))
    }

    /// The entries of the open bunch that open.
    pub(crate) fn of_bunch(&self, level: Level) -> Result<HashMap<EntityKey, Entry>, Error> {
        let mut found = HashMap::new();
        self.run.each(level.range(), |_, row, preamble, payload| {
            if let Ok(Some(entry)) = opened(row, preamble, payload) {
                found.insert(entry.key.clone(), entry);
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// Writes the lists anew.
    pub(crate) fn rebuild(
        self,
        txn: &WriteTransaction,
        state: &mut JournalState,
        sealed: Sealed,
        unreadable: Unreadable<'_>,
    ) -> Result<(), Error> {
        for tables in [LOG, RUN] {
            for table in [tables.rows, tables.payload] {
                txn.delete_table(table).map_err(engine)?;
                txn.open_table(table).map_err(engine)?;
            }
        }
        let mut copy = Copy { txn, lists: &self, sealed: &sealed, newer: HashMap::new(), unreadable };
        let mut next = 0;
        state.levels.clear();
        for (number, level) in self.levels.iter().enumerate() {
            next = copy.level(number, &self.run, *level, next, state)?;
        }
        let log = Level::between(self.log_range.start, self.log_range.end);
        next = copy.level(self.levels.len(), &self.log, log, next, state)?;
        state.log_begins = self.log_range.end;
        let mut newer = copy.newer;
        match (sealed, &mut state.open) {
            (Sealed::Stays(entries), Some(open)) => {
                open.level = written(txn, entries.into_values(), false, next)?;
                next = open.level.range().end;
            }
            (Sealed::Stays(_), None) => {}
            (Sealed::ComesBack(entries), open) => {
                *open = None;
                let entries = entries.into_values().map(|entry| match newer.remove(&entry.key) {
                    Some(newer) => entry.then(&newer),
                    None => entry,
                });
                let level = written(txn, entries, true, next)?;
                next = level.range().end;
                state.levels.extend((level.rows > 0).then_some(level));
            }
        }
        state.next_ordinal = next;
        Ok(())
    }
}

/// Copying what is left.
struct Copy<'c> {
    txn: &'c WriteTransaction,
    lists: &'c Lists<'c>,
    sealed: &'c Sealed,
    /// What was done since on the entities of a bunch that comes back.
    newer: HashMap<EntityKey, Entry>,
    unreadable: Unreadable<'c>,
}

/// Where an entry goes.
enum Goes {
    On,
    Elsewhere,
}

impl Copy<'_> {
    /// Copies one level to a new one from an ordinal on; gives the ordinal behind it.
    fn level(
        &mut self,
        number: usize,
        left: &Left<'_>,
        level: Level,
        first: u64,
        state: &mut JournalState,
    ) -> Result<u64, Error> {
        let mut writer = ColumnWriter::new(self.txn, RUN, Layout::Run, first);
        left.each(level.range(), |ordinal, row, preamble, payload| {
            let entry = match opened(row, preamble, payload) {
                Ok(entry) => entry,
                Err(error) => {
                    let fields = payload.map_or(&[][..], |payload| payload.fields);
                    (self.unreadable)(left.entry_name(ordinal), error, fields)?;
                    None
                }
            };
            let Some(entry) = entry else {
                // What it did is lost; that everything older is done with is not.
                return match (row.is_cut, key_of(row, preamble)) {
                    (true, Ok(key)) => writer.push(row.cut_only(), key.collection().as_str(), &[], &[], &[]),
                    (_, _) => Ok(()),
                };
            };
            if let Goes::Elsewhere = self.sorted(number, row, &entry)? {
                return Ok(());
            }
            let groups: Vec<&str> = entry.effect.groups.iter().map(Group::as_str).collect();
            let payload = payload.unwrap_or(Payload { fields: &[], extra: &[] });
            writer.push(*row, entry.key.collection().as_str(), &groups, payload.fields, payload.extra)
        })?;
        let end = writer.finish()?;
        state
            .levels
            .extend((end > first).then_some(Level { slice: level.slice, ..Level::between(first, end) }));
        Ok(end)
    }

    /// Whether gone rows of a newer level may have said that an entry of this level is done with.
    fn is_doubtful(&self, number: usize, key: &EntityKey) -> bool {
        let is_gone = self.lists.gone.iter().any(|(gone, slice)| number < *gone && slice.has(key.id()));
        is_gone && !self.is_cut_later(number, key)
    }

    /// Whether a newer level says that an entry of this level is done with.
    fn is_cut_later(&self, number: usize, key: &EntityKey) -> bool {
        self.lists.cuts.get(key).is_some_and(|cut| *cut > number)
    }

    /// Puts an entry where it belongs, if it does not simply go on.
    fn sorted(&mut self, number: usize, row: &Row, entry: &Entry) -> Result<Goes, Error> {
        let shape = entry.effect.shape;
        if let Sealed::ComesBack(back) = self.sealed
            && let Some(sealed) = back.get(&entry.key)
        {
            if row.is_cut {
                self.newer.remove(&entry.key);
            }
            // Of what was restored from the text it is not known when it was sealed; it was after what stands
            // below gone rows and was not seen to be done with.
            let is_older = shape.last <= sealed.effect.shape.last || self.is_doubtful(number, &entry.key);
            if shape.operations > 0 && !is_older {
                let newer = match self.newer.remove(&entry.key) {
                    Some(older) => older.then(entry),
                    None => entry.clone(),
                };
                self.newer.insert(entry.key.clone(), newer);
            }
            return Ok(Goes::Elsewhere);
        }
        if shape.operations == 0 {
            return Ok(Goes::On);
        }
        if !self.lists.gone.is_empty()
            && let Sealed::Stays(stays) = self.sealed
            && stays.get(&entry.key).is_some_and(|sealed| shape.last <= sealed.effect.shape.last)
        {
            return Ok(Goes::Elsewhere);
        }
        // Asked even if nothing is gone: what was parked may have been recalled, and nothing is both parked and pending.
        if let Some((parked, record)) = parked::get(self.txn, &entry.key)? {
            if shape.last > parked.effect.shape.last && !self.is_cut_later(number, &entry.key) {
                parked::put(self.txn, &parked.then(entry), record.cause, record.bunch)?;
            }
            return Ok(Goes::Elsewhere);
        }
        if !self.is_doubtful(number, &entry.key) {
            return Ok(Goes::On);
        }
        parked::put(self.txn, entry, CauseRecord::Refused { reason: MAY_BE_DONE.to_owned() }, 0)?;
        Ok(Goes::Elsewhere)
    }
}

/// Writes effects as a level from an ordinal on.
fn written(
    txn: &WriteTransaction,
    entries: impl Iterator<Item = Entry>,
    is_cut: bool,
    first: u64,
) -> Result<Level, Error> {
    let mut writer = ColumnWriter::new(txn, RUN, Layout::Run, first);
    for entry in entries {
        writer.push_entry(&entry, is_cut)?;
    }
    Ok(Level::between(first, writer.finish()?))
}

/// An entry, read as strictly as one that leaves the journal; none where its payload is lost.
pub(crate) fn opened(
    row: &Row,
    preamble: &Preamble,
    payload: Option<Payload<'_>>,
) -> Result<Option<Entry>, FrameError> {
    let Some(payload) = payload else { return Ok(None) };
    let entry = entry_of(row, preamble, payload)?;
    require_valid(&entry.effect)?;
    Ok(Some(entry))
}
