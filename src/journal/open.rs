//! Opening a journal's database, and telling clearly why it cannot be.

use std::collections::HashSet;

use redb::{Builder, Database, WriteTransaction};
use uuid::Uuid;

use super::error::{Error, engine};
use super::options::Options;
use super::tables::{
    BASE, BUNCH, IDENTITY_KEY, INBOX, LOG, META, PARKED, RUN, SUPERSEDED, Snapshot, WAITS, put_record,
    put_state,
};
use super::{lifecycle, parked};
use crate::algebra::{EntityKey, ReplicaId};
use crate::codec::frame::FrameKind;
use crate::codec::records::{Identity, JournalState};
use crate::storage::guard::{GuardedError, discarded, guarded};
use crate::storage::open::{NotOpened, Origin};

/// A journal's database, and what is known of it from the start.
pub(crate) struct Opened {
    pub(crate) db: Database,
    pub(crate) replica: ReplicaId,
    pub(crate) next_seq: u64,
    pub(crate) parked: HashSet<EntityKey>,
    pub(crate) is_of_replica: bool,
}

/// Opens the database of a journal, and makes the journal in it if that is what was asked for. Where the
/// file is so damaged that the engine panics, that is an error like any other.
pub(crate) fn open(origin: &Origin, options: &Options) -> Result<Opened, Error> {
    let place = origin.place();
    let db = shielded(&place, || open_database(origin, options))?;
    let found = shielded(&place, || {
        let snapshot = Snapshot::of(&db)?;
        let replica = ReplicaId(Uuid::from_bytes(snapshot.identity()?.replica));
        Ok((replica, lifecycle::next_seq(&snapshot)?, parked::keys(&snapshot)?, snapshot.is_of_replica()?))
    });
    match found {
        Ok((replica, next_seq, parked, is_of_replica)) => {
            Ok(Opened { db, replica, next_seq, parked, is_of_replica })
        }
        Err(error) => {
            discarded(db);
            Err(error)
        }
    }
}

/// Calls into the engine for a file that is not known to be sound.
pub(crate) fn shielded<T>(place: &str, call: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    guarded(call).map_err(|error| match error {
        GuardedError::Engine(error) => error,
        GuardedError::Panicked(panic) => {
            Error::NotAJournal { place: place.to_owned(), why: panic.to_string() }
        }
    })
}

fn open_database(origin: &Origin, options: &Options) -> Result<Database, Error> {
    let mut builder = Builder::new();
    builder.set_cache_size(options.cache_bytes);
    let db = origin.open(&builder).map_err(|error| not_opened(&origin.place(), error))?;
    // Judged by what is in it and under its lock, not by its length: another process may have made the
    // journal a moment ago.
    if origin.may_create() && is_untouched(&db)? {
        initialise(&db, options)?;
    }
    require_journal(&db, &origin.place())?;
    Ok(db)
}

/// Refuses the database of another program, and one whose identity or state cannot be read.
pub(crate) fn require_journal(db: &Database, place: &str) -> Result<(), Error> {
    let snapshot = Snapshot::of(db)?;
    if !is_journal(&snapshot)? {
        return Err(Error::NotAJournal {
            place: place.to_owned(),
            why: "it is a database of another program".to_owned(),
        });
    }
    // Nothing can go on in the place of these.
    let state = snapshot.identity().and_then(|_| snapshot.state()).map_err(|error| match error {
        Error::Damaged { place: record, source } => {
            Error::NotAJournal { place: place.to_owned(), why: format!("{record}: {source}") }
        }
        error => error,
    })?;
    if state.is_possible() {
        Ok(())
    } else {
        let why = "its state says what cannot be: levels of the run that overlap or have no end".to_owned();
        Err(Error::NotAJournal { place: place.to_owned(), why })
    }
}

/// Why a journal could not be opened, in a journal's words.
pub(crate) fn not_opened(place: &str, error: NotOpened) -> Error {
    let place = place.to_owned();
    match error {
        NotOpened::Missing => Error::Missing { path: place.into() },
        NotOpened::InUse => Error::Locked { place },
        NotOpened::Unfit { why } => Error::NotAJournal { place, why },
        NotOpened::Io { doing, source } => Error::Io { doing, source },
    }
}

/// Whether nothing was ever stored: a crash may have come between making the file and the journal in it.
fn is_untouched(db: &Database) -> Result<bool, Error> {
    Ok(Snapshot::of(db)?.txn.list_tables().map_err(engine)?.next().is_none())
}

fn is_journal(snapshot: &Snapshot) -> Result<bool, Error> {
    use redb::TableHandle;
    Ok(snapshot.txn.list_tables().map_err(engine)?.any(|table| table.name() == META.name()))
}

fn initialise(db: &Database, options: &Options) -> Result<(), Error> {
    let mut txn = db.begin_write().map_err(engine)?;
    txn.set_quick_repair(true);
    let replica = options.replica.map_or_else(Uuid::new_v4, |replica| replica.0);
    let identity = Identity { replica: replica.into_bytes(), created_at: (options.clock)().0 };
    put_record(&txn, META, FrameKind::Identity, IDENTITY_KEY, &identity)?;
    put_state(&txn, &JournalState::new())?;
    open_all(&txn)?;
    txn.commit().map_err(engine)
}

/// Makes every table, so that no reader meets a missing one.
pub(crate) fn open_all(txn: &WriteTransaction) -> Result<(), Error> {
    for table in [LOG.rows, LOG.payload, RUN.rows, RUN.payload, BUNCH, SUPERSEDED, INBOX] {
        txn.open_table(table).map_err(engine)?;
    }
    for table in [META, BASE, PARKED, WAITS] {
        txn.open_table(table).map_err(engine)?;
    }
    Ok(())
}
