//! The operations, the same for all systems; and what one of them is as a row.

use foldlog::algebra::{Change, Operation, Update};
use foldlog::workload::{Operations, Workload};

/// Operations with some 120 bytes of payload.
pub(crate) fn mixed(operations: usize) -> Vec<Operation> {
    drawn(operations).collect()
}

/// The same, none kept in memory.
pub(crate) fn drawn(operations: usize) -> Operations {
    let workload = Workload {
        operations: operations as u64,
        entities: (operations as u64 / 10).max(1),
        skew: 0,
        payload_bytes: 120,
        ..Workload::default()
    };
    workload.iter().expect("a plain name")
}

/// Operations in transactions of so many.
pub(crate) fn in_batches(mut operations: Operations, size: usize) -> impl Iterator<Item = Vec<Operation>> {
    std::iter::from_fn(move || {
        let batch: Vec<_> = operations.by_ref().take(size).collect();
        (!batch.is_empty()).then_some(batch)
    })
}

/// What a row has beside its number: entity, kind, time, collection, fields.
pub(crate) fn row(operation: &Operation, into: &mut Vec<u8>) {
    into.clear();
    into.extend_from_slice(operation.key.id().as_bytes());
    into.push(kind(operation));
    into.extend_from_slice(&operation.at.map_or(0, |at| at.0).to_le_bytes());
    into.extend_from_slice(operation.key.collection().as_str().as_bytes());
    into.push(0);
    into.extend_from_slice(operation.change.fields_json().as_bytes());
}

pub(crate) fn kind(operation: &Operation) -> u8 {
    match &operation.change {
        Change::Create(_) => 0,
        Change::Update(Update::Patch(_)) => 1,
        Change::Update(Update::State(_)) => 2,
        Change::Delete => 3,
    }
}

/// What reading back comes to, so that nothing of it is left out: number, entity, kind, time of each.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) operations: u64,
    deletes: u64,
    sum: u64,
}

impl Seen {
    pub(crate) fn note(&mut self, seq: u64, id: [u8; 16], is_delete: bool, at: u64) {
        let [.., last] = [0, 8].map(|from| u64::from_be_bytes(id[from..from + 8].try_into().expect("8")));
        self.operations += 1;
        self.deletes += u64::from(is_delete);
        self.sum = self.sum.wrapping_mul(3).wrapping_add(seq ^ last ^ at);
    }

    pub(crate) fn note_row(&mut self, seq: u64, row: &[u8]) {
        let (id, rest) = row.split_first_chunk::<16>().expect("a row of ours");
        let (kind, rest) = rest.split_first().expect("a row of ours");
        let at = rest.first_chunk::<8>().map_or(0, |at| u64::from_le_bytes(*at));
        self.note(seq, *id, *kind == 3, at);
    }

    pub(crate) fn of(log: &[Operation]) -> Self {
        let mut seen = Seen::default();
        for (seq, operation) in (1..).zip(log) {
            let at = operation.at.map_or(0, |at| at.0);
            seen.note(seq, operation.key.id().into_bytes(), kind(operation) == 3, at);
        }
        seen
    }
}
