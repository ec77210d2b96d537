//! An authority of many accounts on one file.
//!
//! ```text
//! deliver ─→ a transaction (shared by those who come meanwhile) ─→ the rules, over what it holds ─→ durable ─→ answer
//! any other ask ─→ a snapshot, beside whoever writes ─→ the rules ─→ answer
//! ```
//!
//! What it never does: decide anything (the rules do), hold a transaction across a caller's code, forget an outcome. All
//! recorded outcomes are kept, as only they can answer a bunch that comes again. Invariant: a crash at any moment leaves
//! the file as it was before a transaction or after it.

mod deliveries;
mod erase;
mod generations;
mod handle;
mod held;
mod left;
mod moves;
mod one;
mod open;
mod pages;
mod places;
mod prune;
mod schema;
#[cfg(feature = "testing")]
mod single;
mod tables;

use std::path::Path;

use crate::algebra::{Answer, Ask, Millis, Schema};
use crate::authority::{Account, Authority, Error};
use deliveries::{Queue, find, said};
use handle::Handle;
use one::One;

pub use held::TRIGGERS_MAX_DEFAULT;
pub use open::{AUTHORITY_CACHE_BYTES_DEFAULT, FileOptions};
#[cfg(feature = "testing")]
pub use single::SingleStore;

/// An authority of many accounts on one file. Whoever waits for one file waits for one disk: deliveries of all accounts
/// share their commits, and reads wait for none.
#[derive(Debug)]
pub struct FileAuthority {
    schema: Schema,
    handle: Handle,
    triggers_max: u64,
    queue: Queue,
}

impl FileAuthority {
    /// Opens the authority at a path, with the default [`FileOptions`].
    ///
    /// # Errors
    /// As [`FileOptions::open`].
    pub fn open(path: impl AsRef<Path>, schema: impl Into<Option<Schema>>) -> Result<Self, Error> {
        FileOptions::new().open(path, schema)
    }

    /// Opens the authority at a path, or makes one if there is no file, with the default [`FileOptions`].
    ///
    /// # Errors
    /// As [`FileOptions::open`].
    pub fn create(path: impl AsRef<Path>, schema: impl Into<Option<Schema>>) -> Result<Self, Error> {
        FileOptions::new().create(path, schema)
    }

    /// The collections that it decides by.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    fn with(handle: Handle, schema: Schema, triggers_max: u64) -> Self {
        FileAuthority { schema, handle, triggers_max, queue: deliveries::queue() }
    }
}

impl Authority for FileAuthority {
    fn answer(&self, account: &Account, now: Millis, ask: &Ask) -> Result<Answer, Error> {
        let reads = match ask {
            Ask::Deliver { .. } => false,
            Ask::Changes { .. } | Ask::Triggers { .. } | Ask::Reads { .. } | Ask::LiveSets { .. } => true,
        };
        if reads {
            let found = self.handle.read(|tables| match find(tables, account)? {
                Some(held) => said(&mut One::new(tables, &self.schema, held), now, ask).map(Some),
                None => Ok(None),
            })?;
            if let Some(answer) = found {
                return Ok(answer);
            }
        }
        self.answer_writing(account, now, ask)
    }

    fn erase(&self, account: &Account) -> Result<bool, Error> {
        self.handle.write(|tables| erase::erase(tables, account))
    }
}
