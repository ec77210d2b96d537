//! Lines there and back: whatever is written is read again, and written again byte for byte.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use foldlog::Uuid;
use foldlog::algebra::{
    Action, Bunch, BunchNumber, Change, CollectionName, EntityKey, Epoch, Fold, Group, Index, Millis,
    Operation, Outcome, Outcomes, Patch, Planned, ReadPlan, ReplicaId, Resulting, Row, Seq, Stamp, Stamps,
    State, Trigger, Update, plan,
};
use foldlog::codec::lines::{Line, ReadList, read_all};
use foldlog::journal::{Durability, Journal};
use foldlog::testing::cases;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use serde_json::{Map, Value};

/// Names and texts that JSON has to escape, or that look like JSON.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("a".to_owned()),
        Just("b".to_owned()),
        Just("no\"te\\s".to_owned()),
        Just("},{\":".to_owned()),
        Just("\u{0}\n\u{1f}\u{7f}".to_owned()),
        Just("\u{feff}é😀\u{2028}".to_owned()),
        ".{0,6}",
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2_i64..3).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>()
            .prop_filter("JSON has no word for it", |double| double.is_finite())
            .prop_map(Value::from),
        Just(Value::from(1.0)),
        Just(Value::from(-0.0)),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::from),
            btree_map(text(), inner, 0..3).prop_map(object),
        ]
    })
}

fn object(members: std::collections::BTreeMap<String, Value>) -> Value {
    Value::Object(Map::from_iter(members))
}

fn fields() -> impl Strategy<Value = String> {
    btree_map(text(), value(), 0..4).prop_map(|members| object(members).to_string())
}

fn state() -> impl Strategy<Value = State> {
    fields().prop_map(|json| State::from_json(&json).unwrap())
}

fn patch() -> impl Strategy<Value = Patch> {
    fields().prop_map(|json| Patch::from_json(&json).unwrap())
}

fn id() -> impl Strategy<Value = Uuid> {
    prop_oneof![(1_u128..5).prop_map(Uuid::from_u128), Just(Uuid::max())]
}

fn key() -> impl Strategy<Value = EntityKey> {
    let names = prop_oneof![Just("notes"), Just("no\"t\\es"), Just("Äpfel und {Birnen}")];
    (names, id()).prop_map(|(name, id)| EntityKey::new(CollectionName::new(name).unwrap(), id).unwrap())
}

fn millis() -> impl Strategy<Value = Millis> {
    prop_oneof![(0_u64..4).prop_map(Millis), Just(Millis::MAX)]
}

fn epoch() -> impl Strategy<Value = Epoch> {
    prop_oneof![(0_u64..4).prop_map(Epoch), Just(Epoch(u64::MAX))]
}

fn stamp() -> impl Strategy<Value = Stamp> {
    (millis(), option::of(id().prop_map(ReplicaId))).prop_map(|(at, replica)| Stamp { at, replica })
}

fn stamps() -> impl Strategy<Value = Vec<(String, Stamp)>> {
    btree_map(text(), stamp(), 0..3).prop_map(|stamps| stamps.into_iter().collect())
}

fn all_stamps() -> impl Strategy<Value = Stamps> {
    (option::of(stamp()), option::of(stamp()), stamps()).prop_map(|(created, turned, fields)| Stamps {
        created,
        turned,
        fields,
    })
}

fn groups() -> impl Strategy<Value = Vec<Group>> {
    btree_set(prop_oneof![Just("g"), Just("h\"h"), Just("ï")], 0..3)
        .prop_map(|names| names.into_iter().map(|name| Group::new(name).unwrap()).collect())
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        state().prop_map(Change::Create),
        state().prop_map(|state| Change::Update(Update::State(state))),
        patch().prop_map(|patch| Change::Update(Update::Patch(patch))),
        Just(Change::Delete),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    (key(), change(), option::of(millis()), stamps(), groups()).prop_map(
        |(key, change, at, stamps, groups)| {
            let stamps = match &change {
                // Stamps of the fields that it names.
                Change::Update(Update::Patch(patch)) => {
                    patch.iter().zip(stamps).map(|((name, _), (_, stamp))| (name, stamp)).collect()
                }
                Change::Create(_) | Change::Update(Update::State(_)) => stamps,
                Change::Delete => Vec::new(),
            };
            Operation { key, change, at, stamps, groups }
        },
    )
}

