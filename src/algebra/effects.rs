//! The effects of a fold, in the order of their last operations.
//!
//! What they are made of lies all over the memory, so it is looked at before it is used, a few entities at a time:
//! then the misses of one overlap with those of the next.

use std::hint::black_box;

use super::effect::{Content, Count, Effect, Shape};
use super::fold::{EntitySlot, Fold, Table};
use super::names::{EntityKey, Seq};
use super::operation::{Change, Operation, Update};
use super::run::{Composer, Exceptions, Fields, Part, emptied};
use super::slots::LOOKED_UP;
use super::stamp::Clock;

/// The effects of a fold that did not come out yet.
pub(super) struct Effects<'f, 'a> {
    fold: &'f Fold<'a>,
    order: Vec<Turn>,
    /// The parts of those entities that have several that matter, oldest first; a list a table, slot by slot.
    parts: Vec<Vec<&'a Operation>>,
    /// How many were looked at.
    looked_at: usize,
    /// Those that were looked at, and the next of them.
    ready: Vec<Ready<'f, 'a>>,
    next: usize,
    run: Vec<Part<'static>>,
    composer: Composer,
}

/// Whose turn it is.
#[derive(Clone, Copy, Default)]
struct Turn {
    table: u32,
    slot: u32,
    /// Where its parts begin, and how many they are: none where the newest is the only one.
    parts: u32,
    parts_len: u32,
}

/// An entity that was looked at.
struct Ready<'f, 'a> {
    slot: &'f EntitySlot<'a>,
    turn: Turn,
}

impl<'f, 'a> Effects<'f, 'a> {
    pub(super) fn new(fold: &'f Fold<'a>) -> Self {
        let mut parts = Vec::with_capacity(fold.tables.len());
        let mut turns = Turns::of(fold);
        for (number, table) in (0..).zip(&fold.tables) {
            parts.push(turns.take(number, table));
        }
        Effects {
            fold,
            order: turns.turns,
            parts,
            looked_at: 0,
            ready: Vec::with_capacity(LOOKED_UP),
            next: 0,
            run: Vec::new(),
            composer: Composer::default(),
        }
    }

    /// Looks at the next few.
    fn look(&mut self) {
        let turns = self.order.get(self.looked_at..).unwrap_or_default();
        let turns = turns.get(..LOOKED_UP).unwrap_or(turns);
        self.looked_at += turns.len();
        self.next = 0;
        self.ready.clear();
        self.ready.extend(turns.iter().filter_map(|turn| {
            let slot = self.fold.tables.get(turn.table as usize)?.slots.get(turn.slot as usize)?;
            Some(Ready { slot, turn: *turn })
        }));
        let mut seen = 0;
        for Ready { slot, turn } in &self.ready {
            if let Some((shape, before)) = self.told(slot, turn) {
                seen ^= shape.operations ^ before.to_parts().1;
            }
        }
        let mut seen = black_box(seen) as usize;
        for ready in &self.ready {
            let parts = of_turn(&self.parts, &ready.turn);
            if parts.is_empty() {
                seen ^= seen_of(ready.slot.newest());
            }
            for part in parts {
                seen ^= seen_of(part);
            }
        }
        for ready in &self.ready {
            let parts = of_turn(&self.parts, &ready.turn);
            if parts.is_empty() {
                seen ^= ready.slot.newest().change.holders();
            }
            for part in parts {
                let text = part.change.fields_json().as_bytes();
                seen ^= usize::from(text.first().unwrap_or(&0) ^ text.last().unwrap_or(&0));
            }
        }
        black_box(seen);
    }
}

impl<'a> Effects<'_, 'a> {
    fn told(&self, slot: &EntitySlot<'a>, turn: &Turn) -> Option<(Shape, Clock)> {
        Some(self.fold.tables.get(turn.table as usize)?.told(turn.slot as usize, slot))
    }
}

impl Iterator for Effects<'_, '_> {
    type Item = (EntityKey, Effect);

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == self.ready.len() {
            self.look();
        }
        let Ready { slot, turn } = self.ready.get(self.next)?;
        self.next += 1;
        let key = slot.newest().key.clone();
        let groups = self.fold.groups(slot.extra).to_vec();
        let (shape, before) = self.told(slot, turn)?;
        let parts = match of_turn(&self.parts, turn) {
            [] if before == Clock::default() => {
                return Some((key, Effect::of_only(slot.newest(), shape, groups)));
            }
            [] => &[slot.newest()],
            parts => parts,
        };
        let mut run = emptied(std::mem::take(&mut self.run));
        run.extend(parts_of(before, parts));
        let content =
            |place: usize| parts.get(place).map_or(Content::Keep, |operation| Content::of(&operation.change));
        let effect = self.composer.compose(&run, |composed| Effect::of_run(shape, groups, composed, content));
        self.run = emptied(run);
        Some((key, effect))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.order.len() - self.looked_at + self.ready.len() - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Effects<'_, '_> {}

fn of_turn<'p, 'a>(parts: &'p [Vec<&'a Operation>], turn: &Turn) -> &'p [&'a Operation] {
    if turn.parts_len == 0 {
        return &[];
    }
    let (from, to) = (turn.parts as usize, turn.parts as usize + turn.parts_len as usize);
    parts.get(turn.table as usize).and_then(|parts| parts.get(from..to)).unwrap_or_default()
}

