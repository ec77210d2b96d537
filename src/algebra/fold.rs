//! Folding a log in memory: one effect an entity, payloads untouched until somebody asks for them.
//!
//! Only shapes are composed while operations come in. Of the payloads a list of references is kept: the
//! last `Replace` and the `Merge`s behind it. So full states fold at the speed of the hash table.

use super::effect::{Effect, Kind, Shape, joined};
use super::names::{CollectionName, EntityKey, Group, Seq};
use super::operation::Operation;
use super::slots::{How, LOOKED_UP, OnLines, Slot, Slots, Whom};
use super::stamp::Clock;

/// The groups of an entity: almost always none, so they take one word, not three of every slot.
type Groups = Option<Box<Vec<Group>>>;

/// A log being folded. Operations are borrowed, never copied.
#[derive(Debug)]
pub struct Fold<'a> {
    collections: Vec<&'a CollectionName>,
    slots: Slots<&'a Operation, Groups, OnLines>,
    last: Seq,
}

impl Default for Fold<'_> {
    fn default() -> Self {
        Fold { collections: Vec::new(), slots: Slots::new(), last: Seq(0) }
    }
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
        self.extend(std::slice::from_ref(operation));
        self.last
    }

    /// Folds in a run of operations, in its order: the same as one after another, and quicker where the
    /// table is larger than the processor's caches.
    ///
    /// # Panics
    /// As [`Fold::push`].
    pub fn extend(&mut self, operations: &'a [Operation]) {
        let mut whom = [Whom::default(); LOOKED_UP];
        let mut hints = [None; LOOKED_UP];
        for operations in operations.chunks(LOOKED_UP) {
            let whom = whom.get_mut(..operations.len()).unwrap_or_default();
            for (operation, whom) in operations.iter().zip(whom.iter_mut()) {
                let collection = self.collection(operation.key.collection());
                *whom = self.slots.whom(collection, operation.key.id());
            }
            self.slots.look_up(whom, &mut hints);
            for ((operation, whom), hint) in operations.iter().zip(whom.iter()).zip(hints) {
                self.add(operation, whom, hint);
            }
        }
    }

    fn add(&mut self, operation: &'a Operation, whom: &Whom, hint: Option<u32>) {
        self.last = Seq(self.last.0 + 1);
        let kind = operation.change.kind();
        let shape = Shape::of(self.last, kind, Clock::of(operation.at));
        let how = How { replaces: matches!(kind, Kind::Create | Kind::State), cuts: false };
        let place = self.slots.add(whom, hint, shape, operation, how);
        if !operation.groups.is_empty()
            && let Some(slot) = self.slots.slots.get_mut(place)
        {
            let joined = joined(slot.extra.as_deref().map_or(&[], Vec::as_slice), &operation.groups);
            slot.extra = Some(Box::new(joined));
        }
    }

    /// How many entities have an effect.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.slots.len()
    }

    /// Whether nothing was folded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.slots.is_empty()
    }

    /// The shapes of all effects, in the order in which their entities first appeared.
    pub fn shapes(&self) -> impl Iterator<Item = &Shape> {
        self.slots.slots.iter().map(|slot| &slot.shape)
    }

    /// The effects, in the order in which their entities first appeared: now payloads are merged.
    pub fn effects(&self) -> impl Iterator<Item = (EntityKey, Effect)> + '_ {
        self.slots.slots.iter().filter_map(|slot| self.effect(slot))
    }

    fn effect(&self, slot: &Slot<&'a Operation, Groups, OnLines>) -> Option<(EntityKey, Effect)> {
        let parts: Vec<&Operation> = self.slots.parts(slot).collect();
        let key = parts.first()?.key.clone();
        // What came before the oldest part matters only through its clock.
        let mut effect = Effect::identity();
        effect.shape.operations = 1;
        effect.shape.clock = slot.before;
        for operation in parts.into_iter().rev() {
            effect = effect.then(&Effect::of(slot.shape.last, operation));
        }
        effect.shape = slot.shape;
        effect.groups = slot.extra.as_deref().cloned().unwrap_or_default();
        Some((key, effect))
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
