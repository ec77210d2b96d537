//! Damage: a value whose bits were turned is an error that names it; whatever else was turned ends in no panic.

use std::path::Path;

use foldlog::algebra::{Ask, EntityKey};
use foldlog::authority::{Authority, Error, FileAuthority};
use foldlog::testing::FaultyStorage;
use redb::{ReadableDatabase, ReadableTable};

use crate::asking::{
    NOW, Rows, TABLES, accepted, account, all_changes, all_triggers, bunches, by_hand, create, deliver, key,
    opened, patch, schema,
};

/// What is said to everything that can be asked, by its number.
fn answers(authority: &FileAuthority) -> Vec<Result<String, Error>> {
    let keys: Vec<EntityKey> = (1..7).flat_map(|n| [key("folders", n), key("notes", n)]).collect();
    let reads = |key: &EntityKey| Ask::Reads { keys: vec![key.clone()] };
    let mut asks: Vec<(&str, Ask)> = Vec::new();
    for of in ["anna", "ben"] {
        asks.extend(keys.iter().map(|key| (of, reads(key))));
        let rest = [all_changes(), all_triggers(), Ask::LiveSets { generation: None }];
        asks.extend(rest.into_iter().map(|ask| (of, ask)));
    }
    let asked = asks.iter().map(|(of, ask)| authority.answer(&account(of), NOW, ask));
    let delivered =
        bunches().into_iter().map(|(of, ask)| authority.answer(&of, NOW, &ask)).collect::<Vec<_>>();
    asked.chain(delivered).map(|answer| answer.map(|answer| format!("{answer:?}"))).collect()
}

fn prepared() -> FaultyStorage {
    let storage = FaultyStorage::new();
    let authority = opened(&storage).unwrap();
    for (of, ask) in bunches() {
        authority.answer(&of, NOW, &ask).unwrap();
    }
    drop(authority);
    storage
}

/// Every row of a table.
fn rows(path: &Path, table: Rows) -> Vec<(Vec<u8>, Vec<u8>)> {
    let db = by_hand(path);
    let table = db.begin_read().unwrap().open_table(table).unwrap();
    let rows = table.iter().unwrap().map(|row| row.unwrap());
    rows.map(|(key, value)| (key.value().to_vec(), value.value().to_vec())).collect()
}

fn put(path: &Path, table: Rows, key: &[u8], value: &[u8]) {
    let db = by_hand(path);
    let txn = db.begin_write().unwrap();
    txn.open_table(table).unwrap().insert(key, value).unwrap();
    txn.commit().unwrap();
}

#[test]
fn a_value_with_a_turned_bit_is_an_error_that_names_it_and_never_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    let (sound, path) = (folder.path().join("sound"), folder.path().join("damaged"));
    std::fs::write(&sound, prepared().bytes()).unwrap();
    let expected: Vec<String> = {
        let authority = FileAuthority::open(&sound, schema()).unwrap();
        answers(&authority).into_iter().map(Result::unwrap).collect()
    };
    let (mut values, mut named) = (0, 0);
    for table in TABLES.into_iter().chain([Rows::new("authority")]) {
        for (number, (place, value)) in rows(&sound, table).into_iter().enumerate() {
            if value.is_empty() {
                continue;
            }
            values += 1;
            let mut damaged = value;
            // The head of the frame, and what is in it.
            let bit = if number % 4 == 3 { number % 192 } else { damaged.len() * 8 - 1 - number };
            damaged[bit / 8] ^= 1 << (bit % 8);
            std::fs::copy(&sound, &path).unwrap();
            put(&path, table, &place, &damaged);
            let found = match FileAuthority::open(&path, schema()) {
                Ok(authority) => answers(&authority),
                Err(error) => vec![Err(error)],
            };
            let mut is_named = false;
            for (found, expected) in found.iter().zip(&expected) {
                match found {
                    Ok(found) => assert_eq!(found, expected, "a wrong answer"),
                    Err(Error::Damaged { what, .. }) => is_named |= !what.is_empty(),
                    Err(other) => panic!("{other:?}"),
                }
            }
            assert!(is_named, "{place:?} of {table} is damaged, and nobody says so");
            named += 1;
        }
    }
    println!("{named} of {values} values");
    assert!(values > 20);
}

#[test]
fn a_file_with_a_turned_bit_ends_in_no_panic() {
    let storage = prepared();
    let bytes = storage.bytes();
    let (mut refused, mut failed, mut answered) = (0, 0, 0);
    for place in
        (0..512).step_by(13).chain((512..bytes.len()).step_by(4_093)).chain((4096..bytes.len()).step_by(4096))
    {
        let mut damaged = bytes.clone();
        damaged[place] ^= 1 << (place % 8);
        match opened(&FaultyStorage::from_bytes(&damaged)) {
            Err(error) => {
                assert!(!error.to_string().is_empty());
                refused += 1;
            }
            Ok(authority) if answers(&authority).iter().any(Result::is_err) => failed += 1,
            Ok(_) => answered += 1,
        }
    }
    println!("{refused} refused, {failed} failed, {answered} answered");
    assert!(refused > 0 && failed > 0 && answered > 0);
}

#[test]
fn a_damaged_list_of_epochs_that_were_left_stops_no_writer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("authority.redb");
    let anna = account("anna");
    let all = |number: u64| -> Vec<_> {
        let change = |n| match number {
            1 => create("folders", n, "{}"),
            _ => patch("folders", n, &format!(r#"{{"round":{number}}}"#)),
        };
        (1..=300).map(change).collect()
    };
    let authority = FileAuthority::create(&path, schema()).unwrap();
    // 4,800 of the 5,000 that are listed at most.
    for number in 1..=17 {
        assert!(accepted(&deliver(&authority, &anna, number, &all(number))));
    }
    drop(authority);
    let (place, mut value) = rows(&path, Rows::new("left")).swap_remove(3);
    *value.last_mut().unwrap() ^= 1;
    put(&path, Rows::new("left"), &place, &value);
    let authority = FileAuthority::open(&path, schema()).unwrap();
    for number in 18..=20 {
        assert!(accepted(&deliver(&authority, &anna, number, &all(number))));
    }
    let read = authority.answer(&anna, NOW, &all_changes());
    assert!(matches!(&read, Err(Error::Damaged { what, .. }) if what.contains("epochs left")), "{read:?}");
}
