//! Crashes of the storage engine alone, below everything of ours: what the journal stands on.
//!
//! Mechanism under attack: one commit after another in the engine's three ways, in any mixture: not
//! durable (in memory until a durable one follows), one-phase (one sync, recovery by checksums) and
//! two-phase with quick-repair (the allocator's state saved with the commit). A crash is taken around
//! events of the storage, and what was unsynced is lost, kept, reordered and torn (the fault model of
//! `foldlog::testing::FaultyStorage`).
//!
//! Claim: the file opens, and holds exactly what some commit left behind: none earlier than the last
//! durable commit that was acknowledged, none later than the one under way. It holds for recovery that
//! is cut off by another crash too, and what recovery hands out can be written to.
//!
//! `FOLDLOG_CRASH_WORKLOADS` (default 12) says how many workloads are played; the long tier is 2,000.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test: it fails there")]

use std::io;
use std::sync::Arc;

use crate::engine::{Content, Way, change, open, read};
use crate::random::Random;
use foldlog::testing::{CrashPoint, FaultyStorage, Unsynced};
use redb::Database;

/// A commit of a workload, and between which events of the storage it happened.
struct Commit {
    begun: u64,
    acknowledged: u64,
    is_durable: bool,
    content: Arc<Content>,
}

/// What one workload did.
struct Played {
    disk: FaultyStorage,
    /// From this event on the file is a database.
    born: u64,
    /// The number of the commit before the first.
    first: u64,
    commits: Vec<Commit>,
}

#[derive(Debug, Default)]
struct Figures {
    workloads: u64,
    commits: u64,
    not_durable: u64,
    one_phase: u64,
    two_phase: u64,
    crash_points: u64,
    images: u64,
    unborn: u64,
    recoveries_cut_off: u64,
    written_to: u64,
    not_durable_kept: u64,
    acknowledged_lost: u64,
}

impl Figures {
    fn count(&mut self, way: Way) {
        self.commits += 1;
        match way {
            Way::NotDurable => self.not_durable += 1,
            Way::OnePhase => self.one_phase += 1,
            Way::TwoPhase => self.two_phase += 1,
        }
    }
}

fn play(
    disk: FaultyStorage,
    first: u64,
    start: Content,
    transactions: u64,
    random: &mut Random,
    figures: &mut Figures,
) -> Played {
    disk.record();
    let cache_bytes = [16 * 1024, 256 * 1024, 16 * 1024 * 1024][random.index(3)];
    let mut db = open(&disk, cache_bytes).unwrap();
    let born = disk.events();
    let mut content = start;
    let mut commits =
        vec![Commit { begun: 0, acknowledged: born, is_durable: true, content: Arc::new(content.clone()) }];
    for number in first + 1..=first + transactions {
        let begun = disk.events();
        let way = change(&db, number, &mut content, random).unwrap();
        figures.count(way);
        let content = Arc::new(content.clone());
        commits.push(Commit {
            begun,
            acknowledged: disk.events(),
            is_durable: way != Way::NotDurable,
            content,
        });
        if random.one_in(25) {
            db.compact().unwrap();
        }
    }
    drop(db);
    figures.workloads += 1;
    Played { disk, born, first, commits }
}

impl Played {
    /// The last durable commit acknowledged before this event, and the last one begun.
    fn bounds(&self, event: u64) -> (usize, usize) {
        let floor = self.commits.iter().rposition(|commit| commit.is_durable && commit.acknowledged <= event);
        let last = self.commits.iter().rposition(|commit| commit.begun <= event);
        (floor.unwrap_or(0), last.unwrap_or(0))
    }

    /// Opens what a crash left and compares. Gives the image, opened and closed again, if there is a file.
    fn examine(
        &self,
        crash: &CrashPoint,
        unsynced: Unsynced,
        random: &mut Random,
        figures: &mut Figures,
    ) -> Option<(FaultyStorage, u64)> {
        figures.images += 1;
        let image = crash.image(unsynced);
        image.record();
        let place = format!("event {} of {:?}, {unsynced:?}", crash.event(), self.disk);
        let db = match open(&image, 1024 * 1024) {
            Ok(db) => db,
            // The engine writes its magic number last when it makes a file.
            Err(redb::Error::Io(error))
                if crash.event() < self.born && error.kind() == io::ErrorKind::InvalidData =>
            {
                figures.unborn += 1;
                return None;
            }
            Err(error) => panic!("{place}: {error:?}"),
        };
        let number = self.compare(&db, crash, &place, figures);
        // What recovery hands out can be written to: no page of the content is handed out as free.
        let mut db = db;
        if random.one_in(4) {
            figures.written_to += 1;
            let mut content = Content::clone(self.content_of(number));
            for next in number + 1..number + 4 {
                change(&db, next, &mut content, random).unwrap();
                assert_eq!(read(&db).unwrap(), (next, content.clone()), "{place}: after writing on");
            }
            assert!(db.check_integrity().unwrap(), "{place}: not clean after writing on");
            return None;
        }
        if random.one_in(8) {
            assert!(db.check_integrity().unwrap(), "{place}: not clean after recovery");
        }
        drop(db);
        Some((image, number))
    }

