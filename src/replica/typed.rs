//! The typed face: a collection of one serde type.

use std::marker::PhantomData;

use redb::ReadOnlyTable;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use super::error::Error;
use super::transact::Edit;
use super::view::View;
use super::{Bytes, Replica};
use crate::algebra::{CollectionName, EntityKey, Operation, Patch, State};
use crate::journal::{self, Durability};

/// A collection whose entities are values of one type. What is changed in a value is stored as a patch of just that,
/// so that fields which the type does not know, and those that somebody else changes, stay as they are.
///
/// ```
/// use foldlog::Uuid;
/// use foldlog::journal::Options;
/// use foldlog::replica::Replica;
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Note { title: String, done: bool }
///
/// let replica = Replica::in_memory(Options::new())?;
/// let notes = replica.collection::<Note>("notes")?;
/// let id = Uuid::now_v7();
/// notes.create(id, &Note { title: "milk".into(), done: false })?;
/// notes.change(id, |note| note.done = true)?;
/// assert!(notes.get(id)?.unwrap().done);
/// # Ok::<(), foldlog::replica::Error>(())
/// ```
#[derive(Debug)]
pub struct Collection<T> {
    replica: Replica,
    name: CollectionName,
    durability: Durability,
    entities: PhantomData<fn() -> T>,
}

impl<T> Clone for Collection<T> {
    fn clone(&self) -> Self {
        Collection {
            replica: self.replica.clone(),
            name: self.name.clone(),
            durability: self.durability,
            entities: PhantomData,
        }
    }
}

impl Replica {
    /// A collection by its name; what is done to it is durable when its calls return.
    ///
    /// # Errors
    /// A name that breaks the rules of [`CollectionName`].
    pub fn collection<T: Serialize + DeserializeOwned>(&self, name: &str) -> Result<Collection<T>, Error> {
        Ok(Collection {
            replica: self.clone(),
            name: CollectionName::new(name)?,
            durability: Durability::Durable,
            entities: PhantomData,
        })
    }
}

impl<T: Serialize + DeserializeOwned> Collection<T> {
    /// The same collection with another durability.
    #[must_use]
    pub fn with_durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// The key of an entity of this collection.
    ///
    /// # Errors
    /// A nil id.
    pub fn key(&self, id: Uuid) -> Result<EntityKey, Error> {
        Ok(EntityKey::new(self.name.clone(), id)?)
    }

    /// The value of a live entity.
    ///
    /// # Errors
    /// A state that is no such value; otherwise as [`Replica::get`].
    pub fn get(&self, id: Uuid) -> Result<Option<T>, Error> {
        let key = self.key(id)?;
        self.replica.get(&key)?.map(|state| value_of(&key, &state)).transpose()
    }

    /// The live entities, by id.
    ///
    /// # Errors
    /// As [`Collection::get`].
    pub fn list(&self) -> Result<Vec<(Uuid, T)>, Error> {
        let listed = self.replica.list(&self.name)?.into_iter();
        listed.map(|(id, state)| Ok((id, value_of(&self.key(id)?, &state)?))).collect()
    }

    /// The live entities with these values in the fields of a unique key, as [`Replica::find`].
    ///
    /// # Errors
    /// As [`Collection::get`].
    pub fn find(&self, unique: &[&str], values: &[Value]) -> Result<Vec<(Uuid, T)>, Error> {
        let sought = self.replica.sought(&self.name, unique, values)?;
        let Some((number, values)) = sought else { return Ok(Vec::new()) };
        self.values(|view| view.holders(&self.name, number, &values))
    }

    /// The live entities that refer to another one by a field, as [`Replica::children`].
    ///
    /// # Errors
    /// As [`Collection::get`].
    pub fn children(&self, to: &EntityKey, field: &str) -> Result<Vec<(Uuid, T)>, Error> {
        self.values(|view| view.children(to, &self.name, field))
    }

    /// Creates an entity; one that is there becomes this value.
    ///
    /// # Errors
    /// A nil id, a value that is no JSON object or holds a NaN or an infinity; otherwise as [`Replica::commit`].
    pub fn create(&self, id: Uuid, value: &T) -> Result<(), Error> {
        self.commit(Operation::create(self.key(id)?, State::from_serialize(value)?))
    }

