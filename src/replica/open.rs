//! Making a replica of a journal, and moving it to another schema.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use redb::{ReadableTable, ReadableTableMetadata};
use uuid::Uuid;

use super::error::Error;
use super::keep::{self, put_record};
use super::view::{Cause, View, version_of};
use super::{Replica, between, conflicts};
use crate::algebra::{Base, EntityKey, Existence, ReplicaId, Schema, Stamps, Version, key_values};
use crate::codec::frame::FrameKind;
use crate::codec::kept::{ConflictRecord, ReplicaRecord};
use crate::codec::records::CauseRecord;
use crate::journal::entry::Entry;
use crate::journal::error::engine;
use crate::journal::parked;
use crate::journal::tables::{
    BASE, CONFLICTS, CURSORS, FETCHED, LOCAL, LOST, META, REPLICA_KEY, UNIQUE, forget_what_was_read,
};
use crate::journal::{self, Journal, Options, Work};

impl Replica {
    /// Opens the replica at a path, which must be one. Options without a schema keep the one that it has.
    ///
    /// # Errors
    /// A journal that is no replica; otherwise as [`Options::open`] and [`Replica::of`].
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Self, Error> {
        Replica::of_stored(options.open(path)?)
    }

    /// Opens the replica at a path to look at it: not a byte of the file is ever written, not even to recover what a crash
    /// left. What is written all the same stays in memory and is gone with the last handle. Nobody can open the file for
    /// writing meanwhile; any number may read it. This is how a file is opened that shall be merged into another one, and
    /// how one is that lies where nothing may be written.
    ///
    /// Every page is compared with its checksum first, so it costs as much as reading the file.
    ///
    /// # Errors
    /// As [`Replica::open`]; and [`Error::Damaged`] where something had to be set aside to open it.
    pub fn open_to_read(path: impl AsRef<Path>, options: Options) -> Result<Self, Error> {
        let path = path.as_ref();
        let named = |error| named(path.display().to_string(), error);
        let opened = options.open_to_read(path).map_err(Error::from).and_then(Replica::of_stored);
        let replica = opened.map_err(named)?;
        if replica.journal.inner.mends.load(Ordering::Acquire) > 0 {
            let why = "something in it would have to be set aside".to_owned();
            return Err(Error::Damaged { place: replica.journal.inner.place(), why });
        }
        Ok(replica)
    }

    /// Makes a replica of a journal that must be one's.
    fn of_stored(journal: Journal) -> Result<Self, Error> {
        if !journal.is_of_replica() {
            return Err(Error::NotAReplica { place: journal.inner.place() });
        }
        Replica::of(by_stored_schema(journal)?)
    }

    /// Makes a replica of a journal, by the schema that it was opened with; what is pending there is seen in it.
    ///
    /// # Errors
    /// A schema with a unique key that stored entities share, or what the journal says.
    pub fn of(journal: Journal) -> Result<Self, Error> {
        let schema = Arc::new(journal.inner.options.schema.clone().unwrap_or_default());
        let replica = Replica {
            mends_seen: Arc::new(AtomicU64::new(journal.inner.mends.load(Ordering::Acquire))),
            journal,
            schema,
            watchers: Arc::new(Mutex::new(Vec::new())),
            deferred: Arc::default(),
        };
        replica.prepare()?;
        Ok(replica)
    }

    /// Makes whatever is missing: everything, in a journal that was none; what mending dropped; the indexes of another
    /// schema.
    pub(super) fn prepare(&self) -> Result<(), Error> {
        let wanted = self.schema.to_json();
        let (is_whole, is_same) = self.journal.inner.read(|snapshot| {
            // Mending drops the indexes: then what is seen is made anew as well.
            let has_all =
                snapshot.keyed_if_there(LOCAL)?.is_some() && snapshot.keyed_if_there(UNIQUE)?.is_some();
            match snapshot.record::<ReplicaRecord>(META, FrameKind::Replica, REPLICA_KEY)? {
                Some(record) => Ok((has_all, record.schema == wanted)),
                None if snapshot.is_of_replica()? => Err(keep::missing()),
                None => Ok((false, false)),
            }
        })?;
        let is_of_replica = &self.journal.inner.is_of_replica;
        if is_whole && is_same {
            is_of_replica.store(true, Ordering::Release);
            return Ok(());
        }
        let prepared = self.maintain(|work, view| {
            for table in [CONFLICTS, CURSORS, FETCHED] {
                work.txn.open_table(table).map_err(engine)?;
            }
            work.txn.open_table(LOST).map_err(engine)?;
            let record = match keep::record_in(work.txn)? {
                Some(record) => record,
                None => without_record(work)?,
            };
            put_record(work.txn, &ReplicaRecord { schema: wanted.clone(), ..record })?;
            work.has_written = true;
            if !is_whole {
                view.clear_indexes()?;
                show_unsent(work, view)?;
            }
            index_anew(view)?;
            // Under the same schema the authority has said of duplicates what there is to say.
            if is_same { Ok(()) } else { require_no_duplicates(work, view) }
        });
        is_of_replica.fetch_or(prepared.is_ok(), Ordering::AcqRel);
        prepared
    }
}

