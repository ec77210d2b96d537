//! What is left of a list: entry by entry, past values that are damaged.
//!
//! Rows and payload are cut independently, so where a payload lies in its piece is known by adding up the rows
//! from the piece's first entry on. Where rows are gone, it is known from behind: by what the rows up to the next
//! piece take of its end. Nothing is guessed: an entry whose place is not known for certain counts as lost.

use std::collections::BTreeSet;
use std::ops::Range;

use redb::{AccessGuard, ReadOnlyTable};

use super::columns::Payload;
use super::error::{Error, engine};
use super::tables::{ColumnTables, Snapshot, damaged};
use crate::codec::columns::{Preamble, Rows};
use crate::codec::frame;
use crate::codec::row::Row;

/// The numbers of the values of a list that do not open.
#[derive(Debug, Default)]
pub(crate) struct Gone {
    pub(crate) rows: BTreeSet<u64>,
    pub(crate) payload: BTreeSet<u64>,
}

/// A list, parts of which are gone. All other values were opened before.
pub(crate) struct Left<'g> {
    tables: ColumnTables,
    gone: &'g Gone,
    rows: ReadOnlyTable<u64, &'static [u8]>,
    payload: ReadOnlyTable<u64, &'static [u8]>,
    /// Where the pieces that open begin, in order. A number that is damaged misleads the engine's search, so
    /// nothing is looked for by searching.
    pieces: Vec<u64>,
}

type Guard = AccessGuard<'static, &'static [u8]>;

/// A piece of payload that is being walked over.
struct Piece {
    /// Where the next piece begins.
    next: u64,
    /// None where it is gone.
    value: Option<Guard>,
    /// Where the next entry's payload begins, as long as that is known.
    offset: Option<usize>,
}

impl<'g> Left<'g> {
    pub(crate) fn new(snapshot: &Snapshot, tables: ColumnTables, gone: &'g Gone) -> Result<Self, Error> {
        let (rows, payload) = (snapshot.numbered(tables.rows)?, snapshot.numbered(tables.payload)?);
        let mut pieces = Vec::new();
        for piece in payload.range::<u64>(..).map_err(engine)? {
            let first = piece.map_err(engine)?.0.value();
            if !gone.payload.contains(&first) {
                pieces.push(first);
            }
        }
        Ok(Left { tables, gone, rows, payload, pieces })
    }

    /// Visits every entry of a range whose row is left, in order; without a payload where that is lost.
    pub(crate) fn each(
        &self,
        range: Range<u64>,
        mut visit: impl FnMut(u64, &Row, &Preamble, Option<Payload<'_>>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut piece: Option<Piece> = None;
        let mut expected = None;
        let within = if self.gone.rows.is_empty() { range.clone() } else { 0..u64::MAX };
        for value in self.rows.range(within).map_err(engine)? {
            let (first, value) = value.map_err(engine)?;
            let first = first.value();
            if self.gone.rows.contains(&first) {
                expected = None;
                continue;
            }
            if !range.contains(&first) {
                continue;
            }
            if expected != Some(first)
                && let Some(piece) = &mut piece
            {
                piece.offset = None;
            }
            let rows = self.open(first, value.value())?;
            let mut inline_offset = 0;
            for (ordinal, row) in (first..).zip(rows.iter()) {
                let row = row.map_err(damaged(self.tables.name(true, first)))?;
                let size = row.payload_bytes();
                let bytes = match rows.inline {
                    Some(inline) => {
                        inline_offset += size;
                        inline.get(inline_offset - size..inline_offset)
                    }
                    None if size == 0 => Some(&[][..]),
                    None => {
                        let piece = match &mut piece {
                            Some(piece) if ordinal < piece.next => piece,
                            other => other.insert(self.piece_at(ordinal)?),
                        };
                        self.take(piece, ordinal, size, range.end)?
                    }
                };
                let payload = bytes.map(|bytes| {
                    let split = bytes.split_at_checked(row.fields_bytes as usize);
                    let (fields, extra) = split.unwrap_or((bytes, &[]));
                    Payload { fields, extra }
                });
                visit(ordinal, &row, &rows.preamble, payload)?;
            }
            expected = first.checked_add(u64::from(rows.preamble.rows));
        }
        Ok(())
    }

    /// The next payload of a piece, if it is there and its place is known.
    fn take<'p>(
        &self,
        piece: &'p mut Piece,
        ordinal: u64,
        size: usize,
        end: u64,
    ) -> Result<Option<&'p [u8]>, Error> {
        let Some(value) = &piece.value else { return Ok(None) };
        let body = frame::open_checked(value.value()).map_err(damaged(self.tables.name(false, ordinal)))?;
        let offset = match piece.offset {
            Some(offset) => Some(offset),
            None => self.reckoned_back(ordinal, piece.next.min(end), body.len())?,
        };
        let range = offset.and_then(|offset| Some(offset..offset.checked_add(size)?));
        let bytes = range.clone().and_then(|range| body.get(range));
        piece.offset = bytes.and(range).map(|range| range.end);
        Ok(bytes)
    }

    /// The last piece that begins at or before an entry with payload.
    fn piece_at(&self, ordinal: u64) -> Result<Piece, Error> {
        let behind = self.pieces.partition_point(|first| *first <= ordinal);
        let next = self.pieces.get(behind).copied().unwrap_or(u64::MAX);
        let first = behind.checked_sub(1).and_then(|place| self.pieces.get(place)).copied();
        let Some(first) = first else { return Ok(Piece { next, value: None, offset: None }) };
        let value = match self.payload.get(first).map_err(engine)? {
            Some(value) => Some(value),
            None => self.found(first)?,
        };
        Ok(Piece { next, value, offset: (first == ordinal).then_some(0) })
    }

    /// A piece that the engine's search does not find.
    fn found(&self, number: u64) -> Result<Option<Guard>, Error> {
        for piece in self.payload.range::<u64>(..).map_err(engine)? {
            let (first, value) = piece.map_err(engine)?;
            if first.value() == number {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// Where an entry's payload begins, reckoned from the end of its piece.
    fn reckoned_back(&self, ordinal: u64, end: u64, body: usize) -> Result<Option<usize>, Error> {
        // A piece whose own number is damaged would be missing here, and nobody could tell.
        if !self.gone.payload.is_empty() {
            return Ok(None);
        }
        let begin = self.rows.range(..=ordinal).map_err(engine)?.next_back();
        let Some(begin) = begin.transpose().map_err(engine)? else { return Ok(None) };
        let (mut expected, mut behind) = (begin.0.value(), 0_usize);
        for value in self.rows.range(expected..end).map_err(engine)? {
            let (first, value) = value.map_err(engine)?;
            let first = first.value();
            if first != expected || self.gone.rows.contains(&first) {
                return Ok(None);
            }
            let rows = self.open(first, value.value())?;
            for (place, row) in (first..end).zip(rows.iter()) {
                let row = row.map_err(damaged(self.tables.name(true, first)))?;
                if place >= ordinal && rows.inline.is_none() {
                    behind = behind.saturating_add(row.payload_bytes());
                }
            }
            expected = first.saturating_add(u64::from(rows.preamble.rows));
        }
        Ok(if expected >= end { body.checked_sub(behind) } else { None })
    }

    /// The name of an entry for people.
    pub(crate) fn entry_name(&self, ordinal: u64) -> String {
        format!("{}, that one alone", self.tables.name(true, ordinal))
    }

    fn open<'v>(&self, first: u64, bytes: &'v [u8]) -> Result<Rows<'v>, Error> {
        Rows::open_checked(first, bytes).map_err(damaged(self.tables.name(true, first)))
    }
}
