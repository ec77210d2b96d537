//! Opening a journal's database, and telling clearly why it cannot be.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

use redb::{Builder, Database, DatabaseError, StorageError, WriteTransaction};
use uuid::Uuid;

use super::error::{Error, engine};
use super::guard::{GuardedError, discarded, guarded};
use super::options::{Options, Origin};
use super::storage::{Backend, Storage};
use super::tables::{
    BASE, BUNCH, IDENTITY_KEY, INBOX, LOG, META, PARKED, RUN, SUPERSEDED, Snapshot, WAITS, put_record,
    put_state,
};
use super::{lifecycle, newborn, parked};
use crate::algebra::{EntityKey, ReplicaId};
use crate::codec::frame::FrameKind;
use crate::codec::records::{Identity, JournalState};

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
    let db = match origin {
        Origin::File { path, may_create } => open_file(&builder, path, *may_create)?,
        Origin::Storage(storage) => {
            newborn::clear(storage)
                .map_err(|source| Error::Io { doing: "the storage cannot be read".to_owned(), source })?;
            let backend = Backend(Arc::clone(storage));
            builder.create_with_backend(backend).map_err(|error| refused(&origin.place(), error))?
        }
    };
    // Judged by what is in it and under its lock, not by its length: another process may have made the
    // journal a moment ago.
    if may_create(origin) && is_untouched(&db)? {
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

fn may_create(origin: &Origin) -> bool {
    match origin {
        Origin::File { may_create, .. } => *may_create,
        Origin::Storage(_) => true,
    }
}

fn open_file(builder: &Builder, path: &Path, may_create: bool) -> Result<Database, Error> {
    let place = path.display().to_string();
    let io = |source: io::Error| Error::Io { doing: format!("{place} cannot be opened"), source };
    let is_there = match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => return Err(io(io::ErrorKind::IsADirectory.into())),
        Ok(found) if !found.is_file() => {
            return Err(Error::NotAJournal { place, why: "it is no regular file".to_owned() });
        }
        Ok(_) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(io(error)),
    };
    let db = match (may_create, is_there) {
        (true, true) => {
            newborn::clear_file(path).map_err(io)?;
            builder.create(path)
        }
        (true, false) => builder.create(path),
        (false, true) => {
            newborn::require_finished_file(path, &place)?;
            builder.open(path)
        }
        (false, false) => return Err(Error::Missing { path: path.to_owned() }),
    };
    db.map_err(|error| refused(&place, error))
}

pub(crate) fn refused(place: &str, error: DatabaseError) -> Error {
    let place = place.to_owned();
    match error {
        DatabaseError::DatabaseAlreadyOpen => Error::Locked { place },
        DatabaseError::UpgradeRequired(version) => Error::NotAJournal {
            place,
            why: format!("its engine's format {version} is older than this program reads"),
        },
        DatabaseError::RepairAborted => {
            Error::NotAJournal { place, why: "it could not be recovered".to_owned() }
        }
        DatabaseError::Storage(StorageError::Io(source)) => match source.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                Error::NotAJournal { place, why: source.to_string() }
            }
            _ => Error::Io { doing: format!("{place} cannot be opened"), source },
        },
        DatabaseError::Storage(StorageError::Corrupted(why)) => Error::NotAJournal { place, why },
        other => Error::NotAJournal { place, why: other.to_string() },
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

impl Storage for Arc<dyn Storage> {
    fn len(&self) -> io::Result<u64> {
        (**self).len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        (**self).read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        (**self).set_len(len)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        (**self).write(offset, data)
    }

    fn sync(&self) -> io::Result<()> {
        (**self).sync()
    }
}
