//! Folding from disk: rows first, payloads only of what survives.
//!
//! Places are ordinals of the run and, with the highest bit set, sequence numbers of the log. Levels are
//! rewritten only from the newest down, so the order of places is the order of age.

use std::ops::Range;

use uuid::Uuid;

use super::columns::{ColumnReader, Payload};
use super::entry::{Entry, Interned, effect_of, group_names};
use super::error::Error;
use super::tables::{LOG, RUN, Snapshot};
use crate::algebra::slots::{How, Slot, Slots};
use crate::algebra::{Clock, Effect, EntityKey, Shape};
use crate::codec::FrameError;
use crate::codec::columns::{ContentKind, Row, Rows};
use crate::codec::records::Level;

const LOG_BIT: u64 = 1 << 63;

/// What one entity's slot costs while it is folded: the slot, its share of the table, the places of its
/// payload.
pub(crate) const SLOT_BYTES: u64 = 192;

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

/// What is folded: some newest levels, and perhaps the log behind them.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    pub(crate) levels: Vec<Level>,
    pub(crate) log: Range<u64>,
}

impl Sources {
    pub(crate) fn rows(&self) -> u64 {
        self.levels.iter().map(|level| level.rows).sum::<u64>() + (self.log.end - self.log.start)
    }
}

/// Which entities take part in one pass.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part<'k> {
    All,
    /// Those whose hash falls into this part of so many.
    Hashed {
        part: u64,
        of: u64,
    },
    /// Only these.
    Keys(&'k std::collections::HashSet<(u32, Uuid)>),
}

/// A fold over rows on disk.
pub(crate) struct Folding {
    run: ColumnReader,
    log: ColumnReader,
    pub(crate) interned: Interned,
    pub(crate) slots: Slots<u64, Kept>,
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

    /// Forgets the slots, for the next pass over the same rows.
    pub(crate) fn clear(&mut self) {
        self.slots.clear();
    }

    /// Where the log ends: the next sequence number.
    pub(crate) fn log_end(&self, log_begins: u64) -> Result<u64, Error> {
        Ok(self.log.end()?.map_or(log_begins, |end| end.max(log_begins)))
    }

    /// Folds the rows of the sources, oldest first.
    pub(crate) fn fold(&mut self, sources: &Sources, part: Part<'_>) -> Result<(), Error> {
        let Folding { run, log, interned, slots } = self;
        for level in &sources.levels {
            run.scan(level.first..level.first + level.rows, |first, rows| {
                fold_rows(interned, slots, part, first, rows).map_err(run.damaged_rows(first))
            })?;
        }
        log.scan(sources.log.clone(), |first, rows| {
            fold_rows(interned, slots, part, first | LOG_BIT, rows).map_err(log.damaged_rows(first))
        })
    }

