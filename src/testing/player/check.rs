//! What must be true of a journal after every step.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use super::known::is_change;
use super::model::Model;
use super::{FENCE, LOST, Player, failed};
use crate::algebra::{
    Action, Bunch, Change, EntityKey, Epoch, Group, Limits, Operation, Plan, Planned, ReadPlan, Seq, Trigger,
    Update,
};
use crate::codec::lines::Line;
use crate::journal::Count;
use crate::testing::laws::{Violation, require};

impl Player {
    /// What must be true after every step.
    pub(super) fn check(&mut self) -> Result<(), Violation> {
        let plan = self.plan()?;
        let held = match self.schema {
            None => self.model.held(),
            // Who depends on whom under a schema is judged by the tests of the order; here it is only asked
            // whether the rest agrees with it.
            Some(_) => {
                self.journal.held().map_err(failed("listing"))?.into_iter().map(|held| held.key).collect()
            }
        };
        self.played.held += held.len() as u64;
        self.check_plan(&plan, &held)?;
        self.check_parked(&held)?;
        self.check_counts(&held)?;
        self.check_open()?;
        self.check_reads()
    }

    /// Law 1: of each entity just that is to be sent which its operations, one by one, ask for.
    fn check_plan(&self, plan: &Plan, held: &BTreeSet<EntityKey>) -> Result<(), Violation> {
        let mut left: BTreeMap<&EntityKey, Planned> = BTreeMap::new();
        for planned in &plan.operations {
            let again = left.remove(&planned.operation.key);
            let is_new =
                again.is_none() != planned.is_completion() && (again.is_none() || self.schema.is_some());
            require("smallest", is_new, || format!("{planned:?} comes after {again:?}"))?;
            let whole = again.map_or_else(|| planned.clone(), |first| completed(first, planned));
            left.insert(&planned.operation.key, whole);
        }
        for (key, entity) in &self.model.entities {
            let base = self.journal.base(key).map_err(failed("reading a base"))?;
            require("base knowledge", entity.known.is(&base), || {
                format!("of {key} {:?} is known, not {base:?}", entity.known)
            })?;
            let found = left.remove(key);
            let expected = if held.contains(key) { None } else { entity.planned() };
            let is_right = match (&expected, &found) {
                (Some(expected), Some(planned)) => {
                    let operation = &planned.operation;
                    let groups: Vec<Group> = entity.pending.groups().into_iter().collect();
                    is_change(operation, expected)
                        && operation.groups == groups
                        && entity.pending.seqs.first() == Some(&planned.first)
                        && entity.pending.seqs.last() == Some(&planned.last)
                        && entity.pending.seqs.len() == planned.operations as usize
                        && planned.base == entity.expected().epoch()
                }
                (None, None) => {
                    let counted = plan.nothing.iter().filter(|nothing| nothing.key == *key);
                    let counted: u32 = counted.map(|nothing| nothing.operations).sum();
                    held.contains(key) || counted as usize == entity.pending.seqs.len()
                }
                (Some(_), None) | (None, Some(_)) => false,
            };
            require("equivalence", is_right, || {
                format!("{expected:?} is to be sent of {key}, {found:?} is planned; {entity:?}")
            })?;
        }
        require("equivalence", left.is_empty(), || format!("{left:?} came from nowhere"))?;
        let is_ordered = self.schema.is_some() || plan.operations.iter().map(rank).is_sorted();
        require("the order", is_ordered, || format!("{plan:?}"))
    }

    /// What waits for a decision, and what gave way: law 10.
    fn check_parked(&self, held: &BTreeSet<EntityKey>) -> Result<(), Violation> {
        let found: Vec<EntityKey> =
            self.journal.held().map_err(failed("listing"))?.into_iter().map(|held| held.key).collect();
        same_keys("holding", held, &found, &self.model)?;
        let parked = self.journal.parked().map_err(failed("listing"))?;
        let expected = self.model.entities.iter().filter(|(_, entity)| !entity.parked.is_empty());
        let expected: BTreeMap<&EntityKey, usize> =
            expected.map(|(key, entity)| (key, entity.parked.seqs.len())).collect();
        let found: BTreeMap<&EntityKey, usize> =
            parked.iter().map(|parked| (&parked.key, parked.effect.shape.operations as usize)).collect();
        require(LOST, expected == found, || format!("{expected:?} are parked, {found:?} found"))?;
        let superseded = self.journal.superseded().map_err(failed("listing"))?;
        let found: Vec<(EntityKey, Epoch)> =
            superseded.into_iter().map(|superseded| (superseded.key, superseded.epoch)).collect();
        let expected = &self.model.superseded;
        require(LOST, *expected == found, || format!("{expected:?} gave way, {found:?} are kept"))
    }

