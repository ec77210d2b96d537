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
use crate::algebra::slots::{How, LOOKED_UP, Slot, Slots, Whom};
use crate::algebra::{Clock, Effect, EntityKey, Shape};
use crate::codec::FrameError;
use crate::codec::columns::Rows;
use crate::codec::records::Level;
use crate::codec::row::{ContentKind, Row};

const LOG_BIT: u64 = 1 << 63;

/// What one entity's slot costs while it is folded: the slot, its share of the table, the places of its
/// payload.
pub(crate) const SLOT_BYTES: u64 = 192;

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
        self.log.end(log_begins)
    }

    /// Folds the rows of the sources, oldest first.
    pub(crate) fn fold(&mut self, sources: &Sources, part: Part<'_>) -> Result<(), Error> {
        let Folding { run, log, interned, slots } = self;
        for level in &sources.levels {
            run.scan(level.range(), |first, rows| {
                fold_rows(interned, slots, part, first, rows).map_err(run.damaged_rows(first))
            })?;
        }
        match &sources.log {
            None => Ok(()),
            Some(range) => log.scan_all(range.clone(), |first, rows| {
                fold_rows(interned, slots, part, first | LOG_BIT, rows).map_err(log.damaged_rows(first))
            }),
        }
    }

    /// About how much memory it takes to fold the sources at once: the entities are estimated from the smallest
    /// hashes (a KMV sketch), what is merged is counted.
    pub(crate) fn estimated_bytes(&mut self, sources: &Sources) -> Result<u64, Error> {
        const KEPT: usize = 1024;
        let mut smallest: std::collections::BTreeSet<u64> = std::collections::BTreeSet::new();
        let mut bound = u64::MAX;
        let (mut rows_seen, mut merges, mut fields_bytes) = (0_u64, 0_u64, 0_u64);
        let Folding { run, log, interned, slots } = self;
        let mut note = |rows: &Rows<'_>| -> Result<(), FrameError> {
            let names = local_names(interned, rows)?;
            for row in rows.iter() {
                let row = row?;
                rows_seen += 1;
                fields_bytes += u64::from(row.fields_bytes);
                merges += u64::from(row.content == ContentKind::Merge);
                let hash = slots.whom(local(&names, row.name)?, row.id).hash;
                if hash < bound && smallest.insert(hash) && smallest.len() > KEPT {
                    smallest.pop_last();
                    bound = smallest.last().copied().unwrap_or(u64::MAX);
                }
            }
            Ok(())
        };
        for level in &sources.levels {
            run.scan(level.range(), |first, rows| note(rows).map_err(run.damaged_rows(first)))?;
        }
        if let Some(range) = &sources.log {
            log.scan_all(range.clone(), |first, rows| note(rows).map_err(log.damaged_rows(first)))?;
        }
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
        Ok(entities * SLOT_BYTES + merges * PART_BYTES + composed * (COMPOSED_BYTES + average))
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
    let mut chunk: Vec<(u64, Row)> = Vec::with_capacity(LOOKED_UP);
    let mut whom: Vec<Whom> = Vec::with_capacity(LOOKED_UP);
    let mut hints = [None; LOOKED_UP];
    let mut all = (first_place..).zip(rows.iter()).peekable();
    while all.peek().is_some() {
        chunk.clear();
        whom.clear();
        for (place, row) in all.by_ref() {
            let row = row?;
            let them = slots.whom(local(&names, row.name)?, row.id);
            let takes_part = match part {
                Part::All => true,
                Part::Hashed { part, of } => hash_part(them.hash, of) == part,
                Part::Keys(keys) => keys.contains(&(them.collection, row.id)),
            };
            if takes_part {
                chunk.push((place, row));
                whom.push(them);
            }
            if chunk.len() == LOOKED_UP {
                break;
            }
        }
        slots.look_up(whom.iter(), &mut hints);
        for (((place, row), whom), hint) in chunk.iter().zip(&whom).zip(hints) {
            let set = match usize::from(row.groups).checked_sub(1) {
                None => 0,
                Some(set) => *sets
                    .get(set)
                    .ok_or_else(|| FrameError::Body { why: "a row names no set of groups".to_owned() })?,
            };
            let how = How { replaces: row.content == ContentKind::Replace, cuts: row.is_cut };
            let slot = slots.add(whom, hint, row.shape, *place, how);
            if let Some(slot) = slots.slots.get_mut(slot) {
                slot.extra.add(row, set, interned)?;
            }
        }
    }
    Ok(())
}

impl Kept {
    fn add(&mut self, row: &Row, set: u32, interned: &mut Interned) -> Result<(), FrameError> {
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

/// Which part of so many a hash falls into.
fn hash_part(hash: u64, of: u64) -> u64 {
    // The high half of the product: equal parts of the hash's range.
    u64::try_from((u128::from(hash) * u128::from(of)) >> 64).unwrap_or(0)
}
