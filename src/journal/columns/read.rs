//! Scanning the rows of a list, and reading chosen payloads.

use std::cell::RefCell;
use std::collections::HashSet;
use std::ops::{Range, RangeBounds};

use redb::{AccessGuard, ReadOnlyTable, ReadableTable, ReadableTableMetadata};

use super::super::error::{Error, engine};
use super::super::tables::{ColumnTables, Snapshot, damaged, require_all};
use crate::codec::FrameError;
use crate::codec::columns::{ORDINAL_MAX, Preamble, ROWS_MAX, Rows, no_row};
use crate::codec::frame::{self, FrameKind};
use crate::codec::row::Row;

type Value<'a> = AccessGuard<'a, &'static [u8]>;

/// Reads a pair of column tables.
pub(crate) struct ColumnReader {
    tables: ColumnTables,
    rows: ReadOnlyTable<u64, &'static [u8]>,
    payload: ReadOnlyTable<u64, &'static [u8]>,
    /// The values that were opened already, rows or not, by their first ordinal.
    checked: RefCell<HashSet<(bool, u64)>>,
}

impl ColumnReader {
    pub(crate) fn new(snapshot: &Snapshot, tables: ColumnTables) -> Result<Self, Error> {
        Ok(ColumnReader {
            tables,
            rows: snapshot.numbered(tables.rows)?,
            payload: snapshot.numbered(tables.payload)?,
            checked: RefCell::default(),
        })
    }

