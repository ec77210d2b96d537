//! The destination as it was: a copy beside it, whole or not there.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::cli::failure::Failure;

/// Copies a file that nobody has open for writing, and gives the name of the copy. It is on the disk then, and none that
/// was there before is touched.
pub(super) fn keep(path: &Path) -> Result<PathBuf, Failure> {
    copied(path).map_err(|error| {
        let place = path.display();
        Failure::Failed(match error.kind() {
            io::ErrorKind::WouldBlock => {
                format!("{place} is open elsewhere; close it there, or wait; nothing was merged")
            }
            _ => format!(
                "{place} cannot be copied to {}: {error}; nothing was merged; --no-backup goes without a copy",
                beside(path, "backup").display()
            ),
        })
    })
}

fn copied(path: &Path) -> io::Result<PathBuf> {
    let mut file = File::open(path)?;
    locked(file.try_lock_shared())?;
    // Under a name of its own until it is whole: what a killed process leaves is no backup, and is written over.
    let unfinished = beside(path, "backup.unfinished");
    let mut copy = File::options().write(true).create(true).truncate(false).open(&unfinished)?;
    locked(copy.try_lock())?;
    let made = (|| {
        copy.set_len(0)?;
        io::copy(&mut file, &mut copy)?;
        copy.set_permissions(file.metadata()?.permissions())?;
        copy.sync_all()?;
        named(path, &unfinished)
    })();
    if made.is_err() {
        drop(std::fs::remove_file(&unfinished));
    }
    let made = made?;
    // So that its name survives a crash; not every system lets a folder be synced.
    let folder = made.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Ok(folder) = File::open(folder) {
        drop(folder.sync_all());
    }
    Ok(made)
}

/// Gives the copy the first name that nobody has.
fn named(path: &Path, unfinished: &Path) -> io::Result<PathBuf> {
    for number in 0_u64.. {
        let suffix = if number == 0 { "backup".to_owned() } else { format!("backup.{number}") };
        let name = beside(path, &suffix);
        match std::fs::hard_link(unfinished, &name) {
            Ok(()) => {
                std::fs::remove_file(unfinished)?;
                return Ok(name);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            // Not every file system has links.
            Err(_) if std::fs::symlink_metadata(&name).is_err() => {
                std::fs::rename(unfinished, &name)?;
                return Ok(name);
            }
            Err(_) => {}
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

fn locked(done: Result<(), TryLockError>) -> io::Result<()> {
    match done {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
        // Not every file system has locks.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// The same path with something behind its name.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}
