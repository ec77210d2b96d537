//! Reading the log back: what was appended since the last pass, without its payloads.

use super::Journal;
use super::columns::ColumnReader;
use super::entry::Interned;
use super::error::Error;
use super::tables::LOG;
use crate::algebra::{EntityKey, Kind, Millis, Seq};
use crate::codec::FrameError;

/// One operation of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// Its place.
    pub seq: Seq,
    /// The entity.
    pub key: EntityKey,
    /// What it does.
    pub kind: Kind,
    /// When it was made; a journal fills it in from its clock.
    pub at: Option<Millis>,
}

impl Journal {
    /// The operations that were appended since the last pass, from one on, at most so many: who and what,
    /// not the fields. An empty list says that there are no more.
    ///
    /// # Errors
    /// A journal that is suspended or damaged, or what the storage says.
    pub fn log(&self, from: Seq, most: usize) -> Result<Vec<Logged>, Error> {
        self.inner.read(|snapshot| {
            let reader = ColumnReader::new(snapshot, LOG)?;
            let mut interned = Interned::default();
            let mut found = Vec::new();
            reader.scan_from(from.0, |first, rows| {
                let names: Vec<u32> = rows
                    .preamble
                    .names
                    .iter()
                    .map(|name| interned.name(name))
                    .collect::<Result<_, _>>()
                    .map_err(reader.damaged_rows(first))?;
                for (seq, row) in (first..).zip(rows.iter()) {
                    if found.len() >= most {
                        return Ok(false);
                    }
                    if seq < from.0 {
                        continue;
                    }
                    let logged = row.and_then(|row| {
                        let name = names.get(usize::from(row.name)).copied().unwrap_or(u32::MAX);
                        let collection = interned.collection(name)?.clone();
                        let key = EntityKey::new(collection, row.id)
                            .map_err(|error| FrameError::Body { why: error.to_string() })?;
                        Ok(Logged { seq: Seq(seq), key, kind: row.kind(), at: row.shape.clock.time() })
                    });
                    found.push(logged.map_err(reader.damaged_rows(first))?);
                }
                Ok(found.len() < most)
            })?;
            Ok(found)
        })
    }
}
