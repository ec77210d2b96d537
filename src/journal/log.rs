//! Reading the log back: what was appended since the last pass, without its payloads.

use uuid::Uuid;

use super::Journal;
use super::columns::ColumnReader;
use super::entry::Interned;
use super::error::Error;
use super::tables::LOG;
use crate::algebra::{CollectionName, Kind, Millis, Seq};
use crate::codec::FrameError;
use crate::codec::row::Brief;

/// A stretch of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    collections: Vec<CollectionName>,
    /// The operations in their order.
    pub operations: Vec<Logged>,
}

/// One operation of the log: who and what, not the fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logged {
    /// Its place.
    pub seq: Seq,
    /// The entity's id.
    pub id: Uuid,
    /// When it was made; a journal fills it in from its clock.
    pub at: Option<Millis>,
    /// What it does.
    pub kind: Kind,
    collection: u32,
}

impl Log {
    /// The collection of an operation of this log.
    #[must_use]
    pub fn collection(&self, logged: &Logged) -> Option<&CollectionName> {
        self.collections.get(logged.collection as usize)
    }
}

impl Journal {
    /// The operations that were appended since the last pass, from one on, at most so many. No operations:
    /// there are no more.
    ///
    /// # Errors
    /// A journal that is suspended or damaged, or what the storage says.
    pub fn log(&self, from: Seq, most: usize) -> Result<Log, Error> {
        self.inner.read(|snapshot| {
            let reader = ColumnReader::new(snapshot, LOG)?;
            let mut interned = Interned::default();
            let mut operations = Vec::new();
            // What is older may be there still, but it is folded.
            let from = Seq(from.0.max(snapshot.state()?.log_begins));
            reader.scan_from(from.0, |first, rows| {
                let names: Vec<u32> = rows
                    .preamble
                    .names
                    .iter()
                    .map(|name| interned.name(name))
                    .collect::<Result<_, _>>()
                    .map_err(reader.damaged_rows(first))?;
                let skipped = usize::try_from(from.0.saturating_sub(first)).unwrap_or(usize::MAX);
                let left = most - operations.len();
                operations.reserve(left.min(rows.preamble.rows as usize));
                let mut seq = from.0.max(first);
                let mut is_named = true;
                rows.brief(skipped, left, |Brief { id, name, at, kind }| {
                    let collection = names.get(usize::from(name)).copied();
                    is_named &= collection.is_some();
                    let collection = collection.unwrap_or_default();
                    operations.push(Logged { seq: Seq(seq), id, at, kind, collection });
                    seq += 1;
                })
                .map_err(reader.damaged_rows(first))?;
                if !is_named {
                    let why = "a row names no collection".to_owned();
                    return Err(reader.damaged_rows(first)(FrameError::Body { why }));
                }
                Ok(operations.len() < most)
            })?;
            Ok(Log { collections: interned.into_names(), operations })
        })
    }
}
