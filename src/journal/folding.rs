//! Folding from disk: rows first, payloads only of what survives.
//!
//! Places are ordinals of the run and, with the highest bit set, sequence numbers of the log. Levels are
//! rewritten only from the newest down, so the order of places is the order of age.

use std::ops::Range;

use super::alone::Crowded;
use super::columns::{ColumnReader, Payload};
use super::effects::Who;
use super::entry::{Entry, Interned, RowSet, RowSets, effect_of, group_names};
use super::error::Error;
use super::gather::{Gatherings, Place, Whole};
use super::tables::{LOG, RUN, Snapshot};
use crate::algebra::slots::{Beside, How, LOOKED_UP, Slot, Slots, Times, TwoLines, Whom, part_of};
use crate::algebra::{Clock, EntityKey};
use crate::codec::FrameError;
use crate::codec::columns::{Rows, no_row};
use crate::codec::records::Level;
use crate::codec::row::{ContentKind, Row};

const LOG_BIT: u64 = 1 << 63;

/// What one entity's slot costs while it is folded: the slot, its share of the table, the places of its
/// payload.
pub(crate) const SLOT_BYTES: u64 = size_of::<PendingSlot>() as u64 + 48;

/// What the journal keeps of an entity beside its shape.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Kept {
    pub(crate) groups: u32,
    pub(crate) first_at: u64,
    pub(crate) is_cut: bool,
    /// The bytes of the newest content.
    pub(crate) fields_bytes: u32,
    pub(crate) content: Option<ContentKind>,
}

impl Beside for Kept {
    type Begins = TwoLines;
    type Times = Times;
    const HAS_TIMES: bool = true;
}

pub(crate) type PendingSlot = Slot<u64, Kept>;
pub(crate) type PendingSlots = Slots<u64, Kept>;

/// Where a value of rows was found.
#[derive(Clone, Copy)]
pub(crate) struct Scanned<'r> {
    pub(crate) reader: &'r ColumnReader,
    /// The ordinal of its first row.
    pub(crate) first: u64,
    /// The place of its first row.
    place: u64,
}

impl Scanned<'_> {
    pub(crate) fn damaged(&self, error: FrameError) -> Error {
        self.reader.damaged_rows(self.first)(error)
    }
}

/// What is folded: some newest levels, and perhaps the log behind them.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    pub(crate) levels: Vec<Level>,
    /// All of the log, or none of it.
    pub(crate) log: Option<Range<u64>>,
}

impl Sources {
    pub(crate) fn rows(&self) -> u64 {
        let log = self.log.as_ref().map_or(0, |log| log.end - log.start);
        self.levels.iter().map(|level| level.rows).sum::<u64>() + log
    }
}

/// Which entities take part in one pass.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part<'k> {
    All,
    /// Those whose hash falls into this part of so many, and into a crowded bucket.
    Hashed {
        part: u64,
        of: u64,
        crowded: Option<&'k Crowded>,
    },
    /// Only these.
    Keys(&'k std::collections::HashSet<Who>),
}

/// A fold over rows on disk.
pub(crate) struct Folding {
    run: ColumnReader,
    log: ColumnReader,
    pub(crate) interned: Interned,
    pub(crate) slots: PendingSlots,
}

/// What has yet to be read of an entity, and where the rest of it is.
#[derive(Clone, Copy, Default)]
struct Awaited {
    parts: u32,
    place: Option<Place>,
}

impl Folding {
    pub(crate) fn new(snapshot: &Snapshot) -> Result<Self, Error> {
        Ok(Folding {
            run: ColumnReader::new(snapshot, RUN)?,
            log: ColumnReader::new(snapshot, LOG)?,
            interned: Interned::default(),
            slots: Slots::new(),
        })
    }

    /// Forgets the slots, for the next pass over the same rows, which is about so many entities.
    pub(crate) fn clear(&mut self, entities: u64) {
        self.interned.forget_sets();
        self.slots.clear();
        self.slots.reserve(usize::try_from(entities).unwrap_or(0));
    }

    /// Where the log ends: the next sequence number.
    pub(crate) fn log_end(&self, log_begins: u64) -> Result<u64, Error> {
        self.log.end(log_begins)
    }

