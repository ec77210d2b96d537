//! The typed face: a collection of one serde type.

use std::marker::PhantomData;

use serde::Serialize;
use uuid::Uuid;

use super::Journal;
use super::append::Durability;
use super::error::Error;
use crate::algebra::{self, CollectionName, EntityKey, Operation, Patch, Seq, State};

/// A collection whose entities are values of one type.
///
/// ```
/// use foldlog::{Journal, Uuid};
/// #[derive(serde::Serialize)]
/// struct Note { title: String, done: bool }
///
/// let journal = Journal::in_memory()?;
/// let notes = journal.collection::<Note>("notes")?;
/// let id = Uuid::now_v7();
/// notes.create(id, &Note { title: "milk".into(), done: false })?;
/// notes.patch(id, &serde_json::json!({ "done": true }))?;
/// assert_eq!(journal.plan()?.operations.len(), 1);
/// # Ok::<(), foldlog::journal::Error>(())
/// ```
#[derive(Debug)]
pub struct Collection<T> {
    journal: Journal,
    name: CollectionName,
    durability: Durability,
    entities: PhantomData<fn(T)>,
}

impl<T> Clone for Collection<T> {
    fn clone(&self) -> Self {
        Collection {
            journal: self.journal.clone(),
            name: self.name.clone(),
            durability: self.durability,
            entities: PhantomData,
        }
    }
}

impl Journal {
    /// A collection by its name; operations are durable when its calls return.
    ///
    /// # Errors
    /// A name that breaks the rules of [`CollectionName`].
    pub fn collection<T: Serialize>(&self, name: &str) -> Result<Collection<T>, Error> {
        Ok(Collection {
            journal: self.clone(),
            name: CollectionName::new(name)?,
            durability: Durability::Durable,
            entities: PhantomData,
        })
    }
}

impl<T: Serialize> Collection<T> {
    /// The same collection with another durability.
    #[must_use]
    pub fn with_durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Creates an entity.
    ///
    /// # Errors
    /// A nil id, a value that is no JSON object or holds a NaN or an infinity; otherwise as
    /// [`Journal::append`].
    pub fn create(&self, id: Uuid, value: &T) -> Result<Seq, Error> {
        self.append(id, |key| Ok(Operation::create(key, State::from_serialize(value)?)))
    }

    /// Replaces an entity's state.
    ///
    /// # Errors
    /// As [`Collection::create`].
    pub fn update(&self, id: Uuid, value: &T) -> Result<Seq, Error> {
        self.append(id, |key| Ok(Operation::update(key, State::from_serialize(value)?)))
    }

    /// Changes the fields that a value names; null removes one.
    ///
    /// # Errors
    /// As [`Collection::create`].
    pub fn patch<P: Serialize + ?Sized>(&self, id: Uuid, fields: &P) -> Result<Seq, Error> {
        self.append(id, |key| Ok(Operation::patch(key, Patch::from_serialize(fields)?)))
    }

    /// Deletes an entity.
    ///
    /// # Errors
    /// A nil id; otherwise as [`Journal::append`].
    pub fn delete(&self, id: Uuid) -> Result<Seq, Error> {
        self.append(id, |key| Ok(Operation::delete(key)))
    }

    fn append(
        &self,
        id: Uuid,
        operation: impl FnOnce(EntityKey) -> Result<Operation, algebra::Error>,
    ) -> Result<Seq, Error> {
        let key = EntityKey::new(self.name.clone(), id)?;
        Ok(self.journal.append(&[operation(key)?], self.durability)?.last)
    }
}
