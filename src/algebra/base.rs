//! Base knowledge: what the authority is known to hold for an entity.

use std::borrow::Cow;
use std::collections::HashMap;

use super::fields::{Digest, State};
use super::names::{EntityKey, Epoch};
use super::operation::{Change, Update};

/// What the authority is known to hold for an entity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Base {
    /// Nothing is known.
    #[default]
    Unknown,
    /// It holds none, and never did.
    Absent,
    /// It holds it.
    Live(Held),
    /// It holds a tombstone.
    Dead(Held),
}

/// What is known of an entity that the authority holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// The epoch of its last change, where known.
    pub epoch: Option<Epoch>,
    /// Its state, or as much as is known of it.
    pub state: Knowledge,
}

/// How much is known of a state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Knowledge {
    /// Nothing.
    #[default]
    Nothing,
    /// Its digest: whole states can be compared.
    Digest(Digest),
    /// All of it.
    State(State),
}

impl Knowledge {
    /// The state, where all of it is known.
    #[must_use]
    pub fn state(&self) -> Option<&State> {
        match self {
            Knowledge::State(state) => Some(state),
            Knowledge::Nothing | Knowledge::Digest(_) => None,
        }
    }

    /// Whether this is known to be the state.
    #[must_use]
    pub fn is(&self, state: &State) -> bool {
        match self {
            Knowledge::Nothing => false,
            Knowledge::Digest(digest) => *digest == state.digest(),
            Knowledge::State(held) => held == state,
        }
    }
}

impl Base {
    /// A live entity of which everything is known.
    #[must_use]
    pub fn live(state: State, epoch: Option<Epoch>) -> Self {
        Base::Live(Held { epoch, state: Knowledge::State(state) })
    }

    /// Whether what is told here is no older than what is held, as far as both have an epoch.
    #[must_use]
    pub fn is_newer_than(&self, held: &Base) -> bool {
        held.epoch().zip(self.epoch()).is_none_or(|(held, new)| new >= held)
    }

    /// The epoch that an operation on this base carries: 0 for known to be absent, none for unknown.
    #[must_use]
    pub fn epoch(&self) -> Option<Epoch> {
        match self {
            Base::Unknown => None,
            Base::Absent => Some(Epoch(0)),
            Base::Live(held) | Base::Dead(held) => held.epoch,
        }
    }

    /// The state of a live entity, where known.
    #[must_use]
    pub fn live_state(&self) -> Option<&State> {
        match self {
            Base::Live(held) => held.state.state(),
            Base::Unknown | Base::Absent | Base::Dead(_) => None,
        }
    }

    /// What the authority holds once it has accepted a change, at the epoch it gave.
    #[must_use]
    pub fn after(&self, change: &Change, epoch: Option<Epoch>) -> Base {
        let held = match self {
            Base::Unknown | Base::Absent => None,
            Base::Live(held) | Base::Dead(held) => Some(held),
        };
        match change {
            Change::Create(state) | Change::Update(Update::State(state)) => Base::live(state.clone(), epoch),
            Change::Update(Update::Patch(patch)) => {
                let state = match (self, held) {
                    (Base::Absent, _) => Knowledge::State(State::empty().with(patch)),
                    (_, Some(Held { state: Knowledge::State(state), .. })) => {
                        Knowledge::State(state.with(patch))
                    }
                    (_, Some(_) | None) => Knowledge::Nothing,
                };
                Base::Live(Held { epoch, state })
            }
            Change::Delete => match (self, held) {
                (Base::Absent, _) => Base::Absent,
                (_, held) => {
                    let known = held.cloned().unwrap_or_default();
                    // Deleting what is gone gets no epoch of its own.
                    Base::Dead(Held { epoch: epoch.or(known.epoch), state: known.state })
                }
            },
        }
    }
}

/// Where base knowledge is looked up.
pub trait Bases {
    /// The base of one entity.
    fn base(&self, key: &EntityKey) -> Cow<'_, Base>;
}

/// Base knowledge in memory.
#[derive(Clone, Debug, Default)]
pub struct BaseMap {
    known: HashMap<EntityKey, Base>,
    /// Whether an entity that is not listed is absent; otherwise it is unknown.
    pub is_complete: bool,
}

impl BaseMap {
    /// Nothing is known; or, when complete, there is nothing.
    #[must_use]
    pub fn new(is_complete: bool) -> Self {
        BaseMap { known: HashMap::new(), is_complete }
    }

    /// Notes what is known of an entity; the latest note counts.
    pub fn insert(&mut self, key: EntityKey, base: Base) {
        self.known.insert(key, base);
    }

    /// The entities that are listed, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&EntityKey, &Base)> {
        self.known.iter()
    }
}