    /// About how many entities the sources name, from the smallest hashes (a KMV sketch).
    pub(crate) fn entities(&mut self, sources: &Sources) -> Result<u64, Error> {
        const KEPT: usize = 1024;
        let mut smallest: std::collections::BTreeSet<u64> = std::collections::BTreeSet::new();
        let mut bound = u64::MAX;
        let Folding { run, log, interned, slots } = self;
        let mut note = |rows: &Rows<'_>| -> Result<(), FrameError> {
            let names = local_names(interned, rows)?;
            for row in rows.iter() {
                let row = row?;
                let hash = slots.hash(local(&names, row.name)?, row.id);
                if hash < bound && smallest.insert(hash) && smallest.len() > KEPT {
                    smallest.pop_last();
                    bound = smallest.last().copied().unwrap_or(u64::MAX);
                }
            }
            Ok(())
        };
        for level in &sources.levels {
            run.scan(level.first..level.first + level.rows, |first, rows| {
                note(rows).map_err(run.damaged_rows(first))
            })?;
        }
        log.scan(sources.log.clone(), |first, rows| note(rows).map_err(log.damaged_rows(first)))?;
        let kept = smallest.len() as u64;
        if smallest.len() < KEPT {
            return Ok(kept);
        }
        let estimate = u128::from(kept) * u128::from(u64::MAX) / u128::from(bound.max(1));
        Ok(u64::try_from(estimate).unwrap_or(u64::MAX))
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
        let name = self.interned.collection(slot.collection).map_err(super::tables::damaged("an entry"))?;
        EntityKey::new(name.clone(), slot.id).map_err(|source| Error::Invalid { source })
    }

    /// A survivor as an entry.
    pub(crate) fn entry(&self, slot: &PendingSlot, survivor: Survivor<'_>) -> Result<Entry, Error> {
        let key = self.key(slot)?;
        let effect = match survivor {
            Survivor::Composed(effect) => effect,
            Survivor::Stored { row, payload } => {
                let groups = self.interned.groups(slot.extra.groups).to_vec();
                effect_of(&row, groups, payload)
                    .map_err(super::tables::damaged(format!("the entry of {key}")))?
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

fn local_names(interned: &mut Interned, rows: &Rows<'_>) -> Result<Vec<u32>, FrameError> {
    rows.preamble.names.iter().map(|name| interned.name(name)).collect()
}

fn local(names: &[u32], name: u16) -> Result<u32, FrameError> {
    names
        .get(usize::from(name))
        .copied()
        .ok_or_else(|| FrameError::Body { why: "a row names no collection".to_owned() })
}

fn fold_rows(
    interned: &mut Interned,
    slots: &mut Slots<u64, Kept>,
    part: Part<'_>,
    first_place: u64,
    rows: &Rows<'_>,
) -> Result<(), FrameError> {
    let names = local_names(interned, rows)?;
    let sets: Vec<u32> = rows
        .preamble
        .groups
        .iter()
        .map(|set| crate::codec::records::groups_of(set).and_then(|set| interned.set(set)))
        .collect::<Result<_, _>>()?;
    for (place, row) in (first_place..).zip(rows.iter()) {
        let row = row?;
        let collection = local(&names, row.name)?;
        let hash = slots.hash(collection, row.id);
        let takes_part = match part {
            Part::All => true,
            Part::Hashed { part, of } => hash_part(hash, of) == part,
            Part::Keys(keys) => keys.contains(&(collection, row.id)),
        };
        if !takes_part {
            continue;
        }
        let how = How { replaces: row.content == ContentKind::Replace, cuts: row.is_cut };
        let set = match usize::from(row.groups).checked_sub(1) {
            None => 0,
            Some(set) => *sets
                .get(set)
                .ok_or_else(|| FrameError::Body { why: "a row names no set of groups".to_owned() })?,
        };
        let slot = slots.add(hash, collection, row.id, row.shape, place, how);
        let Some(slot) = slots.slots.get_mut(slot) else { continue };
        let is_first = row.is_cut || slot.extra.content.is_none();
        slot.extra = Kept {
            groups: if is_first { set } else { interned.union(slot.extra.groups, set)? },
            first_at: if is_first || slot.extra.first_at == 0 { row.first_at } else { slot.extra.first_at },
            is_cut: row.is_cut || slot.extra.is_cut,
            fields_bytes: if row.content == ContentKind::Merge && !is_first {
                slot.extra.fields_bytes.saturating_add(row.fields_bytes)
            } else if row.content == ContentKind::Keep && !is_first {
                slot.extra.fields_bytes
            } else {
                row.fields_bytes
            },
            content: Some(match (row.content, slot.extra.content) {
                (ContentKind::Keep, Some(before)) if !is_first => before,
                (ContentKind::Merge, Some(ContentKind::Replace)) if !is_first => ContentKind::Replace,
                (content, _) => content,
            }),
        };
    }
    Ok(())
}

/// Which part of so many a hash falls into.
fn hash_part(hash: u64, of: u64) -> u64 {
    // The high half of the product: equal parts of the hash's range.
    u64::try_from((u128::from(hash) * u128::from(of)) >> 64).unwrap_or(0)
}
