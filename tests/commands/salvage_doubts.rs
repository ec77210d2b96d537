//! Salvage where several things are gone at once, and nothing tells which of what is left counts: then nothing is sent
//! unasked, and what cannot be known is not made up.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics has failed")]

use std::collections::BTreeSet;
use std::path::Path;

use crate::prepared::{key, options, patch, state};
use crate::salvage::{PAGE, PARKED, Place, append, create, open, places, seen, settle};
use foldlog::algebra::{
    Base, Content, EntityKey, Epoch, Limits, Operation, Outcome, Outcomes, Resulting, Row, Schema,
};
use foldlog::journal::{Cause, Durability, Finding, Journal, Judged, Listing, Parked};

/// The numbers of some kinds of frames.
const STATE: u8 = 2;
const ROWS: u8 = 3;
const PAYLOAD: u8 = 4;
const TEXT: u8 = 6;
const SUPERSEDED: u8 = 9;

/// How the reason begins of what may be done with.
const MAY_BE_DONE: &str = "a part of the journal was damaged";

/// Flips a bit in the checksum of every value of a kind, wherever it lies.
fn spoilt(bytes: &mut [u8], kind: u8) {
    for range in places(bytes).into_iter().filter(|range| bytes[range.start + 2] == kind).collect::<Vec<_>>()
    {
        bytes[range.start + 8] ^= 1;
    }
}

fn refused(reason: &str) -> Outcome {
    Outcome::Refused { reason: reason.to_owned() }
}

fn accepted() -> Outcome {
    Outcome::Accepted { epoch: Some(Epoch(7)), result: Resulting::AsSent, overwrote: None }
}

fn settle_first(journal: &Journal, operations: usize, outcome: &Outcome) {
    let bunch = journal.seal(Limits { operations, ..Limits::default() }).unwrap().unwrap();
    let outcomes = vec![outcome.clone(); bunch.operations.len()];
    journal.settle(&Outcomes { bunch: bunch.number, outcomes }).unwrap();
}

fn keys(numbers: std::ops::Range<u64>) -> BTreeSet<EntityKey> {
    numbers.map(key).collect()
}

#[test]
fn where_the_state_is_gone_what_is_parked_stays_so_with_what_was_done_since_and_nothing_older() {
    let place = Place::new();
    let journal = options().create(place.damaged()).unwrap();
    append(&journal, 0..40, true);
    journal.compact().unwrap();
    settle_first(&journal, 2, &refused("not like this"));
    let before = journal.parked().unwrap();
    drop(journal);
    let mut bytes = std::fs::read(place.damaged()).unwrap();
    spoilt(&mut bytes, STATE);
    let account = place.salvaged(&bytes, "no state").unwrap();
    assert!(account.judged.contains(&Judged::Parked { entities: 40 }), "{account:?}");
    let journal = open(&place.new_file());
    let now = seen(&journal, "no state");
    assert_eq!((now.to_be_sent, now.parked), (BTreeSet::new(), keys(0..40)));
    for was in before {
        let parked = journal.parked().unwrap();
        let now = parked.iter().find(|parked| parked.key == was.key).unwrap();
        assert_eq!((&now.cause, &now.effect.content), (&was.cause, &was.effect.content));
    }
}

