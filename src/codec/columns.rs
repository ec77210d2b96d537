//! Columns: how operations and effects lie on disk.
//!
//! A list of entries is stored as two columns, each cut into values of its own: *rows* of fixed size
//! (which entity, what kind, how long), and *payload* (the fields' canonical JSON, and what little else
//! an entry says). A pass that folds reads only rows; a payload is touched only if it survives. Every
//! value is keyed by the ordinal of its first entry, so the two columns are cut independently, each just
//! under a power of two pages. A list that is small altogether is one value: its rows, then its payload.
//!
//! ```text
//! rows:    preamble length u32 │ preamble (names, groups, …) │ row │ row │ …  [│ payload]
//! log row: id 16 │ at u64 │ fields u32 │ extra u32 │ name u16 │ groups u16 │ kind u8 │ flags u8 │ 0 u16
//! run row: log row │ first u64 │ last u64 │ first at u64 │ written u64+u32 │ since u64+u32 │ steps u32 │ operations u32
//! ```

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::binary;
use super::frame::{self, FRAME_HEAD_BYTES, FrameError, FrameKind};
use crate::algebra::{Clock, Kind, Liveness, Millis, Seq, Shape};

/// The most bytes in one stored value, but for a single larger entry. The engine gives a large value a
/// power of two pages of 4 KiB, so this is just under 64 KiB with room for the engine's own words:
/// 65,000 bytes cost 1.38 times their size to write, 65,536 bytes 2.36 times.
pub(crate) const VALUE_BYTES_MAX: usize = 65_000;

/// A list whose rows and payload together stay below this is stored as one value: a quarter of a full
/// one, so that small commits touch one tree only.
pub(crate) const INLINE_BYTES_MAX: usize = VALUE_BYTES_MAX / 4;

/// No value holds more rows of a log.
pub(crate) const LOG_ROWS_MAX: u64 = (VALUE_BYTES_MAX / LOG_ROW_BYTES) as u64;

const LOG_ROW_BYTES: usize = 40;
const RUN_ROW_BYTES: usize = LOG_ROW_BYTES + 56;

/// What an entry does to its entity's fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContentKind {
    Keep,
    Merge,
    Replace,
}

/// One row: everything of an entry but its payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) id: Uuid,
    /// The place of the collection in the preamble's names.
    pub(crate) name: u16,
    /// The place of the set of groups in the preamble's list, plus 1; 0 for none.
    pub(crate) groups: u16,
    pub(crate) content: ContentKind,
    /// Whether everything older on the entity is done with.
    pub(crate) is_cut: bool,
    pub(crate) shape: Shape,
    /// When the content was written, but for the exceptions in the payload.
    pub(crate) written: Clock,
    /// The time of the oldest operation, plus 1; 0 if it had none.
    pub(crate) first_at: u64,
    pub(crate) fields_bytes: u32,
    pub(crate) extra_bytes: u32,
}

impl Row {
    /// What is left of a row whose payload is gone: that everything older is done with.
    pub(crate) fn cut_only(&self) -> Row {
        Row {
            groups: 0,
            content: ContentKind::Keep,
            shape: Shape::default(),
            written: Clock::default(),
            first_at: 0,
            fields_bytes: 0,
            extra_bytes: 0,
            ..*self
        }
    }

    pub(crate) fn payload_bytes(&self) -> usize {
        self.fields_bytes as usize + self.extra_bytes as usize
    }
}

/// What a log row says at first sight: enough to list operations.
pub(crate) struct Brief {
    pub(crate) id: Uuid,
    /// The place of the collection in the preamble's names.
    pub(crate) name: u16,
    pub(crate) at: Option<Millis>,
    pub(crate) kind: Kind,
}

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
}

const IS_BORN: u8 = 1;
const HAS_TURNED: u8 = 2;
const IS_CUT: u8 = 4;

/// The kinds of log rows, and of run rows as content × liveness.
mod kinds {
    pub(super) const CREATE: u8 = 1;
    pub(super) const PATCH: u8 = 2;
    pub(super) const STATE: u8 = 3;
    pub(super) const DELETE: u8 = 4;
    pub(super) const RUN: u8 = 16;
}

