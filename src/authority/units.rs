//! A delete with its cascade is one unit: it goes whole, or not at all.
//!
//! Whatever the delete would reach is judged as if the deleter had sent its part on what it had seen of it: a
//! delete for `cascade`, a patch that removes the field for `set_null`. If the policy favours a change that the
//! deleter had not seen, the whole unit gives way.

use std::collections::{BTreeMap, BTreeSet};

use super::attempt::{Arrived, Given};
use super::out::Out;
use super::store::Store;
use super::world::World;
use crate::algebra::{Change, Decision, Effect, EntityKey, Existence, Group, Operation, Other, Seq, decide};

/// Adds to what is superseded every unit of which a part is.
pub(super) fn supersede<'a, S: Store>(
    given: &Given<'a, S>,
    world: &World<'a, S>,
    out: &mut Out,
) -> Result<(), S::Error> {
    let deletes = outermost_first(given);
    // A unit that gives way may leave to another one what it would have taken.
    loop {
        let before = out.superseded.len();
        // What a delete of the same unit reaches, with all that it reaches itself, is judged there.
        let mut judged_within: BTreeSet<usize> = BTreeSet::new();
        for (place, delete) in &deletes {
            let place = *place;
            if out.failed.contains_key(&place) || judged_within.contains(&place) {
                continue;
            }
            let reached = reached(given, world, out, place, delete)?;
            let deleted = reached.iter().filter(|(_, part)| part.change.change == Change::Delete);
            let within =
                deleted.flat_map(|(key, _)| given.on(key)).filter(|(_, part)| is_one_unit(part, delete));
            judged_within.extend(within.map(|(place, _)| place));
            let mut gives_way = out.superseded.contains(&place);
            let mut is_held = out.held.contains(&place);
            for (key, part) in &reached {
                let judged = judged(given, world, delete, key, part)?;
                gives_way |= matches!(judged, Decision::Other | Decision::Held);
                is_held |= judged == Decision::Held;
            }
            if !gives_way {
                continue;
            }
            if sabotaged!(unit_taken_apart) {
                out.superseded.insert(place);
                continue;
            }
            let mut unit = BTreeSet::from([place]);
            for key in reached.keys() {
                let parts = given.on(key).filter(|(_, part)| shares_group(part, delete));
                unit.extend(parts.map(|(place, _)| place).filter(|place| !out.failed.contains_key(place)));
            }
            out.superseded.extend(&unit);
            if is_held {
                out.held.extend(&unit);
            }
        }
        if out.superseded.len() == before {
            return Ok(());
        }
    }
}

/// The deletes of what was there; those first that no other one of their unit reaches directly.
fn outermost_first<'g, 'a, S: Store>(given: &'g Given<'a, S>) -> Vec<(usize, &'g Arrived<'a>)> {
    let is_delete = |operation: &Arrived<'_>| operation.planned.operation.change == Change::Delete;
    let is_inner = |delete: &Arrived<'_>| {
        let existence = delete.existence_before();
        let Existence::Live(state) = &existence else { return false };
        let mut targets = given.rules.schema.targets(delete.key(), state);
        targets
            .any(|(_, _, to)| given.on(&to).any(|(_, outer)| is_delete(outer) && is_one_unit(outer, delete)))
    };
    let all = given.operations.iter().enumerate();
    let deletes = all.filter(|(_, operation)| is_delete(operation) && operation.was_live());
    let (inner, mut ordered): (Vec<_>, Vec<_>) = deletes.partition(|(_, delete)| is_inner(delete));
    ordered.extend(inner);
    ordered
}

/// What a delete does to something that it reaches.
struct Part {
    change: Operation,
    /// The deleter's own operation on it, which says what of it the deleter had seen.
    by: Option<usize>,
}

/// Everything that a delete reaches, itself not included.
fn reached<'a, S: Store>(
    given: &Given<'a, S>,
    world: &World<'a, S>,
    out: &Out,
    place: usize,
    delete: &Arrived<'a>,
) -> Result<BTreeMap<EntityKey, Part>, S::Error> {
    let mut reached: BTreeMap<EntityKey, Part> = BTreeMap::new();
    let mut open = vec![delete.key().clone()];
    let at = delete.effect.shape.clock.time();
    while let Some(parent) = open.pop() {
        for (from, field, reference) in given.rules.schema.referrers(parent.collection()) {
            for child in world.referrers(&parent, from, field)? {
                if child == *delete.key() || reached.contains_key(&child) {
                    continue;
                }
                let own = given.on(&child).next();
                let is_of_unit = own.is_some_and(|(_, own)| shares_group(own, delete));
                if let Some((place, own)) = own
                    && !is_of_unit
                    && !out.superseded.contains(&place)
                    && !out.failed.contains_key(&place)
                {
                    // What the same bunch does to it for another reason is not the delete's to judge, unless
                    // it leaves it as it is.
                    let before = own.before.as_ref().map(|before| &before.version.existence);
                    let after = before.map(|before| own.effect.apply(before)).unwrap_or_default();
                    let still_refers = after.live().is_some_and(|state| {
                        given
                            .rules
                            .schema
                            .targets(&child, state)
                            .any(|(by, _, to)| by == field && to == parent)
                    });
                    if !still_refers || delete.planned.base.is_none() {
                        continue;
                    }
                }
                // What restricts is judged at the end, by what is still there then.
                let Some(change) = reference.consequence(&child, field) else { continue };
                if change.change == Change::Delete {
                    open.push(child.clone());
                }
                let by = own.map(|(place, _)| place).filter(|by| *by != place);
                reached.insert(child, Part { change: Operation { at, ..change }, by });
            }
        }
    }
    Ok(reached)
}

/// What becomes of a delete's part in something that it reaches, by what the deleter had not seen of that.
fn judged<'a, S: Store>(
    given: &Given<'a, S>,
    world: &World<'a, S>,
    delete: &Arrived<'a>,
    key: &EntityKey,
    part: &Part,
) -> Result<Decision, S::Error> {
    // A delete without a base claims none, of what it reaches either.
    if delete.planned.base.is_none() {
        return Ok(Decision::Agreed);
    }
    let Some(before) = world.before(key)? else { return Ok(Decision::Agreed) };
    let seen = match part.by.and_then(|place| given.operation(place)) {
        Some(own) if !own.is_concurrent() => return Ok(Decision::Agreed),
        Some(own) => own.planned.base,
        // The deleter did not know of it at all.
        None => None,
    };
    let has_changed = |field: &str| seen.is_none_or(|seen| before.epoch_of(field) > seen);
    let other = Other { version: &before.version, has_changed: &has_changed, was_absent: false };
    let effect = Effect::of(Seq(1), &part.change);
    Ok(decide(given.policy(key), &effect, given.replica, &other))
}

fn shares_group(a: &Arrived<'_>, b: &Arrived<'_>) -> bool {
    let groups: BTreeSet<&Group> = a.planned.operation.groups.iter().collect();
    b.planned.operation.groups.iter().any(|group| groups.contains(group))
}

/// Whether two deletes reach and judge the same where the one reaches the other.
fn is_one_unit(a: &Arrived<'_>, b: &Arrived<'_>) -> bool {
    let of = |delete: &Arrived<'_>| (delete.planned.base.is_none(), delete.effect.shape.clock.time());
    shares_group(a, b) && a.planned.operation.groups == b.planned.operation.groups && of(a) == of(b)
}
