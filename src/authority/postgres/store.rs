//! One account's data in one transaction, as the rules see it.

use std::cell::RefCell;
use std::sync::Arc;

use uuid::Uuid;

use super::super::store::{Store, Stored};
use super::authority::Shared;
use super::connect::Session;
use super::error::PostgresError;
use super::flush::Target;
use super::foresight::{Foresight, Wants};
use super::held::{Held, Place, Slot};
use super::pipeline::Call;
use super::reading::{asked, take};
use crate::algebra::{
    Action, BunchNumber, CollectionName, Cursors, Digest, EntityKey, Epoch, Generation, Index, LiveSets,
    Outcomes, Page, ReplicaId, Trigger,
};

/// The channel on which servers tell each other of commits, the number of the account as the payload.
pub(super) const CHANNEL: &str = "foldlog";

/// One account's data in one transaction: for callers that run the rules themselves. What is written is kept once it is
/// committed; dropped before, nothing of it is. As all calls do, dropping it blocks, and panics in asynchronous code.
pub struct PostgresStore<'a> {
    pub(super) shared: &'a Shared,
    pub(super) session: RefCell<Session<'a>>,
    pub(super) account: i64,
    pub(super) generation: Generation,
    pub(super) held: RefCell<Held>,
    /// Whether something is to be told to other servers.
    pub(super) has_news: bool,
    /// Whether something was written and is not committed.
    pub(super) has_written: bool,
}

impl PostgresStore<'_> {
    /// Makes all that was written durable.
    ///
    /// # Errors
    /// What PostgreSQL says. Nothing was kept then, or, if the connection was lost, perhaps all of it: the same bunch
    /// delivered again is answered accordingly.
    pub fn commit(mut self) -> Result<(), PostgresError> {
        self.finish()
    }

    pub(super) fn finish(&mut self) -> Result<(), PostgresError> {
        let mut calls = self.unwritten()?;
        if calls.is_empty() && !self.has_written {
            self.session.borrow_mut().end();
            return Ok(());
        }
        calls.push(Call::plain("COMMIT"));
        self.session.borrow_mut().said_last(&calls)?;
        if self.has_news {
            // In a transaction of its own, as commits that notify wait for one another; it only ever wakes somebody, so
            // nobody waits for it.
            let told = Call::new("SELECT pg_notify($1, $2)");
            let told = told.with(self.shared.channel.clone()).with(self.account.to_string());
            self.session.borrow_mut().tell(&told);
        }
        (self.has_written, self.has_news) = (false, false);
        Ok(())
    }

    /// Reads all that the rules are going to ask beyond what came with the beginning.
    pub(super) fn foresee(&self, mut foresight: Foresight<'_>) -> Result<(), PostgresError> {
        loop {
            let wants = foresight.next(&self.held.borrow());
            if wants.is_empty() {
                return Ok(());
            }
            self.read(wants)?;
        }
    }

    /// Reads what is wanted, in one round trip.
    pub(super) fn read(&self, wants: Wants) -> Result<(), PostgresError> {
        let mut held = self.held.borrow_mut();
        let (askings, calls): (Vec<_>, Vec<_>) =
            asked(&self.shared.tables, self.account, wants, &mut held).into_iter().unzip();
        if calls.is_empty() {
            return Ok(());
        }
        let answers = self.session.borrow_mut().said(&calls)?;
        for (asking, rows) in askings.into_iter().zip(answers) {
            take(&mut held, &self.shared.tables, &self.shared.schema, asking, &rows)?;
        }
        Ok(())
    }

    /// Makes sure that an entity is held, or that there is none.
    fn require(&self, key: &EntityKey) -> Result<(), PostgresError> {
        if self.held.borrow().entities.contains_key(key) {
            return Ok(());
        }
        let mut wants = Wants::default();
        wants.entity(key);
        self.read(wants)
    }

    fn target(&self) -> Target<'_> {
        Target {
            tables: &self.shared.tables,
            own: &self.shared.own,
            schema: &self.shared.schema,
            account: self.account,
            triggers_max: self.shared.triggers_max,
        }
    }

    fn unwritten(&self) -> Result<Vec<Call>, PostgresError> {
        self.target().calls(&mut self.held.borrow_mut())
    }

    /// Writes what was put, so that statements see it.
    pub(super) fn flush(&self) -> Result<(), PostgresError> {
        if self.held.borrow().unwritten.is_empty() {
            return Ok(());
        }
        let calls = self.unwritten()?;
        self.session.borrow_mut().said(&calls)?;
        Ok(())
    }
}

