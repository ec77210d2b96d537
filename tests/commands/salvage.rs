//! Salvage: whatever is done to a file, what is readable of it goes to a new one, which verifies; nothing that was
//! acknowledged and lies in undamaged bytes is lost, nothing comes out of nowhere, nothing settled is sent again, and
//! neither a byte of the damaged file is written nor a new one left behind that is not whole.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics has failed")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::cli::{ID, done, line, run, text};
use crate::prepared::{key, observed, options, patch, prepared, state, trigger};
use foldlog::algebra::{
    CollectionName, EntityKey, Epoch, Limits, Operation, Outcome, Outcomes, Resulting, Row, Schema,
};
use foldlog::authority::FileAuthority;
use foldlog::journal::{
    Durability, Error, Journal, Judged, Listing, LostName, Options, Reading, Salvaged, salvage, verify,
};
use foldlog::replica::Replica;
use redb::ReadableTable;
use serde_json::Value;

pub(super) const PAGE: usize = 4096;

/// The numbers of two kinds of frames.
const PAYLOAD: u8 = 4;
pub(super) const PARKED: u8 = 7;

/// A folder with a damaged file in it, and room for a new one.
pub(super) struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub(super) fn new() -> Self {
        Place { folder: tempfile::tempdir().unwrap() }
    }

    pub(super) fn damaged(&self) -> PathBuf {
        self.folder.path().join("damaged")
    }

    pub(super) fn new_file(&self) -> PathBuf {
        self.folder.path().join("new")
    }

    /// Salvages these bytes, and looks at what must hold whatever they are.
    pub(super) fn salvaged(&self, bytes: &[u8], case: &str) -> Result<Salvaged, Error> {
        let _ = std::fs::remove_file(self.new_file());
        std::fs::write(self.damaged(), bytes).unwrap();
        let done = salvage(self.damaged(), self.new_file(), LostName::Refused);
        assert!(std::fs::read(self.damaged()).unwrap() == bytes, "{case}: the damaged file was written");
        let files = std::fs::read_dir(self.folder.path()).unwrap().count();
        match &done {
            Ok(account) => {
                assert_eq!(files, 2, "{case}: something is left over");
                assert_eq!(verify(self.new_file()).unwrap().findings, [], "{case}: {account:?}");
                let listed = account.unreadable.len() as u64;
                assert!(listed <= account.unreadable_count, "{case}: {account:?}");
                assert_eq!(
                    account.reading == Reading::Copied,
                    account.unreadable_count == 0,
                    "{case}: {account:?}"
                );
            }
            Err(error) => {
                assert_eq!(files, 1, "{case}: something is left over: {error}");
                assert!(error.is_damage() && error.to_string().contains("damaged"), "{case}: {error:?}");
            }
        }
        done
    }
}

pub(super) fn open(path: &Path) -> Journal {
    options().open(path).unwrap()
}

/// The n-th entity's own text: nothing else has it.
fn mark(number: u64) -> String {
    format!("mark-{number:04}-of")
}

pub(super) fn create(number: u64) -> Operation {
    let fields = format!(r#"{{"m":"{}","t":"{}"}}"#, mark(number), "x".repeat(300));
    Operation::create(key(number), state(&fields))
}

pub(super) fn append(journal: &Journal, numbers: std::ops::Range<u64>, at_once: bool) {
    let operations: Vec<Operation> = numbers.map(create).collect();
    let batches = operations.chunks(if at_once { operations.len() } else { 1 });
    for batch in batches {
        journal.append(batch, Durability::Durable).unwrap();
    }
}

/// So many entities are ever created.
const ENTITIES: u64 = 400;

/// What was done last to a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    Appended,
    /// One at a time, so that the log's tree is deep.
    AppendedMuch,
    Settled,
    Compacted,
    /// And never closed.
    Killed,
}

const ALL_LAST: [Last; 5] =
    [Last::Appended, Last::AppendedMuch, Last::Settled, Last::Compacted, Last::Killed];

