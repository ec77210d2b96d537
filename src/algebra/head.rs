//! Heads: what of an operation has to be known to fold it.

use super::effect::Kind;
use super::fold::Table;
use super::operation::Operation;
use super::slots::Whom;
use super::stamp::Clock;

/// A head that is about to be folded.
#[derive(Clone, Copy)]
pub(super) struct Head {
    pub(super) whom: Whom,
    /// Where it is in the run.
    pub(super) place: u32,
    pub(super) kind: Kind,
    pub(super) has_groups: bool,
    pub(super) clock: Clock,
}

impl Head {
    pub(super) fn new(whom: Whom, place: u32, operation: &Operation) -> Self {
        Head {
            whom,
            place,
            kind: operation.change.kind(),
            has_groups: !operation.groups.is_empty(),
            clock: Clock::of(operation.at),
        }
    }

    /// Whether it replaces the content.
    pub(super) fn replaces(&self) -> bool {
        matches!(self.kind, Kind::Create | Kind::State)
    }
}

/// A head in half a line of the cache, for long runs that are sorted: its hash is made again.
#[derive(Clone, Copy)]
pub(super) struct HeadInRun {
    id: uuid::Uuid,
    at: u64,
    collection: u32,
    /// The place; the lowest bits are the kind, and whether it has groups.
    marks: u32,
}

/// Places are below that: the other bits are taken.
pub(super) const PLACES_MAX: usize = 1 << (u32::BITS - PLACE_SHIFT);

const PLACE_SHIFT: u32 = 3;
const HAS_GROUPS: u32 = 4;
const KIND: u32 = 3;

impl HeadInRun {
    pub(super) fn new(whom: &Whom, place: u32, operation: &Operation) -> Self {
        let kind = match operation.change.kind() {
            Kind::Create => 0,
            Kind::Patch => 1,
            Kind::State => 2,
            Kind::Delete => KIND,
        };
        let groups = if operation.groups.is_empty() { 0 } else { HAS_GROUPS };
        HeadInRun {
            id: whom.id,
            at: Clock::of(operation.at).to_parts().0,
            collection: whom.collection,
            marks: place << PLACE_SHIFT | groups | kind,
        }
    }

    pub(super) fn unpacked(&self, table: &Table<'_>) -> Head {
        Head {
            whom: table.whom(self.collection, self.id),
            place: self.marks >> PLACE_SHIFT,
            kind: match self.marks & KIND {
                0 => Kind::Create,
                1 => Kind::Patch,
                2 => Kind::State,
                _ => Kind::Delete,
            },
            has_groups: self.marks & HAS_GROUPS != 0,
            clock: Clock::of_one(self.at),
        }
    }
}
