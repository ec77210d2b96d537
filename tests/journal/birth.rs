//! The moment in which a journal is made: whatever it is cut off by, the file can be made again, and nobody
//! else's file is taken for one.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::path::PathBuf;

use foldlog::Uuid;
use foldlog::algebra::{EntityKey, Operation, State};
use foldlog::journal::{Durability, Error, Journal, Options, verify};
use foldlog::testing::{FaultyStorage, Unsynced};
use tempfile::TempDir;

fn open(storage: &FaultyStorage) -> Result<Journal, Error> {
    Options::new().on(storage.clone())
}

fn create(number: u128) -> Operation {
    let key = EntityKey::new("notes".parse().unwrap(), Uuid::from_u128(number)).unwrap();
    Operation::create(key, State::empty())
}

/// What is left of the file after a crash at each moment of making a journal.
fn cut_off() -> impl Iterator<Item = FaultyStorage> {
    let storage = FaultyStorage::new();
    storage.record();
    drop(open(&storage).unwrap());
    storage.crashes().flat_map(|crash| {
        let sampled = (0..24).map(|seed| Unsynced::Sampled { seed });
        let modes: Vec<Unsynced> = [Unsynced::Lost, Unsynced::Kept].into_iter().chain(sampled).collect();
        modes.into_iter().map(move |mode| crash.image(mode))
    })
}

fn require_works(journal: &Journal) {
    assert_eq!(journal.status().unwrap().appended, 0);
    journal.append(&[create(1)], Durability::Durable).unwrap();
    assert_eq!(journal.plan().unwrap().operations.len(), 1);
}

fn file(bytes: &[u8]) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.journal");
    std::fs::write(&path, bytes).unwrap();
    (directory, path)
}

#[test]
fn a_journal_whose_making_was_cut_off_can_be_made_again() {
    let (mut images, mut without_magic) = (0, 0);
    for storage in cut_off() {
        let bytes = storage.bytes();
        images += 1;
        without_magic += u64::from(!bytes.is_empty() && !bytes.starts_with(b"redb"));
        require_works(&open(&storage).unwrap());
        let (_directory, path) = file(&bytes);
        require_works(&Journal::create(&path).unwrap());
    }
    println!("{images} images, {without_magic} of them with no magic number yet");
    assert!(without_magic > 10);
}

#[test]
fn opening_one_that_was_never_finished_says_so_and_changes_nothing() {
    let unfinished = cut_off().map(|storage| storage.bytes());
    for bytes in unfinished.filter(|bytes| !bytes.starts_with(b"redb")) {
        let (_directory, path) = file(&bytes);
        for refused in [Journal::open(&path).unwrap_err(), verify(&path).unwrap_err()] {
            let Error::NotAJournal { why, .. } = &refused else { panic!("{refused:?}") };
            assert!(why.contains("empty") || why.contains("never finished"), "{refused}");
        }
        assert!(std::fs::read(&path).unwrap() == bytes);
    }
}

#[test]
fn what_may_be_somebody_elses_is_refused_and_stays() {
    let mut image = vec![0; 1024 * 1024];
    let far_end = image.len() - 1;
    let mut strangers = Vec::new();
    for place in [0, 8, 512, 70_000, far_end] {
        let mut bytes = image.clone();
        bytes[place] = 1;
        strangers.push(bytes);
    }
    // A disk of which only the partition table was written.
    let mut disk = image.clone();
    disk[440..444].copy_from_slice(&[1, 2, 3, 4]);
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    strangers.push(disk);
    // Nothing in it either, but longer than anything that was only begun.
    image.resize(4 * 1024 * 1024 + 1, 0);
    strangers.push(image);
    for bytes in strangers {
        let (_directory, path) = file(&bytes);
        assert!(matches!(Journal::create(&path), Err(Error::NotAJournal { .. })));
        assert!(std::fs::read(&path).unwrap() == bytes);
        let storage = FaultyStorage::from_bytes(&bytes);
        assert!(matches!(open(&storage), Err(Error::NotAJournal { .. })));
        assert!(storage.bytes() == bytes);
    }
}

#[test]
fn many_that_make_the_same_journal_at_once_make_one() {
    for _ in 0..40 {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notes.journal");
        let replicas: Vec<_> = std::thread::scope(|scope| {
            let made = |number| {
                let path = &path;
                scope.spawn(move || {
                    loop {
                        match Journal::create(path) {
                            Ok(journal) => {
                                journal.append(&[create(number)], Durability::Durable).unwrap();
                                break journal.replica();
                            }
                            Err(Error::Locked { .. }) => std::thread::yield_now(),
                            Err(error) => panic!("{error}"),
                        }
                    }
                })
            };
            let threads: Vec<_> = (1..=4).map(made).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(replicas.windows(2).all(|pair| pair[0] == pair[1]), "made twice: {replicas:?}");
        assert_eq!(Journal::open(&path).unwrap().status().unwrap().appended, 4);
    }
}