/// Opens a journal, a replica's by the schema that it has: what is held and what is sent first depend on it.
///
/// # Errors
/// As [`Journal::open`]; a stored schema that is damaged.
#[cfg(feature = "cli")]
pub(crate) fn journal_by_its_schema(path: &Path) -> Result<Journal, Error> {
    let journal = Journal::open(path)?;
    if journal.is_of_replica() { by_stored_schema(journal) } else { Ok(journal) }
}

/// The journal of a replica; opened without a schema, by the one that is stored.
fn by_stored_schema(mut journal: Journal) -> Result<Journal, Error> {
    if journal.inner.options.schema.is_none() {
        let stored = journal.inner.read(|snapshot| Ok(keep::record(snapshot)?.schema))?;
        // Nobody else has a handle on it yet.
        let inner = Arc::get_mut(&mut journal.inner).ok_or(journal::Error::Failed)?;
        let schema = Schema::from_json(&stored);
        let of_file =
            |error| Error::Damaged { place: inner.place(), why: format!("the stored schema: {error}") };
        inner.options.schema = Some(schema.map_err(of_file)?);
    }
    Ok(journal)
}

/// What is wrong with a file, said of that file.
fn named(file: String, error: Error) -> Error {
    match error {
        Error::Journal { source: journal::Error::Damaged { place, source } } => {
            Error::Damaged { place: file, why: format!("{place}: {source}") }
        }
        Error::Journal { source: journal::Error::Corrupted { why } } => Error::Damaged { place: file, why },
        Error::Journal { source: journal::Error::Newer { place, source } } => {
            journal::Error::Newer { place: format!("{file}, {place},"), source }.into()
        }
        error => error,
    }
}

/// Why an effect is parked that was taken from what is seen.
const WHAT_CAME_OF_IT: &str = "what was done here was damaged: this is what came of it, and a part of it may have been sent; \
                               retry it, edit it or drop it";

/// The record of a replica that has none: a new one, or one whose record was damaged and set aside. Where something is known
/// of the authority, but not how far it was read, all of it is fetched anew; and numbers are not given out twice.
fn without_record(work: &mut Work<'_>) -> Result<ReplicaRecord, Error> {
    let last =
        work.txn.open_table(LOST).map_err(engine)?.last().map_err(engine)?.map(|(number, _)| number.value());
    let next = last.map_or(0, |last| last + 1);
    // Of what is known and not listed by the authority nothing would tell that it is gone.
    let is_known = !work.snapshot.keyed(BASE)?.is_empty().map_err(engine)?;
    forget_what_was_read(work.txn)?;
    Ok(ReplicaRecord {
        next_lost: next,
        next_decision: next,
        is_fetching_all: is_known,
        ..ReplicaRecord::default()
    })
}

/// Lays what the journal holds unsent over what it knows, and nothing else. What was unsent and is gone from the journal is
/// still seen: what leads there is parked.
fn show_unsent(work: &mut Work<'_>, view: &mut View<'_, super::Tables<'_>>) -> Result<(), Error> {
    let own = ReplicaId(Uuid::from_bytes(work.snapshot.identity()?.replica));
    let effects = super::rebase::unsent_effects(work.snapshot, &work.state)?;
    let mut kept = Vec::new();
    for key in view.unsent()? {
        let seen = view.visible(&key)?;
        let (base, stamps) = view.base(&key)?;
        view.lay(&key, &base, &stamps, None, Cause::Local)?;
        if effects.binary_search_by(|(other, _)| other.cmp(&key)).is_err()
            && let Some(entry) = leading_to(&key, &seen, &base, &stamps)
        {
            tracing::warn!(%key, "what was done to it is gone, and what came of it parked");
            parked::put(work.txn, &entry, CauseRecord::Refused { reason: WHAT_CAME_OF_IT.to_owned() }, 0)?;
            kept.push((key, entry.effect));
        }
    }
    for (key, effect) in effects.into_iter().chain(kept) {
        let (base, stamps) = view.base(&key)?;
        view.lay(&key, &base, &stamps, Some((&effect, own)), Cause::Local)?;
    }
    Ok(())
}

/// What leads from what the authority is known to hold to what is seen, if anything has to.
fn leading_to(key: &EntityKey, seen: &Version, base: &Base, stamps: &Stamps) -> Option<Entry> {
    let held = version_of(base, stamps.clone());
    let operations = between::operations(key, &held, seen, base, base, false);
    operations.iter().map(Entry::of_text).reduce(|first, second| first.then(&second))
}

