//! Folding a log in memory: one effect an entity, payloads untouched until somebody asks for them.
//!
//! Only shapes are composed while operations come in. Of the payloads a list of references is kept: the
//! last `Replace` and the `Merge`s behind it. So full states fold at the speed of the hash table.

use std::hash::BuildHasher;

use hashbrown::HashTable;
use uuid::Uuid;

use super::effect::{Effect, Kind, Shape, joined};
use super::names::{CollectionName, EntityKey, Group, Seq};
use super::operation::Operation;
use super::stamp::Clock;

/// A log being folded. Operations are borrowed, never copied.
#[derive(Debug, Default)]
pub struct Fold<'a> {
    hasher: foldhash::fast::RandomState,
    collections: Vec<&'a CollectionName>,
    places: HashTable<u32>,
    slots: Vec<Slot<'a>>,
    /// Parts beyond an entity's first, as linked lists from newest to oldest.
    more: Vec<More<'a>>,
    last: Seq,
}

#[derive(Debug)]
struct Slot<'a> {
    id: Uuid,
    collection: u32,
    /// Where the older parts of the content begin in the list of all.
    older: Option<u32>,
    shape: Shape,
    newest: &'a Operation,
    /// The clock before the oldest part that still matters.
    before: Clock,
    /// Almost always none, so it takes one word.
    #[expect(clippy::box_collection, reason = "three words in every slot would cost the fold a cache line")]
    groups: Option<Box<Vec<Group>>>,
}

#[derive(Clone, Copy, Debug)]
struct More<'a> {
    operation: &'a Operation,
    older: Option<u32>,
}

impl<'a> Fold<'a> {
    /// A fold of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Folds in the next operation, which gets the next sequence number: 1, 2, 3, …
    ///
    /// # Panics
    /// Beyond 2³² entities: their slots alone would take half a tebibyte.
    pub fn push(&mut self, operation: &'a Operation) -> Seq {
        self.last = Seq(self.last.0 + 1);
        let seq = self.last;
        let collection = self.collection(operation.key.collection());
        let id = operation.key.id();
        let hash = self.hasher.hash_one((collection, id));
        let shape = Shape::of(seq, operation.change.kind(), Clock::of(operation.at));
        let slots = &self.slots;
        let found = self.places.find(hash, |place| {
            slots.get(*place as usize).is_some_and(|slot| slot.id == id && slot.collection == collection)
        });
        match found.and_then(|place| self.slots.get_mut(*place as usize)) {
            Some(slot) => {
                match operation.change.kind() {
                    Kind::Create | Kind::State => {
                        slot.older = None;
                        slot.before = slot.shape.clock;
                    }
                    Kind::Patch | Kind::Delete => {
                        let place = u32::try_from(self.more.len()).expect("fewer than 2^32 patches");
                        self.more.push(More { operation: slot.newest, older: slot.older });
                        slot.older = Some(place);
                    }
                }
                slot.shape = slot.shape.then(shape);
                slot.newest = operation;
                join_groups(&mut slot.groups, &operation.groups);
            }
            None => {
                let place = u32::try_from(self.slots.len()).expect("fewer than 2^32 entities");
                self.slots.push(Slot {
                    id,
                    collection,
                    shape,
                    newest: operation,
                    older: None,
                    before: Clock::default(),
                    groups: (!operation.groups.is_empty()).then(|| Box::new(operation.groups.clone())),
                });
                let (slots, hasher) = (&self.slots, &self.hasher);
                self.places.insert_unique(hash, place, |place| {
                    slots.get(*place as usize).map_or(0, |slot| hasher.hash_one((slot.collection, slot.id)))
                });
            }
        }
        seq
    }

    /// How many entities have an effect.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether nothing was folded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The shapes of all effects, in the order in which their entities first appeared.
    pub fn shapes(&self) -> impl Iterator<Item = &Shape> {
        self.slots.iter().map(|slot| &slot.shape)
    }

    /// The effects, in the order in which their entities first appeared: now payloads are merged.
    pub fn effects(&self) -> impl Iterator<Item = (EntityKey, Effect)> + '_ {
        self.slots.iter().map(|slot| (slot.newest.key.clone(), self.effect(slot)))
    }

    fn effect(&self, slot: &Slot<'a>) -> Effect {
        let mut parts = vec![slot.newest];
        let mut next = slot.older;
        while let Some(more) = next.and_then(|place| self.more.get(place as usize)) {
            parts.push(more.operation);
            next = more.older;
        }
        // What came before the oldest part matters only through its clock.
        let mut effect = Effect::identity();
        effect.shape.operations = 1;
        effect.shape.clock = slot.before;
        for operation in parts.into_iter().rev() {
            effect = effect.then(&Effect::of(slot.shape.last, operation));
        }
        effect.shape = slot.shape;
        effect.groups = slot.groups.as_deref().cloned().unwrap_or_default();
        effect
    }

    fn collection(&mut self, name: &'a CollectionName) -> u32 {
        // Few collections and long runs of one: a walk from the end is quicker than a hash.
        let found = self.collections.iter().rposition(|known| std::ptr::eq(*known, name) || *known == name);
        let place = found.unwrap_or_else(|| {
            self.collections.push(name);
            self.collections.len() - 1
        });
        u32::try_from(place).expect("fewer than 2^32 collections")
    }
}

fn join_groups(groups: &mut Option<Box<Vec<Group>>>, more: &[Group]) {
    if !more.is_empty() {
        let joined = joined(groups.as_deref().map_or(&[], Vec::as_slice), more);
        *groups = Some(Box::new(joined));
    }
}
