//! A hundred kills at random moments: what was acknowledged is there, byte for byte, nothing is half-applied,
//! and what was sealed is sealed with the same bytes.
//!
//! The test runs itself again as the process to be killed. That one appends, compacts, seals and settles without
//! end, and says so on its standard output after each call returned. All rounds use one journal, so
//! there is a history to be damaged.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]
#![cfg(unix)]

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use foldlog::Uuid;
use foldlog::algebra::{
    Base, Bunch, CollectionName, Effect, EntityKey, Epoch, Existence, Limits, Operation, Outcome, Outcomes,
    Patch, Planned, Resulting, Seq, State, draft,
};
use foldlog::codec::lines::Line;
use foldlog::journal::{Durability, Error, Journal, verify};

const KILLS: u32 = 100;
const ENTITIES: u64 = 40;
const JOURNAL: &str = "FOLDLOG_TEST_JOURNAL";

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

/// The process that is killed. It says what it begins to append, and what came back.
#[test]
fn child() {
    let Some(path) = std::env::var_os(JOURNAL) else { return };
    let journal = Journal::create(path).unwrap();
    let say = |words: String| {
        let mut out = std::io::stdout().lock();
        writeln!(out, "@{words}").unwrap();
        out.flush().unwrap();
    };
    let mut next = journal.status().unwrap().appended + 1;
    say("ready".to_owned());
    for round in 0_u64.. {
        let batch: Vec<Operation> = (next..next + 1 + round % 9).map(operation).collect();
        say(format!("appending {}", batch.len()));
        let appended = journal.append(&batch, Durability::Durable).unwrap();
        assert_eq!(appended.first.0, next);
        next = appended.last.0 + 1;
        say(format!("appended {}", appended.last));
        match round % 5 {
            1 => journal.compact().unwrap(),
            2 => {
                if let Some(bunch) = journal.seal(Limits { operations: 12, ..Limits::default() }).unwrap() {
                    say(format!("sealed {}", bunch.to_line()));
                }
            }
            4 => {
                if let Some(bunch) = journal.open_bunch().unwrap() {
                    say(format!("settling {}", bunch.number));
                    let settled = journal.settle(&accepted(&bunch)).unwrap();
                    assert!(!settled.was_settled);
                    say(format!("settled {}", bunch.number));
                }
            }
            _ => {}
        }
    }
}

fn accepted(bunch: &Bunch) -> Outcomes {
    let outcomes = (0..bunch.operations.len() as u64)
        .map(|place| Outcome::Accepted {
            epoch: Some(Epoch(bunch.number.0 * 1_000 + place)),
            result: Resulting::AsSent,
            overwrote: None,
        })
        .collect();
    Outcomes { bunch: bunch.number, outcomes }
}

