//! One attempt to apply a bunch without what failed in earlier ones.
//!
//! Each operation is judged against the epochs before the bunch and laid on what the operations before it made;
//! then deletes take what they reach, references and unique keys are checked. What fails is named with the
//! operation that has to answer for it, and the next attempt goes without it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::deliver::Rules;
use super::out::{Objection, Out};
use super::size::too_large;
use super::store::{Store, Stored};
use super::units;
use super::world::World;
use crate::algebra::{
    Change, Decision, Effect, EntityKey, Existence, Group, Other, Outcome, Patch, Planned, Policy, ReplicaId,
    Seq, State, Version, decide,
};

/// The operations of a bunch, with what does not change from one attempt to the next.
pub(super) struct Given<'a, S> {
    pub(super) store: &'a S,
    pub(super) rules: &'a Rules<'a>,
    pub(super) replica: ReplicaId,
    pub(super) operations: Vec<Arrived<'a>>,
    /// The operations on each entity, by their places.
    pub(super) of: HashMap<&'a EntityKey, Vec<usize>, RandomState>,
    by_group: HashMap<&'a Group, Vec<usize>, RandomState>,
}

/// One operation.
pub(super) struct Arrived<'a> {
    pub(super) planned: &'a Planned,
    /// What it does, its times clamped.
    pub(super) effect: Effect,
    /// Of a revival, what it does to something that is live again already.
    revival: Option<Effect>,
    /// The entity as it was before the bunch.
    pub(super) before: Option<Arc<Stored>>,
}

/// What an attempt came to.
pub(super) struct Attempt<'a, S> {
    pub(super) world: World<'a, S>,
    /// All that was not applied, with what waits for it.
    pub(super) out: Out,
    /// What was replaced that the operation had not seen.
    pub(super) overwrote: BTreeMap<usize, State>,
}

impl Arrived<'_> {
    pub(super) fn key(&self) -> &EntityKey {
        &self.planned.operation.key
    }

    /// What was there of the entity before the bunch.
    pub(super) fn existence_before(&self) -> Existence {
        self.before.as_ref().map(|before| before.version.existence.clone()).unwrap_or_default()
    }

    /// Whether the entity was there before the bunch.
    pub(super) fn was_live(&self) -> bool {
        self.before.as_ref().is_some_and(|before| before.version.existence.is_live())
    }

    /// Whether somebody changed the entity since the base that the operation was made on.
    pub(super) fn is_concurrent(&self) -> bool {
        match (self.planned.base, &self.before) {
            (Some(base), Some(before)) => before.epoch > base || sabotaged!(epochs_or_equal),
            (Some(_), None) | (None, _) => false,
        }
    }

    /// Whether it changes what was there when it was made, and is not known any more.
    pub(super) fn rests_on_what_is_forgotten(&self) -> bool {
        let was_there = self.planned.base.is_some_and(|base| base.0 > 0);
        was_there && self.before.is_none() && matches!(self.planned.operation.change, Change::Update(_))
    }

    /// What becomes of it on what is there now.
    fn judged(&self, policy: Policy, replica: ReplicaId, now: &Version) -> Decision {
        let Some(base) = self.planned.base.filter(|_| self.is_concurrent()) else {
            return if self.effect.apply(&now.existence) == now.existence {
                Decision::Agreed
            } else {
                let (overwrites, loses) = (State::empty(), Patch::empty());
                Decision::Local { effect: self.effect.clone(), overwrites, loses }
            };
        };
        let has_changed =
            |field: &str| self.before.as_ref().is_some_and(|before| before.epoch_of(field) > base);
        let other = Other { version: now, has_changed: &has_changed, was_absent: base.0 == 0 };
        match &self.revival {
            Some(revival) if now.existence.is_live() => decide(policy, revival, replica, &other),
            Some(_) | None => decide(policy, &self.effect, replica, &other),
        }
    }
}

impl<'a, S: Store> Given<'a, S> {
    pub(super) fn new(
        store: &'a S,
        rules: &'a Rules<'a>,
        replica: ReplicaId,
        operations: &'a [Planned],
    ) -> Result<Self, S::Error> {
        let mut given = Given {
            store,
            rules,
            replica,
            operations: Vec::with_capacity(operations.len()),
            of: HashMap::default(),
            by_group: HashMap::default(),
        };
        for (place, planned) in operations.iter().enumerate() {
            let key = &planned.operation.key;
            given.of.entry(key).or_default().push(place);
            for group in &planned.operation.groups {
                given.by_group.entry(group).or_default().push(place);
            }
            let effect = Effect::of(Seq(1), &rules.clamped(&planned.operation));
            let revival = planned.touched.as_ref().map(|touched| effect.touching(touched));
            given.operations.push(Arrived { planned, effect, revival, before: store.entity(key)? });
        }
        Ok(given)
    }

    pub(super) fn policy(&self, key: &EntityKey) -> Policy {
        self.rules.schema.policy(key.collection())
    }

