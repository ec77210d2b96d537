//! One account's data as the rules see them: what lies in the tables, and over it what was changed so far.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::sync::Arc;

use redb::ReadableTable;
use uuid::Uuid;

use super::held::{Held, HeldCollection, HeldEntity};
use super::places;
use super::tables::{
    Bytes, Tables, answer_key, behind, bounds, collection_key, damaged, engine, entity_key, epoch_key, id_of,
    record,
};
use crate::algebra::{
    Action, BunchNumber, CollectionName, Cursors, Digest, EntityKey, Epoch, Existence, Generation, Index,
    LiveSets, Outcomes, Page, ReplicaId, Schema, Trigger, key_values, referred,
};
use crate::authority::{Error, Store, Stored};
use crate::codec::accounts::{CollectionRecord, EntityRecord};
use crate::codec::answers::AnswerRecord;
use crate::codec::frame::{self, FrameKind};

/// One account, in one transaction.
pub(super) struct One<'t, T> {
    pub(super) tables: &'t Tables<T>,
    pub(super) schema: &'t Schema,
    /// The rules read through a shared reference, and what was read is remembered.
    pub(super) held: RefCell<Held>,
}

impl<'t, T: ReadableTable<Bytes, Bytes>> One<'t, T> {
    pub(super) fn new(tables: &'t Tables<T>, schema: &'t Schema, held: Held) -> Self {
        One { tables, schema, held: RefCell::new(held) }
    }

    pub(super) fn number(&self) -> u64 {
        self.held.borrow().account.number
    }

    pub(super) fn what(&self, what: &str) -> String {
        format!("{what} of account {}", self.held.borrow().name)
    }

    /// What is known of a collection; none where nothing was ever written in it.
    fn collection(&self, name: &CollectionName) -> Result<Option<CollectionRecord>, Error> {
        if let Some(held) = self.held.borrow().collections.get(name) {
            return Ok(Some(held.record.clone()));
        }
        let key = collection_key(self.number(), name.as_str());
        let what = || self.what(&format!("the collection {name}"));
        let found: Option<CollectionRecord> =
            record(&self.tables.collections, FrameKind::Collection, &key, what)?;
        if let Some(record) = &found {
            let held = HeldCollection { record: record.clone(), has_changed: false };
            self.held.borrow_mut().collections.insert(name.clone(), held);
        }
        Ok(found)
    }

    /// Changes what is known of a collection; makes it where nothing was ever written in it.
    fn change_collection<R>(
        &mut self,
        name: &CollectionName,
        change: impl FnOnce(&mut CollectionRecord) -> R,
    ) -> Result<R, Error> {
        let is_new = self.collection(name)?.is_none();
        let Held { account, collections, has_changed, .. } = self.held.get_mut();
        let held = collections.entry(name.clone()).or_insert_with(|| HeldCollection {
            record: CollectionRecord::new(account.next_collection),
            has_changed: true,
        });
        account.next_collection += u32::from(is_new);
        (held.has_changed, *has_changed) = (true, true);
        Ok(change(&mut held.record))
    }

    /// Every collection in which something was written, in the order of their names.
    pub(super) fn all_collections(&self) -> Result<Vec<(CollectionName, CollectionRecord)>, Error> {
        let (from, to) = bounds(self.number());
        let mut names = Vec::new();
        for row in self.tables.collections.range(from.as_slice()..to.as_slice()).map_err(engine)? {
            let (key, _) = row.map_err(engine)?;
            let name = key.value().get(from.len()..).and_then(|name| std::str::from_utf8(name).ok());
            let name = name.and_then(|name| CollectionName::new(name).ok());
            names.push(name.ok_or_else(|| self.misplaced("a collection"))?);
        }
        names.extend(self.held.borrow().collections.keys().cloned());
        names.sort();
        names.dedup();
        let known = |name: CollectionName| Ok(self.collection(&name)?.map(|record| (name, record)));
        names.into_iter().map(known).filter_map(Result::transpose).collect()
    }

    /// An entity as it lies in the tables.
    fn read(&self, key: &EntityKey, collection: u32) -> Result<Option<Arc<Stored>>, Error> {
        let place = entity_key(self.number(), collection, key.id());
        let what = || self.what(&key.to_string());
        Ok(stored_at(&self.tables.entities, &place, what)?.map(Arc::new))
    }

