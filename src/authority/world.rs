//! The world in the making: a store, and what a bunch has changed in it so far.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;

use foldhash::fast::RandomState;
use uuid::Uuid;

use super::index::LiveIndex;
use super::store::{Store, Stored};
use crate::algebra::{CollectionName, EntityKey, Existence, Schema, Version};

/// An entity that a bunch touched.
#[derive(Clone, Debug)]
pub(super) struct Touched {
    pub(super) version: Version,
    /// The operation that has to answer for it.
    pub(super) origin: usize,
}

/// An entity as it is now, wherever that stands.
pub(super) enum Now<'w> {
    Touched(&'w Version),
    Stored(Arc<Stored>),
    Absent(Version),
}

impl Deref for Now<'_> {
    type Target = Version;

    fn deref(&self) -> &Version {
        match self {
            Now::Touched(version) => version,
            Now::Stored(stored) => &stored.version,
            Now::Absent(version) => version,
        }
    }
}

/// A store, and what lies over it.
pub(super) struct World<'s, S> {
    store: &'s S,
    pub(super) schema: &'s Schema,
    touched: HashMap<EntityKey, Touched, RandomState>,
    /// In the order in which they were first touched.
    order: Vec<EntityKey>,
    /// Of what was touched.
    live: LiveIndex,
}

impl<'s, S: Store> World<'s, S> {
    pub(super) fn new(store: &'s S, schema: &'s Schema) -> Self {
        World { store, schema, touched: HashMap::default(), order: Vec::new(), live: LiveIndex::default() }
    }

    /// The entity as it was before the bunch.
    pub(super) fn before(&self, key: &EntityKey) -> Result<Option<Arc<Stored>>, S::Error> {
        self.store.entity(key)
    }

    /// The entity as it is now.
    pub(super) fn now(&self, key: &EntityKey) -> Result<Now<'_>, S::Error> {
        match self.touched.get(key) {
            Some(touched) => Ok(Now::Touched(&touched.version)),
            None => Ok(self.store.entity(key)?.map_or(Now::Absent(Version::default()), Now::Stored)),
        }
    }

    /// Whether the entity lives now.
    pub(super) fn is_live(&self, key: &EntityKey) -> Result<bool, S::Error> {
        match self.touched.get(key) {
            Some(touched) => Ok(touched.version.existence.is_live()),
            None => self.store.is_live(key),
        }
    }

    pub(super) fn put(&mut self, key: &EntityKey, version: Version, origin: usize) {
        let now = version.existence.clone();
        let before = match self.touched.insert(key.clone(), Touched { version, origin }) {
            Some(before) => before.version.existence,
            None => {
                self.order.push(key.clone());
                Existence::Absent
            }
        };
        self.live.moved(self.schema, key, &before, &now);
    }

    /// What was touched, in its order.
    pub(super) fn touched(&self) -> impl Iterator<Item = (&EntityKey, &Touched)> {
        self.order.iter().filter_map(|key| Some((key, self.touched.get(key)?)))
    }

    pub(super) fn origin(&self, key: &EntityKey) -> Option<usize> {
        self.touched.get(key).map(|touched| touched.origin)
    }

    /// The live entities that refer to another one by a field.
    pub(super) fn referrers(
        &self,
        to: &EntityKey,
        from: &CollectionName,
        field: &str,
    ) -> Result<Vec<EntityKey>, S::Error> {
        let stored = self.store.referrers(to, from, field)?;
        Ok(self.joined(from, stored, self.live.referrers(to, from, field)))
    }

    /// Of what was touched, the live entities that refer to this one.
    pub(super) fn touched_referrers<'w>(&'w self, to: &'w EntityKey) -> impl Iterator<Item = EntityKey> {
        self.schema.referrers(to.collection()).flat_map(move |(from, field, _)| {
            let ids = self.live.referrers(to, from, field);
            ids.filter_map(|id| EntityKey::new(from.clone(), id).ok())
        })
    }

    /// The live entities that hold a unique key.
    pub(super) fn holders(
        &self,
        collection: &CollectionName,
        fields: &[String],
        values: &[String],
    ) -> Result<Vec<EntityKey>, S::Error> {
        let stored = self.store.holders(collection, fields, values)?;
        Ok(self.joined(collection, stored, self.live.holders(collection, fields, values)))
    }

    /// Of the store's entities those that are not touched, and the touched ones.
    fn joined(
        &self,
        collection: &CollectionName,
        stored: Vec<Uuid>,
        touched: impl Iterator<Item = Uuid>,
    ) -> Vec<EntityKey> {
        let name = |id| EntityKey::new(collection.clone(), id).ok();
        let untouched = stored.into_iter().filter_map(name).filter(|key| !self.touched.contains_key(key));
        untouched.chain(touched.filter_map(name)).collect()
    }
}
