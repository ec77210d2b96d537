//! Files that cannot be opened, and what is said of each.

use foldlog::authority::{Error, FileAuthority};
use foldlog::journal::{self, Journal};
use foldlog::testing::{FaultyStorage, Unsynced};
use redb::{ReadableDatabase, TableDefinition};

use crate::asking::{NOW, Rows, bunches, by_hand, opened, schema};
use foldlog::authority::Authority;

fn refused(path: &std::path::Path) -> [Error; 2] {
    [FileAuthority::open(path, schema()).unwrap_err(), FileAuthority::create(path, schema()).unwrap_err()]
}

#[test]
fn a_file_that_is_missing_in_use_or_something_else_is_named_as_that() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("authority.redb");
    assert!(matches!(FileAuthority::open(&path, schema()), Err(Error::Missing { .. })));
    let authority = FileAuthority::create(&path, schema()).unwrap();
    for error in refused(&path) {
        assert!(matches!(error, Error::InUse { .. }), "{error:?}");
    }
    drop(authority);
    drop(FileAuthority::create(&path, schema()).unwrap());
    assert!(matches!(Journal::open(&path), Err(journal::Error::NotAJournal { .. })));

    let path = folder.path().join("a.journal");
    drop(Journal::create(&path).unwrap());
    for error in refused(&path) {
        assert!(error.to_string().contains("a journal or a replica"), "{error}");
    }
    drop(Journal::open(&path).unwrap());

    let path = folder.path().join("other.redb");
    let db = redb::Database::create(&path).unwrap();
    let txn = db.begin_write().unwrap();
    txn.open_table(TableDefinition::<u64, u64>::new("theirs")).unwrap();
    txn.commit().unwrap();
    drop(db);
    for error in refused(&path) {
        assert!(error.to_string().contains("another program"), "{error}");
    }

    let path = folder.path().join("garbage");
    std::fs::write(&path, [7; 5_000]).unwrap();
    for error in refused(&path) {
        assert!(matches!(error, Error::NotAnAuthority { .. }), "{error:?}");
    }
    for error in refused(folder.path()) {
        assert!(matches!(error, Error::Store { .. }), "{error:?}");
    }
    let path = folder.path().join("nowhere").join("authority.redb");
    let error = FileAuthority::create(&path, schema()).unwrap_err().to_string();
    assert!(error.contains("nowhere") && error.contains("folder"), "{error}");
}

#[test]
fn what_a_newer_program_wrote_is_refused_as_that() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("authority.redb");
    drop(FileAuthority::create(&path, schema()).unwrap());
    let table = Rows::new("authority");
    let place = b"identity".as_slice();
    let db = by_hand(&path);
    let mut value =
        db.begin_read().unwrap().open_table(table).unwrap().get(place).unwrap().unwrap().value().to_vec();
    value[3] += 1;
    let mut hasher = blake3::Hasher::new();
    hasher.update(&value[24..]);
    hasher.update(&value[..8]);
    hasher.update(place);
    hasher.finalize_xof().fill(&mut value[8..24]);
    let txn = db.begin_write().unwrap();
    txn.open_table(table).unwrap().insert(place, value.as_slice()).unwrap();
    txn.commit().unwrap();
    drop(db);
    for error in refused(&path) {
        assert!(matches!(error, Error::Newer { .. }), "{error:?}");
    }
}

#[test]
fn an_authority_whose_making_was_cut_off_can_be_made_again() {
    let storage = FaultyStorage::new();
    storage.record();
    drop(opened(&storage).unwrap());
    let mut images = 0;
    for crash in storage.crashes() {
        let sampled = (0..4).map(|seed| Unsynced::Sampled { seed });
        for mode in [Unsynced::Lost, Unsynced::Kept].into_iter().chain(sampled) {
            images += 1;
            let authority = opened(&crash.image(mode)).unwrap();
            let (of, ask) = bunches().remove(0);
            authority.answer(&of, NOW, &ask).unwrap();
        }
    }
    assert!(images > 30);
}
