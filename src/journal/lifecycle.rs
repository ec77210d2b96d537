//! Suspending, resuming, and giving space back.

use std::collections::HashSet;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use redb::Database;

use super::columns::ColumnReader;
use super::error::{Error, engine};
use super::tables::{LOG, Snapshot};
use super::{Inner, Journal, Writer, open};
use crate::algebra::EntityKey;
use crate::storage::guard::closed;

impl Journal {
    /// Makes everything durable, closes the file and lets go of its lock, so that the system may stop the
    /// program or another one may open the journal. Every other call answers [`Error::Suspended`] until
    /// [`Journal::resume`]. Suspending twice is harmless.
    ///
    /// # Errors
    /// What the storage says; the journal is closed all the same.
    pub fn suspend(&self) -> Result<(), Error> {
        let flushed = match self.flush() {
            Err(Error::Suspended) => return Ok(()),
            flushed => flushed,
        };
        let _maintenance = self.inner.maintenance();
        let _writer = self.inner.writer.lock();
        self.inner.let_go(&mut self.inner.db.write().unwrap_or_else(PoisonError::into_inner));
        // Those who wait for an outcome are told, too.
        self.inner.announce();
        flushed
    }

    /// Opens the journal again after [`Journal::suspend`]; also the way back after a read or write that failed, and where
    /// the engine gave up over a damaged file ([`Error::Corrupted`]): then the file is found as after a crash at that
    /// moment, and what was deferred may be gone. Resuming what is open is harmless.
    ///
    /// # Errors
    /// As [`Options::open`](super::Options::open), and if another journal has taken this one's place.
    pub fn resume(&self) -> Result<(), Error> {
        let inner = &self.inner;
        let maintenance = inner.maintenance();
        let mut writer = inner.writer.lock();
        let mut db = inner.db.write().unwrap_or_else(PoisonError::into_inner);
        if db.as_ref().is_some_and(|db| inner.takes_writes(db)) {
            return Ok(());
        }
        // The lock on the file must be free before it can be taken again.
        inner.let_go(&mut db);
        inner.reopen(&mut writer, &mut db)?;
        drop((db, writer, maintenance));
        inner.announce();
        Ok(())
    }

    /// Gives the space of what is gone back to the file system, and says whether any was. It rewrites
    /// parts of the file, so it is for quiet moments.
    ///
    /// # Errors
    /// A journal that is suspended, failed or damaged, or what the storage says.
    pub fn reclaim(&self) -> Result<bool, Error> {
        self.compact()?;
        let inner = &self.inner;
        let done = {
            let _maintenance = inner.maintenance();
            inner.pass_over_all()?;
            let _writer = inner.writer.lock();
            let mut db = inner.db.write().unwrap_or_else(PoisonError::into_inner);
            if inner.has_failed.load(Ordering::Acquire) {
                return Err(Error::Failed);
            }
            let db = db.as_mut().ok_or(Error::Suspended)?;
            let done = inner.shielded(|| db.compact().map_err(engine));
            if done.is_err() {
                inner.has_failed.store(true, Ordering::Release);
            }
            done
        };
        inner.discard_what_panicked();
        done
    }
}

impl Inner {
    /// Whether a database is as good as one that is opened anew. After a read that failed, too, its engine writes no more;
    /// nothing tells so but that it refuses. Only for whoever may write.
    fn takes_writes(&self, db: &Database) -> bool {
        let begun = || db.begin_write().map_err(engine)?.abort().map_err(engine);
        !self.has_failed.load(Ordering::Acquire) && self.shielded(begun).is_ok()
    }

    /// Opens what this handle was opened on, once that is closed.
    pub(crate) fn reopen(&self, writer: &mut Writer, slot: &mut Option<Database>) -> Result<(), Error> {
        let origin = self.origin.once_more();
        let opened = open::open(&origin, &self.options)?;
        if opened.replica != *self.replica.lock().unwrap_or_else(PoisonError::into_inner) {
            closed(opened.db);
            let why = "another journal has taken this one's place".to_owned();
            return Err(Error::NotAJournal { place: origin.place(), why });
        }
        self.opened_anew(opened.db, opened.next_seq, opened.parked, writer, slot);
        Ok(())
    }

    /// Goes on with another database.
    pub(crate) fn opened_anew(
        &self,
        db: Database,
        next_seq: u64,
        parked: HashSet<EntityKey>,
        writer: &mut Writer,
        slot: &mut Option<Database>,
    ) {
        writer.next_seq = next_seq;
        self.has_parked.store(!parked.is_empty(), Ordering::Release);
        *self.parked_lock() = parked;
        *slot = Some(db);
        self.has_panicked.store(false, Ordering::Release);
        self.has_failed.store(false, Ordering::Release);
    }
}

/// The next sequence number of a journal.
pub(crate) fn next_seq(snapshot: &Snapshot) -> Result<u64, Error> {
    let begins = snapshot.state()?.log_begins;
    if sabotaged!(sequence_reused) {
        return Ok(begins);
    }
    ColumnReader::new(snapshot, LOG)?.end(begins)
}
