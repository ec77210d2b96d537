//! What is live in a collection, in a few bytes: two sides that hold the same live set have the same one.
//!
//! The sum does not depend on the order in which entities were added, and an entity that is taken out again leaves
//! no trace, so whoever holds the set can keep it up to date with every change.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::fields::{Digest, State};
use super::names::{CollectionName, Epoch};

/// How many entities are live, and the sum (modulo 2²⁵⁶) of the blake3 hashes of each one's id and state.
///
/// It tells sets apart that differ by accident; it is no proof against whoever chooses states to make two sums
/// equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveSet {
    /// How many.
    pub count: u64,
    /// The sum, its lowest byte first.
    pub sum: Digest,
}

/// The live sets of an authority's collections, each with the last epoch given out in it.
pub type LiveSets = BTreeMap<CollectionName, (LiveSet, Epoch)>;

impl Default for LiveSet {
    fn default() -> Self {
        LiveSet { count: 0, sum: Digest([0; 32]) }
    }
}

impl LiveSet {
    /// Puts an entity in.
    pub fn add(&mut self, id: Uuid, state: &State) {
        self.count = self.count.wrapping_add(1);
        let mut carry = 0;
        for (byte, more) in self.sum.0.iter_mut().zip(hash(id, state)) {
            let total = u16::from(*byte) + u16::from(more) + carry;
            [*byte, _] = total.to_le_bytes();
            carry = total >> 8;
        }
    }

    /// Takes out an entity that is in it.
    pub fn remove(&mut self, id: Uuid, state: &State) {
        self.count = self.count.wrapping_sub(1);
        let mut borrow = 0;
        for (byte, less) in self.sum.0.iter_mut().zip(hash(id, state)) {
            let total = 0x100 + u16::from(*byte) - u16::from(less) - borrow;
            [*byte, _] = total.to_le_bytes();
            borrow = 1 - (total >> 8);
        }
    }
}

fn hash(id: Uuid, state: &State) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(id.as_bytes());
    hasher.update(state.as_json().as_bytes());
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(entities: &[(u128, &str)]) -> LiveSet {
        let mut set = LiveSet::default();
        for (id, json) in entities {
            set.add(Uuid::from_u128(*id), &State::from_json(json).unwrap());
        }
        set
    }

    #[test]
    fn the_order_does_not_matter_and_every_entity_does() {
        let all = [(1, r#"{"a":1}"#), (2, r#"{"a":1}"#), (3, "{}")];
        let [a, b, c] = all;
        assert_eq!(of(&all), of(&[c, a, b]));
        for other in
            [vec![a, b], vec![a, b, (3, r#"{"a":1}"#)], vec![a, (4, r#"{"a":1}"#), c], vec![a, a, b, c]]
        {
            assert_ne!(of(&all), of(&other));
        }
    }

    #[test]
    fn what_is_taken_out_again_leaves_no_trace() {
        let state = State::from_json(r#"{"n":7}"#).unwrap();
        for held in [vec![], vec![(1, "{}")], vec![(1, "{}"), (2, r#"{"a":[1]}"#)]] {
            // Many sums, so that carries run through every byte.
            for id in (1..200).map(Uuid::from_u128) {
                let mut set = of(&held);
                set.add(id, &state);
                assert_ne!(set, of(&held));
                set.remove(id, &state);
                assert_eq!(set, of(&held));
            }
        }
    }
}
