//! Baselines: what is known of the authority, and what it may really be.
//!
//! A plan is made for what is *known*; it has to be right on everything that this *may be*:
//!
//! | known | may be |
//! |---|---|
//! | absent | absent |
//! | live or dead, state known | just that |
//! | live or dead, digest known | the state of that digest |
//! | live or dead, nothing known of the state | any state |
//! | unknown, and the log does not begin with a create | absent, and live or dead with any state |
//! | unknown, and the log begins with a create | absent, dead with any state; and live with any state too where the log leaves the entity live |
//!
//! The last line is where a plan takes something for granted: an id that is created is taken to be new,
//! so "create, …, delete" sends nothing, which would be wrong only if the authority held that id live
//! all along. Whoever creates fresh ids never meets that.
//!
//! "Any state" is tried on a handful: the true one, the empty one, ones that the log itself writes (these
//! collide), and one that holds every field the log names and one that it does not.

use std::collections::{BTreeMap, BTreeSet};

use crate::algebra::{
    Base, BaseMap, Bases, Change, EntityKey, Existence, Knowledge, Operation, State, Update,
};

/// How many states the log itself writes are tried where the state is not known: enough for the first
/// and the last value to collide with the base.
const COLLIDING_STATES_MAX: usize = 3;

/// What is known of the authority's side, with one truth that it was learned from.
#[derive(Clone, Debug, Default)]
pub struct Baseline {
    bases: BaseMap,
    truth: BTreeMap<EntityKey, Existence>,
}

impl Baseline {
    /// Nothing is known; or, when complete, there is nothing.
    #[must_use]
    pub fn new(is_complete: bool) -> Self {
        Baseline { bases: BaseMap::new(is_complete), truth: BTreeMap::new() }
    }

    /// Notes what is known of an entity, and what it really is. An entity that is not noted is absent in
    /// truth.
    ///
    /// # Panics
    /// If the two contradict each other.
    pub fn insert(&mut self, key: EntityKey, known: Base, truth: Existence) {
        assert!(agree(&known, &truth), "{known:?} cannot be known of {truth:?}");
        self.bases.insert(key.clone(), known);
        self.truth.insert(key, truth);
    }

    /// What is known.
    #[must_use]
    pub fn bases(&self) -> &BaseMap {
        &self.bases
    }

    /// What an entity really is.
    #[must_use]
    pub fn truth(&self, key: &EntityKey) -> Existence {
        self.truth.get(key).cloned().unwrap_or_default()
    }

    /// Authorities that a plan of this log has to be right on: between them, each entity takes every
    /// shape of the module's table at least once.
    #[must_use]
    pub fn worlds(&self, log: &[Operation]) -> Vec<BTreeMap<EntityKey, Existence>> {
        let keys: BTreeSet<&EntityKey> =
            self.truth.keys().chain(log.iter().map(|operation| &operation.key)).collect();
        let choices: Vec<(&EntityKey, Vec<Existence>)> =
            keys.into_iter().map(|key| (key, self.may_be(key, log))).collect();
        let rounds = choices.iter().map(|(_, choices)| choices.len()).max().unwrap_or(1);
        (0..rounds)
            .map(|round| {
                choices
                    .iter()
                    .filter_map(|(key, choices)| {
                        let choice = choices.iter().cycle().nth(round)?;
                        Some(((*key).clone(), choice.clone()))
                    })
                    .collect()
            })
            .collect()
    }

    /// What one entity may be, by the module's table.
    #[must_use]
    pub fn may_be(&self, key: &EntityKey, log: &[Operation]) -> Vec<Existence> {
        let own: Vec<&Change> =
            log.iter().filter(|operation| operation.key == *key).map(|operation| &operation.change).collect();
        let truth = self.truth(key);
        let known = self.bases.base(key);
        match known.as_ref() {
            Base::Absent => vec![Existence::Absent],
            Base::Live(held) => self.states(&held.state, &truth, &own).map(Existence::Live).collect(),
            Base::Dead(held) => self.states(&held.state, &truth, &own).map(Existence::Dead).collect(),
            Base::Unknown => {
                let is_born = matches!(own.first(), Some(Change::Create(_)));
                let ends_dead = matches!(own.last(), Some(Change::Delete));
                let mut all = vec![Existence::Absent];
                for state in self.states(&Knowledge::Nothing, &truth, &own) {
                    all.push(Existence::Dead(state.clone()));
                    if !(is_born && ends_dead) {
                        all.push(Existence::Live(state));
                    }
                }
                all
            }
        }
    }

    fn states(
        &self,
        known: &Knowledge,
        truth: &Existence,
        own: &[&Change],
    ) -> impl Iterator<Item = State> + use<> {
        let states = match (known, truth) {
            (Knowledge::State(state), _) => vec![state.clone()],
            (Knowledge::Digest(_), Existence::Live(state) | Existence::Dead(state)) => vec![state.clone()],
            (Knowledge::Digest(_), Existence::Absent) => Vec::new(),
            (Knowledge::Nothing, truth) => {
                let mut states = match truth {
                    Existence::Absent => Vec::new(),
                    Existence::Live(state) | Existence::Dead(state) => vec![state.clone()],
                };
                states.extend(colliding(own));
                states
            }
        };
        states.into_iter()
    }
}

/// Whether this may be known of that.
#[must_use]
pub fn agree(known: &Base, truth: &Existence) -> bool {
    match (known, truth) {
        (Base::Unknown, _) | (Base::Absent, Existence::Absent) => true,
        (Base::Live(held), Existence::Live(state)) | (Base::Dead(held), Existence::Dead(state)) => {
            held.state == Knowledge::Nothing || held.state.is(state)
        }
        (Base::Absent | Base::Live(_) | Base::Dead(_), _) => false,
    }
}

/// States that the operations are likely to trip over.
fn colliding(own: &[&Change]) -> Vec<State> {
    let written = own.iter().filter_map(|change| match change {
        Change::Create(state) | Change::Update(Update::State(state)) => Some(state.clone()),
        Change::Update(Update::Patch(patch)) => Some(State::empty().with(patch)),
        Change::Delete => None,
    });
    let names: BTreeSet<String> = own
        .iter()
        .flat_map(|change| match change {
            Change::Create(state) | Change::Update(Update::State(state)) => names_of(state.iter()),
            Change::Update(Update::Patch(patch)) => names_of(patch.iter()),
            Change::Delete => Vec::new(),
        })
        .chain(["untouched".to_owned()])
        .collect();
    let everything: serde_json::Map<String, serde_json::Value> =
        names.into_iter().map(|name| (name, "of the base".into())).collect();
    let everything = State::from_serialize(&everything).unwrap_or_else(|_| State::empty());
    let mut states = vec![State::empty(), everything];
    states.extend(written.take(COLLIDING_STATES_MAX));
    states
}

fn names_of<'a>(fields: impl Iterator<Item = (String, &'a str)>) -> Vec<String> {
    fields.map(|(name, _)| name).collect()
}
