//! The journal's phases, one claim a test.

use foldlog::algebra::{CollectionName, EntityKey, Limits, Operation, Patch, Seq, State};
use foldlog::journal::{Durability, Journal};
use uuid::Uuid;

fn key(n: u128) -> EntityKey {
    EntityKey::new(CollectionName::new("notes").unwrap(), Uuid::from_u128(n)).unwrap()
}

fn state(json: &str) -> State {
    State::from_json(json).unwrap()
}

fn patch(json: &str) -> Patch {
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

#[test]
fn probe_speed() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::create(dir.path().join("j.redb")).unwrap();
    let ops: Vec<Operation> = (0..10_000_u128)
        .map(|n| {
            Operation::update(
                key(n.wrapping_mul(0x9E37_79B9_7F4A_7C15) % 1_000_000 + 1),
                state(&format!(r#"{{"n":{n},"text":"{}"}}"#, "x".repeat(95))),
            )
        })
        .collect();
    let t = std::time::Instant::now();
    for _ in 0..100 {
        journal.append(&ops, Durability::Durable).unwrap();
    }
    println!("bulk {} ns/op", t.elapsed().as_nanos() / 1_000_000);
    let t = std::time::Instant::now();
    journal.compact().unwrap();
    println!("compact {} ns/op", t.elapsed().as_nanos() / 1_000_000);
    let t = std::time::Instant::now();
    for op in &ops[..300] {
        journal.append(std::slice::from_ref(op), Durability::Durable).unwrap();
    }
    println!("single {} us/op", t.elapsed().as_micros() / 300);
    let _ = Limits::default();
}
