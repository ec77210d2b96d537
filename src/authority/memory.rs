//! A store in memory.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::Arc;

use foldhash::fast::RandomState;
use uuid::Uuid;

use super::index::LiveIndex;
use super::store::{Store, Stored};
use crate::algebra::{
    Action, BunchNumber, CollectionName, Cursors, Digest, EntityKey, Epoch, Generation, Index, LiveSets,
    Outcomes, Page, ReplicaId, Schema, Trigger,
};

/// A store in memory, indexed as its schema asks for. A clone is a backup.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    schema: Schema,
    generation: Generation,
    entities: HashMap<EntityKey, Arc<Stored>, RandomState>,
    /// Which entity was changed last at an epoch.
    by_epoch: BTreeMap<CollectionName, BTreeMap<Epoch, Uuid>>,
    /// What is live in each collection, and its last epoch.
    collections: LiveSets,
    floors: BTreeMap<CollectionName, Epoch>,
    live: LiveIndex,
    answers: HashMap<(ReplicaId, BunchNumber), (Digest, Outcomes)>,
    triggers: Vec<Trigger>,
    /// Triggers up to this one are gone.
    triggers_from: u64,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new(schema: Schema, generation: Generation) -> Self {
        MemoryStore { schema, generation, ..MemoryStore::default() }
    }

    /// Says that this is a restored copy: what it held since is gone, so its epochs are given out anew.
    pub fn restored_as(&mut self, generation: Generation) {
        self.generation = generation;
    }

    /// Forgets the tombstones of a collection up to an epoch, inclusive, and with them what lies below it.
    pub fn prune(&mut self, collection: &CollectionName, until: Epoch) {
        let Some(by_epoch) = self.by_epoch.get_mut(collection) else { return };
        let until = until.min(self.collections.get(collection).copied().unwrap_or_default().1);
        let entities = &mut self.entities;
        by_epoch.retain(|epoch, id| {
            let key = EntityKey::new(collection.clone(), *id);
            let is_dead =
                |key: &EntityKey| entities.get(key).is_some_and(|stored| !stored.version.existence.is_live());
            match key {
                Ok(key) if *epoch <= until && is_dead(&key) => {
                    entities.remove(&key);
                    false
                }
                Ok(_) | Err(_) => true,
            }
        });
        let floor = self.floors.entry(collection.clone()).or_default();
        *floor = (*floor).max(until);
    }

    /// Forgets the triggers up to an index, inclusive, as far as there are any.
    pub fn forget_triggers(&mut self, until: Index) {
        let until = until.min(Index(self.triggers_from + self.triggers.len() as u64));
        self.triggers.retain(|trigger| trigger.index > until);
        self.triggers_from = self.triggers_from.max(until.0);
    }

    /// Every entity, tombstones included, in no order.
    pub fn entities(&self) -> impl Iterator<Item = (&EntityKey, &Stored)> {
        self.entities.iter().map(|(key, stored)| (key, &**stored))
    }
}

impl Store for MemoryStore {
    type Error = Infallible;

    fn entity(&self, key: &EntityKey) -> Result<Option<Arc<Stored>>, Infallible> {
        Ok(self.entities.get(key).cloned())
    }

    fn holders(
        &self,
        collection: &CollectionName,
        fields: &[String],
        values: &[String],
    ) -> Result<Vec<Uuid>, Infallible> {
        Ok(self.live.holders(collection, fields, values).collect())
    }

    fn referrers(&self, to: &EntityKey, from: &CollectionName, field: &str) -> Result<Vec<Uuid>, Infallible> {
        Ok(self.live.referrers(to, from, field).collect())
    }

    fn answer(
        &self,
        replica: ReplicaId,
        bunch: BunchNumber,
    ) -> Result<Option<(Digest, Outcomes)>, Infallible> {
        Ok(self.answers.get(&(replica, bunch)).cloned())
    }

