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
