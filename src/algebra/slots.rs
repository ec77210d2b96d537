//! Slots: the fold's table, one slot an entity, by shapes alone.
//!
//! What an operation does to the fields stays where it is; a slot only remembers *where*: the last part
//! that replaced the content, and the chain of those behind it. Generic over what a place is, so that
//! folding in memory and folding from disk are one piece of code.

use std::hash::BuildHasher;

use hashbrown::HashTable;
use uuid::Uuid;

use super::effect::Shape;
use super::stamp::Clock;

/// One entity's slot.
#[derive(Debug)]
pub(crate) struct Slot<P, E> {
    pub(crate) id: Uuid,
    pub(crate) collection: u32,
    /// Where the older parts begin in the list of all.
    older: Option<u32>,
    pub(crate) shape: Shape,
    /// The newest part.
    newest: P,
    /// The clock before the oldest part that still matters.
    pub(crate) before: Clock,
    /// What else the caller keeps of an entity.
    pub(crate) extra: E,
}

#[derive(Clone, Copy, Debug)]
struct Older<P> {
    part: P,
    older: Option<u32>,
}

/// The table of slots.
#[derive(Debug)]
pub(crate) struct Slots<P, E> {
    hasher: foldhash::fast::RandomState,
    places: HashTable<u32>,
    pub(crate) slots: Vec<Slot<P, E>>,
    older: Vec<Older<P>>,
}

impl<P: Copy, E: Default> Slots<P, E> {
    pub(crate) fn new() -> Self {
        Slots {
            hasher: foldhash::fast::RandomState::default(),
            places: HashTable::new(),
            slots: Vec::new(),
            older: Vec::new(),
        }
    }

    /// Forgets every slot and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.places.clear();
        self.slots.clear();
        self.older.clear();
    }

    /// The hash that [`add`](Self::add) wants.
    pub(crate) fn hash(&self, collection: u32, id: Uuid) -> u64 {
        self.hasher.hash_one((collection, id.as_u128()))
    }

    /// Folds in one more part of an entity, newer than all before, and gives the slot's place.
    ///
    /// `replaces` says that the part replaces the content, so that older parts do not matter any more;
    /// `cuts` that everything older is done with.
    ///
    /// # Panics
    /// Beyond 2³² entities or parts: their slots alone would take half a tebibyte.
    pub(crate) fn add(
        &mut self,
        hash: u64,
        collection: u32,
        id: Uuid,
        shape: Shape,
        part: P,
        how: How,
    ) -> usize {
        let slots = &self.slots;
        let found = self.places.find(hash, |place| {
            slots.get(*place as usize).is_some_and(|slot| slot.id == id && slot.collection == collection)
        });
        if let Some(place) = found.map(|place| *place as usize)
            && let Some(slot) = self.slots.get_mut(place)
        {
            if how.cuts || slot.shape.operations == 0 {
                slot.older = None;
                slot.before = Clock::default();
                slot.shape = shape;
            } else {
                if how.replaces {
                    slot.older = None;
                    slot.before = slot.shape.clock;
                } else {
                    let chained = u32::try_from(self.older.len()).expect("fewer than 2^32 parts");
                    self.older.push(Older { part: slot.newest, older: slot.older });
                    slot.older = Some(chained);
                }
                slot.shape = slot.shape.then(shape);
            }
            slot.newest = part;
            return place;
        }
        let place = u32::try_from(self.slots.len()).expect("fewer than 2^32 entities");
        self.slots.push(Slot {
            id,
            collection,
            older: None,
            shape,
            newest: part,
            before: Clock::default(),
            extra: E::default(),
        });
        let (slots, hasher) = (&self.slots, &self.hasher);
        self.places.insert_unique(hash, place, |place| {
            slots.get(*place as usize).map_or(0, |slot| hasher.hash_one((slot.collection, slot.id.as_u128())))
        });
        place as usize
    }

    /// The parts of a slot that still matter, newest first.
    pub(crate) fn parts<'a>(&'a self, slot: &'a Slot<P, E>) -> impl Iterator<Item = P> + 'a {
        let mut next = slot.older;
        std::iter::once(slot.newest).chain(std::iter::from_fn(move || {
            let older = self.older.get(next? as usize)?;
            next = older.older;
            Some(older.part)
        }))
    }
}

/// How a part stands to the older ones of its entity.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct How {
    /// It replaces the content.
    pub(crate) replaces: bool,
    /// Everything older is done with.
    pub(crate) cuts: bool,
}