impl Bases for BaseMap {
    fn base(&self, key: &EntityKey) -> Cow<'_, Base> {
        match self.known.get(key) {
            Some(base) => Cow::Borrowed(base),
            None if self.is_complete => Cow::Owned(Base::Absent),
            None => Cow::Owned(Base::Unknown),
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::fields::Patch;
    use super::super::names::CollectionName;
    use super::*;

    fn state(json: &str) -> State {
        State::from_json(json).unwrap()
    }

    fn held(epoch: Option<u64>, state: Knowledge) -> Held {
        Held { epoch: epoch.map(Epoch), state }
    }

    #[test]
    fn what_is_told_is_newer_unless_both_have_an_epoch_and_its_is_lower() {
        let of = |epoch| Base::Live(held(epoch, Knowledge::Nothing));
        assert!(of(Some(4)).is_newer_than(&of(Some(3))));
        assert!(of(Some(3)).is_newer_than(&of(Some(3))));
        assert!(!of(Some(2)).is_newer_than(&of(Some(3))));
        assert!(of(Some(1)).is_newer_than(&Base::Unknown) && Base::Unknown.is_newer_than(&of(Some(1))));
        assert!(!Base::Absent.is_newer_than(&of(Some(1))), "known to be absent is epoch 0");
    }

    #[test]
    fn as_much_is_known_of_a_state_as_is_held_of_it() {
        let (one, two) = (state(r#"{"a":1}"#), state(r#"{"a":2}"#));
        for (knowledge, is_one, told) in [
            (Knowledge::Nothing, false, None),
            (Knowledge::Digest(one.digest()), true, None),
            (Knowledge::State(one.clone()), true, Some(&one)),
        ] {
            assert_eq!((knowledge.is(&one), knowledge.is(&two)), (is_one, false), "{knowledge:?}");
            assert_eq!(knowledge.state(), told);
            assert_eq!(Base::Live(held(None, knowledge.clone())).live_state(), told);
            assert_eq!(Base::Dead(held(None, knowledge)).live_state(), None);
        }
    }

    #[test]
    fn after_a_change_as_much_is_known_as_follows_from_it() {
        let (one, both) = (state(r#"{"a":1}"#), state(r#"{"a":1,"b":2}"#));
        let patch = Change::Update(Update::Patch(Patch::from_json(r#"{"b":2}"#).unwrap()));
        let epoch = Some(Epoch(7));
        let live = |state: &State| Base::live(state.clone(), epoch);
        let known = Knowledge::State(one.clone());
        for base in [Base::Unknown, Base::Absent, Base::Dead(held(Some(3), Knowledge::Nothing))] {
            assert_eq!(base.after(&Change::Create(one.clone()), epoch), live(&one));
            assert_eq!(base.after(&Change::Update(Update::State(one.clone())), epoch), live(&one));
        }
        assert_eq!(Base::Absent.after(&patch, epoch), live(&state(r#"{"b":2}"#)));
        assert_eq!(Base::Live(held(Some(3), known.clone())).after(&patch, epoch), live(&both));
        assert_eq!(Base::Dead(held(Some(3), known.clone())).after(&patch, epoch), live(&both));
        for base in [Base::Unknown, Base::Live(held(Some(3), Knowledge::Digest(one.digest())))] {
            assert_eq!(base.after(&patch, epoch), Base::Live(held(Some(7), Knowledge::Nothing)));
        }
        assert_eq!(Base::Absent.after(&Change::Delete, epoch), Base::Absent);
        assert_eq!(
            Base::Unknown.after(&Change::Delete, epoch),
            Base::Dead(held(Some(7), Knowledge::Nothing))
        );
        let dead = |epoch| Base::Dead(held(Some(epoch), known.clone()));
        assert_eq!(Base::Live(held(Some(3), known.clone())).after(&Change::Delete, epoch), dead(7));
        assert_eq!(dead(3).after(&Change::Delete, None), dead(3), "what is gone keeps its epoch");
    }

    #[test]
    fn what_is_not_listed_is_absent_where_the_list_is_complete_and_unknown_elsewhere() {
        let key = |n| EntityKey::new(CollectionName::new("notes").unwrap(), Uuid::from_u128(n)).unwrap();
        for (is_complete, other) in [(true, Base::Absent), (false, Base::Unknown)] {
            let mut map = BaseMap::new(is_complete);
            map.insert(key(1), Base::live(State::empty(), None));
            assert_eq!(*map.base(&key(1)), Base::live(State::empty(), None));
            assert_eq!(*map.base(&key(2)), other);
            assert_eq!(map.iter().count(), 1);
        }
    }
}
