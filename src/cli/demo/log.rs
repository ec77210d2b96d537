//! What is done in the story: the history of a real repository on one device, a few edits on the other.

use std::cmp::Reverse;
use std::collections::HashMap;

use crate::algebra::{Change, EntityKey, Operation, Plan, Planned, Row, State, Update};
use crate::cli::failure::Failure;
use crate::cli::history::{History, histories};
use crate::codec::lines::{self, Line};

/// The history of a repository, ripgrep's, as operations on its files.
pub(super) const OPERATIONS: &str = include_str!("../../../tests/data/ripgrep.ops.ndjson");

/// The files that were there before.
const BASELINE: &str = include_str!("../../../tests/data/ripgrep.base.ndjson");

/// What the phone does meanwhile: a file edited that the laptop edits too (`CHANGELOG.md`), one edited twice
/// (`UNLICENSE`), one made and edited twice, one made and deleted.
const PHONE: &str = r#"
{"op":"update","collection":"files","id":"68bf80e4-21e7-5c3a-9697-c1d9cc7eaad0","patch":{"blob":"2b3e1c9d5a7f40816e0c8b7d9f1a2e3c4d5b6a70"}}
{"op":"update","collection":"files","id":"518841bb-990b-522a-a4cc-511cfe62e3c5","patch":{"blob":"5f0c2a9be1d34768bd10e7c9a2f6b8140d3e5c71"}}
{"op":"update","collection":"files","id":"518841bb-990b-522a-a4cc-511cfe62e3c5","patch":{"mode":"100755"}}
{"op":"create","collection":"files","id":"0199f3a2-5c1e-7d40-8a6b-3f2e1d0c9b8a","state":{"path":"ideas.md","mode":"100644","blob":"a1"}}
{"op":"update","collection":"files","id":"0199f3a2-5c1e-7d40-8a6b-3f2e1d0c9b8a","patch":{"blob":"a2"}}
{"op":"update","collection":"files","id":"0199f3a2-5c1e-7d40-8a6b-3f2e1d0c9b8a","patch":{"blob":"a3"}}
{"op":"create","collection":"files","id":"0199f3a2-6b2f-7e51-9b7c-402f1e1d0c9b","state":{"path":"draft.md","mode":"100644","blob":"b1"}}
{"op":"delete","collection":"files","id":"0199f3a2-6b2f-7e51-9b7c-402f1e1d0c9b"}
"#;

/// All of it, read.
pub(super) struct Log {
    pub(super) laptop: Vec<Operation>,
    pub(super) phone: Vec<Operation>,
    /// What is there before, as operations that make it.
    pub(super) made: Vec<Operation>,
    names: HashMap<EntityKey, String>,
}

impl Log {
    pub(super) fn included() -> Result<Self, Failure> {
        let laptop: Vec<Operation> = read(OPERATIONS)?;
        let phone = read(PHONE.trim_start())?;
        let rows: Vec<Row> = read(BASELINE)?;
        let made = rows.into_iter().filter_map(|row| Some(Operation::create(row.key, row.state?))).collect();
        let names = names([&made, &laptop, &phone]);
        Ok(Log { laptop, phone, made, names })
    }

    /// What people call an entity: its path.
    pub(super) fn name(&self, key: &EntityKey) -> String {
        self.names.get(key).map_or_else(|| key.to_string(), Clone::clone)
    }

    /// A few entities and what became of what the laptop did to them: the busiest, the longest-winded of each kind.
    pub(super) fn stories(&self, plan: &Plan) -> Vec<String> {
        let histories = histories(&self.laptop);
        let of_kind = |is_it: fn(&Change) -> bool| -> Vec<&EntityKey> {
            let planned = plan.operations.iter().filter(|planned| is_it(&planned.operation.change));
            planned.map(|Planned { operation, .. }| &operation.key).collect()
        };
        let gone: Vec<&EntityKey> = plan.nothing.iter().map(|nothing| &nothing.key).collect();
        let busiest: Rank = |history| (history.operations, 0);
        let winding: Rank = |history| (history.turns() as u64, history.operations);
        let mut chosen: Vec<(&EntityKey, &str)> = Vec::new();
        for (mut keys, number, rank, became) in [
            (of_kind(|change| matches!(change, Change::Update(_))), 2, busiest, "1 update"),
            (of_kind(|change| matches!(change, Change::Create(_))), 1, busiest, "1 create"),
            (of_kind(|change| matches!(change, Change::Delete)), 1, busiest, "1 delete"),
            (gone, 2, winding, "nothing"),
        ] {
            keys.sort_by_key(|key| (Reverse(histories.get(key).map(rank).unwrap_or_default()), *key));
            chosen.extend(keys.into_iter().take(number).map(|key| (key, became)));
        }
        chosen
            .iter()
            .map(|(key, became)| {
                let told = histories.get(key).map(History::told).unwrap_or_default();
                format!("{:<30} {:>26}  →  {became}", shortened(&self.name(key), 30), shortened(&told, 26))
            })
            .collect()
    }
}

/// By what an entity's history is chosen: more first.
type Rank = fn(&History) -> (u64, u64);

fn read<T: Line>(text: &str) -> Result<Vec<T>, Failure> {
    lines::read(text.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| Failure::Failed(format!("the included log: {error}")))
}

fn names(logs: [&Vec<Operation>; 3]) -> HashMap<EntityKey, String> {
    let path = |state: &State| state.get("path").and_then(|path| path.as_str().map(str::to_owned));
    let named = |operation: &Operation| match &operation.change {
        Change::Create(state) | Change::Update(Update::State(state)) => {
            Some((operation.key.clone(), path(state)?))
        }
        Change::Update(Update::Patch(_)) | Change::Delete => None,
    };
    logs.into_iter().flatten().filter_map(named).collect()
}

/// The end of a long name, which tells more than its beginning.
fn shortened(text: &str, chars: usize) -> String {
    let length = text.chars().count();
    if length <= chars {
        return text.to_owned();
    }
    std::iter::once('…').chain(text.chars().skip(length - chars + 1)).collect()
}
