//! A storage that reads a file and keeps every write to itself, in memory.
//!
//! It lets the engine recover a file and check it as if it were opened for writing, while the file stays
//! as it is: it is opened read-only, so no path through here can change a byte of it. What is written is
//! gone with the overlay; a sync promises nothing. Memory grows with the pages written, not with the file.
//!
//! The file is locked as a reader for as long as the overlay lives: somebody who has it open for writing
//! is found out ([`io::ErrorKind::WouldBlock`]), and nobody can open it for writing meanwhile.

use std::fmt;
use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Storage;
use super::newborn::let_go;
use super::pages::{Pages, out_of_range};

/// A file, and what would have been written to it.
pub(crate) struct Overlay {
    file: Arc<ReadFile>,
    layers: Mutex<Layers>,
}

struct Layers {
    /// How much of the file shows through: what was cut off does not come back.
    file_len: u64,
    pages: Pages,
    len: u64,
}

/// A file whose lock is given back before it is closed, for else a process that is started at this moment would keep it.
struct ReadFile(File);

impl Drop for ReadFile {
    fn drop(&mut self) {
        let_go(&self.0);
    }
}

impl Overlay {
    /// Lays an overlay over the file at `path`.
    ///
    /// # Errors
    /// If it cannot be opened or is a directory, and [`io::ErrorKind::WouldBlock`] if somebody has it open
    /// for writing.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        // Asked before it is opened: opening a pipe waits for its other end.
        let metadata = std::fs::metadata(path)?;
        if metadata.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
        }
        let file = File::open(path)?;
        match file.try_lock_shared() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::WouldBlock.into()),
            // Not every file system has locks. The engine goes on without them too.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
        Self::over(file)
    }

    /// Lays an overlay over a file that the caller keeps others from writing to.
    pub(crate) fn over(file: File) -> io::Result<Self> {
        Self::laid(Arc::new(ReadFile(file)))
    }

    fn laid(file: Arc<ReadFile>) -> io::Result<Self> {
        // The length may have changed before the lock was held.
        let len = file.0.metadata()?.len();
        let layers = Layers { file_len: len, pages: Pages::default(), len };
        Ok(Overlay { file, layers: Mutex::new(layers) })
    }

    /// The same file once more, as it is, under the same lock.
    pub(crate) fn again(&self) -> io::Result<Self> {
        Self::laid(Arc::clone(&self.file))
    }

    fn layers(&self) -> MutexGuard<'_, Layers> {
        // Nothing in here panics, and what is here is never trusted further than a file is.
        self.layers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Overlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layers = self.layers();
        f.debug_struct("Overlay")
            .field("file", &self.file.0)
            .field("len", &layers.len)
            .finish_non_exhaustive()
    }
}

impl Storage for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.layers().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let layers = self.layers();
        if end(offset, out)? > layers.len {
            return Err(out_of_range());
        }
        let file_len = layers.file_len;
        if !layers.pages.has_any(offset, out.len())? {
            // Mostly: then it is one read, and nobody waits for it.
            drop(layers);
            return below(&self.file.0, file_len, offset, out);
        }
        layers.pages.read(offset, out, |offset, out| below(&self.file.0, file_len, offset, out))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let layers = &mut *self.layers();
        if len < layers.len {
            layers.pages.truncate(len);
            layers.file_len = layers.file_len.min(len);
        }
        layers.len = len;
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let layers = &mut *self.layers();
        let end = end(offset, data)?;
        let file_len = layers.file_len;
        layers.pages.write(offset, data, |offset, out| below(&self.file.0, file_len, offset, out))?;
        layers.len = layers.len.max(end);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

/// What the file shows at `offset`: zeros where it has ended.
fn below(file: &File, file_len: u64, offset: u64, out: &mut [u8]) -> io::Result<()> {
    let here = usize::try_from(file_len.saturating_sub(offset)).unwrap_or(usize::MAX).min(out.len());
    let (bytes, past) = out.split_at_mut(here);
    past.fill(0);
    if !bytes.is_empty() {
        read_exact_at(file, bytes, offset)?;
    }
    Ok(())
}

#[cfg(unix)]
fn read_exact_at(file: &File, out: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, out, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut out: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !out.is_empty() {
        let read = std::os::windows::fs::FileExt::seek_read(file, out, offset)?;
        out = out.get_mut(read..).filter(|_| read > 0).ok_or_else(out_of_range)?;
        offset += read as u64;
    }
    Ok(())
}

