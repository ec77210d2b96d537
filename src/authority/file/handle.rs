//! The engine's database, as one handle that mends itself: after a call that failed it is not known what the disk holds,
//! so the database is closed and the next call opens it again, as after a crash.
//!
//! Reads run side by side and beside a writer, each on its own snapshot. Invariant: a write that returned is durable,
//! and one that did not is there as a whole or not at all.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use redb::{Builder, Database, ReadableDatabase};

use super::open::require_same;
use super::tables::{ReadTable, Tables, WriteTable, engine};
use crate::authority::Error;
use crate::storage::guard::{GuardedError, closed, discarded, guarded};
use crate::storage::open::{NotOpened, Origin};

/// A database that is opened again after a failure.
#[derive(Debug)]
pub(super) struct Handle {
    origin: Origin,
    cache_bytes: usize,
    /// Which authority this is: drawn when it was made.
    id: [u8; 16],
    /// None where it could not be opened again yet.
    db: RwLock<Option<Database>>,
    has_failed: AtomicBool,
}

impl Handle {
    pub(super) fn new(origin: Origin, cache_bytes: usize, id: [u8; 16], db: Database) -> Self {
        Handle { origin, cache_bytes, id, db: RwLock::new(Some(db)), has_failed: AtomicBool::new(false) }
    }

    pub(super) fn place(&self) -> String {
        self.origin.place()
    }

    /// Reads a snapshot of what was last committed.
    pub(super) fn read<T>(
        &self,
        work: impl FnOnce(&Tables<ReadTable>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.with(|db| {
            let txn = db.begin_read().map_err(engine)?;
            work(&Tables::reading(&txn)?)
        })
    }

    /// Writes in one transaction, durable when this returns. The work says whether it has written anything.
    pub(super) fn write<T>(
        &self,
        work: impl FnOnce(&mut Tables<WriteTable<'_>>) -> Result<(T, bool), Error>,
    ) -> Result<T, Error> {
        self.with(|db| write(db, work))
    }

    fn with<T>(&self, call: impl FnOnce(&Database) -> Result<T, Error>) -> Result<T, Error> {
        self.reopen_if_failed()?;
        let slot = self.db.read().unwrap_or_else(PoisonError::into_inner);
        let closed = || Error::Store { source: "it could not be opened again yet".into() };
        let db = slot.as_ref().ok_or_else(closed)?;
        let done = shielded(|| call(db));
        if let Err(error @ (Error::Store { .. } | Error::Corrupted { .. })) = &done {
            tracing::error!(%error, "the authority's storage failed; it is opened again");
            self.has_failed.store(true, Ordering::Release);
        }
        done
    }

    fn reopen_if_failed(&self) -> Result<(), Error> {
        if !self.has_failed.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut slot = self.db.write().unwrap_or_else(PoisonError::into_inner);
        if !self.has_failed.load(Ordering::Acquire) {
            return Ok(());
        }
        // The lock on the file must be free before it can be taken again.
        discarded(slot.take());
        let db = open_database(&self.origin.once_more(), self.cache_bytes)?;
        if let Err(error) = shielded(|| require_same(&db, self.id, &self.place())) {
            discarded(db);
            return Err(error);
        }
        *slot = Some(db);
        self.has_failed.store(false, Ordering::Release);
        Ok(())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let db = self.db.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if *self.has_failed.get_mut() {
            discarded(db);
        } else {
            closed(db);
        }
    }
}

/// Opens the engine's database, whatever is in it.
pub(super) fn open_database(origin: &Origin, cache_bytes: usize) -> Result<Database, Error> {
    let place = origin.place();
    let mut builder = Builder::new();
    builder.set_cache_size(cache_bytes);
    let opened = guarded(|| origin.open(&builder));
    opened.map_err(|error| match error {
        GuardedError::Engine(NotOpened::Missing) => Error::Missing { path: place.into() },
        GuardedError::Engine(NotOpened::InUse) => Error::InUse { place },
        GuardedError::Engine(NotOpened::Unfit { why }) => Error::NotAnAuthority { place, why },
        GuardedError::Engine(NotOpened::Io { doing, source }) => {
            Error::Store { source: io::Error::new(source.kind(), format!("{doing}: {source}")).into() }
        }
        GuardedError::Panicked(panic) => Error::NotAnAuthority { place, why: panic.to_string() },
    })
}

/// One durable transaction, if it has written anything.
pub(super) fn write<T>(
    db: &Database,
    work: impl FnOnce(&mut Tables<WriteTable<'_>>) -> Result<(T, bool), Error>,
) -> Result<T, Error> {
    let txn = db.begin_write().map_err(engine)?;
    let (done, has_written) = work(&mut Tables::writing(&txn)?)?;
    if has_written {
        txn.commit().map_err(engine)?;
    } else {
        txn.abort().map_err(engine)?;
    }
    Ok(done)
}

/// Calls into the engine: what it panics with is an error like any other.
pub(super) fn shielded<T>(call: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    guarded(call).map_err(|error| match error {
        GuardedError::Engine(error) => error,
        GuardedError::Panicked(panic) => Error::Corrupted { why: panic.to_string() },
    })
}
