//! The replica: what a program sees of its entities, beside the journal of what it did to them, in one file.
//!
//! ```text
//! visible = base ⊕ sealed ⊕ parked or held ⊕ pending
//! ```
//!
//! at every step, for every entity. The base is what the authority is known to hold; what is unsent lies on top
//! of it, and moves with it when it changes.
//!
//! What it never does: talk to a network, read a clock but for stamps, drop a value that lost without a record of
//! it.

mod ahead;
mod between;
mod check;
mod conflicts;
mod constraints;
mod differ;
mod down;
mod error;
mod exchange;
mod family;
mod index;
mod keep;
mod live;
mod lost;
mod merging;
mod open;
mod outcomes;
mod read;
mod rebase;
mod resolve;
mod taking;
mod transact;
mod typed;
mod undo;
mod view;
mod walk;

use std::cell::RefCell;
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};

use redb::{Table, WriteTransaction};

use crate::algebra::{EntityKey, ReplicaId, Schema};
use crate::journal::{self, Durability, Inner, Journal, Options, Work};

pub use conflicts::{Conflict, ConflictKind, Resolution};
pub use down::Applied;
pub use error::Error;
pub use keep::Standing;
pub use lost::{Lost, Side, Why};
pub use merging::{Checked, Merged, MergedEntity};
#[cfg(feature = "cli")]
pub(crate) use open::journal_by_its_schema;
pub use outcomes::Settled;
pub use read::{Entity, Status};
pub use typed::Collection;
pub use view::Cause;

use view::View;

type Bytes = &'static [u8];
type Tables<'t> = Table<'t, Bytes, Bytes>;

/// A replica. Cheap to clone; every clone is a handle on the same one, usable from any thread.
///
/// ```
/// use foldlog::algebra::{CollectionName, EntityKey, Operation, Patch, Schema, State};
/// use foldlog::journal::{Durability, Options};
/// use foldlog::replica::Replica;
///
/// let schema = Schema::from_json(r#"{"collections":{"notes":{"unique":[["title"]]}}}"#)?;
/// let replica = Replica::in_memory(Options::new().schema(schema))?;
/// let note = EntityKey::new(CollectionName::new("notes")?, foldlog::Uuid::now_v7())?;
/// let state = State::from_json(r#"{"title":"milk"}"#)?;
/// replica.commit(&[Operation::create(note.clone(), state)], Durability::Durable)?;
/// let patch = Patch::from_json(r#"{"done":true}"#)?;
/// replica.commit(&[Operation::patch(note.clone(), patch)], Durability::Durable)?;
/// assert_eq!(replica.get(&note)?.unwrap().as_json(), r#"{"done":true,"title":"milk"}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Replica {
    journal: Journal,
    schema: Arc<Schema>,
    watchers: Arc<Mutex<Vec<Watcher>>>,
    /// How often the journal was mended, as far as what is seen was made anew after it.
    mends_seen: Arc<AtomicU64>,
    /// Counts pages, of which most are not waited for.
    deferred: Arc<AtomicU32>,
}

/// Whom to tell of what looks different; it says whether it wants to be told more.
type Watcher = Box<dyn FnMut(&Changed) -> bool + Send>;

/// An entity that looks different now, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The entity.
    pub key: EntityKey,
    /// Why.
    pub cause: Cause,
}

/// Where a local transaction is written.
struct Within<'t> {
    inner: &'t Inner,
    txn: &'t WriteTransaction,
    /// The next sequence number.
    first: u64,
}

impl Replica {
    /// Opens the replica at a path, or makes one if there is no file. The options say its schema; where it had another
    /// one, it is moved to that.
    ///
    /// # Errors
    /// As [`Options::create`], and a schema that what is stored does not fit.
    pub fn create(path: impl AsRef<Path>, options: Options) -> Result<Self, Error> {
        Replica::of(options.create(path)?)
    }

    /// Makes a replica in memory. It lives as long as its handles do.
    ///
    /// # Errors
    /// As [`Options::in_memory`].
    pub fn in_memory(options: Options) -> Result<Self, Error> {
        Replica::of(options.in_memory()?)
    }

    /// The journal beneath: what is pending, parked, heard. It refuses what the replica would not see.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The schema.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Which replica this is.
    #[must_use]
    pub fn id(&self) -> ReplicaId {
        self.journal.replica()
    }