fn end(offset: u64, bytes: &[u8]) -> io::Result<u64> {
    u64::try_from(bytes.len()).ok().and_then(|len| offset.checked_add(len)).ok_or_else(out_of_range)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::SystemTime;

    use redb::{Builder, ReadableDatabase, ReadableTable, TableDefinition};

    use super::*;
    use crate::storage::Backend;

    const ROWS: TableDefinition<u64, &[u8]> = TableDefinition::new("rows");

    fn file_of(bytes: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();
        file
    }

    /// What must not change about a file.
    fn traces(path: &Path) -> (Vec<u8>, SystemTime) {
        (fs::read(path).unwrap(), fs::metadata(path).unwrap().modified().unwrap())
    }

    #[test]
    fn writes_are_read_back_and_never_reach_the_file() {
        let bytes: Vec<u8> = (0..20_000u32).map(|i| i.to_le_bytes()[0]).collect();
        let file = file_of(&bytes);
        let before = traces(file.path());
        let overlay = Overlay::open(file.path()).unwrap();
        let mut flat = bytes.clone();
        for (offset, data) in [(0, vec![1; 3]), (4000, vec![2; 9000]), (19_999, vec![3; 500])] {
            overlay.write(offset as u64, &data).unwrap();
            flat.resize(flat.len().max(offset + data.len()), 0);
            flat[offset..offset + data.len()].copy_from_slice(&data);
        }
        overlay.sync().unwrap();
        let mut read = vec![0; flat.len()];
        overlay.read(0, &mut read).unwrap();
        assert_eq!(read, flat);
        assert_eq!(overlay.len().unwrap(), flat.len() as u64);
        assert!(overlay.read(flat.len() as u64, &mut [0]).is_err());
        drop(overlay);
        assert_eq!(traces(file.path()), before);
    }

    #[test]
    fn what_was_cut_off_reads_as_zeros_when_the_length_grows_again() {
        let file = file_of(&[7; 10_000]);
        let overlay = Overlay::open(file.path()).unwrap();
        overlay.set_len(5000).unwrap();
        overlay.set_len(12_000).unwrap();
        overlay.write(11_000, &[1]).unwrap();
        let mut read = vec![9; 12_000];
        overlay.read(0, &mut read).unwrap();
        assert!(read[..5000].iter().all(|byte| *byte == 7));
        assert_eq!(read[5000..].iter().map(|byte| u64::from(*byte)).sum::<u64>(), 1);
    }

    #[test]
    fn the_engine_recovers_a_file_through_the_overlay_without_touching_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let db = Builder::new().create(file.path()).unwrap();
        let write = db.begin_write().unwrap();
        write.open_table(ROWS).unwrap().insert(1, [5; 30_000].as_slice()).unwrap();
        write.commit().unwrap();
        // As a killed process leaves it: recovery is needed.
        let torn = file_of(&fs::read(file.path()).unwrap());
        drop(db);
        let before = traces(torn.path());
        let overlay = Overlay::open(torn.path()).unwrap();
        let mut db = Builder::new().create_with_backend(Backend::new(overlay)).unwrap();
        assert!(db.check_integrity().unwrap());
        let write = db.begin_write().unwrap();
        write.open_table(ROWS).unwrap().insert(2, [6; 30_000].as_slice()).unwrap();
        write.commit().unwrap();
        let rows = db.begin_read().unwrap().open_table(ROWS).unwrap();
        assert_eq!(rows.iter().unwrap().count(), 2);
        drop((rows, db));
        assert_eq!(traces(torn.path()), before);
    }

    #[test]
    fn a_file_open_for_writing_is_found_out_and_kept_from_writers() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let db = Builder::new().create(file.path()).unwrap();
        assert_eq!(Overlay::open(file.path()).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(db);
        let overlay = Overlay::open(file.path()).unwrap();
        let another = Overlay::open(file.path()).unwrap();
        assert!(matches!(Builder::new().open(file.path()), Err(redb::DatabaseError::DatabaseAlreadyOpen)));
        drop((overlay, another));
        drop(Builder::new().open(file.path()).unwrap());
    }

    #[test]
    fn a_copy_of_its_file_in_a_process_that_is_being_started_keeps_nobody_from_writing() {
        let file = tempfile::NamedTempFile::new().unwrap();
        drop(Builder::new().create(file.path()).unwrap());
        let overlay = Overlay::open(file.path()).unwrap();
        let again = overlay.again().unwrap();
        let copy = overlay.file.0.try_clone().unwrap();
        drop(overlay);
        assert!(Builder::new().open(file.path()).is_err(), "it is still read");
        drop(again);
        drop(Builder::new().open(file.path()).unwrap());
        drop(copy);
    }

    #[test]
    fn a_directory_and_a_missing_file_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Overlay::open(folder.path()).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        let missing = folder.path().join("missing");
        assert_eq!(Overlay::open(&missing).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(!missing.exists());
    }
}
