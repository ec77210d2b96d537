//! The journal's phases, one claim a test.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use foldlog::algebra::{
    Bunch, Change, CollectionName, EntityKey, Epoch, Group, Limits, Millis, Operation, Outcome, Outcomes,
    Patch, Planned, ReplicaId, Resulting, Row, Seq, Stamp, Stamps, State, Update,
};
use foldlog::journal::{Appended, Cancelled, Durability, Error, Journal, Listing, Options};
use foldlog::testing::{FaultyStorage, Unsynced};
use foldlog::workload::Workload;
use uuid::Uuid;

pub(super) fn key(n: u128) -> EntityKey {
    EntityKey::new(CollectionName::new("notes").unwrap(), Uuid::from_u128(n)).unwrap()
}

pub(super) fn state(json: &str) -> State {
    State::from_json(json).unwrap()
}

pub(super) fn patch(json: &str) -> Patch {
    Patch::from_json(json).unwrap()
}

#[test]
fn create_and_updates_are_one_create_with_the_final_state() {
    let journal = Journal::in_memory().unwrap();
    journal.append(&[Operation::create(key(1), state(r#"{"a":1,"b":1}"#))], Durability::Durable).unwrap();
    journal.compact().unwrap();
    journal.append(&[Operation::patch(key(1), patch(r#"{"b":2}"#))], Durability::Durable).unwrap();
    let appended = journal
        .append(
            &[Operation::patch(key(1), patch(r#"{"a":null}"#)), Operation::delete(key(2))],
            Durability::Deferred,
        )
        .unwrap();
    assert_eq!((appended.first, appended.last), (Seq(3), Seq(4)));
    let before = journal.plan().unwrap();
    assert_eq!(before.operations.len(), 2);
    assert_eq!(before.operations[1].operation.change.fields_json(), r#"{"b":2}"#);
    assert_eq!(before.operations[1].operations, 3);
    journal.compact().unwrap();
    assert_eq!(journal.plan().unwrap(), before);
    journal.compact().unwrap();
    assert_eq!(journal.plan().unwrap(), before);
    let status = journal.status().unwrap();
    assert_eq!(
        (status.appended, status.pending.entities, status.pending.operations, status.folded_away),
        (4, 2, 4, 2)
    );
}

#[test]
fn many_entities_survive_reopening_in_columns_of_many_values() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("j.redb");
    let journal = Journal::create(&path).unwrap();
    let operations: Vec<Operation> = (0..20_000_u128)
        .map(|n| {
            let id = key(n % 7_000 + 1);
            match n % 5 {
                0 => Operation::create(
                    id,
                    state(&format!(r#"{{"n":{n},"text":"{}"}}"#, "x".repeat((n % 300) as usize))),
                ),
                4 => Operation::delete(id),
                _ => Operation::patch(id, patch(&format!(r#"{{"p{}":{n}}}"#, n % 3))),
            }
        })
        .collect();
    for batch in operations.chunks(3_333) {
        journal.append(batch, Durability::Durable).unwrap();
    }
    let before = journal.plan().unwrap();
    drop(journal);
    let journal = Journal::open(&path).unwrap();
    assert_eq!(journal.plan().unwrap(), before);
    journal.compact().unwrap();
    assert_eq!(journal.plan().unwrap(), before);
    let mut fold = foldlog::algebra::Fold::new();
    for operation in &operations {
        fold.push(operation);
    }
    let stamped = journal.plan().unwrap();
    let plain = foldlog::algebra::plan(fold.effects(), &foldlog::algebra::BaseMap::new(false), None);
    assert_eq!(stamped.operations.len(), plain.operations.len());
    for (a, b) in stamped.operations.iter().zip(&plain.operations) {
        assert_eq!(
            (&a.operation.key, &a.operation.change, a.first, a.last),
            (&b.operation.key, &b.operation.change, b.first, b.last)
        );
    }
}

/// However little memory a pass may take, and whether entities are about many rows each or most are alone: what is pending
/// is the same, over levels of all sizes.
#[test]
fn a_pass_in_parts_folds_as_one_at_once_does() {
    for entities in [40, 3_000, 1_000_000] {
        let journals = [None, Some(4_000), Some(20_000), Some(200_000)].map(|bytes| {
            let options = Options::new().clock(|| 1_000_000);
            bytes.map_or(options.clone(), |bytes| options.pass_bytes(bytes)).in_memory().unwrap()
        });
        let operations = if entities == 40 { 3_000 } else { 6_000 };
        let workload = Workload { operations, entities, payload_bytes: 80, ..Workload::default() };
        let mut log: Vec<Operation> = workload.iter().unwrap().collect();
        for (n, operation) in log.iter_mut().enumerate().filter(|(n, _)| n % 9 == 0) {
            operation.groups = vec![format!("group {}", n % 4).parse().unwrap()];
        }
        for batch in log.chunks(900) {
            let plans = journals.each_ref().map(|journal| {
                journal.append(batch, Durability::Durable).unwrap();
                if entities == 40 || journal.status().unwrap().appended % 1_800 == 0 {
                    journal.compact().unwrap();
                }
                journal.plan().unwrap()
            });
            assert!(plans.iter().all(|plan| *plan == plans[0]), "{entities} entities");
        }
        let folded = journals.each_ref().map(|journal| {
            journal.compact().unwrap();
            let status = journal.status().unwrap();
            (status.pending.operations, status.pending.entities, status.folded_away)
        });
        assert!(folded.iter().all(|status| *status == folded[0]));
    }
}

#[test]
fn sealing_in_parts_takes_what_sealing_at_once_does() {
    let journals = [None, Some(10_000), Some(60_000)].map(|bytes| {
        let options = Options::new().clock(|| 1_000_000);
        bytes.map_or(options.clone(), |bytes| options.pass_bytes(bytes)).in_memory().unwrap()
    });
    // Of entities that were never there, creates and deletes come to nothing; some others share a group.
    let workload = Workload { operations: 2_000, entities: 1_200, deletes: 2, ..Workload::default() };
    let mut log: Vec<Operation> = workload.iter().unwrap().collect();
    for (n, operation) in log.iter_mut().enumerate().filter(|(n, _)| n % 11 == 0) {
        operation.groups = vec![format!("group {}", n % 170).parse().unwrap()];
    }
    for journal in &journals {
        journal.baseline(&[], Listing::Complete).unwrap();
        journal.append(&log, Durability::Durable).unwrap();
    }
    let (mut bunches, mut sealed) = (0, 0);
    loop {
        let limits = match bunches % 3 {
            0 => Limits { operations: 120, ..Limits::default() },
            1 => Limits { bytes: 30_000, ..Limits::default() },
            _ => Limits { operations: 1, ..Limits::default() },
        };
        let all = journals.each_ref().map(|journal| journal.seal(limits).unwrap());
        assert!(all.iter().all(|bunch| *bunch == all[0]), "bunch {bunches}");
        let statuses = journals.each_ref().map(|journal| journal.status().unwrap());
        assert!(statuses.iter().all(|status| *status == statuses[0]), "{statuses:?}");
        let Some(bunch) = &all[0] else { break };
        for journal in &journals {
            let accepted =
                Outcome::Accepted { epoch: Some(Epoch(1)), result: Resulting::AsSent, overwrote: None };
            let outcomes = vec![accepted; bunch.operations.len()];
            journal.settle(&Outcomes { bunch: bunch.number, outcomes }).unwrap();
        }
        bunches += 1;
        sealed += bunch.operations.len();
    }
    let status = journals[0].status().unwrap();
    assert_eq!(status.settled, 2_000);
    assert!(bunches > 5 && sealed > 500 && status.folded_away > 500, "{bunches}, {sealed}, {status:?}");
}

#[test]
fn a_delete_behind_a_sealed_operation_is_still_to_be_sent_when_that_is_accepted() {
    for result in [Resulting::AsSent, Resulting::Live(state(r#"{"a":1,"b":2}"#), Stamps::default())] {
        let journal = Journal::in_memory().unwrap();
        let note = key(1);
        journal.append(&[Operation::patch(note.clone(), patch(r#"{"a":1}"#))], Durability::Durable).unwrap();
        let bunch = journal.seal(Limits::default()).unwrap().unwrap();
        journal.append(&[Operation::delete(note)], Durability::Durable).unwrap();
        let outcome = Outcome::Accepted { epoch: Some(Epoch(1)), result, overwrote: None };
        let outcomes = Outcomes { bunch: bunch.number, outcomes: vec![outcome] };
        assert_eq!(journal.settle(&outcomes).unwrap().deletes_dropped, []);
        let delete = journal.seal(Limits::default()).unwrap().unwrap();
        assert_eq!(delete.operations[0].operation.change, Change::Delete);
    }
}

#[test]
fn a_delete_behind_a_revival_of_what_was_not_known_is_still_to_be_sent() {
    let journal = Journal::in_memory().unwrap();
    let note = key(1);
    let tombstone = Row { key: note.clone(), state: None, epoch: Some(Epoch(1)) };
    journal.baseline(&[tombstone], Listing::Partial).unwrap();
    journal.append(&[Operation::patch(note.clone(), patch(r#"{"a":1}"#))], Durability::Durable).unwrap();
    let bunch = journal.seal(Limits::default()).unwrap().unwrap();
    journal.append(&[Operation::delete(note)], Durability::Durable).unwrap();
    // Told because the tombstone's state was not known here, not because anybody else changed it.
    let result = Resulting::Live(state(r#"{"a":1,"kept":true}"#), Stamps::default());
    let outcome = Outcome::Accepted { epoch: Some(Epoch(2)), result, overwrote: None };
    let outcomes = Outcomes { bunch: bunch.number, outcomes: vec![outcome] };
    assert_eq!(journal.settle(&outcomes).unwrap().deletes_dropped, []);
    let delete = journal.seal(Limits::default()).unwrap().unwrap();
    assert_eq!(delete.operations[0].operation.change, Change::Delete);
}

#[test]
fn of_two_rows_of_one_entity_the_newer_counts_in_whatever_order_they_come() {
    let row =
        |json: Option<&str>, epoch| Row { key: key(1), state: json.map(state), epoch: Some(Epoch(epoch)) };
    let (older, newer) = (row(None, 15), row(Some("{}"), 16));
    for rows in [[older.clone(), newer.clone()], [newer.clone(), older.clone()]] {
        let journal = Journal::in_memory().unwrap();
        journal.baseline(&rows, Listing::Partial).unwrap();
        assert_eq!(journal.base(&key(1)).unwrap().epoch(), Some(Epoch(16)));
    }
}

#[test]
fn deleting_what_is_gone_forgets_no_epoch() {
    for result in [Resulting::AsSent, Resulting::Gone(Stamps::default())] {
        let journal = Journal::in_memory().unwrap();
        let note = key(1);
        let told = |state, epoch| Row { key: note.clone(), state, epoch: Some(Epoch(epoch)) };
        journal.baseline(&[told(Some(state("{}")), 1)], Listing::Partial).unwrap();
        journal.append(&[Operation::delete(note.clone())], Durability::Durable).unwrap();
        let bunch = journal.seal(Limits::default()).unwrap().unwrap();
        // Somebody else was first, and this is known before the answer comes.
        journal.baseline(&[told(None, 2)], Listing::Partial).unwrap();
        let outcome = Outcome::Accepted { epoch: None, result, overwrote: None };
        journal.settle(&Outcomes { bunch: bunch.number, outcomes: vec![outcome] }).unwrap();
        assert_eq!(journal.base(&note).unwrap().epoch(), Some(Epoch(2)));
    }
}

/// Somebody else wrote between what the deleter had seen and its delete, so the tombstone is not what the deleter
/// had seen either.
#[test]
fn a_tombstone_that_had_to_be_told_is_not_taken_for_what_the_base_said() {
    let journal = Journal::in_memory().unwrap();
    let note = key(1);
    let row = Row { key: note.clone(), state: Some(state(r#"{"a":1}"#)), epoch: Some(Epoch(1)) };
    journal.baseline(&[row], Listing::Partial).unwrap();
    journal.append(&[Operation::delete(note.clone())], Durability::Durable).unwrap();
    let bunch = journal.seal(Limits::default()).unwrap().unwrap();
    let outcome = Outcome::Accepted {
        epoch: Some(Epoch(3)),
        result: Resulting::Gone(Stamps::default()),
        overwrote: None,
    };
    journal.settle(&Outcomes { bunch: bunch.number, outcomes: vec![outcome] }).unwrap();
    journal.append(&[Operation::patch(note, patch(r#"{"b":2}"#))], Durability::Durable).unwrap();
    let revival = journal.seal(Limits::default()).unwrap().unwrap();
    // A create would bring `a` back as it was; the patch lets the authority say what was there.
    assert_eq!(revival.operations[0].operation.change, Change::Update(Update::Patch(patch(r#"{"b":2}"#))));
}

#[test]
fn the_log_is_read_back_from_any_place_until_it_is_folded() {
    let journal = Journal::in_memory().unwrap();
    let all: Vec<Operation> = (0..5_000_u64)
        .map(|n| match n % 3 {
            0 => Operation::create(key(u128::from(n) + 1), state(r#"{"a":1}"#)),
            1 => Operation::patch(key(u128::from(n)), patch(r#"{"a":2}"#)),
            _ => Operation::delete(key(7)),
        })
        .map(|operation| operation.at(1_000).unwrap())
        .collect();
    for batch in all.chunks(700) {
        journal.append(batch, Durability::Durable).unwrap();
    }
    for (from, most) in [(1, 5_000), (1, 0), (3, 10), (699, 4), (4_000, 9_000), (5_001, 1), (0, 2)] {
        let log = journal.log(Seq(from), most).unwrap();
        let found = &log.operations;
        let begin = usize::try_from(from).unwrap().saturating_sub(1);
        let expected: Vec<_> = all.iter().enumerate().skip(begin).take(most).collect();
        assert_eq!(found.len(), expected.len(), "{from} {most}");
        for (logged, (place, operation)) in found.iter().zip(expected) {
            assert_eq!((logged.seq.0, logged.id), (place as u64 + 1, operation.key.id()));
            assert_eq!(log.collection(logged), Some(operation.key.collection()));
            assert_eq!((logged.kind, logged.at), (operation.change.kind(), operation.at));
        }
    }
    journal.compact().unwrap();
    assert_eq!(journal.log(Seq(1), 10).unwrap().operations, []);
}

#[test]
fn an_operation_of_a_long_log_is_taken_back_as_one_of_a_short_one_is() {
    for others in [10, 1_500] {
        for pass_bytes in [None, Some(20_000)] {
            let options = Options::new().clock(|| 1_000_000);
            let options = pass_bytes.map_or(options.clone(), |bytes| options.pass_bytes(bytes));
            let [journal, without] = [options.clone(), options].map(|options| options.in_memory().unwrap());
            let create = |n| Operation::create(key(n), state(r#"{"a":1}"#));
            let cancelled = Operation::patch(key(1), patch(r#"{"a":2}"#));
            // What is compacted already is not folded once more.
            let before: Vec<Operation> = (100_000..100_000 + others).map(create).collect();
            let after: Vec<Operation> = (2..2 + others).map(create).collect();
            for journal in [&journal, &without] {
                journal.append(&before, Durability::Durable).unwrap();
                journal.compact().unwrap();
                journal.append(&[create(1)], Durability::Durable).unwrap();
            }
            let seq = journal.append(&[cancelled], Durability::Durable).unwrap().last;
            for (journal, operation) in after.iter().flat_map(|one| [(&journal, one), (&without, one)]) {
                journal.append(std::slice::from_ref(operation), Durability::Durable).unwrap();
            }
            assert_eq!(journal.cancel(seq).unwrap(), Cancelled::Done, "{others} others");
            let [seen, expected] =
                [&journal, &without].map(|journal| lines(&journal.seal(Limits::default()).unwrap().unwrap()));
            assert_eq!(seen, expected);
            let status = journal.status().unwrap();
            assert_eq!((status.settled, status.folded_away), (1, 0));
            for never in [Seq(0), Seq(status.appended + 1), Seq(u64::MAX)] {
                assert!(matches!(journal.cancel(never), Err(Error::NeverAppended { .. })));
            }
        }
    }
}

fn lines(bunch: &Bunch) -> Vec<Operation> {
    bunch.operations.iter().map(|planned| planned.operation.clone()).collect()
}

/// A journal in which one entity waits for another one, that is parked; and the two.
fn waiting() -> (Journal, EntityKey, EntityKey) {
    let journal = Journal::in_memory().unwrap();
    let (waiter, parked) = (key(1), key(2));
    let operations = [waiter.clone(), parked.clone()].map(|key| Operation::create(key, state(r#"{"a":1}"#)));
    journal.append(&operations, Durability::Durable).unwrap();
    let bunch = journal.seal(Limits::default()).unwrap().unwrap();
    let outcome = |sent: &Planned| match &sent.operation.key {
        key if *key == waiter => Outcome::Waits { on: parked.clone() },
        _ => Outcome::Refused { reason: "no".to_owned() },
    };
    let outcomes = bunch.operations.iter().map(outcome).collect();
    journal.settle(&Outcomes { bunch: bunch.number, outcomes }).unwrap();
    let [held] = &journal.held().unwrap()[..] else { panic!("one is held") };
    assert_eq!((&held.key, held.waits_for.as_ref()), (&waiter, Some(&parked)));
    (journal, waiter, parked)
}

#[test]
fn a_later_edit_of_what_came_to_nothing_while_it_waited_waits_for_nobody() {
    let row = |key: &EntityKey, state| Row { key: key.clone(), state, epoch: Some(Epoch(5)) };
    // Both sides agree; or a delete on top of what waits gives way; or leaves nothing to be sent.
    for way in 0..3 {
        let (journal, waiter, parked) = waiting();
        match way {
            0 => {
                let read = row(&waiter, Some(state(r#"{"a":1}"#)));
                assert_eq!(journal.integrate(&[read]).unwrap().agreed, std::slice::from_ref(&waiter));
            }
            1 => {
                journal.append(&[Operation::delete(waiter.clone())], Durability::Durable).unwrap();
                journal.integrate(&[row(&waiter, None)]).unwrap();
            }
            _ => {
                journal.append(&[Operation::delete(waiter.clone())], Durability::Durable).unwrap();
                journal.baseline(&[row(&waiter, None)], Listing::Partial).unwrap();
                // Held, it is not judged, until what it waits for is sent.
                journal.retry(&parked).unwrap();
                let bunch = journal.seal(Limits::default()).unwrap().unwrap();
                let outcomes = bunch.operations.iter().map(|sent| {
                    assert_eq!(sent.operation.key, parked);
                    Outcome::Refused { reason: "no".to_owned() }
                });
                journal.settle(&Outcomes { bunch: bunch.number, outcomes: outcomes.collect() }).unwrap();
            }
        }
        assert_eq!(journal.plan().unwrap().operations, [], "way {way}");
        let edit = Operation::patch(waiter.clone(), patch(r#"{"b":2}"#));
        journal.append(&[edit], Durability::Durable).unwrap();
        assert_eq!(journal.held().unwrap(), [], "way {way}");
        let bunch = journal.seal(Limits::default()).unwrap().unwrap();
        assert_eq!(lines(&bunch).iter().map(|sent| &sent.key).collect::<Vec<_>>(), [&waiter], "way {way}");
    }
}

#[test]
fn a_later_edit_of_what_waits_waits_with_it() {
    let (journal, waiter, parked) = waiting();
    let seq = journal
        .append(&[Operation::patch(waiter.clone(), patch(r#"{"b":2}"#))], Durability::Durable)
        .unwrap()
        .last;
    assert_eq!(journal.cancel(seq).unwrap(), Cancelled::Done);
    journal.append(&[Operation::patch(waiter, patch(r#"{"b":3}"#))], Durability::Durable).unwrap();
    assert_eq!(journal.seal(Limits::default()).unwrap(), None);
    assert_eq!(journal.held().unwrap()[0].waits_for, Some(parked));
}

/// A journal with a create that was refused.
#[test]
fn what_waits_for_another_one_is_let_go_when_it_is_retried() {
    let (journal, waiter, parked) = waiting();
    assert_eq!(journal.seal(Limits::default()).unwrap(), None);
    journal.retry(&waiter).unwrap();
    assert_eq!(journal.held().unwrap(), []);
    let [sent] = &lines(&journal.seal(Limits::default()).unwrap().unwrap())[..] else {
        panic!("one is sent")
    };
    assert_eq!(sent.key, waiter);
    assert!(matches!(journal.retry(&waiter), Err(Error::NotParked { key }) if key == waiter));
    assert_eq!(journal.parked().unwrap()[0].key, parked);
}

#[test]
fn a_stream_that_panics_appends_nothing_and_its_panic_is_the_callers() {
    let journal = Journal::in_memory().unwrap();
    let create = |n| Operation::create(key(n), state(r#"{"a":1}"#));
    let stream =
        (1..=5_000).map(|n| if n < 5_000 { Ok::<_, Error>(create(n)) } else { panic!("out of lines") });
    let appended = || journal.append_streamed(stream, Durability::Durable);
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(appended)).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"out of lines"));
    assert_eq!(journal.status().unwrap().appended, 0);
    assert_eq!(journal.append(&[create(1)], Durability::Durable).unwrap().first, Seq(1));
}

#[test]
fn a_journal_shows_where_it_is_and_nothing_of_what_is_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("j.redb");
    let journal = Journal::create(&path).unwrap();
    journal.append(&[Operation::create(key(1), state(r#"{"secret":1}"#))], Durability::Durable).unwrap();
    let shown = format!("{journal:?}");
    assert!(shown.starts_with("Journal") && shown.contains("j.redb") && !shown.contains("secret"), "{shown}");
    assert!(shown.len() < path.display().to_string().len() + 40, "{shown}");
    let shown = format!("{:?}", Options::default().pass_bytes(12_345));
    assert!(shown.starts_with("Options") && shown.contains("pass_bytes: 12345"), "{shown}");
}

#[test]
fn who_waits_for_an_operation_that_is_folded_or_sealed_waits_until_it_is_settled() {
    let journal = Journal::in_memory().unwrap();
    let create = |n| Operation::create(key(n), state(r#"{"a":1}"#));
    let Appended { first, last } = journal.append(&[create(1), create(2)], Durability::Durable).unwrap();
    let is_settled = |seq| journal.wait_settled(seq, std::time::Duration::ZERO).unwrap();
    journal.compact().unwrap();
    assert!(!is_settled(first) && !is_settled(last), "they are pending");
    let bunch = journal.seal(Limits { operations: 1, ..Limits::default() }).unwrap().unwrap();
    assert!(!is_settled(first) && !is_settled(last), "one is sealed, one pending");
    let accepted = Outcome::Accepted { epoch: Some(Epoch(1)), result: Resulting::AsSent, overwrote: None };
    journal.settle(&Outcomes { bunch: bunch.number, outcomes: vec![accepted.clone()] }).unwrap();
    assert!(is_settled(first) && !is_settled(last));
    std::thread::scope(|scope| {
        // However long that takes.
        let waits = scope.spawn(|| journal.wait_settled(last, std::time::Duration::MAX).unwrap());
        let bunch = journal.seal(Limits::default()).unwrap().unwrap();
        journal.settle(&Outcomes { bunch: bunch.number, outcomes: vec![accepted] }).unwrap();
        assert!(waits.join().unwrap());
    });
}

#[test]
fn an_operation_is_taken_back_from_its_own_entity_and_no_other_one_of_the_same_id() {
    let journal = Journal::in_memory().unwrap();
    let other = EntityKey::new(CollectionName::new("tasks").unwrap(), key(1).id()).unwrap();
    let operations = [
        Operation::create(key(1), state(r#"{"a":1}"#)),
        Operation::create(other.clone(), state(r#"{"b":1}"#)),
        Operation::patch(key(1), patch(r#"{"a":2}"#)),
    ];
    let appended = journal.append(&operations, Durability::Durable).unwrap();
    assert_eq!(journal.cancel(appended.last).unwrap(), Cancelled::Done);
    let mut sent = lines(&journal.seal(Limits::default()).unwrap().unwrap());
    sent.sort_by(|a, b| a.key.cmp(&b.key));
    let sent: Vec<_> = sent.into_iter().map(|operation| (operation.key, operation.change)).collect();
    let created = |json| Change::Create(state(json));
    assert_eq!(sent, [(key(1), created(r#"{"a":1}"#)), (other, created(r#"{"b":1}"#))]);
}

#[test]
fn a_row_that_tells_no_epoch_does_not_settle_a_trigger_that_does() {
    let journal = Journal::in_memory().unwrap();
    let trigger = |index| foldlog::algebra::Trigger {
        index: foldlog::algebra::Index(index),
        key: key(1),
        action: foldlog::algebra::Action::Upsert,
        epoch: Epoch(9),
        sender: None,
    };
    journal.receive(&[trigger(1)]).unwrap();
    let row = |epoch| Row { key: key(1), state: Some(state(r#"{"a":1}"#)), epoch };
    let asked = |journal: &Journal| journal.reads().unwrap().plan.len();
    assert_eq!(asked(&journal), 1);
    // It may be older than what the trigger tells of.
    journal.integrate(&[row(None)]).unwrap();
    assert_eq!(asked(&journal), 1);
    journal.integrate(&[row(Some(Epoch(9)))]).unwrap();
    assert_eq!(asked(&journal), 0);
}

fn refused() -> Journal {
    let journal = Journal::in_memory().unwrap();
    refuse(&journal);
    journal
}

fn refuse(journal: &Journal) {
    journal.append(&[Operation::create(key(1), state(r#"{"a":1}"#))], Durability::Durable).unwrap();
    let bunch = journal.seal(Limits::default()).unwrap().unwrap();
    let outcomes = vec![Outcome::Refused { reason: "no".to_owned() }];
    journal.settle(&Outcomes { bunch: bunch.number, outcomes }).unwrap();
}

#[test]
fn what_was_refused_and_brought_back_by_an_edit_is_parked_again_when_that_is_taken_back() {
    let journal = refused();
    let parked = journal.parked().unwrap();
    let edit = |value| Operation::patch(key(1), patch(&format!(r#"{{"b":{value}}}"#)));
    for round in 0..3 {
        let appended = match round {
            // What folds nothing comes between.
            0 => {
                let seq = journal.append(&[edit(1)], Durability::Durable).unwrap().last;
                journal.baseline(&[], Listing::Partial).unwrap();
                seq
            }
            1 => journal.edit_parked(&edit(2)).unwrap().last,
            _ => journal.append(&[edit(3)], Durability::Durable).unwrap().last,
        };
        assert_eq!(journal.parked().unwrap(), []);
        assert_eq!(journal.cancel(appended).unwrap(), Cancelled::Done);
        assert_eq!(journal.parked().unwrap(), parked, "round {round}");
        assert_eq!(journal.seal(Limits::default()).unwrap(), None, "nothing is sent unasked");
    }
    let status = journal.status().unwrap();
    assert_eq!((status.appended, status.settled, status.parked.operations), (4, 3, 1));
    // Whoever asks for it may still send it.
    journal.retry(&key(1)).unwrap();
    let seq = journal.append(&[edit(4)], Durability::Durable).unwrap().last;
    assert_eq!(journal.cancel(seq).unwrap(), Cancelled::Done);
    assert_eq!(journal.parked().unwrap(), []);
    assert_eq!(journal.seal(Limits::default()).unwrap().unwrap().operations.len(), 1);
}

#[test]
fn what_was_refused_stays_with_an_edit_that_a_pass_folded_before_a_crash() {
    let storage = FaultyStorage::new();
    // So little that a pass commits several times.
    let options = Options::new().clock(|| 1_000_000).pass_bytes(20_000);
    let journal = options.clone().on(storage.clone()).unwrap();
    refuse(&journal);
    let edit = |name| Operation::patch(key(1), patch(&format!(r#"{{"{name}":1}}"#)));
    journal.append(&[edit("b")], Durability::Durable).unwrap();
    for number in 2..1_500 {
        journal.append(&[Operation::create(key(number), state("{}"))], Durability::Deferred).unwrap();
    }
    journal.flush().unwrap();
    storage.record();
    journal.compact().unwrap();
    let mut images = 0;
    for crash in storage.crashes().step_by(3) {
        let journal = options.clone().on(crash.image(Unsynced::Kept)).unwrap();
        let seq = journal.append(&[edit("c")], Durability::Durable).unwrap().last;
        assert_eq!(journal.cancel(seq).unwrap(), Cancelled::Done);
        assert_eq!(journal.parked().unwrap(), []);
        let plan = journal.plan().unwrap();
        let it = plan.operations.iter().find(|planned| planned.operation.key == key(1)).unwrap();
        assert_eq!(it.operation.change, Change::Create(state(r#"{"a":1,"b":1}"#)));
        images += 1;
    }
    println!("{images} images");
    assert!(images > 3);
}

#[test]
fn what_was_refused_stays_with_an_edit_that_is_not_taken_back() {
    let journal = refused();
    let edit = |value| Operation::patch(key(1), patch(&format!(r#"{{"b":{value}}}"#)));
    let Appended { first, last } = journal.append(&[edit(1), edit(2)], Durability::Durable).unwrap();
    assert_eq!(journal.cancel(last).unwrap(), Cancelled::Done);
    assert_eq!(journal.cancel(first).unwrap(), Cancelled::Folded);
    assert_eq!(journal.parked().unwrap(), []);
    let bunch = journal.seal(Limits::default()).unwrap().unwrap();
    assert_eq!(lines(&bunch)[0].change, Change::Create(state(r#"{"a":1,"b":1}"#)));
}

#[test]
fn an_operation_put_together_by_hand_is_refused_before_it_could_spoil_a_bunch() {
    let journal = Journal::in_memory().unwrap();
    let good = Operation::create(key(1), state(r#"{"a":1}"#));
    let group = |name| Group::new(name).unwrap();
    let one = Stamp { at: Millis(1), replica: None };
    let nil = Stamp { at: Millis(1), replica: Some(ReplicaId(Uuid::nil())) };
    for bad in [
        Operation { groups: vec![group("b"), group("a")], ..good.clone() },
        Operation { groups: vec![group("a"), group("a")], ..good.clone() },
        Operation { stamps: vec![("a".to_owned(), nil)], ..good.clone() },
        Operation { at: Some(Millis(u64::MAX)), ..good.clone() },
        Operation { stamps: vec![("b".to_owned(), one)], ..Operation::patch(key(1), patch(r#"{"a":1}"#)) },
        Operation { stamps: vec![("a".to_owned(), one)], ..Operation::delete(key(1)) },
    ] {
        let refused = journal.append(&[good.clone(), bad.clone()], Durability::Durable).unwrap_err();
        assert!(matches!(refused, Error::Invalid { .. }), "{refused}");
        let all = [Ok::<_, Error>(good.clone()), Ok(bad)];
        assert!(journal.append_streamed(all, Durability::Durable).is_err());
    }
    assert_eq!(journal.status().unwrap().appended, 0);
    journal.append(&[good], Durability::Durable).unwrap();
    assert_eq!(journal.seal(Limits::default()).unwrap(), journal.open_bunch().unwrap());
}