fn kind_byte(layout: Layout, row: &Row) -> u8 {
    match layout {
        Layout::Log => match (row.content, row.shape.is_born) {
            (ContentKind::Keep, _) => kinds::DELETE,
            (ContentKind::Merge, _) => kinds::PATCH,
            (ContentKind::Replace, true) => kinds::CREATE,
            (ContentKind::Replace, false) => kinds::STATE,
        },
        Layout::Run => {
            let content = match row.content {
                ContentKind::Keep => 0,
                ContentKind::Merge => 1,
                ContentKind::Replace => 2,
            };
            let liveness = match row.shape.liveness {
                Liveness::Keep => 0,
                Liveness::Live => 1,
                Liveness::Dead => 2,
            };
            kinds::RUN + content * 3 + liveness
        }
    }
}

fn flags_byte(row: &Row) -> u8 {
    (u8::from(row.shape.is_born) * IS_BORN)
        | (u8::from(row.shape.has_turned) * HAS_TURNED)
        | (u8::from(row.is_cut) * IS_CUT)
}

fn log_kind(byte: u8) -> Option<Kind> {
    match byte {
        kinds::CREATE => Some(Kind::Create),
        kinds::PATCH => Some(Kind::Patch),
        kinds::STATE => Some(Kind::State),
        kinds::DELETE => Some(Kind::Delete),
        _ => None,
    }
}

fn run_kind(byte: u8) -> Option<(ContentKind, Liveness)> {
    let code = byte.checked_sub(kinds::RUN)?;
    let content = match code / 3 {
        0 => ContentKind::Keep,
        1 => ContentKind::Merge,
        2 => ContentKind::Replace,
        _ => return None,
    };
    let liveness = match code % 3 {
        0 => Liveness::Keep,
        1 => Liveness::Live,
        _ => Liveness::Dead,
    };
    Some((content, liveness))
}

pub(crate) fn content_of(kind: Kind) -> ContentKind {
    match kind {
        Kind::Create | Kind::State => ContentKind::Replace,
        Kind::Patch => ContentKind::Merge,
        Kind::Delete => ContentKind::Keep,
    }
}

fn write_row(layout: Layout, row: &Row, out: &mut Vec<u8>) {
    let (at, steps) = row.shape.clock.to_parts();
    out.extend_from_slice(row.id.as_bytes());
    out.extend_from_slice(&at.to_le_bytes());
    out.extend_from_slice(&row.fields_bytes.to_le_bytes());
    out.extend_from_slice(&row.extra_bytes.to_le_bytes());
    out.extend_from_slice(&row.name.to_le_bytes());
    out.extend_from_slice(&row.groups.to_le_bytes());
    out.extend_from_slice(&[kind_byte(layout, row), flags_byte(row), 0, 0]);
    match layout {
        Layout::Log => {}
        Layout::Run => {
            let (written_at, written_steps) = row.written.to_parts();
            let (since_at, since_steps) = row.shape.since.to_parts();
            out.extend_from_slice(&row.shape.first.0.to_le_bytes());
            out.extend_from_slice(&row.shape.last.0.to_le_bytes());
            out.extend_from_slice(&row.first_at.to_le_bytes());
            out.extend_from_slice(&written_at.to_le_bytes());
            out.extend_from_slice(&since_at.to_le_bytes());
            out.extend_from_slice(&written_steps.to_le_bytes());
            out.extend_from_slice(&since_steps.to_le_bytes());
            out.extend_from_slice(&steps.to_le_bytes());
            out.extend_from_slice(&row.shape.operations.to_le_bytes());
        }
    }
}

/// Takes fixed-size numbers off the front of a row; what is missing reads as zero, which no caller sees
/// because the length of the column was checked.
struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        match self.0.split_first_chunk::<N>() {
            Some((number, rest)) => {
                self.0 = rest;
                *number
            }
            None => [0; N],
        }
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.take())
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }
}

