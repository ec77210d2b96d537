//! Folding a log in memory: one effect an entity, payloads untouched until somebody asks for them.
//!
//! Only shapes are composed while operations come in. Of the payloads a list of references is kept: the
//! last `Replace` and the `Merge`s behind it.
//!
//! What folding costs are misses of the processor's caches. A long run is therefore sorted first, by hash, into
//! tables that stay in a cache while they are folded; and effects come out in the order of their last operations,
//! so that the log is read from its beginning to its end.

use std::num::NonZeroU32;

use super::effect::{Effect, Shape, joined};
use super::effects::Effects;
use super::head::{Head, HeadInRun, PLACES_MAX};
use super::names::{CollectionName, EntityKey, Group, Seq};
use super::operation::Operation;
use super::slots::{ALine, Beside, How, LOOKED_UP, Slot, Slots, Timeless, Whom, part_of};

pub(super) type Table<'a> = Slots<&'a Operation, Groups>;
pub(super) type EntitySlot<'a> = Slot<&'a Operation, Groups>;

/// The groups of an entity: almost always none, so only their place among those of all entities, plus 1.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Groups(Option<NonZeroU32>);

impl Beside for Groups {
    type Begins = ALine;
    type Times = Timeless;
    const HAS_TIMES: bool = false;
}

#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<EntitySlot<'_>>() == 64, "a slot is one line of the cache");

/// So many operations a table: their slots stay in a cache, should every one be of another entity.
const TABLE_OPERATIONS: usize = 8 * 1024;
/// With more tables than that, writing to all of them in turn costs what it saves.
const TABLES_MAX: usize = 512;
/// So many operations are sorted at once: what is sorted takes 32 MiB.
const SORTED_MAX: usize = 1024 * 1024;
const _: () = assert!(SORTED_MAX <= PLACES_MAX, "a head has room for each place");

/// A log being folded. Operations are borrowed, never copied.
#[derive(Debug)]
pub struct Fold<'a> {
    collections: Vec<&'a CollectionName>,
    /// Whose slot is in which, the hash tells. One, unless a long run came first.
    pub(super) tables: Vec<Table<'a>>,
    /// The groups of those entities that have any.
    groups: Vec<Vec<Group>>,
    pub(super) last: Seq,
}

impl Default for Fold<'_> {
    fn default() -> Self {
        Fold { collections: Vec::new(), tables: vec![Slots::new()], groups: Vec::new(), last: Seq(0) }
    }
}

impl<'a> Fold<'a> {
    /// A fold of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Folds in the next operation, which gets the next sequence number: 1, 2, 3, …
    ///
    /// # Panics
    /// Beyond 2³² entities: their slots alone would take half a tebibyte.
    pub fn push(&mut self, operation: &'a Operation) -> Seq {
        self.extend(std::slice::from_ref(operation));
        self.last
    }

    /// Folds in a run of operations, in its order: the same as one after another, and several times as quick where
    /// the run is long and the first.
    ///
    /// # Panics
    /// As [`Fold::push`].
    pub fn extend(&mut self, operations: &'a [Operation]) {
        if self.is_empty() && operations.len() >= 2 * TABLE_OPERATIONS {
            let tables = (operations.len() / TABLE_OPERATIONS).min(TABLES_MAX);
            let like = Slots::new();
            self.tables = std::iter::repeat_with(|| like.like()).take(tables).collect();
        }
        let mut sorted: Vec<Vec<HeadInRun>> = Vec::new();
        for operations in operations.chunks(SORTED_MAX) {
            if self.tables.len() == 1 || operations.len() < self.tables.len() * LOOKED_UP {
                self.extend_in_order(operations);
            } else {
                self.sort(operations, &mut sorted);
                self.add_sorted(operations, &sorted);
            }
            self.last.0 += operations.len() as u64;
        }
    }

    fn extend_in_order(&mut self, operations: &'a [Operation]) {
        let mut heads = Vec::with_capacity(LOOKED_UP.min(operations.len()));
        for (first, chunk) in (0..).step_by(LOOKED_UP).zip(operations.chunks(LOOKED_UP)) {
            heads.clear();
            for (place, operation) in (first..).zip(chunk) {
                let collection = self.collection(operation.key.collection());
                heads.push(Head::new(self.whom(collection, operation), place, operation));
            }
            if let [table] = self.tables.as_mut_slice() {
                add_all(table, &mut self.groups, self.last, operations, &heads);
            } else {
                for head in &heads {
                    if let Some(table) = of_hash(&mut self.tables, head.whom.hash) {
                        add(table, &mut self.groups, self.last, operations, head, None);
                    }
                }
            }
        }
    }

