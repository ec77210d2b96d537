//! A storage in memory.

use std::io;
use std::sync::{PoisonError, RwLock};

use super::Storage;

/// Bytes in memory, for what needs no file.
#[derive(Debug, Default)]
pub(crate) struct MemoryStorage(RwLock<Vec<u8>>);

#[cfg(any(feature = "cli", feature = "testing"))]
impl MemoryStorage {
    /// A storage that holds these bytes.
    pub(crate) fn of(bytes: Vec<u8>) -> Self {
        MemoryStorage(RwLock::new(bytes))
    }

    /// Copies all bytes.
    pub(crate) fn copy_to(&self, copy: &mut Vec<u8>) {
        copy.clone_from(&self.0.read().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Storage for MemoryStorage {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.read().unwrap_or_else(PoisonError::into_inner).len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let bytes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let from = usize::try_from(offset).map_err(|_| past_the_end())?;
        let wanted =
            from.checked_add(out.len()).and_then(|to| bytes.get(from..to)).ok_or_else(past_the_end)?;
        out.copy_from_slice(wanted);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(|_| past_the_end())?;
        self.0.write().unwrap_or_else(PoisonError::into_inner).resize(len, 0);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut bytes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let from = usize::try_from(offset).map_err(|_| past_the_end())?;
        let to = from.checked_add(data.len()).ok_or_else(past_the_end)?;
        bytes.get_mut(from..to).ok_or_else(past_the_end)?.copy_from_slice(data);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

fn past_the_end() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "past the end of the storage")
}