    /// An entity that a key without a value leads to.
    pub(super) fn led_to(
        &self,
        collection: &CollectionName,
        number: u32,
        key: &[u8],
    ) -> Result<(EntityKey, Arc<Stored>), Error> {
        let wrong = || self.misplaced(&format!("a key of {collection}"));
        let id = id_of(key).ok_or_else(wrong)?;
        let key = EntityKey::new(collection.clone(), id).map_err(|_| wrong())?;
        let held = self.held.borrow().entities.get(&key).map(|held| held.stored.clone());
        let found = match held {
            Some(held) => held,
            None => self.read(&key, number)?,
        };
        found.map(|stored| (key, stored)).ok_or_else(wrong)
    }

    /// A key leads to what is not there, or is none.
    pub(super) fn misplaced(&self, what: &str) -> Error {
        Error::Damaged { what: self.what(what), why: "it leads to nothing that is there".to_owned() }
    }

    /// The entities at the places that begin so, if they are what was looked for.
    fn at(
        &self,
        collection: &CollectionName,
        number: u32,
        prefix: &[u8],
        is_wanted: impl Fn(&Stored) -> bool,
    ) -> Result<Vec<Uuid>, Error> {
        let mut keys: Vec<Vec<u8>> = Vec::new();
        self.held.borrow().live.walk(&self.tables.live, prefix, &behind(prefix), |key| {
            keys.push(key.to_vec());
            Ok(ControlFlow::Continue(()))
        })?;
        let mut ids = Vec::with_capacity(keys.len());
        for place in keys {
            // What is looked for shares its place with longer values that begin so.
            if place.len() != prefix.len() + 16 {
                continue;
            }
            let wrong = || self.misplaced(&format!("the index of {collection}"));
            let id = id_of(&place).ok_or_else(wrong)?;
            let key = EntityKey::new(collection.clone(), id).map_err(|_| wrong())?;
            if !self.held.borrow().entities.contains_key(&key) {
                let read = HeldEntity { stored: self.read(&key, number)?, has_changed: false };
                self.held.borrow_mut().entities.insert(key.clone(), read);
            }
            let held = self.held.borrow();
            let found = held.entities.get(&key).and_then(|held| held.stored.as_ref());
            let found = found.filter(|stored| stored.version.existence.is_live()).ok_or_else(wrong)?;
            if is_wanted(found) {
                ids.push(id);
            }
        }
        Ok(ids)
    }
}

