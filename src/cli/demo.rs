//! `demo`: a real log through a real journal, told in ten seconds.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Instant;

use serde_json::json;

use super::failure::Failure;
use super::fold::{Summary, object};
use super::history::{History, histories};
use super::output::Output;
use super::words;
use crate::algebra::{Change, EntityKey, Operation, Plan, Planned, Row, State, Update};
use crate::codec::lines::{self, Line};
use crate::journal::{Durability, Journal, Listing};

/// The history of a real repository, ripgrep's, as operations on its files.
const OPERATIONS: &str = include_str!("../../tests/data/ripgrep.ops.ndjson");

/// The files that were there before.
const BASELINE: &str = include_str!("../../tests/data/ripgrep.base.ndjson");

/// A folder of its own, gone with everything in it at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("foldlog-demo-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&path)
            .map_err(|error| Failure::Failed(format!("{}: {error}", path.display())))?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(super) fn demo(output: &mut Output) -> Result<(), Failure> {
    let log: Vec<Operation> = included(OPERATIONS)?;
    let rows: Vec<Row> = included(BASELINE)?;
    let folder = Folder::new()?;
    let journal = Journal::create(folder.0.join("demo.journal"))?;
    journal.baseline(&rows, Listing::Complete)?;
    let began = Instant::now();
    journal.append(&log, Durability::Durable)?;
    let appended = began.elapsed();
    let began = Instant::now();
    journal.compact()?;
    let compacted = began.elapsed();
    let plan = journal.plan()?;
    let summary = Summary::of(&plan);
    let bytes_in: u64 = OPERATIONS.len() as u64;
    let bytes_out: u64 = plan.operations.iter().map(|planned| planned.to_line().len() as u64 + 1).sum();
    let number = log.len() as u64;
    if output.is_json() {
        return output.summary(false, "", || {
            let mut json = summary.json(number);
            json.extend(object(json!({"bytes": bytes_in, "sent_bytes": bytes_out})));
            json
        });
    }
    let ms = |time: std::time::Duration| format!("{:.1} ms", time.as_secs_f64() * 1_000.0);
    let mut say = |line: &str| output.text(line);
    say("foldlog keeps what a program does offline, and folds it before anything is sent.")?;
    say("Here: the real history of a repository (ripgrep), as operations on its files.")?;
    say("")?;
    say(&format!(
        "  came in     {:>6} operations  {:>9}   durable in {}",
        words::count(number),
        words::bytes(bytes_in),
        ms(appended)
    ))?;
    say(&format!(
        "  to be sent  {:>6} operations  {:>9}   folded in {}",
        words::count(summary.sent()),
        words::bytes(bytes_out),
        ms(compacted)
    ))?;
    say(&format!(
        "  folded away {:>6}             {:>9}",
        words::percent(number.saturating_sub(summary.sent()), number),
        words::percent(bytes_in.saturating_sub(bytes_out), bytes_in)
    ))?;
    say("")?;
    say(&format!(
        "  {} creates, {} updates, {} deletes; {} came to nothing",
        summary.creates, summary.updates, summary.deletes, summary.nothing
    ))?;
    say("")?;
    for line in stories(&log, &rows, &plan) {
        say(&line)?;
    }
    say("")?;
    say("Next:  foldlog fold --help, or foldlog append my.journal ops.ndjson")
}

fn included<T: Line>(text: &str) -> Result<Vec<T>, Failure> {
    lines::read(text.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| Failure::Failed(format!("the included log: {error}")))
}

/// By what an entity's history is chosen: more first.
type Rank = fn(&History) -> (u64, u64);

/// A few entities and what became of what was done to them: the busiest, the longest-winded of each kind.
fn stories(log: &[Operation], rows: &[Row], plan: &Plan) -> Vec<String> {
    let histories = histories(log);
    let names = names(log, rows);
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
            let name = names.get(key).map_or_else(|| key.to_string(), Clone::clone);
            let told = histories.get(key).map(History::told).unwrap_or_default();
            format!("  {:<30} {:>26}  →  {became}", shortened(&name, 30), shortened(&told, 26))
        })
        .collect()
}

/// What people call the entities: their paths.
fn names<'a>(log: &'a [Operation], rows: &'a [Row]) -> HashMap<&'a EntityKey, String> {
    let given = rows.iter().filter_map(|row| Some((&row.key, row.state.as_ref()?)));
    let made = log.iter().filter_map(|operation| match &operation.change {
        Change::Create(state) | Change::Update(Update::State(state)) => Some((&operation.key, state)),
        Change::Update(Update::Patch(_)) | Change::Delete => None,
    });
    let path = |state: &State| state.get("path").and_then(|path| path.as_str().map(str::to_owned));
    given.chain(made).filter_map(|(key, state)| Some((key, path(state)?))).collect()
}

/// The end of a long name, which tells more than its beginning.
fn shortened(text: &str, chars: usize) -> String {
    let length = text.chars().count();
    if length <= chars {
        return text.to_owned();
    }
    std::iter::once('…').chain(text.chars().skip(length - chars + 1)).collect()
}
