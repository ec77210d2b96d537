//! Law 6: with a schema, every prefix of a plan respects references and unique keys wherever an order exists
//! that does.
//!
//! The judge knows states, not the edges by which a plan is ordered: it shares no rule with what it judges. A
//! search over all orders says what was possible.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::laws::{Violation, require};
use crate::algebra::{
    Base, BaseMap, Bases, Change, EntityKey, Fold, Operation, Planned, Schema, Update, parse_id, plan,
};

/// The most operations whose orders are searched: there are 2¹⁶ sets of them.
pub const OPERATIONS_MAX: usize = 16;

/// What is known of an entity.
#[derive(Clone, Debug, PartialEq)]
pub enum Standing {
    /// Nothing, so it is as it has to be.
    Unknown,
    /// These fields; null ones are known to be absent.
    Live(Map<String, Value>),
    /// It is not there.
    Gone,
}

/// What is known of each entity; one that is not listed is unknown.
pub type Standings = BTreeMap<EntityKey, Standing>;

/// What a base says of an entity. Of one that is live and whose state is not known every field may be anything.
#[must_use]
pub fn standing(base: &Base) -> Standing {
    match base {
        Base::Absent | Base::Dead(_) => Standing::Gone,
        Base::Live(held) => {
            held.state.state().map_or(Standing::Unknown, |state| Standing::Live(parsed(state.as_json())))
        }
        Base::Unknown => Standing::Unknown,
    }
}

fn parsed(json: &str) -> Map<String, Value> {
    serde_json::from_str(json).unwrap_or_default()
}

/// Law 6 for a log: its plan on these bases is valid at every prefix, if any order of the plan's operations is.
///
/// # Errors
/// The order, where another one would have done.
pub fn of_log(log: &[Operation], bases: &BaseMap, schema: &Schema) -> Result<(), Violation> {
    let mut fold = Fold::new();
    fold.extend(log);
    let planned = plan(fold.effects(), bases, Some(schema)).operations;
    // An order of some of it is valid more easily.
    let folded = |planned: &[Planned]| planned.iter().map(|planned| planned.operations).sum::<u32>();
    let all = folded(&plan(fold.effects(), bases, None).operations);
    require("prefix validity", folded(&planned) == all, || {
        format!("{} of {all} operations are planned", folded(&planned))
    })?;
    let operations: Vec<Operation> = planned.into_iter().map(|planned| planned.operation).collect();
    let listed = bases.iter().map(|(key, base)| (key.clone(), standing(base)));
    let named = log.iter().map(|operation| (operation.key.clone(), standing(&bases.base(&operation.key))));
    prefixes(&listed.chain(named).collect(), &operations, schema)
}

/// What is broken: the entities and the field of each.
#[must_use]
pub fn faults(standings: &Standings, schema: &Schema) -> Vec<(EntityKey, String)> {
    let mut faults = Vec::new();
    let mut taken = BTreeSet::new();
    for (key, standing) in standings {
        let (Standing::Live(fields), Some(rules)) = (standing, schema.collection(key.collection())) else {
            continue;
        };
        let value = |field: &str| fields.get(field).filter(|value| !value.is_null());
        for (field, reference) in rules.references() {
            let target = value(field)
                .and_then(|id| parse_id(id.as_str()?).ok())
                .and_then(|id| EntityKey::new(reference.to.clone(), id).ok());
            if target.is_some_and(|target| standings.get(&target) == Some(&Standing::Gone)) {
                faults.push((key.clone(), field.to_owned()));
            }
        }
        for unique in rules.unique_keys() {
            let values: Option<Vec<String>> =
                unique.iter().map(|field| Some(value(field)?.to_string())).collect();
            if let (Some(values), Some(last)) = (values, unique.last())
                && !taken.insert((key.collection().clone(), unique.to_vec(), values))
            {
                faults.push((key.clone(), last.clone()));
            }
        }
    }
    faults
}

/// Carries out one operation.
pub fn apply(standings: &mut Standings, operation: &Operation) {
    let standing = standings.entry(operation.key.clone()).or_insert(Standing::Unknown);
    *standing = match &operation.change {
        Change::Delete => Standing::Gone,
        Change::Create(state) | Change::Update(Update::State(state)) => {
            Standing::Live(parsed(state.as_json()))
        }
        Change::Update(Update::Patch(patch)) => {
            let mut all = match standing {
                Standing::Live(old) => std::mem::take(old),
                Standing::Unknown | Standing::Gone => Map::new(),
            };
            all.extend(parsed(patch.as_json()));
            Standing::Live(all)
        }
    };
}

/// Whether nothing is broken after any of the operations.
#[must_use]
pub fn is_valid_at_every_prefix(before: &Standings, operations: &[Operation], schema: &Schema) -> bool {
    let mut standings = before.clone();
    operations.iter().all(|operation| {
        apply(&mut standings, operation);
        faults(&standings, schema).is_empty()
    })
}

/// Whether any order of these is valid at every prefix; each entity's own operations stay in their order.
/// Beyond [`OPERATIONS_MAX`] operations the answer is no.
#[must_use]
pub fn has_valid_order(before: &Standings, operations: &[Operation], schema: &Schema) -> bool {
    if operations.len() > OPERATIONS_MAX {
        return false;
    }
    let all = (1_u32 << operations.len()) - 1;
    let is_in = |set: u32, number: usize| set & (1 << number) != 0;
    let mut seen = BTreeSet::from([0]);
    let mut open = vec![0_u32];
    while let Some(done) = open.pop() {
        if done == all {
            return true;
        }
        for (next, operation) in operations.iter().enumerate() {
            let mut earlier = operations.iter().enumerate().take(next);
            let comes_too_soon =
                earlier.any(|(number, other)| !is_in(done, number) && other.key == operation.key);
            let then = done | (1 << next);
            if then == done || comes_too_soon || seen.contains(&then) {
                continue;
            }
            let mut standings = before.clone();
            for (_, operation) in operations.iter().enumerate().filter(|(number, _)| is_in(then, *number)) {
                apply(&mut standings, operation);
            }
            if faults(&standings, schema).is_empty() {
                seen.insert(then);
                open.push(then);
            }
        }
    }
    false
}

/// Law 6: the operations in their order are valid at every prefix, if any order of them is.
///
/// # Errors
/// The order, where another one would have done.
pub fn prefixes(before: &Standings, operations: &[Operation], schema: &Schema) -> Result<(), Violation> {
    let holds =
        is_valid_at_every_prefix(before, operations, schema) || !has_valid_order(before, operations, schema);
    require("prefix validity", holds, || format!("{operations:?} on {before:?}"))
}
