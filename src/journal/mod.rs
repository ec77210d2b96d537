//! The journal.
#[cfg_attr(not(test), expect(dead_code, reason = "the journal will call the engine through it"))]
pub(crate) mod guard;
#[cfg_attr(not(test), expect(dead_code, reason = "verify will read through it"))]
pub(crate) mod overlay;
pub(crate) mod pages;
mod storage;
pub use storage::Storage;
