//! Rows that are alone: nothing else in a pass is about their entities, so they need no slot.
//!
//! Where most entities have one row, slots would take many times the memory of a pass, and each part of it reads all rows
//! again. Two bits for a bucket of hashes tell without slots which rows are alone; a bucket that two entities share
//! only sends both to the slots.

use super::columns::Payload;
use super::effects::Who;
use super::entry::{Interned, RowSet, RowSets};
use super::error::Error;
use super::folding::{Folding, PendingSlots, Sources, local};
use crate::codec::FrameError;
use crate::codec::columns::{Preamble, Rows, no_row};
use crate::codec::row::Row;

/// So many buckets a row, up to [`BUCKETS_MAX`]: of rows that are alone one in nine meets another one.
const BUCKETS_A_ROW: u64 = 8;

/// More would help no more than they cost: 8 MiB of bits.
const BUCKETS_MAX: u64 = 1 << 26;

/// Which buckets have several rows.
#[derive(Debug)]
pub(crate) struct Crowded {
    several: Vec<u64>,
    /// How far a hash is shifted to be a bucket's number.
    shift: u32,
}

impl Crowded {
    /// Looks at all rows of some sources; what is kept of it takes at most so many bytes, and at least eight.
    pub(crate) fn of(folding: &mut Folding, sources: &Sources, bytes_max: u64) -> Result<Self, Error> {
        let wanted = sources.rows().saturating_mul(BUCKETS_A_ROW).checked_next_power_of_two();
        let room = 1 << bytes_max.saturating_mul(8).max(64).ilog2();
        let buckets = wanted.unwrap_or(BUCKETS_MAX).clamp(64, BUCKETS_MAX).min(room);
        let words = vec![0_u64; usize::try_from(buckets / 64).unwrap_or(0)];
        let mut crowded = Crowded { several: words.clone(), shift: 64 - buckets.trailing_zeros() };
        let mut some = words;
        folding.scan(sources, |scanned, _, slots, names, rows| {
            let hashes = hashes(slots, names, rows).try_for_each(|hash| {
                let (word, bit) = crowded.place(hash?);
                if let (Some(some), Some(several)) = (some.get_mut(word), crowded.several.get_mut(word)) {
                    *several |= *some & bit;
                    *some |= bit;
                }
                Ok(())
            });
            hashes.map_err(|error| scanned.damaged(error))
        })?;
        Ok(crowded)
    }

    /// What it takes.
    pub(crate) fn bytes(&self) -> u64 {
        self.several.len() as u64 * 8
    }

    /// Whether an entity of this hash may have other rows.
    pub(crate) fn has(&self, hash: u64) -> bool {
        let (word, bit) = self.place(hash);
        self.several.get(word).is_none_or(|word| word & bit != 0)
    }

    fn place(&self, hash: u64) -> (usize, u64) {
        let bucket = hash >> self.shift;
        (usize::try_from(bucket / 64).unwrap_or(0), 1 << (bucket % 64))
    }

    /// Visits the rows that are alone, with their payloads, in the order of their places. What is told of each first is
    /// its collection, as it is interned.
    pub(crate) fn alone(
        &self,
        folding: &mut Folding,
        sources: &Sources,
        mut visit: impl FnMut(u32, &Row, &Preamble, Payload<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut wanted: Vec<u64> = Vec::new();
        folding.scan(sources, |scanned, _, slots, names, rows| {
            for (ordinal, hash) in (scanned.first..).zip(hashes(slots, names, rows)) {
                if !self.has(hash.map_err(|error| scanned.damaged(error))?) {
                    wanted.push(ordinal);
                }
            }
            scanned.reader.read(wanted.drain(..), |_, row, preamble, payload| {
                let collection = local(names, row.name.into()).map_err(|error| scanned.damaged(error))?;
                visit(collection, row, preamble, payload)
            })
        })
    }

    /// Visits the rows that are alone, without their payloads: of each whom it is about, and its set of groups. Those
    /// without an operation are left out. Whatever was folded is forgotten.
    pub(crate) fn rows(
        &self,
        folding: &mut Folding,
        sources: &Sources,
        mut visit: impl FnMut(&mut Interned, Who, &Row, Option<&mut RowSet>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        folding.clear(0);
        folding.scan(sources, |scanned, interned, slots, names, rows| {
            let damaged = |error| scanned.damaged(error);
            let mut sets = RowSets::of(&rows.preamble);
            for (place, hash) in hashes(slots, names, rows).enumerate() {
                if self.has(hash.map_err(damaged)?) {
                    continue;
                }
                let row = rows.row(place).ok_or_else(no_row).map_err(damaged)?;
                if row.shape.operations > 0 {
                    let who = (local(names, row.name.into()).map_err(damaged)?, row.id);
                    visit(interned, who, &row, sets.of_row(&row).map_err(damaged)?)?;
                }
            }
            interned.forget_sets();
            Ok(())
        })
    }
}

fn hashes<'r>(
    slots: &'r PendingSlots,
    names: &'r [u32],
    rows: &'r Rows<'_>,
) -> impl Iterator<Item = Result<u64, FrameError>> + 'r {
    rows.whom().map(|(id, name)| Ok(slots.whom(local(names, name)?, id).hash))
}