    /// Law 5: so many operations are in each phase.
    fn check_counts(&self, held: &BTreeSet<EntityKey>) -> Result<(), Violation> {
        let status = self.journal.status().map_err(failed("counting"))?;
        let entities = || self.model.entities.iter();
        let count = |counts: Vec<usize>| {
            let entities = counts.iter().filter(|count| **count > 0).count() as u64;
            (entities, counts.iter().sum::<usize>() as u64)
        };
        let is_held = |key: &EntityKey| held.contains(key);
        let pending =
            entities().filter(|(key, _)| !is_held(key)).map(|(_, entity)| entity.pending.seqs.len());
        let waiting = entities().filter(|(key, _)| is_held(key)).map(|(_, entity)| entity.pending.seqs.len());
        let expected = [
            count(pending.collect()),
            count(waiting.collect()),
            count(entities().map(|(_, entity)| entity.sealed.seqs.len()).collect()),
            count(entities().map(|(_, entity)| entity.parked.seqs.len()).collect()),
        ];
        let found = [status.pending, status.held, status.sealed, status.parked]
            .map(|Count { entities, operations, .. }| (entities, operations));
        require("accounting", expected == found, || format!("{expected:?} are to be there: {status:?}"))?;
        let settled = self.model.appended - expected.iter().map(|(_, operations)| operations).sum::<u64>();
        let is_right = status.settled == settled && status.appended == self.model.appended;
        require("accounting", is_right, || format!("{settled} are to be settled: {status:?}"))
    }

    /// Law 7: the open bunch is what was sealed, byte for byte.
    fn check_open(&self) -> Result<(), Violation> {
        let open = self.journal.open_bunch().map_err(failed("reading the open bunch"))?;
        let sealed = &self.model.open;
        require(FENCE, open == *sealed, || format!("{sealed:?} became {open:?}"))?;
        let lines = (open.as_ref().map(Bunch::to_line), sealed.as_ref().map(Bunch::to_line));
        require(FENCE, lines.0 == lines.1, || format!("{lines:?}"))?;
        if let Some(line) = lines.0 {
            let read = Bunch::from_line(&line);
            require(FENCE, read.is_ok(), || format!("{line} is refused: {read:?}"))?;
        }
        Ok(())
    }

    /// Section 6: the read plan, and how far the stream was heard.
    fn check_reads(&self) -> Result<(), Violation> {
        let found = self.journal.reads().map_err(failed("reading"))?;
        let expected = reads(&self.model);
        let is_right = expected.reads == found.plan.reads
            && expected.deletes == found.plan.deletes
            && expected.waiting == found.plan.waiting;
        require("reads", is_right, || format!("{expected:?} is to be read, not {found:?}"))?;
        let heard = |index: &u64| self.model.inbox.contains_key(&crate::algebra::Index(*index));
        let last = self.model.inbox.last_key_value().map_or(0, |(index, _)| index.0);
        let cursor = (1..=last).take_while(heard).last().unwrap_or(0);
        let missing: Vec<u64> = (1..=last).filter(|index| !heard(index)).collect();
        let gaps: Vec<u64> = found.heard.gaps.iter().cloned().flatten().collect();
        let is_right = found.heard.cursor.0 == cursor && gaps == missing;
        require("hearing", is_right, || format!("up to {cursor}, without {missing:?}: {found:?}"))
    }
}

/// The read plan, by looking at one trigger after the other.
pub(super) fn reads(model: &Model) -> ReadPlan {
    let mut last: BTreeMap<&EntityKey, &Trigger> = BTreeMap::new();
    for trigger in model.inbox.values() {
        let held = model.entities.get(&trigger.key).and_then(|entity| entity.known.epoch());
        let is_later = last.get(&trigger.key).is_none_or(|last| last.epoch < trigger.epoch);
        if held.is_none_or(|held| held < trigger.epoch) && is_later {
            last.insert(&trigger.key, trigger);
        }
    }
    let mut plan = ReadPlan::default();
    for (key, trigger) in last {
        match trigger.action {
            Action::Upsert | Action::Delete if model.is_open(key) => plan.waiting.push(key.clone()),
            Action::Upsert => plan.reads.entry(key.collection().clone()).or_default().push(key.id()),
            Action::Delete => plan.deletes.push((key.clone(), trigger.epoch)),
        }
    }
    plan
}

