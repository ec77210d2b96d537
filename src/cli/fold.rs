//! `fold`: operations in, the plan out.

use std::mem::ManuallyDrop;

use serde_json::{Map, Value, json};

use super::ahead::ahead;
use super::args::FoldArgs;
use super::failure::Failure;
use super::input::{Source, require_one_standard};
use super::output::Output;
use super::progress::Progress;
use super::words;
use crate::algebra::{Base, BaseMap, Bases, Change, Fold, Held, Knowledge, Operation, Plan, Row, plan};

pub(super) fn fold(args: &FoldArgs, output: &mut Output) -> Result<(), Failure> {
    let files = args.files.iter().map(|file| ("FILE", file));
    let baseline = args.baseline.iter().map(|file| ("--baseline", file));
    require_one_standard(files.chain(baseline).chain(args.schema.iter().map(|file| ("--schema", file))))?;
    let schema = args.schema.as_ref().map(Source::schema).transpose()?;
    let mut bases = BaseMap::new(args.complete);
    if let Some(baseline) = &args.baseline {
        for row in Progress::new("reading the baseline").over(baseline.lines::<Row>()?) {
            let row = row?;
            let base = match row.state {
                Some(state) => Base::live(state, row.epoch),
                None => Base::Dead(Held { epoch: row.epoch, state: Knowledge::Nothing }),
            };
            if base.is_newer_than(&bases.base(&row.key)) {
                bases.insert(row.key, base);
            }
        }
    }
    // What is read stays until the process ends, which is soon: giving it back piece by piece takes as long as folding it.
    let mut fold = Fold::new();
    let mut given = 0;
    let mut progress = Progress::new("reading operations");
    for batch in ahead(Source::all_lines::<Operation>(args.files.clone()))? {
        let batch: &'static [Operation] = batch?.leak();
        fold.extend(batch);
        given += batch.len() as u64;
        progress.at(given);
    }
    drop(progress);
    let planned = ManuallyDrop::new(plan(fold.effects(), &bases, schema.as_ref()));
    for operation in &planned.operations {
        output.line(operation)?;
    }
    let summary = Summary::of(&planned);
    output.summary(true, &summary.words(given), || summary.json(given))
}

/// How many operations of each kind a plan has.
#[derive(Default)]
pub(super) struct Summary {
    pub(super) creates: u64,
    pub(super) updates: u64,
    pub(super) deletes: u64,
    /// Entities whose operations came to nothing.
    pub(super) nothing: u64,
}

impl Summary {
    pub(super) fn of(plan: &Plan) -> Self {
        let mut summary = Summary { nothing: plan.nothing.len() as u64, ..Summary::default() };
        for planned in &plan.operations {
            match planned.operation.change {
                Change::Create(_) => summary.creates += 1,
                Change::Update(_) => summary.updates += 1,
                Change::Delete => summary.deletes += 1,
            }
        }
        summary
    }

    pub(super) fn sent(&self) -> u64 {
        self.creates + self.updates + self.deletes
    }

    pub(super) fn words(&self, given: u64) -> String {
        let folded = given.saturating_sub(self.sent());
        format!(
            "{} in, {} out ({}, {}, {}): {} folded away",
            words::operations(given),
            words::count(self.sent()),
            words::counted(self.creates, "create", "creates"),
            words::counted(self.updates, "update", "updates"),
            words::counted(self.deletes, "delete", "deletes"),
            words::percent(folded, given),
        )
    }

    pub(super) fn json(&self, given: u64) -> Map<String, Value> {
        object(json!({
            "operations": given, "sent": self.sent(), "creates": self.creates, "updates": self.updates,
            "deletes": self.deletes, "nothing": self.nothing,
        }))
    }
}

/// The members of what is an object.
pub(super) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        other => Map::from_iter([("value".to_owned(), other)]),
    }
}
