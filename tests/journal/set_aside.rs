//! What is damaged is reported with its place and set aside; the rest goes on. Single values are damaged on
//! purpose, one kind after the other, and then every one of a journal that has something of everything.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics has failed")]

use crate::prepared::{PARKED, key, observed, open, patch, prepared, state, trigger};
use foldlog::algebra::{
    Base, Bunch, Change, EntityKey, Epoch, Index, Limits, Operation, Outcome, Outcomes, Resulting, Row,
    Schema, Seq, Update,
};
use foldlog::journal::{Appended, Durability, Error, Journal, Listing, verify};
use foldlog::testing::{FaultyStorage, Unsynced};

/// The kinds of frames that are looked for.
const ROWS: u8 = 3;
const PAYLOAD: u8 = 4;
const BASE: u8 = 5;
const TEXT: u8 = 6;
const PARKED_ALONE: u8 = 7;
const WAITING: u8 = 10;
const SET_ASIDE: u8 = 11;

/// The frames of a kind in a file: where the body begins, and its length.
fn frames(bytes: &[u8], kind: Option<u8>) -> Vec<(usize, usize)> {
    let is_frame = |at: &usize| {
        let head = &bytes[*at..];
        head.len() > 24 && head.starts_with(b"fl") && kind.is_none_or(|kind| head[2] == kind) && head[3] == 1
    };
    (0..bytes.len())
        .filter(is_frame)
        .map(|at| (at + 24, u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap()) as usize))
        .filter(|(begin, length)| begin + length <= bytes.len() && *length > 0)
        .collect()
}

fn holds(body: &[u8], needle: &[u8]) -> bool {
    body.windows(needle.len()).any(|window| window == needle)
}

/// Flips a bit in every value of a kind that is the one looked for.
fn damage(storage: &FaultyStorage, kind: u8, is_it: impl Fn(&[u8]) -> bool) -> FaultyStorage {
    let mut bytes = storage.bytes();
    let mut hits = 0;
    for (begin, length) in frames(&bytes, Some(kind)) {
        if is_it(&bytes[begin..begin + length]) {
            bytes[begin + length / 2] ^= 0x10;
            hits += 1;
        }
    }
    assert!(hits > 0, "there is no such value");
    FaultyStorage::from_bytes(&bytes)
}

fn id(number: u64) -> [u8; 16] {
    key(number).id().into_bytes()
}