/// Builds the indexes from what is seen, as the schema asks for.
fn index_anew(view: &mut View<'_, super::Tables<'_>>) -> Result<(), Error> {
    view.clear_indexes()?;
    for key in &view.keys(None)? {
        let visible = view.visible(key)?;
        view.index(key, &visible.existence, true)?;
    }
    Ok(())
}

/// Refuses a unique key whose values several entities have.
fn require_no_duplicates(work: &Work<'_>, view: &View<'_, super::Tables<'_>>) -> Result<(), Error> {
    let keys = view.keys(None)?;
    for (collection, declared) in view.schema.collections() {
        for fields in declared.unique_keys() {
            let mut holders: HashMap<Vec<String>, Vec<EntityKey>> = HashMap::new();
            for key in keys.iter().filter(|key| key.collection() == collection) {
                // What clashes with another side's entity is known to, and held.
                let conflict = conflicts::get(work.txn, key)?;
                if matches!(conflict, Some(ConflictRecord::Clash(_) | ConflictRecord::DecidedClash { .. })) {
                    continue;
                }
                if let Existence::Live(state) = view.visible(key)?.existence
                    && let Some(values) = key_values(&state, fields)
                {
                    holders.entry(values).or_default().push(key.clone());
                }
            }
            if let Some(holders) = holders.into_values().find(|holders| holders.len() > 1) {
                let collection = collection.to_string();
                return Err(Error::Duplicates { collection, unique: fields.to_vec(), holders });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use redb::{TableDefinition, TableHandle};

    use super::*;
    use crate::algebra::CollectionName;
    use crate::journal::tables::entity_bytes;

    /// A replica's file in which something was written that is no such thing.
    fn with_lies(lie: impl Fn(&mut Work<'_>) -> Result<(), journal::Error>) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("crew");
        let replica = Replica::create(&path, Options::new()).unwrap();
        let lies = replica.journal.inner.maintain(|work| {
            lie(work)?;
            work.has_written = true;
            Ok(())
        });
        lies.unwrap();
        (folder, path)
    }

    fn insert(
        work: &Work<'_>,
        table: TableDefinition<'_, &[u8], &[u8]>,
        place: &[u8],
    ) -> Result<(), journal::Error> {
        let mut table = work.txn.open_table(table).map_err(engine)?;
        table.insert(place, b"nothing of ours".as_slice()).map_err(engine)?;
        Ok(())
    }

    fn require_said_of(path: &Path, error: &Error, why: &str) {
        assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
        let said = error.to_string();
        assert!(said.contains(&path.display().to_string()) && said.contains(why), "{said}");
    }

    #[test]
    fn a_stored_schema_that_is_none_is_said_of_its_file() {
        let (_folder, path) = with_lies(|work| {
            let record = keep::record_in(work.txn)?.unwrap_or_default();
            put_record(work.txn, &ReplicaRecord { schema: "{\n".to_owned(), ..record })
        });
        for error in [Replica::open_to_read(&path, Options::new()), Replica::open(&path, Options::new())] {
            require_said_of(&path, &error.unwrap_err(), "the stored schema");
        }
    }

    #[test]
    fn what_cannot_be_opened_of_a_file_that_is_only_read_is_said_of_it() {
        let (_folder, path) = with_lies(|work| insert(work, META, REPLICA_KEY));
        let error = Replica::open_to_read(&path, Options::new()).unwrap_err();
        require_said_of(&path, &error, "replica");
    }

    #[test]
    fn a_file_that_is_only_read_is_refused_where_something_in_it_would_have_to_be_set_aside() {
        let key = EntityKey::new(CollectionName::new("notes").unwrap(), Uuid::from_u128(1)).unwrap();
        let place = entity_bytes(&key);
        let (_folder, path) = with_lies(|work| insert(work, BASE, &place));
        let before = std::fs::read(&path).unwrap();
        // Another schema has all of it read.
        let schema = Schema::from_json(r#"{"collections":{"notes":{"unique":[["title"]]}}}"#).unwrap();
        let error = Replica::open_to_read(&path, Options::new().schema(schema)).unwrap_err();
        require_said_of(&path, &error, "set aside");
        assert!(std::fs::read(&path).unwrap() == before);
    }

    #[test]
    fn a_table_of_another_kind_is_said_of_the_file_that_it_is_in() {
        let (_folder, path) = with_lies(|work| {
            work.txn.delete_table(UNIQUE).map_err(engine)?;
            let other: TableDefinition<'_, u64, u64> = TableDefinition::new(UNIQUE.name());
            work.txn.open_table(other).map(drop).map_err(engine)
        });
        let error = Replica::open_to_read(&path, Options::new()).unwrap_err();
        require_said_of(&path, &error, UNIQUE.name());
    }
}
