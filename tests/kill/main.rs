//! Processes that are killed at random moments, five hundred times: what was acknowledged is there, byte for byte, nothing is
//! half-applied, what was sealed is sealed with the same bytes, and a merge is there whole or not at all.
//!
//! The tests run themselves again as the process to be killed. That one says on its standard output what it begins, and what
//! has returned. All rounds use the same files, so there is a history to be damaged.
//!
//! `FOLDLOG_KILLS` says how often; the long tier:
//!
//! ```sh
//! FOLDLOG_KILLS=5000 cargo test --release --test kill -- --nocapture
//! ```
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]
#![cfg(unix)]

mod journal;
mod merge;
mod sync;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{RwLock, RwLockReadGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use foldlog::Uuid;
use foldlog::algebra::{CollectionName, EntityKey, Existence, Operation, Patch, Schema, State};
use foldlog::journal::{Durability, Error, Journal, verify};
use foldlog::replica::Replica;

const KILLS: u32 = 500;
const ENTITIES: u64 = 40;
/// Held for writing by who starts a process, and for reading by who has files open: a process has its parent's open files, and
/// the locks on them, for the moment until it is another program.
static OPEN_FILES: RwLock<()> = RwLock::new(());

/// What the process that is killed does, and where.
const LIFE: &str = "FOLDLOG_TEST_LIFE";
const FILES: &str = "FOLDLOG_TEST_FILES";
/// The last operation that it is known to have done.
const DONE: &str = "FOLDLOG_TEST_DONE";

/// How often is killed: of ten times, so many.
fn kills(share: u32) -> u32 {
    let all = std::env::var("FOLDLOG_KILLS").map_or(KILLS, |text| text.parse().unwrap());
    (all * share).div_ceil(10)
}

/// The operation with a sequence number: both processes know it from the number alone.
fn operation(seq: u64) -> Operation {
    let key = key(seq.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32);
    let filler = "x".repeat(usize::try_from(seq * 37 % 900).unwrap());
    let patch = |json: String| Operation::patch(key.clone(), Patch::from_json(&json).unwrap());
    match seq % 7 {
        0 => Operation::delete(key),
        1 | 4 => {
            let state = format!(r#"{{"seq":{seq},"filler":"{filler}"}}"#);
            Operation::create(key, State::from_json(&state).unwrap())
        }
        number => patch(format!(r#"{{"p{number}":{seq}}}"#)),
    }
}

fn key(number: u64) -> EntityKey {
    let id = Uuid::from_u128(0x5eed_0000_0000_4000_8000_0000_0000_0000 + u128::from(number % ENTITIES));
    EntityKey::new(CollectionName::new("notes").unwrap(), id).unwrap()
}

fn schema() -> Schema {
    Schema::from_json(r#"{"collections":{"notes":{}}}"#).unwrap()
}

/// What a replica shows that was given the operations up to one of them.
fn shown_up_to(seq: u64) -> BTreeMap<EntityKey, State> {
    let mut all: BTreeMap<EntityKey, Existence> = BTreeMap::new();
    for operation in (1..=seq).map(operation) {
        let thing = all.entry(operation.key).or_default();
        *thing = thing.after(&operation.change);
    }
    all.into_iter().filter_map(|(key, thing)| Some((key, thing.live()?.clone()))).collect()
}

fn shown(replica: &Replica) -> BTreeMap<EntityKey, State> {
    let known = replica.known().unwrap();
    known.into_iter().filter_map(|key| Some((key.clone(), replica.get(&key).unwrap()?))).collect()
}

/// What a replica is given, a few operations at a time; each has a time of its own, for a merge goes by times.
struct Batches {
    done: u64,
}

impl Batches {
    fn go_on() -> Self {
        Batches { done: std::env::var(DONE).unwrap().parse().unwrap() }
    }

    fn commit(&mut self, replica: &Replica) {
        let last = self.done + 1 + self.done % 9;
        let batch: Vec<_> = (self.done + 1..=last).map(|seq| operation(seq).at(seq).unwrap()).collect();
        say(format!("appending {last}"));
        replica.commit(&batch, Durability::Durable).unwrap();
        say(format!("appended {last}"));
        self.done = last;
    }
}

/// What was done by a process that was killed: what it was told, and what it had begun.
#[derive(Clone, Copy, Default)]
struct Reached {
    done: u64,
    begun: u64,
}

impl Reached {
    fn begin(&mut self, seq: u64) {
        self.begun = seq;
    }

    fn end(&mut self, seq: u64) {
        *self = Reached { done: seq, begun: seq };
    }

    /// What is shown is what was done; what had only begun may be there whole, and then it was done.
    fn require_shown(&mut self, shown: &BTreeMap<EntityKey, State>, place: &str) {
        let found = [self.begun, self.done].into_iter().find(|seq| shown_up_to(*seq) == *shown);
        let seq = found.unwrap_or_else(|| {
            let expected = shown_up_to(self.done);
            let keys: BTreeSet<&EntityKey> = shown.keys().chain(expected.keys()).collect();
            let differs = keys.into_iter().filter(|key| shown.get(key) != expected.get(key));
            let differing: Vec<_> =
                differs.map(|key| (key, shown.get(key), expected.get(key))).take(3).collect();
            panic!("{place}: not what {} of {} operations make: {differing:?}", self.done, self.begun)
        });
        self.end(seq);
    }
}

/// The process that is killed.
#[test]
fn child() {
    let (Some(life), Some(files)) = (std::env::var_os(LIFE), std::env::var_os(FILES)) else { return };
    let files = PathBuf::from(files);
    match life.to_str() {
        Some("journal") => journal::live(&files),
        Some("sync") => sync::live(&files, Batches::go_on()),
        _ => merge::live(&files, Batches::go_on()),
    }
}

fn say(words: String) {
    std::io::stdout().lock().write_all(format!("@{words}\n").as_bytes()).unwrap();
}

fn start(life: &str, files: &Path, done: u64) -> Child {
    let _none = OPEN_FILES.write().unwrap();
    Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--nocapture", "--test-threads", "1"])
        .env(LIFE, life)
        .env(FILES, files)
        .env(DONE, done.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Held while files are open.
fn with_open_files() -> RwLockReadGuard<'static, ()> {
    OPEN_FILES.read().unwrap()
}

/// When is killed.
struct Moments(u64);

impl Moments {
    fn new() -> Self {
        let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
        println!("seed {seed}");
        Moments(u64::from(seed) | 1)
    }

    fn next(&mut self) -> Duration {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Duration::from_micros(8_000 + (self.0 >> 33) % 60_000)
    }
}

/// Kills a process after a while; gives what it said of operations.
fn numbered(child: Child, moments: &mut Moments) -> Vec<(String, u64)> {
    let said = heard(child, moments);
    said.iter()
        .filter_map(|line| line.split_once(' '))
        .map(|(what, seq)| (what.to_owned(), seq.parse().unwrap()))
        .collect()
}

/// Kills a process after a while; gives what it said.
fn heard(mut child: Child, moments: &mut Moments) -> Vec<String> {
    std::thread::sleep(moments.next());
    child.kill().unwrap();
    // Each line is one write: none is cut off.
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let said = lines.filter_map(|line| Some(line.split_once('@')?.1.to_owned())).collect();
    child.wait().unwrap();
    said
}

#[test]
fn a_second_process_is_told_that_the_journal_is_open_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("held.journal");
    let mut child = start("journal", &path, 0);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("@ready")));
    let open = with_open_files();
    for refused in [Journal::open(&path).map(drop), verify(&path).map(drop)] {
        let error = refused.unwrap_err();
        assert!(matches!(error, Error::Locked { .. }) && error.is_temporary(), "{error}");
        assert!(error.to_string().ends_with("is open elsewhere; close it there, or wait"), "{error}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    Journal::open(&path).unwrap();
    drop(open);
}