fn start(path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--nocapture", "--test-threads", "1"])
        .env(JOURNAL, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// What the killed process said.
#[derive(Default)]
struct Said {
    acknowledged: u64,
    /// How many more operations the call under way would have appended.
    under_way: u64,
    sealed: Option<Bunch>,
    /// The bunch whose settling was under way, and the one that was settled last.
    settling: u64,
    settled: u64,
}

fn hear(child: &mut Child, said: &mut Said) {
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        // The last line may be cut off.
        let Ok(line) = line else { break };
        let Some((_, words)) = line.split_once('@') else { continue };
        match words.split_once(' ') {
            Some(("appending", number)) => said.under_way = number.parse().unwrap_or(9),
            Some(("appended", last)) => {
                said.acknowledged = last.parse().unwrap();
                said.under_way = 0;
            }
            Some(("sealed", bunch)) => said.sealed = Bunch::from_line(bunch).ok(),
            Some(("settling", number)) => said.settling = number.parse().unwrap(),
            Some(("settled", number)) => said.settled = number.parse().unwrap(),
            _ => {}
        }
    }
}

/// Every effect, sealed or pending, is that of the operations it counts, byte for byte; says how many were
/// compared.
fn what_is_there_is_what_was_appended(journal: &Journal) -> u64 {
    let bunch = journal.open_bunch().unwrap();
    let sealed: Vec<Planned> = bunch.into_iter().flat_map(|bunch| bunch.operations).collect();
    let sealed_keys: HashSet<EntityKey> =
        sealed.iter().map(|planned| planned.operation.key.clone()).collect();
    let plan = journal.plan().unwrap();
    // What is pending behind a sealed operation is planned on what that one will make of the base.
    let pending = plan.operations.into_iter().filter(|planned| !sealed_keys.contains(&planned.operation.key));
    let mut compared = 0;
    for planned in sealed.iter().cloned().chain(pending) {
        let key = &planned.operation.key;
        let mut effect = Effect::identity();
        for seq in planned.first.0..=planned.last.0 {
            let operation = operation(seq);
            if operation.key == *key {
                effect = effect.then(&Effect::of(Seq(seq), &operation));
            }
        }
        assert_eq!(effect.shape.operations, planned.operations, "{key}");
        let expected = draft(key, &effect, &journal.base(key).unwrap()).unwrap();
        assert_eq!(planned.operation.change, expected.planned.operation.change, "{key}");
        compared += 1;
    }
    compared
}

#[test]
fn what_was_acknowledged_survives_a_hundred_kills() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("killed.journal");
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
    println!("seed {seed}");
    let mut random = u64::from(seed) | 1;
    let mut seen: BTreeMap<EntityKey, Existence> = BTreeMap::new();
    let mut played = 0;
    let (mut open, mut delivered, mut in_flight, mut compared) = (None::<Bunch>, 0, 0, 0);
    for kill in 0..KILLS {
        let mut child = start(&path);
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_micros(8_000 + (random >> 33) % 60_000));
        child.kill().unwrap();
        let mut said = Said { acknowledged: played, ..Said::default() };
        hear(&mut child, &mut said);
        child.wait().unwrap();
        if !path.exists() {
            assert_eq!(said.acknowledged, 0);
            continue;
        }
        let report = verify(&path);
        if said.acknowledged == 0 && report.is_err() {
            // It died while the journal was being made.
            continue;
        }
        assert_eq!(report.unwrap().findings, [], "kill {kill}");
        let journal = Journal::open(&path).unwrap();
        let status = journal.status().unwrap();
        let found = status.appended;
        assert!(
            found == said.acknowledged || found == said.acknowledged + said.under_way,
            "kill {kill}: {found} operations; {} were acknowledged, {} more under way",
            said.acknowledged,
            said.under_way
        );
        in_flight += u64::from(found != said.acknowledged);
        let phases = [&status.pending, &status.held, &status.sealed, &status.parked];
        let counted: u64 = phases.iter().map(|count| count.operations).sum();
        assert_eq!(counted + status.settled, found, "kill {kill}: {status:?}");
        // Bunches follow each other; what was sealed is the same bytes until it is settled.
        let now = journal.open_bunch().unwrap();
        if let Some(sealed) = &said.sealed
            && said.settled < sealed.number.0
            && said.settling < sealed.number.0
        {
            assert_eq!(now.as_ref().map(Line::to_line), Some(sealed.to_line()), "kill {kill}");
        }
        if let (Some(before), Some(now)) = (&open, &now)
            && before.number == now.number
        {
            assert_eq!(before.to_line(), now.to_line(), "kill {kill}");
        }
        delivered = delivered.max(said.settled);
        open = now;
        for seq in played + 1..=found {
            let operation = operation(seq);
            let thing = seen.entry(operation.key).or_default();
            *thing = thing.after(&operation.change);
        }
        played = found;
        compared += what_is_there_is_what_was_appended(&journal);
        drop(journal);
    }
    let journal = Journal::open(&path).unwrap();
    let appended = journal.status().unwrap().appended;
    assert!(
        appended > 500 && delivered > 10,
        "{appended} operations, {delivered} bunches: too slow to show anything"
    );
    // Everything is delivered: what the journal then knows of the authority is what its operations say.
    for round in 0.. {
        assert!(round < 1_000);
        match journal.seal(Limits::default()).unwrap() {
            None => break,
            Some(bunch) => {
                journal.settle(&accepted(&bunch)).unwrap();
            }
        }
    }
    let status = journal.status().unwrap();
    assert_eq!(status.settled, appended);
    for number in 0..ENTITIES {
        let key = key(number);
        let base = journal.base(&key).unwrap();
        let local = seen.get(&key).cloned().unwrap_or_default();
        assert_eq!(matches!(base, Base::Live(_)), local.live().is_some(), "{key}: {base:?} of {local:?}");
    }
    println!(
        "{appended} operations over {KILLS} kills, {in_flight} of them kept though not acknowledged; {delivered} bunches; {compared} effects compared byte for byte"
    );
    assert_eq!(verify_after(journal, &path), []);
}

fn verify_after(journal: Journal, path: &Path) -> Vec<foldlog::journal::Finding> {
    drop(journal);
    verify(path).unwrap().findings
}

#[test]
fn a_second_process_is_told_that_the_journal_is_open_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("held.journal");
    let mut child = start(&path);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("@ready")));
    for refused in [Journal::open(&path).map(drop), verify(&path).map(drop)] {
        let error = refused.unwrap_err();
        assert!(matches!(error, Error::Locked { .. }) && error.is_temporary(), "{error}");
        assert!(error.to_string().ends_with("is open elsewhere; close it there, or wait"), "{error}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    Journal::open(&path).unwrap();
}
