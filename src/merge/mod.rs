//! Merging replica files: what several of them make of one entity, and who of them cannot live side by side.
//!
//! Each side of a merge knows an entity as a [`Version`](crate::algebra::Version): its state, when each field was last
//! changed, and whether it was deleted. A [`Joint`] is what all sides together know of it, whichever comes first and
//! however often.

mod clashes;
mod joint;

pub use clashes::{Clashes, Pair, World, clashes};
pub use joint::Joint;
