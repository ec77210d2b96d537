//! The journal.
mod storage;
pub use storage::Storage;
