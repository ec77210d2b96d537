//! Opening a store whose process was killed.
//!
//! What the system has cached of the file stays cached: a process was killed, not the machine.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::log::{drawn, in_batches};
use crate::stores::DATABASES;
use crate::table::{Scale, Table, timed};

/// Runs this program as one that appends until it is killed: then the system, its folder, and how many.
pub(crate) const TO_BE_KILLED: &str = "--append-until-killed";

/// Opening until it could append; every time after a process that opened it, too, and was killed once it had appended.
pub(crate) fn reopen(scale: Scale, table: &mut Table) {
    table.against("redb");
    let mut stores = DATABASES.map(|(system, open)| {
        let folder = tempfile::tempdir().expect("a folder");
        let acknowledged = killed(system, folder.path(), scale.of(500_000, 5_000_000));
        (system, open, folder, acknowledged)
    });
    for _ in 0..scale.rounds() {
        for (system, open, folder, acknowledged) in &mut stores {
            *acknowledged += killed(system, folder.path(), 1);
            let (took, store) = timed(|| open(folder.path()));
            table.note(system, took, 1);
            assert_eq!(store.seen().operations, *acknowledged, "{system} lost nothing and made nothing up");
        }
    }
}

/// Has a process append so many operations and kills it: how many it was told are durable.
fn killed(system: &str, folder: &Path, operations: usize) -> u64 {
    let mut process = Command::new(std::env::current_exe().expect("this program"))
        .args([TO_BE_KILLED, system])
        .arg(folder)
        .arg(operations.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program again");
    let mut said = String::new();
    BufReader::new(process.stdout.take().expect("piped")).read_line(&mut said).expect("text");
    process.kill().expect("a process of ours");
    process.wait().expect("a process of ours");
    said.trim().parse().expect("how many it appended")
}

/// What is to be killed: appends, says how many are durable, and holds the store open until then.
pub(crate) fn append_until_killed(system: &str, folder: &Path, operations: usize) -> io::Result<()> {
    let (_, open) = DATABASES.iter().find(|(name, _)| *name == system).ok_or(io::ErrorKind::NotFound)?;
    let store = open(folder);
    let mut acknowledged = 0;
    for batch in in_batches(drawn(operations), 10_000) {
        store.append(&batch);
        acknowledged += batch.len();
    }
    println!("{acknowledged}");
    // It ends when whoever is to kill it is gone.
    io::stdin().read(&mut [0]).map(drop)
}
