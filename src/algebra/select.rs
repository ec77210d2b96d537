//! What of an arranged plan goes into the next bunch.
//!
//! A bunch is filled with units, and a unit is never split: the operations that share a group, directly or
//! by way of others, and the parts of one entity. With a unit goes everything that its operations need, with
//! the units of that. Invariant: what is taken needs nothing that is left, so bunches taken one after another
//! are as valid, at every prefix, as the plan is.

use std::collections::{HashMap, HashSet};
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
        if !sabotaged!(group_split) {
            sets.join_by(operations.iter().map(|planned| &planned.operation.groups));
        }
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
        let mut seen = HashSet::new();
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
struct Sets {
    parents: Vec<usize>,
}

impl Sets {
    fn new(len: usize) -> Self {
        Sets { parents: (0..len).collect() }
    }

    /// Joins all numbers that share a name; the names of each number, from 0 on.
    fn join_by<N: Eq + Hash>(&mut self, names: impl Iterator<Item = impl IntoIterator<Item = N>>) {
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
    fn root(&mut self, mut number: usize) -> usize {
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

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::algebra::{CollectionName, EntityKey, Operation, Seq};

    /// Operations as (entity, groups, what it needs).
    fn arranged(operations: &[(u128, &str, &[usize])]) -> Arranged {
        let mut arranged = Arranged::default();
        for ((number, groups, needs), seq) in operations.iter().zip(1..) {
            let key =
                EntityKey::new(CollectionName::new("notes").unwrap(), Uuid::from_u128(*number)).unwrap();
            let groups = groups.split_whitespace().map(|group| group.parse().unwrap());
            let operation = groups.fold(Operation::delete(key), Operation::in_group);
            let (first, last) = (Seq(seq), Seq(seq));
            let (base, touched) = (None, None);
            arranged.operations.push(Planned { operation, base, first, last, operations: 1, touched });
            arranged.needs.push(needs.to_vec());
        }
        arranged
    }

    fn up_to(operations: usize, arranged: &Arranged) -> Vec<usize> {
        selected(arranged, Limits { operations, ..Limits::default() }, |_| 1)
    }

    #[test]
    fn a_bunch_is_filled_up_to_its_limits_inclusive() {
        let plain = arranged(&[(1, "", &[]), (2, "", &[]), (3, "", &[])]);
        assert_eq!(selected(&plain, Limits::default(), |_| 1), [0, 1, 2]);
        assert_eq!(up_to(2, &plain), [0, 1]);
        assert_eq!(selected(&plain, Limits { bytes: 20, ..Limits::default() }, |_| 10), [0, 1]);
        assert_eq!(selected(&plain, Limits { bytes: 19, ..Limits::default() }, |_| 10), [0]);
        assert_eq!(selected(&Arranged::default(), Limits::default(), |_| 1), [0; 0]);
    }

    #[test]
    fn what_does_not_fit_at_all_goes_alone() {
        let heavy = arranged(&[(1, "", &[]), (2, "", &[])]);
        for limits in [Limits { operations: 0, bytes: 9 }, Limits { operations: 9, bytes: 0 }] {
            assert_eq!(selected(&heavy, limits, |_| 1), [0]);
        }
        let of_another = |planned: &Planned| if planned.last == Seq(2) { usize::MAX } else { 1 };
        assert_eq!(selected(&heavy, Limits::default(), of_another), [0]);
    }

    #[test]
    fn groups_that_meet_in_one_operation_travel_together() {
        let grouped = arranged(&[(1, "a", &[]), (2, "", &[]), (3, "b", &[]), (4, "a b", &[]), (5, "", &[])]);
        assert_eq!(up_to(1, &grouped), [0, 2, 3]);
        assert_eq!(up_to(4, &grouped), [0, 1, 2, 3]);
    }

    #[test]
    fn the_parts_of_one_entity_travel_together() {
        let parts = arranged(&[(1, "", &[]), (2, "", &[0]), (1, "", &[0, 1])]);
        assert_eq!(up_to(1, &parts), [0, 1, 2], "the second part needs what stands between them");
    }

    #[test]
    fn what_is_needed_goes_too_with_everything_that_travels_with_it() {
        let needs = arranged(&[(1, "", &[]), (2, "", &[]), (3, "a", &[1]), (4, "", &[]), (5, "a", &[3])]);
        assert_eq!(up_to(1, &needs), [0]);
        assert_eq!(up_to(2, &needs), [0, 1]);
        assert_eq!(up_to(4, &needs), [0, 1], "3 and 5 need 4");
        assert_eq!(up_to(5, &needs), [0, 1, 2, 3, 4]);
        let swap = arranged(&[(1, "", &[2]), (2, "", &[]), (3, "", &[0])]);
        assert_eq!(up_to(1, &swap), [0, 2]);
    }
}
