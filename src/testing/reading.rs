//! Section 6 as checks: what triggers coalesce to, and how far they were heard.
//!
//! Each looks at one trigger, or one index, after the other, and sorts nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::laws::{Violation, require};
use crate::algebra::{Action, EntityKey, Epoch, Heard, Index, ReadPlan, Trigger, coalesce, heard};

/// Where a read plan may name an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Reads,
    Deletes(Epoch),
    Waiting,
}

/// Triggers in any order, and doubled, coalesce to one place for each entity: that of its last trigger, if that
/// tells of an epoch above the one held. An entity of the open bunch waits for its outcome.
///
/// # Errors
/// The first entity or trigger that is out of place.
pub fn coalescing(
    triggers: &[Trigger],
    held: &BTreeMap<EntityKey, Epoch>,
    open: &BTreeSet<EntityKey>,
) -> Result<(), Violation> {
    let plan = coalesce(triggers, |key| held.get(key).copied(), |key| open.contains(key));
    let law = "coalescing";
    let is_news = |trigger: &&Trigger| held.get(&trigger.key).is_none_or(|held| trigger.epoch > *held);
    for key in triggers.iter().map(|trigger| &trigger.key) {
        let own = || triggers.iter().filter(is_news).filter(|trigger| trigger.key == *key);
        let last =
            own().find(|last| own().all(|other| (other.epoch, other.index) <= (last.epoch, last.index)));
        let expected: Vec<Place> = match last {
            None => Vec::new(),
            Some(_) if open.contains(key) => vec![Place::Waiting],
            Some(Trigger { action: Action::Upsert, .. }) => vec![Place::Reads],
            Some(Trigger { action: Action::Delete, epoch, .. }) => vec![Place::Deletes(*epoch)],
        };
        let found = places(&plan, key);
        require(law, expected == found, || {
            format!("{key} belongs in {expected:?}, not in {found:?}: {plan:?}")
        })?;
    }
    let named = plan.len() + plan.deletes.len() + plan.waiting.len();
    let news: BTreeSet<&EntityKey> = triggers.iter().filter(is_news).map(|trigger| &trigger.key).collect();
    require(law, named == news.len(), || format!("{news:?} are told of, and {named} are named: {plan:?}"))?;
    let old: Vec<Index> =
        triggers.iter().filter(|trigger| !is_news(trigger)).map(|trigger| trigger.index).collect();
    require(law, plan.needless == old, || format!("{old:?} are old, not {:?}", plan.needless))
}

fn places(plan: &ReadPlan, key: &EntityKey) -> Vec<Place> {
    let reads = plan.reads.get(key.collection()).into_iter().flatten().filter(|id| **id == key.id());
    let deletes = plan.deletes.iter().filter(|(deleted, _)| deleted == key);
    let waiting = plan.waiting.iter().filter(|waiting| *waiting == key);
    reads
        .map(|_| Place::Reads)
        .chain(deletes.map(|(_, epoch)| Place::Deletes(*epoch)))
        .chain(waiting.map(|_| Place::Waiting))
        .collect()
}

/// Of the indexes above the cursor, in increasing order, those are missing that a later one was heard after; the
/// cursor moves up to the first that is.
///
/// # Errors
/// What was found instead.
pub fn hearing(cursor: Index, indexes: &BTreeSet<Index>) -> Result<(), Violation> {
    let found = heard(cursor, indexes.iter().copied());
    let mut expected = Heard { cursor, gaps: Vec::new() };
    let last = indexes.last().map_or(0, |last| last.0);
    for index in cursor.0 + 1..=last {
        let is_heard = indexes.contains(&Index(index));
        match expected.gaps.pop() {
            None if is_heard => expected.cursor = Index(index),
            None => expected.gaps.push(index..=index),
            // A gap that ends just before this index, and this index is missing too.
            Some(gap) if !is_heard && *gap.end() == index - 1 => expected.gaps.push(*gap.start()..=index),
            Some(gap) => {
                expected.gaps.push(gap);
                if !is_heard {
                    expected.gaps.push(index..=index);
                }
            }
        }
    }
    require("hearing", found == expected, || format!("of {indexes:?} {expected:?} was heard, not {found:?}"))
}
