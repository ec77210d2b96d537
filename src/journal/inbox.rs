//! The inbox: triggers are kept until what they hint at is held.

use std::collections::HashSet;

use redb::ReadableTable;

use super::bases::{Bases, base_of};
use super::error::{Error, engine};
use super::moved::Pended;
use super::tables::{INBOX, Snapshot, damaged, require_all};
use super::{Journal, Work, seal};
use crate::algebra::{
    Base, EntityKey, Epoch, Heard, Held, Index, Knowledge, ReadPlan, Row, Trigger, coalesce, heard,
};
use crate::codec::frame::{self, FrameKind};
use crate::codec::records::{JournalState, TriggerRecord};

/// What came of hearing triggers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// How many were new.
    pub new: u64,
    /// How far the stream was heard, and which ranges are to be asked for.
    pub heard: Heard,
}

/// What has to be read to know what the triggers hint at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// The coalesced triggers.
    pub plan: ReadPlan,
    /// How far the stream was heard, and which ranges are to be asked for.
    pub heard: Heard,
}

/// What integrating came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Integrated {
    /// Entities whose base is newer now.
    pub applied: Vec<EntityKey>,
    /// How many rows were not newer than what was held.
    pub stale: u64,
    /// Entities of the open bunch: its outcome comes first, and the triggers on them stay.
    pub waiting: Vec<EntityKey>,
    /// Entities on which what was pending is what the authority holds now.
    pub agreed: Vec<EntityKey>,
    /// Pending deletes that gave way to a change that they had not seen.
    pub deletes_dropped: Vec<EntityKey>,
}

impl Journal {
    /// Takes triggers into the inbox, in any order and with doubles.
    ///
    /// # Errors
    /// A journal that is suspended, failed or damaged, or what the storage says.
    pub fn receive(&self, triggers: &[Trigger]) -> Result<Received, Error> {
        self.inner.maintain(|work| {
            work.folds = false;
            let mut new = 0;
            {
                let mut table = work.txn.open_table(INBOX).map_err(engine)?;
                for trigger in triggers {
                    let index = trigger.index.0;
                    if index <= work.state.cursor || table.get(index).map_err(engine)?.is_some() {
                        continue;
                    }
                    let record = TriggerRecord::of(trigger);
                    let framed = frame::record(FrameKind::Trigger, &index.to_le_bytes(), &record)
                        .map_err(damaged(format!("trigger {index}")))?;
                    table.insert(index, framed.as_slice()).map_err(engine)?;
                    new += 1;
                }
                work.has_written = new > 0;
            }
            let heard = work.move_cursor()?;
            Ok(Received { new, heard })
        })
    }

    /// What has to be read: each entity once, at its latest. Read-only.
    ///
    /// # Errors
    /// A journal that is suspended or damaged, or what the storage says.
    pub fn reads(&self) -> Result<Reads, Error> {
        self.inner.read(|snapshot| {
            let state = snapshot.state()?;
            let triggers = triggers(snapshot)?;
            let bases = Bases::new(snapshot, &state)?;
            let heard = heard(Index(state.cursor), triggers.iter().map(|trigger| trigger.index));
            Ok(Reads { plan: coalesced(&triggers, &bases, &open_keys(snapshot, &state)?)?, heard })
        })
    }

    /// Applies rows that were read, each only if its epoch is above the one held; and the deletes among
    /// the triggers, which need no read. What is pending stays on top of what comes (the last operation
    /// determines the state), but a pending delete gives way to a change that it had not seen. Triggers
    /// that have nothing more to say leave the inbox.
    ///
    /// # Errors
    /// A journal that is suspended, failed or damaged, or what the storage says.
    pub fn integrate(&self, rows: &[Row]) -> Result<Integrated, Error> {
        self.inner.require_bare()?;
        self.inner.maintain(|work| {
            let mut told: Vec<(EntityKey, Base)> =
                rows.iter().map(|row| (row.key.clone(), base_of(row))).collect();
            let triggers = triggers(work.snapshot)?;
            let open = open_keys(work.snapshot, &work.state)?;
            let bases = work.bases()?;
            for (key, epoch) in coalesced(&triggers, &bases, &open)?.deletes {
                // What the tombstone kept was not read, so it counts as not known.
                told.push((key, Base::Dead(Held { epoch: Some(epoch), state: Knowledge::Nothing })));
            }
            work.integrate(told, &bases, &open, &triggers)
        })
    }

    /// Says up to which index the triggers are known from elsewhere: from a full download, say. Triggers
    /// up to it leave the inbox. A smaller index than what was heard takes the cursor back, as where an authority
    /// counts anew: what is between them is missing then.
    ///
    /// # Errors
    /// A journal that is suspended, failed or damaged, or what the storage says.
    pub fn set_cursor(&self, cursor: Index) -> Result<Heard, Error> {
        self.inner.maintain(|work| {
            work.folds = false;
            work.heard_until(cursor)
        })
    }
}

