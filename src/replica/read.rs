//! Reading: what the program sees, its own changes at once.

use std::collections::HashSet;

use redb::ReadOnlyTable;
use uuid::Uuid;

use super::Replica;
use super::conflicts;
use super::error::Error;
use super::rebase::{unsent_effect, unsent_effects};
use super::view::{View, version_of};
use crate::algebra::{Base, CollectionName, EntityKey, Epoch, Existence, State, Version};
use crate::journal;
use crate::journal::tables::Snapshot;

/// An entity as the program sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entity {
    /// What it is, tombstones with their last state, and when its fields were changed.
    pub version: Version,
    /// Whether something of it is unsent.
    pub status: Status,
    /// The epoch of what the authority is known to hold.
    pub epoch: Option<Epoch>,
}

/// Whether something of an entity is unsent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// It is as the authority holds it.
    #[default]
    Synchronised = 0,
    /// It is changed, deleted or revived.
    Changed = 1,
    /// It is made here; the authority has never known it.
    Created = 2,
}

impl Replica {
    /// The state of a live entity.
    ///
    /// # Errors
    /// What the journal says.
    pub fn get(&self, key: &EntityKey) -> Result<Option<State>, Error> {
        self.read(|_, view| match view.visible(key)?.existence {
            Existence::Live(state) => Ok(Some(state)),
            Existence::Absent | Existence::Dead(_) => Ok(None),
        })
    }

    /// An entity with its status and stamps; absent, synchronised and without an epoch where nothing is known of it.
    ///
    /// # Errors
    /// What the journal says.
    pub fn entity(&self, key: &EntityKey) -> Result<Entity, Error> {
        self.read(|snapshot, view| {
            let is_engaged = || conflicts::is_engaged(snapshot, key);
            let is_born = || Ok(unsent_effect(snapshot, key)?.is_some_and(|effect| effect.shape.is_born));
            entity_of(view, key, is_engaged, is_born)
        })
    }

    /// Every entity of which anything is known, or those of one collection, tombstones included, in the order of their
    /// keys, as they are seen at one moment: each as [`Replica::entity`] gives it, for much less than one by one.
    ///
    /// # Errors
    /// What the journal says.
    pub fn entities(&self, collection: Option<&CollectionName>) -> Result<Vec<(EntityKey, Entity)>, Error> {
        self.read(|snapshot, view| {
            let (mut engaged, mut born) = (None, None);
            let mut found = Vec::new();
            for key in view.keys(collection)? {
                // What is unsent is folded once for all, and only where somebody wants to know.
                let is_engaged = || known(&mut engaged, || conflicts::engaged(snapshot), &key);
                let is_born = || known(&mut born, || born_of(snapshot), &key);
                let entity = entity_of(view, &key, is_engaged, is_born)?;
                found.push((key, entity));
            }
            Ok(found)
        })
    }

    /// The live entities of a collection, by id.
    ///
    /// # Errors
    /// What the journal says.
    pub fn list(&self, collection: &CollectionName) -> Result<Vec<(Uuid, State)>, Error> {
        self.read(|_, view| {
            let mut found = Vec::new();
            for key in view.keys(Some(collection))? {
                if let Existence::Live(state) = view.visible(&key)?.existence {
                    found.push((key.id(), state));
                }
            }
            Ok(found)
        })
    }

    /// Every entity of which anything is known, tombstones included, in the order of their keys.
    ///
    /// # Errors
    /// What the journal says.
    pub fn known(&self) -> Result<Vec<EntityKey>, Error> {
        self.read(|_, view| view.keys(None))
    }

    /// The entities of which something is unsent, on its way, parked or held, in the order of their keys.
    ///
    /// # Errors
    /// What the journal says.
    pub fn unsent(&self) -> Result<Vec<EntityKey>, Error> {
        self.read(|_, view| view.unsent())
    }

