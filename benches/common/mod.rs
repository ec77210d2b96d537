//! The workloads that all benches share.
#![expect(dead_code, reason = "no bench uses all of them")]

use foldlog::Uuid;
use foldlog::algebra::{CollectionName, EntityKey, Operation, Patch, State};

pub(crate) fn full_states(operations: usize, entities: u64) -> Vec<Operation> {
    let notes = CollectionName::new("notes").unwrap();
    let mut x = 1_u64;
    let states: Vec<State> = (0..1000)
        .map(|n| State::from_json(&format!(r#"{{"title":"note {n}","done":false,"rank":{n}}}"#)).unwrap())
        .collect();
    (0..operations)
        .map(|n| {
            x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let e = (x >> 33) % entities;
            let mut z = e.wrapping_add(0x9e37_79b9_7f4a_7c15);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let key = EntityKey::new(notes.clone(), Uuid::from_u64_pair(z, e + 1)).unwrap();
            let state = states[n % states.len()].clone();
            Operation::update(key, state).at(1_700_000_000_000 + n as u64).unwrap()
        })
        .collect()
}

pub(crate) fn mixed(operations: usize, entities: u64) -> Vec<Operation> {
    let mut log = full_states(operations, entities);
    for (n, operation) in log.iter_mut().enumerate() {
        match n % 4 {
            0 => {}
            1 | 2 => {
                *operation =
                    Operation::patch(operation.key.clone(), Patch::from_json(r#"{"done":true}"#).unwrap())
            }
            _ => *operation = Operation::delete(operation.key.clone()),
        }
    }
    log
}