fn create(number: u64) -> Operation {
    Operation::create(key(number), state(&format!(r#"{{"n":{number}}}"#)))
}

fn append(journal: &Journal, operations: &[Operation]) -> Appended {
    journal.append(operations, Durability::Durable).unwrap()
}

fn accepted(bunch: &Bunch) -> Outcomes {
    let outcome =
        |_| Outcome::Accepted { epoch: Some(Epoch(500)), result: Resulting::AsSent, overwrote: None };
    Outcomes { bunch: bunch.number, outcomes: bunch.operations.iter().map(outcome).collect() }
}

fn planned(journal: &Journal) -> Vec<EntityKey> {
    journal.plan().unwrap().operations.into_iter().map(|planned| planned.operation.key).collect()
}

/// Every operation that was appended is somewhere.
fn require_accounted(journal: &Journal) {
    let status = journal.status().unwrap();
    let counts = [status.pending, status.held, status.sealed, status.parked];
    let known: u64 = counts.iter().map(|count| count.operations).sum::<u64>() + status.settled;
    assert_eq!(known + status.set_aside, status.appended, "{status:?}");
    assert_eq!(status.set_aside_values, journal.set_aside().unwrap().len() as u64);
}

/// A file of what is on the storage verifies.
fn require_sound(storage: &FaultyStorage) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    std::fs::write(&path, storage.bytes()).unwrap();
    assert_eq!(verify(&path).unwrap().findings, []);
}

#[test]
fn a_damaged_value_of_the_log_is_named_kept_and_passed_over() {
    let storage = FaultyStorage::new();
    let journal = open(&storage).unwrap();
    append(&journal, &[create(1), create(2), create(3)]);
    append(&journal, &[create(4), Operation::patch(key(5), patch(r#"{"a":1}"#))]);
    drop(journal);
    let storage = damage(&storage, ROWS, |body| holds(body, &id(2)));
    let journal = open(&storage).unwrap();
    let refused = journal.plan().unwrap_err();
    assert!(matches!(&refused, Error::Damaged { place, .. } if place.contains("operation 1")), "{refused}");
    assert!(refused.to_string().contains("compact"), "it says what to do: {refused}");
    assert_eq!(append(&journal, &[create(6)]).first, Seq(6));
    journal.compact().unwrap();
    assert_eq!(planned(&journal), [4, 6, 5].map(key));
    let [aside] = &journal.set_aside().unwrap()[..] else { panic!("one value was damaged") };
    assert_eq!(
        (aside.place.as_str(), aside.why.as_str()),
        ("the log's rows from operation 1", "the checksum does not agree")
    );
    assert!(holds(&aside.bytes, &id(1)) && holds(&aside.bytes, br#"{"n":3}"#), "its bytes are kept");
    let status = journal.status().unwrap();
    assert_eq!((status.set_aside, status.set_aside_values, status.appended), (3, 1, 6));
    require_accounted(&journal);
    require_sound(&storage);
    // It is a life like any other from there on.
    let bunch = journal.seal(Limits::default()).unwrap().unwrap();
    journal.settle(&accepted(&bunch)).unwrap();
    assert_eq!(journal.forget_set_aside().unwrap(), 1);
    let status = journal.status().unwrap();
    assert_eq!((status.settled, status.set_aside, status.set_aside_values), (6, 0, 0));
    assert_eq!(journal.forget_set_aside().unwrap(), 0);
}

#[test]
fn behind_a_damaged_end_of_the_log_no_number_is_given_out_again() {
    let storage = FaultyStorage::new();
    let journal = open(&storage).unwrap();
    append(&journal, &[create(1)]);
    append(&journal, &[create(2), create(3)]);
    drop(journal);
    let storage = damage(&storage, ROWS, |body| holds(body, &id(3)));
    for appends_first in [true, false] {
        let journal = open(&FaultyStorage::from_bytes(&storage.bytes())).unwrap();
        if !appends_first {
            journal.compact().unwrap();
        }
        assert!(append(&journal, &[create(4)]).first > Seq(3));
        journal.compact().unwrap();
        assert_eq!(planned(&journal), [1, 4].map(key));
        require_accounted(&journal);
    }
}

#[test]
fn of_a_damaged_piece_of_payload_only_what_needs_it_is_lost() {
    let text = "x".repeat(2_000);
    let wide =
        |number: u64, name: &str| Operation::update(key(number), state(&format!(r#"{{"{name}":"{text}"}}"#)));
    let storage = FaultyStorage::new();
    let journal = open(&storage).unwrap();
    let mut first: Vec<Operation> = (0..12).map(|number| wide(number, "first")).collect();
    first.push(Operation::delete(key(20)));
    append(&journal, &first);
    append(&journal, &(0..12).step_by(2).map(|number| wide(number, "second")).collect::<Vec<_>>());
    append(
        &journal,
        &(0..12).step_by(3).map(|n| Operation::patch(key(n), patch(r#"{"p":1}"#))).collect::<Vec<_>>(),
    );
    drop(journal);
    let storage = damage(&storage, PAYLOAD, |body| holds(body, b"first"));
    let journal = open(&storage).unwrap();
    journal.compact().unwrap();
    let changes: Vec<(EntityKey, Change)> = journal
        .plan()
        .unwrap()
        .operations
        .into_iter()
        .map(|planned| (planned.operation.key, planned.operation.change))
        .collect();
    let change = |number: u64| changes.iter().find(|(of, _)| *of == key(number)).map(|(_, change)| change);
    for number in 0..12 {
        let expected = match (number % 2, number % 3) {
            (0, 0) => Some(state(&format!(r#"{{"second":"{text}","p":1}}"#))),
            (0, _) => Some(state(&format!(r#"{{"second":"{text}"}}"#))),
            (_, 0) => {
                let Some(Change::Update(Update::Patch(left))) = change(number) else { panic!("{number}") };
                assert_eq!(*left, patch(r#"{"p":1}"#));
                continue;
            }
            (_, _) => None,
        };
        assert_eq!(change(number), expected.map(|state| Change::Update(Update::State(state))).as_ref());
    }
    assert_eq!(change(20), Some(&Change::Delete), "it has no fields that could be lost");
    require_accounted(&journal);
    require_sound(&storage);
}

#[test]
fn what_a_damaged_level_may_have_said_was_sent_is_parked_and_not_sent_again() {
    let storage = FaultyStorage::new();
    let journal = open(&storage).unwrap();
    append(&journal, &(1..=40).map(create).collect::<Vec<_>>());
    journal.compact().unwrap();
    let limits = Limits { operations: 2, ..Limits::default() };
    let bunch = journal.seal(limits).unwrap().unwrap();
    journal.settle(&accepted(&bunch)).unwrap();
    append(&journal, &[Operation::delete(key(40))]);
    drop(journal);
    // The small level that says so of 1 and 2 has nothing of 30.
    let storage = damage(&storage, ROWS, |body| holds(body, &id(1)) && !holds(body, &id(30)));
    let journal = open(&storage).unwrap();
    journal.compact().unwrap();
    assert_eq!(planned(&journal), [], "nothing is sent unasked");
    let parked: Vec<EntityKey> = journal.parked().unwrap().into_iter().map(|parked| parked.key).collect();
    assert_eq!(parked.len(), 40);
    require_accounted(&journal);
    journal.retry(&key(7)).unwrap();
    append(&journal, &[Operation::patch(key(8), patch(r#"{"a":1}"#))]);
    journal.discard(&key(1)).unwrap();
    assert_eq!(planned(&journal), [7, 8].map(key));
    require_accounted(&journal);
    require_sound(&storage);
}

#[test]
fn an_entity_whose_base_is_damaged_is_unknown_even_where_the_rest_is_complete() {
    let storage = FaultyStorage::new();
    let journal = open(&storage).unwrap();
    let row = |n: u64| Row { key: key(n), state: Some(state(r#"{"far":1}"#)), epoch: Some(Epoch(n)) };
    journal.baseline(&[row(1), row(2)], Listing::Complete).unwrap();
    append(&journal, &[Operation::delete(key(1)), Operation::delete(key(2)), Operation::delete(key(3))]);
    drop(journal);
    // The body of a base does not name its entity; its epoch tells them apart.
    let storage = damage(&storage, BASE, |body| body[1..].starts_with(&[1, 1]));
    let journal = open(&storage).unwrap();
    assert!(matches!(journal.base(&key(1)), Err(Error::Damaged { .. })));
    journal.compact().unwrap();
    assert_eq!(journal.base(&key(1)).unwrap(), Base::Unknown);
    // Its key may be what is damaged, so nothing that is not listed counts as absent any more.
    assert_eq!(journal.base(&key(3)).unwrap(), Base::Unknown);
    assert_eq!(planned(&journal), [1, 2, 3].map(key), "no delete is taken for needless");
    assert!(journal.set_aside().unwrap()[0].place.contains(&key(1).to_string()));
    // A row that is read later heals it.
    journal.integrate(&[row(1)]).unwrap();
    assert!(matches!(journal.base(&key(1)).unwrap(), Base::Live(_)));
    require_sound(&storage);
}

#[test]
fn an_open_bunch_that_is_damaged_is_pending_again_as_what_may_have_arrived() {
    for kind in [TEXT, ROWS] {
        let storage = FaultyStorage::new();
        let journal = open(&storage).unwrap();
        journal.baseline(&[], Listing::Complete).unwrap();
        append(&journal, &[create(1), create(2), create(3)]);
        let before = journal.seal(Limits::default()).unwrap().unwrap();
        append(&journal, &[Operation::delete(key(1)), Operation::patch(key(2), patch(r#"{"a":2}"#))]);
        append(&journal, &[create(9)]);
        drop(journal);
        let storage = damage(&storage, kind, |body| match kind {
            TEXT => true,
            // The effects of the bunch, not the log behind it.
            _ => holds(body, &id(3)),
        });
        let journal = open(&storage).unwrap();
        assert!(matches!(journal.open_bunch(), Err(Error::Damaged { .. })));
        let bunch = journal.seal(Limits::default()).unwrap().unwrap();
        assert!(bunch.number > before.number, "the authority may have seen that number");
        let change = |number: u64| {
            let operations = bunch.operations.iter().map(|planned| &planned.operation);
            operations.filter(|operation| operation.key == key(number)).map(|sent| sent.change.clone()).next()
        };
        // What may be there is deleted all the same, and what may not be there is sent whole.
        assert_eq!(change(1), Some(Change::Delete));
        assert_eq!(change(2), Some(Change::Update(Update::State(state(r#"{"n":2,"a":2}"#)))));
        assert_eq!(change(3), Some(Change::Update(Update::State(state(r#"{"n":3}"#)))));
        assert_eq!(journal.status().unwrap().set_aside, 0);
        assert_eq!(change(9), create(9).change.into());
        require_accounted(&journal);
        require_sound(&storage);
        // An answer that comes for the lost bunch is no news.
        assert!(journal.settle(&accepted(&before)).unwrap().was_settled);
        journal.settle(&accepted(&bunch)).unwrap();
        require_accounted(&journal);
    }
}

#[test]
fn what_was_set_aside_and_is_damaged_itself_is_told_and_set_aside_again() {
    let storage = FaultyStorage::new();
    let journal = open(&storage).unwrap();
    append(&journal, &[create(1), create(2), create(3)]);
    drop(journal);
    let storage = damage(&storage, ROWS, |body| holds(body, &id(2)));
    let journal = open(&storage).unwrap();
    assert_eq!(journal.mend().unwrap(), 1);
    drop(journal);
    let storage = damage(&storage, SET_ASIDE, |_| true);
    let journal = open(&storage).unwrap();
    let refused = journal.set_aside().unwrap_err();
    assert!(matches!(&refused, Error::Damaged { place, .. } if place == "value set aside 0"), "{refused}");
    assert_eq!(journal.mend().unwrap(), 1);
    let [aside] = &journal.set_aside().unwrap()[..] else { panic!("one value is set aside") };
    assert_eq!(
        (aside.place.as_str(), aside.why.as_str()),
        ("value set aside 0", "the checksum does not agree")
    );
    assert!(holds(&aside.bytes, br#"{"n":3}"#), "what is left of it is kept");
    require_accounted(&journal);
    require_sound(&storage);
}

#[test]
fn what_completes_an_operation_of_a_bunch_that_comes_back_is_not_counted_as_one_more() {
    // Two that refer to one another: what is sent of one of them is completed by a second operation.
    let schema = r#"{"collections":{"notes":{"references":{"other":{"to":"notes"}}}}}"#;
    let options = crate::prepared::options().schema(Schema::from_json(schema).unwrap());
    let text = "x".repeat(20_000);
    let referring = |n: u64, other: u64| {
        let fields = format!(r#"{{"n":{n},"other":"{}","t":"{text}"}}"#, key(other).id());
        Operation::create(key(n), state(&fields))
    };
    let storage = FaultyStorage::new();
    let journal = options.clone().on(storage.clone()).unwrap();
    append(&journal, &[referring(1, 2), referring(2, 1), Operation::delete(key(3)), create(4)]);
    let before = journal.seal(Limits::default()).unwrap().unwrap();
    assert_eq!(before.operations.len(), 5, "one is completed");
    append(&journal, &[Operation::patch(key(4), patch(r#"{"a":1}"#))]);
    journal.compact().unwrap();
    append(&journal, &[Operation::patch(key(4), patch(r#"{"b":2}"#))]);
    drop(journal);
    let storage = damage(&storage, PAYLOAD, |body| holds(body, b"xxxx"));
    let journal = options.on(storage.clone()).unwrap();
    assert!(matches!(journal.open_bunch(), Err(Error::Damaged { .. })));
    journal.mend().unwrap();
    assert_eq!(journal.open_bunch().unwrap(), None);
    let plan = journal.plan().unwrap();
    let last = |number: u64| {
        let mut of = plan.operations.iter().filter(|planned| planned.operation.key == key(number));
        of.next_back().map(|planned| planned.operation.change.fields_json().to_owned()).unwrap()
    };
    for (number, other) in [(1, 2), (2, 1)] {
        let all: Vec<&str> = plan
            .operations
            .iter()
            .filter(|planned| planned.operation.key == key(number))
            .map(|planned| planned.operation.change.fields_json())
            .collect();
        let refers = format!(r#""other":"{}""#, key(other).id());
        assert!(all.iter().any(|fields| fields.contains(&text)), "{number}: its text is there");
        assert!(all.iter().any(|fields| fields.contains(&refers)), "{number}: {other} is still referred to");
    }
    assert!(plan.operations.iter().any(|planned| planned.operation.change == Change::Delete));
    assert!([r#""n":4"#, r#""a":1"#, r#""b":2"#].iter().all(|part| last(4).contains(part)), "{}", last(4));
    require_accounted(&journal);
    require_sound(&storage);
}

#[test]
fn an_edit_of_what_is_parked_and_damaged_is_taken_and_that_is_set_aside() {
    let storage = damage(&prepared(false), PARKED_ALONE, |_| true);
    let journal = open(&storage).unwrap();
    append(&journal, &[Operation::patch(key(PARKED), patch(r#"{"mended":true}"#))]);
    assert!(matches!(journal.parked(), Err(Error::Damaged { .. })), "it is where it was");
    assert_eq!(journal.mend().unwrap(), 1);
    assert!(journal.set_aside().unwrap()[0].place.contains(&key(PARKED).to_string()));
    assert!(planned(&journal).contains(&key(PARKED)) && journal.parked().unwrap().is_empty());
    require_accounted(&journal);
    require_sound(&storage);
}

#[test]
fn that_something_older_is_done_with_is_known_though_the_fields_of_what_came_then_are_lost() {
    let storage = FaultyStorage::new();
    let journal = open(&storage).unwrap();
    append(&journal, &(1..=40).map(create).collect::<Vec<_>>());
    journal.compact().unwrap();
    let bunch = journal.seal(Limits { operations: 1, ..Limits::default() }).unwrap().unwrap();
    let sent = bunch.operations[0].operation.key.clone();
    journal.settle(&accepted(&bunch)).unwrap();
    let fields = format!(r#"{{"late":"{}"}}"#, "x".repeat(20_000));
    append(&journal, &[Operation::patch(sent.clone(), patch(&fields))]);
    journal.compact().unwrap();
    assert!(planned(&journal).contains(&sent));
    drop(journal);
    let storage = damage(&storage, PAYLOAD, |body| holds(body, b"late"));
    let journal = open(&storage).unwrap();
    journal.mend().unwrap();
    assert!(!planned(&journal).contains(&sent), "what was sent is not sent again");
    assert_eq!((planned(&journal).len(), journal.parked().unwrap().len()), (39, 0));
    require_accounted(&journal);
    require_sound(&storage);
}

#[test]
fn a_damaged_trigger_is_asked_for_again() {
    let storage = FaultyStorage::new();
    let journal = open(&storage).unwrap();
    journal.receive(&(1..=6).map(|index| trigger(index * 4, index, index)).collect::<Vec<_>>()).unwrap();
    journal.set_cursor(Index(0)).unwrap();
    journal.receive(&[1, 2, 3, 5].map(|index| trigger(index, index + 20, 100 + index))).unwrap();
    drop(journal);
    let storage = damage(&storage, WAITING, |body| holds(body, &id(22)));
    let journal = open(&storage).unwrap();
    assert!(matches!(journal.reads(), Err(Error::Damaged { .. })));
    journal.integrate(&[]).unwrap();
    let reads = journal.reads().unwrap();
    assert_eq!((reads.heard.cursor, reads.heard.gaps[0].clone()), (Index(1), 2..=2));
    journal.receive(&[trigger(2, 22, 102)]).unwrap();
    assert!(journal.reads().unwrap().heard.cursor >= Index(3));
    require_sound(&storage);
}

#[test]
fn what_a_newer_program_wrote_is_not_set_aside() {
    let golden = std::fs::read("tests/data/golden/newer.journal").unwrap();
    let storage = FaultyStorage::from_bytes(&golden);
    let refused = match open(&storage) {
        Ok(journal) => journal.compact().unwrap_err(),
        Err(refused) => refused,
    };
    assert!(matches!(refused, Error::Newer { .. }), "{refused}");
}

#[test]
fn in_the_middle_of_a_long_list_only_what_was_in_the_damaged_value_is_lost() {
    let text = "x".repeat(100);
    let storage = FaultyStorage::new();
    let journal = open(&storage).unwrap();
    let wide = |n: u64| Operation::create(key(n), state(&format!(r#"{{"n":{n},"t":"{text}"}}"#)));
    append(&journal, &(1..=9000).map(wide).collect::<Vec<_>>());
    drop(journal);
    let holding = |number: u64| damage(&storage, ROWS, |body| holds(body, &id(number)));
    for gone in [1, 4000, 9000] {
        let journal = open(&holding(gone)).unwrap();
        assert_eq!(journal.mend().unwrap(), 1);
        let left = journal.plan().unwrap().operations;
        let status = journal.status().unwrap();
        // A value of rows holds a few thousand; behind the end of the log as many count as it could hold.
        assert!(left.len() > 4_500 && left.len() < 8_000, "{} are left without {gone}", left.len());
        assert_eq!(status.set_aside + left.len() as u64, status.appended);
        for planned in left {
            let number = planned.first.0;
            assert_eq!(planned.operation.change, wide(number).change, "each with its own fields");
            assert_eq!(planned.operation.key, key(number));
        }
        require_accounted(&journal);
    }
}

/// A small level says of two entities that what an older one holds of them is done with; this one does not open.
fn without_the_cuts(storage: &FaultyStorage) -> FaultyStorage {
    let is_cuts = |body: &[u8]| {
        holds(body, &id(1)) && holds(body, &id(2)) && !holds(body, &id(30)) && !holds(body, b"precious")
    };
    damage(storage, ROWS, is_cuts)
}

/// 40 creates in an old level, and a bunch of two that is sealed: one of them with a later edit.
fn sealed_above_an_old_level(storage: &FaultyStorage) -> (Journal, Bunch) {
    let journal = open(storage).unwrap();
    append(&journal, &(1..=40).map(create).collect::<Vec<_>>());
    journal.compact().unwrap();
    append(&journal, &[Operation::patch(key(1), patch(r#"{"n":"new","precious":1}"#))]);
    let bunch = journal.seal(Limits { operations: 2, ..Limits::default() }).unwrap().unwrap();
    (journal, bunch)
}

#[test]
fn a_parked_effect_is_not_replaced_by_the_older_one_that_it_contains() {
    let storage = FaultyStorage::new();
    let (journal, bunch) = sealed_above_an_old_level(&storage);
    let outcomes = bunch.operations.iter().map(|_| Outcome::Refused { reason: "no".into() }).collect();
    journal.settle(&Outcomes { bunch: bunch.number, outcomes }).unwrap();
    let before = journal.parked().unwrap();
    drop(journal);
    let journal = open(&damage(&storage, ROWS, |body| {
        holds(body, &id(1))
            && holds(body, &id(2))
            && !holds(body, &id(30))
            && body.len() < 1_000
            && !holds(body, b"precious")
    }))
    .unwrap();
    journal.mend().unwrap();
    let after = journal.parked().unwrap();
    assert!(before.iter().all(|parked| after.contains(parked)), "{before:?}\n{after:?}");
    assert_eq!(after.len(), 40);
    require_accounted(&journal);
}

#[test]
fn what_is_in_a_sound_open_bunch_is_not_parked_as_well() {
    let storage = FaultyStorage::new();
    let (journal, bunch) = sealed_above_an_old_level(&storage);
    drop(journal);
    let journal = open(&without_the_cuts(&storage)).unwrap();
    journal.mend().unwrap();
    assert_eq!(journal.open_bunch().unwrap().unwrap().id, bunch.id);
    let parked: Vec<EntityKey> = journal.parked().unwrap().into_iter().map(|parked| parked.key).collect();
    assert!(parked.len() == 38 && !parked.contains(&key(1)));
    append(&journal, &[Operation::patch(key(1), patch(r#"{"a":1}"#))]);
    let [planned] = &journal.plan().unwrap().operations[..] else { panic!("one is pending") };
    assert_eq!(planned.operation.change, Change::Update(Update::Patch(patch(r#"{"a":1}"#))));
    require_accounted(&journal);
}

#[test]
fn what_comes_back_of_a_bunch_is_not_overlaid_with_what_was_before_it() {
    let storage = FaultyStorage::new();
    drop(sealed_above_an_old_level(&storage));
    let storage = damage(&without_the_cuts(&storage), TEXT, |_| true);
    let journal = open(&storage).unwrap();
    journal.mend().unwrap();
    let changes: Vec<Change> =
        journal.plan().unwrap().operations.into_iter().map(|planned| planned.operation.change).collect();
    let whole = state(r#"{"n":"new","precious":1}"#);
    assert!(changes.contains(&Change::Update(Update::State(whole))), "{changes:?}");
    assert_eq!(changes.len(), 2);
    require_accounted(&journal);
    require_sound(&storage);
}

/// Flips a bit of a number by which values are found, wherever it stands.
fn renumbered(storage: &FaultyStorage, old: u64, new: u64) -> FaultyStorage {
    let mut bytes = storage.bytes();
    for at in 0..bytes.len() - 8 {
        if bytes[at..at + 8] == old.to_le_bytes() {
            bytes[at..at + 8].copy_from_slice(&new.to_le_bytes());
        }
    }
    FaultyStorage::from_bytes(&bytes)
}

#[test]
fn a_damaged_number_in_the_log_gives_no_number_out_twice() {
    let storage = FaultyStorage::new();
    let journal = open(&storage).unwrap();
    append(&journal, &(1..=2000).map(create).collect::<Vec<_>>());
    append(&journal, &[create(2001), create(2002)]);
    append(&journal, &(2003..=6002).map(create).collect::<Vec<_>>());
    append(&journal, &[create(6003)]);
    append(&journal, &[create(6004)]);
    drop(journal);
    for (old, new) in [(2003, 2003 ^ 1), (2003, 2003 ^ 4), (2003, 2003 ^ (1 << 40)), (6004, 6004 ^ (1 << 63))]
    {
        let journal = open(&renumbered(&storage, old, new)).unwrap();
        let given = journal.append(&[create(7000)], Durability::Durable).unwrap().first;
        assert!(given.0 > 6004 && given.0 < 1 << 40, "{old} to {new}: {given:?}");
        // Where the engine finds its own pages damaged, nothing is written; elsewhere it goes on.
        match journal.mend() {
            Ok(_) => {
                assert!(planned(&journal).contains(&key(7000)), "{old} to {new}");
                require_accounted(&journal);
            }
            Err(error) => assert!(matches!(error, Error::Corrupted { .. }), "{error:?}"),
        }
    }
}

#[test]
fn a_bunch_that_is_larger_than_a_record_may_be_is_set_aside_in_pieces() {
    let text = "x".repeat(12 << 20);
    let storage = FaultyStorage::new();
    let journal = open(&storage).unwrap();
    for number in 1..=5 {
        append(&journal, &[Operation::create(key(number), state(&format!(r#"{{"t":"{text}"}}"#)))]);
    }
    journal.seal(Limits { operations: 9, bytes: usize::MAX }).unwrap().unwrap();
    drop(journal);
    let mut bytes = storage.bytes();
    let (begin, length) = frames(&bytes, Some(TEXT))[3];
    bytes[begin + length / 2] ^= 1;
    let journal = open(&FaultyStorage::from_bytes(&bytes)).unwrap();
    let values = journal.mend().unwrap();
    assert_eq!(journal.set_aside().unwrap().len() as u64, values);
    assert_eq!(journal.mend().unwrap(), values, "once is enough");
    assert_eq!(planned(&journal).len(), 5);
}

/// What can be done with a journal from here to the end of its life.
fn go_on(journal: &Journal, case: &str) {
    let appended = journal.status().unwrap().appended;
    let edit = Operation::patch(key(PARKED), patch(r#"{"mended":true}"#));
    assert!(append(journal, &[edit, create(90)]).first > Seq(appended), "{case}");
    require_accounted(journal);
    journal.integrate(&[]).unwrap();
    journal.superseded().unwrap();
    for parked in journal.parked().unwrap() {
        journal.retry(&parked.key).unwrap();
    }
    for _ in 0..20 {
        let Some(bunch) = journal.seal(Limits::default()).unwrap() else {
            for held in journal.held().unwrap() {
                journal.retry(&held.key).unwrap();
            }
            break;
        };
        journal.settle(&accepted(&bunch)).unwrap();
        require_accounted(journal);
    }
    assert_eq!(planned(journal), [], "{case}");
    require_accounted(journal);
}

#[test]
fn whatever_single_value_is_damaged_the_rest_goes_on() {
    let (mut set_aside, mut unharmed, mut needed) = (0, 0, 0);
    for has_open_bunch in [true, false] {
        let whole = prepared(has_open_bunch);
        let before = observed(&open(&whole.snapshot()).unwrap());
        let bytes = whole.bytes();
        for (begin, length) in frames(&bytes, None) {
            let case = format!("the value at {begin}, {length} bytes of kind {}", bytes[begin - 22]);
            let mut damaged = bytes.clone();
            damaged[begin + length / 3] ^= 0x04;
            let storage = FaultyStorage::from_bytes(&damaged);
            let journal = match open(&storage) {
                Ok(journal) => journal,
                Err(error) => {
                    // The identity or the state.
                    assert!(error.is_damage() && [1, 2].contains(&bytes[begin - 22]), "{case}: {error}");
                    needed += 1;
                    continue;
                }
            };
            let values = journal.mend().unwrap_or_else(|error| panic!("{case}: {error}"));
            if values == 0 {
                assert_eq!(observed(&journal), before, "{case}");
                unharmed += 1;
            } else {
                set_aside += 1;
                require_sound(&storage);
            }
            go_on(&journal, &case);
        }
    }
    println!("{set_aside} set aside, {unharmed} unharmed, {needed} that nothing can stand for");
    assert!(set_aside > 15 && needed >= 2);
}

#[test]
fn a_crash_while_it_is_set_aside_leaves_it_to_be_done() {
    let whole = prepared(true);
    let storage = damage(&whole, ROWS, |body| holds(body, &id(PARKED)));
    let storage = damage(&storage, TEXT, |_| true);
    let journal = open(&storage).unwrap();
    storage.record();
    journal.mend().unwrap();
    let done = observed(&journal);
    let mut images = 0;
    for (number, crash) in storage.crashes().enumerate() {
        for mode in [Unsynced::Lost, Unsynced::Kept, Unsynced::Sampled { seed: number as u64 }] {
            let journal = open(&crash.image(mode)).unwrap();
            journal.mend().unwrap();
            assert_eq!(observed(&journal), done, "crash {number}, {mode:?}");
            images += 1;
        }
    }
    assert!(images > 30);
}

/// Every copy in which one bit of a pointer to a child page is flipped, in the engine's pages that only lead to
/// others: type 2, how many keys, a checksum a child, then the pointers. With its debug assertions the engine gives
/// most of them up; as it is released it goes on reading, in the wrong place.
fn led_astray(storage: &FaultyStorage, bits: usize) -> impl Iterator<Item = (String, FaultyStorage)> {
    let bytes = storage.bytes();
    let pages = (0..bytes.len()).step_by(4096).filter(|at| bytes[*at] == 2).collect::<Vec<_>>();
    let pointers: Vec<usize> = pages
        .into_iter()
        .flat_map(|at| {
            let keys = usize::from(u16::from_le_bytes([bytes[at + 2], bytes[at + 3]]));
            (0..=keys.min(200)).map(move |child| at + 8 + 16 * (keys + 1) + 8 * child)
        })
        .filter(|pointer| pointer + 8 <= bytes.len())
        .collect();
    assert!(pointers.len() > 4, "no page leads to another: {pointers:?}");
    pointers.into_iter().flat_map(move |pointer| {
        let bytes = bytes.clone();
        (0..bits).map(move |bit| {
            let mut damaged = bytes.clone();
            damaged[pointer + bit / 8] ^= 1 << (bit % 8);
            (format!("bit {bit} of the pointer at {pointer}"), FaultyStorage::from_bytes(&damaged))
        })
    })
}

/// The journal of a file that opens and was mended, if it does and was.
fn mended(case: &str, storage: &FaultyStorage, path: &std::path::Path) -> Option<Journal> {
    let is_typed = |error: Error| {
        assert!(error.is_damage() || matches!(error, Error::Failed | Error::Io { .. }), "{case}: {error}");
    };
    std::fs::write(path, storage.bytes()).unwrap();
    let journal = Journal::open(path).map_err(is_typed).ok()?;
    journal.mend().map_err(is_typed).ok()?;
    Some(journal)
}

#[test]
fn where_the_engine_is_led_astray_no_entry_gets_the_fields_of_another() {
    let wide = |n: u64| {
        let fields = format!(r#"{{"n":"{n:08}","t":"{}"}}"#, "x".repeat(80));
        Operation::create(key(n), state(&fields))
    };
    let storage = FaultyStorage::new();
    append(&open(&storage).unwrap(), &(1..=3000).map(wide).collect::<Vec<_>>());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let mut tried = 0;
    for (case, storage) in led_astray(&storage, 20) {
        let Some(journal) = mended(&case, &storage, &path) else { continue };
        let Ok(plan) = journal.plan() else { continue };
        tried += 1;
        for planned in plan.operations {
            let own = wide(planned.first.0);
            assert_eq!(
                (&planned.operation.key, &planned.operation.change),
                (&own.key, &own.change),
                "{case}"
            );
        }
    }
    println!("{tried} read on");
}

#[test]
fn where_the_engine_is_led_astray_nothing_is_done_twice_and_no_number_is_given_twice() {
    let update =
        |n: u64| Operation::update(key(n / 40), state(&format!(r#"{{"v":{n},"t":"{}"}}"#, "x".repeat(100))));
    let storage = FaultyStorage::new();
    let journal = open(&storage).unwrap();
    for number in 1..=400 {
        append(&journal, &[update(number)]);
    }
    drop(journal);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let mut tried = 0;
    for (case, storage) in led_astray(&storage, 8) {
        let Some(journal) = mended(&case, &storage, &path) else { continue };
        tried += 1;
        assert!(append(&journal, &[create(99)]).first > Seq(400), "{case}");
        let status = journal.status().unwrap();
        assert!(status.pending.operations <= 401, "{case}: {status:?}");
        require_accounted(&journal);
    }
    println!("{tried} read on");
}

#[test]
fn whatever_bit_of_a_file_is_flipped_it_goes_on_or_stays_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    std::fs::write(&path, prepared(true).bytes()).unwrap();
    // Smaller than it was on the storage: no page of it is free.
    Journal::open(&path).unwrap().reclaim().unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let (mut unharmed, mut mended, mut refused) = (0, 0, 0);
    for place in (0..bytes.len()).step_by(bytes.len() / 700) {
        let mut damaged = bytes.clone();
        damaged[place] ^= 1 << (place % 8);
        let case = format!("byte {place} of {}", bytes.len());
        std::fs::write(&path, &damaged).unwrap();
        let journal = match Journal::open(&path) {
            Ok(journal) => journal,
            Err(error) => {
                assert!(error.is_damage(), "{case}: {error}");
                refused += 1;
                continue;
            }
        };
        match journal.mend() {
            Ok(0) => unharmed += 1,
            Ok(_) => mended += 1,
            Err(error) => {
                assert!(error.is_damage(), "{case}: {error}");
                refused += 1;
                continue;
            }
        }
        let is_mended = !journal.set_aside().unwrap().is_empty();
        go_on(&journal, &case);
        drop(journal);
        assert_eq!(verify(&path).unwrap().findings, [], "{case}");
        if !is_mended {
            continue;
        }
        let old = folder.path().join("journal.damaged");
        std::fs::remove_file(old).unwrap_or_else(|error| panic!("{case}: the old one is kept: {error}"));
    }
    println!("{mended} mended, {unharmed} unharmed, {refused} refused");
    assert!(mended > 50);
    assert!(!folder.path().join("journal.mending").exists());
}
