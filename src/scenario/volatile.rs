//! A storage in memory that loses what was not synced when it crashes.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use crate::journal::Storage;
use crate::storage::memory::MemoryStorage;

/// Bytes as they are written, and as a crash would leave them.
#[derive(Clone, Debug, Default)]
pub(super) struct Volatile {
    written: Arc<MemoryStorage>,
    synced: Arc<Mutex<Vec<u8>>>,
}

impl Volatile {
    /// What is left after a crash.
    pub(super) fn crashed(&self) -> Self {
        let synced = self.synced.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Volatile {
            written: Arc::new(MemoryStorage::of(synced.clone())),
            synced: Arc::new(Mutex::new(synced)),
        }
    }
}

impl Storage for Volatile {
    fn len(&self) -> io::Result<u64> {
        self.written.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.written.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.written.set_len(len)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.written.write(offset, data)
    }

    fn sync(&self) -> io::Result<()> {
        self.written.copy_to(&mut self.synced.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }
}
