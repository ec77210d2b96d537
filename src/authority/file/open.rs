//! Opening an authority's file, or making one, and telling clearly why neither can be.

use std::path::Path;
use std::sync::Arc;

use redb::{Database, ReadableDatabase, TableHandle};
use uuid::Uuid;

use super::FileAuthority;
use super::handle::{Handle, open_database, shielded, write};
use super::held::TRIGGERS_MAX_DEFAULT;
use super::schema::follow;
use super::tables::{AUTHORITY, LEFT, Tables, engine};
use crate::algebra::Schema;
use crate::authority::Error;
use crate::codec::accounts::AuthorityRecord;
use crate::storage::Storage;
use crate::storage::guard::{closed, discarded};
use crate::storage::memory::MemoryStorage;
use crate::storage::open::Origin;

/// The cache of an authority unless asked for otherwise: 128 MiB, what a small server has to spare. The engine's own
/// default is 1 GiB.
pub const AUTHORITY_CACHE_BYTES_DEFAULT: usize = 128 * 1024 * 1024;

/// How to open an authority's file.
///
/// ```
/// use foldlog::algebra::Schema;
/// use foldlog::authority::FileOptions;
/// let authority = FileOptions::new().cache_bytes(4 * 1024 * 1024).in_memory(Schema::default())?;
/// assert_eq!(authority.renew_generations()?, 0);
/// # Ok::<(), foldlog::authority::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct FileOptions {
    cache_bytes: usize,
    triggers_max: u64,
}

impl FileOptions {
    /// The defaults: a cache of [`AUTHORITY_CACHE_BYTES_DEFAULT`], [`TRIGGERS_MAX_DEFAULT`] triggers an account.
    #[must_use]
    pub fn new() -> Self {
        FileOptions { cache_bytes: AUTHORITY_CACHE_BYTES_DEFAULT, triggers_max: TRIGGERS_MAX_DEFAULT }
    }

    /// How many bytes of the file are kept in memory.
    #[must_use]
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// How many triggers of each account are kept at least; a client that was away for longer is told that they are too
    /// old, and reads what changed instead.
    #[must_use]
    pub fn triggers_max(mut self, triggers: u64) -> Self {
        self.triggers_max = triggers;
        self
    }

    /// Opens the authority at a path; under another schema than before, its indexes are made anew, and without one it keeps
    /// the one that it has.
    ///
    /// # Errors
    /// If there is none, it is open elsewhere, it is something else or damaged, the system refuses, or the schema does
    /// not fit what is stored.
    pub fn open(
        self,
        path: impl AsRef<Path>,
        schema: impl Into<Option<Schema>>,
    ) -> Result<FileAuthority, Error> {
        self.at(Origin::File { path: path.as_ref().to_owned(), may_create: false }, schema.into())
    }

    /// Opens the authority at a path, or makes one if there is no file.
    ///
    /// # Errors
    /// As [`FileOptions::open`].
    pub fn create(
        self,
        path: impl AsRef<Path>,
        schema: impl Into<Option<Schema>>,
    ) -> Result<FileAuthority, Error> {
        self.at(Origin::File { path: path.as_ref().to_owned(), may_create: true }, schema.into())
    }

    /// Makes an authority in memory.
    ///
    /// # Errors
    /// Only if memory runs out inside the engine.
    pub fn in_memory(self, schema: impl Into<Option<Schema>>) -> Result<FileAuthority, Error> {
        self.on(MemoryStorage::default(), schema)
    }

    /// Opens the authority on a storage of the caller's, or makes one if that is empty.
    ///
    /// # Errors
    /// As [`FileOptions::open`].
    pub fn on(
        self,
        storage: impl Storage,
        schema: impl Into<Option<Schema>>,
    ) -> Result<FileAuthority, Error> {
        self.at(Origin::Storage(Arc::new(storage)), schema.into())
    }

    fn at(self, origin: Origin, schema: Option<Schema>) -> Result<FileAuthority, Error> {
        let place = origin.place();
        let db = open_database(&origin, self.cache_bytes)?;
        match shielded(|| prepare(&db, &origin, schema)) {
            Ok((id, schema)) => {
                let handle = Handle::new(origin, self.cache_bytes, id, db);
                Ok(FileAuthority::with(handle, schema, self.triggers_max))
            }
            // The engine does not look at its pages before it reads them.
            Err(Error::Corrupted { why }) => {
                discarded(db);
                Err(Error::NotAnAuthority { place, why })
            }
            Err(error) => {
                closed(db);
                Err(error)
            }
        }
    }
}

impl Default for FileOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// Makes an authority of an empty database, and moves one that is there to this schema; gives its id.
fn prepare(db: &Database, origin: &Origin, schema: Option<Schema>) -> Result<([u8; 16], Schema), Error> {
    let names = table_names(db)?;
    // Judged by what is in it and under its lock: a crash may have come between making the file and what is in it.
    if names.is_empty() && origin.may_create() {
        let schema = schema.unwrap_or_default();
        let identity =
            AuthorityRecord { id: Uuid::new_v4().into_bytes(), schema: schema.to_json(), next_account: 1 };
        write(db, |tables| Ok((tables.put_identity(&identity)?, true)))?;
        return Ok((identity.id, schema));
    }
    let why = if names.iter().any(|name| name == AUTHORITY.name()) {
        if !names.iter().any(|name| name == LEFT.name()) {
            // A file from before there was this table.
            write(db, |_| Ok(((), true)))?;
        }
        return follow(db, schema);
    } else if names.iter().any(|name| name == "meta") {
        "it is a journal or a replica"
    } else if names.is_empty() {
        "its making was cut off; nothing is in it"
    } else {
        "it is a database of another program"
    };
    Err(Error::NotAnAuthority { place: origin.place(), why: why.to_owned() })
}

/// Refuses a file that took the place of the one that was opened before.
pub(super) fn require_same(db: &Database, id: [u8; 16], place: &str) -> Result<(), Error> {
    let txn = db.begin_read().map_err(engine)?;
    if Tables::reading(&txn)?.identity()?.id == id {
        return Ok(());
    }
    let why = "another authority's data have taken the place of these".to_owned();
    Err(Error::NotAnAuthority { place: place.to_owned(), why })
}

fn table_names(db: &Database) -> Result<Vec<String>, Error> {
    let txn = db.begin_read().map_err(engine)?;
    Ok(txn.list_tables().map_err(engine)?.map(|table| table.name().to_owned()).collect())
}