fn planned() -> impl Strategy<Value = Planned> {
    // Where an operation came from is not on its line.
    (operation(), option::of(epoch()), option::of(vec(text(), 0..3))).prop_map(
        |(operation, base, touched)| {
            let touched = touched.filter(|_| matches!(operation.change, Change::Create(_)));
            Planned { operation, base, first: Seq(0), last: Seq(0), operations: 1, touched }
        },
    )
}

fn row() -> impl Strategy<Value = Row> {
    (key(), option::of(state()), option::of(epoch())).prop_map(|(key, state, epoch)| Row {
        key,
        state,
        epoch,
    })
}

fn trigger() -> impl Strategy<Value = Trigger> {
    let action = prop_oneof![Just(Action::Upsert), Just(Action::Delete)];
    (1..u64::MAX, key(), action, epoch(), option::of(id())).prop_map(|(index, key, action, epoch, sender)| {
        Trigger { index: Index(index), key, action, epoch, sender }
    })
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let result = prop_oneof![
        Just(Resulting::AsSent),
        all_stamps().prop_map(Resulting::Gone),
        (state(), all_stamps()).prop_map(|(state, stamps)| Resulting::Live(state, stamps)),
    ];
    prop_oneof![
        (option::of(epoch()), result, option::of(state()))
            .prop_map(|(epoch, result, overwrote)| Outcome::Accepted { epoch, result, overwrote }),
        (epoch(), option::of(state()), all_stamps(), option::of(id().prop_map(ReplicaId)))
            .prop_map(|(epoch, state, stamps, writer)| Outcome::Superseded { epoch, state, stamps, writer }),
        (vec(text(), 1..3), id(), option::of(key())).prop_map(|(unique, holder, of)| Outcome::Clash {
            unique,
            holder,
            of
        }),
        text().prop_map(|reason| Outcome::Refused { reason }),
        key().prop_map(|on| Outcome::Waits { on }),
        Just(Outcome::Retry),
    ]
}

fn outcomes() -> impl Strategy<Value = Outcomes> {
    (1_u64.., vec(outcome(), 0..8))
        .prop_map(|(bunch, outcomes)| Outcomes { bunch: BunchNumber(bunch), outcomes })
}

