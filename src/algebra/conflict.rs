//! Conflicts: what becomes of a local effect when the other side changed the same entity meanwhile. The same
//! rules at a client, when a row comes under what is pending, and at the authority, when an operation comes
//! on a base that is no longer the current one.
//!
//! | local / other side | `LastOperation` | `FirstToAuthority` | `Newest` | `Manual` |
//! |---|---|---|---|---|
//! | update / update | local | other | each field's later stamp | held |
//! | update / delete | local, whole | other | the later | held |
//! | delete / update | other | other | the later | held |
//! | delete / delete | agreed | agreed | agreed | agreed |
//! | create / create | local | other | each field's later stamp | held |
//! | create / tombstone | local | local | the later | held |
//! | the same on both sides | agreed | agreed | agreed | agreed |
//!
//! Invariant: what is decided against is told, so that it can be kept.

use super::effect::{Content, Effect, Liveness};
use super::fields::{Patch, State};
use super::names::ReplicaId;
use super::operation::Existence;
use super::schema::Policy;
use super::stamp::Stamp;
use super::version::Version;

/// The other side of a conflict.
pub struct Other<'a> {
    /// What the entity is there now.
    pub version: &'a Version,
    /// Whether the other side changed a field since the base that the local effect was made on.
    pub has_changed: &'a dyn Fn(&str) -> bool,
    /// Whether nothing was there in that base: then the local effect is a create.
    pub was_absent: bool,
}

/// What becomes of a local effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Both sides came to the same: nothing is left of it.
    Agreed,
    /// It goes on top of the other side, whole or in part.
    Local {
        /// What is left of it.
        effect: Effect,
        /// What it replaces that its maker had not seen: the fields with their values there.
        overwrites: State,
        /// Its own fields that lost to later ones; null for one that it removed.
        loses: Patch,
    },
    /// It gives way.
    Other,
    /// A person or the program decides.
    Held,
}

/// Decides a conflict.
#[must_use]
pub fn decide(policy: Policy, local: &Effect, writer: ReplicaId, other: &Other<'_>) -> Decision {
    let there = &other.version.existence;
    if local.apply(there) == *there {
        return Decision::Agreed;
    }
    let stays = || Decision::Local {
        effect: local.clone(),
        overwrites: overwritten(&local.apply(there), other),
        loses: Patch::empty(),
    };
    let later = |mine: Option<Stamp>, theirs: Option<Stamp>| {
        if mine.map(|stamp| by(stamp, writer)) > theirs { stays() } else { Decision::Other }
    };
    let since = local.shape.since.time().map(Stamp::own);
    match (local.shape.liveness, there) {
        (Liveness::Dead, Existence::Live(_)) => match policy {
            Policy::LastOperation if sabotaged!(delete_beats_change) => stays(),
            Policy::LastOperation | Policy::FirstToAuthority => Decision::Other,
            Policy::Newest => later(since, other.version.stamps.latest()),
            Policy::Manual => Decision::Held,
        },
        (Liveness::Dead | Liveness::Keep, _) => Decision::Agreed,
        (Liveness::Live, Existence::Absent) => stays(),
        (Liveness::Live, Existence::Dead(_)) => match policy {
            Policy::LastOperation => stays(),
            Policy::FirstToAuthority if other.was_absent => stays(),
            Policy::FirstToAuthority => Decision::Other,
            Policy::Newest => later(latest(local), other.version.stamps.turned),
            Policy::Manual => Decision::Held,
        },
        (Liveness::Live, Existence::Live(state)) => match policy {
            Policy::LastOperation => stays(),
            Policy::FirstToAuthority => Decision::Other,
            Policy::Newest => newest(local, writer, state, other),
            Policy::Manual => Decision::Held,
        },
    }
}

/// The fields that the other side changed and that are not so afterwards, with their values there.
#[must_use]
pub fn overwritten(after: &Existence, other: &Other<'_>) -> State {
    let Existence::Live(there) = &other.version.existence else { return State::empty() };
    let kept = after.live();
    there.only(|name| (other.has_changed)(name) && kept.and_then(|state| state.raw(name)) != there.raw(name))
}

/// What an effect writes, as fields; null for those that it removes.
#[must_use]
pub fn written(effect: &Effect) -> Patch {
    match &effect.content {
        Content::Keep => Patch::empty(),
        Content::Merge(patch) => patch.clone(),
        Content::Replace(state) => State::empty().changes_to(state),
    }
}

