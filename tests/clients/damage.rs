//! A replica's file with a bit turned over: nothing that is read of it, and nothing that it does, is wrong without a word.
//!
//! Every bit:
//!
//! ```sh
//! FOLDLOG_BITS_ONE_IN=1 cargo test --release --features testing,workload --test clients -- damage --nocapture
//! ```

use foldlog::algebra::Operation;
use foldlog::authority::MemoryStore;
use foldlog::journal::Durability;
use foldlog::replica::{Error, Replica, Resolution};
use foldlog::sync::{self, Want};
use foldlog::testing::FaultyStorage;

use super::replica::{key, note, opened, options, patch, prepared, try_run};
use super::seen::try_observed;
use crate::bits::{Figures, every_bit, one_in};

/// What asks the indexes, and writes to most tables.
fn use_it(replica: &Replica, store: &mut MemoryStore) -> Result<String, sync::Error> {
    replica.commit(&[Operation::delete(key("folders", 1))], Durability::Durable)?;
    replica.commit(&[note(2, "nine"), patch(key("notes", 10), r#"{"title":"two"}"#)], Durability::Durable)?;
    replica.resolve(&key("folders", 2), &Resolution::Local)?;
    try_run(store, replica, Want::SYNC)?;
    Ok(try_observed(replica)?)
}

fn typed(error: &Error) {
    let is_damage = match error {
        Error::Journal { source } => source.is_damage() || matches!(source, foldlog::journal::Error::Failed),
        other => matches!(other, Error::Damaged { .. }),
    };
    assert!(is_damage && !error.to_string().is_empty(), "{error:?}");
}

/// What is read of it, then what it says of itself, then what becomes of it when it goes on.
fn try_it(bytes: &[u8], before: &str, after: &str, store: &MemoryStore, figures: &mut Figures) {
    let replica =
        match options().on(FaultyStorage::from_bytes(bytes)).map_err(Error::from).and_then(Replica::of) {
            Ok(replica) => replica,
            Err(error) => {
                typed(&error);
                figures.refused += 1;
                return;
            }
        };
    let told = try_observed(&replica).and_then(|seen| Ok((seen, replica.check()?)));
    let checked = match told {
        Err(error) => {
            typed(&error);
            figures.failed += 1;
            return;
        }
        Ok((seen, checked)) => {
            assert_eq!(seen, before, "an answer is wrong, and nobody said so");
            checked
        }
    };
    if !checked.is_empty() {
        figures.failed += 1;
        return;
    }
    match use_it(&replica, &mut store.clone()) {
        Err(sync::Error::Replica { source: error }) => {
            typed(&error);
            figures.failed += 1;
        }
        Err(error) => panic!("{error:?}"),
        Ok(seen) => {
            assert_eq!(seen, after, "it went on wrongly, and nobody said so");
            figures.unharmed += 1;
        }
    }
}

#[test]
fn a_single_bit_of_a_replica_is_an_error_or_changes_nothing() {
    let (storage, store) = prepared();
    // Without the pages that are free.
    opened(&storage).journal().reclaim().unwrap();
    let bytes = storage.bytes();
    let sound = opened(&storage.snapshot());
    let before = try_observed(&sound).unwrap();
    let after = use_it(&sound, &mut store.clone()).unwrap();
    assert_ne!(before, after);
    let one_in = one_in(499);
    let figures =
        every_bit(&bytes, one_in, |damaged, figures| try_it(damaged, &before, &after, &store, figures));
    println!("{} bytes, one bit in {one_in}: {figures:?}", bytes.len());
    assert!(figures.refused > 0 && figures.failed > 0 && figures.unharmed > 0);
}

/// A file is a replica's where it has a replica's record, and one is made where there is none.
#[test]
fn a_replicas_record_under_a_damaged_name_is_no_missing_one() {
    const NAME: &[u8] = b"replica";
    let storage = prepared().0;
    opened(&storage).journal().reclaim().unwrap();
    let bytes = storage.bytes();
    let places: Vec<usize> =
        bytes.windows(NAME.len()).enumerate().filter(|(_, found)| *found == NAME).map(|(at, _)| at).collect();
    let mut mended = 0;
    for place in places {
        let mut damaged = bytes.clone();
        damaged[place] ^= 2;
        let storage = FaultyStorage::from_bytes(&damaged);
        let journal = options().on(storage).unwrap();
        assert!(journal.is_of_replica(), "byte {place}");
        if let Err(error) = Replica::of(journal.clone()) {
            typed(&error);
            assert_eq!(journal.mend().unwrap(), 1);
            let replica = Replica::of(journal).unwrap();
            assert!(replica.standing().unwrap().is_fetching_all);
            assert_eq!(replica.check().unwrap(), [""; 0]);
            mended += 1;
        }
    }
    assert_eq!(mended, 1);
}

/// Nobody finds the row by the key that it had, nor by the one that it has.
#[test]
fn a_row_whose_damaged_key_belongs_elsewhere_is_said_to_be_damaged() {
    const KEY: &[u8] = b"folders\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01folders";
    let storage = prepared().0;
    opened(&storage).journal().reclaim().unwrap();
    let mut bytes = storage.bytes();
    let place = bytes.windows(KEY.len()).position(|found| found == KEY).unwrap();
    bytes[place] ^= 8;
    let replica = opened(&FaultyStorage::from_bytes(&bytes));
    typed(&replica.known().unwrap_err());
    typed(&replica.check().unwrap_err());
}