fn there_and_back<T: Line + PartialEq + std::fmt::Debug>(values: &[T]) -> Result<(), TestCaseError> {
    let lines: Vec<String> = values.iter().map(Line::to_line).collect();
    let read: Vec<T> = read_all(lines.join("\n").as_bytes()).unwrap();
    prop_assert_eq!(&read[..], values);
    let again: Vec<String> = read.iter().map(Line::to_line).collect();
    prop_assert_eq!(&again, &lines);
    // As a program on another system writes them.
    let windows = format!("\u{feff}\r\n{}\r\n\r\n \t\r\n", lines.join("\r\n"));
    prop_assert_eq!(&read_all::<T>(windows.as_bytes()).unwrap()[..], values);
    Ok(())
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn operations_come_back(operations in vec(operation(), 0..4)) {
        there_and_back(&operations)?;
    }

    #[test]
    fn planned_operations_come_back_and_are_operations_too(planned in vec(planned(), 0..4)) {
        there_and_back(&planned)?;
        for planned in planned {
            prop_assert_eq!(Operation::from_line(&planned.to_line()).unwrap(), planned.operation);
        }
    }

    #[test]
    fn rows_come_back(rows in vec(row(), 0..4)) {
        there_and_back(&rows)?;
    }

    #[test]
    fn triggers_come_back(triggers in vec(trigger(), 0..4)) {
        there_and_back(&triggers)?;
    }

    #[test]
    fn answers_come_back(outcomes in vec(outcomes(), 0..3)) {
        there_and_back(&outcomes)?;
    }

    #[test]
    fn lists_of_reads_come_back(keys in btree_set(key(), 0..9)) {
        let mut plan = ReadPlan::default();
        for key in keys {
            plan.reads.entry(key.collection().clone()).or_default().push(key.id());
        }
        there_and_back(&ReadList::of(&plan).collect::<Vec<_>>())?;
    }

    #[test]
    fn ids_are_read_in_any_case_and_written_lower(key in key()) {
        let line = Operation::delete(key).to_line();
        let (head, id) = line.split_once("\"id\":").unwrap();
        let upper = format!("{head}\"id\":{}", id.to_uppercase());
        prop_assert_eq!(Operation::from_line(&upper).unwrap().to_line(), line);
    }

    #[test]
    fn a_plan_folded_again_is_the_same_plan(log in vec(operation(), 0..12)) {
        let first = folded(&log);
        let again: Vec<Operation> = read_all(first.join("\n").as_bytes()).unwrap();
        prop_assert_eq!(folded(&again), first);
    }

    /// What the journal seals it can read again, and a peer too.
    #[test]
    fn a_sealed_bunch_comes_back(log in vec(operation(), 1..8)) {
        let journal = Journal::in_memory().unwrap();
        journal.append(&log, Durability::Deferred).unwrap();
        if let Some(bunch) = journal.seal(Default::default()).unwrap() {
            let line = bunch.to_line();
            prop_assert_eq!(&Bunch::from_line(&line).unwrap().to_line(), &line);
            prop_assert_eq!(journal.open_bunch().unwrap().unwrap().to_line(), line);
        }
    }

    #[test]
    fn a_line_that_was_changed_is_read_as_what_it_says_or_refused(
        log in vec(operation(), 1..3), place in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut bytes = log.iter().map(Line::to_line).collect::<Vec<_>>().join("\n").into_bytes();
        let place = place.index(bytes.len());
        bytes[place] = byte;
        if let Ok(read) = read_all::<Operation>(&bytes) {
            there_and_back(&read)?;
        }
        for line in bytes.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok()) {
            written_plainly_or_not(line)?;
        }
    }

    #[test]
    fn what_is_written_plainly_means_the_same_otherwise(fields in pieces(), more in pieces()) {
        for fields in [format!("{{{fields}}}"), format!("{{\"a\":{fields}}}"), fields] {
            let id = Uuid::max();
            let line = format!(r#"{{"op":"update","collection":"notes","id":"{id}","patch":{fields},"at":7}}"#);
            written_plainly_or_not(&line)?;
            written_plainly_or_not(&line.replace("patch", "state"))?;
            written_plainly_or_not(&line.replace('}', &format!("{more}}}")))?;
        }
    }
}

/// Pieces that fields are made of, right ones and wrong ones.
fn pieces() -> impl Strategy<Value = String> {
    let pieces = r#"{ } [ ] , : " "a" "b" "é" 1 -1 0 - 1.5 null true false "a":1 "b":null {} [] {"a":1} \ \" "a\n" e1"#;
    let pieces: Vec<&str> = pieces.split(' ').chain([" ", "\u{1}"]).collect();
    vec(prop::sample::select(pieces), 0..8).prop_map(|pieces| pieces.concat())
}

/// A line that is written plainly has a quick way of its own, which one space behind its first brace bars.
fn written_plainly_or_not(line: &str) -> Result<(), TestCaseError> {
    let spaced = line.replacen('{', "{ ", 1);
    let (plain, spaced) = (Operation::from_line(line), Operation::from_line(&spaced));
    prop_assert_eq!(plain.is_ok(), spaced.is_ok(), "{}", line);
    prop_assert_eq!(plain.ok(), spaced.ok());
    Ok(())
}

fn folded(log: &[Operation]) -> Vec<String> {
    let mut fold = Fold::new();
    fold.extend(log);
    let bases = foldlog::algebra::BaseMap::new(false);
    plan(fold.effects(), &bases, None).operations.iter().map(Line::to_line).collect()
}
