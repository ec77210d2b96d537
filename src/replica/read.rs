//! Reading: what the program sees, its own changes at once.

use uuid::Uuid;

use super::Replica;
use super::error::Error;
use super::rebase::unsent_effect;
use super::view::version_of;
use crate::algebra::{Base, CollectionName, EntityKey, Epoch, Existence, State, Version};

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
            let (base, stamps) = view.base(key)?;
            let mut local = view.local(key)?;
            let version = view.visible(key)?;
            let is_as_there = version.existence.looks_like(&version_of(&base, stamps).existence);
            // Back where it was is nothing to send; unless what is on its way, or waits, says otherwise.
            if is_as_there && local.is_some() && !super::conflicts::is_engaged(snapshot, key)? {
                local = None;
            }
            let unsent = local.filter(|local| !local.is_kept);
            // An update of what is not known here is no creation: the authority may well know it.
            let is_new = unsent.is_some()
                && version.existence.is_live()
                && match base {
                    Base::Absent => true,
                    Base::Unknown => unsent_effect(snapshot, key)?.is_some_and(|effect| effect.shape.is_born),
                    Base::Live(_) | Base::Dead(_) => false,
                };
            let status = match unsent {
                Some(_) if is_new => Status::Created,
                Some(_) => Status::Changed,
                None => Status::Synchronised,
            };
            Ok(Entity { version, status, epoch: base.epoch() })
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
        let declared = self.schema.collection(collection);
        let number = declared.and_then(|declared| declared.unique_keys().position(|fields| fields == unique));
        let Some(number) = number.filter(|_| unique.len() == values.len()) else { return Ok(Vec::new()) };
        let fields: serde_json::Map<String, serde_json::Value> =
            unique.iter().map(|field| (*field).to_owned()).zip(values.iter().cloned()).collect();
        let state = State::from_serialize(&fields)?;
        let fields: Vec<String> = unique.iter().map(|field| (*field).to_owned()).collect();
        let Some(values) = crate::algebra::key_values(&state, &fields) else { return Ok(Vec::new()) };
        self.read(|_, view| view.holders(collection, number, &values))
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
