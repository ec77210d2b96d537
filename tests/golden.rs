//! Golden files: what a released format wrote is read for ever, to the letter.
//!
//! `tests/data/golden/v1.journal` was written by the first release's format with everything in it, and
//! `v1.expected` is what was seen of it then. They are never written again: a new format gets files of its
//! own. To make those, run `cargo test --all-features --test golden -- --ignored` with the new names.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod prepared;

use std::path::{Path, PathBuf};

use foldlog::journal::{Error, Journal, verify};
use foldlog::testing::FaultyStorage;
use prepared::{observed, open, prepared};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/golden").join(name)
}

#[test]
fn version_1_is_read_to_the_letter() {
    let bytes = std::fs::read(golden("v1.journal")).unwrap();
    let expected = std::fs::read_to_string(golden("v1.expected")).unwrap();
    let journal = open(&FaultyStorage::from_bytes(&bytes)).unwrap();
    assert_eq!(observed(&journal), expected);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v1.journal");
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(verify(&path).unwrap().findings, []);
    let journal = Journal::open(&path).unwrap();
    journal.compact().unwrap();
    drop(journal);
    assert_eq!(verify(&path).unwrap().findings, []);
}

/// The same journal as it would be with a state of format 2 and a checksum that agrees.
#[test]
fn a_newer_format_is_refused_by_name() {
    let bytes = std::fs::read(golden("newer.journal")).unwrap();
    let error = open(&FaultyStorage::from_bytes(&bytes)).unwrap_err();
    assert!(matches!(error, Error::Newer { .. }), "{error:?}");
    let said = error.to_string();
    assert!(said.contains("format version 2 is newer than 1") && said.contains("update foldlog"), "{said}");
}

#[test]
#[ignore = "writes golden files, once for each format"]
fn write() {
    let storage = prepared(true);
    let journal = open(&storage.snapshot()).unwrap();
    std::fs::create_dir_all(golden("")).unwrap();
    let path = golden("v1.journal");
    assert!(!path.exists(), "golden files are never written again");
    std::fs::write(path, storage.bytes()).unwrap();
    std::fs::write(golden("v1.expected"), observed(&journal)).unwrap();
}

/// Makes version 1 look newer, by hand: no program writes version 2 yet.
#[test]
#[ignore = "writes golden files, once for each format"]
fn write_newer() {
    use redb::ReadableTable;
    const META: redb::TableDefinition<'_, &[u8], &[u8]> = redb::TableDefinition::new("meta");
    let path = golden("newer.journal");
    assert!(!path.exists(), "golden files are never written again");
    let journal = Journal::create(&path).unwrap();
    drop(journal);
    let db = redb::Database::open(&path).unwrap();
    let txn = db.begin_write().unwrap();
    {
        let mut meta = txn.open_table(META).unwrap();
        let mut state = meta.get(&b"state"[..]).unwrap().unwrap().value().to_vec();
        state[3] = 2;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&state[24..]).update(&state[..8]).update(b"state");
        state[8..24].copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        meta.insert(&b"state"[..], &state[..]).unwrap();
    }
    txn.commit().unwrap();
}