    /// Tells of every entity that looks different from now on, after it is durable as asked for.
    #[must_use]
    pub fn watch(&self) -> Receiver<Changed> {
        let (sender, receiver) = channel();
        self.watch_by(move |changed| sender.send(changed.clone()).is_ok());
        receiver
    }

    /// The same, told to a function on the thread that made the change. It says whether it wants to be told more, and
    /// must neither wait for anything, nor write, nor watch: whoever changes something waits for it.
    pub fn watch_by(&self, watcher: impl FnMut(&Changed) -> bool + Send + 'static) {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(watcher));
    }

    fn tell(&self, changed: Vec<(EntityKey, Cause)>) {
        let mut watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        if watchers.is_empty() {
            return;
        }
        for (key, cause) in changed {
            let changed = Changed { key, cause };
            watchers.retain_mut(|watcher| watcher(&changed));
        }
    }

    /// Makes anew what the journal's mending dropped.
    fn make_whole(&self) -> Result<(), Error> {
        let mends = self.journal.inner.mends.load(Ordering::Acquire);
        if self.mends_seen.swap(mends, Ordering::AcqRel) == mends {
            return Ok(());
        }
        let made = self.prepare();
        if made.is_err() {
            self.mends_seen.store(mends.wrapping_sub(1), Ordering::Release);
        }
        made
    }

    /// One transaction that appends.
    fn append<T>(
        &self,
        durability: Durability,
        work: impl FnOnce(Within<'_>, &mut View<'_, Tables<'_>>) -> Result<(T, u64), Error>,
    ) -> Result<T, Error> {
        self.make_whole()?;
        let mut refusal = None;
        let mut changed = Vec::new();
        let done = self.journal.inner.append_txn(durability == Durability::Durable, |inner, txn, first| {
            let is_complete = journal::tables::state_in(txn)?.is_complete;
            let mut view = View::within(txn, &self.schema, is_complete)?;
            let done = work(Within { inner, txn, first }, &mut view);
            if done.is_ok() {
                view.write()?;
            }
            changed = std::mem::take(&mut view.changed);
            refused(done, &mut refusal)
        });
        match refusal {
            Some(refusal) => Err(refusal),
            None => {
                let done = done?;
                self.tell(changed);
                Ok(done)
            }
        }
    }

    /// One transaction that may change anything but the log.
    fn maintain<T>(
        &self,
        body: impl Fn(&mut Work<'_>, &mut View<'_, Tables<'_>>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.make_whole()?;
        let refusal = RefCell::new(None);
        let changed = RefCell::new(Vec::new());
        let done = self.journal.inner.maintain(|work| {
            let mut view = View::within(work.txn, &self.schema, work.state.is_complete)?;
            let done = body(work, &mut view);
            if done.is_ok() {
                view.write()?;
            }
            work.folds &= !work.overrides.is_empty();
            work.has_written |= view.has_written;
            changed.replace(std::mem::take(&mut view.changed));
            refused(done, &mut refusal.borrow_mut())
        });
        match refusal.into_inner() {
            Some(refusal) => Err(refusal),
            None => {
                let done = done?;
                self.tell(changed.into_inner());
                Ok(done)
            }
        }
    }

    /// Reads the replica as it was last committed.
    fn read<T>(
        &self,
        body: impl FnOnce(
            &journal::tables::Snapshot,
            &View<'_, redb::ReadOnlyTable<&'static [u8], &'static [u8]>>,
        ) -> Result<T, journal::Error>,
    ) -> Result<T, Error> {
        self.make_whole()?;
        Ok(self.journal.inner.read(|snapshot| {
            let is_complete = snapshot.state()?.is_complete;
            body(snapshot, &View::of(snapshot, &self.schema, is_complete)?)
        })?)
    }
}

impl std::fmt::Debug for Replica {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replica").field("journal", &self.journal).finish_non_exhaustive()
    }
}

/// Lets an error of the journal's go on as such, and keeps one of the replica's own aside: either way the
/// transaction is given up.
fn refused<T>(done: Result<T, Error>, refusal: &mut Option<Error>) -> Result<T, journal::Error> {
    done.map_err(|error| match error {
        Error::Journal { source } => source,
        other => {
            *refusal = Some(other);
            journal::Error::Failed
        }
    })
}
