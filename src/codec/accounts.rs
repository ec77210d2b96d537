//! The records of an authority's file, as they lie in their frames.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::frame::FrameError;
use super::records::{StampsRecord, key_of};
use crate::algebra::{
    Action, BunchNumber, Digest, Epoch, Existence, Index, LiveSet, ReplicaId, State, Trigger, Version, Writer,
};

/// What an authority's file is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AuthorityRecord {
    /// Drawn when it was made.
    pub(crate) id: [u8; 16],
    /// The schema that its indexes were made by.
    pub(crate) schema: String,
    /// The number of the next account; none is given out twice.
    pub(crate) next_account: u64,
}

/// One account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AccountRecord {
    pub(crate) number: u64,
    pub(crate) generation: [u8; 16],
    pub(crate) last_trigger: u64,
    /// Triggers up to this one are gone.
    pub(crate) triggers_from: u64,
    /// The number of the next collection.
    pub(crate) next_collection: u32,
}

/// One collection of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CollectionRecord {
    pub(crate) number: u32,
    pub(crate) last_epoch: u64,
    pub(crate) floor: u64,
    live_count: u64,
    live_sum: [u8; 32],
}

impl CollectionRecord {
    /// A collection in which nothing ever happened.
    pub(crate) fn new(number: u32) -> Self {
        CollectionRecord { number, ..CollectionRecord::default() }
    }

    pub(crate) fn live(&self) -> LiveSet {
        LiveSet { count: self.live_count, sum: Digest(self.live_sum) }
    }

    pub(crate) fn set_live(&mut self, live: LiveSet) {
        self.live_count = live.count;
        self.live_sum = live.sum.0;
    }
}

/// One entity, tombstones with their last state included.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct EntityRecord<'b> {
    is_live: bool,
    state: &'b str,
    #[serde(borrow)]
    stamps: StampsRecord<&'b str>,
    pub(crate) epoch: u64,
    fields: Vec<(&'b str, u64)>,
    writer: Option<([u8; 16], u64)>,
}

impl<'b> EntityRecord<'b> {
    /// The record of an entity; none for one that is absent, which is stored as no record.
    pub(crate) fn of(
        version: &'b Version,
        epoch: Epoch,
        fields: &'b [(String, Epoch)],
        writer: Option<Writer>,
    ) -> Option<Self> {
        let (is_live, state) = match &version.existence {
            Existence::Absent => return None,
            Existence::Live(state) => (true, state),
            Existence::Dead(state) => (false, state),
        };
        Some(EntityRecord {
            is_live,
            state: state.as_json(),
            stamps: StampsRecord::of(&version.stamps),
            epoch: epoch.0,
            fields: fields.iter().map(|(name, epoch)| (name.as_str(), epoch.0)).collect(),
            writer: writer.map(|writer| (writer.replica.0.into_bytes(), writer.bunch.0)),
        })
    }

    /// What it is, the epochs of its fields, and who wrote it last.
    pub(crate) fn parts(self) -> (Version, Vec<(String, Epoch)>, Option<Writer>) {
        // Under the frame's checksum it is what was written.
        let state = State::trusted(self.state);
        let existence = if self.is_live { Existence::Live(state) } else { Existence::Dead(state) };
        let fields = self.fields.into_iter().map(|(name, epoch)| (name.to_owned(), Epoch(epoch))).collect();
        let writer = self.writer.map(|(replica, bunch)| Writer {
            replica: ReplicaId(Uuid::from_bytes(replica)),
            bunch: BunchNumber(bunch),
        });
        (Version { existence, stamps: self.stamps.stamps() }, fields, writer)
    }
}

/// Keys among the epochs that entities have left: collections' numbers, epochs, ids.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LeftRecord(Vec<(u32, u64, [u8; 16])>);

impl LeftRecord {
    pub(crate) fn of(left: &[(u32, u64, Uuid)]) -> Self {
        LeftRecord(
            left.iter().map(|(collection, epoch, id)| (*collection, *epoch, id.into_bytes())).collect(),
        )
    }

    pub(crate) fn left(self) -> impl Iterator<Item = (u32, u64, Uuid)> {
        self.0.into_iter().map(|(collection, epoch, id)| (collection, epoch, Uuid::from_bytes(id)))
    }
}

/// Triggers that follow one another.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TriggersRecord {
    first: u64,
    collections: Vec<String>,
    senders: Vec<Option<[u8; 16]>>,
    rows: Vec<TriggerRow>,
}

/// The place of the collection, the place of the sender, the id, whether it was a delete, the epoch.
type TriggerRow = (u32, u32, [u8; 16], bool, u64);

impl TriggersRecord {
    /// The record of triggers whose indexes follow one another.
    pub(crate) fn of(triggers: &[Trigger]) -> Self {
        let (mut collections, mut senders) = (BTreeMap::new(), BTreeMap::new());
        let mut rows = Vec::with_capacity(triggers.len());
        for trigger in triggers {
            let collection = place(&mut collections, trigger.key.collection().as_str());
            let sender = place(&mut senders, trigger.sender.map(Uuid::into_bytes));
            let is_delete = trigger.action == Action::Delete;
            rows.push((collection, sender, trigger.key.id().into_bytes(), is_delete, trigger.epoch.0));
        }
        let collections = listed(collections).into_iter().map(str::to_owned).collect();
        let first = triggers.first().map_or(0, |trigger| trigger.index.0);
        TriggersRecord { first, collections, senders: listed(senders), rows }
    }

    /// The index that the last one has if they are as many as they should be.
    #[cfg(feature = "testing")]
    pub(crate) fn last(&self) -> u64 {
        self.first.saturating_add(self.rows.len() as u64).saturating_sub(1)
    }

    /// The triggers, as the last of them has this index.
    pub(crate) fn triggers(self, last: u64) -> Result<Vec<Trigger>, FrameError> {
        let wrong = |why: &str| FrameError::Body { why: why.to_owned() };
        if self.first.checked_add(self.rows.len() as u64) != last.checked_add(1) {
            return Err(wrong("triggers are not where they are counted"));
        }
        let trigger = |(row, index): (TriggerRow, u64)| {
            let (collection, sender, id, is_delete, epoch) = row;
            let name = usize::try_from(collection).ok().and_then(|place| self.collections.get(place));
            let sender = usize::try_from(sender).ok().and_then(|place| self.senders.get(place));
            Ok(Trigger {
                index: Index(index),
                key: key_of(name.ok_or_else(|| wrong("a trigger is of no listed collection"))?, id)?,
                action: if is_delete { Action::Delete } else { Action::Upsert },
                epoch: Epoch(epoch),
                sender: sender
                    .ok_or_else(|| wrong("a trigger is of no listed sender"))?
                    .map(Uuid::from_bytes),
            })
        };
        self.rows.into_iter().zip(self.first..).map(trigger).collect()
    }
}

/// The place of something in a list, at whose end it is put where it is new.
fn place<T: Ord>(places: &mut BTreeMap<T, u32>, of: T) -> u32 {
    // Never more than there are triggers in one value.
    let next = u32::try_from(places.len()).unwrap_or(u32::MAX);
    *places.entry(of).or_insert(next)
}

/// What has places, in their order.
fn listed<T>(places: BTreeMap<T, u32>) -> Vec<T> {
    let mut listed: Vec<(T, u32)> = places.into_iter().collect();
    listed.sort_by_key(|(_, place)| *place);
    listed.into_iter().map(|(of, _)| of).collect()
}
