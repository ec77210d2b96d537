//! Operations: what a program did to an entity, as it did it.

use super::error::Error;
use super::fields::{Patch, State};
use super::names::{EntityKey, Group, Millis};
use super::stamp::Stamp;

/// What an operation does to its entity.
///
/// | operation | absent | live x | dead x |
/// |---|---|---|---|
/// | `Create(s)` | live s | live s | live s |
/// | `Update(State(s))` | live s | live s | live s |
/// | `Update(Patch(p))` | live {} ⊕ p | live x ⊕ p | live x ⊕ p |
/// | `Delete` | absent | dead x | dead x |
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// The entity is made with this state.
    Create(State),
    /// The entity is changed; one that is gone is made again.
    Update(Update),
    /// The entity goes; deleting what is gone succeeds.
    Delete,
}

/// How an entity is changed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Update {
    /// Only the fields named.
    Patch(Patch),
    /// All of it.
    State(State),
}

/// One entry of a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The entity.
    pub key: EntityKey,
    /// What is done to it.
    pub change: Change,
    /// When; a journal fills it in from its clock.
    pub at: Option<Millis>,
    /// The fields that were written at another time than `at`, each once, in the order of their names:
    /// empty unless the operation is itself a folded or merged one.
    pub stamps: Vec<(String, Stamp)>,
    /// The groups it belongs to, each once, in the order of their names: at most one unless the
    /// operation is itself a folded one.
    pub groups: Vec<Group>,
}

impl Operation {
    /// An operation without a time and without a group.
    #[must_use]
    pub fn new(key: EntityKey, change: Change) -> Self {
        Operation { key, change, at: None, stamps: Vec::new(), groups: Vec::new() }
    }

    /// Creates an entity.
    #[must_use]
    pub fn create(key: EntityKey, state: State) -> Self {
        Self::new(key, Change::Create(state))
    }

    /// Changes some fields of an entity.
    #[must_use]
    pub fn patch(key: EntityKey, patch: Patch) -> Self {
        Self::new(key, Change::Update(Update::Patch(patch)))
    }

    /// Replaces an entity's state.
    #[must_use]
    pub fn update(key: EntityKey, state: State) -> Self {
        Self::new(key, Change::Update(Update::State(state)))
    }

    /// Deletes an entity.
    #[must_use]
    pub fn delete(key: EntityKey) -> Self {
        Self::new(key, Change::Delete)
    }

    /// The operation, made at a time in ms since the Unix epoch.
    ///
    /// # Errors
    /// A time after [`Millis::MAX`].
    pub fn at(mut self, at: u64) -> Result<Self, Error> {
        self.at = Some(Millis::new(at)?);
        Ok(self)
    }

    /// Refuses an operation that was put together by hand and is not as its fields' docs say.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn require_valid(&self) -> Result<(), Error> {
        let ascends =
            |mut pairs: std::slice::Windows<'_, Group>| pairs.all(|pair| matches!(pair, [a, b] if a < b));
        let names: Vec<&String> = self.stamps.iter().map(|(name, _)| name).collect();
        let why = if !ascends(self.groups.windows(2)) {
            "names its groups out of order, or one twice"
        } else if names.windows(2).any(|pair| !matches!(pair, [a, b] if a < b)) {
            "names the fields of its stamps out of order, or one twice"
        } else if self.stamps.iter().any(|(_, stamp)| stamp.replica.is_some_and(|replica| replica.0.is_nil()))
        {
            "has a stamp of the nil replica"
        } else if self
            .at
            .into_iter()
            .chain(self.stamps.iter().map(|(_, stamp)| stamp.at))
            .any(|at| at > Millis::MAX)
        {
            "has a time after the year 9999"
        } else if !self.change.writes_all(names) {
            "has a stamp of a field that it does not write"
        } else {
            return Ok(());
        };
        Err(Error::Operation { key: self.key.clone(), why })
    }

    /// The operation as one of a group.
    #[must_use]
    pub fn in_group(mut self, group: Group) -> Self {
        if let Err(place) = self.groups.binary_search(&group) {
            self.groups.insert(place, group);
        }
        self
    }
}

impl Change {
    /// Whether it says something of each of these fields; a whole state does of every field.
    pub(crate) fn writes_all<'n>(&self, fields: impl IntoIterator<Item = &'n String>) -> bool {
        match self {
            Change::Update(Update::Patch(patch)) => {
                fields.into_iter().all(|field| patch.raw(field).is_some())
            }
            Change::Create(_) | Change::Update(Update::State(_)) => true,
            Change::Delete => fields.into_iter().next().is_none(),
        }
    }

    /// How many hold its fields.
    pub(super) fn holders(&self) -> usize {
        match self {
            Change::Create(state) | Change::Update(Update::State(state)) => state.holders(),
            Change::Update(Update::Patch(patch)) => patch.holders(),
            Change::Delete => 0,
        }
    }

    /// The canonical text of the state or patch; nothing for a delete.
    #[must_use]
    pub fn fields_json(&self) -> &str {
        match self {
            Change::Create(state) | Change::Update(Update::State(state)) => state.as_json(),
            Change::Update(Update::Patch(patch)) => patch.as_json(),
            Change::Delete => "",
        }
    }
}

