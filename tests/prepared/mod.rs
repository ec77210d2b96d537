//! A journal with something in every table, and everything that can be seen of one.

use std::fmt::Write;

use foldlog::Uuid;
use foldlog::algebra::{
    Action, CollectionName, EntityKey, Epoch, Group, Index, Limits, Operation, Outcome, Outcomes, Patch,
    Resulting, Row, Stamps, State, Trigger,
};
use foldlog::codec::lines::Line;
use foldlog::journal::{Durability, Error, Journal, Listing, Options};
use foldlog::testing::FaultyStorage;

/// The entity that is parked.
pub(crate) const PARKED: u64 = 11;

pub(crate) fn key(number: u64) -> EntityKey {
    let id = Uuid::from_u128(0x5eed_0000_0000_4000_8000_0000_0000_0000 + u128::from(number));
    EntityKey::new(CollectionName::new("notes").unwrap(), id).unwrap()
}

pub(crate) fn state(json: &str) -> State {
    State::from_json(json).unwrap()
}

pub(crate) fn patch(json: &str) -> Patch {
    Patch::from_json(json).unwrap()
}

pub(crate) fn trigger(index: u64, entity: u64, epoch: u64) -> Trigger {
    let action = if index % 4 == 3 { Action::Delete } else { Action::Upsert };
    Trigger { index: Index(index), key: key(entity), action, epoch: Epoch(epoch), sender: None }
}

pub(crate) fn open(storage: &FaultyStorage) -> Result<Journal, Error> {
    options().on(storage.clone())
}

pub(crate) fn options() -> Options {
    Options::new().cache_bytes(256 * 1024).clock(|| 1_700_000_000_000)
}

/// Base knowledge, a run of several levels, a log, an open bunch (if that is wanted), parked, held and
/// superseded effects, an inbox with a gap.
pub(crate) fn prepared(has_open_bunch: bool) -> FaultyStorage {
    let storage = FaultyStorage::new();
    let journal = open(&storage).unwrap();
    let row = |n: u64| Row {
        key: key(n),
        state: Some(state(&format!(r#"{{"n":{n}}}"#))),
        epoch: Some(Epoch(n + 1)),
    };
    journal.baseline(&(0..8).map(row).collect::<Vec<_>>(), Listing::Partial).unwrap();
    let text = "x".repeat(1_500);
    let group = Group::new("together").unwrap();
    let create = |n: u64| Operation::create(key(n), state(&format!(r#"{{"n":{n},"text":"{text}"}}"#)));
    let first = [
        create(10),
        create(PARKED),
        create(12).in_group(group.clone()),
        create(13).in_group(group),
        create(14),
    ];
    journal.append(&first, Durability::Durable).unwrap();
    let bunch = journal.seal(Limits::default()).unwrap().unwrap();
    let outcomes = bunch
        .operations
        .iter()
        .map(|sent| match &sent.operation.key {
            sent if *sent == key(PARKED) => Outcome::Refused { reason: "not like this".to_owned() },
            sent if *sent == key(10) => Outcome::Waits { on: key(PARKED) },
            sent if *sent == key(14) => {
                Outcome::Superseded { epoch: Epoch(60), state: None, stamps: Stamps::default(), writer: None }
            }
            _ => Outcome::Accepted { epoch: Some(Epoch(61)), result: Resulting::AsSent, overwrote: None },
        })
        .collect();
    journal.settle(&Outcomes { bunch: bunch.number, outcomes }).unwrap();
    for round in 0..3_u64 {
        let batch: Vec<Operation> = (0..40 >> (2 * round))
            .map(|n| match (n + round) % 4 {
                0 => {
                    Operation::create(key(20 + n), state(&format!(r#"{{"round":{round},"text":"{text}"}}"#)))
                }
                1 => Operation::patch(key(n % 8), patch(&format!(r#"{{"n":{round},"p{n}":null}}"#))),
                2 => Operation::update(key(20 + n), state(r#"{"whole":[1,{"x":1.5}]}"#)),
                _ => Operation::delete(key(n % 30)),
            })
            .filter(|operation| operation.key != key(PARKED))
            .collect();
        journal.append(&batch, Durability::Durable).unwrap();
        journal.compact().unwrap();
    }
    journal.receive(&[trigger(1, 1, 300), trigger(2, 2, 301), trigger(4, 60, 302)]).unwrap();
    if has_open_bunch {
        journal.seal(Limits { operations: 8, ..Limits::default() }).unwrap().unwrap();
    }
    let last = [Operation::patch(key(1), patch(r#"{"last":1}"#)), Operation::delete(key(21)), create(90)];
    journal.append(&last, Durability::Durable).unwrap();
    drop(journal);
    storage.snapshot()
}

/// Everything that can be seen of a journal.
pub(crate) fn observed(journal: &Journal) -> String {
    let mut seen = String::new();
    let plan = journal.plan().unwrap();
    for planned in &plan.operations {
        writeln!(seen, "{} of {} to {}", planned.to_line(), planned.first, planned.last).unwrap();
    }
    writeln!(seen, "{:?}", plan.nothing).unwrap();
    writeln!(seen, "{:?}", journal.open_bunch().unwrap().map(|bunch| bunch.to_line())).unwrap();
    writeln!(seen, "{:?}\n{:?}", journal.parked().unwrap(), journal.held().unwrap()).unwrap();
    writeln!(seen, "{:?}\n{:?}", journal.superseded().unwrap(), journal.reads().unwrap()).unwrap();
    for number in 0..100 {
        writeln!(seen, "{number} {:?}", journal.base(&key(number)).unwrap()).unwrap();
    }
    let status = journal.status().unwrap();
    // A pass may know the size of a merged patch better than the sum of its parts.
    let sizes = [status.pending, status.held, status.sealed, status.parked]
        .map(|count| (count.entities, count.operations));
    writeln!(
        seen,
        "{sizes:?} {} {} {} {:?}",
        status.appended, status.settled, status.folded_away, status.cursor
    )
    .unwrap();
    seen
}
