//! foldlog

#![forbid(unsafe_code)]

pub mod algebra;
#[cfg(feature = "cli")]
pub mod cli;
pub mod codec;
pub mod journal;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "workload")]
pub mod workload;

pub use journal::Journal;
pub use uuid::Uuid;
