//! One row: an entry but for its payload, as numbers in a fixed order.
//!
//! ```text
//! log: at │ fields bytes │ extra bytes │ name │ groups │ kind
//! run: the same, then flags │ first │ last │ first at │ written at, steps │ since at, steps │ steps │ operations
//! ```
//!
//! Times are plus 1, 0 for none.

use uuid::Uuid;

use crate::algebra::{Clock, Kind, Liveness, Millis, Seq, Shape};
use crate::codec::columns::Layout;

/// The most numbers that a row has beside its id.
pub(crate) const NUMBERS_MAX: usize = 16;

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

fn kind_number(layout: Layout, row: &Row) -> u8 {
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

fn flags(row: &Row) -> u8 {
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

/// What a row of this kind does to its entity's fields.
pub(crate) fn content_of_number(layout: Layout, kind: u64) -> Option<ContentKind> {
    let kind = u8::try_from(kind).ok()?;
    match layout {
        Layout::Log => log_kind(kind).map(content_of),
        Layout::Run => run_kind(kind).map(|(content, _)| content),
    }
}

/// Where some of a row's numbers stand.
pub(crate) const AT: usize = 0;
pub(crate) const FIELDS_BYTES: usize = 1;
pub(crate) const EXTRA_BYTES: usize = 2;
pub(crate) const NAME: usize = 3;
pub(crate) const KIND: usize = 5;

/// How many numbers a row of this layout has.
pub(crate) fn numbers_of(layout: Layout) -> usize {
    match layout {
        Layout::Log => 6,
        Layout::Run => NUMBERS_MAX,
    }
}

/// A row's numbers; those that its layout does not have are 0.
pub(crate) fn numbers(layout: Layout, row: &Row) -> [u64; NUMBERS_MAX] {
    let (at, steps) = row.shape.clock.to_parts();
    let mut numbers = [0; NUMBERS_MAX];
    let (common, more) = numbers.split_at_mut(6);
    common.copy_from_slice(&[
        at,
        row.fields_bytes.into(),
        row.extra_bytes.into(),
        row.name.into(),
        row.groups.into(),
        kind_number(layout, row).into(),
    ]);
    if layout == Layout::Run {
        let (written_at, written_steps) = row.written.to_parts();
        let (since_at, since_steps) = row.shape.since.to_parts();
        more.copy_from_slice(&[
            flags(row).into(),
            row.shape.first.0,
            row.shape.last.0,
            row.first_at,
            written_at,
            written_steps.into(),
            since_at,
            since_steps.into(),
            steps.into(),
            row.shape.operations.into(),
        ]);
    }
    numbers
}

/// The row of an id and its numbers, unless it is of no known kind or says something that this format has no
/// meaning for.
#[inline]
pub(crate) fn row_of(layout: Layout, ordinal: u64, id: Uuid, number: impl Fn(usize) -> u64) -> Option<Row> {
    let at = number(0);
    let fields_bytes = u32::try_from(number(1)).ok()?;
    let extra_bytes = u32::try_from(number(2)).ok()?;
    let name = u16::try_from(number(3)).ok()?;
    let groups = u16::try_from(number(4)).ok()?;
    let kind = u8::try_from(number(5)).ok()?;
    match layout {
        Layout::Log => {
            let kind = log_kind(kind)?;
            let clock = Clock::from_parts(at, u32::from(at > 0));
            Some(Row {
                id,
                name,
                groups,
                content: content_of(kind),
                is_cut: false,
                shape: Shape::of(Seq(ordinal), kind, clock),
                written: clock,
                first_at: at,
                fields_bytes,
                extra_bytes,
            })
        }
        Layout::Run => {
            let (content, liveness) = run_kind(kind)?;
            let bits = u8::try_from(number(6)).ok()?;
            let small = |place: usize| u32::try_from(number(place)).ok();
            let shape = Shape {
                liveness,
                is_born: bits & IS_BORN != 0,
                has_turned: bits & HAS_TURNED != 0,
                since: Clock::from_parts(number(12), small(13)?),
                clock: Clock::from_parts(at, small(14)?),
                first: Seq(number(7)),
                last: Seq(number(8)),
                operations: small(15)?,
            };
            let written = Clock::from_parts(number(10), small(11)?);
            let (is_cut, first_at) = (bits & IS_CUT != 0, number(9));
            let row = Row {
                id,
                name,
                groups,
                content,
                is_cut,
                shape,
                written,
                first_at,
                fields_bytes,
                extra_bytes,
            };
            // What no operation did has only a cut to say.
            let says_something = row.shape.operations > 0 || is_cut;
            (flags(&row) == bits && says_something).then_some(row)
        }
    }
}

/// What a row of a log says at first sight, by its numbers.
#[inline]
pub(crate) fn brief_of(id: Uuid, at: u64, name: u64, kind: u64) -> Option<Brief> {
    let kind = log_kind(u8::try_from(kind).ok()?)?;
    Some(Brief { id, name: u16::try_from(name).ok()?, at: Clock::from_parts(at, 1).time(), kind })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_mean_nothing_are_refused() {
        let id = Uuid::from_u128(1);
        for layout in [Layout::Log, Layout::Run] {
            let mut good = [0; NUMBERS_MAX];
            if layout == Layout::Run {
                good[15] = 1;
            }
            good[5] = match layout {
                Layout::Log => u64::from(kinds::CREATE),
                Layout::Run => u64::from(kinds::RUN),
            };
            let row = row_of(layout, 7, id, |place| good[place]).unwrap();
            assert_eq!(numbers(layout, &row), good);
            let bad = [(1, 1 << 32), (2, 1 << 32), (3, 1 << 16), (4, 1 << 16), (5, 0), (5, 25), (5, 256)];
            let bad_of_runs =
                [(6, 8), (6, 0x80), (6, 256), (11, 1 << 32), (13, 1 << 32), (15, 1 << 32), (15, 0)];
            let bad_of_runs = bad_of_runs.iter().filter(|_| layout == Layout::Run);
            for (place, number) in bad.iter().chain(bad_of_runs) {
                let mut bad = good;
                bad[*place] = *number;
                assert!(
                    row_of(layout, 7, id, |place| bad[place]).is_none(),
                    "{layout:?}: {place} is {number}"
                );
            }
        }
    }
}
