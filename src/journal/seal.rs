//! Sealing: the next bunch is frozen, durably, before a byte of it is sent.

use std::collections::{HashMap, HashSet};

use redb::ReadableTable;

use super::bases::Bases;
use super::columns::{ColumnReader, ColumnWriter};
use super::effects::Who;
use super::entry::{Entry, entry_of};
use super::error::{Error, engine};
use super::pending::{Pending, Prefix, by_key};
use super::tables::{BUNCH, RUN, Snapshot, damaged};
use super::{Journal, Work};
use crate::algebra::{
    Base, Bunch, BunchNumber, EntityKey, Limits, Nothing, Planned, Schema, arranged, selected,
};
use crate::codec::FrameError;
use crate::codec::columns::{Layout, VALUE_BYTES_MAX};
use crate::codec::frame::{self, FRAME_HEAD_BYTES, FrameKind};
use crate::codec::lines;
use crate::codec::records::{JournalState, Level, OpenBunch};

impl Journal {
    /// Freezes the next bunch and gives it, or the open one again, byte for byte; none if there is nothing
    /// to send. Held and parked effects stay behind. What comes to nothing is accounted for and forgotten.
    ///
    /// An operation (or a group, which is never split) that alone is over the limits goes alone.
    ///
    /// What it takes of memory follows the bunch and [`Options::pass_bytes`](super::Options::pass_bytes), unless there is a
    /// schema: then everything that is pending is drafted, for any of it may have to go before something else.
    ///
    /// # Errors
    /// A journal that is suspended, failed or damaged, or what the storage says.
    pub fn seal(&self, limits: Limits) -> Result<Option<Bunch>, Error> {
        self.seal_with(limits, self.inner.options.schema.as_ref())
    }

    /// As [`Journal::seal`], with another schema than the journal was opened with.
    ///
    /// # Errors
    /// As [`Journal::seal`].
    pub fn seal_with(&self, limits: Limits, schema: Option<&Schema>) -> Result<Option<Bunch>, Error> {
        self.inner.require_bare()?;
        loop {
            let sealing = self.inner.maintain(|work| {
                if let Some(open) = &work.state.open {
                    let (bunch, _) = load(work.snapshot, open)?;
                    work.folds = false;
                    return Ok(Sealing::Done(Some(bunch)));
                }
                work.seal(limits, schema)
            })?;
            if let Sealing::Done(bunch) = sealing {
                return Ok(bunch);
            }
        }
    }

    /// The bunch that is sealed and not settled.
    ///
    /// # Errors
    /// A journal that is suspended or damaged, or what the storage says.
    pub fn open_bunch(&self) -> Result<Option<Bunch>, Error> {
        self.inner.read(|snapshot| match &snapshot.state()?.open {
            Some(open) => load(snapshot, open).map(|(bunch, _)| Some(bunch)),
            None => Ok(None),
        })
    }
}

/// What sealing came to.
pub(crate) enum Sealing {
    /// The bunch, if there is anything to send.
    Done(Option<Bunch>),
    /// So much comes to nothing that it is forgotten first: seal again.
    Again,
}

/// What forgetting an effect takes until the transaction ends.
const FORGOTTEN_BYTES: u64 = 1024;

