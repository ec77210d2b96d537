//! What becomes of what is unsent when the authority's side moves under it.

use std::collections::HashMap;

use super::lost::{Loss, Side, Why};
use crate::algebra::{
    Base, Content, Decision, Effect, EntityKey, Existence, Knowledge, Liveness, OnDelete, Other, Patch,
    Policy, ReplicaId, Schema, State, Version, changing, decide, known_to, written,
};
use crate::codec::records::JournalState;
use crate::journal::entry::Entry;
use crate::journal::tables::Snapshot;
use crate::journal::{self, parked, rewrite, seal};

/// What becomes of an unsent effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rebase {
    /// What is left of it.
    pub(super) left: Option<Effect>,
    pub(super) losses: Vec<Loss>,
    /// Whether a person or the program has to decide.
    pub(super) is_held: bool,
}

/// One side of a move: what was known, and as a version.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) base: &'a Base,
    pub(super) version: &'a Version,
}

/// Moves an effect from one base to another by a policy.
pub(super) fn rebase(
    policy: Policy,
    effect: &Effect,
    own: ReplicaId,
    from: Known<'_>,
    to: Known<'_>,
) -> Rebase {
    let gone = |losses| Rebase { left: None, losses, is_held: false };
    let stays = |left| Rebase { left: Some(left), losses: Vec::new(), is_held: false };
    // Who makes something says that there was nothing.
    let from = Known { base: known_to(effect, from.base), ..from };
    if *from.base == Base::Unknown {
        // Nothing was claimed, so it counts as made on what is known now.
        return match crate::algebra::sent(effect, to.base) {
            Some(_) => stays(effect.clone()),
            None => gone(Vec::new()),
        };
    }
    let was_believed = from.base.epoch().is_none() && from.version.existence == to.version.existence;
    // Of a deletion that was heard of, what was deleted may be told later.
    let was_heard_of = matches!((from.base, to.base), (Base::Dead(heard), Base::Dead(told))
        if heard.epoch.is_some() && heard.epoch == told.epoch && heard.state == Knowledge::Nothing);
    if from.base == to.base || was_believed || was_heard_of {
        return stays(effect.clone());
    }
    let Some(mut effect) = changing(effect, from.base) else { return gone(Vec::new()) };
    if let (Base::Absent, Some(made)) = (from.base, effect.apply(&Existence::Absent).live()) {
        // Whatever makes an entity is sent as its creation, and is one here too.
        effect.content = Content::Replace(made.clone());
    }
    let empty = State::empty();
    let before = from.version.existence.state().unwrap_or(&empty);
    let changes = before.changes_to(to.version.existence.state().unwrap_or(&empty));
    let other = Other {
        version: to.version,
        has_changed: &|field| changes.raw(field).is_some(),
        was_absent: *from.base == Base::Absent,
    };
    match decide(policy, &effect, own, &other) {
        Decision::Agreed => gone(Vec::new()),
        Decision::Held => Rebase { left: Some(effect), losses: Vec::new(), is_held: true },
        Decision::Other => gone(vec![lost_to(&to.version.existence, &effect, Why::Policy)]),
        Decision::Local { effect, overwrites, loses } => {
            let losses = losses(&overwrites, loses, Why::Overwritten, Why::Policy);
            Rebase { left: Some(effect), losses, is_held: false }
        }
    }
}

/// What lost where a local effect goes on: of the other side, and of its own.
pub(super) fn losses(overwrites: &State, loses: Patch, over: Why, own: Why) -> Vec<Loss> {
    let mut losses = Vec::new();
    if !overwrites.is_empty() {
        losses.push(Loss { why: over, ..Loss::overwritten(overwrites) });
    }
    if !loses.is_empty() {
        losses.push(Loss::of(Side::Local, own, loses));
    }
    losses
}

/// The loss of a whole effect.
pub(super) fn lost_local(effect: &Effect, why: Why) -> Loss {
    let was_delete = effect.shape.liveness == Liveness::Dead;
    let fields = if was_delete { Patch::empty() } else { written(effect) };
    Loss { side: Side::Local, why, fields, was_delete }
}

/// The loss of a whole effect to what is there: what both sides say alike did not lose.
pub(super) fn lost_to(there: &Existence, effect: &Effect, why: Why) -> Loss {
    let loss = lost_local(effect, why);
    match there.live() {
        Some(state) => Loss { fields: loss.fields.changing(state), ..loss },
        None => loss,
    }
}

/// An effect whose part of a unit is dropped.
pub(super) struct UnitPart {
    /// The user's own edit, if there is one.
    pub(super) left: Option<Effect>,
    pub(super) loss: Loss,
}

/// Drops from an effect the part that a deletion of something else has in it. Nothing where it has no such part.
pub(super) fn unit_part(
    effect: &Effect,
    before: &Existence,
    schema: &Schema,
    key: &EntityKey,
    is_of_unit: &dyn Fn(&EntityKey) -> bool,
) -> Option<UnitPart> {
    match effect.shape.liveness {
        Liveness::Dead => {
            let mut edit = effect.clone();
            edit.shape.liveness = Liveness::Live;
            let left = (!matches!(edit.content, Content::Keep)).then_some(edit);
            Some(UnitPart { left, loss: lost_local(effect, Why::Unit) })
        }
        Liveness::Live | Liveness::Keep => {
            let Content::Merge(patch) = &effect.content else { return None };
            let state = before.live()?;
            let dropped = schema.targets(key, state).filter(|(field, reference, to)| {
                reference.on_delete == OnDelete::SetNull && patch.raw(field) == Some("null") && is_of_unit(to)
            });
            let dropped: Vec<&str> = dropped.map(|(field, _, _)| field).collect();
            if dropped.is_empty() {
                return None;
            }
            let is_part = |field: &str| dropped.contains(&field);
            let rest = patch.only(|field| !is_part(field));
            let left = (!rest.is_empty()).then(|| effect.with_patch(rest));
            Some(UnitPart { left, loss: Loss::of(Side::Local, Why::Unit, patch.only(is_part)) })
        }
    }
}

/// What is unsent of an entity, composed.
pub(super) fn unsent_effect(snapshot: &Snapshot, key: &EntityKey) -> Result<Option<Effect>, journal::Error> {
    let state = snapshot.state()?;
    let sealed = match &state.open {
        Some(open) => seal::load(snapshot, open)?.1.remove(key),
        None => None,
    };
    let parked = parked::all(snapshot)?.remove(key).map(|(entry, _)| entry);
    let pending = rewrite::effects_of(snapshot, &state, std::slice::from_ref(key))?.remove(key);
    let composed = [sealed, parked, pending].into_iter().flatten().reduce(|older, newer| older.then(&newer));
    Ok(composed.map(|entry| entry.effect))
}

/// Everything that is unsent, composed an entity.
pub(super) fn unsent_effects(
    snapshot: &Snapshot,
    state: &JournalState,
) -> Result<Vec<(EntityKey, Effect)>, journal::Error> {
    let mut composed: HashMap<EntityKey, Entry> = HashMap::new();
    if let Some(open) = &state.open {
        composed.extend(seal::load(snapshot, open)?.1);
    }
    let parked = parked::all(snapshot)?.into_values().map(|(entry, _)| entry);
    let pending = rewrite::all_effects(snapshot, state)?.into_values();
    for entry in parked.chain(pending) {
        let both = match composed.get(&entry.key) {
            Some(older) => older.then(&entry),
            None => entry,
        };
        composed.insert(both.key.clone(), both);
    }
    let mut all: Vec<(EntityKey, Effect)> =
        composed.into_values().map(|entry| (entry.key, entry.effect)).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(all)
}
