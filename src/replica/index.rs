//! The indexes: who has the values of a unique key, and who refers to whom.
//!
//! What a transaction moves in them is kept in order and written at its end: neighbours go into one page of the
//! file while that page is at hand, which is most of what a page of rows costs. Who looks something up sees it before.

use std::collections::BTreeMap;

use redb::{ReadableTable, Table};
use uuid::Uuid;

use crate::algebra::{CollectionName, EntityKey};
use crate::journal::Error;
use crate::journal::error::engine;
use crate::journal::tables::entity_bytes;

type Bytes = &'static [u8];

/// So many moves are kept before they are written: some 10 MiB.
const MOVES_MAX: usize = 65_536;

/// Values of a unique key up to this length stand in its places as they are: short places make many a page.
const VALUES_BYTES_MAX: usize = 64;

/// One index: places that begin with what is looked up, and end with the id that is found.
pub(super) struct Index<R> {
    table: R,
    /// Places that were taken or left since they were last written.
    moves: BTreeMap<Vec<u8>, bool>,
}

impl<R: ReadableTable<Bytes, Bytes>> Index<R> {
    pub(super) fn new(table: R) -> Self {
        Index { table, moves: BTreeMap::new() }
    }

    /// The ids at the places that begin so, in their order.
    pub(super) fn found(&self, prefix: &[u8]) -> Result<Vec<Uuid>, Error> {
        let mut ids = BTreeMap::new();
        for row in ranged(&self.table, prefix)? {
            ids.extend(id_behind(prefix, row.map_err(engine)?.0.value()).map(|id| (id, true)));
        }
        let moved = self.moves.range(prefix.to_vec()..).take_while(|(place, _)| place.starts_with(prefix));
        ids.extend(moved.filter_map(|(place, is_in)| Some((id_behind(prefix, place)?, *is_in))));
        Ok(ids.into_iter().filter(|(_, is_in)| *is_in).map(|(id, _)| id).collect())
    }

    /// Whether a place is taken, as far as that is written.
    pub(super) fn has(&self, place: &[u8]) -> Result<bool, Error> {
        Ok(self.table.get(place).map_err(engine)?.is_some())
    }

    /// How many places are taken, as far as that is written.
    pub(super) fn len(&self) -> Result<u64, Error> {
        self.table.len().map_err(engine)
    }
}

impl Index<Table<'_, Bytes, Bytes>> {
    /// Takes a place, or leaves it.
    pub(super) fn put(&mut self, place: Vec<u8>, is_in: bool) -> Result<(), Error> {
        self.moves.insert(place, is_in);
        if self.moves.len() >= MOVES_MAX { self.write() } else { Ok(()) }
    }

    /// Writes what was moved.
    pub(super) fn write(&mut self) -> Result<(), Error> {
        for (place, is_in) in std::mem::take(&mut self.moves) {
            if is_in {
                self.table.insert(place.as_slice(), [].as_slice()).map_err(engine)?;
            } else {
                self.table.remove(place.as_slice()).map_err(engine)?;
            }
        }
        Ok(())
    }

    /// Leaves every place.
    pub(super) fn clear(&mut self) -> Result<(), Error> {
        self.moves.clear();
        self.table.retain(|_, _| false).map_err(engine)
    }
}

/// Where the entities with one value of a unique key begin. Values stand there as they are, so that those of one scope
/// are neighbours; long ones as a hash.
pub(super) fn unique_prefix(collection: &CollectionName, number: usize, values: &[String]) -> Vec<u8> {
    let name = collection.as_str().as_bytes();
    let mut bytes = Vec::with_capacity(name.len() + 5 + VALUES_BYTES_MAX + 16);
    bytes.extend_from_slice(name);
    bytes.push(0);
    bytes.extend_from_slice(&u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes());
    let begin = bytes.len();
    for value in values {
        // No zero is in the text of a JSON value.
        bytes.extend_from_slice(value.as_bytes());
        bytes.push(0);
    }
    if bytes.len() - begin > VALUES_BYTES_MAX {
        let hash = blake3::hash(bytes.get(begin..).unwrap_or_default());
        bytes.truncate(begin);
        // Nor does any begin so.
        bytes.push(0);
        bytes.extend_from_slice(hash.as_bytes());
    }
    bytes
}

/// Where those begin that refer to an entity by one field.
pub(super) fn reference_prefix(to: &EntityKey, from: &CollectionName, field: &str) -> Vec<u8> {
    let mut bytes = entity_bytes(to);
    bytes.extend_from_slice(from.as_str().as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(field.as_bytes());
    bytes.push(0);
    bytes
}

/// A key with the id at its end.
pub(super) fn with_id(mut prefix: Vec<u8>, id: Uuid) -> Vec<u8> {
    prefix.extend_from_slice(id.as_bytes());
    prefix
}

/// The id at the end of a key that begins so; none where it is longer than that.
fn id_behind(prefix: &[u8], key: &[u8]) -> Option<Uuid> {
    key.strip_prefix(prefix).and_then(|id| <[u8; 16]>::try_from(id).ok()).map(Uuid::from_bytes)
}

/// The rows of a table whose keys begin so.
pub(super) fn ranged<'r, R: ReadableTable<Bytes, Bytes>>(
    table: &'r R,
    prefix: &[u8],
) -> Result<redb::Range<'r, Bytes, Bytes>, Error> {
    match behind(prefix) {
        Some(end) => table.range(prefix..end.as_slice()).map_err(engine),
        None => table.range(prefix..).map_err(engine),
    }
}

/// The first key behind all those that begin so.
fn behind(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_so_ends_before_the_next_that_does_not() {
        assert_eq!(behind(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(behind(b"a\xff\xff"), Some(b"b".to_vec()));
        assert_eq!(behind(b"\xff"), None);
        assert_eq!(behind(b""), None);
    }
}