impl Work<'_> {
    pub(crate) fn seal(&mut self, limits: Limits, schema: Option<&Schema>) -> Result<Sealing, Error> {
        let pending = Pending::load(self.snapshot, &self.state, self.pass_bytes)?;
        let mut pending = pending.with_held(self.snapshot, schema)?;
        let forgotten_max = usize::try_from(self.pass_bytes / FORGOTTEN_BYTES).unwrap_or(usize::MAX).max(1);
        // With a schema an operation may need any other one, so all are drafted.
        let needed =
            if schema.is_some() { Limits { operations: usize::MAX, bytes: usize::MAX } } else { limits };
        let mut came_to_nothing: HashSet<Who> = HashSet::new();
        loop {
            let mut prefix = Prefix::of(needed);
            let mut is_more = false;
            pending.judge(
                |interned, candidate, set| {
                    if !came_to_nothing.contains(&candidate.who) {
                        prefix.add(candidate, interned.groups(set).into_owned());
                    }
                },
                |nothing| {
                    is_more |=
                        self.overrides.len() == forgotten_max && !self.overrides.contains_key(&nothing.key);
                    if !is_more {
                        self.annihilate(&nothing);
                    }
                },
            )?;
            if is_more {
                return Ok(Sealing::Again);
            }
            let (mut chosen, groups) = prefix.chosen();
            if chosen.is_empty() {
                return Ok(Sealing::Done(None));
            }
            pending.with_groups(&mut chosen, groups)?;
            let drafted = pending.drafted(&chosen)?;
            for nothing in &drafted.nothing {
                self.annihilate(nothing);
            }
            if drafted.drafts.is_empty() {
                if self.overrides.len() >= forgotten_max {
                    return Ok(Sealing::Again);
                }
                came_to_nothing.extend(chosen);
                continue;
            }
            let (drafts, entries) = by_key(drafted.drafts);
            let arranged = arranged(drafts, schema);
            let places = selected(&arranged, limits, lines::planned_bytes);
            let operations: Vec<Planned> =
                places.iter().filter_map(|place| arranged.operations.get(*place)).cloned().collect();
            return self.freeze(operations, &entries).map(|bunch| Sealing::Done(Some(bunch)));
        }
    }

    /// Writes the bunch and takes its effects out of what is pending.
    fn freeze(
        &mut self,
        operations: Vec<Planned>,
        entries: &HashMap<EntityKey, Entry>,
    ) -> Result<Bunch, Error> {
        let number = BunchNumber(self.state.last_bunch + 1);
        let (bunch, text) = lines::bunch_with_text(number, operations);
        let mut table = self.txn.open_table(BUNCH).map_err(engine)?;
        for (piece, bytes) in (0_u64..).zip(text.as_bytes().chunks(VALUE_BYTES_MAX - FRAME_HEAD_BYTES)) {
            let mut framed = frame::begin(bytes.len());
            framed.extend_from_slice(bytes);
            let framed = frame::close(FrameKind::BunchText, &piece.to_le_bytes(), framed);
            table.insert(piece, framed.as_slice()).map_err(engine)?;
        }
        let first = self.state.next_ordinal;
        let mut writer = ColumnWriter::new(self.txn, RUN, Layout::Run, first);
        for planned in bunch.operations.iter().filter(|planned| !planned.is_completion()) {
            let key = &planned.operation.key;
            let Some(entry) = entries.get(key) else { continue };
            writer.push_entry(entry, false)?;
            if !sabotaged!(fold_into_sealed) {
                self.overrides.insert(key.clone(), None);
            }
        }
        let end = writer.finish()?;
        self.state.next_ordinal = end;
        self.state.last_bunch = number.0;
        self.state.open = Some(OpenBunch {
            number: number.0,
            id: bunch.id.0,
            operations: bunch.operations.len() as u64,
            text_bytes: text.len() as u64,
            level: Level::between(first, end),
        });
        Ok(bunch)
    }

    /// Accounts for operations that came to nothing, and forgets them.
    pub(crate) fn annihilate(&mut self, nothing: &Nothing) {
        if self.overrides.insert(nothing.key.clone(), None).is_none() {
            self.state.folded_away += u64::from(nothing.operations);
            self.state.settled += u64::from(nothing.operations);
        }
    }
}

/// The open bunch as it was sealed, without the sequence numbers of its operations.
pub(crate) fn text(snapshot: &Snapshot, open: &OpenBunch) -> Result<Bunch, Error> {
    let table = snapshot.numbered(BUNCH)?;
    let mut text = Vec::new();
    for row in table.iter().map_err(engine)? {
        let (piece, value) = row.map_err(engine)?;
        let place = piece.value().to_le_bytes();
        text.extend_from_slice(
            frame::open(FrameKind::BunchText, &place, value.value()).map_err(damaged("the open bunch"))?,
        );
    }
    let text = String::from_utf8(text).map_err(|_| broken("its text is not UTF-8".to_owned()))?;
    let bunch = lines::parse_bunch_text(&text).map_err(|error| broken(error.to_string()))?;
    if bunch.id.0 != open.id || bunch.number != open.bunch_number() {
        return Err(broken("its text is not what was sealed".to_owned()));
    }
    Ok(bunch)
}

