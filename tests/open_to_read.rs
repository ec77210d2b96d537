//! A replica that is opened to be read: its file is never written, whatever is done to what was opened.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::SystemTime;

use foldlog::Uuid;
use foldlog::algebra::{CollectionName, EntityKey, Operation, Patch, Schema, State};
use foldlog::journal::{self, Durability, Journal, Options};
use foldlog::merge::Resolutions;
use foldlog::replica::{Error, Replica};

/// Set for the process that is to be killed.
const REPLICA: &str = "FOLDLOG_TEST_REPLICA";

fn schema() -> Schema {
    Schema::from_json(r#"{"collections":{"notes":{"unique":[["title"]]}}}"#).unwrap()
}

fn key(n: u64) -> EntityKey {
    EntityKey::new(CollectionName::new("notes").unwrap(), Uuid::from_u128(u128::from(n) + 1)).unwrap()
}

fn note(n: u64) -> Operation {
    let text = "what is in it. ".repeat(20);
    Operation::create(key(n), State::from_json(&format!(r#"{{"title":"{n}","text":"{text}"}}"#)).unwrap())
}

fn edit(n: u64) -> Operation {
    Operation::patch(key(n), Patch::from_json(r#"{"text":"another one"}"#).unwrap())
}

fn made(path: &Path, notes: u64) {
    let replica = Replica::create(path, Options::new().schema(schema())).unwrap();
    let notes: Vec<Operation> = (0..notes).map(note).collect();
    replica.commit(&notes, Durability::Durable).unwrap();
}

/// What must not change about a file.
fn traces(path: &Path) -> (Vec<u8>, SystemTime) {
    (fs::read(path).unwrap(), fs::metadata(path).unwrap().modified().unwrap())
}

fn to_read(path: &Path) -> Result<Replica, Error> {
    Replica::open_to_read(path, Options::new())
}

/// All that may be done to a replica, done to one that is only read.
fn used(path: &Path) {
    let replica = to_read(path).unwrap();
    let before = replica.known().unwrap().len();
    assert_eq!(replica.schema().to_json(), schema().to_json());
    replica.commit(&[note(1_000_000), edit(0)], Durability::Durable).unwrap();
    assert_eq!(replica.known().unwrap().len(), before + 1, "what is written is seen there");
    replica.journal().flush().unwrap();
    replica.journal().mend().unwrap();
    replica.journal().reclaim().unwrap();
    let dest = Replica::in_memory(Options::new().schema(schema())).unwrap();
    let nothing = Resolutions::default();
    assert!(dest.check_merge(&[&replica], &nothing, &mut |_| {}).unwrap().is_clean());
    dest.merge(&[&replica], &nothing, &mut |_| {}).unwrap();
    assert_eq!(dest.known().unwrap().len(), before + 1);
    replica.journal().suspend().unwrap();
    replica.journal().resume().unwrap();
    assert_eq!(replica.known().unwrap().len(), before, "and gone once that is closed");
    // Moved to another schema, in memory.
    let other =
        Schema::from_json(r#"{"collections":{"notes":{"unique":[["title"],["text","title"]]}}}"#).unwrap();
    let moved = Replica::open_to_read(path, Options::new().schema(other)).unwrap();
    assert_eq!(moved.known().unwrap().len(), before);
}

#[test]
fn nothing_that_is_done_to_it_reaches_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("crew");
    made(&path, 500);
    let before = traces(&path);
    used(&path);
    assert!(traces(&path) == before);
    let names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["crew"]);
}

/// The process that is killed: it writes until then.
#[test]
fn child() {
    let Some(path) = std::env::var_os(REPLICA) else { return };
    let replica = Replica::create(path, Options::new().schema(schema())).unwrap();
    for n in 0.. {
        replica.commit(&[note(n), edit(n / 2)], Durability::Durable).unwrap();
        if n == 50 {
            println!("@ready");
        }
    }
}

fn start(path: &Path) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--nocapture", "--test-threads", "1"])
        .env(REPLICA, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("@ready")));
    child
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_file_that_a_killed_process_left_is_read_as_it_lies_there() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..5 {
        let path = folder.path().join(round.to_string());
        kill(start(&path));
        let before = traces(&path);
        used(&path);
        assert!(traces(&path) == before);
        let seen = to_read(&path).unwrap().known().unwrap();
        assert!(seen.len() > 50);
        assert_eq!(Replica::open(&path, Options::new()).unwrap().known().unwrap(), seen);
    }
}

#[test]
fn who_writes_and_who_reads_keep_each_other_out_and_readers_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("crew");
    let is_locked = |error: Error| {
        let text = error.to_string();
        assert!(matches!(error, Error::Journal { source: journal::Error::Locked { .. } }), "{text}");
        assert!(text.contains(path.to_str().unwrap()), "{text}");
    };
    let child = start(&path);
    is_locked(to_read(&path).unwrap_err());
    kill(child);
    let (one, two) = (to_read(&path).unwrap(), to_read(&path).unwrap());
    is_locked(Replica::open(&path, Options::new()).unwrap_err());
    assert!(matches!(Journal::open(&path), Err(journal::Error::Locked { .. })));
    drop(one);
    is_locked(Replica::open(&path, Options::new()).unwrap_err());
    drop(two);
    let writer = Replica::open(&path, Options::new()).unwrap();
    is_locked(to_read(&path).unwrap_err());
    drop(writer);
    to_read(&path).unwrap();
}

fn refused(path: &Path, expected: &str) {
    let before = fs::read(path).ok();
    let error = to_read(path).unwrap_err().to_string();
    assert!(error.contains(path.to_str().unwrap()) && error.contains(expected), "{error}");
    assert!(fs::read(path).ok() == before);
}

#[test]
fn what_is_no_replica_is_refused_by_name_and_nothing_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| -> PathBuf { folder.path().join(name) };
    refused(&place("missing"), "there is no journal");
    assert!(!place("missing").exists());
    refused(folder.path(), "cannot be read");
    for (name, bytes, expected) in [
        ("empty", Vec::new(), "the file is empty"),
        ("text", b"just a text. ".repeat(1_000), "is no journal"),
        ("cut off", vec![0; 8_192], "its making was cut off"),
    ] {
        fs::write(place(name), bytes).unwrap();
        refused(&place(name), expected);
    }
    drop(redb::Database::create(place("other")).unwrap());
    refused(&place("other"), "it is a database of another program");
    drop(Journal::create(place("journal")).unwrap());
    refused(&place("journal"), "is a journal, but no replica");
    made(&place("whole"), 100);
    let mut bytes = fs::read(place("whole")).unwrap();
    bytes.truncate(bytes.len() / 2);
    fs::write(place("half"), bytes).unwrap();
    refused(&place("half"), "");
}

/// Whatever is turned in what the file holds is found when it is opened. What the file does not need may be anything.
#[test]
fn a_damaged_file_is_refused_by_name_and_not_mended() {
    let folder = tempfile::tempdir().unwrap();
    let (sound, path) = (folder.path().join("sound"), folder.path().join("damaged"));
    made(&sound, 300);
    let all = |replica: &Replica| replica.entities(None).unwrap();
    let expected = all(&to_read(&sound).unwrap());
    let bytes = fs::read(&sound).unwrap();
    let (mut refused, mut whole) = (0, 0);
    for at in (0..bytes.len()).step_by(1_777).filter(|at| bytes[*at] != 0) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        fs::write(&path, &damaged).unwrap();
        match to_read(&path) {
            Ok(replica) => {
                assert!(all(&replica) == expected, "byte {at}");
                whole += 1;
            }
            Err(error) => {
                assert!(error.to_string().contains(path.to_str().unwrap()), "byte {at}: {error}");
                refused += 1;
            }
        }
        assert!(fs::read(&path).unwrap() == damaged, "byte {at}");
    }
    println!("{refused} refused, {whole} whole");
    assert!(refused > 50);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}
