//! Coalescing against a naive reading of what it promises, entity by entity.

use std::collections::BTreeSet;

use foldlog::algebra::{Action, EntityKey, Epoch, Index, Trigger, coalesce};
use foldlog::testing::strategies::{ENTITIES, entity};
use proptest::prelude::*;

fn trigger() -> impl Strategy<Value = Trigger> {
    (1..20_u64, 0..ENTITIES, any::<bool>(), 1..12_u64).prop_map(|(index, number, is_delete, epoch)| Trigger {
        index: Index(index),
        key: entity(number),
        action: if is_delete { Action::Delete } else { Action::Upsert },
        epoch: Epoch(epoch),
        sender: None,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(10_000) })]

    #[test]
    fn each_entity_is_read_at_most_once_at_its_latest(
        triggers in prop::collection::vec(trigger(), 0..24),
        held in prop::collection::vec(prop::option::of(0..12_u64), ENTITIES),
        open in prop::collection::vec(any::<bool>(), ENTITIES),
    ) {
        let number = |key: &EntityKey| (0..ENTITIES).find(|number| entity(*number) == *key).unwrap();
        let held_of = |key: &EntityKey| held[number(key)].map(Epoch);
        let plan = coalesce(&triggers, held_of, |key| open[number(key)]);
        let mut reads = BTreeSet::new();
        for (collection, ids) in &plan.reads {
            for id in ids {
                let key = EntityKey::new(collection.clone(), *id).unwrap();
                prop_assert!(reads.insert(key), "{} is read twice", id);
            }
        }
        for (place, is_open) in open.iter().copied().enumerate() {
            let key = entity(place);
            let news = triggers.iter().filter(|trigger| trigger.key == key && Some(trigger.epoch) > held_of(&key));
            let last = news.max_by_key(|trigger| (trigger.epoch, trigger.index));
            let is = |action| last.is_some_and(|trigger| trigger.action == action);
            // Of two triggers of one place and epoch, which cannot both be true, either may count.
            let twins = triggers.iter().filter(|other| last.is_some_and(|last| {
                other.key == key && (other.epoch, other.index) == (last.epoch, last.index)
            }));
            if twins.map(|twin| twin.action).any(|action| !is(action)) {
                continue;
            }
            prop_assert_eq!(reads.contains(&key), is(Action::Upsert) && !is_open);
            let deleted = plan.deletes.iter().find(|(other, _)| *other == key);
            let expected = last.filter(|_| is(Action::Delete) && !is_open);
            prop_assert_eq!(deleted.map(|(_, epoch)| *epoch), expected.map(|trigger| trigger.epoch));
            prop_assert_eq!(plan.waiting.contains(&key), last.is_some() && is_open);
        }
        let needless = triggers.iter().filter(|trigger| held_of(&trigger.key) >= Some(trigger.epoch)).count();
        prop_assert_eq!(plan.needless.len(), needless);
    }
}
