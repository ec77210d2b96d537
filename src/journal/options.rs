//! How a journal is opened: where it lives, how much it caches, which clock it reads.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::Journal;
use super::error::Error;
use crate::algebra::{Millis, ReplicaId, Schema};
use crate::storage::Storage;
use crate::storage::memory::MemoryStorage;
use crate::storage::open::Origin;

/// The cache of a journal unless asked for otherwise: 16 MiB. The engine's own default of 1 GiB is wrong
/// for a phone.
pub const CACHE_BYTES_DEFAULT: usize = 16 * 1024 * 1024;

/// What a pass may take beside the cache unless asked for otherwise: 40 MiB, so that both and the engine's own needs
/// stay within 64 MiB.
pub const PASS_BYTES_DEFAULT: usize = 40 * 1024 * 1024;

/// A clock: milliseconds since the Unix epoch.
pub(crate) type ClockFn = Arc<dyn Fn() -> Millis + Send + Sync>;

/// How to open a journal.
///
/// ```
/// use foldlog::journal::Options;
/// let journal = Options::new().cache_bytes(4 * 1024 * 1024).in_memory()?;
/// assert_eq!(journal.status()?.pending.operations, 0);
/// # Ok::<(), foldlog::journal::Error>(())
/// ```
#[derive(Clone)]
pub struct Options {
    pub(crate) cache_bytes: usize,
    pub(crate) pass_bytes: u64,
    pub(crate) clock: ClockFn,
    pub(crate) schema: Option<Schema>,
    pub(crate) replica: Option<ReplicaId>,
}

impl Options {
    /// The defaults: a cache of [`CACHE_BYTES_DEFAULT`], [`PASS_BYTES_DEFAULT`] for a pass, the system's clock, no schema.
    #[must_use]
    pub fn new() -> Self {
        Options {
            cache_bytes: CACHE_BYTES_DEFAULT,
            pass_bytes: PASS_BYTES_DEFAULT as u64,
            clock: Arc::new(crate::clock::now),
            schema: None,
            replica: None,
        }
    }

    /// How many bytes of the file are kept in memory.
    #[must_use]
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// How many bytes looking at everything that is pending may take beside the cache, about (a pass, sealing, counting): with
    /// fewer the same is read more often. One entity takes some 180 bytes while it is folded, and its fields where several
    /// patches of it are merged.
    #[must_use]
    pub fn pass_bytes(mut self, bytes: usize) -> Self {
        self.pass_bytes = bytes as u64;
        self
    }

    /// The clock that stamps operations without a time, in ms since the Unix epoch.
    #[must_use]
    pub fn clock(mut self, clock: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(move || Millis(clock()).min(Millis::MAX));
        self
    }

    /// The schema, by which plans and bunches are ordered.
    #[must_use]
    pub fn schema(mut self, schema: Schema) -> Self {
        self.schema = Some(schema);
        self
    }

    /// The replica that a journal writes for, if one is made; otherwise it is drawn. No two files may have the same.
    #[must_use]
    pub fn replica(mut self, replica: ReplicaId) -> Self {
        self.replica = Some(replica);
        self
    }

    /// Opens the journal at a path.
    ///
    /// # Errors
    /// If there is none, it is open elsewhere, it is something else or damaged, or the system refuses.
    pub fn open(self, path: impl AsRef<Path>) -> Result<Journal, Error> {
        Journal::with(self, Origin::File { path: path.as_ref().to_owned(), may_create: false })
    }

    /// Opens the journal at a path, or makes one if there is no file.
    ///
    /// # Errors
    /// As [`Options::open`].
    pub fn create(self, path: impl AsRef<Path>) -> Result<Journal, Error> {
        Journal::with(self, Origin::File { path: path.as_ref().to_owned(), may_create: true })
    }

    /// Opens the journal at a path, never writing to the file: what is written stays in memory.
    pub(crate) fn open_to_read(self, path: &Path) -> Result<Journal, Error> {
        Journal::with(self, Origin::ReadOnly { path: path.to_owned() })
    }

    /// Makes a journal in memory. It lives as long as its handles do.
    ///
    /// # Errors
    /// Only if memory runs out inside the engine.
    pub fn in_memory(self) -> Result<Journal, Error> {
        self.on(MemoryStorage::default())
    }

    /// Opens the journal on a storage of the caller's, or makes one if that is empty.
    ///
    /// # Errors
    /// As [`Options::open`].
    pub fn on(self, storage: impl Storage) -> Result<Journal, Error> {
        Journal::with(self, Origin::Storage(Arc::new(storage)))
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("cache_bytes", &self.cache_bytes)
            .field("pass_bytes", &self.pass_bytes)
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}