impl Work<'_> {
    /// Everything up to an index is known from elsewhere.
    pub(crate) fn heard_until(&mut self, cursor: Index) -> Result<Heard, Error> {
        self.has_written = true;
        self.state.cursor = cursor.0;
        {
            let mut table = self.txn.open_table(INBOX).map_err(engine)?;
            table.retain_in(..=cursor.0, |_, _| false).map_err(engine)?;
        }
        self.move_cursor()
    }

    /// Forgets every trigger that was heard.
    pub(crate) fn forget_heard(&mut self) -> Result<(), Error> {
        self.txn.open_table(INBOX).map_err(engine)?.retain(|_, _| false).map_err(engine)
    }

    /// Removes the triggers below the cursor that have nothing more to say, by the epochs that are held.
    pub(crate) fn clear_heard(
        &mut self,
        held: &dyn Fn(&EntityKey) -> Result<Option<Epoch>, Error>,
    ) -> Result<(), Error> {
        let mut done = Vec::new();
        for trigger in
            triggers(self.snapshot)?.into_iter().filter(|trigger| trigger.index.0 <= self.state.cursor)
        {
            if held(&trigger.key)?.is_some_and(|held| trigger.epoch <= held) {
                done.push(trigger.index.0);
            }
        }
        let mut table = self.txn.open_table(INBOX).map_err(engine)?;
        for index in &done {
            table.remove(index).map_err(engine)?;
        }
        self.has_written |= !done.is_empty();
        Ok(())
    }

    fn integrate(
        &mut self,
        told: Vec<(EntityKey, Base)>,
        bases: &Bases,
        open: &HashSet<EntityKey>,
        triggers: &[Trigger],
    ) -> Result<Integrated, Error> {
        let mut integrated = Integrated::default();
        let mut newest: std::collections::BTreeMap<EntityKey, Base> = std::collections::BTreeMap::new();
        for (key, base) in told {
            if open.contains(&key) {
                integrated.waiting.push(key);
                continue;
            }
            let held = match newest.get(&key) {
                Some(base) => base.epoch(),
                None => bases.get(&key)?.epoch(),
            };
            let is_stale = held.zip(base.epoch()).is_some_and(|(held, new)| new <= held);
            if is_stale && !sabotaged!(late_row_integrated) {
                integrated.stale += 1;
            } else {
                newest.insert(key, base);
            }
        }
        let keys: Vec<EntityKey> = newest.keys().cloned().collect();
        let pending = self.pending(&keys)?;
        let mut epochs: std::collections::HashMap<EntityKey, Epoch> = std::collections::HashMap::new();
        for (key, base) in newest {
            if let Some(epoch) = base.epoch() {
                epochs.insert(key.clone(), epoch);
            }
            match self.move_base(&key, pending.get(&key), &bases.get(&key)?, &base)? {
                Pended::Stays => {}
                Pended::Agreed => integrated.agreed.push(key.clone()),
                Pended::DeleteDropped => integrated.deletes_dropped.push(key.clone()),
            }
            integrated.applied.push(key);
        }
        integrated.waiting.sort();
        integrated.waiting.dedup();
        self.clear_inbox(triggers, bases, &epochs)?;
        Ok(integrated)
    }

    /// Removes the triggers below the cursor that have nothing more to say. Those above it stay, so that
    /// gaps are still seen.
    fn clear_inbox(
        &mut self,
        triggers: &[Trigger],
        bases: &Bases,
        epochs: &std::collections::HashMap<EntityKey, Epoch>,
    ) -> Result<(), Error> {
        let mut table = self.txn.open_table(INBOX).map_err(engine)?;
        for trigger in triggers.iter().filter(|trigger| trigger.index.0 <= self.state.cursor) {
            let held = match epochs.get(&trigger.key) {
                Some(epoch) => Some(*epoch),
                None => bases.get(&trigger.key)?.epoch(),
            };
            if held.is_some_and(|held| trigger.epoch <= held) {
                table.remove(trigger.index.0).map_err(engine)?;
                self.has_written = true;
            }
        }
        Ok(())
    }

    /// Moves the cursor over what was heard without a gap.
    fn move_cursor(&mut self) -> Result<Heard, Error> {
        let table = self.txn.open_table(INBOX).map_err(engine)?;
        let mut indexes = Vec::new();
        for row in table.range(self.state.cursor..).map_err(engine)? {
            indexes.push(Index(row.map_err(engine)?.0.value()));
        }
        let heard = heard(Index(self.state.cursor), indexes);
        self.state.cursor = heard.cursor.0;
        Ok(heard)
    }
}

pub(crate) fn triggers(snapshot: &Snapshot) -> Result<Vec<Trigger>, Error> {
    let table = snapshot.numbered(INBOX)?;
    let mut found = Vec::new();
    for row in table.iter().map_err(engine)? {
        let (index, value) = row.map_err(engine)?;
        let index = index.value();
        let trigger =
            frame::open_record::<TriggerRecord>(FrameKind::Trigger, &index.to_le_bytes(), value.value())
                .and_then(|record| record.trigger(Index(index)))
                .map_err(damaged(format!("trigger {index}")))?;
        found.push(trigger);
    }
    require_all(&table, found.len() as u64, || "the inbox".to_owned())?;
    Ok(found)
}

fn coalesced(triggers: &[Trigger], bases: &Bases, open: &HashSet<EntityKey>) -> Result<ReadPlan, Error> {
    let mut held = std::collections::HashMap::new();
    for trigger in triggers {
        if let Some(epoch) = bases.get(&trigger.key)?.epoch() {
            held.insert(trigger.key.clone(), epoch);
        }
    }
    Ok(coalesce(triggers, |key| held.get(key).copied(), |key| open.contains(key)))
}

fn open_keys(snapshot: &Snapshot, state: &JournalState) -> Result<HashSet<EntityKey>, Error> {
    match &state.open {
        Some(open) => Ok(seal::load(snapshot, open)?.1.into_keys().collect()),
        None => Ok(HashSet::new()),
    }
}
