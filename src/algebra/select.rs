//! What of an arranged plan goes into the next bunch.
//!
//! A bunch is filled with units, and a unit is never split: the operations that share a group, directly or
//! by way of others, and the parts of one entity. With a unit goes everything that its operations need, with
//! the units of that. Invariant: what is taken needs nothing that is left, so bunches taken one after another
//! are as valid, at every prefix, as the plan is.

use std::collections::HashMap;
use std::hash::Hash;

use super::order::Arranged;
use super::plan::Planned;

/// How large a bunch may become, both inclusive. What cannot be split goes out whole all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many operations, at least 1; by default as many as there are.
    pub operations: usize,
    /// How many bytes; by default [`Limits::BYTES_DEFAULT`].
    pub bytes: usize,
}

impl Limits {
    /// 32 MiB: twice the largest operation, and little enough to be held in memory on a phone.
    pub const BYTES_DEFAULT: usize = 2 * super::fields::FIELDS_BYTES_MAX;
}

impl Default for Limits {
    fn default() -> Self {
        Limits { operations: usize::MAX, bytes: Self::BYTES_DEFAULT }
    }
}

/// Chooses what goes into the next bunch: the places of its operations in the plan, ascending, which is the
/// order in which they are sent. Nothing only where the plan is empty.
///
/// Units are taken by their first operation until one does not fit, together with what it needs and what is
/// not taken yet. If that is the very first, it goes alone.
#[must_use]
pub fn selected(arranged: &Arranged, limits: Limits, bytes_of: impl Fn(&Planned) -> usize) -> Vec<usize> {
    let units = Units::of(&arranged.operations);
    let mut is_taken = vec![false; units.members.len()];
    let (mut operations, mut bytes) = (0_usize, 0_usize);
    let mut taken = Vec::new();
    // Units are numbered by their first operations.
    for unit in 0..units.members.len() {
        let more = units.needed_by(unit, arranged, &is_taken);
        let places: Vec<usize> =
            more.iter().filter_map(|unit| units.members.get(*unit)).flatten().copied().collect();
        let planned = places.iter().filter_map(|place| arranged.operations.get(*place));
        operations = operations.saturating_add(places.len());
        bytes = planned.fold(bytes, |sum, planned| sum.saturating_add(bytes_of(planned)));
        let fits = operations <= limits.operations && bytes <= limits.bytes;
        if !fits && !taken.is_empty() {
            break;
        }
        for unit in more {
            if let Some(is_taken) = is_taken.get_mut(unit) {
                *is_taken = true;
            }
        }
        taken.extend(places);
        if !fits {
            break;
        }
    }
    taken.sort_unstable();
    taken
}

/// The operations by units.
struct Units {
    /// The unit of each operation.
    of: Vec<usize>,
    /// The operations of each unit, ascending.
    members: Vec<Vec<usize>>,
}

impl Units {
    fn of(operations: &[Planned]) -> Self {
        let mut sets = Sets::new(operations.len());
        sets.join_by(operations.iter().map(|planned| [&planned.operation.key]));
        sets.join_by(operations.iter().map(|planned| &planned.operation.groups));
        let mut units = Units { of: Vec::with_capacity(operations.len()), members: Vec::new() };
        let mut numbers: HashMap<usize, usize> = HashMap::new();
        for place in 0..operations.len() {
            let unit = *numbers.entry(sets.root(place)).or_insert(units.members.len());
            match units.members.get_mut(unit) {
                Some(members) => members.push(place),
                None => units.members.push(vec![place]),
            }
            units.of.push(unit);
        }
        units
    }

    /// A unit and the units that it needs, without those that are taken.
    fn needed_by(&self, unit: usize, arranged: &Arranged, is_taken: &[bool]) -> Vec<usize> {
        let mut found = Vec::new();
        let mut seen = std::collections::HashSet::new();
        let mut open = vec![unit];
        while let Some(unit) = open.pop() {
            if is_taken.get(unit) != Some(&false) || !seen.insert(unit) {
                continue;
            }
            found.push(unit);
            let members = self.members.get(unit).into_iter().flatten();
            let needs = members.filter_map(|place| arranged.needs.get(*place)).flatten();
            open.extend(needs.filter_map(|place| self.of.get(*place)));
        }
        found
    }
}

/// Disjoint sets of the numbers below a length.
pub(super) struct Sets {
    parents: Vec<usize>,
}

impl Sets {
    pub(super) fn new(len: usize) -> Self {
        Sets { parents: (0..len).collect() }
    }

    /// Joins all numbers that share a name; the names of each number, from 0 on.
    pub(super) fn join_by<N: Eq + Hash>(&mut self, names: impl Iterator<Item = impl IntoIterator<Item = N>>) {
        let mut first: HashMap<N, usize> = HashMap::new();
        for (number, names) in names.enumerate() {
            for name in names {
                let other = *first.entry(name).or_insert(number);
                self.join(number, other);
            }
        }
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        // The lower one is the root, so that a set is known by its first number.
        if let Some(parent) = self.parents.get_mut(a.max(b)) {
            *parent = a.min(b);
        }
    }

    /// The lowest number of a number's set.
    pub(super) fn root(&mut self, mut number: usize) -> usize {
        while let Some(parent) = self.parents.get(number).copied()
            && parent != number
        {
            let above = self.parents.get(parent).copied().unwrap_or(parent);
            if let Some(parent) = self.parents.get_mut(number) {
                *parent = above;
            }
            number = parent;
        }
        number
    }
}
