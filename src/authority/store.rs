//! What the rules need of a store: the narrowest face that memory, a file or a database server can have.

use std::sync::Arc;

use uuid::Uuid;

use crate::algebra::{
    BunchNumber, CollectionName, Cursors, Digest, EntityKey, Epoch, FullRow, Generation, Index, LiveSets,
    Outcomes, Page, ReplicaId, Trigger, Version, Writer,
};

/// An entity as a store keeps it, tombstones with their last state included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// What it is.
    pub version: Version,
    /// The epoch of its last change.
    pub epoch: Epoch,
    /// The epochs at which its fields were last changed or removed, in the order of their names; a field that is
    /// not listed was never there.
    pub fields: Vec<(String, Epoch)>,
    /// Who wrote it last.
    pub writer: Option<Writer>,
}

impl Stored {
    /// As clients are told of it.
    pub(crate) fn row(&self, key: EntityKey) -> FullRow {
        FullRow { key, version: self.version.clone(), epoch: self.epoch, writer: self.writer }
    }

    /// The epoch at which a field was last changed; 0 where it never was.
    #[must_use]
    pub fn epoch_of(&self, field: &str) -> Epoch {
        let listed = self.fields.binary_search_by(|(name, _)| name.as_str().cmp(field));
        listed.ok().and_then(|place| self.fields.get(place)).map_or(Epoch(0), |(_, epoch)| *epoch)
    }
}

/// One account's entities, epochs, triggers and recorded answers. Within one call of the rules every read sees
/// the writes before it, and all of them become durable together or not at all.
pub trait Store {
    /// What can go wrong.
    type Error: std::error::Error + Send + Sync + 'static;

    /// An entity, live or a tombstone.
    ///
    /// # Errors
    /// What the store says.
    fn entity(&self, key: &EntityKey) -> Result<Option<Arc<Stored>>, Self::Error>;

    /// Whether an entity lives. A store that knows this without reading the entity says so.
    ///
    /// # Errors
    /// What the store says.
    fn is_live(&self, key: &EntityKey) -> Result<bool, Self::Error> {
        Ok(self.entity(key)?.is_some_and(|stored| stored.version.existence.is_live()))
    }

    /// A live entity of a collection that has these values, as canonical JSON, in these fields.
    ///
    /// # Errors
    /// What the store says.
    fn holders(
        &self,
        collection: &CollectionName,
        fields: &[String],
        values: &[String],
    ) -> Result<Vec<Uuid>, Self::Error>;

    /// The live entities of a collection that refer to another entity by a field.
    ///
    /// # Errors
    /// What the store says.
    fn referrers(&self, to: &EntityKey, from: &CollectionName, field: &str)
    -> Result<Vec<Uuid>, Self::Error>;

    /// The recorded answer to a bunch, with the blake3 of the bytes that it answers.
    ///
    /// # Errors
    /// What the store says.
    fn answer(
        &self,
        replica: ReplicaId,
        bunch: BunchNumber,
    ) -> Result<Option<(Digest, Outcomes)>, Self::Error>;

    /// Records an answer.
    ///
    /// # Errors
    /// What the store says.
    fn record(
        &mut self,
        replica: ReplicaId,
        bunch: BunchNumber,
        id: Digest,
        outcomes: &Outcomes,
    ) -> Result<(), Self::Error>;

    /// Gives out a collection's next epoch: 1, 2, 3, … in the order of commits.
    ///
    /// # Errors
    /// What the store says.
    fn next_epoch(&mut self, collection: &CollectionName) -> Result<Epoch, Self::Error>;

    /// Writes an entity, and the trigger that tells of it.
    ///
    /// # Errors
    /// What the store says.
    fn put(&mut self, key: &EntityKey, stored: Stored) -> Result<(), Self::Error>;

    /// The generation of the data.
    ///
    /// # Errors
    /// What the store says.
    fn generation(&self) -> Result<Generation, Self::Error>;

    /// The epoch of a collection below which tombstones may be gone.
    ///
    /// # Errors
    /// What the store says.
    fn floor(&self, collection: &CollectionName) -> Result<Epoch, Self::Error>;

    /// The live sets of all collections, each with the last epoch given out in it.
    ///
    /// # Errors
    /// What the store says.
    fn live_sets(&self) -> Result<LiveSets, Self::Error>;

    /// The last epoch that a collection gave out; 0 for none.
    ///
    /// # Errors
    /// What the store says.
    fn last_epoch(&self, collection: &CollectionName) -> Result<Epoch, Self::Error>;

    /// The index of the last trigger; 0 for none.
    ///
    /// # Errors
    /// What the store says.
    fn last_trigger(&self) -> Result<Index, Self::Error>;

    /// At most so many of the rows changed above the cursors.
    ///
    /// # Errors
    /// What the store says.
    fn changes(&self, above: &Cursors, rows_max: usize) -> Result<Page, Self::Error>;

    /// At most so many of the triggers above an index, and whether all of them are still kept.
    ///
    /// # Errors
    /// What the store says.
    fn triggers(&self, above: Index, triggers_max: usize) -> Result<Option<Vec<Trigger>>, Self::Error>;
}
