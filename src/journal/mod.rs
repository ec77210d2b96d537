//! The journal.
#[cfg_attr(not(feature = "testing"), expect(dead_code, reason = "for the overlay and the tests"))]
pub(crate) mod pages;
mod storage;
pub use storage::Storage;
