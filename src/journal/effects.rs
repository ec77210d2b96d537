//! Everything that is pending but for its fields, a part of it at a time: whatever there is of it, looking at it takes
//! the memory of a pass.

use std::collections::HashSet;

use uuid::Uuid;

use super::columns::Payload;
use super::entry::Interned;
use super::error::Error;
use super::folding::{Folding, Kept, Part, PendingSlot, Sources};
use super::parts::Parts;
use super::rewrite;
use super::tables::{Snapshot, damaged};
use crate::algebra::Shape;
use crate::codec::records::JournalState;
use crate::codec::row::Row;

/// An entity: its collection as it is interned, and its id.
pub(crate) type Who = (u32, Uuid);

/// A pending effect but for its fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outline {
    pub(crate) who: Who,
    pub(crate) shape: Shape,
    pub(crate) kept: Kept,
}

impl Outline {
    fn of(slot: &PendingSlot) -> Self {
        Outline { who: (slot.collection, slot.id), shape: slot.shape(), kept: slot.extra }
    }
}

/// What is pending, folded as often as somebody looks at it, unless it fits into memory at once.
pub(crate) struct Effects {
    pub(crate) folding: Folding,
    sources: Sources,
    parts: Parts,
    /// Whether all of it is folded: there is one part.
    is_folded: bool,
}

impl Effects {
    /// Nothing is folded yet.
    pub(crate) fn new(snapshot: &Snapshot, state: &JournalState, pass_bytes: u64) -> Result<Self, Error> {
        let mut folding = Folding::new(snapshot)?;
        let sources = rewrite::all(&folding, state)?;
        let parts = Parts::of(&mut folding, &sources, pass_bytes)?;
        Ok(Effects { folding, sources, parts, is_folded: false })
    }

    /// Visits every effect, in no order.
    pub(crate) fn each(
        &mut self,
        mut visit: impl FnMut(&Interned, Outline) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Effects { folding, sources, parts, is_folded } = self;
        if let Some(crowded) = &parts.crowded {
            crowded.rows(folding, sources, |interned, who, row, set| {
                let mut kept = Kept::default();
                kept.add(row, set, interned).map_err(damaged("an entry"))?;
                visit(interned, Outline { who, shape: row.shape, kept })
            })?;
        }
        for part in 0..parts.number {
            if !*is_folded {
                parts.fold(folding, sources, part)?;
                *is_folded = parts.is_whole();
            }
            for slot in folding.slots.slots.iter().filter(|slot| slot.count.operations > 0) {
                visit(&folding.interned, Outline::of(slot))?;
            }
        }
        Ok(())
    }

    /// Visits some of the effects with their fields.
    pub(crate) fn read(
        &mut self,
        wanted: &HashSet<Who>,
        mut visit: impl FnMut(&Folding, &PendingSlot, &Row, Payload<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if !self.is_folded {
            self.folding.clear(wanted.len() as u64);
            self.folding.fold(&self.sources, Part::Keys(wanted))?;
        }
        let folding = &self.folding;
        folding.survivors(
            |slot| wanted.contains(&(slot.collection, slot.id)),
            |slot, row, payload| visit(folding, slot, row, payload),
        )
    }
}
