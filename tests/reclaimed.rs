//! How long a file is once its space was given back, beside one that nothing else was ever written to.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::fs;
use std::path::Path;

use foldlog::algebra::{Operation, Plan};
use foldlog::journal::{Durability, Error, Journal};
use foldlog::workload::Workload;

/// How long the file of a new journal is that is given what a plan says and nothing else.
fn fresh_bytes(plan: &Plan, path: &Path) -> u64 {
    let journal = Journal::create(path).unwrap();
    let operations: Vec<Operation> =
        plan.operations.iter().map(|planned| planned.operation.clone()).collect();
    journal.append(&operations, Durability::Durable).unwrap();
    journal.reclaim().unwrap();
    drop(journal);
    fs::metadata(path).unwrap().len()
}

#[test]
fn what_was_folded_leaves_a_file_little_longer_than_what_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.journal");
    let workload = Workload { operations: 200_000, entities: 50_000, ..Workload::default() };
    let journal = Journal::create(&path).unwrap();
    let all = workload.iter().unwrap().map(Ok::<_, Error>);
    journal.append_streamed(all, Durability::Durable).unwrap();
    assert!(journal.reclaim().unwrap());
    let plan = journal.plan().unwrap();
    drop(journal);
    let bytes = fs::metadata(&path).unwrap().len();
    let fresh = fresh_bytes(&plan, &folder.path().join("fresh.journal"));
    assert!(bytes * 10 <= fresh * 13, "{bytes} bytes, where {fresh} would do");
}
