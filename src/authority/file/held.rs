//! What a delivery has changed of an account so far, and what it has read of it.
//!
//! All of it is written at once, at the delivery's end and in the order of its keys: neighbours go into one page of the
//! file while that page is at hand. A delivery that fails before leaves nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::left::{self, Left};
use super::moves::Moves;
use super::tables::{
    Tables, WriteTable, answer_key, behind, collection_key, engine, entity_key, number_of, put, trigger_key,
};
use crate::algebra::{BunchNumber, CollectionName, Digest, EntityKey, Outcomes, ReplicaId, Trigger};
use crate::authority::{Account, Error, Stored};
use crate::codec::accounts::{AccountRecord, CollectionRecord, EntityRecord, TriggersRecord};
use crate::codec::answers::AnswerRecord;
use crate::codec::frame::FrameKind;

/// So many triggers of an account are kept unless asked for otherwise: a client that was away for longer reads all that
/// changed in pages, which is cheaper than as many hints.
pub const TRIGGERS_MAX_DEFAULT: u64 = 100_000;

/// One in so many triggers more are kept before older ones are forgotten: a range at a time, not one with each delivery.
const TRIGGERS_OVER: u64 = 10;

/// So many triggers stand in one value: reading one reads its neighbours.
const TRIGGERS_A_VALUE: usize = 500;

/// What is known and changed of one account.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) name: Account,
    pub(super) account: AccountRecord,
    /// Whether the account or anything of it was changed.
    pub(super) has_changed: bool,
    pub(super) collections: BTreeMap<CollectionName, HeldCollection>,
    pub(super) entities: HashMap<EntityKey, HeldEntity, foldhash::fast::RandomState>,
    pub(super) epochs: Moves,
    /// Keys among the epochs that were left.
    pub(super) left: Vec<Left>,
    pub(super) live: Moves,
    pub(super) triggers: Vec<Trigger>,
    pub(super) answers: BTreeMap<(ReplicaId, BunchNumber), (Digest, Outcomes)>,
}

#[derive(Clone, Debug)]
pub(super) struct HeldCollection {
    pub(super) record: CollectionRecord,
    pub(super) has_changed: bool,
}

#[derive(Clone, Debug)]
pub(super) struct HeldEntity {
    pub(super) stored: Option<Arc<Stored>>,
    pub(super) has_changed: bool,
}

impl Held {
    pub(super) fn new(name: Account, account: AccountRecord) -> Self {
        Held {
            name,
            account,
            has_changed: false,
            collections: BTreeMap::new(),
            entities: HashMap::default(),
            epochs: Moves::default(),
            left: Vec::new(),
            live: Moves::default(),
            triggers: Vec::new(),
            answers: BTreeMap::new(),
        }
    }

    /// Writes what was changed; whether anything was.
    pub(super) fn write(
        mut self,
        tables: &mut Tables<WriteTable<'_>>,
        triggers_max: u64,
    ) -> Result<bool, Error> {
        if !self.has_changed {
            return Ok(false);
        }
        let number = self.account.number;
        self.write_entities(tables)?;
        for (name, HeldCollection { record, .. }) in
            self.collections.iter().filter(|(_, held)| held.has_changed)
        {
            let key = collection_key(number, name.as_str());
            put(&mut tables.collections, FrameKind::Collection, &key, record)?;
        }
        for ((replica, bunch), (id, outcomes)) in &self.answers {
            let key = answer_key(number, *replica, *bunch);
            put(&mut tables.answers, FrameKind::Answer, &key, &AnswerRecord::of(*id, outcomes))?;
        }
        for triggers in self.triggers.chunks(TRIGGERS_A_VALUE) {
            let last = triggers.last().map_or(0, |trigger| trigger.index.0);
            let key = trigger_key(number, last);
            put(&mut tables.triggers, FrameKind::Triggers, &key, &TriggersRecord::of(triggers))?;
        }
        self.epochs.write(&mut tables.epochs)?;
        left::list(tables, number, self.left)?;
        self.live.write(&mut tables.live)?;
        forget_old(&mut tables.triggers, &mut self.account, triggers_max)?;
        tables.put_account(self.name.as_str(), &self.account)?;
        Ok(true)
    }

    fn write_entities(&mut self, tables: &mut Tables<WriteTable<'_>>) -> Result<(), Error> {
        let changed = self.entities.drain().filter(|(_, held)| held.has_changed);
        let mut rows: Vec<(Vec<u8>, Option<Arc<Stored>>)> = Vec::new();
        for (key, held) in changed {
            // Whoever changed it made sure of its collection.
            let Some(collection) = self.collections.get(key.collection()) else { continue };
            rows.push((entity_key(self.account.number, collection.record.number, key.id()), held.stored));
        }
        rows.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (key, stored) in rows {
            let record = stored.as_ref().and_then(|stored| {
                EntityRecord::of(&stored.version, stored.epoch, &stored.fields, stored.writer)
            });
            match record {
                Some(record) => put(&mut tables.entities, FrameKind::Entity, &key, &record)?,
                None => drop(tables.entities.remove(key.as_slice()).map_err(engine)?),
            }
        }
        Ok(())
    }
}

/// Forgets the oldest triggers of an account where there are too many.
fn forget_old(
    triggers: &mut WriteTable<'_>,
    account: &mut AccountRecord,
    triggers_max: u64,
) -> Result<(), Error> {
    let kept = account.last_trigger.saturating_sub(account.triggers_from);
    if kept <= triggers_max.saturating_add(triggers_max / TRIGGERS_OVER) {
        return Ok(());
    }
    let until = account.last_trigger.saturating_sub(triggers_max);
    // Whole values go: the one in which the newest of them stands stays.
    let (from, to) = (trigger_key(account.number, 0), behind(&trigger_key(account.number, until)));
    let mut last = account.triggers_from;
    let forgets = |key: &[u8], _: &[u8]| {
        last = number_of(key).map_or(last, |index| index.max(last));
        false
    };
    triggers.retain_in(from.as_slice()..to.as_slice(), forgets).map_err(engine)?;
    account.triggers_from = last.min(account.last_trigger);
    Ok(())
}
