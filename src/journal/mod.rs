//! The journal: operations go durably in, and leave as folded bunches.
//!
//! One redb file. Operations are appended to a *log*; a pass folds the log into the *compacted run*, one
//! effect an entity; sealing freezes the next *bunch*; settling records what the authority made of it.
//!
//! ```text
//! append ─→ log ─ compact ─→ run ─ seal ─→ open bunch ─ settle ─→ base knowledge
//!                             ↑                            │
//!                             └──── retry, waits, ─────────┤
//!                                   refused then edited    └─→ parked, superseded
//! ```
//!
//! What it never does: talk to a network, decide a conflict that is not settled by an outcome, drop
//! anything by count or age, or hold a transaction across a caller's code. Invariant: what was
//! acknowledged is there after any crash, in exactly one of these places.

mod alone;
pub(crate) mod append;
mod aside;
mod bases;
mod columns;
mod effects;
pub(crate) mod entry;
pub(crate) mod error;
mod estimate;
mod folding;
mod gather;
pub(crate) mod held;
pub(crate) mod inbox;
mod left;
mod levels;
mod lifecycle;
mod log;
mod mend;
mod moved;
mod newfile;
mod open;
mod options;
pub(crate) mod parked;
mod parts;
mod pass;
mod pending;
mod rebuild;
pub(crate) mod rewrite;
mod salvage;
pub(crate) mod seal;
mod set_aside;
pub(crate) mod settle;
mod status;
pub(crate) mod stored;
pub(crate) mod tables;
mod typed;
mod verify;
mod wait;

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};

use parking_lot::FairMutex;
use redb::{Database, WriteTransaction};

use crate::algebra::{EntityKey, ReplicaId};
use crate::codec::records::JournalState;
use crate::storage::guard::{GuardedError, closed, discarded, guarded};
use crate::storage::open::Origin;
use error::engine;
use tables::Snapshot;

pub use crate::storage::Storage;
pub use append::{APPEND_OPERATIONS_MAX, Appended, Durability};
pub use bases::Listing;
#[cfg(feature = "testing")]
pub(crate) use entry::{alone, from_alone, group_names};
pub use error::Error;
#[cfg(feature = "testing")]
pub(crate) use gather::gathered;
pub use inbox::{Integrated, Reads, Received};
pub use log::{Log, Logged};
pub use options::{CACHE_BYTES_DEFAULT, Options, PASS_BYTES_DEFAULT};
pub use parked::{Cause, HeldEffect, Parked, Superseded};
pub use salvage::{Judged, LostName, Reading, Salvaged, UNREADABLE_LISTED_MAX, salvage};
pub use set_aside::SetAside;
pub use settle::Settled;
pub use status::{Count, Status};
pub use typed::Collection;
pub use verify::{Finding, Report, verify};
pub use wait::Cancelled;

/// A journal. Cheap to clone; every clone is a handle on the same journal, usable from any thread.
#[derive(Clone)]
pub struct Journal {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    origin: Origin,
    pub(crate) options: Options,
    /// Another one once the authority said that the file was copied.
    pub(crate) replica: Mutex<ReplicaId>,
    /// None while suspended.
    db: RwLock<Option<Database>>,
    /// Whoever does more than append. Taken before the writer.
    maintenance: Mutex<()>,
    /// Handed on in turn, so that neither a pass nor those who append shut the other out.
    writer: FairMutex<Writer>,
    queue: append::Queue,
    /// After a commit that failed it is not known what the disk holds.
    has_failed: AtomicBool,
    /// A read met with damage, which the next work sets aside.
    has_damage: AtomicBool,
    /// How often damage was set aside.
    pub(crate) mends: AtomicU64,
    /// The engine of the database that is open panicked: what it holds in memory is not to be used again. Set only while
    /// that cannot give way to another one, and looked at under the lock by which it would.
    has_panicked: AtomicBool,
    /// The entities that are parked: few, and looked at by every append.
    parked: Mutex<HashSet<EntityKey>>,
    has_parked: AtomicBool,
    /// A replica shows what is in the file: then only it may change what that is.
    pub(crate) is_of_replica: AtomicBool,
    /// Counts what changes the standing of operations, for those who wait for it.
    changes: Mutex<u64>,
    changed: Condvar,
}

