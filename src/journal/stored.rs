//! Every stored value of a journal, each opened by the rules of its table.

use redb::{ReadableTable, ReadableTableMetadata, TableHandle};

use super::entry;
use super::error::{Error, engine};
use super::tables::{
    BASE, BUNCH, CONFLICTS, CURSORS, ColumnTables, FETCHED, IDENTITY_KEY, INBOX, Keyed, LOCAL, LOG, LOST,
    MERGED, META, Numbered, PARKED, REPLICA_KEY, RUN, SET_ASIDE, SUPERSEDED, Snapshot, UNPARKED, WAITS,
    collection_of, entity_of, key_name,
};
use crate::algebra::Index;
use crate::codec::FrameError;
use crate::codec::columns::Rows;
use crate::codec::frame::{self, FrameKind};
use crate::codec::kept::{ConflictRecord, LocalRecord, LostRecord, MergedRecord, ReplicaRecord};
use crate::codec::records::{
    self, BaseRecord, Identity, JournalState, ParkedRecord, SetAsideRecord, SupersededRecord, TriggerRecord,
};

type Opens = fn(&[u8], &[u8]) -> Result<(), FrameError>;

/// One table of a journal, and how its values are opened.
#[derive(Clone, Copy)]
pub(crate) enum Table {
    Rows(ColumnTables),
    Payload(ColumnTables),
    Keyed { table: Keyed, of: &'static str, opens: Opens },
    Numbered { table: Numbered, of: &'static str, opens: Opens },
}

/// Where a value lies in its table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Number(u64),
    Key(Vec<u8>),
}

impl Place {
    pub(crate) fn number(&self) -> Option<u64> {
        match self {
            Place::Number(number) => Some(*number),
            Place::Key(_) => None,
        }
    }

    pub(crate) fn key(&self) -> Option<&[u8]> {
        match self {
            Place::Number(_) => None,
            Place::Key(key) => Some(key),
        }
    }
}

/// A stored value.
pub(crate) struct Value<'v> {
    pub(crate) place: Place,
    pub(crate) bytes: &'v [u8],
    /// The rows in it, where it is one of rows; or what is wrong with it.
    pub(crate) opened: Result<u64, FrameError>,
}

/// All tables.
pub(crate) const TABLES: [Table; 19] = [
    Table::Rows(LOG),
    Table::Payload(LOG),
    Table::Rows(RUN),
    Table::Payload(RUN),
    Table::Keyed { table: BASE, of: "the base knowledge", opens: base },
    Table::Keyed { table: PARKED, of: "the parked effects", opens: parked },
    Table::Keyed { table: UNPARKED, of: "the effects that were brought back", opens: unparked },
    Table::Keyed { table: WAITS, of: "who waits for whom", opens: waits },
    Table::Keyed { table: META, of: "the identity and the state", opens: meta },
    Table::Keyed { table: CONFLICTS, of: "the open conflicts", opens: conflict },
    Table::Keyed { table: LOCAL, of: "what is seen of the entities", opens: local },
    Table::Keyed { table: MERGED, of: "what merges left", opens: merged },
    Table::Keyed { table: CURSORS, of: "the cursors", opens: cursor },
    Table::Keyed { table: FETCHED, of: "what was fetched so far", opens: fetched },
    Table::Numbered { table: LOST, of: "lost value", opens: lost },
    Table::Numbered { table: BUNCH, of: "piece of the open bunch", opens: bunch },
    Table::Numbered { table: SUPERSEDED, of: "superseded effect", opens: superseded },
    Table::Numbered { table: INBOX, of: "trigger", opens: trigger },
    Table::Numbered { table: SET_ASIDE, of: "value set aside", opens: set_aside },
];

