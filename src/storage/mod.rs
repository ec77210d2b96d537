//! What everything durable stands on: a range of bytes that can be synced, and the engine over it.
//!
//! | file | what is in it |
//! |---|---|
//! | [`Storage`] | the bytes: a file's, memory's, or something that fails on purpose |
//! | `overlay` | a file that is only read, under what would have been written to it |
//! | `pages` | bytes kept in memory by the page |
//! | `open` | opening an engine's file, and telling clearly why it cannot be |
//! | `newborn` | what a crash leaves of a file that was just being made |
//! | `lists` | the engine's own lists of its pages, looked at before it writes by them |
//! | `trees` | the engine's trees, read without the engine |
//! | `guard` | the wall between the engine and its user: a panic inside becomes an error |
//! | `commit` | group commit: who comes while another one commits shares the next one |
//!
//! It knows nothing of what is stored: every layer that keeps something stands on it, and it on none.

mod backend;
pub(crate) mod commit;
pub(crate) mod guard;
mod lists;
mod locks;
pub(crate) mod memory;
pub(crate) mod newborn;
pub(crate) mod open;
pub(crate) mod overlay;
pub(crate) mod pages;
pub(crate) mod trees;

pub use backend::Storage;
pub(crate) use backend::{Arced, Backend, FileBackend};