/// A row, unless it is of no known kind or says something that this format has no meaning for.
fn read_row(layout: Layout, ordinal: u64, bytes: &[u8]) -> Option<Row> {
    let mut numbers = Numbers(bytes);
    let id = Uuid::from_bytes(numbers.take());
    let at = numbers.u64();
    let fields_bytes = numbers.u32();
    let extra_bytes = numbers.u32();
    let name = numbers.u16();
    let groups = numbers.u16();
    let [kind, flags, reserved @ ..] = numbers.take::<4>();
    let is_cut = flags & IS_CUT != 0;
    let row = match layout {
        Layout::Log => {
            let kind = log_kind(kind)?;
            let clock = Clock::from_parts(at, u32::from(at > 0));
            let shape = Shape::of(Seq(ordinal), kind, clock);
            let content = content_of(kind);
            Row {
                id,
                name,
                groups,
                content,
                is_cut,
                shape,
                written: clock,
                first_at: at,
                fields_bytes,
                extra_bytes,
            }
        }
        Layout::Run => {
            let (content, liveness) = run_kind(kind)?;
            let (first, last, first_at) = (Seq(numbers.u64()), Seq(numbers.u64()), numbers.u64());
            let (written_at, since_at) = (numbers.u64(), numbers.u64());
            let (written_steps, since_steps) = (numbers.u32(), numbers.u32());
            let (steps, operations) = (numbers.u32(), numbers.u32());
            let shape = Shape {
                liveness,
                is_born: flags & IS_BORN != 0,
                has_turned: flags & HAS_TURNED != 0,
                since: Clock::from_parts(since_at, since_steps),
                clock: Clock::from_parts(at, steps),
                first,
                last,
                operations,
            };
            let written = Clock::from_parts(written_at, written_steps);
            Row { id, name, groups, content, is_cut, shape, written, first_at, fields_bytes, extra_bytes }
        }
    };
    (reserved == [0; 2] && flags_byte(&row) == flags).then_some(row)
}

fn row_bytes(layout: Layout) -> usize {
    match layout {
        Layout::Log => LOG_ROW_BYTES,
        Layout::Run => RUN_ROW_BYTES,
    }
}

/// Rows on their way to disk, with the names and groups they use.
#[derive(Debug)]
pub(crate) struct RowsDraft {
    layout: Layout,
    names: Vec<String>,
    groups: Vec<Vec<String>>,
    count: u32,
    bytes: Vec<u8>,
    preamble_bytes: usize,
}

