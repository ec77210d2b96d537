//! foldlog
pub mod algebra;
pub mod journal;
