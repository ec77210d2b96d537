//! Mending: what is damaged is looked for and set aside, all at once or not at all.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::aside::{Known, Missing, salvaged};
use super::error::Error;
use super::newfile::{NewFile, beside};
use super::set_aside::count;
use super::tables::Snapshot;
use super::{Inner, Journal, lifecycle, open, parked, verify};
use crate::storage::guard::{closed, discarded};
use crate::storage::open::Origin;

/// What is said where it is not remembered which value it was.
pub(crate) const READ_MET_IT: &str = "a read met with damage";

impl Journal {
    /// Looks at every stored value and sets aside what is damaged, so that the rest goes on; says how many
    /// values are set aside by now. Its cost follows the size of the file.
    ///
    /// Whatever folds, seals or settles does this by itself once it, or a read before it, met with damage. A copy of
    /// a file that was damaged is kept beside the new one, with `.damaged` behind its name. Where panics abort and the storage
    /// engine panics over what is damaged, the process ends, with the file as after a crash: [`salvage`](super::salvage) it.
    ///
    /// # Errors
    /// A journal whose identity or state is damaged; otherwise as [`Journal::compact`].
    pub fn mend(&self) -> Result<u64, Error> {
        let _maintenance = self.inner.maintenance();
        let has_damage = self.inner.has_damage.load(Ordering::Acquire);
        self.inner.set_aside_damage(has_damage.then(|| READ_MET_IT.to_owned()))?;
        self.inner.read(count)
    }
}

impl Inner {
    /// Sets aside what is damaged, all at once or not at all; what was met with says that something is.
    ///
    /// A damaged file is not mended in place, for the engine's own pages may be damaged: what opens goes into a new
    /// file, which takes the old one's place; a copy of that stays beside it. On any other storage it is one
    /// transaction.
    pub(crate) fn set_aside_damage(&self, met: Option<String>) -> Result<(), Error> {
        let done = match &self.origin {
            Origin::File { path, .. } => self.mend_file(path, met),
            Origin::Storage(_) | Origin::ReadOnly { .. } => self.with_writer(|inner, db, writer| {
                if let Some(kept) = salvaged(db, db, inner.known(writer.next_seq, met))? {
                    writer.next_seq = writer.next_seq.max(kept.state.log_begins);
                    inner.note_parked_keys(db)?;
                }
                Ok(())
            }),
        };
        self.has_damage.store(done.is_err(), Ordering::Release);
        self.mends.fetch_add(1, Ordering::AcqRel);
        self.announce();
        done
    }

    fn known(&self, next_seq: u64, met: Option<String>) -> Known {
        Known { now: (self.options.clock)(), next_seq, met, missing: Missing::default() }
    }

    fn mend_file(&self, path: &Path, met: Option<String>) -> Result<(), Error> {
        let mut writer = self.writer.lock();
        let mut slot = self.db.write().unwrap_or_else(PoisonError::into_inner);
        // Asked when nobody reads any more: a read may just have made the engine panic.
        if self.has_failed.load(Ordering::Acquire) {
            return Err(Error::Failed);
        }
        let source = slot.as_ref().ok_or(Error::Suspended)?;
        let place = path.display().to_string();
        let io = |source| Error::Io { doing: format!("{place} cannot be mended"), source };
        // A link stays one: what it leads to is replaced.
        let path = &std::fs::canonicalize(path).map_err(io)?;
        let met = verify::engine_finds(path)?.or(met);
        let new = NewFile::like(path, beside(path, "mending")).map_err(io)?;
        let target = new.database(self.options.cache_bytes)?;
        let done = open::shielded(&place, || salvaged(source, &target, self.known(writer.next_seq, met)));
        let is_any = match done {
            Ok(kept) => kept.is_some(),
            Err(error) => {
                discarded(target);
                // Whether it was the old file that failed: then its engine takes nothing more.
                let goes_on = open::shielded(&place, || Snapshot::of(source)?.state());
                let is_panic = matches!(error, Error::NotAJournal { .. });
                if is_panic || goes_on.is_err() {
                    self.has_failed.store(true, Ordering::Release);
                    discarded(slot.take());
                }
                return Err(error);
            }
        };
        if !is_any {
            discarded(target);
            return Ok(());
        }
        let old = kept_aside(path).map_err(io)?;
        tracing::warn!(old = %old.display(), "a damaged file was mended; a copy of it is kept");
        if cfg!(windows) {
            // What is open cannot be replaced there.
            discarded(slot.take());
            closed(target);
            new.takes_place_of(path).map_err(io)?;
            return self.reopen(&mut writer, &mut slot);
        }
        new.takes_place_of(path).map_err(io)?;
        // The lock on the new file was never let go.
        let found = open::shielded(&place, || {
            let snapshot = Snapshot::of(&target)?;
            Ok((lifecycle::next_seq(&snapshot)?, parked::keys(&snapshot)?))
        });
        discarded(slot.take());
        let (next_seq, parked) = found.inspect_err(|_| self.has_failed.store(true, Ordering::Release))?;
        self.opened_anew(target, next_seq, parked, &mut writer, &mut slot);
        Ok(())
    }
}

/// Copies a file before its engine closes it: that writes, by what is damaged.
fn kept_aside(path: &Path) -> io::Result<PathBuf> {
    let mut number = 1;
    loop {
        let suffix = if number == 1 { "damaged".to_owned() } else { format!("damaged-{number}") };
        let old = beside(path, &suffix);
        if std::fs::symlink_metadata(&old).is_ok() {
            number += 1;
            continue;
        }
        return match std::fs::copy(path, &old) {
            Ok(_) => Ok(old),
            Err(error) => {
                drop(std::fs::remove_file(&old));
                Err(error)
            }
        };
    }
}
