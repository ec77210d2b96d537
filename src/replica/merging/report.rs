//! What a merge came to, told entity by entity.

use std::collections::BTreeSet;

use crate::algebra::{EntityKey, Existence};
use crate::merge::{Board, Clashes, Files, Merging, Pair, Refusal, Why};

/// What a merge would come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// All clashes that the merge brings, decided or not. Two that have one key in the destination already are none of
    /// its business.
    pub clashes: Clashes,
    /// Those that no default may decide.
    pub must_be_listed: BTreeSet<Pair>,
    /// Why the merge would be refused with these decisions; it would not, where there is nothing.
    pub refusals: Vec<Refusal>,
    /// What would become of the entities that are not as the destination has them, in the order of their keys. What
    /// clashes and is not decided yet is here as well.
    pub entities: Vec<MergedEntity>,
}

/// What a merge came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// The clashes that were decided.
    pub clashes: Clashes,
    /// What became of the entities that are not as the destination had them, in the order of their keys.
    pub entities: Vec<MergedEntity>,
    /// How many values lost; the conflict record has them.
    pub losers: u64,
}

/// What became of one entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergedEntity {
    /// Which one.
    pub key: EntityKey,
    /// What the destination had.
    pub was: Existence,
    /// What it has.
    pub now: Existence,
    /// Why, one after the other.
    pub why: Vec<Why>,
}

impl Checked {
    pub(super) fn of<F: Files>(board: &Board<'_, F>, merging: Merging) -> Self {
        Checked {
            clashes: merging.clashes,
            must_be_listed: merging.must_be_listed,
            refusals: merging.refusals.into_iter().collect(),
            entities: entities(board),
        }
    }

    /// Whether it would go as it is: nothing is open.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.refusals.is_empty()
    }
}

impl Merged {
    pub(super) fn of<F: Files>(board: &Board<'_, F>, merging: Merging, losers: u64) -> Self {
        Merged { clashes: merging.clashes, entities: entities(board), losers }
    }
}

fn entities<F: Files>(board: &Board<'_, F>) -> Vec<MergedEntity> {
    let told = board.slots().iter().filter(|(_, slot)| slot.was.version != slot.version);
    let one = |(key, slot): (&EntityKey, &crate::merge::Slot)| MergedEntity {
        key: key.clone(),
        was: slot.was.version.existence.clone(),
        now: slot.version.existence.clone(),
        why: slot.why.clone(),
    };
    told.map(one).collect()
}
