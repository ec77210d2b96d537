//! A delete with its cascade is one unit: it goes whole, or not at all.
//!
//! Whatever the delete would reach is judged as if the deleter had sent its part on what it had seen of it: a
//! delete for `cascade`, a patch that removes the field for `set_null`. If the policy favours a change that the
//! deleter had not seen, the whole unit gives way.

use std::collections::{BTreeMap, BTreeSet};

use super::attempt::{Arrived, Given, Out};
use super::store::Store;
use super::world::World;
use crate::algebra::{Change, Decision, Effect, EntityKey, Group, Operation, Other, Seq, decide};

/// Adds to what is superseded every unit of which a part is.
pub(super) fn supersede<'a, S: Store>(
    given: &Given<'a, S>,
    world: &World<'a, S>,
    out: &mut Out,
) -> Result<(), S::Error> {
    // A unit that gives way may leave to another one what it would have taken.
    loop {
        let before = out.superseded.len();
        for (place, delete) in given.operations.iter().enumerate() {
            let was_live = delete.before.as_ref().is_some_and(|before| before.version.existence.is_live());
            if delete.planned.operation.change != Change::Delete
                || !was_live
                || out.failed.contains_key(&place)
            {
                continue;
            }
            let reached = reached(given, world, out, place, delete)?;
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