impl Store for PostgresStore<'_> {
    type Error = PostgresError;

    fn entity(&self, key: &EntityKey) -> Result<Option<Arc<Stored>>, PostgresError> {
        self.require(key)?;
        Ok(self.held.borrow().entities.get(key).and_then(|slot| slot.stored.clone()))
    }

    fn is_live(&self, key: &EntityKey) -> Result<bool, PostgresError> {
        let is_vouched_for = {
            let held = self.held.borrow();
            !held.entities.contains_key(key) && held.live_targets.contains(key)
        };
        let lives = |stored: Arc<Stored>| stored.version.existence.is_live();
        Ok(is_vouched_for || self.entity(key)?.is_some_and(lives))
    }

    fn holders(
        &self,
        collection: &CollectionName,
        fields: &[String],
        values: &[String],
    ) -> Result<Vec<Uuid>, PostgresError> {
        let asked = (collection.clone(), fields.to_vec(), values.to_vec());
        if let Some(ids) = self.held.borrow().holders.get(&asked) {
            return Ok(ids.clone());
        }
        self.flush()?;
        let mut wants = Wants::default();
        wants.holders.entry((collection.clone(), fields.to_vec())).or_default().insert(values.to_vec());
        self.read(wants)?;
        Ok(self.held.borrow().holders.get(&asked).cloned().unwrap_or_default())
    }

    fn referrers(
        &self,
        to: &EntityKey,
        from: &CollectionName,
        field: &str,
    ) -> Result<Vec<Uuid>, PostgresError> {
        let referred = (to.clone(), from.clone(), field.to_owned());
        if let Some(ids) = self.held.borrow().referrers.get(&referred) {
            return Ok(ids.clone());
        }
        self.flush()?;
        let mut wants = Wants::default();
        wants.referrers.entry(to.collection().clone()).or_default().insert(to.id());
        self.read(wants)?;
        Ok(self.held.borrow().referrers.get(&referred).cloned().unwrap_or_default())
    }

    fn answer(
        &self,
        replica: ReplicaId,
        bunch: BunchNumber,
    ) -> Result<Option<(Digest, Outcomes)>, PostgresError> {
        if let Some(answer) = self.held.borrow().answers.get(&(replica, bunch)) {
            return Ok(answer.clone());
        }
        self.flush()?;
        let answer = self.shared.recorded(&mut self.session.borrow_mut(), self.account, replica, bunch)?;
        self.held.borrow_mut().answers.insert((replica, bunch), answer.clone());
        Ok(answer)
    }

    fn record(
        &mut self,
        replica: ReplicaId,
        bunch: BunchNumber,
        id: Digest,
        outcomes: &Outcomes,
    ) -> Result<(), PostgresError> {
        let mut held = self.held.borrow_mut();
        held.answers.insert((replica, bunch), Some((id, outcomes.clone())));
        held.unwritten.answers.push((replica, bunch));
        self.has_written = true;
        Ok(())
    }

    fn next_epoch(&mut self, collection: &CollectionName) -> Result<Epoch, PostgresError> {
        let mut held = self.held.borrow_mut();
        let counter = held.counters.entry(collection.clone()).or_default();
        counter.last.0 += 1;
        let epoch = counter.last;
        held.unwritten.counters.insert(collection.clone());
        self.has_written = true;
        Ok(epoch)
    }

    fn put(&mut self, key: &EntityKey, stored: Stored) -> Result<(), PostgresError> {
        self.shared.tables.require(key.collection())?;
        self.require(key)?;
        let mut held = self.held.borrow_mut();
        let Held { entities, counters, .. } = &mut *held;
        let before = entities.get(key).and_then(|slot| slot.stored.as_ref());
        let counter = counters.entry(key.collection().clone()).or_default();
        if let Some(state) = before.and_then(|before| before.version.existence.live()) {
            counter.live.remove(key.id(), state);
        }
        if let Some(state) = stored.version.existence.live() {
            counter.live.add(key.id(), state);
        }
        held.unwritten.counters.insert(key.collection().clone());
        let action = if stored.version.existence.is_live() { Action::Upsert } else { Action::Delete };
        held.last_trigger += 1;
        let trigger = Trigger {
            index: Index(held.last_trigger),
            key: key.clone(),
            action,
            epoch: stored.epoch,
            sender: stored.writer.map(|writer| writer.replica.0),
        };
        held.unwritten.triggers.push(trigger);
        held.note_put(key);
        let slot = held.entities.entry(key.clone()).or_insert(Slot { stored: None, place: Place::Nowhere });
        slot.stored = Some(Arc::new(stored));
        (self.has_written, self.has_news) = (true, true);
        Ok(())
    }

    fn generation(&self) -> Result<Generation, PostgresError> {
        Ok(self.generation)
    }

    fn floor(&self, collection: &CollectionName) -> Result<Epoch, PostgresError> {
        Ok(self.held.borrow().counters.get(collection).copied().unwrap_or_default().floor)
    }

    fn live_sets(&self) -> Result<LiveSets, PostgresError> {
        let held = self.held.borrow();
        let served =
            held.counters.iter().filter(|(collection, _)| self.shared.tables.get(collection).is_some());
        Ok(served.map(|(collection, counter)| (collection.clone(), (counter.live, counter.last))).collect())
    }

    fn last_epoch(&self, collection: &CollectionName) -> Result<Epoch, PostgresError> {
        Ok(self.held.borrow().counters.get(collection).copied().unwrap_or_default().last)
    }

    fn last_trigger(&self) -> Result<Index, PostgresError> {
        Ok(Index(self.held.borrow().last_trigger))
    }

    fn changes(&self, above: &Cursors, rows_max: usize) -> Result<Page, PostgresError> {
        self.page(above, rows_max)
    }

    fn triggers(&self, above: Index, triggers_max: usize) -> Result<Option<Vec<Trigger>>, PostgresError> {
        self.hints(above, triggers_max)
    }
}
