//! A storage in memory that loses what was not synced when it crashes.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::journal::Storage;

/// Bytes as they are written, and as a crash would leave them.
#[derive(Clone, Debug, Default)]
pub(super) struct Volatile(Arc<Mutex<Bytes>>);

#[derive(Debug, Default)]
struct Bytes {
    written: Vec<u8>,
    synced: Vec<u8>,
}

impl Volatile {
    /// What is left after a crash.
    pub(super) fn crashed(&self) -> Self {
        let synced = self.lock().synced.clone();
        Volatile(Arc::new(Mutex::new(Bytes { written: synced.clone(), synced })))
    }

    fn lock(&self) -> MutexGuard<'_, Bytes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Storage for Volatile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.lock().written.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let bytes = self.lock();
        out.copy_from_slice(bytes.written.get(range(offset, out.len())?).ok_or_else(past_the_end)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(|_| past_the_end())?;
        self.lock().written.resize(len, 0);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut bytes = self.lock();
        bytes.written.get_mut(range(offset, data.len())?).ok_or_else(past_the_end)?.copy_from_slice(data);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut bytes = self.lock();
        let Bytes { written, synced } = &mut *bytes;
        synced.clone_from(written);
        Ok(())
    }
}

fn range(offset: u64, len: usize) -> io::Result<std::ops::Range<usize>> {
    let from = usize::try_from(offset).map_err(|_| past_the_end())?;
    Ok(from..from.checked_add(len).ok_or_else(past_the_end)?)
}

fn past_the_end() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "past the end of the storage")
}
