//! The laws by exhaustion: every log of up to five operations out of ten, on every kind of base, with every
//! cut between two bunches.
//!
//! The operations are on one entity (and a few of them on a second one), with values that collide with each
//! other and with the bases. What holds of one entity holds of many: entities only meet in groups and
//! schemas, which have tests of their own.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::sync::atomic::{AtomicU64, Ordering};

use foldlog::algebra::{Base, EntityKey, Existence, Held, Knowledge, Millis, Operation, Patch, State};
use foldlog::testing::baseline::Baseline;
use foldlog::testing::{laws, strategies};

const LENGTH: usize = 5;

fn state(json: &str) -> State {
    State::from_json(json).unwrap()
}

fn operations() -> Vec<Operation> {
    let (one, two) = (strategies::entity(0), strategies::entity(1));
    let patch = |key: &EntityKey, json| Operation::patch(key.clone(), Patch::from_json(json).unwrap());
    let mut operations = vec![
        Operation::create(one.clone(), state(r#"{"a":1}"#)),
        Operation::create(one.clone(), state("{}")),
        Operation::update(one.clone(), state(r#"{"a":1,"b":1}"#)),
        Operation::update(one.clone(), state(r#"{"a":1.0}"#)),
        patch(&one, r#"{"a":1}"#),
        patch(&one, r#"{"b":1,"a":null}"#),
        patch(&one, "{}"),
        Operation::delete(one.clone()),
        patch(&two, r#"{"a":1}"#),
        Operation::delete(two),
    ];
    // Times that run backwards.
    for (operation, at) in operations.iter_mut().zip([9, 3, 7, 3, 5, 1]) {
        operation.at = Some(Millis(at));
    }
    operations
}

/// Every kind of base: unknown, absent, live, dead; with the state, its digest, neither.
fn baselines() -> Vec<Baseline> {
    let states = [state(r#"{"a":1}"#), state(r#"{"a":1,"b":1}"#)];
    let mut known = vec![
        (Base::Unknown, Existence::Absent),
        (Base::Unknown, Existence::Live(states[0].clone())),
        (Base::Absent, Existence::Absent),
    ];
    for state in &states {
        for knowledge in
            [Knowledge::Nothing, Knowledge::Digest(state.digest()), Knowledge::State(state.clone())]
        {
            let held = Held { epoch: None, state: knowledge };
            known.push((Base::Live(held.clone()), Existence::Live(state.clone())));
            known.push((Base::Dead(held), Existence::Dead(state.clone())));
        }
    }
    known
        .into_iter()
        .enumerate()
        .map(|(number, (base, truth))| {
            let mut baseline = Baseline::new(number % 2 == 0);
            baseline.insert(strategies::entity(0), base, truth);
            baseline
        })
        .collect()
}

#[test]
fn every_short_log_on_every_base_at_every_cut() {
    let (operations, baselines) = (operations(), baselines());
    let (logs, cases) = (AtomicU64::new(0), AtomicU64::new(0));
    let check = |log: &[Operation]| {
        logs.fetch_add(1, Ordering::Relaxed);
        laws::fold_is_composition(log).unwrap();
        let run: Vec<Operation> =
            log.iter().filter(|operation| operation.key == strategies::entity(0)).cloned().collect();
        if run.len() == log.len() {
            laws::associativity(&run).unwrap();
        }
        for baseline in &baselines {
            let bases = baseline.bases();
            laws::equivalence(log, baseline)
                .and_then(|()| laws::equivalence_at_every_cut(log, baseline))
                .and_then(|()| laws::idempotence(log, bases))
                .and_then(|()| laws::smallest(log, bases))
                .and_then(|()| laws::accounting(log, bases))
                .unwrap_or_else(|violation| panic!("{violation}\nlog: {log:?}\nbaseline: {baseline:?}"));
            cases.fetch_add(log.len().max(1) as u64, Ordering::Relaxed);
        }
    };
    let first = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let place = usize::try_from(first.fetch_add(1, Ordering::Relaxed)).unwrap();
                    let Some(operation) = operations.get(place) else { break };
                    grow(&mut vec![operation.clone()], &operations, &check);
                }
            });
        }
    });
    check(&[]);
    let (logs, cases) = (logs.into_inner(), cases.into_inner());
    println!("{logs} logs on {} bases, at every cut: {cases} cases", baselines.len());
    let expected: u64 = (0..=u32::try_from(LENGTH).unwrap()).map(|length| 10_u64.pow(length)).sum();
    assert_eq!(logs, expected);
}

fn grow(log: &mut Vec<Operation>, operations: &[Operation], check: &impl Fn(&[Operation])) {
    check(log);
    if log.len() < LENGTH {
        for operation in operations {
            log.push(operation.clone());
            grow(log, operations, check);
            log.pop();
        }
    }
}
