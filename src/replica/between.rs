//! The operations between two versions of an entity: what has to be pending so that the authority comes from what it holds
//! to what is seen.

use crate::algebra::{
    Base, Change, EntityKey, Existence, Millis, Operation, Patch, Stamp, Stamps, State, Update, Version,
};

/// What must be pending so that the authority comes to what is seen now, whatever is pending already.
pub(super) fn operations(
    key: &EntityKey,
    was: &Version,
    now: &Version,
    known: &Base,
    base: &Base,
    unsent_before: bool,
) -> Vec<Operation> {
    let at = |stamp: Option<Stamp>| stamp.or(now.stamps.latest()).map(|stamp| stamp.at);
    match &now.existence {
        Existence::Absent => Vec::new(),
        Existence::Live(state) => {
            let there = base.live_state();
            let is_there = there == Some(state);
            let is_as_it_was = was.existence.live() == Some(state) && known == base;
            // What is unsent may carry stamps of its own: those of the merge go with it.
            let is_stamped_alike = was.stamps == now.stamps || !unsent_before;
            if (is_there && !unsent_before) || (is_as_it_was && is_stamped_alike) {
                return Vec::new();
            }
            let change = match (there, &was.existence) {
                (Some(there), was) => {
                    // What the authority has of it and nobody changed stays as it is by then.
                    let changed = was.state().map_or_else(Patch::empty, |was| was.changes_to(state));
                    patch(there.changes_to(state).then(&changed))
                }
                (None, Existence::Live(before)) if unsent_before && !matches!(base, Base::Dead(_)) => {
                    let restamped = state.only(|field| was.stamps.of(field) != now.stamps.of(field));
                    let restamped = State::empty().changes_to(&restamped);
                    patch(restamped.then(&before.changes_to(state)))
                }
                _ => Change::Create(state.clone()),
            };
            let turned = now.stamps.turned.max(now.stamps.created);
            let when = if matches!(change, Change::Create(_)) { at(turned) } else { at(None) };
            vec![stamped(key, change, when, &now.stamps)]
        }
        Existence::Dead(state) => {
            // Where the authority has a tombstone already, only the last state that is seen here changes.
            let goes = matches!(base, Base::Live(_)) || (unsent_before && was.existence != now.existence);
            if !goes {
                return Vec::new();
            }
            // A delete that is pending already brings about the state that it was made on.
            let is_pending = unsent_before && matches!(was.existence, Existence::Dead(_));
            if is_pending && was.existence == now.existence && known == base {
                return Vec::new();
            }
            let from =
                |before: Option<&State>| before.map_or_else(Patch::empty, |before| before.changes_to(state));
            let there = match base {
                Base::Live(held) | Base::Dead(held) => held.state.state(),
                Base::Absent | Base::Unknown => None,
            };
            let last = from(there).then(&from(was.existence.state()));
            let mut all = Vec::new();
            if !last.is_empty() {
                all.push(stamped(key, patch(last), at(None), &now.stamps));
            } else if is_pending {
                return all;
            }
            all.push(stamped(key, Change::Delete, at(now.stamps.turned), &now.stamps));
            all
        }
    }
}

fn patch(patch: Patch) -> Change {
    Change::Update(Update::Patch(patch))
}

/// An operation of a time, with the stamps of the fields that it writes.
fn stamped(key: &EntityKey, change: Change, at: Option<Millis>, stamps: &Stamps) -> Operation {
    let names: Vec<String> = match &change {
        Change::Create(state) | Change::Update(Update::State(state)) => {
            state.iter().map(|(name, _)| name).collect()
        }
        Change::Update(Update::Patch(patch)) => patch.iter().map(|(name, _)| name).collect(),
        Change::Delete => Vec::new(),
    };
    let of = |name: String| stamps.of(&name).map(|stamp| (name, stamp));
    let stamps = names.into_iter().filter_map(of).collect();
    Operation { at, stamps, ..Operation::new(key.clone(), change) }
}