    /// Visits the values of rows of the sources, oldest first, with the places of their collections' names.
    pub(crate) fn scan(
        &mut self,
        sources: &Sources,
        mut visit: impl FnMut(
            Scanned<'_>,
            &mut Interned,
            &mut PendingSlots,
            &[u32],
            &Rows<'_>,
        ) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Folding { run, log, interned, slots } = self;
        let mut visit = |reader: &ColumnReader, bit, first, rows: &Rows<'_>| {
            let scanned = Scanned { reader, first, place: first | bit };
            let names = rows.preamble.names.iter().map(|name| interned.name(name));
            let names: Vec<u32> = names.collect::<Result<_, _>>().map_err(|error| scanned.damaged(error))?;
            visit(scanned, interned, slots, &names, rows)
        };
        for level in &sources.levels {
            run.scan(level.range(), |first, rows| visit(run, 0, first, rows))?;
        }
        match &sources.log {
            None => Ok(()),
            Some(range) => log.scan_all(range.clone(), |first, rows| visit(log, LOG_BIT, first, rows)),
        }
    }

    /// How many bytes of payload the rows of the sources have.
    pub(crate) fn payload_bytes(&mut self, sources: &Sources) -> Result<u64, Error> {
        let mut all: u64 = 0;
        self.scan(sources, |_, _, _, _, rows| {
            for (fields, extra) in rows.payload_bytes(0) {
                all = all.saturating_add(fields).saturating_add(extra);
            }
            Ok(())
        })?;
        Ok(all)
    }

    /// Folds the rows of the sources, oldest first.
    pub(crate) fn fold(&mut self, sources: &Sources, part: Part<'_>) -> Result<(), Error> {
        self.scan(sources, |scanned, interned, slots, names, rows| {
            fold_rows(interned, slots, names, part, scanned.place, rows)
                .map_err(|error| scanned.damaged(error))
        })
    }

    /// Visits the effects that `is_wanted` picks, as rows with payloads, in the order of their newest parts. Where one
    /// stored entry decides all, its bytes go on untouched. Slots without an effect (only cut) are not visited.
    pub(crate) fn survivors(
        &self,
        is_wanted: impl Fn(&PendingSlot) -> bool,
        mut visit: impl FnMut(&PendingSlot, &Row, Payload<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (mut wanted, mut awaited) = self.wanted(is_wanted);
        wanted.sort_unstable();
        let split = wanted.partition_point(|(place, _)| place & LOG_BIT == 0);
        let (in_run, in_log) = wanted.split_at(split);
        let mut gatherings = Gatherings::new();
        for (reader, wanted) in [(&self.run, in_run), (&self.log, in_log)] {
            let mut owners = wanted.iter().map(|(_, slot)| *slot as usize);
            reader.read(
                wanted.iter().map(|(place, _)| place & !LOG_BIT),
                |ordinal, row, preamble, payload| {
                    let damaged = |error| reader.damaged_rows(ordinal)(error);
                    let Some(owner) = owners.next() else { return Ok(()) };
                    let (Some(slot), Some(awaited)) = (self.slots.slots.get(owner), awaited.get_mut(owner))
                    else {
                        return Ok(());
                    };
                    let Kept { is_cut, first_at, .. } = slot.extra;
                    let row_of_all = || Row { shape: slot.shape(), is_cut, first_at, ..*row };
                    awaited.parts = awaited.parts.saturating_sub(1);
                    let is_last = awaited.parts == 0;
                    let is_alone = is_last && awaited.place.is_none();
                    if is_alone && (payload.extra.is_empty() || slot.before() == Clock::default()) {
                        let row = Row { written: row.written.after(slot.before()), ..row_of_all() };
                        return visit(slot, &row, payload);
                    }
                    // Where a part's groups went is in the slot already.
                    group_names(row, preamble).map_err(damaged)?;
                    let place = *awaited.place.get_or_insert_with(|| {
                        let parts = awaited.parts as usize + 1;
                        gatherings.begin(slot.before(), parts, slot.extra.fields_bytes as usize)
                    });
                    gatherings.push(place, row, payload).map_err(damaged)?;
                    if !is_last {
                        return Ok(());
                    }
                    let visited = gatherings.end(place, |whole| {
                        let Whole { content, written, payload } = whole;
                        let (fields_bytes, extra_bytes) = whole.lengths().map_err(damaged)?;
                        let row = Row { content, written, fields_bytes, extra_bytes, ..row_of_all() };
                        visit(slot, &row, payload)
                    });
                    visited.map_err(damaged)?.unwrap_or(Ok(()))
                },
            )?;
        }
        Ok(())
    }

    /// The places of the parts of those that `is_wanted` picks, with their slots; and of all slots, what is awaited.
    fn wanted(&self, is_wanted: impl Fn(&PendingSlot) -> bool) -> (Vec<(u64, u32)>, Vec<Awaited>) {
        let mut wanted = Vec::with_capacity(self.slots.parts_max());
        let mut awaited = vec![Awaited::default(); self.slots.slots.len()];
        for ((place, slot), awaited) in self.slots.slots.iter().enumerate().zip(&mut awaited) {
            if slot.count.operations > 0 && is_wanted(slot) {
                for part in self.slots.parts(slot) {
                    wanted.push((part, u32::try_from(place).unwrap_or(u32::MAX)));
                    awaited.parts += 1;
                }
            }
        }
        (wanted, awaited)
    }

    /// The entity of a slot.
    pub(crate) fn key(&self, slot: &PendingSlot) -> Result<EntityKey, Error> {
        self.interned.key((slot.collection, slot.id))
    }

    /// What survived, as an entry.
    pub(crate) fn entry(&self, slot: &PendingSlot, row: &Row, payload: Payload<'_>) -> Result<Entry, Error> {
        let key = self.key(slot)?;
        let groups = self.interned.groups(slot.extra.groups).into_owned();
        let effect = effect_of(row, groups, payload)
            .map_err(|error| super::tables::damaged(format!("the entry of {key}"))(error))?;
        Ok(Entry { key, effect, first_at: slot.extra.first_at })
    }
}

