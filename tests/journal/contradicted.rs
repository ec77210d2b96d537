//! Journals whose pages are sound, and whose values are gone, unknown, or say what cannot be: nothing of that is passed
//! over, and nothing else waits for it.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics has failed")]

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::engine::{
    INBOX, LOG_ROWS, RUN_ROWS, at_first_key, at_number, changed, keyed, newer, numbers, place_of_rows,
    resealed,
};
use crate::prepared::{key, options, patch, prepared, state, trigger};
use foldlog::algebra::{
    Base, Change, Content, EntityKey, Epoch, Index, Limits, Operation, Outcome, Outcomes, Resulting, Row, Seq,
};
use foldlog::journal::{Durability, Error, Journal, Judged, Listing, LostName, salvage, verify};
use foldlog::testing::FaultyStorage;
use redb::{ReadableTable, TableHandle};

type Numbered = redb::TableDefinition<'static, u64, &'static [u8]>;

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Place { folder: tempfile::tempdir().unwrap() }
    }

    fn of(storage: &FaultyStorage) -> Self {
        let place = Place::new();
        std::fs::write(place.journal(), storage.bytes()).unwrap();
        place
    }

    fn journal(&self) -> PathBuf {
        self.folder.path().join("journal")
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        self.folder.path().join(format!("journal.{suffix}"))
    }

    fn open(&self) -> Journal {
        options().open(self.journal()).unwrap()
    }

    fn files(&self) -> usize {
        std::fs::read_dir(self.folder.path()).unwrap().count()
    }
}

