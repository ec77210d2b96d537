//! A long history: what folding the next 10,000 operations takes behind it, how long somebody else's append waits
//! meanwhile, how long the disk alone makes one wait that shares it with as large commits, and how much room the file
//! takes on the disk.
//!
//! `FOLDLOG_BENCH_HISTORY=100000000` goes so far; without it to 10 M.

mod memory;

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use foldlog::algebra::Operation;
use foldlog::journal::{Durability, Journal};
use foldlog::workload::{Operations, Workload};
use memory::highest;

const ENTITIES: u64 = 1_000_000;
const A_TRANSACTION: usize = 10_000;
/// So often everything is folded while the history is made.
const A_PASS: u64 = 100_000;
const ROUNDS: usize = 50;

fn main() {
    let longest = std::env::var("FOLDLOG_BENCH_HISTORY").ok();
    let longest = longest.map_or(10_000_000, |text| text.parse().expect("a number of operations"));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("bench.journal");
    let journal = Journal::create(&path).expect("a journal");
    let mut operations = workload(u64::MAX, 1);
    let mut done = 0;
    println!(
        "behind it | the next 10,000: folded, mean, median, longest | an append meanwhile, longest | without | the disk alone | file, of the reclaimed one | memory"
    );
    for history in
        [0, 1_000_000, 10_000_000, 100_000_000].into_iter().take_while(|history| *history <= longest)
    {
        while done < history {
            let batch: Vec<Operation> = operations.by_ref().take(A_TRANSACTION).collect();
            journal.append(&batch, Durability::Durable).expect("room");
            done += batch.len() as u64;
            if done % A_PASS == 0 {
                journal.compact().expect("room");
            }
        }
        let mut took = Vec::new();
        let mut waited = Duration::ZERO;
        for _ in 0..ROUNDS {
            let batch: Vec<Operation> = operations.by_ref().take(A_TRANSACTION).collect();
            journal.append(&batch, Durability::Durable).expect("room");
            done += batch.len() as u64;
            let (compacted, longest) = beside_appends(&journal, || journal.compact().expect("room"));
            took.push(compacted);
            waited = waited.max(longest);
        }
        let all: Duration = took.iter().sum();
        let mean = all / u32::try_from(ROUNDS).expect("few");
        took.sort_unstable();
        let [median, longest] =
            [ROUNDS / 2, ROUNDS - 1].map(|place| took.get(place).copied().unwrap_or_default());
        let (_, quiet) = beside_appends(&journal, || thread::sleep(mean * 10));
        println!(
            "{history} | {mean:.1?}, {median:.1?}, {longest:.1?} | {waited:.2?} | {quiet:.2?} | {:.2?} | {:.2} | {}",
            disk_alone(folder.path(), all),
            room(&path) / reclaimed(&path, folder.path()),
            highest()
        );
    }
}

/// The workload that never ends, from a seed.
fn workload(operations: u64, seed: u64) -> Operations {
    let workload =
        Workload { operations, entities: ENTITIES, skew: 0, payload_bytes: 120, seed, ..Workload::default() };
    workload.iter().expect("a plain name")
}

/// Does something while another thread appends one operation after the other: how long it took, and the longest append.
fn beside_appends(journal: &Journal, work: impl FnOnce()) -> (Duration, Duration) {
    let one: Vec<Operation> = workload(1, 2).collect();
    let has_ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let appender = scope.spawn(|| {
            let mut longest = Duration::ZERO;
            while !has_ended.load(Ordering::Acquire) {
                let began = Instant::now();
                journal.append(&one, Durability::Durable).expect("room");
                longest = longest.max(began.elapsed());
            }
            longest
        });
        let began = Instant::now();
        work();
        let took = began.elapsed();
        has_ended.store(true, Ordering::Release);
        (took, appender.join().expect("no panic"))
    })
}

/// The longest that a page takes to a file that has room for it, and to the disk, while somebody else writes as much as a
/// commit of a pass does, and one waits for the other: what no outbox can do better.
fn disk_alone(folder: &Path, meanwhile: Duration) -> Duration {
    const ROOM: u64 = 64 * 1024 * 1024;
    let mut file = File::create(folder.join("alone")).expect("a file");
    file.write_all(&vec![1; usize::try_from(ROOM).expect("64 bits")]).expect("room");
    file.sync_all().expect("room");
    let file = Mutex::new((file, 0));
    let write = |bytes: &[u8]| {
        let mut held = file.lock().expect("no panic");
        let (file, place) = &mut *held;
        *place = (*place + bytes.len() as u64) % (ROOM - bytes.len() as u64);
        file.seek(SeekFrom::Start(*place)).expect("a file");
        file.write_all(bytes).expect("room");
        file.sync_data().expect("room");
    };
    let has_ended = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !has_ended.load(Ordering::Acquire) {
                write(&[2; 256 * 1024]);
                // Whoever waits comes first, as in the journal.
                thread::sleep(Duration::from_micros(50));
            }
        });
        let began = Instant::now();
        let mut longest = Duration::ZERO;
        while began.elapsed() < meanwhile {
            let began = Instant::now();
            write(&[3; 4096]);
            longest = longest.max(began.elapsed());
        }
        has_ended.store(true, Ordering::Release);
        longest
    })
}

/// What a file takes on the disk: the engine makes it twice as long at once, and writes to it when it needs it.
fn room(path: &Path) -> f64 {
    let file = std::fs::metadata(path).expect("the file");
    #[cfg(unix)]
    let room = std::os::unix::fs::MetadataExt::blocks(&file) * 512;
    #[cfg(not(unix))]
    let room = file.len();
    room as f64
}

/// What a copy of the file takes once what is gone was given back.
fn reclaimed(path: &Path, folder: &Path) -> f64 {
    let copy = folder.join("copy.journal");
    std::fs::copy(path, &copy).expect("room");
    Journal::open(&copy).expect("a journal").reclaim().expect("room");
    room(&copy)
}
