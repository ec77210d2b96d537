//! A journal: appending, folding, sealing, settling, reading.

use foldlog::algebra::{Epoch, Limits, Operation, Outcome, Outcomes, Resulting, Row, Seq, Stamps, Trigger};
use foldlog::journal::{Durability, Error, Journal, Listing};
use foldlog::testing::FaultyStorage;

use crate::played;
use crate::prepared::{self, PARKED, key, observed, patch, state, trigger};
use crate::random::Random;
use crate::walk::Life;

const CALLS: u64 = 24;
const ENTITIES: u64 = 16;
/// With little, what is folded goes into many commits.
const PASS_BYTES: [usize; 2] = [foldlog::journal::PASS_BYTES_DEFAULT, 2_000];

fn open(disk: &FaultyStorage, pass_bytes: usize) -> Journal {
    prepared::options().pass_bytes(pass_bytes).on(disk.clone()).unwrap()
}

fn operation(random: &mut Random) -> Operation {
    let key = key(random.below(ENTITIES));
    let number = random.next();
    match random.below(8) {
        0 => Operation::delete(key),
        1 | 2 => Operation::create(key, state(&format!(r#"{{"n":{number}}}"#))),
        3 => {
            let text = "x".repeat(random.index(9_000));
            Operation::update(key, state(&format!(r#"{{"n":{number},"text":"{text}"}}"#)))
        }
        _ => Operation::patch(key, patch(&format!(r#"{{"p{}":{number}}}"#, number % 4))),
    }
}

fn operations(random: &mut Random) -> Vec<Operation> {
    (0..=random.below(6)).map(|_| operation(random)).collect()
}

fn settled(journal: &Journal, random: &mut Random) -> Result<(), Error> {
    let Some(bunch) = journal.open_bunch()? else { return Ok(()) };
    let outcomes = bunch.operations.iter().map(|sent| match random.below(8) {
        0 => Outcome::Refused { reason: "no".to_owned() },
        1 => Outcome::Superseded {
            epoch: Epoch(1_000 + random.below(100)),
            state: Some(state(r#"{"theirs":1}"#)),
            stamps: Stamps::default(),
            writer: None,
        },
        2 => Outcome::Waits { on: key(PARKED) },
        3 => Outcome::Clash { unique: vec!["name".to_owned()], holder: sent.operation.key.id(), of: None },
        4 => Outcome::Retry,
        _ => Outcome::Accepted {
            epoch: Some(Epoch(1_000 + random.below(100))),
            result: Resulting::AsSent,
            overwrote: None,
        },
    });
    let outcomes = outcomes.collect();
    journal.settle(&Outcomes { bunch: bunch.number, outcomes }).map(drop)
}

fn rows(random: &mut Random) -> Vec<Row> {
    let row = |random: &mut Random| Row {
        key: key(random.below(ENTITIES)),
        state: (!random.one_in(3)).then(|| state(&format!(r#"{{"far":{}}}"#, random.below(9)))),
        epoch: Some(Epoch(1 + random.below(2_000))),
    };
    (0..random.below(4)).map(|_| row(random)).collect()
}

/// One call: its name, and whether what it did is there from its return on. What is refused has changed nothing.
fn call(journal: &Journal, pass_bytes: usize, random: &mut Random, life: &mut Life) {
    let all = operations(random);
    let rows = rows(random);
    let number = random.below(20);
    let seen = || observed(journal);
    let mut made = |name, is_durable, call: &mut dyn FnMut() -> Result<(), Error>| {
        let done = life.call(name, is_durable, call, seen);
        if let Err(error) = done {
            assert!(
                !error.is_damage() && !matches!(error, Error::Io { .. } | Error::Failed),
                "{name}: {error}"
            );
        }
    };
    match number {
        0..6 => made("append", true, &mut || journal.append(&all, Durability::Durable).map(drop)),
        6 | 7 => made("append deferred", false, &mut || journal.append(&all, Durability::Deferred).map(drop)),
        8 => made("flush", true, &mut || journal.flush()),
        9 | 10 => made("compact", true, &mut || journal.compact()),
        11 | 12 => {
            let limits = Limits { operations: 1 + random.index(12), ..Limits::default() };
            // With little memory it forgets what comes to nothing in commits of their own.
            let again = move |image: &FaultyStorage| {
                let journal = open(image, pass_bytes);
                journal.seal(limits).unwrap();
                observed(&journal)
            };
            let seal = || journal.seal(limits).map(drop).unwrap();
            life.call_in_steps("seal", true, Some(Box::new(again)), seal, seen);
        }
        13 | 14 => made("settle", true, &mut || settled(journal, random)),
        15 => {
            let from = journal.status().unwrap().cursor.0;
            let trigger = |n| trigger(from + n, n % ENTITIES, 900 + from + n);
            let all: Vec<Trigger> = (1..4).filter(|n| n % 3 > 0 || random.one_in(2)).map(trigger).collect();
            made("receive", true, &mut || journal.receive(&all).map(drop));
        }
        16 => made("integrate", true, &mut || journal.integrate(&rows).map(drop)),
        17 => made("baseline", true, &mut || journal.baseline(&rows, Listing::Partial)),
        18 => {
            let last = journal.status().unwrap().appended;
            made("cancel", true, &mut || journal.cancel(Seq(last)).map(drop));
        }
        _ => match journal.parked().unwrap().first().map(|parked| parked.key.clone()) {
            Some(key) if random.one_in(2) => made("retry", true, &mut || journal.retry(&key)),
            Some(key) => made("discard", true, &mut || journal.discard(&key).map(drop)),
            None => made("reclaim", true, &mut || journal.reclaim().map(drop)),
        },
    }
}

#[test]
fn a_journal_loses_nothing_that_was_acknowledged_wherever_the_power_goes() {
    let figures = played(6, |random, figures| {
        let disk = match random.below(3) {
            0 => FaultyStorage::new(),
            has_bunch => prepared::prepared(has_bunch == 1),
        };
        let pass_bytes = PASS_BYTES[random.index(2)];
        let journal = open(&disk, pass_bytes);
        let mut life = Life::new(disk, observed(&journal));
        for _ in 0..CALLS {
            call(&journal, pass_bytes, random, &mut life);
        }
        drop(journal);
        let seen = |image: &FaultyStorage| observed(&open(image, pass_bytes));
        life.crashed_everywhere(random, figures, seen, |image, _, random| {
            // What recovery hands out can be written to, and closed.
            let writes = random.one_in(8);
            if writes {
                let journal = open(image, pass_bytes);
                journal.append(&operations(random), Durability::Durable).unwrap();
                journal.compact().unwrap();
                let seen = observed(&journal);
                drop(journal);
                assert_eq!(observed(&open(image, pass_bytes)), seen);
            }
            writes
        });
    });
    assert!(figures.images > 100 && figures.recoveries > 10 && figures.went_on > 10, "{figures}");
}