#[test]
fn where_the_state_is_gone_a_bunch_is_parked_by_its_text_or_by_its_rows() {
    let schema = r#"{"collections":{"notes":{"references":{"other":{"to":"notes"}}}}}"#;
    let schema = Schema::from_json(schema).unwrap();
    let refers = |other: u64| format!(r#""other":"{}""#, key(other).id());
    let referring =
        |n: u64, other: u64| Operation::create(key(n), state(&format!(r#"{{"n":{n},{}}}"#, refers(other))));
    for spoils in [ROWS, TEXT] {
        let case = format!("kind {spoils}");
        let place = Place::new();
        let journal = options().schema(schema.clone()).create(place.damaged()).unwrap();
        let operations = [referring(1, 2), referring(2, 1), Operation::delete(key(3))];
        journal.append(&operations, Durability::Durable).unwrap();
        let bunch = journal.seal(Limits::default()).unwrap().unwrap();
        assert_eq!(bunch.operations.len(), 4, "one of two that refer to one another is completed");
        drop(journal);
        let mut bytes = std::fs::read(place.damaged()).unwrap();
        spoilt(&mut bytes, STATE);
        spoilt(&mut bytes, spoils);
        let account = place.salvaged(&bytes, &case).unwrap();
        assert!(account.judged.contains(&Judged::Parked { entities: 3 }), "{case}: {account:?}");
        let journal = open(&place.new_file());
        assert!(journal.plan().unwrap().operations.is_empty() && journal.open_bunch().unwrap().is_none());
        let parked = journal.parked().unwrap();
        let of = |number: u64| parked.iter().find(|parked| parked.key == key(number)).unwrap();
        for (number, other) in [(1, 2), (2, 1)] {
            let Content::Replace(state) = &of(number).effect.content else { panic!("{case}: {parked:?}") };
            let json = state.as_json();
            assert!(json.contains(&refers(other)) && json.contains(r#""n":"#), "{case}: {json}");
        }
        assert_eq!(of(3).effect.content, Content::Keep, "{case}");
        // What completes an operation is none of its own.
        assert_eq!(account.status.parked.operations, 3, "{case}: {account:?}");
        assert!(journal.append(&[create(9)], Durability::Durable).unwrap().first.0 > 3, "{case}");
    }
}

/// A journal in which so much was settled before that there are free pages: the engine uses them before those of what comes.
fn with_free_pages(path: &Path, settled: u64) -> Journal {
    let journal = options().create(path).unwrap();
    append(&journal, 100..100 + settled, false);
    if settled > 0 {
        settle(&journal, &accepted());
    }
    journal
}

const SETTLED: [u64; 6] = [0, 10, 20, 40, 70, 100];

#[test]
fn what_gave_way_is_recalled_from_where_it_lay_before() {
    let mut recalled = 0;
    for settled in SETTLED {
        let place = Place::new();
        let journal = with_free_pages(&place.damaged(), settled);
        for number in 0..2 {
            append(&journal, number..number + 1, true);
            let gave_way = Outcome::Superseded {
                epoch: Epoch(60 + number),
                state: None,
                stamps: foldlog::algebra::Stamps::default(),
                writer: None,
            };
            settle(&journal, &gave_way);
        }
        assert_eq!(journal.superseded().unwrap().len(), 2);
        drop(journal);
        let mut bytes = std::fs::read(place.damaged()).unwrap();
        let of: Vec<usize> = places(&bytes)
            .into_iter()
            .filter(|range| bytes[range.start + 2] == SUPERSEDED)
            .map(|range| range.start / PAGE * PAGE)
            .collect();
        let has_both = |page: &usize| of.iter().filter(|of| *of == page).count() == 2;
        let newest: Vec<usize> = of.iter().copied().filter(has_both).collect();
        if newest.len() == of.len() {
            continue;
        }
        for page in newest {
            bytes[page..page + PAGE].fill(0);
        }
        let case = format!("{settled} settled");
        let account = place.salvaged(&bytes, &case).unwrap();
        assert!(account.judged.contains(&Judged::Recalled { values: 1 }), "{case}: {account:?}");
        assert!(account.unreadable.iter().any(|found| found.place == "superseded effect"), "{account:?}");
        let journal = open(&place.new_file());
        let [left] = &journal.superseded().unwrap()[..] else { panic!("{case}: {account:?}") };
        assert_eq!((&left.key, left.epoch), (&key(0), Epoch(60)));
        recalled += 1;
    }
    println!("{recalled} times it lay elsewhere, too");
    assert!(recalled > 0);
}

#[test]
fn where_two_commits_may_be_the_last_what_the_authority_holds_is_not_taken_from_either() {
    let mut unknown = 0;
    for settled in SETTLED {
        let place = Place::new();
        let journal = with_free_pages(&place.damaged(), settled);
        append(&journal, 0..1, true);
        let row = |epoch| Row { key: key(5), state: Some(state(r#"{"far":1}"#)), epoch: Some(Epoch(epoch)) };
        journal.baseline(&[row(1)], Listing::Partial).unwrap();
        journal.integrate(&[row(2)]).unwrap();
        journal.integrate(&[row(3)]).unwrap();
        // It is never closed: that would be one more commit.
        let mut bytes = std::fs::read(place.damaged()).unwrap();
        drop(journal);
        bytes[..PAGE].fill(0);
        let case = format!("{settled} settled");
        let account = place.salvaged(&bytes, &case).unwrap();
        let journal = open(&place.new_file());
        if journal.base(&key(5)).unwrap().epoch() != Some(Epoch(3)) {
            assert_eq!(journal.base(&key(5)).unwrap(), Base::Unknown, "{case}: {account:?}");
            let is_told = account.unreadable.iter().any(|found| found.place == "the base knowledge");
            assert!(is_told && account.judged.contains(&Judged::ReadAnew), "{case}: {account:?}");
            unknown += 1;
        }
        assert_eq!(seen(&journal, &case).to_be_sent, keys(0..1), "{case}");
    }
    println!("{unknown} times nothing told which one it was");
    assert!(unknown > 0);
}

#[test]
fn whatever_page_is_zeroed_of_a_file_that_seems_closed_what_was_sealed_is_not_sent_anew() {
    /// Among the engine's flags: it is to be recovered.
    const FLAGS: usize = 9;
    const LEFT_OPEN: u8 = 2;
    let place = Place::new();
    let journal = options().create(place.damaged()).unwrap();
    append(&journal, 0..30, false);
    journal.compact().unwrap();
    append(&journal, 30..34, false);
    let bunch = journal.seal(Limits { operations: 5, ..Limits::default() }).unwrap().unwrap();
    // Right behind the commit that sealed it.
    let mut bytes = std::fs::read(place.damaged()).unwrap();
    drop(journal);
    assert_ne!(bytes[FLAGS] & LEFT_OPEN, 0);
    bytes[FLAGS] &= !LEFT_OPEN;
    let sealed: BTreeSet<EntityKey> =
        bunch.operations.iter().map(|planned| planned.operation.key.clone()).collect();
    let (mut parked, mut gone) = (0, 0);
    for page in (PAGE..bytes.len()).step_by(PAGE) {
        let mut damaged = bytes.clone();
        let end = bytes.len().min(page + PAGE);
        damaged[page..end].fill(0);
        let case = format!("page at {page}");
        let Ok(account) = place.salvaged(&damaged, &case) else {
            gone += 1;
            continue;
        };
        parked += u64::from(account.judged.iter().any(|judged| matches!(judged, Judged::Parked { .. })));
        let journal = open(&place.new_file());
        let anew = journal.plan().unwrap().operations.into_iter().map(|planned| planned.operation.key);
        let anew: Vec<EntityKey> = anew.filter(|key| sealed.contains(key)).collect();
        let is_told = account.unreadable_count > 0;
        let is_back = journal.open_bunch().unwrap().is_none()
            && is_told
            && journal.status().unwrap().set_aside_values > 0;
        assert!(anew.is_empty() || is_back, "{case}: {anew:?}: {account:?}");
    }
    println!("{parked} times everything was parked, {gone} times nothing was left");
    assert!(parked > 0);
}

/// What else is done to a file of which what is parked is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Also {
    Nothing,
    Spoils(u8),
}

/// A journal of an old level of much, of which two were parked and one no longer is; and what is parked by its page.
fn parked_above_an_old_level(path: &Path, outcome: &Outcome, gives_up: bool) -> (Vec<u8>, Vec<usize>) {
    let journal = options().create(path).unwrap();
    append(&journal, 0..40, true);
    journal.compact().unwrap();
    settle_first(&journal, 2, outcome);
    if gives_up {
        assert!(journal.discard(&key(0)).unwrap());
    } else {
        let edit = Operation::patch(key(0), patch(r#"{"edited":true}"#));
        journal.append(&[edit], Durability::Durable).unwrap();
    }
    let large = format!(r#"{{"m":"{}","t":"{}"}}"#, "mark-0050-of", "x".repeat(20_000));
    journal.append(&[Operation::create(key(50), state(&large))], Durability::Durable).unwrap();
    drop(journal);
    let bytes = std::fs::read(path).unwrap();
    let id = key(1).id().into_bytes();
    let of_other = places(&bytes).into_iter().filter(|range| {
        bytes[range.start + 2] == PARKED && bytes[range.clone()].windows(16).any(|at| at == id)
    });
    let pages = of_other.map(|range| range.start / PAGE * PAGE).collect();
    (bytes, pages)
}

fn reason(parked: &Parked) -> &str {
    match &parked.cause {
        Cause::Refused { reason } => reason,
        Cause::Clash { .. } => "",
    }
}

#[test]
fn what_was_parked_above_an_old_level_is_never_sent_by_a_salvage_and_its_cause_says_what_is_not_known() {
    let clash = Outcome::Clash { unique: vec!["code".to_owned()], holder: key(9).id(), of: None };
    let again = format!(
        "{MAY_BE_DONE} that may have said that this was sent or given up: retry it, edit it or drop it"
    );
    let mut doubted = 0;
    for outcome in [refused("not like this"), refused(&again), clash] {
        for gives_up in [true, false] {
            let place = Place::new();
            let (bytes, pages) = parked_above_an_old_level(&place.damaged(), &outcome, gives_up);
            let alsos = [Also::Nothing, Also::Spoils(ROWS), Also::Spoils(PAYLOAD)];
            for (page, also) in pages.into_iter().flat_map(|page| alsos.map(|also| (page, also))) {
                let case = format!("{outcome:?}, given up: {gives_up}, page at {page}, {also:?}");
                let mut damaged = bytes.clone();
                damaged[page..page + PAGE].fill(0);
                if let Also::Spoils(kind) = also {
                    // Only where the last operation lies: the run stays as it is.
                    let id = key(50).id().into_bytes();
                    let holds = |range: &std::ops::Range<usize>, part: &[u8]| {
                        bytes[range.clone()].windows(part.len()).any(|window| window == part)
                    };
                    for range in places(&bytes) {
                        let is_it = holds(&range, &id) || holds(&range, b"mark-0050-of");
                        if bytes[range.start + 2] == kind && is_it {
                            damaged[range.start + 8] ^= 1;
                        }
                    }
                }
                let account =
                    place.salvaged(&damaged, &case).unwrap_or_else(|error| panic!("{case}: {error}"));
                let journal = open(&place.new_file());
                let now = seen(&journal, &case);
                assert!(now.to_be_sent.is_disjoint(&now.parked), "{case}: {account:?}");
                assert!(!now.to_be_sent.contains(&key(1)), "{case}: {account:?}");
                assert!(!gives_up || !now.to_be_sent.contains(&key(0)), "{case}: {account:?}");
                for parked in journal.parked().unwrap().iter().filter(|parked| parked.key == key(0)) {
                    doubted += 1;
                    let reason = reason(parked);
                    assert_eq!(reason.matches(MAY_BE_DONE).count(), 1, "{case}: {reason}");
                    let is_told = |judged: &Judged| {
                        matches!(judged, Judged::ParkedAgain { .. } | Judged::Parked { .. })
                    };
                    assert!(account.judged.iter().any(is_told), "{case}: {account:?}");
                    if outcome == refused("not like this") {
                        assert!(reason.ends_with("it was refused before: not like this"), "{case}: {reason}");
                    }
                }
            }
        }
    }
    println!("{doubted} times nobody could tell");
    assert!(doubted > 0);
}

#[test]
fn a_parked_effect_whose_checksum_is_what_is_damaged_is_parked_again_from_an_older_copy() {
    let mut again = 0;
    for settled in SETTLED {
        let place = Place::new();
        let journal = with_free_pages(&place.damaged(), settled);
        append(&journal, 0..2, true);
        settle(&journal, &refused("not like this"));
        append(&journal, 4..6, true);
        settle(&journal, &refused("nor like this"));
        drop(journal);
        let bytes = std::fs::read(place.damaged()).unwrap();
        let id = key(1).id().into_bytes();
        let of_it = places(&bytes).into_iter().filter(|range| {
            bytes[range.start + 2] == PARKED && bytes[range.clone()].windows(16).any(|at| at == id)
        });
        for (of, has_header) in of_it.flat_map(|of| [(of.clone(), true), (of, false)]) {
            let mut damaged = bytes.clone();
            damaged[of.start + 8] ^= 1;
            if !has_header {
                damaged[..PAGE].fill(0);
            }
            let case = format!("{settled} settled, at {}, header: {has_header}", of.start);
            let account = place.salvaged(&damaged, &case).unwrap();
            let journal = open(&place.new_file());
            let now = seen(&journal, &case);
            assert_eq!(now.to_be_sent, BTreeSet::new(), "{case}: {account:?}");
            let parked = journal.parked().unwrap();
            let it = parked.iter().find(|parked| parked.key == key(1));
            let is_doubted = it.is_some_and(|parked| reason(parked).starts_with(MAY_BE_DONE));
            let is_told = account.judged.contains(&Judged::ParkedAgain { entities: 1 });
            assert_eq!(is_doubted, is_told, "{case}: {account:?}");
            assert_eq!(parked.len(), 3 + usize::from(it.is_some()), "{case}: {account:?}");
            again += u64::from(is_doubted);
        }
    }
    println!("{again} times it lay elsewhere, too");
    assert!(again > 0);
}

/// The pages on which values of a kind lie.
fn pages_of(bytes: &[u8], kind: u8) -> Vec<Vec<u8>> {
    let of = places(bytes).into_iter().filter(|range| bytes[range.start + 2] == kind);
    let pages: BTreeSet<usize> = of.map(|range| range.start / PAGE * PAGE).collect();
    pages.into_iter().map(|page| bytes[page..page + PAGE].to_vec()).collect()
}

/// Lays pages behind a file's own, as they lie in files that were larger once.
fn lies_there_too(bytes: &mut Vec<u8>, pages: &[Vec<u8>]) {
    bytes.resize(bytes.len().next_multiple_of(PAGE), 0);
    bytes.extend(pages.iter().flatten());
}

#[test]
fn of_several_texts_of_bunches_none_is_taken_for_that_of_the_open_one_which_is_gone() {
    for others in 1..3 {
        let place = Place::new();
        let journal = options().create(place.damaged()).unwrap();
        let mut texts = Vec::new();
        for number in 0..others {
            append(&journal, number..number + 1, true);
            journal.seal(Limits::default()).unwrap().unwrap();
            texts.extend(pages_of(&std::fs::read(place.damaged()).unwrap(), TEXT).pop());
            settle(&journal, &accepted());
        }
        append(&journal, 3..5, true);
        journal.seal(Limits::default()).unwrap().unwrap();
        drop(journal);
        let mut bytes = std::fs::read(place.damaged()).unwrap();
        spoilt(&mut bytes, TEXT);
        lies_there_too(&mut bytes, &texts);
        let case = format!("{others} others");
        let account = place.salvaged(&bytes, &case).unwrap();
        // Of several it is not known which one it was, and of one it is seen that it was another bunch's.
        let told = ["piece 0 of the text of bunch 2", "piece of the open bunch 0"];
        let is_told = |found: &Finding| told.contains(&found.place.as_str());
        assert!(account.unreadable.iter().any(is_told), "{case}: {account:?}");
        assert_eq!(account.judged.len() as u64, 2 - others, "{case}: {account:?}");
        let journal = open(&place.new_file());
        assert_eq!(journal.open_bunch().unwrap(), None, "{case}: {account:?}");
        assert_eq!(seen(&journal, &case).to_be_sent, keys(3..5), "{case}: {account:?}");
        assert!(journal.status().unwrap().set_aside_values > 0, "{case}: {account:?}");
    }
}