    /// The live entities of a collection that have these values, as JSON, in the fields of a unique key: more than one
    /// only while there is a clash. None where the schema has no such key.
    ///
    /// # Errors
    /// What the journal says.
    pub fn find(
        &self,
        collection: &CollectionName,
        unique: &[&str],
        values: &[serde_json::Value],
    ) -> Result<Vec<EntityKey>, Error> {
        let sought = self.sought(collection, unique, values)?;
        let Some((number, values)) = sought else { return Ok(Vec::new()) };
        self.read(|_, view| view.holders(collection, number, &values))
    }

    /// The number of a unique key, and values as they stand in it; nothing where nobody can have them.
    pub(super) fn sought(
        &self,
        collection: &CollectionName,
        unique: &[&str],
        values: &[serde_json::Value],
    ) -> Result<Option<(usize, Vec<String>)>, Error> {
        let declared = self.schema.collection(collection);
        let number = declared.and_then(|declared| declared.unique_keys().position(|fields| fields == unique));
        let Some(number) = number.filter(|_| unique.len() == values.len()) else { return Ok(None) };
        let fields: serde_json::Map<String, serde_json::Value> =
            unique.iter().map(|field| (*field).to_owned()).zip(values.iter().cloned()).collect();
        let state = State::from_serialize(&fields)?;
        let fields: Vec<String> = unique.iter().map(|field| (*field).to_owned()).collect();
        Ok(crate::algebra::key_values(&state, &fields).map(|values| (number, values)))
    }

    /// The live entities of a collection that refer to another one by a field of the schema's.
    ///
    /// # Errors
    /// What the journal says.
    pub fn children(
        &self,
        to: &EntityKey,
        from: &CollectionName,
        field: &str,
    ) -> Result<Vec<EntityKey>, Error> {
        self.read(|_, view| view.children(to, from, field))
    }
}

/// An entity as it is seen, with its status.
fn entity_of(
    view: &View<'_, ReadOnlyTable<&'static [u8], &'static [u8]>>,
    key: &EntityKey,
    is_engaged: impl FnOnce() -> Result<bool, journal::Error>,
    is_born: impl FnOnce() -> Result<bool, journal::Error>,
) -> Result<Entity, journal::Error> {
    let (base, stamps) = view.base(key)?;
    let is_unsent = view.local(key)?.is_some_and(|local| !local.is_kept);
    let version = view.visible(key)?;
    let is_as_there = version.existence.looks_like(&version_of(&base, stamps).existence);
    // An update or a delete of what is not known here is no creation: the authority may well know it.
    let is_new = is_unsent
        && match base {
            Base::Absent => true,
            Base::Unknown => is_born()?,
            Base::Live(_) | Base::Dead(_) => false,
        };
    let may_be_back = is_unsent && is_as_there && (is_new || base != Base::Unknown);
    // Back where it was is nothing to send; unless what is on its way, or waits, says otherwise.
    let status = if !is_unsent || (may_be_back && !is_engaged()?) {
        Status::Synchronised
    } else if is_new && version.existence.is_live() {
        Status::Created
    } else {
        Status::Changed
    };
    Ok(Entity { version, status, epoch: base.epoch() })
}

/// The entities whose unsent effect begins with a create.
fn born_of(snapshot: &Snapshot) -> Result<HashSet<EntityKey>, journal::Error> {
    let all = unsent_effects(snapshot, &snapshot.state()?)?.into_iter();
    Ok(all.filter(|(_, effect)| effect.shape.is_born).map(|(key, _)| key).collect())
}

/// Whether a key is among others, which are looked up when they are first asked for.
fn known(
    keys: &mut Option<HashSet<EntityKey>>,
    all: impl FnOnce() -> Result<HashSet<EntityKey>, journal::Error>,
    key: &EntityKey,
) -> Result<bool, journal::Error> {
    let keys = match keys {
        Some(keys) => keys,
        None => keys.insert(all()?),
    };
    Ok(keys.contains(key))
}
