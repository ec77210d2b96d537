//! Triggers: what they coalesce to, and what a journal makes of them, one claim a test.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::collections::{BTreeMap, BTreeSet};

use foldlog::Uuid;
use foldlog::algebra::{
    Action, Base, Change, EntityKey, Epoch, Index, Limits, Operation, Outcome, Outcomes, Patch, Resulting,
    Row, Stamps, State, Trigger,
};
use foldlog::journal::{Durability, Journal, Options, Reads};
use foldlog::testing::{FaultyStorage, Unsynced};

fn key(number: u64) -> EntityKey {
    let id = Uuid::from_u128(0x5eed_0000_0000_4000_8000_0000_0000_0000 + u128::from(number));
    EntityKey::new("notes".parse().unwrap(), id).unwrap()
}

fn upsert(index: u64, number: u64, epoch: u64) -> Trigger {
    let action = Action::Upsert;
    Trigger { index: Index(index), key: key(number), action, epoch: Epoch(epoch), sender: None }
}

fn delete(index: u64, number: u64, epoch: u64) -> Trigger {
    Trigger { action: Action::Delete, ..upsert(index, number, epoch) }
}

fn row(number: u64, json: &str, epoch: u64) -> Row {
    Row { key: key(number), state: Some(State::from_json(json).unwrap()), epoch: Some(Epoch(epoch)) }
}

fn patch(number: u64, json: &str) -> Operation {
    Operation::patch(key(number), Patch::from_json(json).unwrap())
}

fn reads(journal: &Journal) -> Vec<Uuid> {
    journal.reads().unwrap().plan.reads.into_values().flatten().collect()
}

fn live(json: &str, epoch: u64) -> Base {
    Base::live(State::from_json(json).unwrap(), Some(Epoch(epoch)))
}

#[test]
fn a_run_of_creates_is_one_bulk_read_whatever_comes_twice_or_in_disorder() {
    let journal = Journal::in_memory().unwrap();
    let mut triggers: Vec<Trigger> = (1..=100).map(|n| upsert(n, n, n)).collect();
    triggers.extend(triggers.clone());
    triggers.reverse();
    assert_eq!(journal.receive(&triggers[..150]).unwrap().new, 100);
    assert_eq!(journal.receive(&triggers).unwrap().new, 0);
    let Reads { plan, heard } = journal.reads().unwrap();
    assert_eq!((plan.reads.len(), plan.len(), heard.cursor), (1, 100, Index(100)));
    let ids: BTreeSet<&Uuid> = plan.reads.values().flatten().collect();
    assert_eq!(ids.len(), 100, "each id once");
}

