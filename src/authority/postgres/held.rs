//! What of an account is held in memory while its rules run: what was read, and what is not written yet.
//!
//! Invariant: an entity that is held is as the rules see it; where in the tables it is, is where it was when they
//! were written last.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;
use uuid::Uuid;

use super::super::store::Stored;
use super::tables::Tables;
use crate::algebra::{
    BunchNumber, CollectionName, Digest, EntityKey, Epoch, LiveSet, Outcomes, ReplicaId, Schema, Trigger,
};

/// Where a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Nowhere,
    Live,
    Archive,
}

/// An entity, or that there is none.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) stored: Option<Arc<Stored>>,
    pub(super) place: Place,
}

/// How far a collection's epochs have gone, and what is live in it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counter {
    pub(super) live: LiveSet,
    pub(super) last: Epoch,
    pub(super) floor: Epoch,
}

/// A unique key: the collection, the fields, the values.
pub(super) type Asked = (CollectionName, Vec<String>, Vec<String>);

/// A reference: to what, from which collection, by which field.
pub(super) type Referred = (EntityKey, CollectionName, String);

/// What an account's answers are kept under.
pub(super) type Recorded = (ReplicaId, BunchNumber);

#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) entities: HashMap<EntityKey, Slot, RandomState>,
    pub(super) holders: HashMap<Asked, Vec<Uuid>, RandomState>,
    /// What is live in the tables, as something live refers to it; what of these is held is as it is held.
    pub(super) live_targets: HashSet<EntityKey, RandomState>,
    pub(super) referrers: HashMap<Referred, Vec<Uuid>, RandomState>,
    pub(super) counters: BTreeMap<CollectionName, Counter>,
    pub(super) answers: HashMap<Recorded, Option<(Digest, Outcomes)>>,
    pub(super) last_trigger: u64,
    pub(super) triggers_from: u64,
    pub(super) unwritten: Unwritten,
    /// Whether entities were put: then unique keys may be held twice until the rules have looked.
    has_put: bool,
}

/// What was put and is not in the tables yet.
#[derive(Debug, Default)]
pub(super) struct Unwritten {
    entities: HashSet<EntityKey, RandomState>,
    /// In the order in which they came.
    pub(super) order: Vec<EntityKey>,
    pub(super) counters: BTreeSet<CollectionName>,
    pub(super) triggers: Vec<Trigger>,
    pub(super) answers: Vec<Recorded>,
}

impl Unwritten {
    fn note(&mut self, key: &EntityKey) {
        if self.entities.insert(key.clone()) {
            self.order.push(key.clone());
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
            && self.counters.is_empty()
            && self.triggers.is_empty()
            && self.answers.is_empty()
    }
}

impl Held {
    /// Takes what was read of an entity. Before anything is put, a live one holds its unique keys, and nobody else
    /// does.
    pub(super) fn take(
        &mut self,
        tables: &Tables,
        schema: &Schema,
        key: EntityKey,
        stored: Stored,
        place: Place,
    ) {
        if !self.has_put
            && let Some(state) = stored.version.existence.live()
        {
            let references = tables.get(key.collection()).map_or(&[][..], |table| &table.references);
            for (field, _, target) in schema.targets(&key, state) {
                if references.iter().any(|reference| reference.is_sure && reference.field == field) {
                    self.live_targets.insert(target);
                }
            }
            for (_, fields, values) in schema.keys(&key, state) {
                let asked = (key.collection().clone(), fields.to_vec(), values);
                self.holders.entry(asked).or_insert_with(|| vec![key.id()]);
            }
        }
        self.entities.entry(key).or_insert(Slot { stored: Some(Arc::new(stored)), place });
    }

    /// Takes that there is no such entity.
    pub(super) fn take_absent(&mut self, key: EntityKey) {
        self.entities.entry(key).or_insert(Slot { stored: None, place: Place::Nowhere });
    }

    /// Notes that an entity was put. Who holds and who refers is no longer known then.
    pub(super) fn note_put(&mut self, key: &EntityKey) {
        self.unwritten.note(key);
        self.has_put = true;
        self.holders.clear();
        self.referrers.clear();
    }
}
