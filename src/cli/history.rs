//! What happened to an entity, told in a few words.

use std::collections::HashMap;

use crate::algebra::{Change, EntityKey, Operation};

/// What was done to one entity, in runs of the same kind.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) operations: u64,
    runs: Vec<(&'static str, u64)>,
}

/// The histories of a log, by entity.
pub(super) fn histories(log: &[Operation]) -> HashMap<&EntityKey, History> {
    let mut histories: HashMap<&EntityKey, History> = HashMap::new();
    for operation in log {
        let kind = match operation.change {
            Change::Create(_) => "create",
            Change::Update(_) => "update",
            Change::Delete => "delete",
        };
        let history = histories.entry(&operation.key).or_default();
        history.operations += 1;
        match history.runs.last_mut() {
            Some((last, times)) if *last == kind => *times += 1,
            _ => history.runs.push((kind, 1)),
        }
    }
    histories
}

impl History {
    /// Its runs: "create, 12 updates, delete".
    pub(super) fn told(&self) -> String {
        let told: Vec<String> = self
            .runs
            .iter()
            .map(|(kind, times)| if *times == 1 { (*kind).to_owned() } else { format!("{times} {kind}s") })
            .collect();
        told.join(", ")
    }

    /// How often the kind of operation changed: how much of a story it is.
    pub(super) fn turns(&self) -> usize {
        self.runs.len()
    }
}
