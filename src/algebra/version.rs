//! Versions: an entity as somebody holds it, with the time at which each of its fields was last changed.
//!
//! An entity has one stamp, that of its creation, and exceptions for the fields that were changed or removed
//! since; its last deletion or revival has a stamp of its own. Invariant: a field that keeps its value keeps its
//! stamp, and a field that changes gets one that is later than the one it had.

use super::effect::{Content, Effect};
use super::fields::State;
use super::names::{Millis, ReplicaId};
use super::operation::Existence;
use super::stamp::Stamp;

/// About what is told or kept of a field beside its name: a stamp, an epoch.
const MARK_BYTES: usize = 80;

/// When an entity's fields were changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamps {
    /// When it was made: the stamp of every field that is not listed. None where nobody said.
    pub created: Option<Stamp>,
    /// When it was last deleted, or last revived.
    pub turned: Option<Stamp>,
    /// The fields that were changed or removed since it was made, in the order of their names.
    pub fields: Vec<(String, Stamp)>,
}

impl Stamps {
    /// When a field was last changed.
    #[must_use]
    pub fn of(&self, field: &str) -> Option<Stamp> {
        let listed = self.fields.binary_search_by(|(name, _)| name.as_str().cmp(field));
        listed.ok().and_then(|place| self.fields.get(place)).map(|(_, stamp)| *stamp).or(self.created)
    }

    /// The latest of all of them.
    #[must_use]
    pub fn latest(&self) -> Option<Stamp> {
        self.fields.iter().map(|(_, stamp)| *stamp).chain(self.created).chain(self.turned).max()
    }

    /// The same with every time that is beyond the limit set to it.
    #[must_use]
    pub fn clamped(mut self, limit: Millis) -> Self {
        let all = self.fields.iter_mut().map(|(_, stamp)| stamp);
        for stamp in all.chain(&mut self.created).chain(&mut self.turned) {
            stamp.at = stamp.at.min(limit);
        }
        self
    }
}

/// An entity with its stamps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// Whether it is there, and its state.
    pub existence: Existence,
    /// When its fields were changed.
    pub stamps: Stamps,
}

impl Version {
    /// About how many bytes it takes where it is told: its fields, and when each was changed.
    pub(crate) fn bytes(&self) -> usize {
        self.existence.state_bytes() + marked_bytes(&self.stamps.fields)
    }

    /// What an effect makes of it; stamps that name no replica are this writer's.
    #[must_use]
    pub fn after(&self, effect: &Effect, writer: ReplicaId) -> Version {
        let existence = effect.apply(&self.existence);
        let by = |stamp: Stamp| Stamp { replica: stamp.replica.or(Some(writer)), ..stamp };
        let mut stamps = self.stamps.clone();
        let turned = effect.shape.since.time().map(|at| by(Stamp::own(at)));
        match (&self.existence, existence.state()) {
            (Existence::Absent, Some(state)) => {
                let created = effect.written.time().map(|at| by(Stamp::own(at)));
                stamps.created = created;
                let written = state.iter().filter_map(|(name, _)| {
                    let stamp = effect.stamp_of(&name).stamp().map(by)?;
                    (Some(stamp) != created).then_some((name, stamp))
                });
                set_each(&mut stamps.fields, written);
            }
            (Existence::Live(before) | Existence::Dead(before), Some(state))
                if !matches!(effect.content, Content::Keep) =>
            {
                let before = if sabotaged!(stamps_of_whole_entity) { &State::empty() } else { before };
                let changes = before.changes_to(state);
                let written = changes.iter().filter_map(|(name, _)| {
                    let stamp = effect.stamp_of(&name).stamp().map(by)?;
                    let stamp = later_than(self.stamps.of(&name), stamp);
                    Some((name, stamp))
                });
                set_each(&mut stamps.fields, written);
            }
            (Existence::Absent | Existence::Live(_) | Existence::Dead(_), _) => {}
        }
        let was_there = !matches!(self.existence, Existence::Absent);
        let is_other = self.existence.is_live() != existence.is_live() && was_there;
        let was_born_dead = !was_there && matches!(existence, Existence::Dead(_));
        let turns = is_other || was_born_dead || (effect.shape.has_turned && was_there);
        if turns && let Some(turned) = turned {
            stamps.turned = Some(later_than(self.stamps.turned, turned));
        }
        Version { existence, stamps }
    }
}

/// About how many bytes it takes to say something of each of these fields.
pub(crate) fn marked_bytes<T>(fields: &[(String, T)]) -> usize {
    fields.iter().map(|(name, _)| name.len() + MARK_BYTES).sum()
}

/// Sets what fields have in a list that is in the order of the fields' names. As many at once as there are: one after the
/// other each would move the whole list.
pub(crate) fn set_each<T>(fields: &mut Vec<(String, T)>, changes: impl IntoIterator<Item = (String, T)>) {
    fields.extend(changes);
    fields.sort_by(|(one, _), (other, _)| one.cmp(other));
    // Of two of one name the later one stays, in the place of the first.
    fields.dedup_by(|later, first| {
        let is_one = later.0 == first.0;
        if is_one {
            std::mem::swap(later, first);
        }
        is_one
    });
}

/// The stamp, moved on where the clock that gave it was behind what it follows.
fn later_than(before: Option<Stamp>, stamp: Stamp) -> Stamp {
    match before {
        Some(before) if stamp.at <= before.at => Stamp { at: before.at.next(), ..stamp },
        Some(_) | None => stamp,
    }
}

impl Existence {
    /// The state of what is there or was there.
    #[must_use]
    pub fn state(&self) -> Option<&State> {
        match self {
            Existence::Absent => None,
            Existence::Live(state) | Existence::Dead(state) => Some(state),
        }
    }