/// A journal of creates: some settled, one parked, some that were parked and no longer are, some in the run, some in the open
/// bunch, some in the log.
fn marked(path: &Path, last: Last) -> Vec<u8> {
    let journal = options().create(path).unwrap();
    let row = |n: u64| Row { key: key(n), state: Some(state(r#"{"far":1}"#)), epoch: Some(Epoch(n)) };
    journal.baseline(&(100..110).map(row).collect::<Vec<_>>(), Listing::Partial).unwrap();
    append(&journal, 0..30, false);
    journal.compact().unwrap();
    let bunch = journal.seal(Limits { operations: 10, ..Limits::default() }).unwrap().unwrap();
    let outcome = |place: usize| match place {
        3..=6 => Outcome::Refused { reason: "not like this".to_owned() },
        _ => Outcome::Accepted { epoch: Some(Epoch(500)), result: Resulting::AsSent, overwrote: None },
    };
    let outcomes = (0..bunch.operations.len()).map(outcome).collect();
    journal.settle(&Outcomes { bunch: bunch.number, outcomes }).unwrap();
    append(&journal, 30..60, true);
    // What was parked is edited, sent again or given up, but for the first.
    let edit = Operation::patch(key(4), patch(&format!(r#"{{"m":"{}","edited":true}}"#, mark(4))));
    journal.append(&[edit], Durability::Durable).unwrap();
    journal.retry(&key(5)).unwrap();
    assert!(journal.discard(&key(6)).unwrap());
    journal.compact().unwrap();
    journal.seal(Limits { operations: 8, ..Limits::default() }).unwrap().unwrap();
    journal.receive(&[trigger(1, 100, 900), trigger(2, 101, 901)]).unwrap();
    append(&journal, 60..75, true);
    append(&journal, 75..90, false);
    let accepted =
        |_| Outcome::Accepted { epoch: Some(Epoch(600)), result: Resulting::AsSent, overwrote: None };
    match last {
        Last::Appended | Last::Killed => {}
        Last::AppendedMuch => append(&journal, 90..ENTITIES, false),
        Last::Settled => {
            let bunch = journal.open_bunch().unwrap().unwrap();
            let outcomes = (0..bunch.operations.len()).map(accepted).collect();
            journal.settle(&Outcomes { bunch: bunch.number, outcomes }).unwrap();
        }
        Last::Compacted => journal.compact().unwrap(),
    }
    if last == Last::Killed {
        let bytes = std::fs::read(path).unwrap();
        drop(journal);
        std::fs::write(path, &bytes).unwrap();
        return bytes;
    }
    drop(journal);
    std::fs::read(path).unwrap()
}

/// What a journal has of its entities, by where that is.
pub(super) struct Seen {
    pub(super) to_be_sent: BTreeSet<EntityKey>,
    pub(super) parked: BTreeSet<EntityKey>,
}

pub(super) fn seen(journal: &Journal, case: &str) -> Seen {
    let plan = journal.plan().unwrap();
    let mut to_be_sent = BTreeSet::new();
    let open = journal.open_bunch().unwrap();
    for planned in plan.operations.iter().chain(open.iter().flat_map(|bunch| &bunch.operations)) {
        require_own(&planned.operation.key, &format!("{:?}", planned.operation.change), case);
        to_be_sent.insert(planned.operation.key.clone());
    }
    assert_eq!(plan.nothing, [], "{case}");
    let mut parked = BTreeSet::new();
    for effect in journal.parked().unwrap() {
        require_own(&effect.key, &format!("{:?}", effect.effect.content), case);
        parked.insert(effect.key);
    }
    Seen { to_be_sent, parked }
}

/// An entity has its own text, and nobody else's.
fn require_own(of: &EntityKey, content: &str, case: &str) {
    let number = (0..ENTITIES).find(|number| key(*number) == *of);
    let number = number.unwrap_or_else(|| panic!("{case}: {of} was never appended"));
    assert!(content.contains(&mark(number)), "{case}: {of} has {content}");
    assert_eq!(content.matches("mark-").count(), 1, "{case}: {of} has {content}");
}

/// Where values lie.
pub(super) fn places(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let is_frame = |at: &usize| bytes[*at..].starts_with(b"fl") && bytes[*at + 3] == 1;
    let all = (0..bytes.len() - 24).filter(is_frame).map(|at| {
        let body = u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap()) as usize;
        at..at + 24 + body
    });
    all.filter(|range| range.end <= bytes.len()).collect()
}

/// The marked journal, and what is known of it.
struct Marked {
    bytes: Vec<u8>,
    before: Seen,
    /// By entity: where something lies that may be needed to read it.
    needed: Vec<(EntityKey, Vec<std::ops::Range<usize>>)>,
    place: Place,
    figures: Figures,
    last_seq: u64,
    /// So much of the head of every page is not needed to read it.
    head_bytes: usize,
    /// Whether so much is gone that nothing may tell any more that something was committed since.
    may_be_older: bool,
}

#[derive(Debug, Default)]
struct Figures {
    copied: u64,
    engine: u64,
    pages: u64,
    parked: u64,
    refused: u64,
}

impl Marked {
    fn new(last: Last) -> Self {
        let place = Place::new();
        let bytes = marked(&place.damaged(), last);
        let journal = open(&place.damaged());
        let (before, last_seq) = (seen(&journal, "sound"), journal.status().unwrap().appended);
        drop(journal);
        let places = places(&bytes);
        let has = |range: &std::ops::Range<usize>, needle: &[u8]| {
            bytes[range.clone()].windows(needle.len()).any(|window| window == needle)
        };
        let needed = (0..ENTITIES)
            .filter(|n| before.to_be_sent.contains(&key(*n)) || before.parked.contains(&key(*n)));
        let needed = needed.map(|number| {
            let (id, text) = (key(number).id().into_bytes(), mark(number));
            let of = places.iter().filter(|range| has(range, &id) || has(range, text.as_bytes()));
            (key(number), of.cloned().collect())
        });
        let needed = needed.collect();
        Marked {
            bytes,
            before,
            needed,
            place,
            figures: Figures::default(),
            last_seq,
            head_bytes: 0,
            may_be_older: false,
        }
    }

    /// Salvages what damage made of it, and looks at what came of that.
    fn try_it(&mut self, damaged: &[u8], case: &str) {
        let account = match self.place.salvaged(damaged, case) {
            Ok(account) => account,
            Err(error) => {
                let is_gone = matches!(error, Error::NameLost { .. } | Error::NotSalvaged { .. });
                // Whatever is left fits together.
                let is_gone = is_gone && !error.to_string().contains("makes no journal");
                assert!(is_gone, "{case}: {error}");
                self.figures.refused += 1;
                return;
            }
        };
        match account.reading {
            Reading::Copied => self.figures.copied += 1,
            Reading::Engine => self.figures.engine += 1,
            Reading::Pages => self.figures.pages += 1,
        }
        let journal = open(&self.place.new_file());
        let now = seen(&journal, case);
        for (of, places) in &self.needed {
            // With the key, which lies before it in its page.
            let is_same = |range: &std::ops::Range<usize>| {
                let range = range.start / PAGE * PAGE + self.head_bytes..range.end;
                damaged.get(range.clone()) == Some(&self.bytes[range])
            };
            if places.iter().all(is_same) {
                assert!(
                    now.to_be_sent.contains(of) || now.parked.contains(of),
                    "{case}: {of} is lost: {account:?}"
                );
            }
        }
        let is_doubted = account.judged.iter().any(|judged| matches!(judged, Judged::Parked { .. }));
        self.figures.parked += u64::from(is_doubted);
        if is_doubted {
            assert_eq!(now.to_be_sent, BTreeSet::new(), "{case}: something is sent unasked");
        } else if !self.may_be_older {
            let before = &self.before;
            let again: Vec<&EntityKey> =
                now.to_be_sent.iter().filter(|of| !before.to_be_sent.contains(of)).collect();
            assert!(again.is_empty(), "{case}: sent again: {again:?} {account:?}");
        }
        // Life goes on, and no number is given out twice.
        let appended = journal.append(&[create(7)], Durability::Durable).unwrap();
        assert!(appended.first.0 > self.last_seq || self.may_be_older, "{case}: {appended:?} {account:?}");
        journal.seal(Limits::default()).unwrap();
        drop(journal);
        assert_eq!(verify(self.place.new_file()).unwrap().findings, [], "{case}");
    }
}

#[test]
fn a_sound_file_is_copied_with_an_empty_account() {
    let place = Place::new();
    for has_open_bunch in [false, true] {
        let storage = prepared(has_open_bunch);
        let before = observed(&crate::prepared::open(&storage.snapshot()).unwrap());
        let account = place.salvaged(&storage.bytes(), "sound").unwrap();
        assert_eq!(
            (account.reading, account.unreadable_count, account.judged.len()),
            (Reading::Copied, 0, 0)
        );
        assert!(account.values > 20 && account.bases > 8, "{account:?}");
        assert_eq!(observed(&open(&place.new_file())), before);
    }
}

#[test]
fn a_file_that_was_never_closed_is_copied_too() {
    let place = Place::new();
    let bytes = marked(&place.damaged(), Last::Killed);
    let before = seen(&open(&place.damaged()), "sound");
    let account = place.salvaged(&bytes, "never closed").unwrap();
    assert_eq!((account.reading, account.unreadable_count), (Reading::Copied, 0));
    let now = seen(&open(&place.new_file()), "copied");
    assert_eq!((now.to_be_sent, now.parked), (before.to_be_sent, before.parked));
}

#[test]
fn with_its_header_gone_everything_of_a_journal_is_still_there() {
    let place = Place::new();
    for has_open_bunch in [false, true] {
        let storage = prepared(has_open_bunch);
        let before = observed(&crate::prepared::open(&storage.snapshot()).unwrap());
        for gone in [9, 320, PAGE] {
            let mut bytes = storage.bytes();
            bytes[..gone].fill(0);
            let account = place.salvaged(&bytes, "no header").unwrap();
            assert_eq!(account.reading, Reading::Pages);
            assert!(
                !account.judged.iter().any(|judged| matches!(judged, Judged::Parked { .. })),
                "{account:?}"
            );
            let now = observed(&open(&place.new_file()));
            let (now, before): (Vec<&str>, Vec<&str>) = (now.lines().collect(), before.lines().collect());
            // All but the last line, which counts what was appended.
            assert_eq!(now[..now.len() - 1], before[..before.len() - 1], "{gone} bytes");
        }
    }
}

#[test]
fn whatever_page_is_zeroed_nothing_is_lost_that_lies_elsewhere() {
    for last in ALL_LAST {
        let mut marked = Marked::new(last);
        let bytes = marked.bytes.clone();
        for has_header in [true, false] {
            for page in (0..bytes.len()).step_by(PAGE) {
                let mut damaged = bytes.clone();
                let end = bytes.len().min(page + PAGE);
                if damaged[page..end].iter().all(|byte| *byte == 0) {
                    continue;
                }
                damaged[page..end].fill(0);
                if !has_header {
                    damaged[..PAGE].fill(0);
                }
                marked.try_it(&damaged, &format!("{last:?}: page at {page}, header: {has_header}"));
            }
        }
        println!("{last:?}: {:?}", marked.figures);
        assert!(marked.figures.pages > 10 && marked.figures.refused <= 3, "{last:?}: {:?}", marked.figures);
    }
}

#[test]
fn wherever_a_file_is_cut_off_nothing_is_lost_that_is_left() {
    let mut marked = Marked::new(Last::Appended);
    let bytes = marked.bytes.clone();
    let used = bytes.len() - bytes.iter().rev().take_while(|byte| **byte == 0).count();
    for len in (1..used).step_by(512).chain((PAGE..used).step_by(PAGE)) {
        marked.try_it(&bytes[..len], &format!("cut off at {len}"));
    }
    println!("{:?}", marked.figures);
    assert!(marked.figures.pages > 10);
}

#[test]
fn whatever_bit_is_flipped_nothing_is_lost_that_lies_elsewhere() {
    let mut marked = Marked::new(Last::Appended);
    let bytes = marked.bytes.clone();
    let used = bytes.len() - bytes.iter().rev().take_while(|byte| **byte == 0).count();
    // The head of every page, and a sample of all the others.
    let heads = (0..used).step_by(PAGE).flat_map(|page| (0..16).step_by(3).map(move |byte| page + byte));
    for (number, place) in heads.chain((0..used).step_by(used / 250)).enumerate() {
        let mut damaged = bytes.clone();
        damaged[place] ^= 1 << (number % 8);
        marked.try_it(&damaged, &format!("byte {place}"));
    }
    println!("{:?}", marked.figures);
    assert!(marked.figures.pages > 100);
}

#[test]
fn whatever_is_done_to_a_file_at_once_nothing_is_lost_that_lies_elsewhere() {
    let cases = std::env::var("SALVAGE_CASES").map_or(60, |cases| cases.parse().unwrap());
    for last in ALL_LAST {
        let mut marked = Marked::new(last);
        marked.may_be_older = true;
        let bytes = marked.bytes.clone();
        for seed in 0..cases {
            let mut random = Random(seed * 7 + 1);
            let mut damaged = bytes.clone();
            for _ in 0..1 + random.below(6) {
                let at = random.below(damaged.len());
                let page = at / PAGE * PAGE..damaged.len().min((at / PAGE + 1) * PAGE);
                match random.below(7) {
                    0 => damaged[..PAGE.min(at)].fill(0),
                    1 => damaged.truncate(at.max(PAGE)),
                    2 => damaged[at] ^= 1 << random.below(8),
                    3 => {
                        // As it was at another time, or somewhere else.
                        let from = random.below(damaged.len()) / PAGE * PAGE;
                        let other = damaged[from..damaged.len().min(from + PAGE)].to_vec();
                        let len = other.len().min(page.len());
                        damaged[page][..len].copy_from_slice(&other[..len]);
                    }
                    4 => damaged[page]
                        .iter_mut()
                        .for_each(|byte| *byte = byte.wrapping_mul(31).wrapping_add(7)),
                    _ => damaged[page].fill(0),
                }
            }
            marked.try_it(&damaged, &format!("{last:?}: seed {seed}"));
        }
        println!("{last:?}: {:?}", marked.figures);
    }
}

/// Numbers that look drawn (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap()
    }
}

#[test]
fn what_a_page_says_of_itself_is_not_needed_to_read_it() {
    let mut marked = Marked::new(Last::Appended);
    marked.head_bytes = 4;
    let bytes = marked.bytes.clone();
    for page in (PAGE..bytes.len()).step_by(PAGE) {
        let mut damaged = bytes.clone();
        damaged[page..page + 4].fill(0xee);
        marked.try_it(&damaged, &format!("the head of the page at {page}"));
    }
    println!("{:?}", marked.figures);
}

#[test]
fn what_is_no_damaged_journal_is_refused_by_name() {
    let place = Place::new();
    let refused = || salvage(place.damaged(), place.new_file(), LostName::Refused).unwrap_err();
    assert!(matches!(refused(), Error::Missing { .. }));
    let file = std::fs::File::create(place.damaged()).unwrap();
    assert!(refused().to_string().contains("the file is empty"));
    drop(file);
    std::fs::write(place.damaged(), b"These are words. ".repeat(1_000)).unwrap();
    assert!(refused().to_string().contains("nothing of a journal is left in it"));
    std::fs::remove_file(place.damaged()).unwrap();
    drop(FileAuthority::create(place.damaged(), None).unwrap());
    assert!(refused().to_string().contains("it is an authority's file"));
    let mut bytes = std::fs::read(place.damaged()).unwrap();
    bytes[..PAGE].fill(0);
    std::fs::write(place.damaged(), &bytes).unwrap();
    assert!(refused().to_string().contains("it is an authority's file"));
    std::fs::remove_file(place.damaged()).unwrap();
    let journal = Journal::create(place.damaged()).unwrap();
    assert!(matches!(refused(), Error::Locked { .. }));
    drop(journal);
    std::fs::write(place.new_file(), b"somebody's").unwrap();
    assert!(matches!(refused(), Error::Exists { .. }));
    assert_eq!(std::fs::read(place.new_file()).unwrap(), b"somebody's");
}

#[test]
fn a_database_of_another_program_is_no_damaged_journal() {
    let place = Place::new();
    let engine = redb::Database::create(place.damaged()).unwrap();
    let txn = engine.begin_write().unwrap();
    txn.open_table(redb::TableDefinition::<u64, &[u8]>::new("theirs"))
        .unwrap()
        .insert(1, &b"one"[..])
        .unwrap();
    txn.commit().unwrap();
    drop(engine);
    let refused = salvage(place.damaged(), place.new_file(), LostName::Drawn).unwrap_err();
    assert!(refused.to_string().contains("it is a database of another program"), "{refused}");
    assert!(!place.new_file().exists());
}

#[test]
fn of_a_damaged_file_of_another_program_no_journal_is_made() {
    for is_authoritys in [true, false] {
        let place = Place::new();
        if is_authoritys {
            drop(FileAuthority::create(place.damaged(), None).unwrap());
        } else {
            let engine = redb::Database::create(place.damaged()).unwrap();
            let txn = engine.begin_write().unwrap();
            let theirs = redb::TableDefinition::<u64, &[u8]>::new("theirs");
            txn.open_table(theirs).unwrap().insert(1, &b"one"[..]).unwrap();
            txn.commit().unwrap();
        }
        let bytes = std::fs::read(place.damaged()).unwrap();
        for page in (0..bytes.len()).step_by(PAGE) {
            let mut damaged = bytes.clone();
            let end = bytes.len().min(page + PAGE);
            damaged[page..end].fill(0);
            if damaged == bytes {
                continue;
            }
            std::fs::write(place.damaged(), &damaged).unwrap();
            let refused = salvage(place.damaged(), place.new_file(), LostName::Drawn).unwrap_err();
            assert!(matches!(refused, Error::NotSalvaged { .. }), "page at {page}: {refused}");
            assert!(!place.new_file().exists());
        }
    }
}

#[test]
fn where_the_new_file_cannot_be_made_it_is_said_what_is_missing() {
    let place = Place::new();
    drop(options().create(place.damaged()).unwrap());
    let refused = salvage(place.damaged(), place.damaged().join("in/new"), LostName::Refused).unwrap_err();
    assert!(matches!(&refused, Error::Io { .. }), "{refused:?}");
    let folder = place.new_file().join("no-folder");
    let refused = salvage(place.damaged(), folder.join("new"), LostName::Refused).unwrap_err();
    assert!(refused.to_string().contains("the folder that it is to be in must be there"), "{refused}");
    // Somebody's folder has the name that the new one has until it is whole.
    std::fs::create_dir(place.new_file().with_extension("salvaging")).unwrap();
    let refused = salvage(place.damaged(), place.new_file(), LostName::Refused).unwrap_err();
    assert!(
        matches!(&refused, Error::Io { doing, .. } if doing.ends_with("new cannot be made")),
        "{refused:?}"
    );
    assert!(!place.new_file().exists());
}

#[test]
fn what_was_judged_is_said_in_words() {
    let all = [
        (Judged::CommitBefore, "the one before it counts"),
        (Judged::NewestWhole, "the newest counts that is whole"),
        (Judged::Parked { entities: 31 }, "of 31 entities may have been sent, so it is parked"),
        (Judged::Recalled { values: 32 }, "32 values that are gone from their places"),
        (Judged::ParkedAgain { entities: 33 }, "nothing tells of 33 entities that were parked"),
        (Judged::ReadAnew, "what the authority holds: it is asked for anew"),
        (Judged::NewName, "it has a new one"),
    ];
    for (judged, said) in all {
        assert!(judged.to_string().contains(said), "{judged}");
    }
}

#[test]
fn without_its_name_a_journal_gets_a_new_one_only_if_asked_and_parks_everything() {
    let place = Place::new();
    let mut bytes = prepared(true).bytes();
    // Wherever an identity lies.
    for at in 0..bytes.len() - 4 {
        if bytes[at..].starts_with(b"fl\x01\x01") {
            bytes[at + 8] ^= 1;
        }
    }
    let refused = place.salvaged(&bytes, "no name").unwrap_err();
    assert!(
        matches!(refused, Error::NameLost { .. }) && refused.to_string().contains("--new-name"),
        "{refused}"
    );
    let account = salvage(place.damaged(), place.new_file(), LostName::Drawn).unwrap();
    assert!(account.judged.contains(&Judged::NewName), "{account:?}");
    let journal = open(&place.new_file());
    assert_eq!(journal.replica(), account.replica);
    assert!(journal.plan().unwrap().operations.is_empty() && journal.open_bunch().unwrap().is_none());
    assert!(account.status.parked.entities > 10, "{account:?}");
    // What is retried is sent, whether it was sent under the old name or not.
    let parked = journal.parked().unwrap();
    journal.retry(&parked[0].key).unwrap();
    assert_eq!(journal.plan().unwrap().operations.len(), 1);
}

#[test]
fn where_the_state_is_gone_what_may_have_been_sent_is_parked() {
    let mut marked = Marked::new(Last::Appended);
    let mut damaged = marked.bytes.clone();
    for at in 0..damaged.len() - 4 {
        if damaged[at..].starts_with(b"fl\x02\x01") {
            damaged[at + 8] ^= 1;
        }
    }
    marked.try_it(&damaged, "no state");
    assert_eq!(marked.figures.parked, 1);
    let journal = open(&marked.place.new_file());
    assert!(journal.parked().unwrap().len() >= marked.before.to_be_sent.len() - 1);
    drop(journal);
}

/// A replica's file: units with plots, some synchronised by hand, most unsent.
fn replica(path: &Path) -> Vec<(EntityKey, String)> {
    let schema = r#"{"collections":{"units":{"unique":[["code"]]},
        "plots":{"references":{"unit":{"to":"units","on_delete":"cascade"}}}}}"#;
    let replica = Replica::create(path, options().schema(Schema::from_json(schema).unwrap())).unwrap();
    let of = |name: &str, n: u128| {
        EntityKey::new(CollectionName::new(name).unwrap(), foldlog::Uuid::from_u128(n + 1)).unwrap()
    };
    let unit = |n: u128| Operation::create(of("units", n), state(&format!(r#"{{"code":{n}}}"#)));
    let plot = |n: u128| {
        let fields = format!(r#"{{"number":{n},"unit":"{}"}}"#, of("units", n % 5).id());
        Operation::create(of("plots", n), state(&fields))
    };
    replica.commit(&(0..5).map(unit).collect::<Vec<_>>(), Durability::Durable).unwrap();
    for n in 0..40 {
        replica.commit(&[plot(n)], Durability::Durable).unwrap();
    }
    replica
        .commit(&[Operation::patch(of("plots", 3), patch(r#"{"number":99}"#))], Durability::Durable)
        .unwrap();
    let keys = (0..5).map(|n| of("units", n)).chain((0..40).map(|n| of("plots", n)));
    keys.map(|key| (key.clone(), replica.get(&key).unwrap().unwrap().as_json().to_owned())).collect()
}

#[test]
fn the_file_of_a_replica_shows_what_it_showed() {
    let place = Place::new();
    let before = replica(&place.damaged());
    let bytes = std::fs::read(place.damaged()).unwrap();
    let (mut same, mut fewer) = (0, 0);
    for page in 0..bytes.len() / PAGE {
        let mut damaged = bytes.clone();
        damaged[page * PAGE..(page + 1) * PAGE].fill(0);
        if damaged == bytes {
            continue;
        }
        let case = format!("page {page}");
        let account = match place.salvaged(&damaged, &case) {
            Ok(account) => account,
            Err(error) => {
                // Nothing was done since it was made that would have left its name elsewhere.
                assert!(matches!(error, Error::NameLost { .. }), "{case}: {error}");
                let account = salvage(place.damaged(), place.new_file(), LostName::Drawn).unwrap();
                assert_eq!(
                    (account.status.parked.entities, account.status.pending.entities),
                    (45, 0),
                    "{account:?}"
                );
                continue;
            }
        };
        assert!(open(&place.new_file()).is_of_replica(), "{case}: {account:?}");
        let replica = Replica::open(place.new_file(), Options::new()).unwrap();
        let seen = |(key, state): &&(EntityKey, String)| {
            let now = replica.get(key).unwrap();
            now.is_none_or(|now| now.as_json() != *state)
        };
        if before.iter().find(seen).is_some() {
            fewer += 1
        } else {
            same += 1
        }
        drop(replica);
        assert_eq!(verify(place.new_file()).unwrap().findings, [], "{case}");
    }
    println!("{same} as before, {fewer} with less");
    assert!(same > fewer);
}

#[test]
fn the_command_says_what_it_did() {
    let place = Place::new();
    let (damaged, new) = (place.damaged(), place.new_file());
    let (from, to) = (text(&damaged), text(&new));
    let create = r#"{"op":"create","collection":"notes","id":"ID","state":{"a":1}}"#;
    done(&["append", from], line(create));
    let ran = run(&["salvage", from, to], "");
    assert_eq!((ran.code, ran.out.as_str()), (0, ""));
    assert!(ran.err.contains("nothing is damaged, so it is a copy"), "{}", ran.err);
    let ran = run(&["salvage", from, to], "");
    assert!(ran.code == 1 && ran.err.contains("already; name a file that is not there"), "{}", ran.err);
    std::fs::remove_file(&new).unwrap();
    let mut bytes = std::fs::read(&damaged).unwrap();
    bytes[..PAGE].fill(0);
    std::fs::write(&damaged, &bytes).unwrap();
    let ran = run(&["salvage", from, to], "");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("the engine's pages: "), "{}", ran.out);
    for said in
        ["page by page; 1 thing could not be read", "nothing tells which commit was the last", "pending"]
    {
        assert!(ran.err.contains(said), "{said}: {}", ran.err);
    }
    done(&["verify", to], "");
    assert!(done(&["plan", to], "").contains(ID));
    std::fs::remove_file(&new).unwrap();
    let json: Value = serde_json::from_str(&done(&["salvage", from, to, "--json"], "")).unwrap();
    assert_eq!((&json["reading"], &json["unreadable_count"]), (&Value::from("pages"), &Value::from(1)));
    assert!(
        json["status"]["pending"]["operations"].as_u64() > Some(0) && json["judged"].is_array(),
        "{json}"
    );
}

#[test]
fn what_the_engine_reads_is_salvaged_by_the_engine() {
    let place = Place::new();
    marked(&place.damaged(), Last::Appended);
    let before = seen(&open(&place.damaged()), "sound");
    let rows = redb::TableDefinition::<u64, &[u8]>::new("log_rows");
    let engine = redb::Database::open(place.damaged()).unwrap();
    let txn = engine.begin_write().unwrap();
    {
        let mut rows = txn.open_table(rows).unwrap();
        // The log's last value but one: an operation alone.
        let mut value = rows.get(90).unwrap().unwrap().value().to_owned();
        *value.last_mut().unwrap() ^= 1;
        rows.insert(90, value.as_slice()).unwrap();
    }
    txn.commit().unwrap();
    drop(engine);
    let bytes = std::fs::read(place.damaged()).unwrap();
    let account = place.salvaged(&bytes, "a value").unwrap();
    assert_eq!((account.reading, account.unreadable_count), (Reading::Engine, 1));
    let [found] = &account.unreadable[..] else { panic!("{account:?}") };
    assert_eq!(
        (found.place.as_str(), found.what.as_str()),
        ("the log's rows from operation 90", "the checksum does not agree")
    );
    let now = seen(&open(&place.new_file()), "salvaged");
    // Sequence numbers begin with 1, entities with 0, and one of them was edited.
    let lost: Vec<&EntityKey> = before.to_be_sent.difference(&now.to_be_sent).collect();
    assert_eq!((lost, now.parked), (vec![&key(88)], before.parked));
}

/// What became of an entity that was parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Since {
    Edited,
    Accepted,
    Discarded,
}

/// Settles what is open, all of it alike.
pub(super) fn settle(journal: &Journal, outcome: &Outcome) {
    let bunch = journal.seal(Limits::default()).unwrap().unwrap();
    let outcomes = vec![outcome.clone(); bunch.operations.len()];
    journal.settle(&Outcomes { bunch: bunch.number, outcomes }).unwrap();
}

/// A journal of entities that were parked, of which the first no longer is.
fn taken_out(path: &Path, since: Since, before: u64, parked: u64) -> Vec<u8> {
    let journal = options().create(path).unwrap();
    let accepted = Outcome::Accepted { epoch: Some(Epoch(7)), result: Resulting::AsSent, overwrote: None };
    // So that there are free pages: the engine uses them before those of what was parked.
    append(&journal, 100..100 + before, false);
    settle(&journal, &accepted);
    append(&journal, 0..parked, true);
    settle(&journal, &Outcome::Refused { reason: "not like this".to_owned() });
    match since {
        Since::Discarded => assert!(journal.discard(&key(0)).unwrap()),
        Since::Edited | Since::Accepted => {
            let edit = Operation::patch(key(0), patch(r#"{"edited":true}"#));
            journal.append(&[edit], Durability::Durable).unwrap();
        }
    }
    if since == Since::Accepted {
        settle(&journal, &accepted);
    }
    drop(journal);
    std::fs::read(path).unwrap()
}

#[test]
fn what_is_no_longer_parked_is_not_parked_again_unless_nobody_can_tell() {
    let mut doubted = 0;
    let all = [Since::Edited, Since::Accepted, Since::Discarded];
    let shapes = [(40, 2), (40, 12), (100, 2), (100, 12)];
    for (since, (before, parked)) in all.into_iter().flat_map(|since| shapes.map(|shape| (since, shape))) {
        let place = Place::new();
        let bytes = taken_out(&place.damaged(), since, before, parked);
        let id = key(1).id().into_bytes();
        let of_other = places(&bytes).into_iter().filter(|range| {
            bytes[range.start + 2] == PARKED && bytes[range.clone()].windows(16).any(|at| at == id)
        });
        for range in of_other {
            let mut flipped = bytes.clone();
            flipped[range.end - 1] ^= 1;
            let mut zeroed = bytes.clone();
            zeroed[range.start / PAGE * PAGE..][..PAGE].fill(0);
            for (damaged, is_zeroed) in [(flipped, false), (zeroed, true)] {
                let case = format!("{since:?}, {before}, {parked}: {range:?}, zeroed: {is_zeroed}");
                let account =
                    place.salvaged(&damaged, &case).unwrap_or_else(|error| panic!("{case}: {error}"));
                let journal = open(&place.new_file());
                let now = seen(&journal, &case);
                assert_eq!(now.to_be_sent.contains(&key(0)), since == Since::Edited, "{case}: {account:?}");
                let parked_now = journal.parked().unwrap();
                let Some(again) = parked_now.iter().find(|parked| parked.key == key(0)) else { continue };
                doubted += 1;
                assert!(is_zeroed && since != Since::Edited, "{case}: {account:?}");
                let cause = format!("{:?}", again.cause);
                assert!(cause.contains("may have said that this was sent or given up"), "{case}: {cause}");
                let is_told = |judged: &Judged| matches!(judged, Judged::ParkedAgain { .. });
                assert!(account.judged.iter().any(is_told), "{case}: {account:?}");
            }
        }
    }
    println!("{doubted} times nobody could tell");
    assert!(doubted > 0);
}

#[test]
fn a_journal_that_says_of_an_entity_that_it_is_both_parked_and_pending_is_salvaged_with_all_of_it_parked() {
    let place = Place::new();
    let journal = options().create(place.damaged()).unwrap();
    append(&journal, 0..1, true);
    settle(&journal, &Outcome::Refused { reason: "not like this".to_owned() });
    drop(journal);
    let table = redb::TableDefinition::<&[u8], &[u8]>::new("parked");
    let engine = redb::Database::open(place.damaged()).unwrap();
    let txn = engine.begin_write().unwrap();
    let (at, value) = {
        let parked = txn.open_table(table).unwrap();
        let (at, value) = parked.first().unwrap().unwrap();
        (at.value().to_owned(), value.value().to_owned())
    };
    txn.abort().unwrap();
    drop(engine);
    let journal = open(&place.damaged());
    journal.append(&[Operation::patch(key(0), patch(r#"{"edited":true}"#))], Durability::Durable).unwrap();
    drop(journal);
    let engine = redb::Database::open(place.damaged()).unwrap();
    let txn = engine.begin_write().unwrap();
    txn.open_table(table).unwrap().insert(at.as_slice(), value.as_slice()).unwrap();
    txn.commit().unwrap();
    drop(engine);
    let account = place.salvaged(&std::fs::read(place.damaged()).unwrap(), "both").unwrap();
    let [found] = &account.unreadable[..] else { panic!("{account:?}") };
    assert!(found.what.contains("it is both parked and pending"), "{found:?}");
    let journal = open(&place.new_file());
    assert_eq!(journal.plan().unwrap().operations, []);
    let [parked] = &journal.parked().unwrap()[..] else { panic!("{account:?}") };
    assert!(format!("{:?}", parked.effect.content).contains("edited"), "{parked:?}");
}

#[test]
fn a_file_whose_pages_all_say_that_they_reach_to_its_end_takes_no_longer_for_it() {
    let place = Place::new();
    let mut bytes = vec![0; 32 << 20];
    let end = bytes.len();
    for page in (PAGE..end).step_by(PAGE) {
        // A leaf of one value, with a number for a key.
        let length = u32::try_from(end - page - 16 - 24).unwrap();
        bytes[page..page + 4].copy_from_slice(&[1, 0, 1, 0]);
        bytes[page + 4] = 16;
        bytes[page + 16..page + 20].copy_from_slice(&[b'f', b'l', PAYLOAD, 1]);
        bytes[page + 20..page + 24].copy_from_slice(&length.to_le_bytes());
    }
    let began = std::time::Instant::now();
    let refused = place.salvaged(&bytes, "hostile").unwrap_err();
    assert!(refused.to_string().contains("nothing of a journal is left in it"), "{refused}");
    let took = began.elapsed();
    println!("{took:?}");
    assert!(took.as_secs() < 20, "{took:?}");
}

#[test]
fn a_page_in_which_values_as_long_as_the_file_begin_everywhere_takes_no_longer_for_it() {
    let place = Place::new();
    let mut bytes = vec![0; 64 << 20];
    let end = bytes.len();
    // A leaf: in every layout that it may have, its first value begins where one seems to.
    let layouts = (PAGE - 8 - 4) / 12;
    for page in [1, 2, 3, 4].map(|page| page * PAGE) {
        bytes[page] = 1;
        bytes[page + 2..page + 4].copy_from_slice(&u16::try_from(layouts).unwrap().to_le_bytes());
        for value in (1..=layouts).map(|pairs| page + 4 + 12 * pairs) {
            bytes[value..value + 4].copy_from_slice(&[b'f', b'l', PAYLOAD, 1]);
            let length = u32::try_from(end - value - 24).unwrap();
            bytes[value + 4..value + 8].copy_from_slice(&length.to_le_bytes());
        }
    }
    let began = std::time::Instant::now();
    let refused = place.salvaged(&bytes, "hostile").unwrap_err();
    assert!(refused.to_string().contains("nothing of a journal is left in it"), "{refused}");
    let took = began.elapsed();
    println!("{took:?}");
    assert!(took.as_secs() < 10, "{took:?}");
}