    /// Sorts a run by the tables that it goes into.
    fn sort(&mut self, operations: &'a [Operation], sorted: &mut Vec<Vec<HeadInRun>>) {
        let tables = self.tables.len();
        let expected = operations.len() / tables;
        sorted.resize_with(tables, || Vec::with_capacity(expected + expected / 8));
        sorted.iter_mut().for_each(Vec::clear);
        for (place, operation) in (0..).zip(operations) {
            let collection = self.collection(operation.key.collection());
            let whom = self.whom(collection, operation);
            if let Some(heads) = of_hash(sorted, whom.hash) {
                heads.push(HeadInRun::new(&whom, place, operation));
            }
        }
    }

    /// Folds what was sorted, table by table.
    fn add_sorted(&mut self, operations: &'a [Operation], sorted: &[Vec<HeadInRun>]) {
        let mut heads = Vec::with_capacity(LOOKED_UP);
        let mut expected = 0;
        for (table, sorted) in self.tables.iter_mut().zip(sorted) {
            if table.slots.is_empty() {
                // They are about equally large: only the first one has to grow.
                table.reserve(expected);
            }
            for sorted in sorted.chunks(LOOKED_UP) {
                heads.clear();
                heads.extend(sorted.iter().map(|head| head.unpacked(table)));
                add_all(table, &mut self.groups, self.last, operations, &heads);
            }
            expected = 2 * table.slots.len();
        }
    }

    fn whom(&self, collection: u32, operation: &Operation) -> Whom {
        let table = self.tables.first();
        table.map(|table| table.whom(collection, operation.key.id())).unwrap_or_default()
    }

    /// How many entities have an effect.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tables.iter().map(|table| table.slots.len()).sum()
    }

    /// Whether nothing was folded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tables.iter().all(|table| table.slots.is_empty())
    }

    /// The shapes of all effects, in no particular order.
    pub fn shapes(&self) -> impl Iterator<Item = Shape> {
        self.tables
            .iter()
            .flat_map(|table| (0..).zip(&table.slots).map(|(place, slot)| table.told(place, slot).0))
    }

    /// The effects, in the order of their last operations: now payloads are merged.
    pub fn effects(&self) -> impl ExactSizeIterator<Item = (EntityKey, Effect)> + '_ {
        Effects::new(self)
    }

    /// The groups of an entity.
    pub(super) fn groups(&self, of: Groups) -> &[Group] {
        place_of(of).and_then(|place| self.groups.get(place)).map_or(&[], Vec::as_slice)
    }

    fn collection(&mut self, name: &'a CollectionName) -> u32 {
        // Few collections and long runs of one: a walk from the end is quicker than a hash.
        let found = self.collections.iter().rposition(|known| *known == name);
        let place = found.unwrap_or_else(|| {
            self.collections.push(name);
            self.collections.len() - 1
        });
        u32::try_from(place).expect("fewer than 2^32 collections")
    }
}

/// What belongs to a hash, of all tables or of what goes into them.
fn of_hash<T>(all: &mut [T], hash: u64) -> Option<&mut T> {
    let part = part_of(hash, all.len() as u64);
    all.get_mut(usize::try_from(part).ok()?)
}

fn place_of(groups: Groups) -> Option<usize> {
    groups.0.map(|place| place.get() as usize - 1)
}

/// Adds operations of a run; `last` is the one before the run.
fn add_all<'a>(
    table: &mut Table<'a>,
    groups: &mut Vec<Vec<Group>>,
    last: Seq,
    operations: &'a [Operation],
    heads: &[Head],
) {
    let mut hints = [None; LOOKED_UP];
    table.look_up(heads.iter().map(|head| &head.whom), &mut hints);
    for (head, hint) in heads.iter().zip(hints) {
        add(table, groups, last, operations, head, hint);
    }
}

fn add<'a>(
    table: &mut Table<'a>,
    groups: &mut Vec<Vec<Group>>,
    last: Seq,
    operations: &'a [Operation],
    head: &Head,
    hint: Option<u32>,
) {
    let Some(operation) = operations.get(head.place as usize) else { return };
    let seq = Seq(last.0 + u64::from(head.place) + 1);
    let shape = Shape::of(seq, head.kind, head.clock);
    let how = How { replaces: head.replaces(), cuts: false };
    let place = table.add(&head.whom, hint, shape, operation, how);
    if head.has_groups
        && let Some(slot) = table.slots.get_mut(place)
    {
        match place_of(slot.extra).and_then(|place| groups.get_mut(place)) {
            Some(groups) => *groups = joined(groups, &operation.groups),
            None => {
                groups.push(operation.groups.clone());
                let place = u32::try_from(groups.len()).expect("fewer than 2^32 entities");
                slot.extra = Groups(NonZeroU32::new(place));
            }
        }
    }
}
