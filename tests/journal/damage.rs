//! Damaged journals: flipped bits, truncation, garbage. Every call ends in a typed error or a right answer, none
//! panics, and verifying finds what is damaged without changing a byte.
//!
//! Every bit of a small journal, and every length of it:
//!
//! ```sh
//! FOLDLOG_BITS_ONE_IN=1 FOLDLOG_LENGTHS_ONE_IN=1 cargo test --release --features testing,workload --test journal -- damage --nocapture
//! ```
#![expect(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test that panics has failed")]

use crate::bits::{Figures, every_bit, one_in};
use crate::prepared::{key, observed, open, patch, prepared, state};
use foldlog::algebra::{Epoch, Limits, Operation, Row};
use foldlog::journal::{Durability, Error, Journal, Listing, verify};
use foldlog::testing::FaultyStorage;

/// Every call that reads, then every kind that writes.
fn use_it(journal: &Journal) -> Result<(), Error> {
    read_it(journal)?;
    journal.append(&[Operation::patch(key(3), patch(r#"{"z":1}"#))], Durability::Durable)?;
    journal.compact()?;
    journal.seal(Limits::default())?;
    Ok(())
}

fn read_it(journal: &Journal) -> Result<(), Error> {
    journal.plan()?;
    journal.open_bunch()?;
    journal.parked()?;
    journal.held()?;
    journal.superseded()?;
    journal.reads()?;
    journal.status()?;
    for number in 0..100 {
        journal.base(&key(number))?;
    }
    Ok(())
}

fn typed(error: &Error) {
    // No call of the storage failed: whoever is told so looks for another disk.
    let damage = error.is_damage() || matches!(error, Error::Failed);
    assert!(damage && !error.to_string().is_empty(), "{error:?}");
}

fn try_it(bytes: &[u8], before: &str, figures: &mut Figures) {
    let journal = match open(&FaultyStorage::from_bytes(bytes)) {
        Ok(journal) => journal,
        Err(error) => {
            typed(&error);
            figures.refused += 1;
            return;
        }
    };
    // Where nothing is said to be damaged, everything is what it was.
    if let Err(error) = use_it(&journal) {
        typed(&error);
        figures.failed += 1;
        return;
    }
    drop(journal);
    let journal = open(&FaultyStorage::from_bytes(bytes)).unwrap();
    let now = observed(&journal);
    for (now, before) in now.lines().zip(before.lines()).filter(|(now, before)| now != before) {
        let at = now.bytes().zip(before.bytes()).position(|(a, b)| a != b).unwrap_or(0).saturating_sub(60);
        println!("now    {}", now.get(at..).unwrap_or(now).chars().take(200).collect::<String>());
        println!("before {}", before.get(at..).unwrap_or(before).chars().take(200).collect::<String>());
    }
    assert!(now == before, "an answer is wrong, and nobody said so");
    figures.unharmed += 1;
}

#[test]
fn a_flipped_bit_is_an_error_or_changes_nothing() {
    let storage = prepared(true);
    let before = observed(&open(&storage.snapshot()).unwrap());
    let bytes = storage.bytes();
    let mut figures = Figures::default();
    // Every byte of the first page, where the engine's own header is; a sample of all the others.
    let places = (0..512).chain((512..bytes.len()).step_by(331));
    for (number, place) in places.enumerate() {
        let mut damaged = bytes.clone();
        damaged[place] ^= 1 << (number % 8);
        println!("byte {place}");
        try_it(&damaged, &before, &mut figures);
    }
    println!("{figures:?}");
    assert!(figures.refused > 0 && figures.failed > 0 && figures.unharmed > 0);
}

/// A journal of little, with something pending, sealed and known of the authority.
fn small() -> FaultyStorage {
    let storage = FaultyStorage::new();
    let journal = open(&storage).unwrap();
    let row = Row { key: key(3), state: Some(state(r#"{"n":3}"#)), epoch: Some(Epoch(4)) };
    journal.baseline(&[row], Listing::Partial).unwrap();
    let create = |n| Operation::create(key(n), state(&format!(r#"{{"n":{n}}}"#)));
    journal.append(&[create(1), create(2)], Durability::Durable).unwrap();
    journal.seal(Limits::default()).unwrap().unwrap();
    journal.append(&[Operation::patch(key(3), patch(r#"{"n":4}"#)), create(5)], Durability::Durable).unwrap();
    drop(journal);
    storage.snapshot()
}

/// As a killed process leaves it.
fn small_left_open() -> FaultyStorage {
    let storage = small();
    let journal = open(&storage).unwrap();
    journal.append(&[Operation::delete(key(5))], Durability::Durable).unwrap();
    journal.append(&[Operation::patch(key(3), patch(r#"{"n":5}"#))], Durability::Deferred).unwrap();
    journal.flush().unwrap();
    let left = storage.snapshot();
    drop(journal);
    left
}

/// One of them says which of the last two commits counts, and no checksum has it.
#[test]
fn every_bit_of_the_engines_header_is_an_error_or_changes_nothing() {
    const HEADER: usize = 320;
    for storage in [small(), small_left_open()] {
        let before = observed(&open(&storage.snapshot()).unwrap());
        let bytes = storage.bytes();
        let mut figures = Figures::default();
        for bit in 0..HEADER * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            println!("bit {} of byte {}", bit % 8, bit / 8);
            try_it(&damaged, &before, &mut figures);
        }
        println!("{figures:?}");
        assert!(figures.refused > 0 && figures.unharmed > 0);
    }
}

#[test]
fn a_single_bit_of_a_small_journal_is_an_error_or_changes_nothing() {
    let storage = small();
    let before = observed(&open(&storage.snapshot()).unwrap());
    let bytes = storage.bytes();
    let one_in = one_in(61);
    let figures = every_bit(&bytes, one_in, |damaged, figures| try_it(damaged, &before, figures));
    println!("{} bytes, one bit in {one_in}: {figures:?}", bytes.len());
    assert!(figures.refused > 0 && figures.failed > 0 && figures.unharmed > 0);
}

/// A disk that puts a page where another belongs, or does not write one and says that it did.
#[test]
fn pages_that_were_swapped_or_never_written_are_found_or_do_not_matter() {
    const PAGE: usize = 4096;
    let storage = prepared(true);
    let stale = storage.bytes();
    let journal = open(&storage).unwrap();
    use_it(&journal).unwrap();
    let before = observed(&journal);
    drop(journal);
    let bytes = storage.bytes();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.journal");
    let (mut found, mut harmless) = (0, 0);
    let mut check = |damaged: &[u8], what: &str| {
        if damaged == bytes {
            return;
        }
        std::fs::write(&path, damaged).unwrap();
        match verify(&path) {
            Ok(report) if report.findings.is_empty() => {
                assert_eq!(observed(&open(&FaultyStorage::from_bytes(damaged)).unwrap()), before, "{what}");
                harmless += 1;
            }
            Ok(_) => found += 1,
            Err(error) => {
                typed(&error);
                found += 1;
            }
        }
        // Whoever opens it without looking may be told nothing, but it ends well.
        if let Err(error) = open(&FaultyStorage::from_bytes(damaged)).and_then(|journal| use_it(&journal)) {
            typed(&error);
        }
    };
    let pages = bytes.len() / PAGE;
    for page in 0..pages {
        let here = page * PAGE..(page + 1) * PAGE;
        let mut damaged = bytes.clone();
        if let Some(old) = stale.get(here.clone()) {
            damaged[here.clone()].copy_from_slice(old);
            check(&damaged, &format!("page {page} is as it was before"));
        }
        for other in [page + 1, page + 2, page * 7 % pages].into_iter().filter(|other| *other < pages) {
            let mut damaged = bytes.clone();
            damaged.copy_within(other * PAGE..(other + 1) * PAGE, here.start);
            damaged[other * PAGE..(other + 1) * PAGE].copy_from_slice(&bytes[here.clone()]);
            check(&damaged, &format!("pages {page} and {other} are swapped"));
        }
    }
    println!("{pages} pages: {found} found, {harmless} of free pages");
    assert!(found > 50 && harmless > 10);
}

#[test]
fn a_file_cut_short_is_an_error_or_changes_nothing() {
    let storage = prepared(true);
    let before = observed(&open(&storage.snapshot()).unwrap());
    let bytes = storage.bytes();
    let mut figures = Figures::default();
    let pages = (0..bytes.len()).step_by(4096).flat_map(|page| [page, page + 1, page + 2_000]);
    for len in pages.filter(|len| (1..bytes.len()).contains(len)) {
        try_it(&bytes[..len], &before, &mut figures);
    }
    let small = small();
    let before = observed(&open(&small.snapshot()).unwrap());
    let bytes = small.bytes();
    let one_in = std::env::var("FOLDLOG_LENGTHS_ONE_IN").map_or(97, |text| text.parse().unwrap());
    for len in (1..bytes.len()).step_by(one_in) {
        try_it(&bytes[..len], &before, &mut figures);
    }
    println!("{figures:?}");
    assert!(figures.refused > 10);
}

#[test]
fn verifying_names_what_is_damaged_and_never_writes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.journal");
    let bytes = prepared(true).bytes();
    std::fs::write(&path, &bytes).unwrap();
    let sound = verify(&path).unwrap();
    assert_eq!(sound.findings, []);
    assert!(sound.values > 20 && sound.operations > 30 && sound.bytes == bytes.len() as u64, "{sound:?}");
    assert!(std::fs::read(&path).unwrap() == bytes);
    let (mut found, mut refused, mut missed) = (0, 0, 0);
    for (number, place) in (4096..bytes.len()).step_by(1_009).enumerate() {
        let mut damaged = bytes.clone();
        damaged[place] ^= 1 << (number % 8);
        std::fs::write(&path, &damaged).unwrap();
        match verify(&path) {
            Ok(report) if report.findings.is_empty() => missed += 1,
            Ok(report) => {
                assert!(
                    report.findings.iter().all(|found| !found.place.is_empty() && !found.what.is_empty())
                );
                found += 1;
            }
            Err(error) => {
                typed(&error);
                refused += 1;
            }
        }
        assert!(std::fs::read(&path).unwrap() == damaged, "verify wrote");
    }
    // What lies in pages that are free says nothing.
    println!("{found} found, {refused} refused, {missed} in unused bytes");
    assert!(found > 10);
}

/// The engine as it is released panics over a damaged list of free pages, and once more while that unwinds, which
/// ends the process: with this test's, if it were let near a commit.
#[test]
fn a_damaged_list_of_free_pages_ends_no_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.journal");
    let storage = prepared(true);
    let before = observed(&open(&storage.snapshot()).unwrap());
    let bytes = storage.bytes();
    let (mut figures, mut lists) = (Figures::default(), 0);
    // The head of every page, where it says how much is in it and where that ends.
    for place in (4096..bytes.len()).step_by(4096).flat_map(|page| page..page + 8) {
        for mask in [0x01, 0xff] {
            let mut damaged = bytes.clone();
            damaged[place] ^= mask;
            println!("byte {place}, {mask:#x}");
            std::fs::write(&path, &damaged).unwrap();
            match Journal::open(&path).map(|journal| use_it(&journal)) {
                Ok(Ok(())) => figures.unharmed += 1,
                Ok(Err(error)) => {
                    typed(&error);
                    figures.failed += 1;
                }
                Err(error) => {
                    typed(&error);
                    figures.refused += 1;
                    if error.to_string().contains("lists of its pages") {
                        lists += 1;
                        let now = std::fs::read(&path).unwrap();
                        assert!(now[4096..] == damaged[4096..], "what is refused is not written to");
                    }
                }
            }
            try_it(&damaged, &before, &mut Figures::default());
        }
    }
    println!("{figures:?}, {lists} of the refused for the engine's lists");
    assert!(lists > 8 && figures.failed > 0 && figures.unharmed > 0);
}

#[test]
fn garbage_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("garbage");
    for (number, len) in [1_usize, 100, 4095, 4096, 70_000].into_iter().enumerate() {
        let garbage: Vec<u8> = (0..len).map(|place| (place * 31 + number * 7) as u8).collect();
        std::fs::write(&path, &garbage).unwrap();
        for refused in
            [Journal::open(&path).map(drop), Journal::create(&path).map(drop), verify(&path).map(drop)]
        {
            let error = refused.unwrap_err();
            assert!(matches!(error, Error::NotAJournal { .. }), "{error:?}");
        }
        assert!(std::fs::read(&path).unwrap() == garbage);
    }
}