/// What only one thread at a time may touch.
pub(crate) struct Writer {
    /// The next sequence number.
    next_seq: u64,
}

/// A transaction in the making.
pub(crate) struct Work<'t> {
    pub(crate) txn: &'t WriteTransaction,
    pub(crate) snapshot: &'t Snapshot,
    pub(crate) state: JournalState,
    /// What looking at everything that is pending may take.
    pub(crate) pass_bytes: u64,
    /// What is laid over the pending effects.
    pub(crate) overrides: rewrite::Overrides,
    /// Whether something was written beside the state.
    pub(crate) has_written: bool,
    /// Whether the log is folded at the end.
    pub(crate) folds: bool,
    /// Whether the disk is not waited for: a crash may take the transaction, and all that came after it.
    pub(crate) is_deferred: bool,
}

impl<'t> Work<'t> {
    pub(crate) fn new(
        txn: &'t WriteTransaction,
        snapshot: &'t Snapshot,
        pass_bytes: u64,
    ) -> Result<Self, Error> {
        let state = snapshot.state()?;
        let overrides = rewrite::Overrides::new();
        let (has_written, folds, is_deferred) = (false, true, false);
        Ok(Work { txn, snapshot, state, pass_bytes, overrides, has_written, folds, is_deferred })
    }
}

