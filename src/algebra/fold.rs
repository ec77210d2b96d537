//! Folding a log in memory: one effect an entity, payloads untouched until somebody asks for them.
//!
//! Only shapes are composed while operations come in. Of the payloads a list of references is kept: the
//! last `Replace` and the `Merge`s behind it.
//!
//! What folding costs are misses of the processor's caches. A long run is therefore sorted first, by hash, into
//! tables that stay in a cache while they are folded; and effects come out in the order of their last operations,
//! so that the log is read from its beginning to its end.

use std::hint::black_box;

use super::effect::{Content, Effect, Kind, Shape, joined};
use super::names::{CollectionName, EntityKey, Group, Millis, Seq};
use super::operation::{Change, Operation, Update};
use super::run::{Composer, Exceptions, Fields, Part};
use super::slots::{How, LOOKED_UP, Slot, Slots, Whom, part_of};
use super::stamp::Clock;

/// The groups of an entity: almost always none, so they take one word, not three of every slot.
type Groups = Option<Box<Vec<Group>>>;
type EntitySlot<'a> = Slot<&'a Operation, Groups>;
type Table<'a> = Slots<&'a Operation, Groups>;

/// So many operations a table: their slots take a mebibyte, should every one be of another entity.
const TABLE_OPERATIONS: usize = 8 * 1024;
/// With more tables than that, writing to all of them in turn costs what it saves.
const TABLES_MAX: usize = 512;
/// So many operations are sorted at once: what is sorted takes 128 MiB.
const SORTED_MAX: usize = 2 * 1024 * 1024;

/// A log being folded. Operations are borrowed, never copied.
#[derive(Debug)]
pub struct Fold<'a> {
    collections: Vec<&'a CollectionName>,
    /// Whose slot is in which, the hash tells. One, unless a long run came first.
    tables: Vec<Table<'a>>,
    last: Seq,
}

/// What of an operation has to be known to fold it.
#[derive(Clone, Copy)]
struct Head {
    whom: Whom,
    /// Where it is in the run.
    place: u32,
    kind: Kind,
    has_groups: bool,
    at: Option<Millis>,
}