    fn content_of(&self, number: u64) -> &Arc<Content> {
        &self.commits[usize::try_from(number.max(self.first) - self.first).unwrap()].content
    }

    fn compare(&self, db: &Database, crash: &CrashPoint, place: &str, figures: &mut Figures) -> u64 {
        let (floor, last) = self.bounds(crash.event());
        let (number, content) = read(db).unwrap();
        let found = usize::try_from(number.max(self.first) - self.first).unwrap();
        if found < floor {
            figures.acknowledged_lost += 1;
        }
        assert!((floor..=last).contains(&found), "{place}: commit {found} is not in {floor}..={last}");
        assert!(content == *self.commits[found].content, "{place}: not the content of commit {found}");
        figures.not_durable_kept += u64::from(!self.commits[found].is_durable);
        number
    }

    /// Recovery is cut off by another crash, and done again.
    fn examine_recovery(
        &self,
        crash: &CrashPoint,
        image: &FaultyStorage,
        random: &mut Random,
        figures: &mut Figures,
    ) {
        for again in image.crashes() {
            let unsynced = fate(random.below(6), random);
            let place = format!(
                "event {}, then event {} of its recovery, {unsynced:?}",
                crash.event(),
                again.event()
            );
            let db = open(&again.image(unsynced), 1024 * 1024)
                .unwrap_or_else(|error| panic!("{place}: {error:?}"));
            self.compare(&db, crash, &place, figures);
            figures.images += 1;
            figures.recoveries_cut_off += 1;
        }
    }
}

fn fate(number: u64, random: &mut Random) -> Unsynced {
    match number {
        0 => Unsynced::Lost,
        1 => Unsynced::Kept,
        _ => Unsynced::Sampled { seed: random.next() },
    }
}

#[test]
fn a_crash_at_every_event_loses_nothing_that_was_acknowledged_as_durable() {
    let mut figures = Figures::default();
    for seed in 0..4 {
        let mut random = Random(seed);
        let played = play(FaultyStorage::new(), 0, Content::new(), 20, &mut random, &mut figures);
        for crash in played.disk.crashes() {
            figures.crash_points += 1;
            for number in 0..6 {
                let unsynced = fate(number, &mut random);
                if let Some((image, _)) = played.examine(&crash, unsynced, &mut random, &mut figures)
                    && random.one_in(40)
                {
                    played.examine_recovery(&crash, &image, &mut random, &mut figures);
                }
            }
        }
    }
    println!("{figures:#?}");
    assert_eq!(figures.acknowledged_lost, 0);
}

#[test]
fn a_file_that_has_crashed_many_times_loses_nothing_that_was_acknowledged_as_durable() {
    let workloads =
        std::env::var("FOLDLOG_CRASH_WORKLOADS").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    let mut figures = Figures::default();
    let mut random = Random(7);
    let (mut disk, mut first, mut content) = (FaultyStorage::new(), 0, Content::new());
    for workload in 0..workloads {
        if workload % 16 == 15 {
            (disk, first, content) = (FaultyStorage::new(), 0, Content::new());
        }
        let played = play(disk.clone(), first, content.clone(), 100, &mut random, &mut figures);
        for crash in played.disk.crashes() {
            if !random.one_in(3) {
                continue;
            }
            figures.crash_points += 1;
            let unsynced = fate(random.below(8), &mut random);
            if let Some((image, number)) = played.examine(&crash, unsynced, &mut random, &mut figures) {
                if random.one_in(60) {
                    played.examine_recovery(&crash, &image, &mut random, &mut figures);
                }
                // The next workload goes on from one of the crashes.
                if random.one_in(50) {
                    (disk, first) = (image.snapshot(), number.max(played.first));
                    content = Content::clone(played.content_of(number));
                }
            }
        }
    }
    println!("{figures:#?}");
    assert_eq!(figures.acknowledged_lost, 0);
}
