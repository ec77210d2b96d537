//! Folding from disk: rows first, payloads only of what survives.
//!
//! Places are ordinals of the run and, with the highest bit set, sequence numbers of the log. Levels are
//! rewritten only from the newest down, so the order of places is the order of age.

use std::ops::Range;

use super::alone::Crowded;
use super::columns::{ColumnReader, Payload};
use super::effects::Who;
use super::entry::{Entry, Interned, effect_of, group_names};
use super::error::Error;
use super::tables::{LOG, RUN, Snapshot};
use crate::algebra::slots::{How, LOOKED_UP, Slot, Slots, Whom, part_of};
use crate::algebra::{Clock, Effect, EntityKey, Shape};
use crate::codec::FrameError;
use crate::codec::columns::{Preamble, Rows, no_row};
use crate::codec::records::Level;
use crate::codec::row::{ContentKind, Row};

const LOG_BIT: u64 = 1 << 63;

/// What one entity's slot costs while it is folded: the slot, its share of the table, the places of its
/// payload.
pub(crate) const SLOT_BYTES: u64 = size_of::<PendingSlot>() as u64 + 48;

/// What one more part of an entity costs: its place in the chain, and among what is to be read.
const PART_BYTES: u64 = 32;

/// What an effect costs that is being composed, beside its fields: itself and the stamps of its fields.
const COMPOSED_BYTES: u64 = 256;

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

/// What folding some sources at once would take, about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Estimate {
    pub(crate) entities: u64,
    pub(crate) bytes: u64,
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