/// The time of the last thing that an effect wrote.
fn latest(effect: &Effect) -> Option<Stamp> {
    let stamps = written(effect).iter().filter_map(|(name, _)| effect.stamp_of(&name).stamp()).max();
    stamps.max(effect.shape.clock.time().map(Stamp::own))
}

fn by(stamp: Stamp, writer: ReplicaId) -> Stamp {
    Stamp { replica: stamp.replica.or(Some(writer)), ..stamp }
}

/// Field by field: what only one side changed is taken from it, what both changed from the later one.
fn newest(local: &Effect, writer: ReplicaId, there: &State, other: &Other<'_>) -> Decision {
    let mut writes = written(local);
    if let Content::Replace(state) = &local.content {
        // A whole state also removes what it does not name. A create removes nothing: there was nothing.
        let removes = there.changes_to(state);
        let gone = removes
            .only(|name| state.raw(name).is_none() && !(other.was_absent && (other.has_changed)(name)));
        writes = writes.then(&gone);
    }
    let writes = writes.changing(there);
    let loses_field = |name: &str| {
        (other.has_changed)(name)
            && local.stamp_of(name).stamp().map(|stamp| by(stamp, writer)) < other.version.stamps.of(name)
    };
    let wins = writes.only(|name| !loses_field(name));
    let loses = writes.only(loses_field);
    match (wins.is_empty(), loses.is_empty()) {
        (true, true) => Decision::Agreed,
        (true, false) => Decision::Other,
        (false, _) => {
            let effect = local.with_patch(wins);
            let overwrites = overwritten(&effect.apply(&other.version.existence), other);
            Decision::Local { effect, overwrites, loses }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::algebra::{CollectionName, EntityKey, Operation, Seq};

    const OWN: ReplicaId = ReplicaId(Uuid::from_u128(7));
    const THEIRS: ReplicaId = ReplicaId(Uuid::from_u128(8));
    const ALL: [Policy; 4] =
        [Policy::LastOperation, Policy::FirstToAuthority, Policy::Newest, Policy::Manual];

    fn key() -> EntityKey {
        EntityKey::new(CollectionName::new("notes").unwrap(), Uuid::from_u128(1)).unwrap()
    }

    fn effect(operation: Operation, at: u64) -> Effect {
        Effect::of(Seq(1), &operation.at(at).unwrap())
    }

    fn state(json: &str) -> State {
        State::from_json(json).unwrap()
    }

    fn update(json: &str, at: u64) -> Effect {
        effect(Operation::patch(key(), Patch::from_json(json).unwrap()), at)
    }

    fn create(json: &str, at: u64) -> Effect {
        effect(Operation::create(key(), state(json)), at)
    }

    fn delete(at: u64) -> Effect {
        effect(Operation::delete(key()), at)
    }

    /// What each policy makes of a local effect and another one, both made on the same base.
    fn decided(base: &Version, local: &Effect, theirs: &Effect) -> Vec<String> {
        let version = base.after(theirs, THEIRS);
        let before = base.existence.state().cloned().unwrap_or_else(State::empty);
        let now = version.existence.state().cloned().unwrap_or_else(State::empty);
        let changes = before.changes_to(&now);
        let other = Other {
            version: &version,
            has_changed: &|name| changes.raw(name).is_some(),
            was_absent: base.existence == Existence::Absent,
        };
        let told = |policy| match decide(policy, local, OWN, &other) {
            Decision::Agreed => "agreed".to_owned(),
            Decision::Other => "other".to_owned(),
            Decision::Held => "held".to_owned(),
            Decision::Local { effect, overwrites, loses } => {
                let after = effect.apply(&version.existence);
                let state = after.live().map_or("gone", State::as_json);
                format!("{state} over {} without {}", overwrites.as_json(), loses.as_json())
            }
        };
        ALL.map(told).to_vec()
    }

    fn there() -> Version {
        Version::default().after(&create(r#"{"a":0,"b":0}"#, 1), THEIRS)
    }

    #[test]
    fn every_row_of_the_table() {
        let (base, none) = (there(), Version::default());
        let rows = |base: &Version, local: &Effect, other: &Effect, expected: [&str; 4]| {
            assert_eq!(decided(base, local, other), expected, "{local:?} and {other:?}");
        };
        // update / update
        let stays = r#"{"a":2,"b":1} over {"a":1} without {}"#;
        rows(
            &base,
            &update(r#"{"a":2}"#, 9),
            &update(r#"{"a":1,"b":1}"#, 5),
            [stays, "other", stays, "held"],
        );
        rows(
            &base,
            &update(r#"{"a":2}"#, 4),
            &update(r#"{"a":1,"b":1}"#, 5),
            [stays, "other", "other", "held"],
        );
        let part = r#"{"a":1,"b":1,"c":2} over {} without {"a":2}"#;
        let whole = r#"{"a":2,"b":1,"c":2} over {"a":1} without {}"#;
        rows(
            &base,
            &update(r#"{"a":2,"c":2}"#, 4),
            &update(r#"{"a":1,"b":1}"#, 5),
            [whole, "other", part, "held"],
        );
        // update / delete
        let revived = r#"{"a":2,"b":0} over {} without {}"#;
        rows(&base, &update(r#"{"a":2}"#, 9), &delete(5), [revived, "other", revived, "held"]);
        rows(&base, &update(r#"{"a":2}"#, 4), &delete(5), [revived, "other", "other", "held"]);
        // delete / update
        let gone = r#"gone over {"a":1} without {}"#;
        rows(&base, &delete(9), &update(r#"{"a":1}"#, 5), ["other", "other", gone, "held"]);
        rows(&base, &delete(4), &update(r#"{"a":1}"#, 5), ["other", "other", "other", "held"]);
        // delete / delete, and the same on both sides
        rows(&base, &delete(9), &delete(5), ["agreed"; 4]);
        rows(&base, &update(r#"{"a":1}"#, 9), &update(r#"{"a":1,"b":1}"#, 5), ["agreed"; 4]);
        // create / create: what only the other one has is not removed by a create that never saw it
        let created = r#"{"a":2} over {"a":1,"x":1} without {}"#;
        let joined = r#"{"a":2,"x":1} over {"a":1} without {}"#;
        rows(
            &none,
            &create(r#"{"a":2}"#, 9),
            &create(r#"{"a":1,"x":1}"#, 5),
            [created, "other", joined, "held"],
        );
        // a whole state / update: it removes what the other one added before it, and not what was added after
        let anew = |at| delete(at - 1).then(&create(r#"{"a":2}"#, at));
        let alone = r#"{"a":2} over {"x":1} without {}"#;
        let beside = r#"{"a":2,"x":1} over {} without {"x":null}"#;
        rows(&base, &anew(9), &update(r#"{"x":1}"#, 5), [alone, "other", alone, "held"]);
        rows(&base, &anew(4), &update(r#"{"x":1}"#, 5), [alone, "other", beside, "held"]);
        // create / tombstone
        let born_dead = create("{}", 5).then(&delete(6));
        let stays = r#"{"a":2} over {} without {}"#;
        rows(&none, &create(r#"{"a":2}"#, 9), &born_dead, [stays, stays, stays, "held"]);
        rows(&none, &create(r#"{"a":2}"#, 3), &born_dead, [stays, stays, "other", "held"]);
    }

    #[test]
    fn where_times_are_equal_the_replica_decides_on_both_sides_alike() {
        let (mine, theirs) = (update(r#"{"a":2}"#, 5), update(r#"{"a":1}"#, 5));
        let newest = |local: &Effect, writer, other: &Effect, other_writer| {
            let version = there().after(other, other_writer);
            decide(
                Policy::Newest,
                local,
                writer,
                &Other { version: &version, has_changed: &|_| true, was_absent: false },
            )
        };
        assert_eq!(newest(&mine, OWN, &theirs, THEIRS), Decision::Other);
        assert!(matches!(newest(&theirs, THEIRS, &mine, OWN), Decision::Local { .. }));
    }

    #[test]
    fn what_is_not_there_overwrites_nothing_and_is_made_under_every_policy() {
        let version = Version::default();
        let other = Other { version: &version, has_changed: &|_| true, was_absent: true };
        for policy in ALL {
            let local = create(r#"{"a":1}"#, 5);
            let stays =
                Decision::Local { effect: local.clone(), overwrites: State::empty(), loses: Patch::empty() };
            assert_eq!(decide(policy, &local, OWN, &other), stays, "{policy:?}");
            assert_eq!(decide(policy, &Effect::identity(), OWN, &other), Decision::Agreed, "{policy:?}");
        }
    }
}
