//! What a file of ours is kept on: a range of bytes that can be synced. The trait is ours so that no type of
//! the storage engine shows in the public API.

use std::fmt;
use std::io;
use std::sync::Arc;

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

/// A [`Storage`] as the engine wants it.
#[derive(Debug)]
pub(crate) struct Backend<S>(pub(crate) S);

impl<S: Storage> redb::StorageBackend for Backend<S> {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
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