/// What an operation and its completion do together.
fn completed(first: Planned, completion: &Planned) -> Planned {
    let change = match (first.operation.change, &completion.operation.change) {
        (Change::Create(state), Change::Update(Update::Patch(patch))) => Change::Create(state.with(patch)),
        (Change::Update(Update::State(state)), Change::Update(Update::Patch(patch))) => {
            Change::Update(Update::State(state.with(patch)))
        }
        (Change::Update(Update::Patch(first)), Change::Update(Update::Patch(patch))) => {
            Change::Update(Update::Patch(first.then(patch)))
        }
        // A delete has nothing to complete, and only a patch completes.
        (_, change) => change.clone(),
    };
    Planned { operation: Operation { change, ..first.operation }, ..first }
}

/// A bunch takes what was planned, in its order, as much of it as the limits say, and splits no group.
///
/// Under a schema a bunch may be larger, by what its operations need, and smaller, where that does not fit.
pub(super) fn bunch(
    bunch: &Bunch,
    plan: &Plan,
    limits: Limits,
    model: &Model,
    has_schema: bool,
) -> Result<(), Violation> {
    let number = bunch.number.0;
    require(FENCE, number == model.last_bunch + 1, || format!("{number} after {}", model.last_bunch))?;
    let is_planned = |planned: &&Planned| plan.operations.contains(planned);
    let (taken, others): (Vec<&Planned>, Vec<&Planned>) =
        plan.operations.iter().partition(|planned| bunch.operations.contains(planned));
    let is_in_order = taken.iter().copied().eq(&bunch.operations);
    require("sealing", is_in_order && !taken.is_empty(), || {
        let strange: Vec<&Planned> = bunch.operations.iter().filter(|planned| !is_planned(planned)).collect();
        format!("{strange:?} were not planned, or the order is not that of {plan:?}: {bunch:?}")
    })?;
    let groups = |of: &[&Planned]| -> BTreeSet<Group> {
        of.iter().flat_map(|planned| planned.operation.groups.iter().cloned()).collect()
    };
    let split: Vec<Group> = groups(&taken).intersection(&groups(&others)).cloned().collect();
    require("sealing", split.is_empty(), || format!("{split:?} are split: {bunch:?} of {plan:?}"))?;
    if has_schema {
        return Ok(());
    }
    // Only what cannot be split may be larger than was asked for.
    let units = units(&taken);
    require("sealing", taken.len() <= limits.operations || units == 1, || {
        format!("{units} units where {} operations were asked for: {bunch:?}", limits.operations)
    })?;
    let has_room = taken.len() < limits.operations && limits.bytes == Limits::BYTES_DEFAULT;
    let is_all = others.iter().all(|planned| planned.operation.groups.is_empty());
    require("sealing", !(has_room && is_all && !others.is_empty()), || {
        format!("{others:?} would have fitted: {bunch:?} within {limits:?}")
    })
}

/// How many sets there are of operations that share groups.
fn units(operations: &[&Planned]) -> usize {
    let mut units: Vec<BTreeSet<&Group>> = Vec::new();
    let mut alone = 0;
    for planned in operations {
        let groups: BTreeSet<&Group> = planned.operation.groups.iter().collect();
        if groups.is_empty() {
            alone += 1;
            continue;
        }
        let (meet, apart): (Vec<_>, Vec<_>) =
            units.into_iter().partition(|unit: &BTreeSet<&Group>| !unit.is_disjoint(&groups));
        units = apart;
        units.push(meet.into_iter().flatten().chain(groups).collect());
    }
    alone + units.len()
}

/// Whether a plan knows of an entity.
pub(super) fn has(plan: &Plan, key: &EntityKey) -> bool {
    plan.operations.iter().any(|planned| planned.operation.key == *key)
        || plan.nothing.iter().any(|nothing| nothing.key == *key)
}

pub(super) fn same_keys(
    law: &'static str,
    expected: &BTreeSet<EntityKey>,
    found: &[EntityKey],
    of: &impl Debug,
) -> Result<(), Violation> {
    let is_same = expected.iter().eq(found.iter().collect::<BTreeSet<_>>());
    require(law, is_same, || format!("expected {expected:?}, found {found:?}, of {of:?}"))
}

/// DESIGN, section 5: deletes by last operation, creates by first operation, updates by last operation.
fn rank(planned: &Planned) -> (u8, Seq) {
    match planned.operation.change {
        Change::Delete => (0, planned.last),
        Change::Create(_) => (1, planned.first),
        Change::Update(_) => (2, planned.last),
    }
}
