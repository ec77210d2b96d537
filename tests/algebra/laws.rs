//! The laws by property: 10,000 cases each; and by one long log.

use foldlog::algebra::{CollectionName, Effect, EntityKey, Fold, Operation};
use foldlog::testing::{cases, laws, strategies};
use foldlog::workload::Workload;
use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #![proptest_config(cases(10_000))]

    #[test]
    fn law_1_the_plan_does_what_the_log_does(
        log in strategies::log(20),
        baseline in strategies::baseline(),
    ) {
        laws::equivalence(&log, &baseline)?;
    }

    #[test]
    fn law_1_also_at_every_cut_between_bunches(
        log in strategies::log(16),
        cuts in vec(0..16_usize, 0..4),
        baseline in strategies::baseline(),
    ) {
        laws::equivalence_at_cuts(&log, &cuts, &baseline)?;
    }

    #[test]
    fn law_1_also_of_the_times_at_which_fields_were_written(
        log in vec(strategies::stating_operation_on(strategies::key()), 0..16),
        baseline in strategies::baseline(),
    ) {
        laws::timekeeping(&log, baseline.bases())?;
    }

    #[test]
    fn law_2_effects_compose_in_any_brackets(
        run in vec(strategies::operation_on(Just(strategies::entity(0))), 0..8),
    ) {
        laws::associativity(&run)?;
    }

    #[test]
    fn law_2_folding_is_composing(log in strategies::log(24)) {
        laws::fold_is_composition(&log)?;
    }

    #[test]
    fn law_3_the_plan_of_a_plan_is_that_plan(
        log in strategies::log(20),
        baseline in strategies::baseline(),
    ) {
        laws::idempotence(&log, baseline.bases())?;
    }

    #[test]
    fn law_4_a_plan_is_as_small_as_it_can_be(
        log in strategies::log(20),
        baseline in strategies::baseline(),
    ) {
        laws::smallest(&log, baseline.bases())?;
    }

    #[test]
    fn law_5_every_operation_is_accounted_for(
        log in strategies::log(20),
        baseline in strategies::baseline(),
    ) {
        laws::accounting(&log, baseline.bases())?;
    }
}

/// What is long is sorted first: by whatever way an operation comes, effects are composed of all of them in their order.
#[test]
fn a_long_run_is_folded_as_one_operation_after_another() {
    let collections: Vec<CollectionName> =
        ["notes", "tags", "folders"].iter().map(|name| CollectionName::new(name).unwrap()).collect();
    let workload = Workload { operations: 60_000, entities: 9_000, payload_bytes: 60, ..Workload::default() };
    let mut log: Vec<Operation> = workload.iter().unwrap().collect();
    for (n, operation) in log.iter_mut().enumerate() {
        operation.key = EntityKey::new(collections[n % 3].clone(), operation.key.id()).unwrap();
        if n % 7 == 0 {
            operation.groups = vec![format!("group {}", n % 5).parse().unwrap()];
        }
        if n < 20_000 || n % 4 == 0 {
            operation.at = None;
        }
    }
    let effects = |fold: &Fold<'_>| -> Vec<(EntityKey, Effect)> {
        let shapes: u64 = fold.shapes().map(|shape| u64::from(shape.operations)).sum();
        assert_eq!((shapes, fold.effects().len()), (log.len() as u64, fold.len()));
        fold.effects().collect()
    };
    let mut one_by_one = Fold::new();
    for operation in &log {
        one_by_one.push(operation);
    }
    let expected = effects(&one_by_one);
    assert!(expected.len() > 10_000 && expected.is_sorted_by_key(|(_, effect)| effect.shape.last));
    assert!(expected.iter().any(|(_, effect)| effect.groups.len() > 1));

    let mut at_once = Fold::new();
    at_once.extend(&log);
    assert_eq!(effects(&at_once), expected);
    // A long run first, then one that is long enough to be sorted, and one that is not.
    let ((first, rest), mut in_parts) = (log.split_at(40_000), Fold::new());
    in_parts.extend(first);
    in_parts.extend(&rest[..19_900]);
    in_parts.extend(&rest[19_900..]);
    assert_eq!(effects(&in_parts), expected);
    laws::fold_is_composition(&log).unwrap();
}

/// A check that cannot fail shows nothing: each law is given something that breaks it.
#[test]
fn a_law_that_does_not_hold_says_so() {
    let state = |json| foldlog::algebra::State::from_json(json).unwrap();
    let key = strategies::entity(0);
    let log = [Operation::create(key.clone(), state(r#"{"a":1}"#)), Operation::delete(key.clone())];
    // The authority holds what the baseline says is absent.
    let lied_to = |truth| {
        let mut baseline = foldlog::testing::baseline::Baseline::new(false);
        baseline.insert(key.clone(), foldlog::algebra::Base::Unknown, truth);
        baseline
    };
    let live = lied_to(foldlog::algebra::Existence::Live(state("{}")));
    assert!(laws::equivalence(&log, &live).is_ok(), "presumed, and documented");
    let mut world = foldlog::testing::oracle::World::new();
    world.replay(&log);
    assert!(world.live().next().is_none());
    let mut other = world.clone();
    other.replay(&log[..1]);
    assert!(world.live_difference(&other).is_some());
}