fn create(number: u64) -> Operation {
    Operation::create(key(number), state(&format!(r#"{{"n":{number}}}"#)))
}

fn append(journal: &Journal, operations: &[Operation]) {
    journal.append(operations, Durability::Durable).unwrap();
}

fn planned(journal: &Journal) -> Vec<EntityKey> {
    journal.plan().unwrap().operations.into_iter().map(|planned| planned.operation.key).collect()
}

/// Every operation that was appended is somewhere.
fn require_accounted(journal: &Journal, case: &str) {
    let status = journal.status().unwrap();
    let counts = [status.pending, status.held, status.sealed, status.parked];
    let known: u64 = counts.iter().map(|count| count.operations).sum::<u64>() + status.settled;
    assert_eq!(known + status.set_aside, status.appended, "{case}: {status:?}");
}

/// It may be the record by which the file is a replica's.
#[test]
fn a_record_that_nobody_knows_is_set_aside_before_anybody_writes_to_the_file() {
    let place = Place::new();
    let journal = options().create(place.journal()).unwrap();
    journal.receive(&[trigger(1, 1, 9)]).unwrap();
    append(&journal, &[create(2)]);
    drop(journal);
    changed(&place.journal(), |txn| {
        txn.open_table(keyed("meta")).unwrap().insert(&b"replicb"[..], &b"somebody's"[..]).unwrap();
    });
    at_number(&place.journal(), INBOX, 1, |value| *value.last_mut().unwrap() ^= 1);
    let account = salvage(place.journal(), place.beside("new"), LostName::Refused).unwrap();
    assert!(account.unreadable.iter().any(|found| found.place.contains("replicb")), "{account:?}");
    let journal = place.open();
    assert!(journal.is_of_replica());
    assert!(matches!(journal.reads(), Err(Error::Damaged { .. })));
    assert!(matches!(journal.append(&[create(3)], Durability::Durable), Err(Error::OfReplica)));
    assert_eq!(journal.mend().unwrap(), 2);
    assert!(journal.set_aside().unwrap().iter().any(|aside| aside.place.contains("replicb")));
    drop(journal);
    for file in [place.journal(), place.beside("new")] {
        let journal = options().open(file).unwrap();
        assert!(!journal.is_of_replica());
        append(&journal, &[create(3)]);
        assert_eq!(planned(&journal), [2, 3].map(key));
        assert_eq!(journal.reads().unwrap().heard.cursor, Index(0), "it is asked for again");
    }
}

#[test]
fn entries_that_are_gone_without_a_trace_are_told_of() {
    let place = Place::new();
    let journal = options().create(place.journal()).unwrap();
    append(&journal, &(1..=40).map(create).collect::<Vec<_>>());
    journal.compact().unwrap();
    append(&journal, &[create(41)]);
    drop(journal);
    let [first] = numbers(&place.journal(), RUN_ROWS)[..] else { panic!("one value is enough") };
    changed(&place.journal(), |txn| {
        assert!(txn.open_table(RUN_ROWS).unwrap().remove(first).unwrap().is_some());
    });
    let journal = place.open();
    assert_eq!(journal.mend().unwrap(), 1);
    let [aside] = &journal.set_aside().unwrap()[..] else { panic!("one thing is told") };
    assert_eq!(
        (aside.place.as_str(), aside.why.as_str()),
        ("the log and the compacted run", "entries are missing, or do not agree")
    );
    assert_eq!(planned(&journal), [key(41)]);
    assert_eq!(journal.status().unwrap().set_aside, 40);
    require_accounted(&journal, "40 gone");
    drop(journal);
    assert_eq!(verify(place.journal()).unwrap().findings, []);
}

#[test]
fn what_a_newer_program_wrote_is_neither_set_aside_nor_left_behind() {
    let place = Place::of(&prepared(false));
    let new = place.beside("new");
    let refused_by_salvage = |case: &str| {
        let refused = salvage(place.journal(), &new, LostName::Refused).unwrap_err();
        assert!(matches!(refused, Error::Newer { .. }), "{case}: {refused}");
        assert_eq!(place.files(), 1, "{case}");
    };
    at_first_key(&place.journal(), "parked", |at, value| newer(at, value));
    let journal = place.open();
    let refused = journal.mend().unwrap_err();
    assert!(matches!(refused, Error::Newer { .. }), "{refused}");
    assert_eq!(journal.set_aside().unwrap(), []);
    drop(journal);
    refused_by_salvage("what is parked");
    let mut bytes = std::fs::read(place.journal()).unwrap();
    bytes[..4096].fill(0);
    std::fs::write(place.journal(), &bytes).unwrap();
    refused_by_salvage("what is parked, without a header");
    // In the log it is met with at once.
    std::fs::write(place.journal(), prepared(false).bytes()).unwrap();
    let last = *numbers(&place.journal(), LOG_ROWS).last().unwrap();
    at_number(&place.journal(), LOG_ROWS, last, |value| newer(&place_of_rows(b'l', last), value));
    let refused = options().open(place.journal()).unwrap_err();
    assert!(matches!(refused, Error::Newer { .. }), "{refused}");
    refused_by_salvage("the log");
    std::fs::write(place.journal(), std::fs::read("tests/data/golden/newer.journal").unwrap()).unwrap();
    refused_by_salvage("the whole");
}

/// Creates behind three deletes each: many values of rows, and few pieces of payload.
fn long(number: u64) -> Operation {
    if number.is_multiple_of(4) { create(number) } else { Operation::delete(key(number)) }
}

#[test]
fn wherever_several_values_of_a_long_list_are_gone_each_entry_that_is_left_has_its_own_fields() {
    for (rows, payload) in [(LOG_ROWS, "log_payload"), (RUN_ROWS, "run_payload")] {
        some_gone(rows, redb::TableDefinition::new(payload));
    }
}

fn some_gone(rows: Numbered, payload: Numbered) {
    let whole = Place::new();
    let journal = options().create(whole.journal()).unwrap();
    append(&journal, &(1..=16_000).map(long).collect::<Vec<_>>());
    append(&journal, &[create(16_001)]);
    if rows.name() == RUN_ROWS.name() {
        journal.compact().unwrap();
    }
    drop(journal);
    let bytes = std::fs::read(whole.journal()).unwrap();
    let values = numbers(&whole.journal(), rows);
    assert!(values.len() >= 5, "{values:?}");
    let is_gone = [0, values.len() - 2, values.len() - 1, 2];
    let mut with_fields = 0;
    for (damaged, removed) in
        [(0b1, 0), (0b11, 0), (0b101, 0), (0b1, 0b10), (0b1, 0b100), (0b1, 0b1000), (0, 0b1001)]
    {
        for has_payload in [true, false] {
            let case = format!("damaged {damaged:b}, removed {removed:b}, payload: {has_payload}");
            let place = Place::new();
            std::fs::write(place.journal(), &bytes).unwrap();
            for (bit, value) in is_gone.into_iter().enumerate() {
                let first = values[value];
                if damaged & 1 << bit != 0 {
                    at_number(&place.journal(), rows, first, |value| *value.last_mut().unwrap() ^= 1);
                }
                if removed & 1 << bit != 0 {
                    changed(&place.journal(), |txn| {
                        drop(txn.open_table(rows).unwrap().remove(first).unwrap())
                    });
                }
            }
            if !has_payload {
                let last = *numbers(&place.journal(), payload).last().unwrap();
                at_number(&place.journal(), payload, last, |value| *value.last_mut().unwrap() ^= 1);
            }
            let journal = place.open();
            assert!(journal.mend().unwrap() > 0, "{case}");
            for planned in journal.plan().unwrap().operations {
                let own = match planned.first {
                    Seq(16_001) => create(16_001),
                    Seq(number) => long(number),
                };
                assert_eq!(
                    (&planned.operation.key, &planned.operation.change),
                    (&own.key, &own.change),
                    "{case}"
                );
                with_fields += u64::from(own.change != Change::Delete);
            }
            require_accounted(&journal, &case);
            drop(journal);
            assert_eq!(verify(place.journal()).unwrap().findings, [], "{case}");
        }
    }
    println!("{with_fields} entries had fields");
    assert!(with_fields > 2_000);
}

/// The first is damaged in its place, and of the last one nothing is left but what came with it: a page of payload that is
/// both of entries that are left and of such that are not.
#[test]
fn where_the_end_of_a_list_lies_on_a_page_that_is_gone_each_entry_before_it_has_its_own_fields_or_none() {
    let wide = |number: u64| {
        let text = "x".repeat(20);
        Operation::create(key(number), state(&format!(r#"{{"n":{number},"t":"{text}"}}"#)))
    };
    let place = Place::new();
    let journal = options().create(place.journal()).unwrap();
    append(&journal, &(1..=16_000).map(|n| if n % 4 == 0 { wide(n) } else { long(n) }).collect::<Vec<_>>());
    drop(journal);
    let values = numbers(&place.journal(), LOG_ROWS);
    let [.., damaged, _, last] = values[..] else { panic!("{values:?}") };
    at_number(&place.journal(), LOG_ROWS, damaged, |value| *value.last_mut().unwrap() ^= 1);
    let mut value = Vec::new();
    at_number(&place.journal(), LOG_ROWS, last, |bytes| value.extend_from_slice(bytes));
    let mut bytes = std::fs::read(place.journal()).unwrap();
    let lies: Vec<usize> =
        (0..bytes.len() - value.len()).filter(|at| bytes[*at..].starts_with(&value)).collect();
    assert!(!lies.is_empty());
    for at in lies {
        bytes[at / 4096 * 4096..at + value.len()].fill(0);
    }
    std::fs::write(place.journal(), &bytes).unwrap();
    let account = salvage(place.journal(), place.beside("new"), LostName::Refused).unwrap();
    let journal = options().open(place.beside("new")).unwrap();
    let operations = journal.plan().unwrap().operations;
    assert!(operations.len() > 6_000, "{account:?}");
    for planned in operations.into_iter().filter(|planned| planned.operation.change != Change::Delete) {
        let own = wide(planned.first.0);
        assert_eq!((planned.operation.key, planned.operation.change), (own.key, own.change), "{account:?}");
    }
}

fn typed(error: &Error, case: &str) {
    assert!(error.is_damage(), "{case}: {error:?}");
}

#[test]
fn whatever_rows_say_whose_checksum_agrees_is_read_or_refused_by_name() {
    let place = Place::new();
    let journal = options().create(place.journal()).unwrap();
    append(&journal, &(1..=40).map(create).collect::<Vec<_>>());
    journal.compact().unwrap();
    let limits = Limits { operations: 1, ..Limits::default() };
    let bunch = journal.seal(limits).unwrap().unwrap();
    let outcomes =
        vec![Outcome::Accepted { epoch: Some(Epoch(5)), result: Resulting::AsSent, overwrote: None }];
    journal.settle(&Outcomes { bunch: bunch.number, outcomes }).unwrap();
    append(&journal, &[Operation::delete(key(50))]);
    drop(journal);
    let bytes = std::fs::read(place.journal()).unwrap();
    let (mut unnamed, mut refused, mut read) = (0, 0, 0);
    for (table, list) in [(LOG_ROWS, b'l'), (RUN_ROWS, b'r')] {
        // Of the run only the newest level, which says that what is older is done with: it is small.
        let first = *numbers(&place.journal(), table).last().unwrap();
        let mut sound = Vec::new();
        at_number(&place.journal(), table, first, |value| sound.clone_from(value));
        assert!(sound.len() < 400, "{}", sound.len());
        let copies: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(&sound)).collect();
        assert!(!copies.is_empty());
        for bit in 0..(sound.len() - 24) * 8 {
            let case = format!("bit {bit} of the value at {first}");
            let mut value = sound.clone();
            value[24 + bit / 8] ^= 1 << (bit % 8);
            resealed(&place_of_rows(list, first), &mut value);
            let mut damaged = bytes.clone();
            for at in &copies {
                damaged[*at..*at + value.len()].copy_from_slice(&value);
            }
            let journal = match options().on(FaultyStorage::from_bytes(&damaged)) {
                Ok(journal) => journal,
                Err(error) => {
                    typed(&error, &case);
                    continue;
                }
            };
            match journal.log(Seq(0), 100) {
                Ok(log) => read += log.operations.len(),
                Err(error) => {
                    typed(&error, &case);
                    refused += 1;
                    unnamed += u64::from(error.to_string().contains("names no collection"));
                }
            }
            match journal.mend() {
                Ok(_) => drop(journal.plan().map_err(|error| typed(&error, &case))),
                Err(error) => typed(&error, &case),
            }
        }
    }
    println!("{read} read, {refused} refused, {unnamed} for a collection that has no name");
    assert!(read > 0 && unnamed > 0);
}

#[test]
fn to_what_is_parked_again_nothing_is_added_that_was_sent_since() {
    let place = Place::new();
    let journal = options().create(place.journal()).unwrap();
    let settled = |journal: &Journal, outcome: Outcome| {
        let bunch = journal.seal(Limits { operations: 1, ..Limits::default() }).unwrap().unwrap();
        assert_eq!(bunch.operations[0].operation.key, key(1));
        journal.settle(&Outcomes { bunch: bunch.number, outcomes: vec![outcome] }).unwrap();
    };
    append(&journal, &[create(1)]);
    settled(&journal, Outcome::Refused { reason: "no".to_owned() });
    drop(journal);
    let mut old = Vec::new();
    let at = at_first_key(&place.journal(), "parked", |_, value| old.clone_from(value));
    let journal = place.open();
    append(&journal, &[Operation::patch(key(1), patch(r#"{"edited":1}"#))]);
    // With many others in one level; what says that it is done with stands in a level of its own.
    append(&journal, &(2..=40).map(create).collect::<Vec<_>>());
    journal.compact().unwrap();
    settled(&journal, Outcome::Accepted { epoch: None, result: Resulting::AsSent, overwrote: None });
    append(&journal, &[create(50)]);
    drop(journal);
    // As it was found again by a salvage.
    changed(&place.journal(), |txn| {
        txn.open_table(keyed("parked")).unwrap().insert(at.as_slice(), old.as_slice()).unwrap();
    });
    let last = *numbers(&place.journal(), LOG_ROWS).last().unwrap();
    at_number(&place.journal(), LOG_ROWS, last, |value| *value.last_mut().unwrap() ^= 1);
    let journal = place.open();
    assert_eq!(journal.mend().unwrap(), 1);
    let [parked] = &journal.parked().unwrap()[..] else { panic!("one is parked") };
    assert_eq!(parked.effect.content, Content::Replace(state(r#"{"n":1}"#)));
    assert_eq!(planned(&journal), (2..=40).map(key).collect::<Vec<_>>());
}

#[test]
fn where_no_new_file_can_be_made_mending_says_so_and_the_journal_goes_on() {
    let place = Place::new();
    let journal = options().create(place.journal()).unwrap();
    append(&journal, &[create(1)]);
    append(&journal, &[create(2)]);
    drop(journal);
    at_number(&place.journal(), LOG_ROWS, 1, |value| *value.last_mut().unwrap() ^= 1);
    std::fs::create_dir(place.beside("mending")).unwrap();
    let journal = place.open();
    let refused = journal.mend().unwrap_err();
    assert!(matches!(&refused, Error::Io { doing, .. } if doing.contains("cannot be mended")), "{refused}");
    append(&journal, &[create(3)]);
    std::fs::remove_dir(place.beside("mending")).unwrap();
    assert_eq!(journal.mend().unwrap(), 1);
    assert_eq!(planned(&journal), [2, 3].map(key));
}

#[test]
fn a_file_that_is_cut_off_under_a_journal_is_not_mended_and_nothing_takes_its_place() {
    let place = Place::new();
    let journal = options().cache_bytes(0).create(place.journal()).unwrap();
    for number in 0..200 {
        append(
            &journal,
            &[Operation::create(key(number), state(&format!(r#"{{"t":"{}"}}"#, "x".repeat(900))))],
        );
    }
    let bytes = std::fs::read(place.journal()).unwrap();
    let file = std::fs::File::options().write(true).open(place.journal()).unwrap();
    file.set_len(4096).unwrap();
    let refused = journal.mend().unwrap_err();
    assert!(
        matches!(refused, Error::Io { .. } | Error::Corrupted { .. } | Error::NotAJournal { .. }),
        "{refused:?}"
    );
    // From then on this handle takes nothing.
    let refused = journal.append(&[create(900)], Durability::Durable).unwrap_err();
    assert!(matches!(refused, Error::Failed), "{refused:?}");
    assert!(matches!(journal.mend().unwrap_err(), Error::Failed));
    drop(journal);
    assert_eq!(place.files(), 1, "nothing is left over");
    std::fs::write(place.journal(), &bytes).unwrap();
    assert_eq!(planned(&place.open()).len(), 200);
}

#[test]
fn of_values_about_the_same_numbers_nothing_is_sent_and_each_entity_is_parked_once() {
    let place = Place::new();
    let journal = options().create(place.journal()).unwrap();
    append(&journal, &(0..10).map(create).collect::<Vec<_>>());
    append(&journal, &[create(10), create(11)]);
    append(&journal, &[create(12)]);
    drop(journal);
    // Two operations as of another time, in the midst of ten.
    changed(&place.journal(), |txn| {
        let mut log = txn.open_table(LOG_ROWS).unwrap();
        let mut value = log.get(11).unwrap().unwrap().value().to_owned();
        resealed(&place_of_rows(b'l', 5), &mut value);
        log.insert(5, value.as_slice()).unwrap();
    });
    let mut bytes = std::fs::read(place.journal()).unwrap();
    bytes[..4096].fill(0);
    std::fs::write(place.journal(), &bytes).unwrap();
    let account = salvage(place.journal(), place.beside("new"), LostName::Refused).unwrap();
    assert!(account.judged.contains(&Judged::Parked { entities: 13 }), "{account:?}");
    let journal = options().open(place.beside("new")).unwrap();
    assert_eq!(journal.plan().unwrap().operations, []);
    let mut parked = journal.parked().unwrap();
    parked.sort_by(|a, b| a.key.cmp(&b.key));
    for (number, parked) in (0..13).zip(&parked) {
        let own = Content::Replace(state(&format!(r#"{{"n":{number}}}"#)));
        assert_eq!((&parked.key, &parked.effect.content), (&key(number), &own), "{account:?}");
    }
    assert_eq!(parked.len(), 13);
    append(&journal, &[create(20)]);
    assert!(journal.plan().unwrap().operations[0].first > Seq(13));
}

/// Every copy of a file in which two pointers of a page that only leads to others are swapped: the first, and another one.
fn swapped(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let pages = (0..bytes.len()).step_by(4096).filter(|at| bytes[*at] == 2);
    let mut all = Vec::new();
    for at in pages {
        let keys = usize::from(u16::from_le_bytes([bytes[at + 2], bytes[at + 3]]));
        let pointer = |child: usize| at + 8 + 16 * (keys + 1) + 8 * child;
        for other in (1..=keys.min(3)).filter(|other| pointer(*other) + 8 <= bytes.len()) {
            let mut swapped = bytes.to_vec();
            for byte in 0..8 {
                swapped.swap(pointer(0) + byte, pointer(other) + byte);
            }
            all.push((format!("the page at {at}, its first child and number {other}"), swapped));
        }
    }
    all
}

#[test]
fn where_the_engine_finds_values_in_another_order_no_entry_gets_the_fields_of_another() {
    let place = Place::new();
    let journal = options().create(place.journal()).unwrap();
    append(&journal, &(1..=16_000).map(long).collect::<Vec<_>>());
    drop(journal);
    let mut read_on = 0;
    for (case, bytes) in swapped(&std::fs::read(place.journal()).unwrap()) {
        let place = Place::new();
        std::fs::write(place.journal(), &bytes).unwrap();
        let is_typed =
            |error: Error| assert!(error.is_damage() || matches!(error, Error::Failed), "{case}: {error}");
        let Ok(journal) = options().open(place.journal()).map_err(is_typed) else { continue };
        let Ok(_) = journal.mend().map_err(is_typed) else { continue };
        let Ok(plan) = journal.plan().map_err(is_typed) else { continue };
        for planned in plan.operations {
            let own = long(planned.first.0);
            assert_eq!(
                (&planned.operation.key, &planned.operation.change),
                (&own.key, &own.change),
                "{case}"
            );
        }
        read_on += 1;
    }
    println!("{read_on} read on");
    assert!(read_on > 0);
}

#[test]
fn a_base_that_is_not_found_between_neighbours_that_stand_out_of_order_is_damaged_and_not_unknown() {
    let place = Place::new();
    let journal = options().create(place.journal()).unwrap();
    let row = |n: u64| Row {
        key: key(2 * n),
        state: Some(state(&format!(r#"{{"n":{n}}}"#))),
        epoch: Some(Epoch(n + 1)),
    };
    journal.baseline(&(0..400).map(row).collect::<Vec<_>>(), Listing::Partial).unwrap();
    drop(journal);
    // What lies in swapped pages stands in order there: that it is not found is not noticed.
    let (mut out_of_order, mut unnoticed) = (0, 0);
    for (case, bytes) in swapped(&std::fs::read(place.journal()).unwrap()) {
        let Ok(journal) = options().on(FaultyStorage::from_bytes(&bytes)) else { continue };
        for number in 0..800 {
            match journal.base(&key(number)) {
                Ok(base) if number % 2 == 1 => assert_eq!(base, Base::Unknown, "{case}: {number}"),
                Ok(base) => unnoticed += u64::from(base.epoch() != Some(Epoch(number / 2 + 1))),
                Err(error) => {
                    assert!(error.is_damage(), "{case}: {number}: {error}");
                    out_of_order += u64::from(error.to_string().contains("it stands out of order"));
                }
            }
        }
    }
    println!("{out_of_order} times out of order, {unnoticed} times unnoticed");
    assert!(out_of_order > 0);
}

/// The place and the length of every parked effect that is of an entity.
fn parked_of(bytes: &[u8], number: u64) -> Vec<usize> {
    let id = key(number).id().into_bytes();
    let is_frame = |at: &usize| bytes[*at..].starts_with(b"fl\x07\x01");
    let holds = |at: &usize| {
        let body = u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap()) as usize;
        bytes[at + 24..bytes.len().min(at + 24 + body)].windows(16).any(|part| part == id)
    };
    (0..bytes.len() - 24).filter(is_frame).filter(holds).collect()
}

#[test]
fn where_the_lists_do_not_open_what_was_parked_is_never_sent_by_a_salvage() {
    let mut again = 0;
    for table in ["log_rows", "log_payload", "run_rows"] {
        let table = Numbered::new(table);
        let place = Place::new();
        let journal = options().create(place.journal()).unwrap();
        let text = "x".repeat(300);
        let wide = |n: u64| Operation::create(key(n), state(&format!(r#"{{"n":{n},"t":"{text}"}}"#)));
        append(&journal, &(0..40).map(wide).collect::<Vec<_>>());
        journal.compact().unwrap();
        let bunch = journal.seal(Limits { operations: 2, ..Limits::default() }).unwrap().unwrap();
        let outcomes = vec![Outcome::Refused { reason: "no".to_owned() }; 2];
        journal.settle(&Outcomes { bunch: bunch.number, outcomes }).unwrap();
        assert!(journal.discard(&key(0)).unwrap());
        let large = Operation::create(key(50), state(&format!(r#"{{"t":"{}"}}"#, "y".repeat(20_000))));
        append(&journal, &[large]);
        drop(journal);
        // Its page is as it was committed.
        let last = *numbers(&place.journal(), table).last().unwrap();
        at_number(&place.journal(), table, last, |value| *value.last_mut().unwrap() ^= 1);
        let bytes = std::fs::read(place.journal()).unwrap();
        let pages: BTreeSet<usize> = parked_of(&bytes, 1).into_iter().map(|at| at / 4096 * 4096).collect();
        for page in pages {
            let case = format!("{}, page at {page}", table.name());
            let mut damaged = bytes.clone();
            damaged[page..page + 4096].fill(0);
            std::fs::write(place.journal(), &damaged).unwrap();
            drop(std::fs::remove_file(place.beside("new")));
            let account = salvage(place.journal(), place.beside("new"), LostName::Refused).unwrap();
            let journal = options().open(place.beside("new")).unwrap();
            let sent = planned(&journal);
            assert!(!sent.contains(&key(1)) && !sent.contains(&key(0)), "{case}: {account:?}");
            let parked = journal.parked().unwrap();
            assert!(parked.iter().all(|parked| !sent.contains(&parked.key)), "{case}: {account:?}");
            again +=
                u64::from(account.judged.iter().any(|judged| matches!(judged, Judged::ParkedAgain { .. })));
        }
    }
    println!("{again} times parked again");
    assert!(again > 0);
}
