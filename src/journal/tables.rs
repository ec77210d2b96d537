//! The tables of a journal, and the places by which their values are framed and named.

use redb::{
    ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition, TableError,
    WriteTransaction,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::{Error, engine};
use crate::algebra::{CollectionName, EntityKey};
use crate::codec::FrameError;
use crate::codec::frame::{self, FrameKind};
use crate::codec::records::{Identity, JournalState};

pub(crate) type Numbered = TableDefinition<'static, u64, &'static [u8]>;
pub(crate) type Keyed = TableDefinition<'static, &'static [u8], &'static [u8]>;
pub(crate) type ReadKeyed = redb::ReadOnlyTable<&'static [u8], &'static [u8]>;

/// The log: operations as they came, keyed by sequence number.
pub(crate) const LOG: ColumnTables = ColumnTables {
    rows: TableDefinition::new("log_rows"),
    payload: TableDefinition::new("log_payload"),
    tag: b'l',
};
/// The compacted run, and the effects of the open bunch, keyed by ordinal.
pub(crate) const RUN: ColumnTables = ColumnTables {
    rows: TableDefinition::new("run_rows"),
    payload: TableDefinition::new("run_payload"),
    tag: b'r',
};
/// Identity and state.
pub(crate) const META: Keyed = TableDefinition::new("meta");
/// What the authority is known to hold, by entity.
pub(crate) const BASE: Keyed = TableDefinition::new("base");
/// Parked effects, by entity.
pub(crate) const PARKED: Keyed = TableDefinition::new("parked");
/// Effects as they were parked before what is still in the log brought them back, by entity. Only there once something
/// was brought back so.
pub(crate) const UNPARKED: Keyed = TableDefinition::new("unparked");
/// Which entity an entity's effect waits for, by entity.
pub(crate) const WAITS: Keyed = TableDefinition::new("waits");
/// Open conflicts, by entity. Only there in a replica's file.
pub(crate) const CONFLICTS: Keyed = TableDefinition::new("conflicts");
/// What the program sees, where that is not just what the authority holds, by entity. Only there in a replica's file,
/// like all that follow up to the indexes.
pub(crate) const LOCAL: Keyed = TableDefinition::new("local");
/// Values that lost, oldest first.
pub(crate) const LOST: Numbered = TableDefinition::new("lost");
/// What merges left of an entity, by entity. Only there once something was merged.
pub(crate) const MERGED: Keyed = TableDefinition::new("merged");
/// How far each collection was read.
pub(crate) const CURSORS: Keyed = TableDefinition::new("cursors");
/// What was fetched so far while everything is fetched anew: keys alone.
pub(crate) const FETCHED: Keyed = TableDefinition::new("fetched");
/// Who has a unique key, among what the program sees live: collection, number of the key, hash of its values, id. An
/// index: made anew from the rest where it is missing.
pub(crate) const UNIQUE: Keyed = TableDefinition::new("unique");
/// Who refers to whom, among what the program sees live: whom, then who. An index, too.
pub(crate) const REFERENCES: Keyed = TableDefinition::new("references");
/// The text of the open bunch, in pieces.
pub(crate) const BUNCH: Numbered = TableDefinition::new("bunch");
/// Effects that gave way to the authority's side.
pub(crate) const SUPERSEDED: Numbered = TableDefinition::new("superseded");
/// Triggers by index.
pub(crate) const INBOX: Numbered = TableDefinition::new("inbox");
/// What was damaged, as it was found. Only there once something was.
pub(crate) const SET_ASIDE: Numbered = TableDefinition::new("set_aside");

pub(crate) const IDENTITY_KEY: &[u8] = b"identity";
pub(crate) const STATE_KEY: &[u8] = b"state";
pub(crate) const REPLICA_KEY: &[u8] = b"replica";

/// Two tables that hold one list as two columns.
#[derive(Clone, Copy)]
pub(crate) struct ColumnTables {
    pub(crate) rows: Numbered,
    pub(crate) payload: Numbered,
    tag: u8,
}

impl ColumnTables {
    /// The place of a value of rows (or of payload) for its frame.
    pub(crate) fn place(&self, is_rows: bool, first: u64) -> [u8; 10] {
        let mut place = [0; 10];
        let (head, number) = place.split_at_mut(2);
        head.copy_from_slice(&[self.tag, u8::from(is_rows)]);
        number.copy_from_slice(&first.to_le_bytes());
        place
    }

    /// Whether these are the log's, not the run's.
    pub(crate) fn is_log(&self) -> bool {
        self.tag == LOG.tag
    }

    /// The name of a value for people.
    pub(crate) fn name(&self, is_rows: bool, first: u64) -> String {
        let column = if is_rows { "rows" } else { "payload" };
        match self.tag {
            b'l' => format!("the log's {column} from operation {first}"),
            _ => format!("the compacted run's {column} from entry {first}"),
        }
    }
}

/// The key of an entity in a table: the collection's name, a zero (which no name holds), the id.
pub(crate) fn entity_bytes(key: &EntityKey) -> Vec<u8> {
    let name = key.collection().as_str().as_bytes();
    let mut bytes = Vec::with_capacity(name.len() + 17);
    bytes.extend_from_slice(name);
    bytes.push(0);
    bytes.extend_from_slice(key.id().as_bytes());
    bytes
}

/// The entity of a key in a table.
pub(crate) fn entity_of(bytes: &[u8]) -> Result<EntityKey, FrameError> {
    let wrong = || FrameError::Body { why: "a key names no entity".to_owned() };
    let (name, id) = bytes.split_last_chunk::<16>().ok_or_else(wrong)?;
    let name = name.strip_suffix(&[0]).and_then(|name| std::str::from_utf8(name).ok()).ok_or_else(wrong)?;
    crate::codec::records::key_of(name, *id)
}

/// Forgets how far a replica read, and what it read of a fetch of everything that was not at its end.
pub(crate) fn forget_what_was_read(txn: &WriteTransaction) -> Result<(), Error> {
    for table in [CURSORS, FETCHED] {
        txn.open_table(table).map_err(engine)?.retain(|_, _| false).map_err(engine)?;
    }
    Ok(())
}

/// The collection of a cursor's key.
pub(crate) fn collection_of(bytes: &[u8]) -> Result<CollectionName, FrameError> {
    let wrong = || FrameError::Body { why: "a key names no collection".to_owned() };
    let name = std::str::from_utf8(bytes).map_err(|_| wrong())?;
    CollectionName::new(name).map_err(|_| wrong())
}

/// A place that is damaged, for the error.
pub(crate) fn damaged(place: impl Into<String>) -> impl FnOnce(FrameError) -> Error {
    let place = place.into();
    move |source| match source {
        FrameError::Newer { .. } => Error::Newer { place, source },
        source => Error::Damaged { place, source },
    }
}

/// A consistent view of the journal as it was last committed. Never held across a caller's code: it
/// pins every page it might read.
pub(crate) struct Snapshot {
    pub(crate) txn: ReadTransaction,
}

impl Snapshot {
    pub(crate) fn of(db: &redb::Database) -> Result<Self, Error> {
        Ok(Snapshot { txn: db.begin_read().map_err(engine)? })
    }

    pub(crate) fn numbered(&self, table: Numbered) -> Result<redb::ReadOnlyTable<u64, &'static [u8]>, Error> {
        self.txn.open_table(table).map_err(engine)
    }

    /// A table that is made only when it is needed.
    pub(crate) fn numbered_if_there(
        &self,
        table: Numbered,
    ) -> Result<Option<redb::ReadOnlyTable<u64, &'static [u8]>>, Error> {
        match self.txn.open_table(table) {
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            opened => opened.map(Some).map_err(engine),
        }
    }

    /// As [`Snapshot::numbered_if_there`].
    pub(crate) fn keyed_if_there(&self, table: Keyed) -> Result<Option<ReadKeyed>, Error> {
        match self.txn.open_table(table) {
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            opened => opened.map(Some).map_err(engine),
        }
    }

    pub(crate) fn keyed(
        &self,
        table: Keyed,
    ) -> Result<redb::ReadOnlyTable<&'static [u8], &'static [u8]>, Error> {
        self.txn.open_table(table).map_err(engine)
    }

    /// One record by key; none where there is no such key.
    pub(crate) fn record<T: DeserializeOwned>(
        &self,
        table: Keyed,
        kind: FrameKind,
        key: &[u8],
    ) -> Result<Option<T>, Error> {
        let table = self.keyed(table)?;
        match table.get(key).map_err(engine)? {
            None => Ok(None),
            Some(guard) => {
                frame::open_record(kind, key, guard.value()).map(Some).map_err(damaged(key_name(key)))
            }
        }
    }

    /// Whether a replica shows what is in this file. A record of a name that nobody gave is its record, under a damaged
    /// one: the others are there under theirs, or nothing is opened.
    pub(crate) fn is_of_replica(&self) -> Result<bool, Error> {
        for row in self.keyed(META)?.iter().map_err(engine)? {
            if ![IDENTITY_KEY, STATE_KEY].contains(&row.map_err(engine)?.0.value()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(crate) fn identity(&self) -> Result<Identity, Error> {
        self.meta(FrameKind::Identity, IDENTITY_KEY)
    }

    pub(crate) fn state(&self) -> Result<JournalState, Error> {
        self.meta(FrameKind::State, STATE_KEY)
    }

    fn meta<T: DeserializeOwned>(&self, kind: FrameKind, key: &[u8]) -> Result<T, Error> {
        self.record(META, kind, key)?
            .ok_or_else(|| damaged(key_name(key))(FrameError::Body { why: "it is missing".to_owned() }))
    }
}

/// The name of a key for people.
pub(crate) fn key_name(key: &[u8]) -> String {
    match entity_of(key) {
        Ok(entity) => format!("the record of {entity}"),
        Err(_) => format!("the record {:?}", String::from_utf8_lossy(key)),
    }
}

/// Refuses a table of which fewer values were found than the engine counts: it does not check the pages by which
/// it finds its way, and one that is damaged hides what lies behind it.
pub(crate) fn require_all<K: redb::Key + 'static, V: redb::Value + 'static>(
    table: &redb::ReadOnlyTable<K, V>,
    found: u64,
    place: impl FnOnce() -> String,
) -> Result<(), Error> {
    let counted = table.len().map_err(engine)?;
    if counted == found {
        return Ok(());
    }
    let why = format!("{found} values are found, but the engine counts {counted}");
    Err(damaged(place())(FrameError::Body { why }))
}

/// Writes one record under a key.
pub(crate) fn put_record<T: Serialize>(
    txn: &WriteTransaction,
    table: Keyed,
    kind: FrameKind,
    key: &[u8],
    record: &T,
) -> Result<(), Error> {
    let framed = frame::record(kind, key, record).map_err(damaged(key_name(key)))?;
    txn.open_table(table).map_err(engine)?.insert(key, framed.as_slice()).map_err(engine)?;
    Ok(())
}

/// Where the journal stands, inside a transaction that may have changed it.
pub(crate) fn state_in(txn: &WriteTransaction) -> Result<JournalState, Error> {
    record_in(txn, META, FrameKind::State, STATE_KEY)?
        .ok_or_else(|| Error::Corrupted { why: "the journal's state is missing".to_owned() })
}

/// One record by key, inside a transaction that may have changed it.
pub(crate) fn record_in<T: DeserializeOwned>(
    txn: &WriteTransaction,
    table: Keyed,
    kind: FrameKind,
    key: &[u8],
) -> Result<Option<T>, Error> {
    let table = txn.open_table(table).map_err(engine)?;
    let found = table.get(key).map_err(engine)?;
    found
        .map(|guard| frame::open_record(kind, key, guard.value()).map_err(damaged(key_name(key))))
        .transpose()
}

/// Whether a table holds nothing: mostly so with what is rare, and then nothing in it need be looked for one by one.
pub(crate) fn is_empty_in(txn: &WriteTransaction, table: Keyed) -> Result<bool, Error> {
    txn.open_table(table).map_err(engine)?.is_empty().map_err(engine)
}

/// Writes where the journal stands.
pub(crate) fn put_state(txn: &WriteTransaction, state: &JournalState) -> Result<(), Error> {
    put_record(txn, META, FrameKind::State, STATE_KEY, state)
}