    /// Makes an entity this value: of a live one, what differs from the value that is seen is changed, and nothing
    /// else; another one is created. A value that was read a while ago undoes what came in since: then
    /// [`Collection::change`] is the better call.
    ///
    /// # Errors
    /// As [`Collection::create`] and [`Collection::get`].
    pub fn update(&self, id: Uuid, value: &T) -> Result<(), Error> {
        let key = self.key(id)?;
        let after = State::from_serialize(value)?;
        let create = Operation::create(key.clone(), after.clone());
        create.require_valid()?;
        while !self.store(&key, |_| Ok(after.clone()))? {
            // It may have come in since.
            let mut is_missing = true;
            let make = |edit: &mut Edit<'_, '_, '_>| {
                is_missing = !edit.view.visible(&key)?.existence.is_live();
                if is_missing { edit.carry_out(&create) } else { Ok(()) }
            };
            self.replica.commit_with(self.durability, make, |_, _, _| Ok(()))?;
            if is_missing {
                break;
            }
        }
        Ok(())
    }

    /// Changes a live entity's value in place, and says whether there is one. Only the fields that came out otherwise
    /// are written. If somebody else changes the entity meanwhile, the change is made once more on what it is then.
    ///
    /// # Errors
    /// As [`Collection::create`] and [`Collection::get`].
    pub fn change(&self, id: Uuid, mut change: impl FnMut(&mut T)) -> Result<bool, Error> {
        self.store(&self.key(id)?, |mut value| {
            change(&mut value);
            Ok(State::from_serialize(&value)?)
        })
    }

    /// Changes the fields that a value names; null removes one.
    ///
    /// # Errors
    /// As [`Collection::create`].
    pub fn patch<P: Serialize + ?Sized>(&self, id: Uuid, fields: &P) -> Result<(), Error> {
        self.commit(Operation::patch(self.key(id)?, Patch::from_serialize(fields)?))
    }

    /// Deletes an entity, with what the schema says goes with it.
    ///
    /// # Errors
    /// As [`Replica::commit`].
    pub fn delete(&self, id: Uuid) -> Result<(), Error> {
        self.commit(Operation::delete(self.key(id)?))
    }

    /// Stores what becomes of a live entity's value; whether there is one.
    fn store(
        &self,
        key: &EntityKey,
        mut after: impl FnMut(T) -> Result<State, Error>,
    ) -> Result<bool, Error> {
        while let Some(seen) = self.replica.get(key)? {
            // What the type does not say stays: so both sides are told by the type.
            let value: T = value_of(key, &seen)?;
            // What edits made larger than one may be can be made smaller again.
            let before = State::composed_of(&value)?;
            let patch = before.changes_to(&after(value)?);
            if patch.is_empty() {
                return Ok(true);
            }
            let mut is_unchanged = true;
            let change = |edit: &mut Edit<'_, '_, '_>| {
                is_unchanged = edit.view.visible(key)?.existence.live() == Some(&seen);
                if is_unchanged { edit.carry_out(&Operation::patch(key.clone(), patch)) } else { Ok(()) }
            };
            self.replica.commit_with(self.durability, change, |_, _, _| Ok(()))?;
            if is_unchanged {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn commit(&self, operation: Operation) -> Result<(), Error> {
        self.replica.commit(&[operation], self.durability).map(drop)
    }

    /// The values of entities as they are when these are looked up.
    fn values(
        &self,
        look_up: impl FnOnce(&View<'_, ReadOnlyTable<Bytes, Bytes>>) -> Result<Vec<EntityKey>, journal::Error>,
    ) -> Result<Vec<(Uuid, T)>, Error> {
        let found = self.replica.read(|_, view| {
            let seen = |key: EntityKey| Ok((view.visible(&key)?.existence, key));
            look_up(view)?.into_iter().map(seen).collect::<Result<Vec<_>, journal::Error>>()
        })?;
        let live = found.iter().filter_map(|(existence, key)| Some((key, existence.live()?)));
        live.map(|(key, state)| Ok((key.id(), value_of(key, state)?))).collect()
    }
}

fn value_of<T: DeserializeOwned>(key: &EntityKey, state: &State) -> Result<T, Error> {
    state.to().map_err(|source| Error::OtherType {
        key: key.clone(),
        type_name: std::any::type_name::<T>(),
        source,
    })
}