impl Table {
    /// What it holds, for people.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Table::Rows(tables) if tables.is_log() => "the log's rows",
            Table::Payload(tables) if tables.is_log() => "the log's payload",
            Table::Rows(_) => "the compacted run's rows",
            Table::Payload(_) => "the compacted run's payload",
            Table::Keyed { of, .. } | Table::Numbered { of, .. } => of,
        }
    }

    /// The name of one of its values for people.
    pub(crate) fn place_name(&self, place: &Place) -> String {
        match (self, place) {
            (Table::Rows(tables), Place::Number(first)) => tables.name(true, *first),
            (Table::Payload(tables), Place::Number(first)) => tables.name(false, *first),
            (Table::Numbered { of, .. } | Table::Keyed { of, .. }, Place::Number(number)) => {
                format!("{of} {number}")
            }
            (_, Place::Key(key)) => key_name(key),
        }
    }

    /// Whether it is the table of this name.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.stored_as() == name
    }

    /// The name that the engine has for it.
    pub(crate) fn stored_as(&self) -> &str {
        match self {
            Table::Rows(tables) => tables.rows.name(),
            Table::Payload(tables) => tables.payload.name(),
            Table::Keyed { table, .. } => table.name(),
            Table::Numbered { table, .. } => table.name(),
        }
    }

    /// As the engine has it, if its keys are numbers.
    pub(crate) fn numbered(&self) -> Option<Numbered> {
        match self {
            Table::Rows(tables) => Some(tables.rows),
            Table::Payload(tables) => Some(tables.payload),
            Table::Numbered { table, .. } => Some(*table),
            Table::Keyed { .. } => None,
        }
    }

    /// As the engine has it, if its keys are no numbers.
    pub(crate) fn keyed(&self) -> Option<Keyed> {
        match self {
            Table::Rows(_) | Table::Payload(_) | Table::Numbered { .. } => None,
            Table::Keyed { table, .. } => Some(*table),
        }
    }

    /// The place of a key as the engine has it.
    pub(crate) fn place_of(&self, key: &[u8]) -> Option<Place> {
        match self {
            Table::Keyed { .. } => Some(Place::Key(key.to_owned())),
            Table::Rows(_) | Table::Payload(_) | Table::Numbered { .. } => {
                Some(Place::Number(u64::from_le_bytes(key.try_into().ok()?)))
            }
        }
    }

    /// Opens a value; says how many rows are in it.
    pub(crate) fn opened(&self, place: &Place, bytes: &[u8]) -> Result<u64, FrameError> {
        match (self, place) {
            (Table::Rows(tables), Place::Number(first)) => count(tables, *first, bytes),
            (Table::Payload(tables), Place::Number(first)) => {
                frame::open(FrameKind::Payload, &tables.place(false, *first), bytes).map(|_| 0)
            }
            (Table::Keyed { opens, .. }, Place::Key(key)) => opens(key, bytes).map(|()| 0),
            (Table::Numbered { opens, .. }, Place::Number(number)) => {
                opens(&number.to_le_bytes(), bytes).map(|()| 0)
            }
            (Table::Keyed { .. }, Place::Number(_))
            | (Table::Rows(_) | Table::Payload(_) | Table::Numbered { .. }, Place::Key(_)) => {
                Err(FrameError::Kind)
            }
        }
    }

    /// Whether it was made: some are only there once they are needed.
    pub(crate) fn is_there(&self, snapshot: &Snapshot) -> Result<bool, Error> {
        match self {
            Table::Rows(_) | Table::Payload(_) => Ok(true),
            Table::Keyed { table, .. } => Ok(snapshot.keyed_if_there(*table)?.is_some()),
            Table::Numbered { table, .. } => Ok(snapshot.numbered_if_there(*table)?.is_some()),
        }
    }

    /// Visits every value; gives how many the engine counts but does not find, for some page of its own is damaged.
    pub(crate) fn visit(
        &self,
        snapshot: &Snapshot,
        mut visit: impl FnMut(Value<'_>) -> Result<(), Error>,
    ) -> Result<u64, Error> {
        // A damaged page leads a walk twice to the same values as well: only those that ascend count.
        let (mut found, mut last) = (0, None);
        let mut visit = |value: Value<'_>| {
            if last.as_ref().is_none_or(|last| *last < value.place) {
                found += 1;
                last = Some(value.place.clone());
            }
            visit(value)
        };
        let mut counted = 0;
        if let Some(table) =
            self.numbered().map(|table| snapshot.numbered_if_there(table)).transpose()?.flatten()
        {
            for value in table.iter().map_err(engine)? {
                let (number, value) = value.map_err(engine)?;
                let (place, bytes) = (Place::Number(number.value()), value.value());
                let opened = self.opened(&place, bytes);
                visit(Value { place, bytes, opened })?;
            }
            counted = table.len().map_err(engine)?;
        }
        if let Some(table) = self.keyed().map(|table| snapshot.keyed_if_there(table)).transpose()?.flatten() {
            for value in table.iter().map_err(engine)? {
                let (key, value) = value.map_err(engine)?;
                let (place, bytes) = (Place::Key(key.value().to_owned()), value.value());
                let opened = self.opened(&place, bytes);
                visit(Value { place, bytes, opened })?;
            }
            counted = table.len().map_err(engine)?;
        }
        Ok(counted.saturating_sub(found))
    }
}

/// What is said of values that are counted and not found.
pub(crate) fn cannot_be_found(values: u64) -> String {
    format!("{values} values cannot be found any more")
}