/// The collection of a row, as it is interned.
pub(crate) fn local(names: &[u32], name: u64) -> Result<u32, FrameError> {
    usize::try_from(name)
        .ok()
        .and_then(|name| names.get(name))
        .copied()
        .ok_or_else(|| FrameError::Body { why: "a row names no collection".to_owned() })
}

fn fold_rows(
    interned: &mut Interned,
    slots: &mut PendingSlots,
    names: &[u32],
    part: Part<'_>,
    first_place: u64,
    rows: &Rows<'_>,
) -> Result<(), FrameError> {
    // Of a set that no row needs here, nothing is held.
    let mut sets = RowSets::of(&rows.preamble);
    let mut places: Vec<usize> = Vec::with_capacity(LOOKED_UP);
    let mut whom: Vec<Whom> = Vec::with_capacity(LOOKED_UP);
    let mut hints = [None; LOOKED_UP];
    let mut all = rows.whom().enumerate();
    loop {
        places.clear();
        whom.clear();
        // Of a row that takes no part in this pass, nothing else is read.
        for (place, (id, name)) in all.by_ref() {
            let them = slots.whom(local(names, name)?, id);
            let takes_part = match part {
                Part::All => true,
                Part::Hashed { part, of, crowded } => {
                    part_of(them.hash, of) == part && crowded.is_none_or(|crowded| crowded.has(them.hash))
                }
                Part::Keys(keys) => keys.contains(&(them.collection, id)),
            };
            if takes_part {
                places.push(place);
                whom.push(them);
            }
            if places.len() == LOOKED_UP {
                break;
            }
        }
        if places.is_empty() {
            return Ok(());
        }
        slots.look_up(whom.iter(), &mut hints);
        for ((place, whom), hint) in places.iter().zip(&whom).zip(hints) {
            let row = rows.row(*place).ok_or_else(no_row)?;
            let how = How { replaces: row.content == ContentKind::Replace, cuts: row.is_cut };
            let slot = slots.add(whom, hint, row.shape, first_place + *place as u64, how);
            if let Some(slot) = slots.slots.get_mut(slot) {
                slot.extra.add(&row, sets.of_row(&row)?, interned)?;
            }
        }
    }
}

