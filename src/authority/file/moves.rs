//! Keys without values that a delivery takes and leaves: kept in order and written at its end, seen before.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use redb::ReadableTable;

use super::tables::{Bytes, WriteTable, engine};
use crate::authority::Error;

/// Keys that were taken or left since the last write.
#[derive(Debug, Default)]
pub(super) struct Moves(BTreeMap<Vec<u8>, bool>);

impl Moves {
    pub(super) fn take(&mut self, key: Vec<u8>) {
        self.0.insert(key, true);
    }

    pub(super) fn leave(&mut self, key: Vec<u8>) {
        self.0.insert(key, false);
    }

    /// Forgets that a key was taken since the last write; whether it was.
    pub(super) fn forget(&mut self, key: &[u8]) -> bool {
        self.0.remove(key).is_some()
    }

    /// Walks over the keys of a range, in their order, as they are with these moves, until it is told to stop.
    pub(super) fn walk<T: ReadableTable<Bytes, Bytes>>(
        &self,
        table: &T,
        from: &[u8],
        to: &[u8],
        mut each: impl FnMut(&[u8]) -> Result<ControlFlow<()>, Error>,
    ) -> Result<(), Error> {
        let mut moved = self.0.range(from.to_vec()..to.to_vec()).peekable();
        for row in table.range(from..to).map_err(engine)? {
            let (row, _) = row.map_err(engine)?;
            let key = row.value();
            while let Some((place, is_in)) = moved.next_if(|(place, _)| place.as_slice() < key) {
                if *is_in && each(place)?.is_break() {
                    return Ok(());
                }
            }
            let is_left =
                moved.next_if(|(place, _)| place.as_slice() == key).is_some_and(|(_, is_in)| !is_in);
            if !is_left && each(key)?.is_break() {
                return Ok(());
            }
        }
        for (place, _) in moved.filter(|(_, is_in)| **is_in) {
            if each(place)?.is_break() {
                return Ok(());
            }
        }
        Ok(())
    }

    pub(super) fn write(self, table: &mut WriteTable<'_>) -> Result<(), Error> {
        for (key, is_in) in self.0 {
            if is_in {
                table.insert(key.as_slice(), [].as_slice()).map_err(engine)?;
            } else {
                table.remove(key.as_slice()).map_err(engine)?;
            }
        }
        Ok(())
    }
}
