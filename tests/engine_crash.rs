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

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use foldlog::journal::Storage;
use foldlog::testing::{CrashPoint, FaultyStorage, Unsynced};
use redb::{
    Builder, Database, Durability, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition,
    TableError,
};

const LAST_COMMIT: TableDefinition<u8, u64> = TableDefinition::new("last commit");
const TABLES: [TableDefinition<u64, &[u8]>; 3] =
    [TableDefinition::new("first"), TableDefinition::new("second"), TableDefinition::new("third")];

/// Table and key → the value.
type Content = BTreeMap<(usize, u64), Vec<u8>>;

#[derive(Debug)]
struct Engine(FaultyStorage);

impl StorageBackend for Engine {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.0.sync()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    fn index(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).unwrap()
    }
}

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

fn open(disk: &FaultyStorage, cache_bytes: usize) -> Result<Database, redb::Error> {
    Ok(Builder::new().set_cache_size(cache_bytes).create_with_backend(Engine(disk.clone()))?)
}

/// One transaction: a few changes to the tables, and to the content they are expected to have.
fn change(
    db: &Database,
    number: u64,
    content: &mut Content,
    random: &mut Random,
    figures: &mut Figures,
) -> bool {
    let mut write = db.begin_write().unwrap();
    let is_durable = match random.below(4) {
        0 | 1 => {
            write.set_durability(Durability::None).unwrap();
            figures.not_durable += 1;
            false
        }
        2 => {
            figures.one_phase += 1;
            true
        }
        _ => {
            write.set_quick_repair(true);
            figures.two_phase += 1;
            true
        }
    };
    for _ in 0..1 + random.below(3) {
        let table = random.index(TABLES.len());
        match random.below(12) {
            0 => {
                write.delete_table(TABLES[table]).unwrap();
                content.retain(|(held, _), _| *held != table);
            }
            1..4 => {
                let from = random.below(40);
                let to = from + random.below(30);
                write.open_table(TABLES[table]).unwrap().retain_in(from..to, |_, _| false).unwrap();
                content.retain(|(held, key), _| *held != table || !(from..to).contains(key));
            }
            _ => {
                let mut open = write.open_table(TABLES[table]).unwrap();
                let large = if random.one_in(8) { 30_000 } else { 1500 };
                for _ in 0..1 + random.below(8) {
                    let key = random.below(40);
                    let mut value = vec![number.to_le_bytes()[0]; 8 + random.index(large)];
                    value[..8].copy_from_slice(&number.to_le_bytes());
                    open.insert(key, value.as_slice()).unwrap();
                    content.insert((table, key), value);
                }
            }
        }
    }
    write.open_table(LAST_COMMIT).unwrap().insert(0, number).unwrap();
    write.commit().unwrap();
    is_durable
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
        let is_durable = change(&db, number, &mut content, random, figures);
        let content = Arc::new(content.clone());
        commits.push(Commit { begun, acknowledged: disk.events(), is_durable, content });
        if random.one_in(25) {
            db.compact().unwrap();
        }
    }
    drop(db);
    figures.workloads += 1;
    figures.commits += transactions;
    Played { disk, born, first, commits }
}

fn read(db: &Database) -> (u64, Content) {
    let read = db.begin_read().unwrap();
    let number = match read.open_table(LAST_COMMIT) {
        Ok(table) => table.get(0).unwrap().unwrap().value(),
        Err(TableError::TableDoesNotExist(_)) => 0,
        Err(error) => panic!("{error}"),
    };
    let mut content = Content::new();
    for (place, table) in TABLES.into_iter().enumerate() {
        match read.open_table(table) {
            Ok(table) => {
                for row in table.iter().unwrap() {
                    let (key, value) = row.unwrap();
                    content.insert((place, key.value()), value.value().to_vec());
                }
            }
            Err(TableError::TableDoesNotExist(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    (number, content)
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
                change(&db, next, &mut content, random, &mut Figures::default());
                assert_eq!(read(&db), (next, content.clone()), "{place}: after writing on");
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
        let (number, content) = read(db);
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
