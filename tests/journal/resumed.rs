//! The way back: what a journal does after its engine panicked or its disk failed, and it was resumed.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics has failed")]

use std::path::PathBuf;
use std::thread;

use foldlog::algebra::Operation;
use foldlog::journal::{Durability, Error, Journal, verify};

use crate::prepared::{key, options, state};

const PAGE: usize = 4096;

fn create(number: u64) -> Operation {
    Operation::create(
        key(number),
        state(&format!(r#"{{"marked":"<{number}>","text":"{}"}}"#, "x".repeat(200))),
    )
}

/// A journal with a log of many pages, of which one makes the engine panic: nobody reads it but a pass, so it opens.
struct Hurt {
    path: PathBuf,
    journal: Journal,
    /// What the file held before it was hurt.
    sound: Vec<u8>,
}

impl Hurt {
    fn at(path: PathBuf) -> Self {
        const ROWS: u64 = 1_400;
        let journal = Journal::create(&path).unwrap();
        let all: Vec<Operation> = (0..ROWS).map(create).collect();
        for some in all.chunks(140) {
            journal.append(some, Durability::Durable).unwrap();
        }
        drop(journal);
        let sound = std::fs::read(&path).unwrap();
        let mark = format!("<{}>", ROWS / 2).into_bytes();
        let place = sound.windows(mark.len()).position(|text| text == mark).unwrap();
        // A leaf may be several pages long; its first byte says that it is one.
        let leaf = (0..=place / PAGE).rev().map(|page| page * PAGE).find(|begin| sound[*begin] == 1).unwrap();
        let mut hurt = sound.clone();
        hurt[leaf] ^= 0xff;
        std::fs::write(&path, hurt).unwrap();
        let journal = options().open(&path).unwrap();
        Hurt { path, journal, sound }
    }
}

fn appended(journal: &Journal) -> u64 {
    journal.status().unwrap().appended
}

fn require_corrupted(done: Result<(), Error>) {
    let error = done.unwrap_err();
    assert!(matches!(&error, Error::Corrupted { why } if why.contains("gave up")), "{error}");
}

#[test]
fn what_is_resumed_after_a_panic_in_a_pass_is_kept() {
    for is_suspended in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let Hurt { path, journal, sound } = Hurt::at(folder.path().join("a.journal"));
        require_corrupted(journal.compact());
        assert!(matches!(journal.append(&[create(5_000)], Durability::Durable), Err(Error::Failed)));
        if is_suspended {
            assert!(matches!(journal.suspend(), Err(Error::Failed)));
        }
        std::fs::write(&path, sound).unwrap();
        journal.resume().unwrap();
        let new = journal.append(&[create(5_000)], Durability::Deferred).unwrap().last;
        assert_eq!(appended(&journal), new.0);
        journal.resume().unwrap();
        assert_eq!(appended(&journal), new.0, "there was no crash");
    }
}

#[test]
fn what_is_resumed_after_a_panic_in_a_pass_is_mended_and_folded() {
    let folder = tempfile::tempdir().unwrap();
    let Hurt { path, journal, sound } = Hurt::at(folder.path().join("a.journal"));
    require_corrupted(journal.compact());
    std::fs::write(&path, sound).unwrap();
    journal.resume().unwrap();
    assert_eq!(journal.mend().unwrap(), 0);
    assert_eq!(appended(&journal), 1_400);
    journal.compact().unwrap();
    assert_eq!(journal.plan().unwrap().operations.len(), 1_400);
}

#[test]
fn a_file_whose_engine_panicked_in_a_pass_is_let_go_of_and_not_written_to_any_more() {
    for is_suspended in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let Hurt { path, journal, .. } = Hurt::at(folder.path().join("a.journal"));
        require_corrupted(journal.reclaim().map(drop));
        assert!(!matches!(verify(&path), Err(Error::Locked { .. })));
        let left = std::fs::read(&path).unwrap();
        if is_suspended {
            assert!(matches!(journal.suspend(), Err(Error::Failed)));
        }
        drop(journal);
        assert!(std::fs::read(&path).unwrap() == left);
    }
}

/// Threads whose calls panic, and others that open the journal again: nobody throws away what another one opened.
#[test]
fn what_one_thread_resumes_is_not_discarded_by_another_whose_call_panicked() {
    let folder = tempfile::tempdir().unwrap();
    let Hurt { journal, .. } = Hurt::at(folder.path().join("a.journal"));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let refused = journal.plan().unwrap_err();
                    assert!(matches!(refused, Error::Corrupted { .. } | Error::Failed), "{refused}");
                }
            });
            scope.spawn(|| {
                for _ in 0..20 {
                    journal.resume().unwrap();
                    let seen = journal.status().map(drop);
                    assert!(
                        matches!(seen, Ok(()) | Err(Error::Corrupted { .. } | Error::Failed)),
                        "{seen:?}"
                    );
                }
            });
        }
    });
    journal.resume().unwrap();
    assert_eq!(appended(&journal), 1_400);
}
