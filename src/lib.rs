//! foldlog
pub mod algebra;
pub mod codec;
pub mod journal;

pub use journal::Journal;
pub use uuid::Uuid;