    /// How many bytes its state takes, whether it is live or dead.
    pub(crate) fn state_bytes(&self) -> usize {
        self.state().map_or(0, |state| state.as_json().len())
    }

    /// Whether a program that sees only what is live can tell the two from each other.
    #[must_use]
    pub fn looks_like(&self, other: &Existence) -> bool {
        self.live() == other.live()
    }

    /// Whether it is there.
    #[must_use]
    pub fn is_live(&self) -> bool {
        matches!(self, Existence::Live(_))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::algebra::{CollectionName, EntityKey, Operation, Patch, Seq, State};

    const OWN: ReplicaId = ReplicaId(Uuid::from_u128(7));

    fn played(operations: &[Operation]) -> Version {
        operations
            .iter()
            .fold(Version::default(), |version, operation| version.after(&Effect::of(Seq(1), operation), OWN))
    }

    fn at(stamp: Option<Stamp>) -> u64 {
        stamp.map_or(0, |stamp| stamp.at.0)
    }

    #[test]
    fn how_much_it_takes_to_tell_grows_with_values_and_with_names_also_of_fields_that_are_gone() {
        let key = EntityKey::new(CollectionName::new("notes").unwrap(), Uuid::from_u128(1)).unwrap();
        let create = Operation::create(key.clone(), State::from_json(r#"{"a":1}"#).unwrap());
        let name = "n".repeat(500);
        let patch =
            |json: String| Operation::patch(key.clone(), Patch::from_json(&json).unwrap()).at(9).unwrap();
        let (adds, removes) = (patch(format!(r#"{{"{name}":12}}"#)), patch(format!(r#"{{"{name}":null}}"#)));
        let mut log = vec![create.at(1).unwrap()];
        let alone = played(&log);
        assert_eq!(alone.bytes(), r#"{"a":1}"#.len());
        log.push(adds);
        let more = played(&log);
        assert_eq!(more.bytes(), alone.bytes() + 2 * name.len() + r#","":12"#.len() + MARK_BYTES);
        log.push(removes);
        let less = played(&log);
        assert_eq!(less.bytes(), alone.bytes() + name.len() + MARK_BYTES);
        log.push(Operation::delete(key.clone()).at(20).unwrap());
        assert_eq!(played(&log).bytes(), less.bytes(), "a tombstone has its last state");
        assert_eq!(Version::default().bytes(), 0);
    }

    #[test]
    fn a_field_that_keeps_its_value_keeps_its_stamp_and_one_that_changes_gets_a_later_one() {
        let key = EntityKey::new(CollectionName::new("notes").unwrap(), Uuid::from_u128(1)).unwrap();
        let state = |json| State::from_json(json).unwrap();
        let patch = |json| Operation::patch(key.clone(), Patch::from_json(json).unwrap());
        let mut log = vec![
            Operation::create(key.clone(), state(r#"{"a":1,"b":1,"c":1}"#)).at(10).unwrap(),
            patch(r#"{"a":1,"b":2,"c":null}"#).at(5).unwrap(),
        ];
        let version = played(&log);
        let of = |version: &Version, field| at(version.stamps.of(field));
        assert_eq!([of(&version, "a"), of(&version, "b"), of(&version, "c")], [10, 11, 11]);
        assert_eq!(version.stamps.turned, None);
        log.push(Operation::delete(key.clone()).at(20).unwrap());
        log.push(patch(r#"{"c":3}"#).at(30).unwrap());
        let version = played(&log);
        assert_eq!([of(&version, "a"), of(&version, "c"), at(version.stamps.turned)], [10, 30, 30]);
        assert_eq!(version.stamps.latest().and_then(|stamp| stamp.replica), Some(OWN));
        assert_eq!(at(version.stamps.clamped(Millis(15)).latest()), 15);
    }

    #[test]
    fn only_fields_that_were_not_written_at_its_making_are_listed() {
        let key = EntityKey::new(CollectionName::new("notes").unwrap(), Uuid::from_u128(1)).unwrap();
        let state = State::from_json(r#"{"a":1,"b":2}"#).unwrap();
        let made = Operation::create(key.clone(), state).at(10).unwrap();
        assert_eq!(played(std::slice::from_ref(&made)).stamps.fields, []);
        // Folded of two that came one after the other.
        let stamped = Operation { stamps: vec![("b".to_owned(), Stamp::own(Millis(5)))], ..made };
        let version = played(std::slice::from_ref(&stamped));
        assert_eq!(version.stamps.fields.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["b"]);
        assert_eq!([at(version.stamps.of("a")), at(version.stamps.of("b"))], [10, 5]);
        // A deletion changes no field.
        let gone = played(&[stamped, Operation::delete(key).at(20).unwrap()]);
        assert_eq!(gone.stamps.fields, version.stamps.fields);
    }

    #[test]
    fn each_field_is_listed_once_in_order_with_what_it_was_set_to_last() {
        let of = |name: &str, value| (name.to_owned(), value);
        let mut fields = vec![of("b", 1), of("d", 1)];
        set_each(&mut fields, [of("d", 2), of("a", 2), of("c", 2)]);
        assert_eq!(fields, [of("a", 2), of("b", 1), of("c", 2), of("d", 2)]);
    }

    #[test]
    fn what_is_not_live_looks_alike() {
        let [one, other] = [r#"{"a":1}"#, r#"{"a":2}"#].map(|json| State::from_json(json).unwrap());
        assert!(Existence::Absent.looks_like(&Existence::Dead(one.clone())));
        assert!(Existence::Live(one.clone()).looks_like(&Existence::Live(one.clone())));
        assert!(!Existence::Live(one.clone()).looks_like(&Existence::Live(other)));
        assert!(!Existence::Live(one.clone()).looks_like(&Existence::Dead(one)));
    }
}
