//! An operation that goes out in two parts: first without the references that close a circle, and later,
//! when what they lead to is there, with an update that sets them.
//!
//! Both parts together do what the whole does. The first part leaves the cut fields absent, also where
//! something stood there: so it frees and drops everything the whole does, and the second part only takes.

use std::collections::BTreeSet;

use super::super::fields::{Patch, State};
use super::super::operation::{Change, Operation, Update};
use super::super::plan::{Draft, Planned};

/// The two parts of an operation, cut at these fields.
pub(super) fn parts(draft: Draft, fields: &BTreeSet<&str>) -> (Planned, Planned) {
    let Draft { planned, before } = draft;
    let Operation { key, change, at, stamps, groups } = planned.operation;
    let (first, second) = changes(&change, before.as_ref(), fields);
    let is_cut = |name: &String| fields.contains(name.as_str());
    // The first part states a cut field's time only where it writes the field, too.
    let clears = |name: &str| match &first {
        Change::Create(_) | Change::Delete => false,
        Change::Update(Update::State(_)) => true,
        Change::Update(Update::Patch(patch)) => patch.raw(name).is_some(),
    };
    let second_stamps = stamps.iter().filter(|(name, _)| is_cut(name)).cloned().collect();
    let first_stamps = stamps.into_iter().filter(|(name, _)| !is_cut(name) || clears(name)).collect();
    // What is left out of the first part is not removed by it.
    let touched = planned.touched.clone();
    let touched = touched.map(|names| names.into_iter().filter(|name| !is_cut(name)).collect());
    let second = Planned {
        operation: Operation {
            key: key.clone(),
            change: second,
            at,
            stamps: second_stamps,
            groups: groups.clone(),
        },
        operations: 0,
        touched: None,
        ..planned
    };
    let operation = Operation { key, change: first, at, stamps: first_stamps, groups };
    (Planned { operation, touched, ..planned }, second)
}

fn changes(change: &Change, before: Option<&State>, fields: &BTreeSet<&str>) -> (Change, Change) {
    let is_cut = |name: &str| fields.contains(name);
    let removal = |state: &State| state.changes_to(&State::empty()).only(is_cut);
    let update = |patch: Patch| Change::Update(Update::Patch(patch));
    match change {
        Change::Create(whole) => {
            let first = whole.with(&removal(whole));
            let second = first.changes_to(whole);
            (Change::Create(first), update(second))
        }
        Change::Update(Update::State(whole)) => {
            let first = whole.with(&removal(whole));
            let second = first.changes_to(whole);
            (Change::Update(Update::State(first)), update(second))
        }
        Change::Update(Update::Patch(whole)) => {
            let removed = before.map_or_else(Patch::empty, removal);
            let first = whole.only(|name| !is_cut(name)).then(&removed);
            (update(first), update(whole.only(is_cut)))
        }
        // A delete writes no reference, so nothing of it is ever cut.
        Change::Delete => (Change::Delete, update(Patch::empty())),
    }
}
