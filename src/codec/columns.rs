//! Columns: how operations and effects lie on disk.
//!
//! A list of entries is stored as two columns, each cut into values of its own: *rows* (which entity, what
//! kind, how long), themselves a column for each of their numbers, and *payload* (the fields' canonical
//! JSON, and what little else an entry says). A pass that folds reads only rows; a payload is touched only if it survives. Every
//! value is keyed by the ordinal of its first entry, so the two columns are cut independently, each just
//! under a power of two pages. A list that is small altogether is one value: its rows, then its payload.
//!
//! ```text
//! rows:  preamble length u32 │ preamble (names, groups, packings, …) │ id │ id │ … │ column │ column │ …  [│ payload]
//! ```

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::binary;
use super::frame::{self, FRAME_HEAD_BYTES, FrameError, FrameKind};
use super::packed::{Packed, PackedDraft, Packing};
use super::row::{
    AT, Brief, ContentKind, EXTRA_BYTES, FIELDS_BYTES, KIND, NAME, NUMBERS_MAX, Row, brief_of,
    content_of_number, numbers, numbers_of, row_of,
};

/// The most bytes in one stored value, but for a single larger entry. The engine gives a large value a
/// power of two pages of 4 KiB, so this is just under 64 KiB with room for the engine's own words:
/// 65,000 bytes cost 1.38 times their size to write, 65,536 bytes 2.36 times.
pub(crate) const VALUE_BYTES_MAX: usize = 65_000;

/// A list whose rows and payload together stay below this is stored as one value: a quarter of a full
/// one, so that small commits touch one tree only.
pub(crate) const INLINE_BYTES_MAX: usize = VALUE_BYTES_MAX / 4;

/// Beyond any number or ordinal that is ever reached: what says it is there was damaged.
pub(crate) const ORDINAL_MAX: u64 = 1 << 62;

/// No value holds more rows: an id is 16 bytes.
pub(crate) const ROWS_MAX: u64 = (VALUE_BYTES_MAX / ID_BYTES) as u64;

const ID_BYTES: usize = 16;

/// Which rows a value holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Layout {
    /// Operations, numbered from the value's key on.
    Log,
    /// Effects.
    Run,
}

/// What stands before the rows of one value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Preamble {
    pub(crate) layout: Layout,
    pub(crate) rows: u32,
    /// Whether the payload stands behind the rows.
    pub(crate) is_inline: bool,
    pub(crate) names: Vec<String>,
    pub(crate) groups: Vec<Vec<String>>,
    /// How each column of numbers is packed.
    packings: Vec<Packing>,
}

/// Rows on their way to disk, with the names and groups they use.
#[derive(Debug)]
pub(crate) struct RowsDraft {
    layout: Layout,
    names: Vec<String>,
    groups: Vec<Vec<String>>,
    count: u32,
    ids: Vec<u8>,
    numbers: Vec<PackedDraft>,
    preamble_bytes: usize,
}

/// A preamble's bytes but for its names and groups, about.
const PREAMBLE_BYTES: usize = 64 + NUMBERS_MAX * 9;

