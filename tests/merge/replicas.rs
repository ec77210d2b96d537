//! What must hold of every merge of replicas, whatever was done to them.

use std::collections::BTreeSet;

use foldlog::algebra::Existence;
use foldlog::merge::Resolutions;
use foldlog::testing::cases;
use proptest::prelude::*;

use super::world::{World, acts, is_refused, schemas, schemas_of_marks};

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn a_merge_leaves_what_is_whole_changes_no_source_and_done_again_changes_nothing(
        schema in schemas(), acts in acts(true), choices in prop::collection::vec(any::<u8>(), 16)
    ) {
        let mut world = World::new(&schema);
        world.play(&acts);
        let sources: Vec<_> = (1..4).map(|who| (world.versions(who), world.replicas[who].losers().unwrap())).collect();
        if world.merged(&[1, 2, 3], 0, &choices).is_none() {
            return Ok(());
        }
        prop_assert_eq!(world.wrong(0), Vec::<String>::new());
        for (who, (versions, losers)) in (1..4).zip(sources) {
            prop_assert_eq!(world.versions(who), versions);
            prop_assert_eq!(world.replicas[who].losers().unwrap(), losers);
        }
        let nothing = Resolutions::default();
        let checked = world.check(&[1, 2, 3], 0, &nothing);
        prop_assert_eq!((&checked.refusals, &checked.clashes), (&vec![], &Default::default()));
        let before = (world.versions(0), world.replicas[0].losers().unwrap(), world.replicas[0].journal().plan().unwrap());
        let again = world.replicas[0].merge(&world.sources(&[1, 2, 3]), &nothing, &mut |_| {}).unwrap();
        let after = (world.versions(0), world.replicas[0].losers().unwrap(), world.replicas[0].journal().plan().unwrap());
        for (key, version) in &after.0 {
            prop_assert_eq!(before.0.get(key), Some(version), "{}: {:?}", key, again.entities);
        }
        prop_assert_eq!(&before.1, &after.1);
        prop_assert_eq!(before.2.operations, after.2.operations);
        prop_assert_eq!(again.losers, 0);
    }

    #[test]
    fn what_is_refused_changes_nothing(schema in schemas(), acts in acts(true)) {
        let mut world = World::new(&schema);
        world.play(&acts);
        let before = (world.versions(0), world.replicas[0].losers().unwrap(), world.replicas[0].journal().plan().unwrap().operations);
        let nothing = Resolutions::default();
        let done = world.replicas[0].merge(&world.sources(&[1, 2]), &nothing, &mut |_| {});
        let checked = world.check(&[1, 2], 0, &nothing);
        if is_refused(&done) {
            prop_assert!(!checked.is_clean());
            let after = (world.versions(0), world.replicas[0].losers().unwrap(), world.replicas[0].journal().plan().unwrap().operations);
            prop_assert_eq!(before, after);
        } else {
            prop_assert!(done.is_ok(), "{:?}", done);
        }
    }

    #[test]
    fn without_clashes_the_order_of_the_sources_does_not_matter(
        schema in schemas_of_marks(), acts in acts(false)
    ) {
        // Files in which others decided about clashes otherwise do conflict.
        let mut world = World::new(&schema);
        world.play(&acts);
        let nothing = Resolutions::default();
        if !world.check(&[1, 2, 3], 0, &nothing).is_clean() {
            return Ok(());
        }
        let mut results = Vec::new();
        for order in [vec![vec![1, 2, 3]], vec![vec![3, 1, 2]], vec![vec![2], vec![1], vec![3]]] {
            let mut other = World::new(&schema);
            other.play(&acts);
            let mut is_clean = true;
            for from in &order {
                let done = other.replicas[0].merge(&other.sources(from), &nothing, &mut |_| {});
                is_clean &= done.is_ok();
            }
            if is_clean {
                results.push(other.live(0));
            }
        }
        prop_assert!(results.len() > 1);
        results.dedup();
        prop_assert_eq!(results.len(), 1, "{:#?}", results);
    }

    #[test]
    fn no_value_is_lost(
        schema in schemas(), acts in acts(true), choices in prop::collection::vec(any::<u8>(), 16)
    ) {
        let mut world = World::new(&schema);
        world.play(&acts);
        let had: Vec<_> = (0..4).map(|who| world.versions(who)).collect();
        if world.merged(&[1, 2, 3], 0, &choices).is_none() {
            return Ok(());
        }
        let result = world.versions(0);
        let mut kept: BTreeSet<(String, String, String)> = BTreeSet::new();
        for replica in &world.replicas {
            for lost in replica.losers().unwrap() {
                kept.extend(lost.fields.iter().map(|(name, value)| (lost.key.to_string(), name, value.to_owned())));
            }
        }
        for (who, versions) in had.iter().enumerate() {
            for (key, version) in versions {
                let Existence::Live(state) = &version.existence else { continue };
                let now = result.get(key).map(|version| &version.existence);
                for field in ["note", "more"] {
                    let Some(value) = state.raw(field) else { continue };
                    let held = now.and_then(Existence::state).and_then(|state| state.raw(field));
                    let is_there = held == Some(value);
                    // By whoever wrote what is there now, or what is kept.
                    let mut later = kept.iter().filter(|(of, name, _)| *of == key.to_string() && name == field);
                    let was_known = held.is_some_and(|held| world.was_known(value, held))
                        || later.any(|(_, _, later)| world.was_known(value, later));
                    let is_kept = kept.contains(&(key.to_string(), field.to_owned(), value.to_owned()));
                    // Removed by somebody who saw it, or by nobody.
                    let was_removed = held.is_none();
                    prop_assert!(
                        is_there || was_known || is_kept || was_removed || world.deleted.contains(value),
                        "{value} of {field} of {key} in {who} is lost; there is {held:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_was_decided_by_deleting_does_not_come_back_with_the_next_file(
        schema in schemas_of_marks(), acts in acts(true), choices in prop::collection::vec(any::<u8>(), 16)
    ) {
        let mut world = World::new(&schema);
        world.play(&acts);
        // The next file is the first one once more, by way of a third.
        if world.merged(&[1], 0, &choices).is_none() || world.live(2).len() + world.live(3).len() > 0 {
            return Ok(());
        }
        if world.merged(&[1], 2, &[1]).is_none() {
            return Ok(());
        }
        let dead = |world: &World| -> BTreeSet<_> {
            let all = world.versions(0).into_iter();
            all.filter(|(_, version)| matches!(version.existence, Existence::Dead(_))).map(|(key, _)| key).collect()
        };
        let before = dead(&world);
        let checked = world.check(&[2], 0, &Resolutions::default());
        prop_assert!(checked.is_clean(), "{:?}", checked.refusals);
        world.replicas[0].merge(&world.sources(&[2]), &Resolutions::default(), &mut |_| {}).unwrap();
        prop_assert!(dead(&world).is_superset(&before));
    }
}
