//! After which calls a killed process leaves a file that is opened again without a walk over all of it.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use foldlog::algebra::{Limits, Operation};
use foldlog::journal::{Durability, Error, Journal};
use foldlog::workload::Workload;

fn workload(operations: u64) -> Vec<Operation> {
    Workload { operations, entities: 1_000, ..Workload::default() }.iter().unwrap().collect()
}

/// Whether the engine walks over a file that a process which is killed now would leave.
fn is_walked_over(path: &Path, journal: &Journal) -> bool {
    let left = path.with_extension("left");
    fs::copy(path, &left).unwrap();
    let walked = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&walked);
    drop(
        redb::Builder::new()
            .set_repair_callback(move |_| seen.store(true, Ordering::Relaxed))
            .open(&left)
            .unwrap(),
    );
    let appended = |journal: &Journal| journal.status().unwrap().appended;
    assert_eq!(appended(&Journal::open(&left).unwrap()), appended(journal), "nothing is lost");
    walked.load(Ordering::Relaxed)
}

#[test]
fn what_was_flushed_sealed_or_appended_in_bulk_is_opened_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.journal");
    let journal = Journal::create(&path).unwrap();
    journal.append(&workload(10), Durability::Durable).unwrap();
    assert!(is_walked_over(&path, &journal), "an append waits for the disk once");
    journal.append(&workload(10), Durability::Deferred).unwrap();
    journal.flush().unwrap();
    assert!(!is_walked_over(&path, &journal), "flushed");
    journal.append(&workload(10), Durability::Durable).unwrap();
    assert!(is_walked_over(&path, &journal), "appended after a flush");
    journal.compact().unwrap();
    assert!(!is_walked_over(&path, &journal), "compacted");
    journal.append(&workload(10), Durability::Durable).unwrap();
    journal.seal(Limits::default()).unwrap().unwrap();
    assert!(!is_walked_over(&path, &journal), "sealed");
    let many = workload(100_000).into_iter().map(Ok::<_, Error>);
    journal.append_streamed(many, Durability::Durable).unwrap();
    assert!(!is_walked_over(&path, &journal), "appended in bulk");
}
