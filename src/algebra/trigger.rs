//! Triggers: hints that an entity changed, coalesced so that each entity is read at most once.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use uuid::Uuid;

use super::names::{CollectionName, EntityKey, Epoch, Index};

/// A hint that an entity changed. It never carries state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// Its place in the authority's stream.
    pub index: Index,
    /// The entity.
    pub key: EntityKey,
    /// What happened to it.
    pub action: Action,
    /// The epoch of the change.
    pub epoch: Epoch,
    /// The replica whose bunch caused it.
    pub sender: Option<Uuid>,
}

/// What a trigger says happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// It was created or changed.
    Upsert,
    /// It was deleted.
    Delete,
}

/// What a set of triggers comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadPlan {
    /// The ids to read, per collection one list, each id once; both in their order.
    pub reads: BTreeMap<CollectionName, Vec<Uuid>>,
    /// Entities whose last trigger is a delete: no read is needed.
    pub deletes: Vec<(EntityKey, Epoch)>,
    /// Entities of the open bunch: its outcome comes first, then they are looked at again.
    pub waiting: Vec<EntityKey>,
    /// Triggers that need nothing: the epoch they tell of is held already.
    pub needless: Vec<Index>,
}

impl ReadPlan {
    /// How many entities are to be read.
    #[must_use]
    pub fn len(&self) -> usize {
        self.reads.values().map(Vec::len).sum()
    }

    /// Whether nothing is to be read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.reads.is_empty()
    }
}

/// Coalesces triggers, in any order and with doubles, to what has to be read.
///
/// `held` is the epoch held of an entity, `is_open` whether it is in the open bunch. The sender proves
/// nothing (a cascade carries it too), so only epochs decide.
#[must_use]
pub fn coalesce<'a>(
    triggers: impl IntoIterator<Item = &'a Trigger>,
    held: impl Fn(&EntityKey) -> Option<Epoch>,
    is_open: impl Fn(&EntityKey) -> bool,
) -> ReadPlan {
    let mut plan = ReadPlan::default();
    let mut latest: BTreeMap<&EntityKey, &Trigger> = BTreeMap::new();
    for trigger in triggers {
        if held(&trigger.key).is_some_and(|epoch| trigger.epoch <= epoch) && !sabotaged!(what_is_held_is_read)
        {
            plan.needless.push(trigger.index);
            continue;
        }
        let last = latest.entry(&trigger.key).or_insert(trigger);
        if (trigger.epoch, trigger.index) > (last.epoch, last.index) {
            *last = trigger;
        }
    }
    for (key, trigger) in latest {
        match trigger.action {
            _ if is_open(key) => plan.waiting.push(key.clone()),
            Action::Upsert => plan.reads.entry(key.collection().clone()).or_default().push(key.id()),
            Action::Delete => plan.deletes.push((key.clone(), trigger.epoch)),
        }
    }
    plan
}

/// How far a stream of triggers was heard: what is missing below the highest index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Every index up to this one was heard.
    pub cursor: Index,
    /// The ranges that were not heard though a later index was, in order.
    pub gaps: Vec<RangeInclusive<u64>>,
}

/// Moves a cursor over contiguous indexes and names the gaps; the indexes in increasing order.
#[must_use]
pub fn heard(cursor: Index, indexes: impl IntoIterator<Item = Index>) -> Heard {
    let mut heard = Heard { cursor, gaps: Vec::new() };
    let mut expected = cursor.0.saturating_add(1);
    for Index(index) in indexes {
        if index < expected {
            continue;
        }
        if index > expected {
            heard.gaps.push(expected..=index - 1);
        }
        if heard.gaps.is_empty() || sabotaged!(trigger_gap_ignored) {
            heard.cursor = Index(index);
        }
        expected = index.saturating_add(1);
    }
    heard
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trigger(index: u64, id: u128, action: Action, epoch: u64) -> Trigger {
        let key = EntityKey::new(CollectionName::new("notes").unwrap(), Uuid::from_u128(id)).unwrap();
        Trigger { index: Index(index), key, action, epoch: Epoch(epoch), sender: None }
    }

    #[test]
    fn a_run_of_changes_is_one_bulk_read_of_each_id_once() {
        let mut triggers: Vec<Trigger> =
            (1..=9).map(|n| trigger(n, u128::from(n % 3) + 1, Action::Upsert, n)).collect();
        triggers.reverse();
        let plan = coalesce(&triggers, |_| None, |_| false);
        assert_eq!((plan.len(), plan.is_empty()), (3, false));
        assert_eq!(plan.reads.len(), 1);
    }

    #[test]
    fn the_last_trigger_of_an_entity_decides_whatever_order_they_come_in() {
        let triggers = [
            trigger(4, 1, Action::Delete, 14),
            trigger(1, 1, Action::Upsert, 11),
            trigger(3, 2, Action::Upsert, 13),
            trigger(2, 2, Action::Delete, 12),
        ];
        let plan = coalesce(&triggers, |_| None, |_| false);
        assert_eq!(plan.deletes.len(), 1);
        assert_eq!(plan.len(), 1);
    }

    #[test]
    fn what_is_held_or_in_the_open_bunch_is_not_read() {
        let triggers = [trigger(1, 1, Action::Upsert, 5), trigger(2, 2, Action::Upsert, 6)];
        let plan = coalesce(&triggers, |_| Some(Epoch(5)), |key| key.id() == Uuid::from_u128(2));
        assert_eq!((plan.needless.as_slice(), plan.waiting.len(), plan.len()), (&[Index(1)][..], 1, 0));
        assert!(plan.is_empty());
    }

    #[test]
    fn the_cursor_stops_at_the_first_gap() {
        let indexes = [2, 3, 3, 5, 6, 9].map(Index);
        assert_eq!(heard(Index(1), indexes), Heard { cursor: Index(3), gaps: vec![4..=4, 7..=8] });
        assert_eq!(heard(Index(0), []), Heard::default());
        assert_eq!(heard(Index(7), [1, 2, 8].map(Index)), Heard { cursor: Index(8), gaps: vec![] });
    }
}
