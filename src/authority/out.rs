//! What of a bunch cannot be applied, and what falls with it.

use std::collections::{BTreeMap, BTreeSet};

use super::attempt::Given;
use super::store::Store;
use super::world::World;
use crate::algebra::Outcome;

/// What cannot be applied: by what it is answered.
#[derive(Clone, Debug, Default)]
pub(super) struct Out {
    pub(super) failed: BTreeMap<usize, Outcome>,
    /// The other side prevails, or a person decides.
    pub(super) superseded: BTreeSet<usize>,
    /// Of these, those that a person decides about: who shares a group with them waits for that.
    pub(super) held: BTreeSet<usize>,
    /// What was objected to in itself, and not only for something else that is out: with the operation without which
    /// it would have held.
    objected: BTreeMap<usize, Option<usize>>,
    /// What was objected to first.
    first: Option<usize>,
    /// What got a second chance when that operation went out as well; there is no third.
    is_second: BTreeSet<usize>,
}

/// Something that does not hold at the bunch's end.
pub(super) struct Objection {
    pub(super) place: usize,
    /// By what it is answered; none where a person has to decide.
    pub(super) outcome: Option<Outcome>,
    /// The operation without which it would hold.
    pub(super) cause: Option<usize>,
}

impl Out {
    /// What cannot be applied whatever else goes.
    pub(super) fn refused(failed: BTreeMap<usize, Outcome>) -> Self {
        let objected = failed.keys().map(|place| (*place, None)).collect();
        Out { first: failed.keys().next().copied(), failed, objected, ..Out::default() }
    }

    pub(super) fn contains(&self, place: usize) -> bool {
        self.failed.contains_key(&place) || self.superseded.contains(&place)
    }

    /// With what was objected to; but what would hold without something that falls itself gets its chance, those that
    /// fell by it in an earlier attempt their second one.
    pub(super) fn with<S: Store>(
        self,
        mut objections: Vec<Objection>,
        given: &Given<'_, S>,
        world: &World<'_, S>,
    ) -> Self {
        objections.sort_by_key(|objection| objection.place);
        let mut falling = Falling::of(self);
        for objection in objections {
            let by = |place| falling.fell.contains(&place);
            if !by(objection.place) && !objection.cause.is_some_and(by) {
                falling.fall(objection);
            }
        }
        falling.take_children(given, world);
        let Falling { out, again, .. } = falling;
        if again.is_empty() { out } else { out.without(&again) }
    }

    /// With all that is not out, which waits for what fell first.
    pub(super) fn with_all_that_is_left<S: Store>(mut self, given: &Given<'_, S>) -> Self {
        let first =
            self.first.filter(|first| self.contains(*first)).or_else(|| self.objected.keys().next().copied());
        let first = first.and_then(|first| given.operation(first));
        let Some(on) = first.map(|first| first.key().clone()) else { return self };
        for place in 0..given.operations.len() {
            if !self.contains(place) {
                self.failed.insert(place, Outcome::Waits { on: on.clone() });
            }
        }
        self
    }

    /// The same without these, and without what is out only for something else.
    fn without(self, these: &BTreeSet<usize>) -> Out {
        let objected = |place: &usize| self.objected.contains_key(place) && !these.contains(place);
        let of = |places: &BTreeSet<usize>| places.iter().copied().filter(|place| objected(place)).collect();
        let failed = self.failed.iter().filter(|(place, _)| objected(place));
        Out {
            failed: failed.map(|(place, outcome)| (*place, outcome.clone())).collect(),
            superseded: of(&self.superseded),
            held: of(&self.held),
            objected: self
                .objected
                .iter()
                .filter(|(place, _)| objected(place))
                .map(|(a, b)| (*a, *b))
                .collect(),
            first: self.first,
            is_second: self.is_second.union(these).copied().collect(),
        }
    }
}

/// What falls in one attempt.
struct Falling {
    out: Out,
    fell: BTreeSet<usize>,
    again: BTreeSet<usize>,
    /// What fell, by its cause.
    by_cause: BTreeMap<usize, Vec<usize>>,
}

impl Falling {
    fn of(out: Out) -> Self {
        let mut by_cause: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (place, cause) in &out.objected {
            if let Some(cause) = cause {
                by_cause.entry(*cause).or_default().push(*place);
            }
        }
        Falling { out, fell: BTreeSet::new(), again: BTreeSet::new(), by_cause }
    }

    fn fall(&mut self, Objection { place, outcome, cause }: Objection) {
        self.fell.insert(place);
        self.out.first.get_or_insert(place);
        self.out.objected.insert(place, cause);
        if let Some(cause) = cause {
            self.by_cause.entry(cause).or_default().push(place);
        }
        let by_it = self.by_cause.get(&place).into_iter().flatten().copied();
        self.again.extend(by_it.filter(|other| *other != place && !self.out.is_second.contains(other)));
        match outcome {
            Some(outcome) => drop(self.out.failed.insert(place, outcome)),
            None => {
                self.out.superseded.insert(place);
                self.out.held.insert(place);
            }
        }
    }

    /// Who refers to what failed, and was not there before, waits for it, as the next attempt would find; but that would
    /// be one attempt for each link of a chain.
    fn take_children<S: Store>(&mut self, given: &Given<'_, S>, world: &World<'_, S>) {
        let mut open: Vec<usize> =
            self.fell.iter().copied().filter(|place| self.out.failed.contains_key(place)).collect();
        while let Some(place) = open.pop() {
            let Some(parent) = given.operation(place).filter(|parent| !parent.was_live()) else { continue };
            for child in world.touched_referrers(parent.key()) {
                // Who would have a second chance by that is for the next attempt.
                if !self.again.is_empty() {
                    return;
                }
                let Some(place) = world.origin(&child).filter(|place| !self.out.contains(*place)) else {
                    continue;
                };
                let outcome = Some(Outcome::Waits { on: parent.key().clone() });
                let cause = given.on(parent.key()).map(|(place, _)| place).next();
                self.fall(Objection { place, outcome, cause });
                open.push(place);
            }
        }
    }
}
