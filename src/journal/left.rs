//! What is left of a list: entry by entry, past values that are damaged.
//!
//! Rows and payload are cut independently, so where a payload lies in its piece is known by adding up the rows
//! from the piece's first entry on. Where rows are gone, it is known from behind: by what the rows up to the next
//! piece take of its end. Nothing is guessed: an entry whose place is not known for certain counts as lost.

use std::collections::BTreeSet;
use std::ops::Range;

use redb::{AccessGuard, ReadOnlyTable, ReadableTableMetadata};

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
    /// How many values of rows are gone of which nothing tells the number.
    pub(crate) lost_rows: u64,
    /// Whether pieces of payload are gone of which nothing tells the number.
    pub(crate) has_lost_payload: bool,
}

impl Gone {
    pub(crate) fn is_none(&self) -> bool {
        self.rows.is_empty() && self.payload.is_empty() && self.lost_rows == 0 && !self.has_lost_payload
    }
}

/// A list, parts of which are gone. All other values were opened before.
pub(crate) struct Left<'g> {
    tables: ColumnTables,
    gone: &'g Gone,
    rows: ReadOnlyTable<u64, &'static [u8]>,
    payload: ReadOnlyTable<u64, &'static [u8]>,
    /// Where the pieces that open begin, in order.
    pieces: Vec<u64>,
    /// Whether every piece is there, opens, and stands in its place.
    has_all_pieces: bool,
    /// The numbers of the values of rows that open, in order; none where walking over the table visits just these.
    /// A page of the engine's own that is damaged leads a walk to a wrong place, or twice to the same.
    sorted: Option<Vec<u64>>,
}

type Guard = AccessGuard<'static, &'static [u8]>;

/// The numbers of the values that open, in order, and whether a walk over the table meets just these: strictly
/// ascending, as many as the engine counts.
fn numbers(
    table: &ReadOnlyTable<u64, &'static [u8]>,
    gone: &BTreeSet<u64>,
) -> Result<(Vec<u64>, bool), Error> {
    let mut numbers = Vec::new();
    let mut is_ascending = true;
    for value in table.range::<u64>(..).map_err(engine)? {
        let first = value.map_err(engine)?.0.value();
        if !gone.contains(&first) {
            is_ascending &= numbers.last().is_none_or(|last| *last < first);
            numbers.push(first);
        }
    }
    let is_all = numbers.len() as u64 == table.len().map_err(engine)?;
    numbers.sort_unstable();
    numbers.dedup();
    Ok((numbers, is_ascending && is_all))
}

/// Where a walk over the entries is.
struct Walk {
    piece: Option<Piece>,
    /// The ordinal behind the last row, unless a gap may follow it.
    expected: Option<u64>,
    range: Range<u64>,
}

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
        let (pieces, has_all) = numbers(&payload, &gone.payload)?;
        let has_all_pieces = has_all && !gone.has_lost_payload;
        let (sorted, is_straight) = numbers(&rows, &gone.rows)?;
        let sorted = (!is_straight).then_some(sorted);
        Ok(Left { tables, gone, rows, payload, pieces, has_all_pieces, sorted })
    }

    /// Visits every entry of a range whose row is left, in order; without a payload where that is lost.
    pub(crate) fn each(
        &self,
        range: Range<u64>,
        mut visit: impl FnMut(u64, &Row, &Preamble, Option<Payload<'_>>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut walk = Walk { piece: None, expected: None, range: range.clone() };
        let Some(sorted) = &self.sorted else {
            for value in self.rows.range(range).map_err(engine)? {
                let (first, value) = value.map_err(engine)?;
                self.visit(&mut walk, first.value(), value.value(), &mut visit)?;
            }
            return Ok(());
        };
        for first in sorted.iter().copied().filter(|first| range.contains(first)) {
            match self.rows.get(first).map_err(engine)? {
                Some(value) => self.visit(&mut walk, first, value.value(), &mut visit)?,
                // It was met with on a walk, and cannot be looked up.
                None => walk.expected = None,
            }
        }
        Ok(())
    }

    fn visit(
        &self,
        walk: &mut Walk,
        first: u64,
        bytes: &[u8],
        visit: &mut impl FnMut(u64, &Row, &Preamble, Option<Payload<'_>>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if walk.expected != Some(first)
            && let Some(piece) = &mut walk.piece
        {
            piece.offset = None;
        }
        let rows = self.open(first, bytes)?;
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
                    let piece = match &mut walk.piece {
                        Some(piece) if ordinal < piece.next => piece,
                        other => other.insert(self.piece_at(ordinal, walk.range.start)?),
                    };
                    self.take(piece, ordinal, size, walk.range.end)?
                }
            };
            let payload = bytes.map(|bytes| {
                let split = bytes.split_at_checked(row.fields_bytes as usize);
                let (fields, extra) = split.unwrap_or((bytes, &[]));
                Payload { fields, extra }
            });
            visit(ordinal, &row, &rows.preamble, payload)?;
        }
        walk.expected = first.checked_add(u64::from(rows.preamble.rows));
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
        match range.filter(|range| range.end <= body.len()) {
            Some(range) => {
                piece.offset = Some(range.end);
                let body = piece.value.as_ref().map(AccessGuard::value).map(frame::open_checked);
                Ok(body.and_then(Result::ok).and_then(|body| body.get(range)))
            }
            None => {
                // Nor will it be known of the next ones.
                piece.value = None;
                Ok(None)
            }
        }
    }

    /// The last piece that begins at or before an entry with payload.
    fn piece_at(&self, ordinal: u64, begins: u64) -> Result<Piece, Error> {
        let behind = self.pieces.partition_point(|first| *first <= ordinal);
        let next = self.pieces.get(behind).copied().unwrap_or(u64::MAX);
        let first = behind.checked_sub(1).and_then(|place| self.pieces.get(place)).copied();
        let Some(first) = first.filter(|first| *first >= begins) else {
            return Ok(Piece { next, value: None, offset: None });
        };
        let value = self.payload.get(first).map_err(engine)?;
        Ok(Piece { next, value, offset: (first == ordinal).then_some(0) })
    }

    /// Where an entry's payload begins, reckoned from the end of its piece.
    fn reckoned_back(&self, ordinal: u64, end: u64, body: usize) -> Result<Option<usize>, Error> {
        // A piece that is not there, or a row, and nobody could tell where this one ends.
        if !self.has_all_pieces || self.sorted.is_some() && self.gone.rows.is_empty() {
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