impl Kept {
    pub(crate) fn add(
        &mut self,
        row: &Row,
        set: Option<&mut RowSet>,
        interned: &mut Interned,
    ) -> Result<(), FrameError> {
        let is_first = row.is_cut || self.content.is_none();
        *self = Kept {
            groups: match set {
                Some(set) if is_first => interned.set(set)?,
                Some(set) => interned.union(self.groups, set)?,
                None if is_first => 0,
                None => self.groups,
            },
            first_at: if is_first || self.first_at == 0 { row.first_at } else { self.first_at },
            is_cut: row.is_cut || self.is_cut,
            fields_bytes: if row.content == ContentKind::Merge && !is_first {
                self.fields_bytes.saturating_add(row.fields_bytes)
            } else if row.content == ContentKind::Keep && !is_first {
                self.fields_bytes
            } else {
                row.fields_bytes
            },
            content: Some(match (row.content, self.content) {
                (ContentKind::Keep, Some(before)) if !is_first => before,
                (ContentKind::Merge, Some(ContentKind::Replace)) if !is_first => ContentKind::Replace,
                (content, _) => content,
            }),
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algebra::{CollectionName, Group, Limits, Operation, Patch};
    use crate::journal::{Durability, Journal, rewrite};

    fn edit(n: u128, group: usize) -> Operation {
        let key = EntityKey::new(CollectionName::new("notes").unwrap(), uuid::Uuid::from_u128(n)).unwrap();
        let patch = Patch::from_json(r#"{"a":1}"#).unwrap();
        Operation::patch(key, patch).in_group(Group::new(&format!("group {group}")).unwrap())
    }

    /// One entity with many groups, another with one.
    fn journal(groups: usize) -> Journal {
        let journal = Journal::in_memory().unwrap();
        let edits: Vec<Operation> =
            (0..groups).map(|group| edit(1, group)).chain([edit(2, groups)]).collect();
        journal.append(&edits, Durability::Durable).unwrap();
        journal
    }

    #[test]
    fn an_entity_with_many_groups_holds_each_of_them_once() {
        const GROUPS: usize = 3_000;
        let journal = journal(GROUPS);
        let held = journal.inner.read(|snapshot| {
            let mut folding = Folding::new(snapshot)?;
            let sources = rewrite::all(&folding, &snapshot.state()?)?;
            folding.fold(&sources, Part::All)?;
            Ok(folding.interned.groups_held())
        });
        let held = held.unwrap();
        assert!(held < 2 * GROUPS, "{held} where there are {GROUPS}");
        let bunch = journal.seal(Limits::default()).unwrap().unwrap();
        let groups = |place: usize| bunch.operations.get(place).unwrap().operation.groups.len();
        assert_eq!((groups(0), groups(1)), (GROUPS, 1));
    }

    #[test]
    fn groups_are_held_of_what_takes_part_and_no_longer() {
        let journal = journal(100);
        let held = journal.inner.read(|snapshot| {
            let mut folding = Folding::new(snapshot)?;
            let sources = rewrite::all(&folding, &snapshot.state()?)?;
            let wanted = std::collections::HashSet::from([(0, uuid::Uuid::from_u128(2))]);
            let mut held = Vec::new();
            folding.fold(&sources, Part::Keys(&wanted))?;
            held.push(folding.interned.groups_held());
            folding.clear(1);
            held.push(folding.interned.groups_held());
            Ok(held)
        });
        assert_eq!(held.unwrap(), [1, 0]);
    }

    #[test]
    fn groups_are_a_part_of_what_folding_takes() {
        let several = journal(100);
        let one = Journal::in_memory().unwrap();
        let edits: Vec<Operation> = (0..101).map(|n| edit(if n == 100 { 2 } else { 1 }, 0)).collect();
        one.append(&edits, Durability::Durable).unwrap();
        let [several, one] = [several, one].map(|journal| {
            let estimate = journal.inner.read(|snapshot| {
                let mut folding = Folding::new(snapshot)?;
                let sources = rewrite::all(&folding, &snapshot.state()?)?;
                folding.estimate(&sources, None)
            });
            estimate.unwrap().bytes
        });
        assert_eq!(several - one, 99 * crate::journal::estimate::GROUP_BYTES as u64);
    }
}