/// Something of every line of the cache that an operation is on.
fn seen_of(operation: &Operation) -> usize {
    operation.change.fields_json().len() ^ operation.groups.len() ^ usize::from(operation.at.is_some())
}

/// Operations as parts of a run, oldest first.
fn parts_of<'a>(before: Clock, operations: &[&'a Operation]) -> impl Iterator<Item = Part<'a>> {
    // What came before the oldest part matters only through its clock.
    let mut clock = before;
    operations.iter().map(move |operation| {
        let fields = match &operation.change {
            Change::Create(state) | Change::Update(Update::State(state)) => Fields::Replace(state.as_json()),
            Change::Update(Update::Patch(patch)) => Fields::Merge(patch.as_json()),
            Change::Delete => Fields::Keep,
        };
        let written = Clock::of(operation.at);
        let before = clock;
        clock = written.after(before);
        Part { fields, written, exceptions: Exceptions::OfOperation(&operation.stamps), before }
    })
}

/// Whose turn is when: by a bit for each operation that is somebody's last, not by comparing.
struct Turns {
    /// Of every 64 operations which ones are the last of their entities, and how many such there are before.
    words: Vec<(u64, u32)>,
    turns: Vec<Turn>,
}

impl Turns {
    fn of(fold: &Fold<'_>) -> Self {
        let words = usize::try_from(fold.last.0 / 64 + 1).unwrap_or(usize::MAX);
        let mut words = vec![(0, 0); words];
        for Count { last, .. } in fold.tables.iter().flat_map(|table| &table.slots).map(|slot| slot.count) {
            if let Some((bits, _)) = words.get_mut(word_of(last)) {
                *bits |= bit_of(last);
            }
        }
        let mut all = 0;
        for (bits, before) in &mut words {
            *before = all;
            all += bits.count_ones();
        }
        Turns { words, turns: vec![Turn::default(); fold.len()] }
    }

    /// Takes in a table, and gives the parts of its entities in the order of their slots: a table's chains are
    /// followed while it is in a cache.
    fn take<'a>(&mut self, number: u32, table: &Table<'a>) -> Vec<&'a Operation> {
        let mut parts = Vec::new();
        if table.parts_max() > table.slots.len() {
            parts.reserve(table.parts_max());
        }
        for (place, slot) in (0..).zip(&table.slots) {
            let from = parts.len();
            if slot.has_older() {
                parts.extend(table.parts(slot));
                parts.get_mut(from..).unwrap_or_default().reverse();
            }
            let last = slot.count.last;
            let turn = self.words.get(word_of(last)).map_or(0, |(bits, before)| {
                *before as usize + (bits & (bit_of(last) - 1)).count_ones() as usize
            });
            if let Some(turn) = self.turns.get_mut(turn) {
                let len = |parts| u32::try_from(parts).expect("fewer than 2^32 parts");
                *turn =
                    Turn { table: number, slot: place, parts: len(from), parts_len: len(parts.len() - from) };
            }
        }
        parts
    }
}

fn word_of(seq: Seq) -> usize {
    usize::try_from(seq.0 / 64).unwrap_or(usize::MAX)
}

fn bit_of(seq: Seq) -> u64 {
    1 << (seq.0 % 64)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use crate::algebra::{CollectionName, EntityKey, Fold, Operation, State};

    #[test]
    fn effects_say_how_many_are_left() {
        let name = CollectionName::new("notes").unwrap();
        let key = |n| EntityKey::new(name.clone(), Uuid::from_u128(n)).unwrap();
        let log: Vec<Operation> = (1..=100).map(|n| Operation::create(key(n), State::empty())).collect();
        let mut fold = Fold::new();
        assert!(fold.is_empty());
        fold.extend(&log);
        assert!(!fold.is_empty());
        let mut effects = fold.effects();
        for left in (0..100).rev() {
            assert_eq!(effects.len(), left + 1);
            assert!(effects.next().is_some());
        }
        assert_eq!((effects.len(), effects.next().is_none()), (0, true));
    }
}
