//! Merging replica files: what several of them make of one entity.
//!
//! Each side of a merge knows an entity as a [`Version`](crate::algebra::Version): its state, when each field was last
//! changed, and whether it was deleted. A [`Joint`] is what all sides together know of it, whichever comes first and
//! however often.

mod joint;

pub use joint::Joint;
