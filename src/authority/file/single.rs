//! One account's store by itself, for the suite that every store is held to.

use std::sync::{Arc, Mutex, PoisonError};

use uuid::Uuid;

use super::deliveries::{find, made};
use super::held::{Held, TRIGGERS_MAX_DEFAULT};
use super::one::One;
use super::tables::ReadTable;
use super::{FileAuthority, FileOptions};
use crate::algebra::{
    BunchNumber, CollectionName, Cursors, Digest, EntityKey, Epoch, Generation, Index, LiveSets, Outcomes,
    Page, ReplicaId, Schema, Trigger,
};
use crate::authority::{Account, Error, Store, Stored};

/// The store of the one account of an authority in memory. Either every call is written at once, so that the next one
/// reads it back from the tables, or nothing ever is, as within one delivery.
#[derive(Debug)]
pub struct SingleStore {
    authority: FileAuthority,
    account: Account,
    /// What is never written.
    held: Mutex<Option<Held>>,
    writes: bool,
}

impl SingleStore {
    /// An empty store.
    ///
    /// # Errors
    /// What the engine says.
    pub fn new(schema: Schema, generation: Generation, writes: bool) -> Result<Self, Error> {
        let authority = FileOptions::new().in_memory(schema)?;
        let account = Account::new("one").map_err(|error| Error::Store { source: error.into() })?;
        authority.handle.write(|tables| {
            let held = made(tables, &account, generation)?;
            Ok(((), held.write(tables, TRIGGERS_MAX_DEFAULT)?))
        })?;
        Ok(SingleStore { authority, account, held: Mutex::new(None), writes })
    }

    fn with<R>(&self, call: impl FnOnce(&mut One<'_, ReadTable>) -> Result<R, Error>) -> Result<R, Error> {
        let mut slot = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let FileAuthority { handle, schema, .. } = &self.authority;
        let (done, held) = handle.read(|tables| {
            let held = slot.take().map_or_else(|| find(tables, &self.account), |held| Ok(Some(held)))?;
            let gone = || Error::Store { source: "the account is gone".into() };
            let mut one = One::new(tables, schema, held.ok_or_else(gone)?);
            let done = call(&mut one)?;
            Ok((done, one.held.into_inner()))
        })?;
        if self.writes {
            handle.write(|tables| Ok(((), held.write(tables, TRIGGERS_MAX_DEFAULT)?)))?;
        } else {
            *slot = Some(held);
        }
        Ok(done)
    }
}

impl Store for SingleStore {
    type Error = Error;

    fn entity(&self, key: &EntityKey) -> Result<Option<Arc<Stored>>, Error> {
        self.with(|one| one.entity(key))
    }

    fn holders(
        &self,
        collection: &CollectionName,
        fields: &[String],
        values: &[String],
    ) -> Result<Vec<Uuid>, Error> {
        self.with(|one| one.holders(collection, fields, values))
    }

    fn referrers(&self, to: &EntityKey, from: &CollectionName, field: &str) -> Result<Vec<Uuid>, Error> {
        self.with(|one| one.referrers(to, from, field))
    }

    fn answer(&self, replica: ReplicaId, bunch: BunchNumber) -> Result<Option<(Digest, Outcomes)>, Error> {
        self.with(|one| one.answer(replica, bunch))
    }

    fn record(
        &mut self,
        replica: ReplicaId,
        bunch: BunchNumber,
        id: Digest,
        outcomes: &Outcomes,
    ) -> Result<(), Error> {
        self.with(|one| one.record(replica, bunch, id, outcomes))
    }

    fn next_epoch(&mut self, collection: &CollectionName) -> Result<Epoch, Error> {
        self.with(|one| one.next_epoch(collection))
    }

    fn put(&mut self, key: &EntityKey, stored: Stored) -> Result<(), Error> {
        self.with(|one| one.put(key, stored))
    }

    fn generation(&self) -> Result<Generation, Error> {
        self.with(|one| one.generation())
    }

    fn floor(&self, collection: &CollectionName) -> Result<Epoch, Error> {
        self.with(|one| one.floor(collection))
    }

    fn live_sets(&self) -> Result<LiveSets, Error> {
        self.with(|one| one.live_sets())
    }

    fn last_epoch(&self, collection: &CollectionName) -> Result<Epoch, Error> {
        self.with(|one| one.last_epoch(collection))
    }

    fn last_trigger(&self) -> Result<Index, Error> {
        self.with(|one| one.last_trigger())
    }

    fn changes(&self, above: &Cursors, rows_max: usize) -> Result<Page, Error> {
        self.with(|one| one.changes(above, rows_max))
    }

    fn triggers(&self, above: Index, triggers_max: usize) -> Result<Option<Vec<Trigger>>, Error> {
        self.with(|one| one.triggers(above, triggers_max))
    }
}