/// An effect that came out of a fold.
pub(crate) enum Survivor<'a> {
    /// One stored entry decides all: its bytes go on untouched.
    Stored { row: Row, payload: Payload<'a> },
    /// It was composed of several.
    Composed(Effect),
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

    /// Folds the rows of the sources, oldest first.
    pub(crate) fn fold(&mut self, sources: &Sources, part: Part<'_>) -> Result<(), Error> {
        self.scan(sources, |scanned, interned, slots, names, rows| {
            fold_rows(interned, slots, names, part, scanned.place, rows)
                .map_err(|error| scanned.damaged(error))
        })
    }

    /// About how much memory it takes to fold the sources at once: the entities are estimated from the smallest
    /// hashes (a KMV sketch), what is merged is counted.
    pub(crate) fn estimate(
        &mut self,
        sources: &Sources,
        crowded: Option<&Crowded>,
    ) -> Result<Estimate, Error> {
        const KEPT: usize = 1024;
        let mut smallest: std::collections::BTreeSet<u64> = std::collections::BTreeSet::new();
        let mut bound = u64::MAX;
        let (mut rows_seen, mut merges, mut fields_bytes) = (0_u64, 0_u64, 0_u64);
        self.scan(sources, |scanned, _, slots, names, rows| {
            for ((id, name), content) in rows.whom().zip(rows.contents()) {
                let of = content.ok_or_else(no_row).and_then(|content| Ok((content, local(names, name)?)));
                let ((content, bytes), collection) = of.map_err(|error| scanned.damaged(error))?;
                let hash = slots.whom(collection, id).hash;
                if crowded.is_some_and(|crowded| !crowded.has(hash)) {
                    continue;
                }
                rows_seen += 1;
                fields_bytes = fields_bytes.saturating_add(bytes);
                merges += u64::from(content == ContentKind::Merge);
                if hash < bound && smallest.insert(hash) && smallest.len() > KEPT {
                    smallest.pop_last();
                    bound = smallest.last().copied().unwrap_or(u64::MAX);
                }
            }
            Ok(())
        })?;
        let kept = smallest.len() as u64;
        let entities = if smallest.len() < KEPT {
            kept
        } else {
            let estimate = u128::from(kept) * u128::from(u64::MAX) / u128::from(bound.max(1));
            u64::try_from(estimate).unwrap_or(u64::MAX).min(rows_seen)
        };
        // An entity whose patches are merged is held, half composed, from its first part to its last.
        let composed = entities.min(merges).min(rows_seen - entities);
        let average = fields_bytes / rows_seen.max(1);
        let bytes = entities * SLOT_BYTES + merges * PART_BYTES + composed * (COMPOSED_BYTES + average);
        Ok(Estimate { entities, bytes })
    }

    /// Visits the effects that `is_wanted` picks, payloads read and merged, in the order of their places.
    /// Slots without an effect (only cut) are not visited.
    pub(crate) fn survivors(
        &self,
        is_wanted: impl Fn(usize, &PendingSlot) -> bool,
        mut visit: impl FnMut(usize, &PendingSlot, Survivor<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut wanted: Vec<(u64, u32)> = Vec::new();
        let mut parts_left: Vec<u32> = vec![0; self.slots.slots.len()];
        for ((place, slot), left) in self.slots.slots.iter().enumerate().zip(&mut parts_left) {
            if slot.shape.operations > 0 && is_wanted(place, slot) {
                for part in self.slots.parts(slot) {
                    wanted.push((part, u32::try_from(place).unwrap_or(u32::MAX)));
                    *left += 1;
                }
            }
        }
        wanted.sort_unstable();
        let split = wanted.partition_point(|(place, _)| place & LOG_BIT == 0);
        let (in_run, in_log) = wanted.split_at(split);
        let mut open: std::collections::HashMap<u32, Effect> = std::collections::HashMap::new();
        for (reader, wanted) in [(&self.run, in_run), (&self.log, in_log)] {
            let mut owners = wanted.iter().map(|(_, slot)| *slot);
            reader.read(
                wanted.iter().map(|(place, _)| place & !LOG_BIT),
                |ordinal, row, preamble, payload| {
                    let damaged = |error| reader.damaged_rows(ordinal)(error);
                    let Some(owner) = owners.next() else { return Ok(()) };
                    let (Some(slot), Some(left)) =
                        (self.slots.slots.get(owner as usize), parts_left.get_mut(owner as usize))
                    else {
                        return Ok(());
                    };
                    *left = left.saturating_sub(1);
                    let is_alone = *left == 0 && !open.contains_key(&owner);
                    if is_alone && (payload.extra.is_empty() || slot.before == Clock::default()) {
                        let row = Row { shape: slot.shape, written: row.written.after(slot.before), ..*row };
                        return visit(owner as usize, slot, Survivor::Stored { row, payload });
                    }
                    // Where a part's groups went is in the slot already.
                    group_names(row, preamble).map_err(damaged)?;
                    let effect = effect_of(row, Vec::new(), payload).map_err(damaged)?;
                    let before = open.remove(&owner).unwrap_or_else(|| seed(slot.before));
                    let mut composed = before.then(&effect);
                    if *left > 0 {
                        open.insert(owner, composed);
                        return Ok(());
                    }
                    composed.shape = slot.shape;
                    composed.groups = self.interned.groups(slot.extra.groups).to_vec();
                    visit(owner as usize, slot, Survivor::Composed(composed))
                },
            )?;
        }
        Ok(())
    }

    /// The entity of a slot.
    pub(crate) fn key(&self, slot: &PendingSlot) -> Result<EntityKey, Error> {
        self.interned.key((slot.collection, slot.id)).map_err(super::tables::damaged("an entry"))
    }

    /// A survivor as an entry.
    pub(crate) fn entry(&self, slot: &PendingSlot, survivor: Survivor<'_>) -> Result<Entry, Error> {
        let key = self.key(slot)?;
        let effect = match survivor {
            Survivor::Composed(effect) => effect,
            Survivor::Stored { row, payload } => {
                let groups = self.interned.groups(slot.extra.groups).to_vec();
                effect_of(&row, groups, payload)
                    .map_err(|error| super::tables::damaged(format!("the entry of {key}"))(error))?
            }
        };
        Ok(Entry { key, effect, first_at: slot.extra.first_at })
    }
}

/// What stands for everything before the oldest part that still matters: its clock.
fn seed(before: Clock) -> Effect {
    let mut seed = Effect::identity();
    seed.shape = Shape { operations: 1, clock: before, ..Shape::default() };
    seed
}

/// The collection of a row, as it is interned.
pub(crate) fn local(names: &[u32], name: u64) -> Result<u32, FrameError> {
    usize::try_from(name)
        .ok()
        .and_then(|name| names.get(name))
        .copied()
        .ok_or_else(|| FrameError::Body { why: "a row names no collection".to_owned() })
}

/// The sets of groups of a value of rows, as they are interned.
pub(crate) fn sets_of(interned: &mut Interned, preamble: &Preamble) -> Result<Vec<u32>, FrameError> {
    let sets = preamble.groups.iter();
    sets.map(|set| crate::codec::records::groups_of(set).and_then(|set| interned.set(set))).collect()
}

/// The one of a row.
pub(crate) fn set_of(sets: &[u32], row: &Row) -> Result<u32, FrameError> {
    match usize::from(row.groups).checked_sub(1) {
        None => Ok(0),
        Some(set) => sets
            .get(set)
            .copied()
            .ok_or_else(|| FrameError::Body { why: "a row names no set of groups".to_owned() }),
    }
}

fn fold_rows(
    interned: &mut Interned,
    slots: &mut PendingSlots,
    names: &[u32],
    part: Part<'_>,
    first_place: u64,
    rows: &Rows<'_>,
) -> Result<(), FrameError> {
    let sets = sets_of(interned, &rows.preamble)?;
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
            let set = set_of(&sets, &row)?;
            let how = How { replaces: row.content == ContentKind::Replace, cuts: row.is_cut };
            let slot = slots.add(whom, hint, row.shape, first_place + *place as u64, how);
            if let Some(slot) = slots.slots.get_mut(slot) {
                slot.extra.add(&row, set, interned)?;
            }
        }
    }
}

impl Kept {
    pub(crate) fn add(&mut self, row: &Row, set: u32, interned: &mut Interned) -> Result<(), FrameError> {
        let is_first = row.is_cut || self.content.is_none();
        *self = Kept {
            groups: if is_first { set } else { interned.union(self.groups, set)? },
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
