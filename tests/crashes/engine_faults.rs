//! Calls of the storage that fail under the engine: what the journal may rely on afterwards.
//!
//! Mechanism under attack: the one place where the engine notes that an I/O call failed. Every kind of
//! fault strikes at every call of a few transactions, once and for good.
//!
//! Claim: the transaction fails with an error; from then on the handle refuses to write, even when the
//! fault is gone; a file opened again without the fault holds everything acknowledged as durable and
//! nothing half-done; and so does the disk if the power goes at that moment. Whether the transaction that
//! failed is there is open: it may be.
//!
//! `FOLDLOG_FAULT_STRIDE` (default 3) says at every how many-th call; the long tier is 1.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test: it fails there")]

use std::collections::BTreeMap;

use crate::engine::{Content, Way, change, open, read};
use crate::random::Random;
use foldlog::testing::{Fault, FaultyStorage, Times, Unsynced};

const CACHE_BYTES: usize = 64 * 1024;

/// What came of one fault.
#[derive(Debug, Default)]
struct Figures {
    runs: u64,
    not_struck: u64,
    /// Struck, but nothing that was asked for depended on it.
    harmless: u64,
    /// How transactions failed: the error, without its details.
    failed: BTreeMap<String, u64>,
    /// How the handle answers to the next write, and to a read, with the fault gone.
    then_write: BTreeMap<String, u64>,
    then_read: BTreeMap<String, u64>,
    failed_commit_is_there: u64,
    failed_commit_is_not_there: u64,
}

fn word<T>(result: &Result<T, redb::Error>) -> String {
    match result {
        Ok(_) => "works".to_owned(),
        Err(redb::Error::Io(error)) => format!("Io({:?})", error.kind()),
        Err(error) => {
            let text = format!("{error:?}");
            text.split('(').next().unwrap_or_default().to_owned()
        }
    }
}

/// Plays a few transactions with a fault at the given call and gives how many calls there were.
fn run(call: u64, fault: Fault, times: Times, figures: &mut Figures) -> u64 {
    let mut random = Random(5);
    let disk = FaultyStorage::new();
    let db = open(&disk, CACHE_BYTES).unwrap();
    let mut states = vec![Content::new()];
    let mut content = Content::new();
    for number in 1..8 {
        change(&db, number, &mut content, &mut random).unwrap();
        states.push(content.clone());
    }
    let first_call = disk.calls();
    disk.fail_at(first_call + call, fault, times);
    let mut durable = 0;
    let mut failed = None;
    for number in 8..20 {
        let result = change(&db, number, &mut content, &mut random);
        states.push(content.clone());
        match result {
            Ok(Way::NotDurable) => {}
            Ok(Way::OnePhase | Way::TwoPhase) => durable = number,
            Err(error) => {
                failed = Some((number, error));
                break;
            }
        }
    }
    let calls = disk.calls() - first_call;
    figures.runs += 1;
    let struck = disk.faults_fired() > 0;
    figures.not_struck += u64::from(!struck);
    figures.harmless += u64::from(struck && failed.is_none());
    let place = format!("{fault:?} {times:?} at call {call}");
    disk.heal();
    let has_failed = failed.is_some();
    let last = match &failed {
        Some((number, _)) => *number,
        None => 19,
    };
    if let Some((number, error)) = failed {
        *figures.failed.entry(word::<()>(&Err(error))).or_default() += 1;
        let then = change(&db, number + 1, &mut content.clone(), &mut random);
        *figures.then_write.entry(word(&then)).or_default() += 1;
        assert!(then.is_err(), "{place}: the handle goes on");
        *figures.then_read.entry(word(&read(&db))).or_default() += 1;
    }
    let no_power = disk.after_crash(Unsynced::Lost);
    let torn = disk.after_crash(Unsynced::Sampled { seed: call });
    let struck_again = disk.snapshot();
    drop(db);
    for (name, image) in
        [("closed", disk.snapshot()), ("killed", struck_again), ("lost", no_power), ("torn", torn)]
    {
        let mut db = open(&image, CACHE_BYTES).unwrap_or_else(|error| panic!("{place}, {name}: {error:?}"));
        let (number, found) = read(&db).unwrap();
        assert!((durable..=last).contains(&number), "{place}, {name}: {number} not in {durable}..={last}");
        assert_eq!(found, states[usize::try_from(number).unwrap()], "{place}, {name}");
        if name == "closed" && has_failed {
            if number == last {
                figures.failed_commit_is_there += 1;
            } else {
                figures.failed_commit_is_not_there += 1;
            }
        }
        assert!(db.check_integrity().unwrap(), "{place}, {name}: not clean");
        let mut found = found;
        change(&db, 100, &mut found, &mut random).unwrap();
        assert_eq!(read(&db).unwrap(), (100, found), "{place}, {name}");
    }
    calls
}

#[test]
fn after_any_fault_the_handle_refuses_to_write_and_a_new_one_finds_what_was_acknowledged() {
    let calls = run(u64::MAX / 2, Fault::Any, Times::Once, &mut Figures::default());
    let stride = std::env::var("FOLDLOG_FAULT_STRIDE").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    println!("{calls} calls, every {stride}. of them");
    for fault in Fault::ALL {
        for times in [Times::Once, Times::Always] {
            let mut figures = Figures::default();
            for call in (0..calls).step_by(stride) {
                run(call, fault, times, &mut figures);
            }
            println!("{fault:?} {times:?}: {figures:#?}");
        }
    }
}
