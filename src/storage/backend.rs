//! What a file of ours is kept on: a range of bytes that can be synced. The trait is ours so that no type of
//! the storage engine shows in the public API.

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::{BackendError, DatabaseError};

use super::{guard, lists};

/// A growable range of bytes: a file, memory, or something that fails on purpose.
///
/// Every call may come from any thread. What was written before a [`sync`](Storage::sync) that
/// succeeded must survive a crash; of what was written since, any part may be lost.
pub trait Storage: fmt::Debug + Send + Sync + 'static {
    /// The length in bytes.
    ///
    /// # Errors
    /// If it cannot be told.
    fn len(&self) -> io::Result<u64>;

    /// Whether there are no bytes.
    ///
    /// # Errors
    /// If it cannot be told.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `out` from `offset` on.
    ///
    /// # Errors
    /// If that reaches past the end, or reading fails.
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;

    /// Makes the range longer (with zeros) or shorter.
    ///
    /// # Errors
    /// If there is no room, or it fails.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Writes bytes at `offset`.
    ///
    /// # Errors
    /// If writing fails.
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()>;

    /// Makes everything that was written before survive a crash.
    ///
    /// # Errors
    /// If that cannot be promised.
    fn sync(&self) -> io::Result<()>;
}

/// A [`Storage`] as the engine wants it. It refuses what would be done to it while a database is discarded.
#[derive(Debug)]
pub(crate) struct Backend<S> {
    storage: S,
    lead: Lead,
}

impl<S: Storage> Backend<S> {
    pub(crate) fn new(storage: S) -> Self {
        Backend { storage, lead: Lead::default() }
    }
}

impl<S: Storage> redb::StorageBackend for Backend<S> {
    fn len(&self) -> io::Result<u64> {
        guard::not_discarding()?;
        self.storage.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        guard::not_discarding()?;
        self.storage.read(offset, out)?;
        let (read, write) =
            (|at, out: &mut [u8]| self.storage.read(at, out), |at, data: &[u8]| self.storage.write(at, data));
        self.lead.to_the_last(offset, out, || self.storage.len(), read, write)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        guard::not_discarding()?;
        self.storage.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        guard::not_discarding()?;
        self.storage.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        guard::not_discarding()?;
        self.storage.write(offset, data)
    }
}

/// The engine's own way to a file, but that it refuses as a [`Backend`] does.
#[derive(Debug)]
pub(crate) struct FileBackend {
    file: redb::backends::FileBackend,
    may_be_empty: bool,
    lead: Lead,
}

impl FileBackend {
    /// Nothing is begun in an empty file unless that may be.
    pub(crate) fn new(file: File, may_be_empty: bool) -> Result<Self, DatabaseError> {
        Ok(FileBackend { file: redb::backends::FileBackend::new(file)?, may_be_empty, lead: Lead::default() })
    }
}

impl redb::StorageBackend for FileBackend {
    fn len(&self) -> io::Result<u64> {
        guard::not_discarding()?;
        let len = self.file.len()?;
        if len == 0 && !self.may_be_empty {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is empty"));
        }
        Ok(len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        guard::not_discarding()?;
        self.file.read(offset, out)?;
        let (read, write) =
            (|at, out: &mut [u8]| self.file.read(at, out), |at, data: &[u8]| self.file.write(at, data));
        self.lead.to_the_last(offset, out, || self.file.len(), read, write)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        guard::not_discarding()?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        guard::not_discarding()?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        guard::not_discarding()?;
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}

/// When the header is read for the first time, the engine has locked what it opens.
#[derive(Debug, Default)]
struct Lead {
    is_looked_at: AtomicBool,
}

impl Lead {
    /// Turns the header to the last commit where it leads to the one before, though the last is there whole.
    fn to_the_last(
        &self,
        offset: u64,
        header: &mut [u8],
        len: impl FnOnce() -> io::Result<u64>,
        read: impl Fn(u64, &mut [u8]) -> io::Result<()>,
        write: impl FnOnce(u64, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let is_header = offset == 0 && header.len() >= lists::HEADER;
        if !is_header || self.is_looked_at.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        if lists::leads_to_the_older(len()?, read)?
            && let Some(flags) = header.get_mut(lists::FLAGS)
        {
            *flags ^= lists::WHICH;
            write(lists::FLAGS as u64, &[*flags])?;
        }
        Ok(())
    }
}

/// A [`Storage`] that is shared.
pub(crate) type Arced = Arc<dyn Storage>;

impl Storage for Arced {
    fn len(&self) -> io::Result<u64> {
        (**self).len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        (**self).read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        (**self).set_len(len)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        (**self).write(offset, data)
    }

    fn sync(&self) -> io::Result<()> {
        (**self).sync()
    }
}
