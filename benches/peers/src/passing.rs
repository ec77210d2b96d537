//! The pass over a log on disk, of whole states, beside the least that it must do: read them once, write what survives.
//!
//! Where the system lets us empty its page cache, both begin with none of their file in memory, and it is said so; elsewhere
//! in whatever state the cache is. The journal is a fresh copy in each round, durable before the pass begins.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use foldlog::algebra::Seq;
use foldlog::journal::{Durability, Error, Journal};
use foldlog::workload::{Operations, Workload};

use crate::log::row;
use crate::table::{Scale, Table, timed};

const PIECE_BYTES: usize = 1 << 20;

/// Ten operations an entity.
pub(crate) fn many_an_entity(scale: Scale, table: &mut Table) {
    pass(scale, table, scale.of(50_000, 1_000_000));
}

/// Each operation is about another entity: all of them survive.
pub(crate) fn one_an_entity(scale: Scale, table: &mut Table) {
    pass(scale, table, u64::MAX);
}

fn pass(scale: Scale, table: &mut Table, entities: u64) {
    let operations = scale.of(500_000, 10_000_000);
    let states = || states(operations as u64, entities);
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name| folder.path().join(name);
    let journal = Journal::create(path("whole")).expect("a journal");
    journal.append_streamed(states().map(Ok::<_, Error>), Durability::Durable).expect("room");
    drop(journal);
    let survivors = flat(&path("flat"), states()).expect("room");
    let written = written_once(&path("survivors"), survivors).expect("room");
    let is_cold = empty_page_cache();
    eprintln!("the page cache is {}", if is_cold { "emptied before each side" } else { "left as it is" });
    for _ in 0..scale.rounds() {
        empty_page_cache();
        let flat = File::open(path("flat")).expect("the file");
        let (took, done) = timed(|| least(flat, &written, survivors));
        done.expect("a disk");
        table.note("limit", took, operations);

        fs::copy(path("whole"), path("copy")).expect("room");
        File::open(path("copy")).and_then(|copy| copy.sync_all()).expect("a disk");
        let journal = Journal::open(path("copy")).expect("the journal");
        empty_page_cache();
        let (took, done) = timed(|| journal.compact());
        done.expect("room");
        table.note("foldlog", took, operations);
        assert!(journal.log(Seq(1), 1).expect("the log").operations.is_empty(), "all is folded");
    }
}

fn states(operations: u64, entities: u64) -> Operations {
    let workload = Workload {
        operations,
        entities,
        skew: 0,
        creates: 0,
        patches: 0,
        deletes: 0,
        payload_bytes: 64,
        ..Workload::default()
    };
    workload.iter().expect("a plain name")
}

/// Writes a flat file of all rows: how many bytes an entity's last ones have of them.
fn flat(path: &Path, states: Operations) -> io::Result<usize> {
    let mut file = BufWriter::with_capacity(PIECE_BYTES, File::create(path)?);
    let (mut entities, mut rows, mut bytes, mut all) = (HashSet::new(), 0, Vec::new(), 0);
    for operation in states {
        row(&operation, &mut bytes);
        file.write_all(&bytes)?;
        entities.insert(operation.key.id());
        rows += 1;
        all += bytes.len();
    }
    file.into_inner()?.sync_all()?;
    // But for a digit or two they are all of one length.
    Ok(all * entities.len() / rows)
}

/// A file whose blocks are there.
fn written_once(path: &Path, bytes: usize) -> io::Result<File> {
    let file = OpenOptions::new().create(true).truncate(true).write(true).open(path)?;
    write_pieces(&file, bytes)?;
    Ok(file)
}

/// Reads all of one file and writes so many bytes of another one.
fn least(mut from: File, to: &File, bytes: usize) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    while from.read(&mut piece)? > 0 {}
    write_pieces(to, bytes)
}

fn write_pieces(file: &File, bytes: usize) -> io::Result<()> {
    let piece = vec![1; PIECE_BYTES];
    for begin in (0..bytes).step_by(PIECE_BYTES) {
        file.write_all_at(&piece[..PIECE_BYTES.min(bytes - begin)], begin as u64)?;
    }
    file.sync_data()
}

/// Has the system forget what it read of files, if it lets us.
fn empty_page_cache() -> bool {
    let caches = OpenOptions::new().write(true).open("/proc/sys/vm/drop_caches");
    caches.and_then(|mut caches| caches.write_all(b"1")).is_ok()
}
