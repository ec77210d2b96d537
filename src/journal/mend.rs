//! Mending: what is damaged is looked for and set aside, all at once or not at all.

use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use redb::Builder;

use super::aside::{count, salvaged};
use super::error::Error;
use super::guard::discarded;
use super::options::Origin;
use super::{Inner, Journal, open, verify};

impl Journal {
    /// Looks at every stored value and sets aside what is damaged, so that the rest goes on; says how many
    /// values are set aside by now. Its cost follows the size of the file.
    ///
    /// Whatever folds, seals or settles does this by itself once it, or a read before it, met with damage. A file
    /// that was damaged is kept as it was beside the new one, with `.damaged` behind its name.
    ///
    /// # Errors
    /// A journal whose identity or state is damaged; otherwise as [`Journal::compact`].
    pub fn mend(&self) -> Result<u64, Error> {
        self.inner.set_aside_damage()?;
        self.inner.read(count)
    }
}

impl Inner {
    /// Sets aside what is damaged, all at once or not at all; says whether anything was.
    ///
    /// A file is never written to that is damaged, for the engine's own pages may be: what opens goes into a new
    /// file, which takes the old one's place; that one stays beside it. On any other storage it is one transaction.
    pub(crate) fn set_aside_damage(&self) -> Result<bool, Error> {
        let done = match &self.origin {
            Origin::File { path, .. } => self.mend_file(path),
            Origin::Storage(_) => self.with_writer(|inner, db, writer| {
                let Some(state) = salvaged(inner, db, db, writer.next_seq, None)? else {
                    return Ok(false);
                };
                writer.next_seq = writer.next_seq.max(state.log_begins);
                inner.note_parked_keys(db)?;
                Ok(true)
            }),
        };
        if done.is_err() {
            // It is still there.
            self.has_damage.store(true, Ordering::Release);
        }
        self.announce();
        done
    }

    fn mend_file(&self, path: &Path) -> Result<bool, Error> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if self.has_failed.load(Ordering::Acquire) {
            return Err(Error::Failed);
        }
        let mut slot = self.db.write().unwrap_or_else(PoisonError::into_inner);
        let io = |doing: &str, path: &Path| {
            let doing = format!("{} cannot be {doing}", path.display());
            move |source| Error::Io { doing, source }
        };
        let new = beside(path, "mending");
        match std::fs::remove_file(&new) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(io("removed", &new)(error));
            }
            Ok(()) | Err(_) => {}
        }
        let source = slot.as_ref().ok_or(Error::Suspended)?;
        let engine = verify::engine_finds(path)?;
        let is_any = {
            let target = Builder::new()
                .set_cache_size(self.options.cache_bytes)
                .create(&new)
                .map_err(|error| open::refused(&new.display().to_string(), error))?;
            let done = open::shielded(&path.display().to_string(), || {
                salvaged(self, source, &target, writer.next_seq, engine)
            });
            discarded(target);
            done.map(|state| state.is_some())
        };
        if !matches!(is_any, Ok(true)) {
            // The old one is as it was.
            std::fs::remove_file(&new).map_err(io("removed", &new))?;
            return is_any;
        }
        let as_before = |file: &Path| std::fs::set_permissions(file, std::fs::metadata(path)?.permissions());
        as_before(&new).map_err(io("given its permissions", &new))?;
        let old = kept_aside(path).map_err(io("kept beside the new one", path))?;
        tracing::warn!(old = %old.display(), "a damaged file was mended; it is kept as it was");
        if cfg!(windows) {
            // What is open cannot be replaced there.
            discarded(slot.take());
        }
        std::fs::rename(&new, path).map_err(io("replaced", path))?;
        // So that the new name survives a crash; not every system lets a folder be synced.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if let Ok(folder) = std::fs::File::open(folder) {
            drop(folder.sync_all());
        }
        discarded(slot.take());
        self.reopen(&mut writer, &mut slot)?;
        Ok(true)
    }
}

/// The same path with something behind its name.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

/// Gives a file a second name, or copies it where files have only one.
fn kept_aside(path: &Path) -> std::io::Result<PathBuf> {
    let mut number = 1;
    loop {
        let suffix = if number == 1 { "damaged".to_owned() } else { format!("damaged-{number}") };
        let old = beside(path, &suffix);
        if old.exists() {
            number += 1;
            continue;
        }
        if std::fs::hard_link(path, &old).is_err() {
            std::fs::copy(path, &old)?;
        }
        return Ok(old);
    }
}