fn broken(why: String) -> Error {
    damaged("the open bunch")(FrameError::Body { why })
}

/// The open bunch and its effects by entity, every byte checked.
pub(crate) fn load(
    snapshot: &Snapshot,
    open: &OpenBunch,
) -> Result<(Bunch, HashMap<EntityKey, Entry>), Error> {
    let mut bunch = text(snapshot, open)?;
    let entries = entries(snapshot, open)?;
    let mut seen = std::collections::HashSet::new();
    for planned in &mut bunch.operations {
        let entry = entries
            .get(&planned.operation.key)
            .ok_or_else(|| broken(format!("the effect of {} is missing", planned.operation.key)))?;
        let shape = entry.effect.shape;
        (planned.first, planned.last) = (shape.first, shape.last);
        // A second operation on an entity only completes the first.
        let is_first = seen.insert(planned.operation.key.clone());
        planned.operations = if is_first { shape.operations } else { 0 };
    }
    Ok((bunch, entries))
}

fn entries(snapshot: &Snapshot, open: &OpenBunch) -> Result<HashMap<EntityKey, Entry>, Error> {
    let reader = ColumnReader::new(snapshot, RUN)?;
    let mut entries = HashMap::new();
    reader.read(open.level.range(), |ordinal, row, preamble, payload| {
        let entry = entry_of(row, preamble, payload).map_err(reader.damaged_rows(ordinal))?;
        entries.insert(entry.key.clone(), entry);
        Ok(())
    })?;
    Ok(entries)
}

/// What the open bunch will make of the bases of its entities.
pub(crate) fn expected(
    snapshot: &Snapshot,
    state: &JournalState,
    bases: &Bases,
) -> Result<HashMap<EntityKey, Base>, Error> {
    let mut expected = HashMap::new();
    if let Some(open) = &state.open {
        let (bunch, _) = load(snapshot, open)?;
        for planned in &bunch.operations {
            let key = &planned.operation.key;
            let before = match expected.get(key) {
                Some(base) => Base::clone(base),
                None => bases.get(key)?,
            };
            // Its epoch is the authority's to give.
            expected.insert(key.clone(), before.after(&planned.operation.change, None));
        }
    }
    Ok(expected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algebra::{Limits, Operation, State};
    use crate::journal::tables::{put_state, state_in};
    use crate::journal::{Durability, Journal};

    #[test]
    fn a_bunch_whose_text_is_not_the_one_that_was_sealed_is_damaged_and_pending_again() {
        for is_number in [true, false] {
            let journal = Journal::in_memory().unwrap();
            let key = EntityKey::new("notes".parse().unwrap(), uuid::Uuid::from_u128(1)).unwrap();
            let create = Operation::create(key, State::empty());
            journal.append(std::slice::from_ref(&create), Durability::Durable).unwrap();
            let before = journal.seal(Limits::default()).unwrap().unwrap();
            let changed = journal.inner.with_writer(|_, db, _| {
                let txn = db.begin_write().map_err(engine)?;
                let mut state = state_in(&txn)?;
                if let Some(open) = &mut state.open {
                    if is_number { open.number += 1 } else { open.id = [7; 32] }
                }
                state.last_bunch += u64::from(is_number);
                put_state(&txn, &state)?;
                txn.commit().map_err(engine)
            });
            changed.unwrap();
            let refused = journal.open_bunch().unwrap_err();
            assert!(refused.to_string().contains("its text is not what was sealed"), "{refused}");
            let bunch = journal.seal(Limits::default()).unwrap().unwrap();
            assert!(bunch.number > before.number);
            let [sent] = &bunch.operations[..] else { panic!("one is sent") };
            assert_eq!(sent.operation.key, create.key);
        }
    }
}
