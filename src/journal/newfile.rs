//! A file in the making: it gets its name only once it is whole.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use redb::{Builder, Database};

use super::error::Error;
use super::open;
use crate::storage::open::{create_file, refused};

/// A file that is to get another name; removed if it does not.
pub(crate) struct NewFile {
    path: PathBuf,
}

impl NewFile {
    /// Makes it, as private as another one.
    pub(crate) fn like(other: &Path, path: PathBuf) -> io::Result<Self> {
        let new = NewFile { path };
        // One that an earlier attempt left.
        match std::fs::remove_file(&new.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let file = File::create_new(&new.path)?;
        let as_before = std::fs::metadata(other)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
            // The other one may be there only to be read; this one is written.
            const OWNER_WRITES: u32 = 0o600;
            let mode = as_before.permissions().mode();
            file.set_permissions(PermissionsExt::from_mode(mode | OWNER_WRITES))?;
            // Only some may; whoever may not is the owner already.
            drop(fchown(&file, Some(as_before.uid()), Some(as_before.gid())));
        }
        #[cfg(not(unix))]
        drop((file, as_before));
        Ok(new)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn database(&self, cache_bytes: usize) -> Result<Database, Error> {
        let place = self.path.display().to_string();
        let mut builder = Builder::new();
        builder.set_cache_size(cache_bytes);
        let made = create_file(&builder, &self.path);
        made.map_err(|error| open::not_opened(&place, refused(&place, error)))
    }

    /// Takes the place of another file.
    pub(crate) fn takes_place_of(&self, old: &Path) -> io::Result<()> {
        std::fs::rename(&self.path, old)?;
        survives_a_crash(old);
        Ok(())
    }

    /// Gets a name that nothing has; [`io::ErrorKind::AlreadyExists`] where something has it by now.
    pub(crate) fn becomes(&self, name: &Path) -> io::Result<()> {
        match std::fs::hard_link(&self.path, name) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                // Not every file system has two names for one file.
                if std::fs::symlink_metadata(name).is_ok() {
                    return Err(io::ErrorKind::AlreadyExists.into());
                }
                std::fs::rename(&self.path, name)?;
            }
            done => done?,
        }
        survives_a_crash(name);
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // Nothing is there any more if it has another name.
        drop(std::fs::remove_file(&self.path));
    }
}

/// So that a new name survives a crash; not every system lets a folder be synced.
fn survives_a_crash(name: &Path) {
    if let Ok(folder) = File::open(folder_of(name)) {
        drop(folder.sync_all());
    }
}

/// The folder that a file is in; of a bare name it is the one that the process is in.
fn folder_of(name: &Path) -> &Path {
    name.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The same path with something behind its name.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_is_in_the_folder_that_the_process_is_in() {
        for (name, folder) in [("new", "."), ("a/new", "a"), ("/new", "/"), ("./a/b/new", "./a/b")] {
            assert_eq!(folder_of(Path::new(name)), Path::new(folder), "{name}");
            File::open(folder_of(Path::new("new"))).unwrap();
        }
    }

    #[test]
    fn what_got_no_name_leaves_nothing_behind_and_what_has_one_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let [old, new] = ["old", "new"].map(|name| folder.path().join(name));
        std::fs::write(&old, b"old").unwrap();
        let made = NewFile::like(&old, beside(&new, "making")).unwrap();
        std::fs::write(made.path(), b"made").unwrap();
        std::fs::write(&new, b"somebody's").unwrap();
        assert_eq!(made.becomes(&new).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&new).unwrap(), b"somebody's");
        std::fs::remove_file(&new).unwrap();
        made.becomes(&new).unwrap();
        drop(made);
        assert_eq!(std::fs::read(&new).unwrap(), b"made");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
