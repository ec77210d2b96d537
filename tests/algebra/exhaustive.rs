//! The laws of one plan by exhaustion: every log of up to five operations out of ten, on every kind of base.
//!
//! The operations are on one entity (and a few of them on a second one), with values that collide with each
//! other and with the bases. What holds of one entity holds of many: entities only meet in groups and
//! schemas, which have tests of their own. Several plans, one behind the other: `exhaustive_cuts`.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics has failed")]

use std::sync::atomic::{AtomicU64, Ordering};

use crate::every_log::every_log;
use crate::short_logs::{LENGTH, bases, operations_on_one, truths};
use foldlog::algebra::{Existence, Operation, Patch};
use foldlog::testing::baseline::Baseline;
use foldlog::testing::{laws, strategies};

/// Eight operations on one entity, two on another.
fn operations() -> Vec<Operation> {
    let mut operations = operations_on_one();
    let two = strategies::entity(1);
    operations[8] = Operation::patch(two.clone(), Patch::from_json(r#"{"a":1}"#).unwrap());
    operations[9] = Operation::delete(two);
    operations
}

/// Every kind of base, each with one truth that it was learned from; the other entity is absent or unknown.
fn baselines() -> Vec<Baseline> {
    let known = bases().into_iter().enumerate();
    let with_truth = known.flat_map(|(number, base)| {
        let truths = truths(&base);
        // What an unknown entity may be follows from the log, and from a truth that is live.
        let truth = truths.iter().find(|truth| truth.live().is_some()).or(truths.first()).cloned();
        truth.map(|truth: Existence| (number, base, truth))
    });
    with_truth
        .map(|(number, base, truth)| {
            let mut baseline = Baseline::new(number % 2 == 0);
            baseline.insert(strategies::entity(0), base, truth);
            baseline
        })
        .collect()
}

#[test]
fn every_short_log_on_every_base() {
    let (operations, baselines) = (operations(), baselines());
    let cases = AtomicU64::new(0);
    let check = |log: &[Operation]| {
        laws::fold_is_composition(log).unwrap();
        let run: Vec<Operation> =
            log.iter().filter(|operation| operation.key == strategies::entity(0)).cloned().collect();
        if run.len() == log.len() {
            laws::associativity(&run).unwrap();
        }
        for baseline in &baselines {
            let bases = baseline.bases();
            laws::equivalence(log, baseline)
                .and_then(|()| laws::idempotence(log, bases))
                .and_then(|()| laws::smallest(log, bases))
                .and_then(|()| laws::accounting(log, bases))
                .unwrap_or_else(|violation| panic!("{violation}\nlog: {log:?}\nbaseline: {baseline:?}"));
            cases.fetch_add(1, Ordering::Relaxed);
        }
    };
    check(&[]);
    let logs = 1 + every_log(&operations, LENGTH, check);
    let cases = cases.into_inner();
    println!("{logs} logs on {} bases: {cases} cases", baselines.len());
    let expected: u64 = (0..=u32::try_from(LENGTH).unwrap()).map(|length| 10_u64.pow(length)).sum();
    assert_eq!(logs, expected);
}
