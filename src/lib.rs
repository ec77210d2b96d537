//! foldlog

#![forbid(unsafe_code)]

pub mod algebra;
pub mod codec;
pub mod journal;
#[cfg(feature = "testing")]
pub mod testing;

pub use journal::Journal;
pub use uuid::Uuid;
