//! What a crash leaves of a file that was just being made.
//!
//! The engine gives a new file its length, writes its header, and only then the magic number in front of it.
//! A file that never got so far holds nothing, but the engine takes it for a stranger's and refuses it. It is
//! emptied here, so that it can be made again.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use super::Storage;

/// A file that the engine has just begun is never longer: 1 MiB and some pages.
const LEN_MAX: u64 = 4 * 1024 * 1024;

/// What a disk writes at once: a crash leaves none of it or all.
const SECTOR: u64 = 512;

/// How many bytes the engine's magic number has.
const MAGIC_LEN: usize = 9;

/// The engine's header ends here.
const HEADER_END: usize = 320;

/// Behind its magic number and a byte of flags: two of padding, and the size of a page.
const HEADER_BEGIN: ([u8; 6], usize) = ([0, 0, 0, 16, 0, 0], 10);

const CHUNK: usize = 64 * 1024;

/// Whether these bytes are those of a file that the engine began and did not finish: a header without its
/// magic number, or not even that, and nothing behind it. So narrow that nothing of anybody's is in it.
fn is_unfinished(len: u64, read: impl Fn(u64, &mut [u8]) -> io::Result<()>) -> io::Result<bool> {
    if len == 0 || len > LEN_MAX || !len.is_multiple_of(SECTOR) {
        return Ok(false);
    }
    let mut chunk = [0; CHUNK];
    let mut offset = 0;
    while offset < len {
        let size = usize::try_from(len - offset).unwrap_or(CHUNK).min(CHUNK);
        let chunk = chunk.get_mut(..size).unwrap_or_default();
        read(offset, chunk)?;
        let (begin, at) = HEADER_BEGIN;
        let has_header = offset == 0 && chunk.get(at..).is_some_and(|header| header.starts_with(&begin));
        let is_header = |place: usize| has_header && (MAGIC_LEN..HEADER_END).contains(&place);
        if chunk.iter().enumerate().any(|(place, byte)| *byte != 0 && !is_header(place)) {
            return Ok(false);
        }
        offset += size as u64;
    }
    Ok(true)
}

/// Empties a storage on which a file was begun and not finished.
pub(crate) fn clear(storage: &dyn Storage) -> io::Result<()> {
    if is_unfinished(storage.len()?, |offset, out| storage.read(offset, out))? {
        storage.set_len(0)?;
    }
    Ok(())
}

/// The same for a file, unless somebody has it open: it is theirs to finish.
pub(crate) fn clear_file(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(()),
        // Not every file system has locks. The engine goes on without them too.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let cleared = file
        .metadata()
        .and_then(|metadata| is_unfinished(metadata.len(), reader(&file)))
        .and_then(|is_unfinished| if is_unfinished { file.set_len(0) } else { Ok(()) });
    let_go(&file);
    cleared
}

/// Gives a lock back before the file is closed: a process that another thread starts at this moment has a copy of the
/// file until it runs its program, and would keep the lock from the engine that long.
pub(super) fn let_go(file: &File) {
    // Where there was none to give back there is nothing to do.
    let _ = file.unlock();
}

/// Why a file has nothing in it: it has no bytes, or was begun and not finished. None where something is in it.
pub(super) fn why_nothing_is_in_file(path: &Path) -> io::Result<Option<&'static str>> {
    let file = File::open(path)?;
    // Who has it open may be making it this very moment; that is for the engine to say.
    if matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)) {
        return Ok(None);
    }
    let why = file.metadata().and_then(|metadata| why_nothing_is_in(metadata.len(), reader(&file)));
    let_go(&file);
    why
}

/// The same for anything that is read.
pub(crate) fn why_nothing_is_in(
    len: u64,
    read: impl Fn(u64, &mut [u8]) -> io::Result<()>,
) -> io::Result<Option<&'static str>> {
    if len == 0 {
        return Ok(Some("the file is empty"));
    }
    Ok(is_unfinished(len, read)?.then_some("its making was cut off and never finished; nothing is in it"))
}

fn reader(file: &File) -> impl Fn(u64, &mut [u8]) -> io::Result<()> {
    move |offset, out| {
        let mut file = file;
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(out)
    }
}