    /// Visits the values of rows of a range in order, payloads untouched. The range must begin and end
    /// where values do.
    pub(crate) fn scan(
        &self,
        range: Range<u64>,
        mut visit: impl FnMut(u64, &Rows<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut expected = range.start;
        for value in self.rows.range(range.clone()).map_err(engine)? {
            let (first, value) = value.map_err(engine)?;
            let first = first.value();
            if first != expected {
                return Err(self.gap(expected));
            }
            let rows = self.open(first, &value)?;
            visit(first, &rows)?;
            expected = first.saturating_add(u64::from(rows.preamble.rows));
        }
        if expected == range.end { Ok(()) } else { Err(self.gap(expected)) }
    }

    /// As [`scan`](Self::scan), of a range that has to be all there is but for what is left over before it.
    pub(crate) fn scan_all(
        &self,
        range: Range<u64>,
        mut visit: impl FnMut(u64, &Rows<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut found = 0;
        for leftover in self.rows.range(..range.start).map_err(engine)? {
            leftover.map_err(engine)?;
            found += 1;
        }
        self.scan(range, |first, rows| {
            found += 1;
            visit(first, rows)
        })?;
        require_all(&self.rows, found, || self.tables.name(true, 0))
    }

    /// Visits the values of rows from the one that holds an ordinal on, until the visitor has enough.
    pub(crate) fn scan_from(
        &self,
        ordinal: u64,
        mut visit: impl FnMut(u64, &Rows<'_>) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let begin = match self.rows.range(..=ordinal).map_err(engine)?.next_back() {
            Some(value) => value.map_err(engine)?.0.value(),
            None => ordinal,
        };
        for value in self.rows.range(begin..).map_err(engine)? {
            let (first, value) = value.map_err(engine)?;
            if !visit(first.value(), &self.open(first.value(), &value)?)? {
                break;
            }
        }
        Ok(())
    }

    /// The damage of a value that does open but holds what cannot be.
    pub(crate) fn damaged_rows(&self, first: u64) -> impl FnOnce(FrameError) -> Error {
        let tables = self.tables;
        move |error| damaged(tables.name(true, first))(error)
    }

    /// The ordinal behind the last row of a list that begins with this one. Where a value is damaged that may have
    /// been the last one, it is an ordinal that no row can have had.
    pub(crate) fn end(&self, begins: u64) -> Result<u64, Error> {
        // A number that is damaged stands anywhere, so the last value is the last one only where all are sound.
        // Where they are few, they are all looked at.
        const FEW: u64 = 64;
        let count = self.rows.len().map_err(engine)?;
        let last = self.rows.last().map_err(engine)?;
        let last = last.map(|(first, value)| self.end_of(first.value(), &value)).transpose()?;
        match last.flatten() {
            Some(end) if count > FEW => Ok(end.max(begins)),
            Some(_) | None => self.end_of_all(begins, 0),
        }
    }

    /// The ordinal behind all rows, by every value; they begin with this one.
    pub(crate) fn end_of_all(&self, begins: u64, lost: u64) -> Result<u64, Error> {
        let mut sound = Vec::new();
        for value in self.rows.range::<u64>(..).map_err(engine)? {
            let (first, value) = value.map_err(engine)?;
            sound.extend(self.end_of(first.value(), &value)?.map(|end| (first.value(), end)));
        }
        sound.sort_unstable();
        sound.dedup();
        // Those that are counted and not found are as good as damaged.
        let counted = self.rows.len().map_err(engine)?.saturating_add(lost);
        let unsound = counted.saturating_sub(sound.len() as u64);
        let (mut end, mut gaps) = (begins, 0);
        for (first, behind) in sound {
            gaps += u64::from(first > end);
            end = end.max(behind);
        }
        // Those that fill no gap may have been the last ones.
        let last = unsound.saturating_sub(gaps).saturating_mul(ROWS_MAX);
        Ok(end.saturating_add(last).min(ORDINAL_MAX - 1))
    }

    /// The ordinal behind a value's rows; none where it is damaged.
    fn end_of(&self, first: u64, value: &Value<'_>) -> Result<Option<u64>, Error> {
        match self.open(first, value) {
            Ok(rows) => Ok(first.checked_add(u64::from(rows.preamble.rows)).filter(|end| *end < ORDINAL_MAX)),
            Err(Error::Damaged { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// How many rows are stored in values that begin in a range.
    pub(crate) fn count(&self, range: impl RangeBounds<u64>) -> Result<u64, Error> {
        let mut count = 0;
        for value in self.rows.range(range).map_err(engine)? {
            let (first, value) = value.map_err(engine)?;
            count += u64::from(self.open(first.value(), &value)?.preamble.rows);
        }
        Ok(count)
    }

    /// Visits chosen entries with their payloads; their ordinals in increasing order.
    pub(crate) fn read(
        &self,
        wanted: impl IntoIterator<Item = u64>,
        mut visit: impl FnMut(u64, &Row, &Preamble, Payload<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut wanted = wanted.into_iter().peekable();
        let (mut at, mut piece) = (None, 0..0);
        while let Some(&target) = wanted.peek() {
            let (rows_first, value) = self.rows_at(&mut at, target)?;
            let rows = self.open(rows_first, value)?;
            let end = rows_first + u64::from(rows.preamble.rows);
            if target >= end {
                return Err(self.gap(target));
            }
            match rows.inline {
                Some(payload) => {
                    let mut walk = Walk { ordinal: rows_first, offset: 0 };
                    self.walk(&mut walk, &rows, rows_first, payload, &mut wanted, &mut visit)?;
                }
                None => {
                    let place = usize::try_from(target - rows_first).unwrap_or(usize::MAX);
                    let row = rows.row(place).ok_or_else(|| self.gap(target))?;
                    if row.payload_bytes() == 0 {
                        visit(target, &row, &rows.preamble, Payload { fields: &[], extra: &[] })?;
                        wanted.next();
                        continue;
                    }
                    self.read_piece(target, &mut piece, &mut at, &mut wanted, &mut visit)?;
                }
            }
            if wanted.peek() == Some(&target) {
                return Err(self.gap(target));
            }
        }
        Ok(())
    }

    /// Visits the wanted entries whose payload lies in the piece that holds the target's. `before` is the piece that was
    /// visited last, by its ordinals.
    fn read_piece<'t>(
        &'t self,
        target: u64,
        before: &mut Range<u64>,
        at: &mut RowsAt<'t>,
        wanted: &mut std::iter::Peekable<impl Iterator<Item = u64>>,
        visit: &mut impl FnMut(u64, &Row, &Preamble, Payload<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if let Some((first, piece)) = self.next_value(&self.payload, target, before.clone())? {
            *before = self.walk_piece(first, &piece, at, wanted, visit)?;
            if wanted.peek() != Some(&target) {
                return Ok(());
            }
        }
        let (first, piece) = self.value_at(&self.payload, target)?;
        *before = self.walk_piece(first, &piece, at, wanted, visit)?;
        Ok(())
    }

    /// Visits the wanted entries of one piece, and gives the ordinals that it holds, as far as it was walked.
    fn walk_piece<'t>(
        &'t self,
        first: u64,
        piece: &Value<'_>,
        at: &mut RowsAt<'t>,
        wanted: &mut std::iter::Peekable<impl Iterator<Item = u64>>,
        visit: &mut impl FnMut(u64, &Row, &Preamble, Payload<'_>) -> Result<(), Error>,
    ) -> Result<Range<u64>, Error> {
        let body = self.open_payload(first, piece)?;
        let mut walk = Walk { ordinal: first, offset: 0 };
        // The columns are cut independently: the piece's rows may begin in an earlier value.
        while walk.offset < body.len() {
            let (rows_first, value) = self.rows_at(at, walk.ordinal)?;
            let rows = self.open(rows_first, value)?;
            let before = walk.ordinal;
            self.walk(&mut walk, &rows, rows_first, body, wanted, visit)?;
            if wanted.peek().is_none() || walk.ordinal == before {
                break;
            }
        }
        Ok(first..walk.ordinal)
    }

    /// Walks over the rows of one value whose payload lies in these bytes.
    fn walk(
        &self,
        walk: &mut Walk,
        rows: &Rows<'_>,
        rows_first: u64,
        body: &[u8],
        wanted: &mut std::iter::Peekable<impl Iterator<Item = u64>>,
        visit: &mut impl FnMut(u64, &Row, &Preamble, Payload<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let skipped = usize::try_from(walk.ordinal - rows_first).unwrap_or(usize::MAX);
        for (place, (fields_bytes, extra_bytes)) in (skipped..).zip(rows.payload_bytes(skipped)) {
            let bytes = usize::try_from(fields_bytes.saturating_add(extra_bytes)).unwrap_or(usize::MAX);
            let payload = walk.offset.checked_add(bytes).and_then(|end| body.get(walk.offset..end));
            let Some(payload) = payload.filter(|_| bytes == 0 || walk.offset < body.len()) else {
                return Ok(());
            };
            if wanted.peek() == Some(&walk.ordinal) {
                let row = rows.row(place).ok_or_else(|| self.damaged_rows(rows_first)(no_row()))?;
                let (fields, extra) =
                    payload.split_at_checked(row.fields_bytes as usize).unwrap_or((payload, &[]));
                visit(walk.ordinal, &row, &rows.preamble, Payload { fields, extra })?;
                wanted.next();
            }
            walk.offset += bytes;
            walk.ordinal += 1;
        }
        Ok(())
    }

    fn open<'v>(&self, first: u64, value: &'v Value<'_>) -> Result<Rows<'v>, Error> {
        self.once(
            (true, first),
            || Rows::open_checked(first, value.value()),
            || Rows::open(&self.tables.place(true, first), first, value.value()),
        )
    }

    fn open_payload<'v>(&self, first: u64, value: &'v Value<'_>) -> Result<&'v [u8], Error> {
        self.once(
            (false, first),
            || frame::open_checked(value.value()),
            || frame::open(FrameKind::Payload, &self.tables.place(false, first), value.value()),
        )
    }

    /// Checks a value the first time. Once its hash was seen to agree it need not be looked at again: a
    /// snapshot does not change.
    fn once<T>(
        &self,
        place: (bool, u64),
        again: impl FnOnce() -> Result<T, FrameError>,
        check: impl FnOnce() -> Result<T, FrameError>,
    ) -> Result<T, Error> {
        let opened = if self.checked.borrow().contains(&place) {
            again()
        } else {
            check().inspect(|_| {
                self.checked.borrow_mut().insert(place);
            })
        };
        let (is_rows, first) = place;
        opened.map_err(|error| damaged(self.tables.name(is_rows, first))(error))
    }

    /// The value of rows that holds an ordinal; the same one again costs nothing.
    fn rows_at<'a, 't>(
        &'t self,
        at: &'a mut RowsAt<'t>,
        ordinal: u64,
    ) -> Result<(u64, &'a Value<'t>), Error> {
        let is_there = at.as_ref().is_some_and(|(first, end, _)| (*first..*end).contains(&ordinal));
        if !is_there {
            let next = match at {
                Some((first, end, _)) => self.next_value(&self.rows, ordinal, *first..*end)?,
                None => None,
            };
            let next = next.map(|found| self.ended(found)).transpose()?;
            *at = Some(match next.filter(|(_, end, _)| ordinal < *end) {
                Some(next) => next,
                None => {
                    let (first, end, value) = self.ended(self.value_at(&self.rows, ordinal)?)?;
                    (first, end.max(ordinal + 1), value)
                }
            });
        }
        match at {
            Some((first, _, value)) => Ok((*first, value)),
            None => Err(self.gap(ordinal)),
        }
    }

    /// A value of rows with the ordinal behind its last one.
    fn ended<'t>(&self, (first, value): (u64, Value<'t>)) -> Result<(u64, u64, Value<'t>), Error> {
        let end = first + u64::from(self.open(first, &value)?.preamble.rows);
        Ok((first, end, value))
    }

    /// The value behind one that holds these ordinals, if it seems to be the one that holds another ordinal: as long as
    /// the one before it, it would. Finding it by its own number reads one page less than looking for it.
    fn next_value<'t>(
        &self,
        table: &'t ReadOnlyTable<u64, &'static [u8]>,
        ordinal: u64,
        before: Range<u64>,
    ) -> Result<Option<(u64, Value<'t>)>, Error> {
        let next = before.end..before.end.saturating_add(before.end.saturating_sub(before.start));
        if !next.contains(&ordinal) {
            return Ok(None);
        }
        Ok(table.get(next.start).map_err(engine)?.map(|value| (next.start, value)))
    }

    /// The last value that begins at or before an ordinal.
    fn value_at<'t>(
        &self,
        table: &'t ReadOnlyTable<u64, &'static [u8]>,
        ordinal: u64,
    ) -> Result<(u64, Value<'t>), Error> {
        match table.range(..=ordinal).map_err(engine)?.next_back() {
            Some(value) => {
                let (first, value) = value.map_err(engine)?;
                Ok((first.value(), value))
            }
            None => Err(self.gap(ordinal)),
        }
    }

    fn gap(&self, ordinal: u64) -> Error {
        damaged(self.tables.name(true, ordinal))(FrameError::Body { why: "it is missing".to_owned() })
    }
}

/// The value of rows that was looked at last: its ordinals, begin and end.
type RowsAt<'t> = Option<(u64, u64, Value<'t>)>;

/// What stands in the payload column for one entry.
#[derive(Clone, Copy)]
pub(crate) struct Payload<'a> {
    pub(crate) fields: &'a [u8],
    pub(crate) extra: &'a [u8],
}

struct Walk {
    ordinal: u64,
    offset: usize,
}