impl Default for Fold<'_> {
    fn default() -> Self {
        Fold { collections: Vec::new(), tables: vec![Slots::new()], last: Seq(0) }
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
        let mut sorted: Vec<Vec<Head>> = Vec::new();
        for operations in operations.chunks(SORTED_MAX) {
            if self.tables.len() == 1 || operations.len() < self.tables.len() * LOOKED_UP {
                self.extend_in_order(operations);
            } else {
                self.sort(operations, &mut sorted);
                for (table, heads) in self.tables.iter_mut().zip(&sorted) {
                    add_all(table, self.last, operations, heads);
                }
            }
            self.last.0 += operations.len() as u64;
        }
    }

    fn extend_in_order(&mut self, operations: &'a [Operation]) {
        let mut heads = Vec::with_capacity(LOOKED_UP.min(operations.len()));
        for (first, operations) in (0..).step_by(LOOKED_UP).zip(operations.chunks(LOOKED_UP)) {
            let last = Seq(self.last.0 + first);
            heads.clear();
            heads.extend((0..).zip(operations).map(|(place, operation)| self.head(place, operation)));
            if let [table] = self.tables.as_mut_slice() {
                add_all(table, last, operations, &heads);
            } else {
                for head in &heads {
                    if let Some(table) = of_hash(&mut self.tables, head.whom.hash) {
                        add(table, last, operations, head, None);
                    }
                }
            }
        }
    }

    /// Sorts a run by the tables that it goes into.
    fn sort(&mut self, operations: &'a [Operation], sorted: &mut Vec<Vec<Head>>) {
        let tables = self.tables.len();
        let expected = operations.len() / tables;
        sorted.resize_with(tables, || Vec::with_capacity(expected + expected / 8));
        sorted.iter_mut().for_each(Vec::clear);
        for (place, operation) in (0..).zip(operations) {
            let head = self.head(place, operation);
            if let Some(heads) = of_hash(sorted, head.whom.hash) {
                heads.push(head);
            }
        }
    }

    fn head(&mut self, place: u32, operation: &'a Operation) -> Head {
        let collection = self.collection(operation.key.collection());
        let whom = self.tables.first().map(|table| table.whom(collection, operation.key.id()));
        Head {
            whom: whom.unwrap_or_default(),
            place,
            kind: operation.change.kind(),
            has_groups: !operation.groups.is_empty(),
            at: operation.at,
        }
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
    pub fn shapes(&self) -> impl Iterator<Item = &Shape> {
        self.tables.iter().flat_map(|table| &table.slots).map(|slot| &slot.shape)
    }

    /// The effects, in the order of their last operations: now payloads are merged.
    pub fn effects(&self) -> impl Iterator<Item = (EntityKey, Effect)> + '_ {
        let mut order: Vec<(Seq, u32, u32)> = Vec::with_capacity(self.len());
        for (number, table) in (0..).zip(&self.tables) {
            order.extend((0..).zip(&table.slots).map(|(place, slot)| (slot.shape.last, number, place)));
        }
        order.sort_unstable();
        (0..order.len()).step_by(LOOKED_UP).flat_map(move |first| {
            let slots = order.iter().skip(first).take(LOOKED_UP).filter_map(|(_, number, place)| {
                let table = self.tables.get(*number as usize)?;
                Some((table, table.slots.get(*place as usize)?))
            });
            let slots: Vec<(&Table<'a>, &EntitySlot<'a>)> = slots.collect();
            let mut parts: Vec<&Operation> = Vec::with_capacity(slots.len());
            let mut runs: Vec<(&EntitySlot<'a>, usize)> = Vec::with_capacity(slots.len());
            for (table, slot) in slots {
                parts.extend(table.parts(slot));
                runs.push((slot, parts.len()));
            }
            look_at(&parts);
            let (mut from, mut composer) = (0, Composer::default());
            runs.into_iter().filter_map(move |(slot, to)| {
                let parts = parts.get(std::mem::replace(&mut from, to)..to)?;
                Some((slot.newest().key.clone(), effect(&mut composer, slot, parts)))
            })
        })
    }

    fn collection(&mut self, name: &'a CollectionName) -> u32 {
        // Few collections and long runs of one: a walk from the end is quicker than a hash.
        let found = self.collections.iter().rposition(|known| std::ptr::eq(*known, name) || *known == name);
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

/// Adds operations of a run; `last` is the one before the run.
fn add_all<'a>(table: &mut Table<'a>, last: Seq, operations: &'a [Operation], heads: &[Head]) {
    let mut hints = [None; LOOKED_UP];
    for heads in heads.chunks(LOOKED_UP) {
        table.look_up(heads.iter().map(|head| &head.whom), &mut hints);
        for (head, hint) in heads.iter().zip(hints) {
            add(table, last, operations, head, hint);
        }
    }
}

fn add<'a>(table: &mut Table<'a>, last: Seq, operations: &'a [Operation], head: &Head, hint: Option<u32>) {
    let Some(operation) = operations.get(head.place as usize) else { return };
    let seq = Seq(last.0 + u64::from(head.place) + 1);
    let shape = Shape::of(seq, head.kind, Clock::of(head.at));
    let how = How { replaces: matches!(head.kind, Kind::Create | Kind::State), cuts: false };
    let place = table.add(&head.whom, hint, shape, operation, how);
    if head.has_groups
        && let Some(slot) = table.slots.get_mut(place)
    {
        let joined = joined(slot.extra.as_deref().map_or(&[], Vec::as_slice), &operation.groups);
        slot.extra = Some(Box::new(joined));
    }
}

/// Looks at payloads before the first of them is used, so that their misses overlap.
fn look_at(operations: &[&Operation]) {
    let ends = operations.iter().filter_map(|operation| {
        let bytes = operation.change.fields_json().as_bytes();
        Some(bytes.first()? ^ bytes.last()?)
    });
    black_box(ends.fold(0, |all: u8, byte| all ^ byte));
}

/// The effect of an entity, of the parts that matter, newest first.
fn effect(composer: &mut Composer, slot: &EntitySlot<'_>, parts: &[&Operation]) -> Effect {
    let groups = slot.extra.as_deref().cloned().unwrap_or_default();
    if parts.len() == 1 && slot.before == Clock::default() {
        return Effect { shape: slot.shape, groups, ..Effect::of(slot.shape.last, slot.newest()) };
    }
    // What came before the oldest part matters only through its clock.
    let mut clock = slot.before;
    let run: Vec<Part<'_>> = parts
        .iter()
        .rev()
        .map(|operation| {
            let fields = match &operation.change {
                Change::Create(state) | Change::Update(Update::State(state)) => {
                    Fields::Replace(state.as_json())
                }
                Change::Update(Update::Patch(patch)) => Fields::Merge(patch.as_json()),
                Change::Delete => Fields::Keep,
            };
            let written = Clock::of(operation.at);
            let before = clock;
            clock = written.after(before);
            Part { fields, written, exceptions: Exceptions::OfOperation(&operation.stamps), before }
        })
        .collect();
    let content = |place| {
        let part = parts.iter().rev().nth(place);
        part.map_or(Content::Keep, |operation| Content::of(&operation.change))
    };
    composer.compose(&run, |composed| Effect::of_run(slot.shape, groups, composed, content))
}