    fn record(
        &mut self,
        replica: ReplicaId,
        bunch: BunchNumber,
        id: Digest,
        outcomes: &Outcomes,
    ) -> Result<(), Infallible> {
        self.answers.insert((replica, bunch), (id, outcomes.clone()));
        Ok(())
    }

    fn next_epoch(&mut self, collection: &CollectionName) -> Result<Epoch, Infallible> {
        let (_, epoch) = self.collections.entry(collection.clone()).or_default();
        epoch.0 += 1;
        Ok(*epoch)
    }

    fn put(&mut self, key: &EntityKey, stored: Stored) -> Result<(), Infallible> {
        let stored = Arc::new(stored);
        let before = self.entities.insert(key.clone(), Arc::clone(&stored)).unwrap_or_default();
        self.live.moved(&self.schema, key, &before.version.existence, &stored.version.existence);
        let (live, _) = self.collections.entry(key.collection().clone()).or_default();
        if let Some(state) = before.version.existence.live() {
            live.remove(key.id(), state);
        }
        if let Some(state) = stored.version.existence.live() {
            live.add(key.id(), state);
        }
        if let Some(by_epoch) = self.by_epoch.get_mut(key.collection()) {
            by_epoch.remove(&before.epoch);
        }
        self.by_epoch.entry(key.collection().clone()).or_default().insert(stored.epoch, key.id());
        let action = if stored.version.existence.is_live() { Action::Upsert } else { Action::Delete };
        self.triggers.push(Trigger {
            index: Index(self.triggers_from + self.triggers.len() as u64 + 1),
            key: key.clone(),
            action,
            epoch: stored.epoch,
            sender: stored.writer.map(|writer| writer.replica.0),
        });
        Ok(())
    }

    fn generation(&self) -> Result<Generation, Infallible> {
        Ok(self.generation)
    }

    fn floor(&self, collection: &CollectionName) -> Result<Epoch, Infallible> {
        Ok(self.floors.get(collection).copied().unwrap_or_default())
    }

    fn live_sets(&self) -> Result<LiveSets, Infallible> {
        Ok(self.collections.clone())
    }

    fn last_epoch(&self, collection: &CollectionName) -> Result<Epoch, Infallible> {
        Ok(self.collections.get(collection).copied().unwrap_or_default().1)
    }

    fn last_trigger(&self) -> Result<Index, Infallible> {
        Ok(Index(self.triggers_from + self.triggers.len() as u64))
    }

    fn changes(&self, above: &Cursors, rows_max: usize) -> Result<Page, Infallible> {
        let mut page = Page {
            generation: self.generation,
            cursors: above.clone(),
            triggers_until: self.last_trigger()?,
            ..Page::default()
        };
        for (collection, by_epoch) in &self.by_epoch {
            let cursor = above.get(collection).copied().unwrap_or_default();
            let newer = by_epoch.range((std::ops::Bound::Excluded(cursor), std::ops::Bound::Unbounded));
            for (epoch, id) in newer {
                if page.rows.len() >= rows_max {
                    page.has_more = true;
                    return Ok(page);
                }
                page.cursors.insert(collection.clone(), *epoch);
                page.floors.insert(collection.clone(), self.floor(collection)?);
                let Ok(key) = EntityKey::new(collection.clone(), *id) else { continue };
                if let Some(stored) = self.entities.get(&key) {
                    page.rows.push(stored.row(key));
                }
            }
            // Epochs whose entity was changed again later are passed over too.
            let last = self.last_epoch(collection)?;
            page.cursors.insert(collection.clone(), last.max(cursor));
            page.floors.insert(collection.clone(), self.floor(collection)?);
        }
        Ok(page)
    }

    fn triggers(&self, above: Index, triggers_max: usize) -> Result<Option<Vec<Trigger>>, Infallible> {
        if above.0 < self.triggers_from {
            return Ok(None);
        }
        let passed = usize::try_from(above.0 - self.triggers_from).unwrap_or(usize::MAX);
        let newer = self.triggers.get(passed..).unwrap_or(&[]);
        Ok(Some(newer.iter().take(triggers_max).cloned().collect()))
    }
}
