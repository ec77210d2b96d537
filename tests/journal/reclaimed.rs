//! How long a file is once its space was given back, beside one that nothing else was ever written to.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::fs;
use std::path::Path;

use foldlog::algebra::{Epoch, Limits, Operation, Outcome, Outcomes, Plan, Row, Stamps};
use foldlog::journal::{Durability, Error, Journal, Listing};
use foldlog::workload::Workload;

/// How long the file of a new journal is that is given what a plan says, what the authority holds, and nothing else.
fn fresh_bytes(plan: &Plan, bases: &[Row], path: &Path) -> u64 {
    let journal = Journal::create(path).unwrap();
    journal.baseline(bases, Listing::Partial).unwrap();
    let operations: Vec<Operation> =
        plan.operations.iter().map(|planned| planned.operation.clone()).collect();
    journal.append(&operations, Durability::Durable).unwrap();
    journal.reclaim().unwrap();
    drop(journal);
    fs::metadata(path).unwrap().len()
}

fn with_operations(path: &Path) -> Journal {
    let workload = Workload { operations: 200_000, entities: 50_000, ..Workload::default() };
    let journal = Journal::create(path).unwrap();
    let all = workload.iter().unwrap().map(Ok::<_, Error>);
    journal.append_streamed(all, Durability::Durable).unwrap();
    journal
}

#[test]
fn what_was_folded_leaves_a_file_little_longer_than_what_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.journal");
    let journal = with_operations(&path);
    assert!(journal.reclaim().unwrap());
    let plan = journal.plan().unwrap();
    drop(journal);
    let bytes = fs::metadata(&path).unwrap().len();
    let fresh = fresh_bytes(&plan, &[], &folder.path().join("fresh.journal"));
    assert!(bytes * 10 <= fresh * 13, "{bytes} bytes, where {fresh} would do");
}

#[test]
fn what_was_settled_leaves_a_file_little_longer_than_what_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.journal");
    let journal = with_operations(&path);
    journal.compact().unwrap();
    let limits = Limits { operations: 20_000, ..Limits::default() };
    let bunch = journal.seal(limits).unwrap().unwrap();
    let theirs =
        Outcome::Superseded { epoch: Epoch(1), state: None, stamps: Stamps::default(), writer: None };
    let outcomes = bunch.operations.iter().map(|_| theirs.clone()).collect();
    journal.settle(&Outcomes { bunch: bunch.number, outcomes }).unwrap();
    journal.forget_superseded().unwrap();
    journal.reclaim().unwrap();
    let plan = journal.plan().unwrap();
    drop(journal);
    let bytes = fs::metadata(&path).unwrap().len();
    let gone = bunch.operations.iter().map(|sent| Row {
        key: sent.operation.key.clone(),
        state: None,
        epoch: Some(Epoch(1)),
    });
    let fresh = fresh_bytes(&plan, &gone.collect::<Vec<_>>(), &folder.path().join("fresh.journal"));
    assert!(bytes * 10 <= fresh * 13, "{bytes} bytes, where {fresh} would do");
}