/// What an entity is, as far as somebody knows all of it (section "meaning" of the crate docs).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Existence {
    /// Never made.
    #[default]
    Absent,
    /// There, with this state.
    Live(State),
    /// Deleted; a tombstone keeps its last state.
    Dead(State),
}

impl Existence {
    /// What one change makes of it: the table of [`Change`], and the whole meaning of an operation.
    #[must_use]
    pub fn after(&self, change: &Change) -> Existence {
        match (change, self) {
            (Change::Create(state) | Change::Update(Update::State(state)), _) => {
                Existence::Live(state.clone())
            }
            (Change::Update(Update::Patch(patch)), Existence::Absent) => {
                Existence::Live(State::empty().with(patch))
            }
            (Change::Update(Update::Patch(patch)), Existence::Live(state) | Existence::Dead(state)) => {
                Existence::Live(state.with(patch))
            }
            (Change::Delete, Existence::Absent) => Existence::Absent,
            (Change::Delete, Existence::Live(state) | Existence::Dead(state)) => {
                Existence::Dead(state.clone())
            }
        }
    }

    /// The state of a live entity.
    #[must_use]
    pub fn live(&self) -> Option<&State> {
        match self {
            Existence::Live(state) => Some(state),
            Existence::Absent | Existence::Dead(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::fields::Patch;
    use super::super::names::{CollectionName, ReplicaId};
    use super::*;

    /// What is wrong with an operation that writes the fields a and b, as somebody states it.
    fn why(stamped: &[(&str, u64, u128)], groups: &[&str], at: u64) -> Option<&'static str> {
        let key = EntityKey::new(CollectionName::new("notes").unwrap(), Uuid::from_u128(1)).unwrap();
        let mut operation = Operation::patch(key, Patch::from_json(r#"{"a":1,"b":null}"#).unwrap());
        operation.at = Some(Millis(at));
        operation.groups = groups.iter().map(|name| Group::new(name).unwrap()).collect();
        let stamps = stamped.iter().map(|(name, at, replica)| {
            let replica = Some(ReplicaId(Uuid::from_u128(*replica)));
            ((*name).to_owned(), Stamp { at: Millis(*at), replica })
        });
        operation.stamps = stamps.collect();
        match operation.require_valid() {
            Ok(()) => None,
            Err(Error::Operation { why, .. }) => Some(why),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_stated_out_of_order_too_late_or_of_nobody_is_refused() {
        let most = Millis::MAX.0;
        assert_eq!(why(&[("a", most, 1), ("b", 1, 2)], &["g", "h"], most), None);
        for twice in [["g", "g"], ["h", "g"]] {
            assert_eq!(why(&[], &twice, 1), Some("names its groups out of order, or one twice"));
        }
        for (first, second) in [("a", "a"), ("b", "a")] {
            let stamped = [(first, 1, 1), (second, 1, 1)];
            let expected = "names the fields of its stamps out of order, or one twice";
            assert_eq!(why(&stamped, &[], 1), Some(expected));
        }
        assert_eq!(why(&[("a", 1, 0)], &[], 1), Some("has a stamp of the nil replica"));
        let late = Some("has a time after the year 9999");
        assert_eq!([why(&[], &[], most + 1), why(&[("a", most + 1, 1)], &[], 1)], [late, late]);
        assert_eq!(why(&[("c", 1, 1)], &[], 1), Some("has a stamp of a field that it does not write"));
    }

    #[test]
    fn a_group_is_named_once() {
        let key = EntityKey::new(CollectionName::new("notes").unwrap(), Uuid::from_u128(1)).unwrap();
        let [g, h] = ["g", "h"].map(|name| Group::new(name).unwrap());
        let grouped = Operation::delete(key).in_group(h.clone()).in_group(g.clone()).in_group(h.clone());
        assert_eq!(grouped.groups, [g, h]);
    }

    #[test]
    fn the_fields_of_a_change_are_those_it_writes() {
        let (state, patch) =
            (State::from_json(r#"{"a":1}"#).unwrap(), Patch::from_json(r#"{"a":null}"#).unwrap());
        assert_eq!(Change::Create(state.clone()).fields_json(), r#"{"a":1}"#);
        assert_eq!(Change::Update(Update::State(state)).fields_json(), r#"{"a":1}"#);
        assert_eq!(Change::Update(Update::Patch(patch)).fields_json(), r#"{"a":null}"#);
        assert_eq!(Change::Delete.fields_json(), "");
    }
}