impl RowsDraft {
    pub(crate) fn new(layout: Layout) -> Self {
        RowsDraft {
            layout,
            names: Vec::new(),
            groups: Vec::new(),
            count: 0,
            bytes: Vec::new(),
            preamble_bytes: 64,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The bytes a frame of these rows would have, about.
    pub(crate) fn size(&self) -> usize {
        FRAME_HEAD_BYTES + self.preamble_bytes + self.bytes.len()
    }

    /// Whether one more row would make the value too large or its lists of names too long.
    pub(crate) fn is_full(&self) -> bool {
        self.size() + row_bytes(self.layout) > VALUE_BYTES_MAX
            || self.names.len() >= usize::from(u16::MAX)
            || self.groups.len() >= usize::from(u16::MAX) - 1
    }

    /// Appends a row; its `name` and `groups` are filled in here.
    pub(crate) fn push(&mut self, mut row: Row, name: &str, groups: &[&str]) {
        row.name = self.name(name);
        row.groups = self.group_set(groups);
        write_row(self.layout, &row, &mut self.bytes);
        self.count += 1;
    }

    fn name(&mut self, name: &str) -> u16 {
        let place = self.names.iter().rposition(|known| known == name).unwrap_or_else(|| {
            self.preamble_bytes += name.len() + 8;
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        u16::try_from(place).unwrap_or(u16::MAX)
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
        u16::try_from(place).unwrap_or(u16::MAX)
    }

    /// The frame of these rows, with the payload behind them if it is given; the draft is empty again.
    pub(crate) fn finish(&mut self, place: &[u8], payload: Option<&[u8]>) -> Result<Vec<u8>, FrameError> {
        let preamble = Preamble {
            layout: self.layout,
            rows: self.count,
            is_inline: payload.is_some(),
            names: std::mem::take(&mut self.names),
            groups: std::mem::take(&mut self.groups),
        };
        let head = binary::encode(&preamble)?;
        let payload = payload.unwrap_or(&[]);
        let mut bytes = frame::begin(4 + head.len() + self.bytes.len() + payload.len());
        let length =
            u32::try_from(head.len()).map_err(|_| FrameError::Body { why: "too many names".to_owned() })?;
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&head);
        bytes.extend_from_slice(&self.bytes);
        bytes.extend_from_slice(payload);
        self.bytes.clear();
        self.count = 0;
        self.preamble_bytes = 64;
        Ok(frame::close(FrameKind::Rows, place, bytes))
    }
}

/// One value of rows, opened and checked.
#[derive(Debug)]
pub(crate) struct Rows<'a> {
    pub(crate) preamble: Preamble,
    first: u64,
    rows: &'a [u8],
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
        let wanted = (preamble.rows as usize).checked_mul(row_bytes(preamble.layout));
        let (rows, behind) = wanted
            .and_then(|wanted| rest.split_at_checked(wanted))
            .ok_or_else(|| wrong("there are fewer rows than the preamble says"))?;
        if !preamble.is_inline && !behind.is_empty() {
            return Err(wrong("there are bytes behind the rows"));
        }
        let inline = preamble.is_inline.then_some(behind);
        Ok(Rows { preamble, first, rows, inline })
    }

    /// The rows in order; an error for one that is none.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Result<Row, FrameError>> + '_ {
        let layout = self.preamble.layout;
        (self.first..).zip(self.rows.chunks_exact(row_bytes(layout))).map(move |(ordinal, bytes)| {
            read_row(layout, ordinal, bytes)
                .ok_or_else(|| FrameError::Body { why: "a row is of no known kind".to_owned() })
        })
    }

    /// The rows of a log at first sight, in order; an error for one that is none.
    pub(crate) fn brief(&self) -> impl Iterator<Item = Result<Brief, FrameError>> + '_ {
        // A value of a run among the log's is as wrong as a row of no known kind.
        let is_log = self.preamble.layout == Layout::Log;
        self.rows.chunks_exact(LOG_ROW_BYTES).map(move |bytes| {
            let mut numbers = Numbers(bytes);
            let (id, at) = (Uuid::from_bytes(numbers.take()), numbers.u64());
            let _sizes: [u8; 8] = numbers.take();
            let (name, _groups) = (numbers.u16(), numbers.u16());
            let [kind, ..] = numbers.take::<4>();
            let at = Clock::from_parts(at, 1).time();
            log_kind(kind)
                .filter(|_| is_log)
                .map(|kind| Brief { id, name, at, kind })
                .ok_or_else(|| FrameError::Body { why: "a row is of no known kind".to_owned() })
        })
    }

    /// One row by its place in this value.
    pub(crate) fn row(&self, place: usize) -> Option<Row> {
        let size = row_bytes(self.preamble.layout);
        let bytes = self.rows.get(place.checked_mul(size)?..)?.get(..size)?;
        read_row(self.preamble.layout, self.first.checked_add(place as u64)?, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_with_bits_that_mean_nothing_is_refused() {
        for layout in [Layout::Log, Layout::Run] {
            let mut good = vec![0; row_bytes(layout)];
            good[36] = match layout {
                Layout::Log => kinds::CREATE,
                Layout::Run => kinds::RUN,
            };
            good[37] = IS_BORN;
            let row = read_row(layout, 7, &good).unwrap();
            let mut again = Vec::new();
            write_row(layout, &row, &mut again);
            assert_eq!(again, good);
            for (place, byte) in [(37, IS_BORN | 8), (37, 0x80), (38, 5), (39, 1)] {
                let mut bad = good.clone();
                bad[place] = byte;
                assert!(read_row(layout, 7, &bad).is_none(), "{layout:?}: byte {place} is {byte}");
            }
            // A logged create was born there; without the flag its row contradicts itself.
            good[37] = 0;
            assert_eq!(read_row(layout, 7, &good).is_none(), layout == Layout::Log);
        }
    }
}
