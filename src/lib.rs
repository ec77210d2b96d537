//! foldlog
pub mod algebra;
pub mod journal;
#[cfg(feature = "testing")]
pub mod testing;