    pub(super) fn operation(&self, place: usize) -> Option<&Arrived<'a>> {
        self.operations.get(place)
    }

    /// The operations on an entity.
    pub(super) fn on(&self, key: &EntityKey) -> impl Iterator<Item = (usize, &Arrived<'a>)> {
        let places = self.of.get(key).into_iter().flatten();
        places.filter_map(|place| Some((*place, self.operations.get(*place)?)))
    }

    /// Adds what stands or falls with what is out: the other operations on an entity, and who shares a group
    /// with what failed or is held.
    fn closed(&self, mut out: Out) -> Out {
        let places = out.superseded.iter().filter_map(|place| self.operation(*place));
        let keys: HashSet<&EntityKey> = places.map(Arrived::key).collect();
        out.superseded.extend(keys.into_iter().filter_map(|key| self.of.get(key)).flatten());
        let waiting = self.hold_groups(&mut out);
        let mut open: Vec<usize> =
            out.failed.keys().filter(|place| !waiting.contains(place)).copied().collect();
        let (mut keys, mut seen): (HashSet<&EntityKey>, HashSet<&Group>) = Default::default();
        while let Some(place) = open.pop() {
            let Some(operation) = self.operation(place) else { continue };
            let key = operation.key();
            let Some(outcome) = out.failed.get(&place).cloned() else { continue };
            if keys.insert(key) {
                for other in self.of.get(key).into_iter().flatten() {
                    out.superseded.remove(other);
                    out.failed.entry(*other).or_insert_with(|| outcome.clone());
                }
            }
            for group in operation.planned.operation.groups.iter().filter(|group| seen.insert(group)) {
                for other in self.by_group.get(group).into_iter().flatten() {
                    if !out.failed.contains_key(other) && !out.held.contains(other) {
                        out.superseded.remove(other);
                        out.failed.insert(*other, Outcome::Waits { on: key.clone() });
                        open.push(*other);
                    }
                }
            }
        }
        out
    }

    /// A group travels together: who shares one with what a person has to decide about waits for that, unless it gives
    /// way itself. Gives those that wait.
    fn hold_groups(&self, out: &mut Out) -> BTreeSet<usize> {
        let mut waiting = BTreeSet::new();
        let mut seen: HashSet<&Group> = HashSet::new();
        for place in &out.held {
            let Some(root) = self.operation(*place) else { continue };
            let mut open: Vec<&Group> = root.planned.operation.groups.iter().collect();
            while let Some(group) = open.pop() {
                if !seen.insert(group) {
                    continue;
                }
                for other in self.by_group.get(group).into_iter().flatten() {
                    let Some(sharing) = self.operation(*other) else { continue };
                    open.extend(&sharing.planned.operation.groups);
                    if !out.superseded.contains(other) {
                        let waits = || Outcome::Waits { on: root.key().clone() };
                        if matches!(out.failed.entry(*other).or_insert_with(waits), Outcome::Waits { .. }) {
                            waiting.insert(*other);
                        }
                    }
                }
            }
        }
        waiting
    }

    /// Applies what is not out.
    ///
    /// # Errors
    /// What the store says; or, as the inner one, what has to go out too.
    pub(super) fn attempt(&'a self, out: Out) -> Result<Result<Attempt<'a, S>, Out>, S::Error> {
        let mut out = self.closed(out);
        // What nobody else changed meanwhile gives way to nothing.
        let concurrent =
            self.operations.iter().enumerate().filter(|(_, operation)| operation.is_concurrent());
        for (place, operation) in concurrent {
            let Some(before) = &operation.before else { continue };
            let judged = operation.judged(self.policy(operation.key()), self.replica, &before.version);
            if matches!(judged, Decision::Other | Decision::Held) && !out.failed.contains_key(&place) {
                out.superseded.insert(place);
                if judged == Decision::Held {
                    out.held.insert(place);
                }
            }
        }
        let mut world = World::new(self.store, self.rules.schema);
        units::supersede(self, &world, &mut out)?;
        let mut out = self.closed(out);
        let (mut overwrote, mut objections) = (BTreeMap::new(), Vec::new());
        for (place, operation) in self.operations.iter().enumerate() {
            if out.contains(place) {
                continue;
            }
            let key = operation.key();
            let now = world.now(key)?;
            match operation.judged(self.policy(key), self.replica, &now) {
                Decision::Agreed => {}
                Decision::Local { effect, overwrites, .. } => {
                    let version = now.after(&effect, self.replica);
                    if let Some(reason) = too_large(operation.before.as_deref(), &now, &version) {
                        let outcome = Some(Outcome::Refused { reason });
                        objections.push(Objection { place, outcome, cause: None });
                        continue;
                    }
                    overwrote.insert(place, overwrites);
                    world.put(key, version, place);
                }
                // It was judged against what was there before; what the bunch itself did cannot change that.
                Decision::Other | Decision::Held => drop(out.superseded.insert(place)),
            }
        }
        // What is too large goes out first: who refers to it waits for it, and is not refused.
        if objections.is_empty() {
            objections = self.cascades(&mut world, &out)?;
            self.require_references(&mut world, &out, &mut objections)?;
            self.require_unique(&world, &out, &mut objections)?;
        }
        if objections.is_empty() {
            return Ok(Ok(Attempt { world, out, overwrote }));
        }
        Ok(Err(out.with(objections, self, &world)))
    }
}
