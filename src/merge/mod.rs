//! Merging replica files: what several of them make of one entity, who of them cannot live side by side, and what
//! becomes of that.
//!
//! Each side of a merge knows an entity as a [`Version`](crate::algebra::Version): its state, when each field was last
//! changed, and whether it was deleted. A [`Joint`] is what all sides together know of it, whichever comes first and
//! however often. A [`Board`] is that for all entities that differ, with the references between them whole; on it,
//! clashes are found and decided.
//!
//! Nothing here reads or writes a file: what is looked up is asked of [`Files`], and what comes of it is left on the
//! board.

mod applied;
mod board;
mod clashes;
mod decide;
mod joint;
mod losing;
mod parents;
mod refusal;
mod resolution;
mod same;
mod written;

use std::collections::BTreeSet;

pub use board::{Board, Files, Slot, Why};
pub use clashes::{Clashes, Pair, World, clashes};
pub use joint::{Derived, Joint, Known, Seen};
pub use losing::Loss;
pub use refusal::Refusal;
pub use resolution::{Children, How, Keep, Resolution, Resolutions, Side, With};
pub use written::Unread;
#[cfg(any(feature = "cli", feature = "testing"))]
pub(crate) use written::{Naming, Written, WrittenDefault, WrittenOne};

/// What a merge comes to, beside what is on its board.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Merging {
    /// All clashes, as they are before anything is decided.
    pub clashes: Clashes,
    /// Those that no default may decide: it could delete what both the destination and a source have.
    pub must_be_listed: BTreeSet<Pair>,
    /// Why the merge is refused; it is not, where there is nothing.
    pub refusals: BTreeSet<Refusal>,
}

impl<F: Files> Board<'_, F> {
    /// Merges what was taken, as somebody decided. Where that is refused, the board is not to be used.
    ///
    /// # Errors
    /// What the files say, or fields of several files that together are more than a state may hold.
    pub fn merge(&mut self) -> Result<Merging, F::Error> {
        self.mend_references()?;
        let schema = self.schema;
        let mut clashes = clashes(self, schema, self.slots.keys().cloned().collect::<Vec<_>>())?;
        let mut must_be_listed = BTreeSet::new();
        for pair in clashes.top.union(&clashes.downstream) {
            if self.could_delete_shared(pair)? {
                must_be_listed.insert(pair.clone());
            }
        }
        let refusals = decide::Deciding::new(self, &clashes).carry_out()?;
        self.let_go_again()?;
        for (key, slot) in &self.slots {
            if slot.is_self_clash {
                clashes.top.insert(Pair { source: key.clone(), dest: key.clone() });
            }
        }
        Ok(Merging { clashes, must_be_listed, refusals })
    }

    /// Whether deleting either of two, with what goes with it, may delete what both the destination and a source have.
    fn could_delete_shared(&self, pair: &Pair) -> Result<bool, F::Error> {
        let mut open = vec![pair.source.clone(), pair.dest.clone()];
        let mut seen = BTreeSet::new();
        while let Some(key) = open.pop() {
            if !seen.insert(key.clone()) {
                continue;
            }
            if self.is_shared(&key)? {
                return Ok(true);
            }
            for (from, field, reference) in self.schema.referrers(key.collection()) {
                if reference.on_delete == crate::algebra::OnDelete::Cascade {
                    open.extend(self.referring(&key, from, field)?);
                }
            }
        }
        Ok(false)
    }
}