/// How many rows a value of rows holds, each of them read.
fn count(tables: &ColumnTables, first: u64, bytes: &[u8]) -> Result<u64, FrameError> {
    let rows = Rows::open(&tables.place(true, first), first, bytes)?;
    rows.iter().try_fold(0, |count, row| row.map(|_| count + 1))
}

fn base(place: &[u8], bytes: &[u8]) -> Result<(), FrameError> {
    entity_of(place)?;
    frame::open_record::<BaseRecord>(FrameKind::Base, place, bytes)?.base().map(drop)
}

fn parked(place: &[u8], bytes: &[u8]) -> Result<(), FrameError> {
    parked_as(FrameKind::Parked, place, bytes)
}

fn unparked(place: &[u8], bytes: &[u8]) -> Result<(), FrameError> {
    parked_as(FrameKind::Unparked, place, bytes)
}

fn parked_as(kind: FrameKind, place: &[u8], bytes: &[u8]) -> Result<(), FrameError> {
    let record: ParkedRecord = frame::open_record(kind, place, bytes)?;
    entry::from_alone(place, &record.rows).map(drop)
}

fn waits(place: &[u8], bytes: &[u8]) -> Result<(), FrameError> {
    entity_of(place)?;
    let (name, id): (String, [u8; 16]) = frame::open_record(FrameKind::Waits, place, bytes)?;
    records::key_of(&name, id).map(drop)
}

fn meta(place: &[u8], bytes: &[u8]) -> Result<(), FrameError> {
    if place == IDENTITY_KEY {
        frame::open_record::<Identity>(FrameKind::Identity, place, bytes).map(drop)
    } else if place == REPLICA_KEY {
        frame::open_record::<ReplicaRecord>(FrameKind::Replica, place, bytes).map(drop)
    } else {
        frame::open_record::<JournalState>(FrameKind::State, place, bytes).map(drop)
    }
}

fn conflict(place: &[u8], bytes: &[u8]) -> Result<(), FrameError> {
    let key = entity_of(place)?;
    match frame::open_record(FrameKind::Conflict, place, bytes)? {
        ConflictRecord::Concurrent { before } | ConflictRecord::Decided { before } => {
            before.version().map(drop)
        }
        ConflictRecord::Clash(clash) | ConflictRecord::DecidedClash { clash, .. } => {
            records::key_of(key.collection().as_str(), clash.holder)?;
            clash.before.map_or(Ok(()), |before| before.version().map(drop))
        }
    }
}

fn local(place: &[u8], bytes: &[u8]) -> Result<(), FrameError> {
    entity_of(place)?;
    frame::open_record::<LocalRecord>(FrameKind::Local, place, bytes)?.version().map(drop)
}

fn merged(place: &[u8], bytes: &[u8]) -> Result<(), FrameError> {
    entity_of(place)?;
    let record: MergedRecord = frame::open_record(FrameKind::Merged, place, bytes)?;
    record.given.into_iter().try_for_each(|(_, version)| version.version().map(drop))
}

fn cursor(place: &[u8], bytes: &[u8]) -> Result<(), FrameError> {
    collection_of(place)?;
    frame::open_record::<(u64, u64)>(FrameKind::Cursor, place, bytes).map(drop)
}

fn fetched(place: &[u8], _: &[u8]) -> Result<(), FrameError> {
    entity_of(place).map(drop)
}

fn lost(place: &[u8], bytes: &[u8]) -> Result<(), FrameError> {
    let record: LostRecord = frame::open_record(FrameKind::Lost, place, bytes)?;
    record.key()?;
    record.patch().map(drop)
}

fn bunch(place: &[u8], bytes: &[u8]) -> Result<(), FrameError> {
    frame::open(FrameKind::BunchText, place, bytes).map(drop)
}

fn superseded(place: &[u8], bytes: &[u8]) -> Result<(), FrameError> {
    let record: SupersededRecord = frame::open_record(FrameKind::Superseded, place, bytes)?;
    record.state.map(|json| records::state_of(&json)).transpose()?;
    entry::from_alone(place, &record.rows).map(drop)
}

fn trigger(place: &[u8], bytes: &[u8]) -> Result<(), FrameError> {
    let record: TriggerRecord = frame::open_record(FrameKind::Trigger, place, bytes)?;
    record.trigger(Index(1)).map(drop)
}

fn set_aside(place: &[u8], bytes: &[u8]) -> Result<(), FrameError> {
    frame::open_record::<SetAsideRecord>(FrameKind::SetAside, place, bytes).map(drop)
}