#[test]
fn what_was_last_deleted_needs_no_read_and_its_state_counts_as_not_known() {
    let journal = Journal::in_memory().unwrap();
    journal.integrate(&[row(1, r#"{"a":1}"#, 3)]).unwrap();
    journal.receive(&[upsert(1, 1, 4), delete(2, 1, 5), delete(3, 2, 6), upsert(4, 2, 7)]).unwrap();
    assert_eq!(reads(&journal), [key(2).id()]);
    let integrated = journal.integrate(&[]).unwrap();
    assert_eq!(integrated.applied, [key(1)]);
    let Base::Dead(held) = journal.base(&key(1)).unwrap() else { panic!("it is deleted") };
    assert_eq!((held.epoch, held.state.state()), (Some(Epoch(5)), None));
    // So what revives it is sent as a patch of whatever the tombstone keeps.
    journal.append(&[patch(1, r#"{"b":2}"#)], Durability::Durable).unwrap();
    let sent = &journal.plan().unwrap().operations[0];
    assert_eq!((&sent.operation.change, sent.base), (&patch(1, r#"{"b":2}"#).change, Some(Epoch(5))));
}

#[test]
fn an_echo_needs_nothing_but_the_sender_alone_proves_nothing() {
    let journal = Journal::in_memory().unwrap();
    journal.append(&[Operation::create(key(1), State::empty())], Durability::Durable).unwrap();
    let bunch = journal.seal(Limits::default()).unwrap().unwrap();
    let outcome = Outcome::Accepted { epoch: Some(Epoch(4)), result: Resulting::AsSent, overwrote: None };
    journal.settle(&Outcomes { bunch: bunch.number, outcomes: vec![outcome] }).unwrap();
    let sender = Some(journal.replica().0);
    // The second is what a cascade of this replica's bunch did to an entity that it never sent.
    let echo = Trigger { sender, ..upsert(1, 1, 4) };
    let cascade = Trigger { sender, ..delete(2, 2, 5) };
    let later = Trigger { sender, ..upsert(3, 1, 6) };
    journal.receive(std::slice::from_ref(&echo)).unwrap();
    assert_eq!((reads(&journal).len(), journal.reads().unwrap().plan.needless), (0, vec![Index(1)]));
    journal.receive(&[cascade, later]).unwrap();
    assert_eq!(reads(&journal), [key(1).id()]);
    assert_eq!(journal.reads().unwrap().plan.deletes, [(key(2), Epoch(5))]);
}

#[test]
fn what_is_in_the_open_bunch_is_looked_at_again_after_its_outcome() {
    for (accepted, rereads) in [(7, 0), (5, 1)] {
        let journal = Journal::in_memory().unwrap();
        journal.append(&[patch(1, r#"{"a":1}"#)], Durability::Durable).unwrap();
        let bunch = journal.seal(Limits::default()).unwrap().unwrap();
        journal.receive(&[upsert(1, 1, 6)]).unwrap();
        let waiting = |journal: &Journal| journal.reads().unwrap().plan.waiting;
        assert_eq!((reads(&journal).len(), waiting(&journal)), (0, vec![key(1)]));
        // A row that comes all the same is not applied under the bunch, nor is a delete.
        journal.receive(&[delete(2, 1, 6)]).unwrap();
        let integrated = journal.integrate(&[row(1, "{}", 6)]).unwrap();
        assert!(integrated.applied.is_empty() && integrated.waiting == [key(1)], "{integrated:?}");
        journal.receive(&[upsert(3, 1, 6)]).unwrap();
        let state = State::from_json(r#"{"a":1,"b":2}"#).unwrap();
        let result = Resulting::Live(state, Stamps::default());
        let outcome = Outcome::Accepted { epoch: Some(Epoch(accepted)), result, overwrote: None };
        journal.settle(&Outcomes { bunch: bunch.number, outcomes: vec![outcome] }).unwrap();
        assert_eq!((reads(&journal).len(), waiting(&journal).len()), (rereads, 0));
    }
}

#[test]
fn a_trigger_that_arrives_during_a_read_causes_exactly_one_more_read() {
    for (read, rereads) in [(5, 1), (6, 0)] {
        let journal = Journal::in_memory().unwrap();
        journal.receive(&[upsert(1, 1, 4), upsert(2, 1, 5)]).unwrap();
        assert_eq!(reads(&journal), [key(1).id()]);
        // While it is being read, it changes again: the read may be from before that or from after it.
        journal.receive(&[upsert(3, 1, 6)]).unwrap();
        journal.integrate(&[row(1, r#"{"a":5}"#, read)]).unwrap();
        assert_eq!(reads(&journal).len(), rereads, "read at {read}");
        journal.integrate(&[row(1, r#"{"a":6}"#, 6)]).unwrap();
        assert_eq!(reads(&journal), [] as [Uuid; 0]);
        journal.receive(&[upsert(3, 1, 6), upsert(1, 1, 4)]).unwrap();
        assert_eq!(reads(&journal), [] as [Uuid; 0], "nor again when the triggers come again");
    }
}

#[test]
fn late_and_doubled_answers_change_nothing() {
    let journal = Journal::in_memory().unwrap();
    journal.receive(&[upsert(1, 1, 4), upsert(2, 1, 8)]).unwrap();
    journal.append(&[patch(1, r#"{"mine":true}"#)], Durability::Durable).unwrap();
    let (old, new) = (row(1, r#"{"a":4}"#, 4), row(1, r#"{"a":8}"#, 8));
    journal.integrate(&[new.clone(), old.clone(), new.clone()]).unwrap();
    let plan = journal.plan().unwrap();
    for late in [&old, &new] {
        let integrated = journal.integrate(std::slice::from_ref(late)).unwrap();
        assert_eq!((integrated.applied.len(), integrated.stale), (0, 1));
        assert_eq!(journal.base(&key(1)).unwrap(), live(r#"{"a":8}"#, 8));
        assert_eq!(journal.plan().unwrap(), plan);
    }
    journal.receive(&[delete(3, 1, 8)]).unwrap();
    journal.integrate(&[]).unwrap();
    assert_eq!(
        journal.base(&key(1)).unwrap(),
        live(r#"{"a":8}"#, 8),
        "a delete at the epoch held is no news"
    );
}

#[test]
fn what_is_pending_stays_on_top_but_a_delete_gives_way_to_what_it_had_not_seen() {
    let journal = Journal::in_memory().unwrap();
    journal.integrate(&[row(1, r#"{"a":1,"b":1}"#, 1), row(2, "{}", 1), row(3, r#"{"a":1}"#, 1)]).unwrap();
    let mine = [patch(1, r#"{"a":2,"b":1}"#), Operation::delete(key(2)), patch(3, r#"{"a":7}"#)];
    journal.append(&mine, Durability::Durable).unwrap();
    let theirs = [row(1, r#"{"a":3,"b":3}"#, 2), row(2, r#"{"new":true}"#, 3), row(3, r#"{"a":7}"#, 4)];
    let integrated = journal.integrate(&theirs).unwrap();
    assert_eq!((integrated.deletes_dropped, integrated.agreed), (vec![key(2)], vec![key(3)]));
    let plan = journal.plan().unwrap().operations;
    assert_eq!(plan.len(), 1);
    // "b" said what the base said when it was written, so it was no change and does not become one.
    let patch = Patch::from_json(r#"{"a":2}"#).unwrap();
    assert_eq!(
        plan[0].operation,
        Operation::patch(key(1), patch).at(plan[0].operation.at.unwrap().0).unwrap()
    );
}

#[test]
fn a_gap_is_named_until_it_is_filled_and_nothing_heard_is_lost_in_a_crash() {
    let storage = FaultyStorage::new();
    let open = |storage: &FaultyStorage| Options::new().on(storage.clone()).unwrap();
    let journal = open(&storage);
    let all: BTreeMap<u64, Trigger> = (1..=9).map(|n| (n, upsert(n, n, n))).collect();
    let heard: Vec<Trigger> = [1, 2, 5, 9].iter().map(|index| all[index].clone()).collect();
    assert_eq!(journal.receive(&heard).unwrap().heard.gaps, [3..=4, 6..=8]);
    // What is above the gap is read at once: the order of triggers does not matter, only that none is missed.
    assert_eq!(reads(&journal).len(), 4);
    journal.integrate(&[row(1, "{}", 1), row(9, "{}", 9)]).unwrap();
    let crashed = storage.after_crash(Unsynced::Lost);
    let journal = open(&crashed);
    let Reads { plan, heard } = journal.reads().unwrap();
    assert_eq!((plan.len(), heard.cursor), (2, Index(2)));
    for gap in heard.gaps {
        let missing: Vec<Trigger> = gap.map(|index| all[&index].clone()).collect();
        journal.receive(&missing).unwrap();
    }
    let Reads { plan, heard } = journal.reads().unwrap();
    assert_eq!((plan.len(), heard.cursor, heard.gaps.len()), (7, Index(9), 0));
}

#[test]
fn a_delete_that_was_heard_revives_with_a_create_of_the_whole() {
    let journal = Journal::in_memory().unwrap();
    journal.receive(&[delete(1, 1, 5)]).unwrap();
    journal.integrate(&[]).unwrap();
    let state = State::from_json(r#"{"a":1}"#).unwrap();
    journal.append(&[Operation::update(key(1), state.clone())], Durability::Durable).unwrap();
    let planned = &journal.plan().unwrap().operations[0];
    assert_eq!((&planned.operation.change, planned.base), (&Change::Create(state), Some(Epoch(5))));
}