impl RowsDraft {
    pub(crate) fn new(layout: Layout) -> Self {
        RowsDraft {
            layout,
            names: Vec::new(),
            groups: Vec::new(),
            count: 0,
            ids: Vec::new(),
            numbers: vec![PackedDraft::default(); numbers_of(layout)],
            preamble_bytes: PREAMBLE_BYTES,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The bytes a frame of these rows would have, about.
    pub(crate) fn size(&self) -> usize {
        self.size_of(self.count as usize, self.numbers.iter().map(PackedDraft::width).sum())
    }

    fn size_of(&self, rows: usize, width: usize) -> usize {
        FRAME_HEAD_BYTES + self.preamble_bytes + rows * (ID_BYTES + width)
    }

    /// Whether this row would make the value too large or its lists of names too long.
    pub(crate) fn is_full_for(&self, row: &Row) -> bool {
        // Its name and its groups may be new ones.
        let row = Row { name: place(self.names.len()), groups: place(self.groups.len() + 1), ..*row };
        let numbers = numbers(self.layout, &row);
        let width = self.numbers.iter().zip(numbers).map(|(column, number)| column.width_with(number)).sum();
        self.size_of(self.count as usize + 1, width) > VALUE_BYTES_MAX
            || self.names.len() >= usize::from(u16::MAX)
            || self.groups.len() >= usize::from(u16::MAX) - 1
    }

    /// Appends a row; its `name` and `groups` are filled in here.
    pub(crate) fn push(&mut self, mut row: Row, name: &str, groups: &[&str]) {
        row.name = self.name(name);
        row.groups = self.group_set(groups);
        self.ids.extend_from_slice(row.id.as_bytes());
        for (column, number) in self.numbers.iter_mut().zip(numbers(self.layout, &row)) {
            column.push(number);
        }
        self.count += 1;
    }

    fn name(&mut self, name: &str) -> u16 {
        let place = self.names.iter().rposition(|known| known == name).unwrap_or_else(|| {
            self.preamble_bytes += name.len() + 8;
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        self::place(place)
    }

    fn group_set(&mut self, groups: &[&str]) -> u16 {
        if groups.is_empty() {
            return 0;
        }
        // Operations of one group come one after another, so only the newest sets are worth a look.
        const LOOK_BACK: usize = 4;
        let is_same = |known: &Vec<String>| known.iter().map(String::as_str).eq(groups.iter().copied());
        let found = self.groups.iter().rev().take(LOOK_BACK).position(is_same);
        let place = match found {
            Some(back) => self.groups.len() - back,
            None => {
                self.preamble_bytes += 8 + groups.iter().map(|group| group.len() + 8).sum::<usize>();
                self.groups.push(groups.iter().map(|&group| group.to_owned()).collect());
                self.groups.len()
            }
        };
        self::place(place)
    }

    /// The frame of these rows, with the payload behind them if it is given; the draft is empty again.
    pub(crate) fn finish(&mut self, place: &[u8], payload: Option<&[u8]>) -> Result<Vec<u8>, FrameError> {
        let preamble = Preamble {
            layout: self.layout,
            rows: self.count,
            is_inline: payload.is_some(),
            names: std::mem::take(&mut self.names),
            groups: std::mem::take(&mut self.groups),
            packings: self.numbers.iter().map(PackedDraft::packing).collect(),
        };
        let head = binary::encode(&preamble)?;
        let payload = payload.unwrap_or(&[]);
        let mut bytes = frame::begin(self.size() + head.len() + payload.len());
        let length =
            u32::try_from(head.len()).map_err(|_| FrameError::Body { why: "too many names".to_owned() })?;
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&head);
        bytes.append(&mut self.ids);
        for column in &mut self.numbers {
            column.finish(&mut bytes);
        }
        bytes.extend_from_slice(payload);
        self.count = 0;
        self.preamble_bytes = PREAMBLE_BYTES;
        Ok(frame::close(FrameKind::Rows, place, bytes))
    }
}

/// A place in a list of names; they are fewer than that.
fn place(place: usize) -> u16 {
    u16::try_from(place).unwrap_or(u16::MAX)
}

/// What is wrong with a row that is none.
pub(crate) fn no_row() -> FrameError {
    FrameError::Body { why: "a row is of no known kind".to_owned() }
}

/// One value of rows, opened and checked.
#[derive(Debug)]
pub(crate) struct Rows<'a> {
    pub(crate) preamble: Preamble,
    first: u64,
    ids: &'a [u8],
    numbers: [Packed<'a>; NUMBERS_MAX],
    /// The payload, where it stands behind the rows.
    pub(crate) inline: Option<&'a [u8]>,
}

impl<'a> Rows<'a> {
    /// Opens a value of rows whose first entry has this ordinal.
    pub(crate) fn open(place: &[u8], first: u64, bytes: &'a [u8]) -> Result<Self, FrameError> {
        Self::of_body(first, frame::open(FrameKind::Rows, place, bytes)?)
    }

    /// Opens a value that was opened before and has not changed since.
    pub(crate) fn open_checked(first: u64, bytes: &'a [u8]) -> Result<Self, FrameError> {
        Self::of_body(first, frame::open_checked(bytes)?)
    }

    fn of_body(first: u64, body: &'a [u8]) -> Result<Self, FrameError> {
        let wrong = |why: &str| FrameError::Body { why: why.to_owned() };
        let (length, rest) =
            body.split_first_chunk::<4>().ok_or_else(|| wrong("the rows have no preamble"))?;
        let (head, rest) = rest
            .split_at_checked(u32::from_le_bytes(*length) as usize)
            .ok_or_else(|| wrong("the rows' preamble is cut off"))?;
        let preamble: Preamble = binary::decode(head)?;
        if preamble.packings.len() != numbers_of(preamble.layout) {
            return Err(wrong("the rows have other columns than their layout"));
        }
        let rows = preamble.rows as usize;
        let few = || wrong("there are fewer rows than the preamble says");
        let ids = rows.checked_mul(ID_BYTES).and_then(|bytes| rest.split_at_checked(bytes));
        let (ids, mut rest) = ids.ok_or_else(few)?;
        let mut numbers = [Packed::default(); NUMBERS_MAX];
        for (column, packing) in numbers.iter_mut().zip(&preamble.packings) {
            *column = Packed::split_off(*packing, rows, &mut rest).ok_or_else(few)?;
        }
        if !preamble.is_inline && !rest.is_empty() {
            return Err(wrong("there are bytes behind the rows"));
        }
        let inline = preamble.is_inline.then_some(rest);
        Ok(Rows { preamble, first, ids, numbers, inline })
    }

    /// The rows in order; an error for one that is none.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Result<Row, FrameError>> + '_ {
        self.ids().enumerate().map(|(place, id)| self.of(place, id).ok_or_else(no_row))
    }

    /// Whom each row is about: its id, and the place of its collection in the preamble's names.
    pub(crate) fn whom(&self) -> impl Iterator<Item = (Uuid, u64)> + '_ {
        self.ids().enumerate().map(|(place, id)| (id, self.number(NAME, place)))
    }

    /// What each row does to its entity's fields; nothing for a row that is none.
    pub(crate) fn contents(&self) -> impl Iterator<Item = Option<ContentKind>> + '_ {
        (0..self.preamble.rows as usize)
            .map(|place| content_of_number(self.preamble.layout, self.number(KIND, place)))
    }