impl Journal {
    /// Opens the journal at a path, with the default [`Options`].
    ///
    /// # Errors
    /// As [`Options::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Options::new().open(path)
    }

    /// Opens the journal at a path, or makes one if there is no file, with the default [`Options`].
    ///
    /// # Errors
    /// As [`Options::create`].
    pub fn create(path: impl AsRef<Path>) -> Result<Self, Error> {
        Options::new().create(path)
    }

    /// Makes a journal in memory, with the default [`Options`].
    ///
    /// # Errors
    /// As [`Options::in_memory`].
    pub fn in_memory() -> Result<Self, Error> {
        Options::new().in_memory()
    }

    pub(crate) fn with(options: Options, origin: Origin) -> Result<Self, Error> {
        let open::Opened { db, replica, next_seq, parked, is_of_replica } = open::open(&origin, &options)?;
        let inner = Inner {
            origin,
            options,
            replica: Mutex::new(replica),
            db: RwLock::new(Some(db)),
            maintenance: Mutex::new(()),
            writer: FairMutex::new(Writer { next_seq }),
            queue: append::Queue::new(|| Err(Error::Failed)),
            has_failed: AtomicBool::new(false),
            has_damage: AtomicBool::new(false),
            mends: AtomicU64::new(0),
            has_panicked: AtomicBool::new(false),
            has_parked: AtomicBool::new(!parked.is_empty()),
            parked: Mutex::new(parked),
            is_of_replica: AtomicBool::new(is_of_replica),
            changes: Mutex::new(0),
            changed: Condvar::new(),
        };
        Ok(Journal { inner: Arc::new(inner) })
    }

    /// The replica that this journal writes for: drawn when it was made.
    #[must_use]
    pub fn replica(&self) -> ReplicaId {
        *self.inner.replica.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this journal is a replica's, which alone may change what is seen there.
    #[must_use]
    pub fn is_of_replica(&self) -> bool {
        self.inner.is_of_replica.load(Ordering::Acquire)
    }

    /// Folds what came in since the last pass into the compacted run. Its cost follows the new
    /// operations, not the history. Compacting twice equals once. Others may append meanwhile: what is folded goes
    /// into commits of some milliseconds at most, and what they append is the next pass's.
    ///
    /// # Errors
    /// A journal that is suspended, failed or damaged, or what the storage says.
    pub fn compact(&self) -> Result<(), Error> {
        self.inner.maintain(|_| Ok(()))?;
        // What was little came on top of levels that join it only now.
        let sizes = levels::Sizes::of(self.inner.options.pass_bytes);
        if self.inner.read(|snapshot| Ok(levels::are_due(&snapshot.state()?.levels, sizes)))? {
            self.inner.maintain(|_| Ok(()))?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").field("at", &self.inner.origin.place()).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let mut db = self.db.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        self.let_go(&mut db);
    }
}

impl Inner {
    /// Its name for people.
    pub(crate) fn place(&self) -> String {
        self.origin.place()
    }

    /// Reads the journal as it was last committed.
    pub(crate) fn read<T>(&self, work: impl FnOnce(&Snapshot) -> Result<T, Error>) -> Result<T, Error> {
        let done = {
            let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
            self.shielded(|| work(&Snapshot::of(self.opened(&db)?)?))
        };
        if matches!(done, Err(Error::Damaged { .. })) {
            self.has_damage.store(true, Ordering::Release);
        }
        self.discard_what_panicked();
        done
    }

    /// Runs a piece of work as the only writer.
    pub(crate) fn with_writer<T>(
        &self,
        work: impl FnOnce(&Inner, &Database, &mut Writer) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let done = {
            let mut writer = self.writer.lock();
            if self.has_failed.load(Ordering::Acquire) {
                return Err(Error::Failed);
            }
            let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
            let done = self.shielded(|| work(self, self.opened(&db)?, &mut writer));
            if let Err(Error::Io { .. } | Error::Corrupted { .. }) = &done {
                // The engine itself takes no more after such an error; what it holds in memory is not what
                // is on disk. Said before anybody can open it again.
                self.has_failed.store(true, Ordering::Release);
            }
            done
        };
        self.discard_what_panicked();
        done
    }

    /// The journal as it was last committed, for longer than one call into the engine.
    fn snapshot(&self) -> Result<Snapshot, Error> {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        Snapshot::of(self.opened(&db)?)
    }

    /// Keeps everybody else from folding, and the file from being closed or replaced.
    fn maintenance(&self) -> MutexGuard<'_, ()> {
        self.maintenance.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn opened<'d>(&self, db: &'d Option<Database>) -> Result<&'d Database, Error> {
        let closed =
            || if self.has_failed.load(Ordering::Acquire) { Error::Failed } else { Error::Suspended };
        db.as_ref().ok_or_else(closed)
    }

    /// Calls into the engine: where a damaged file makes it panic, that is an error, and the handle takes
    /// nothing more until it is reopened. Whoever calls it keeps the database from being replaced, and has it let go of
    /// afterwards.
    pub(crate) fn shielded<T>(&self, call: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        guarded(call).map_err(|error| match error {
            GuardedError::Engine(error) => error,
            GuardedError::Panicked(panic) => {
                tracing::error!(%panic, "the storage engine gave up");
                self.has_failed.store(true, Ordering::Release);
                self.has_panicked.store(true, Ordering::Release);
                Error::Corrupted { why: panic.to_string() }
            }
        })
    }

    /// Lets go of a database whose engine panicked. No lock may be held.
    pub(crate) fn discard_what_panicked(&self) {
        if self.has_panicked.load(Ordering::Acquire) {
            let mut slot = self.db.write().unwrap_or_else(PoisonError::into_inner);
            // Somebody may have opened it again meanwhile.
            if self.has_panicked.load(Ordering::Acquire) {
                self.let_go(&mut slot);
            }
        }
    }

    /// Closes the database that is open, if one is; in order unless its engine panicked.
    fn let_go(&self, slot: &mut Option<Database>) {
        let db = slot.take();
        if self.has_panicked.swap(false, Ordering::AcqRel) { discarded(db) } else { closed(db) }
    }

    /// One transaction that may change anything but the log: the work, then the rewrite that folds the log
    /// and what the work laid over the pending effects. Where much is new, a pass comes first. Damage that was met
    /// with is set aside before all, in a transaction of its own.
    pub(crate) fn maintain<T>(&self, work: impl Fn(&mut Work<'_>) -> Result<T, Error>) -> Result<T, Error> {
        self.maintain_by(|inner| {
            inner.pass()?;
            inner.in_one_commit(&work)
        })
    }

    /// As [`maintain`](Self::maintain), of whoever decides what goes before the work.
    pub(crate) fn maintain_by<T>(&self, once: impl Fn(&Inner) -> Result<T, Error>) -> Result<T, Error> {
        let _maintenance = self.maintenance();
        if self.has_damage.load(Ordering::Acquire)
            && let Err(error) = self.set_aside_damage(Some(mend::READ_MET_IT.to_owned()))
        {
            // What is asked for now may have nothing to do with it.
            tracing::warn!(%error, "what is damaged cannot be set aside");
        }
        let done = match once(self) {
            Err(Error::Damaged { place, source }) => {
                self.set_aside_damage(Some(format!("{place}: {source}")))?;
                once(self)
            }
            done => done,
        }?;
        self.announce();
        Ok(done)
    }

    /// The work, then the rewrite, however much that is.
    pub(crate) fn in_one_commit<T>(
        &self,
        work: impl Fn(&mut Work<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.with_writer(|inner, db, _| {
            let mut txn = db.begin_write().map_err(engine)?;
            // So that reopening after a crash needs no walk over the whole file.
            txn.set_quick_repair(true);
            let snapshot = Snapshot::of(db)?;
            let mut work_in_hand = Work::new(&txn, &snapshot, self.options.pass_bytes)?;
            let before = work_in_hand.state.clone();
            let done = work(&mut work_in_hand)?;
            work_in_hand.let_go_of_what_waited()?;
            work_in_hand.forget_what_was_brought_back()?;
            let Work { mut state, overrides, has_written, folds, is_deferred, .. } = work_in_hand;
            if folds {
                rewrite::rewrite(&txn, &snapshot, &mut state, &overrides, self.options.pass_bytes)?;
            }
            drop(snapshot);
            if state == before && !has_written {
                // Nothing to write: not even a commit.
                txn.abort().map_err(engine)?;
                return Ok(done);
            }
            tables::put_state(&txn, &state)?;
            if is_deferred || sabotaged!(seal_not_durable) {
                txn.set_quick_repair(false);
                let set = txn.set_durability(redb::Durability::None);
                set.map_err(|error| Error::Corrupted { why: error.to_string() })?;
            }
            inner.commit(txn)?;
            inner.note_parked_keys(db)?;
            Ok(done)
        })
    }

    /// Commits; after a failure the handle takes no more writes.
    pub(crate) fn commit(&self, txn: WriteTransaction) -> Result<(), Error> {
        txn.commit().map_err(engine).inspect_err(|error| {
            tracing::error!(%error, "a commit failed");
            self.has_failed.store(true, Ordering::Release);
        })
    }

    /// Wakes those who wait for operations to be settled.
    fn announce(&self) {
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        *changes += 1;
        self.changed.notify_all();
    }

    /// Refuses what a replica would not see.
    fn require_bare(&self) -> Result<(), Error> {
        if self.is_of_replica.load(Ordering::Acquire) { Err(Error::OfReplica) } else { Ok(()) }
    }

    pub(crate) fn is_parked(&self, key: &EntityKey) -> bool {
        self.has_parked.load(Ordering::Acquire) && self.parked_lock().contains(key)
    }

    fn note_parked_keys(&self, db: &Database) -> Result<(), Error> {
        let keys = parked::keys(&Snapshot::of(db)?)?;
        self.has_parked.store(!keys.is_empty(), Ordering::Release);
        *self.parked_lock() = keys;
        Ok(())
    }

    fn parked_lock(&self) -> MutexGuard<'_, HashSet<EntityKey>> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
