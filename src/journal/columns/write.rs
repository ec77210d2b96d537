//! Writing a list entry by entry, and removing what began and ended with values.

use std::ops::Range;

use redb::WriteTransaction;
use uuid::Uuid;

use super::super::entry::{Entry, parts_of};
use super::super::error::{Error, engine};
use super::super::tables::{ColumnTables, Numbered, damaged};
use crate::algebra::{CollectionName, Effect, Group};
use crate::codec::columns::{INLINE_BYTES_MAX, Layout, RowsDraft, VALUE_BYTES_MAX};
use crate::codec::frame::{self, FRAME_HEAD_BYTES, FrameKind};
use crate::codec::row::Row;

/// Where the values go that a writer has filled.
pub(crate) trait Values {
    /// Puts a value into a table, under its first entry's ordinal.
    fn put(&mut self, table: Numbered, first: u64, value: Vec<u8>) -> Result<(), Error>;
}

impl Values for &WriteTransaction {
    fn put(&mut self, table: Numbered, first: u64, value: Vec<u8>) -> Result<(), Error> {
        let mut table = self.open_table(table).map_err(engine)?;
        table.insert(first, value.as_slice()).map(drop).map_err(engine)
    }
}

/// Appends entries to a pair of column tables, through buffers of one value each.
pub(crate) struct ColumnWriter<V> {
    tables: ColumnTables,
    values: V,
    draft: RowsDraft,
    draft_first: u64,
    piece: Vec<u8>,
    piece_first: u64,
    next: u64,
    has_stored_payload: bool,
}

impl<V: Values> ColumnWriter<V> {
    /// Begins a list whose first entry gets this ordinal.
    pub(crate) fn new(values: V, tables: ColumnTables, layout: Layout, first: u64) -> Self {
        ColumnWriter {
            tables,
            values,
            draft: RowsDraft::new(layout),
            draft_first: first,
            piece: frame::begin(0),
            piece_first: first,
            next: first,
            has_stored_payload: false,
        }
    }

    /// The ordinal that the next entry gets.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Appends an entry; the row's `name` and `groups` are filled in from what is given here.
    pub(crate) fn push(
        &mut self,
        row: Row,
        name: &str,
        groups: &[&str],
        fields: &[u8],
        extra: &[u8],
    ) -> Result<(), Error> {
        let bytes = fields.len() + extra.len();
        if bytes > 0 {
            if self.has_piece() && self.piece.len() + bytes > VALUE_BYTES_MAX {
                self.store_piece()?;
            }
            if !self.has_piece() {
                self.piece_first = self.next;
            }
            self.piece.extend_from_slice(fields);
            self.piece.extend_from_slice(extra);
        }
        if self.draft.is_full_for(&row) {
            self.store_rows(false)?;
        }
        self.draft.push(row, name, groups);
        self.next += 1;
        Ok(())
    }

    /// Appends an effect with its entity.
    pub(crate) fn push_entry(&mut self, entry: &Entry, is_cut: bool) -> Result<(), Error> {
        let Entry { key, effect, first_at } = entry;
        self.push_effect(key.collection(), key.id(), effect, *first_at, is_cut)
    }

    /// Appends an effect on an entity.
    pub(crate) fn push_effect(
        &mut self,
        name: &CollectionName,
        id: Uuid,
        effect: &Effect,
        first_at: u64,
        is_cut: bool,
    ) -> Result<(), Error> {
        let parts = parts_of(id, effect, first_at, is_cut)
            .map_err(|error| damaged(format!("the effect of {name}/{id}"))(error))?;
        let groups: Vec<&str> = effect.groups.iter().map(Group::as_str).collect();
        self.push(parts.row, name.as_str(), &groups, parts.fields.as_bytes(), &parts.extra)
    }

    /// Writes what is still buffered and gives the ordinal behind the last entry.
    pub(crate) fn finish(mut self) -> Result<u64, Error> {
        let is_small = self.draft.size() + self.piece.len() <= INLINE_BYTES_MAX;
        // Inline only where one value holds all of both columns: then no piece was stored before.
        let is_inline = is_small && !self.has_stored_payload && self.piece_first >= self.draft_first;
        if !self.draft.is_empty() {
            self.store_rows(is_inline)?;
        }
        if !is_inline && self.has_piece() {
            self.store_piece()?;
        }
        Ok(self.next)
    }

    fn has_piece(&self) -> bool {
        self.piece.len() > FRAME_HEAD_BYTES
    }

    fn store_rows(&mut self, is_inline: bool) -> Result<(), Error> {
        let place = self.tables.place(true, self.draft_first);
        let payload = is_inline.then(|| self.piece.get(FRAME_HEAD_BYTES..).unwrap_or(&[]));
        let value = self
            .draft
            .finish(&place, payload)
            .map_err(|error| damaged(self.tables.name(true, self.draft_first))(error))?;
        self.values.put(self.tables.rows, self.draft_first, value)?;
        self.draft_first = self.next;
        Ok(())
    }

    fn store_piece(&mut self) -> Result<(), Error> {
        let piece = std::mem::replace(&mut self.piece, frame::begin(0));
        let place = self.tables.place(false, self.piece_first);
        let value = frame::close(FrameKind::Payload, &place, piece);
        self.has_stored_payload = true;
        self.values.put(self.tables.payload, self.piece_first, value)
    }
}

/// Removes a range of entries that began and ended with values.
pub(crate) fn remove(txn: &WriteTransaction, tables: ColumnTables, range: Range<u64>) -> Result<(), Error> {
    for table in [tables.rows, tables.payload] {
        txn.open_table(table).map_err(engine)?.retain_in(range.clone(), |_, _| false).map_err(engine)?;
    }
    Ok(())
}