    /// The bytes of each row's payload, from a row on: of its fields, and behind them.
    pub(crate) fn payload_bytes(&self, from: usize) -> impl Iterator<Item = (u64, u64)> + '_ {
        (from..self.preamble.rows as usize)
            .map(|place| (self.number(FIELDS_BYTES, place), self.number(EXTRA_BYTES, place)))
    }

    /// Visits so many rows of a log at first sight, from a place on; an error for one that is none.
    pub(crate) fn brief(
        &self,
        from: usize,
        most: usize,
        mut visit: impl FnMut(Brief),
    ) -> Result<(), FrameError> {
        const AT_ONCE: usize = 256;
        // A value of a run among the log's is as wrong as a row of no known kind.
        if self.preamble.layout != Layout::Log {
            return Err(no_row());
        }
        let ids = self.ids.as_chunks::<ID_BYTES>().0;
        let ids = ids.get(from..).unwrap_or(&[]);
        let ids = ids.get(..most.min(ids.len())).unwrap_or(ids);
        let (mut ats, mut names, mut kinds) = ([0; AT_ONCE], [0; AT_ONCE], [0; AT_ONCE]);
        for (chunk, ids) in ids.chunks(AT_ONCE).enumerate() {
            let place = from + chunk * AT_ONCE;
            for (number, room) in [(AT, &mut ats), (NAME, &mut names), (KIND, &mut kinds)] {
                if let Some(column) = self.numbers.get(number) {
                    column.unpack(place, room);
                }
            }
            for (((id, at), name), kind) in ids.iter().zip(&ats).zip(&names).zip(&kinds) {
                visit(brief_of(Uuid::from_bytes(*id), *at, *name, *kind).ok_or_else(no_row)?);
            }
        }
        Ok(())
    }

    /// One row by its place in this value.
    pub(crate) fn row(&self, place: usize) -> Option<Row> {
        let id = self.ids.get(place.checked_mul(ID_BYTES)?..)?.first_chunk::<ID_BYTES>()?;
        self.of(place, Uuid::from_bytes(*id))
    }

    fn ids(&self) -> impl Iterator<Item = Uuid> + '_ {
        self.ids.as_chunks::<ID_BYTES>().0.iter().map(|id| Uuid::from_bytes(*id))
    }

    fn of(&self, place: usize, id: Uuid) -> Option<Row> {
        let ordinal = self.first.checked_add(place as u64)?;
        row_of(self.preamble.layout, ordinal, id, |number| self.number(number, place))
    }

    #[inline]
    fn number(&self, number: usize, place: usize) -> u64 {
        self.numbers.get(number).map_or(0, |column| column.get(place))
    }
}
