//! The pass over 10 M operations, and sealing 10,000 of them: how long, and how much memory at its highest.
//!
//! The journal is written by one process, compacted by another and sealed by a third, so that each figure is its own.
//! `FOLDLOG_BENCH_PASS_BYTES` says what a pass may take, where it is not the default.

mod memory;

use std::process::Command;
use std::time::Instant;

use foldlog::algebra::Limits;
use foldlog::journal::{Durability, Error, Journal, Options, PASS_BYTES_DEFAULT};
use foldlog::workload::Workload;
use memory::highest;

const OPERATIONS: u64 = 10_000_000;
const JOURNAL: &str = "FOLDLOG_BENCH_JOURNAL";
const ENTITIES: &str = "FOLDLOG_BENCH_ENTITIES";
const SEALS: &str = "FOLDLOG_BENCH_SEALS";

fn main() {
    if let Ok(path) = std::env::var(JOURNAL) {
        return match std::env::var(ENTITIES) {
            Ok(entities) => write(&path, entities.parse().expect("a number")),
            Err(_) if std::env::var(SEALS).is_ok() => seal(&path),
            Err(_) => compact(&path),
        };
    }
    for (entities, name) in [(1_000_000_u64, "1 M entities"), (u64::MAX, "all distinct")] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("bench.journal");
        let own = std::env::current_exe().expect("this program");
        let run = |command: &mut Command| {
            let ended = command.env(JOURNAL, &path).output().expect("this program again");
            assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
            String::from_utf8_lossy(&ended.stdout).trim().to_owned()
        };
        run(Command::new(&own).env(ENTITIES, entities.to_string()));
        println!("10 M operations, {name}: {}", run(&mut Command::new(&own)));
        println!("10,000 of them sealed: {}", run(Command::new(&own).env(SEALS, "")));
    }
}

fn write(path: &str, entities: u64) {
    let workload = Workload { operations: OPERATIONS, entities, skew: 0, ..Workload::default() };
    let journal = Journal::create(path).expect("a journal");
    let all = workload.iter().expect("a plain name").map(Ok::<_, Error>);
    journal.append_streamed(all, Durability::Durable).expect("room");
}

fn compact(path: &str) {
    let pass_bytes = std::env::var("FOLDLOG_BENCH_PASS_BYTES").ok();
    let pass_bytes = pass_bytes.map_or(PASS_BYTES_DEFAULT, |text| text.parse().expect("a number of bytes"));
    let journal = Options::new().pass_bytes(pass_bytes).open(path).expect("the journal");
    let began = Instant::now();
    journal.compact().expect("room");
    let time = began.elapsed().as_secs_f64();
    println!("{time:.2} s, {} at its highest", highest());
}

fn seal(path: &str) {
    let journal = Journal::open(path).expect("the journal");
    let began = Instant::now();
    let limits = Limits { operations: 10_000, ..Limits::default() };
    assert!(journal.seal(limits).expect("room").is_some());
    let time = began.elapsed().as_secs_f64();
    println!("{time:.2} s, {} at its highest", highest());
}