impl<T: ReadableTable<Bytes, Bytes>> Store for One<'_, T> {
    type Error = Error;

    fn entity(&self, key: &EntityKey) -> Result<Option<Arc<Stored>>, Error> {
        if let Some(held) = self.held.borrow().entities.get(key) {
            return Ok(held.stored.clone());
        }
        let Some(collection) = self.collection(key.collection())? else { return Ok(None) };
        let stored = self.read(key, collection.number)?;
        let held = HeldEntity { stored: stored.clone(), has_changed: false };
        self.held.borrow_mut().entities.insert(key.clone(), held);
        Ok(stored)
    }

    fn holders(
        &self,
        collection: &CollectionName,
        fields: &[String],
        values: &[String],
    ) -> Result<Vec<Uuid>, Error> {
        let Some(CollectionRecord { number, .. }) = self.collection(collection)? else {
            return Ok(Vec::new());
        };
        let prefix = places::holders(self.number(), number, fields, values);
        self.at(collection, number, &prefix, |stored| {
            let state = stored.version.existence.live();
            state.and_then(|state| key_values(state, fields)).as_deref() == Some(values)
        })
    }

    fn referrers(&self, to: &EntityKey, from: &CollectionName, field: &str) -> Result<Vec<Uuid>, Error> {
        let declared = self.schema.collection(from).and_then(|declared| declared.reference_of(field));
        let (Some(reference), Some(CollectionRecord { number, .. })) = (declared, self.collection(from)?)
        else {
            return Ok(Vec::new());
        };
        let prefix = places::referrers(self.number(), number, field, to.id());
        self.at(from, number, &prefix, |stored| {
            let state = stored.version.existence.live();
            let target = state.and_then(|state| referred(state, field, reference).ok().flatten());
            target.as_ref() == Some(to)
        })
    }

    fn answer(&self, replica: ReplicaId, bunch: BunchNumber) -> Result<Option<(Digest, Outcomes)>, Error> {
        if let Some(held) = self.held.borrow().answers.get(&(replica, bunch)) {
            return Ok(Some(held.clone()));
        }
        let key = answer_key(self.number(), replica, bunch);
        let what = || self.what(&format!("the answer to bunch {bunch} of replica {replica}"));
        let found: Option<AnswerRecord> = record(&self.tables.answers, FrameKind::Answer, &key, what)?;
        let answer = |found: AnswerRecord| found.answer(bunch).map_err(damaged(what()));
        found.map(answer).transpose()
    }

    fn record(
        &mut self,
        replica: ReplicaId,
        bunch: BunchNumber,
        id: Digest,
        outcomes: &Outcomes,
    ) -> Result<(), Error> {
        let held = self.held.get_mut();
        held.answers.insert((replica, bunch), (id, outcomes.clone()));
        held.has_changed = true;
        Ok(())
    }

    fn next_epoch(&mut self, collection: &CollectionName) -> Result<Epoch, Error> {
        self.change_collection(collection, |record| {
            record.last_epoch += 1;
            Epoch(record.last_epoch)
        })
    }

    fn put(&mut self, key: &EntityKey, stored: Stored) -> Result<(), Error> {
        if !self.held.get_mut().entities.contains_key(key) {
            self.entity(key)?;
        }
        let before = self.held.get_mut().entities.get(key).and_then(|held| held.stored.as_ref());
        let before = before.map(|before| (before.version.existence.clone(), before.epoch));
        let (was, left) = before.map_or((Existence::Absent, None), |(was, epoch)| (was, Some(epoch)));
        let now = &stored.version.existence;
        let number = self.change_collection(key.collection(), |record| {
            let mut live = record.live();
            if let Some(state) = was.live() {
                live.remove(key.id(), state);
            }
            if let Some(state) = now.live() {
                live.add(key.id(), state);
            }
            record.set_live(live);
            record.number
        })?;
        let schema = self.schema;
        let held = self.held.get_mut();
        let account = held.account.number;
        let mut left_places = places::of(schema, account, number, key, &was);
        for place in places::of(schema, account, number, key, now) {
            // Where it stands and stood, nothing is to be written.
            match left_places.iter().position(|left| *left == place) {
                Some(found) => drop(left_places.swap_remove(found)),
                None => held.live.take(place),
            }
        }
        left_places.into_iter().for_each(|place| held.live.leave(place));
        if let Some(left) = left.filter(|left| *left != stored.epoch)
            && !held.epochs.forget(&epoch_key(account, number, left.0, key.id()))
        {
            held.left.push((number, left.0, key.id()));
        }
        held.epochs.take(epoch_key(account, number, stored.epoch.0, key.id()));
        held.account.last_trigger += 1;
        held.triggers.push(Trigger {
            index: Index(held.account.last_trigger),
            key: key.clone(),
            action: if now.is_live() { Action::Upsert } else { Action::Delete },
            epoch: stored.epoch,
            sender: stored.writer.map(|writer| writer.replica.0),
        });
        held.entities.insert(key.clone(), HeldEntity { stored: Some(Arc::new(stored)), has_changed: true });
        Ok(())
    }

    fn generation(&self) -> Result<Generation, Error> {
        Ok(Generation(Uuid::from_bytes(self.held.borrow().account.generation)))
    }

    fn floor(&self, collection: &CollectionName) -> Result<Epoch, Error> {
        Ok(Epoch(self.collection(collection)?.map_or(0, |record| record.floor)))
    }

    fn live_sets(&self) -> Result<LiveSets, Error> {
        let collections = self.all_collections()?.into_iter();
        Ok(collections.map(|(name, record)| (name, (record.live(), Epoch(record.last_epoch)))).collect())
    }

    fn last_epoch(&self, collection: &CollectionName) -> Result<Epoch, Error> {
        Ok(Epoch(self.collection(collection)?.map_or(0, |record| record.last_epoch)))
    }

    fn last_trigger(&self) -> Result<Index, Error> {
        Ok(Index(self.held.borrow().account.last_trigger))
    }

    fn changes(&self, above: &Cursors, rows_max: usize) -> Result<Page, Error> {
        self.page(above, rows_max)
    }

    fn triggers(&self, above: Index, triggers_max: usize) -> Result<Option<Vec<Trigger>>, Error> {
        self.kept_triggers(above, triggers_max)
    }
}

/// An entity that stands under a key; none where there is no such key.
pub(super) fn stored_at(
    entities: &impl ReadableTable<Bytes, Bytes>,
    key: &[u8],
    what: impl FnOnce() -> String,
) -> Result<Option<Stored>, Error> {
    let found = entities.get(key).map_err(engine)?;
    found.map(|value| stored(key, value.value(), what)).transpose()
}

/// An entity as the value under its key says.
pub(super) fn stored(key: &[u8], value: &[u8], what: impl FnOnce() -> String) -> Result<Stored, Error> {
    let record: EntityRecord<'_> =
        frame::open_borrowed_record(FrameKind::Entity, key, value).map_err(|error| damaged(what())(error))?;
    let epoch = Epoch(record.epoch);
    let (version, fields, writer) = record.parts();
    Ok(Stored { version, epoch, fields, writer })
}
