//! Slots: the fold's table, one slot an entity, by shapes alone.
//!
//! What an operation does to the fields stays where it is; a slot only remembers *where*: the last part
//! that replaced the content, and the chain of those behind it. Generic over what a place is, so that
//! folding in memory and folding from disk are one piece of code.

use std::fmt;
use std::hash::BuildHasher;
use std::num::NonZeroU32;

use hashbrown::HashTable;
use uuid::Uuid;

use super::effect::{Count, Shape};
use super::stamp::Clock;

/// One entity's slot.
#[derive(Debug)]
pub(crate) struct Slot<P, E: Beside> {
    _begins: [E::Begins; 0],
    pub(crate) id: Uuid,
    pub(crate) collection: u32,
    /// Where the older parts begin.
    older: Chained,
    /// The newest part.
    newest: P,
    pub(crate) count: Count,
    times: E::Times,
    /// What else the caller keeps of an entity.
    pub(crate) extra: E,
}

/// What a caller keeps of an entity beside its shape.
pub(crate) trait Beside: Default {
    /// Where slots begin, as its alignment says: none should be on more lines of the cache than it has to.
    type Begins: Copy + fmt::Debug;
    /// [`Times`], or nothing: where operations mostly have no time, only the table has them, and only if one has.
    type Times: Copy + Default + fmt::Debug + Into<Times> + From<Times>;
    /// Whether slots have their times.
    const HAS_TIMES: bool;
}

/// Slots begin where a line does.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(crate) struct ALine;

/// Slots begin where two lines do that a processor fetches together.
#[derive(Clone, Copy, Debug)]
#[repr(align(128))]
pub(crate) struct TwoLines;

/// The times of a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Times {
    since: Clock,
    clock: Clock,
    /// The clock before the oldest part that still matters.
    before: Clock,
}

/// No times.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timeless;

impl From<Timeless> for Times {
    fn from(_: Timeless) -> Self {
        Times::default()
    }
}

impl From<Times> for Timeless {
    fn from(_: Times) -> Self {
        Timeless
    }
}

/// A place in the list of all older parts, plus 1 so that an option takes no room.
type Chained = Option<NonZeroU32>;

impl<P, E: Beside<Times = Times>> Slot<P, E> {
    pub(crate) fn shape(&self) -> Shape {
        self.count.shape(self.times.since, self.times.clock)
    }

    /// The clock before the oldest part that still matters.
    pub(crate) fn before(&self) -> Clock {
        self.times.before
    }
}

impl<P: Copy, E: Beside> Slot<P, E> {
    /// The newest part.
    pub(crate) fn newest(&self) -> P {
        self.newest
    }

    /// Whether an older part still matters.
    pub(crate) fn has_older(&self) -> bool {
        self.older.is_some()
    }
}

#[derive(Clone, Copy, Debug)]
struct Older<P> {
    part: P,
    older: Chained,
}

/// Where an entity's slot is, with enough of its hash to tell most others apart without a look at it.
#[derive(Clone, Copy, Debug)]
struct Place {
    tag: u32,
    slot: u32,
}

/// How many operations are looked up together: enough to keep every outstanding cache miss of a core
/// busy, few enough to stay in the nearest cache.
pub(crate) const LOOKED_UP: usize = 32;

/// Whom an operation is about.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Whom {
    pub(crate) hash: u64,
    pub(crate) collection: u32,
    pub(crate) id: Uuid,
}

/// The table of slots.
#[derive(Debug)]
pub(crate) struct Slots<P, E: Beside> {
    hasher: foldhash::fast::RandomState,
    places: HashTable<Place>,
    pub(crate) slots: Vec<Slot<P, E>>,
    older: Vec<Older<P>>,
    /// Of slots that have none themselves: as many as slots, or none while no operation has a time.
    times: Vec<Times>,
}

impl<P: Copy, E: Beside> Slots<P, E> {
    pub(crate) fn new() -> Self {
        Slots {
            hasher: foldhash::fast::RandomState::default(),
            places: HashTable::new(),
            slots: Vec::new(),
            older: Vec::new(),
            times: Vec::new(),
        }
    }

    /// An empty table whose hashes are the same as this one's.
    pub(crate) fn like(&self) -> Self {
        Slots { hasher: self.hasher.clone(), ..Slots::new() }
    }

    /// Forgets every slot and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.places.clear();
        self.slots.clear();
        self.older.clear();
        self.times.clear();
    }

    /// Makes room for so many entities: a list of them that grows is there twice for a moment.
    pub(crate) fn reserve(&mut self, entities: usize) {
        self.slots.reserve_exact(entities);
        self.places.reserve(entities, |place| spread(place.tag));
    }

    /// Whom an operation is about, with the hash that goes with it.
    pub(crate) fn whom(&self, collection: u32, id: Uuid) -> Whom {
        Whom { hash: self.hasher.hash_one((collection, id.as_u128())), collection, id }
    }

    /// Looks several up before any of them is added: the misses of one look-up overlap with those of the
    /// next, which is most of what folding a large log costs. A hint only: who is not found, or was added
    /// since, is looked up again by [`add`](Self::add).
    pub(crate) fn look_up<'w>(
        &self,
        whom: impl Iterator<Item = &'w Whom> + Clone,
        hints: &mut [Option<u32>; LOOKED_UP],
    ) {
        for (whom, hint) in whom.clone().zip(hints.iter_mut()) {
            let tag = tag(whom.hash);
            *hint = self.places.find(spread(tag), |place| place.tag == tag).map(|place| place.slot);
        }
        for (whom, hint) in whom.zip(hints.iter_mut()) {
            *hint = hint.filter(|place| self.is_of(*place, whom));
        }
    }

    fn is_of(&self, place: u32, whom: &Whom) -> bool {
        self.slots
            .get(place as usize)
            .is_some_and(|slot| slot.id == whom.id && slot.collection == whom.collection)
    }

    /// Folds in one more part of an entity, newer than all before, and gives the slot's place.
    ///
    /// # Panics
    /// Beyond 2³² entities or parts: their slots alone would take half a tebibyte.
    pub(crate) fn add(&mut self, whom: &Whom, hint: Option<u32>, shape: Shape, part: P, how: How) -> usize {
        let tag = tag(whom.hash);
        let found = hint.or_else(|| {
            let is_it = |place: &Place| place.tag == tag && self.is_of(place.slot, whom);
            self.places.find(spread(tag), is_it).map(|place| place.slot)
        });
        if let Some(place) = found.map(|place| place as usize)
            && let Some(slot) = self.slots.get_mut(place)
        {
            let aside = if E::HAS_TIMES { None } else { self.times.get_mut(place) };
            let times = aside.as_deref().copied().unwrap_or_else(|| slot.times.into());
            let mut before = times.before;
            let mut whole = shape;
            if how.cuts || slot.count.operations == 0 {
                slot.older = None;
                before = Clock::default();
            } else {
                if how.replaces {
                    slot.older = None;
                    before = times.clock;
                } else {
                    self.older.push(Older { part: slot.newest, older: slot.older });
                    let chained = u32::try_from(self.older.len()).expect("fewer than 2^32 parts");
                    slot.older =
                        if sabotaged!(older_patches_forgotten) { None } else { NonZeroU32::new(chained) };
                }
                whole = slot.count.shape(times.since, times.clock).then(shape);
            }
            slot.newest = part;
            slot.count = Count::of(&whole);
            let times = Times { since: whole.since, clock: whole.clock, before };
            slot.times = times.into();
            match aside {
                Some(aside) => *aside = times,
                None => self.set_aside(place, times),
            }
            return place;
        }
        let place = u32::try_from(self.slots.len()).expect("fewer than 2^32 entities");
        let times = Times { since: shape.since, clock: shape.clock, before: Clock::default() };
        self.slots.push(Slot {
            _begins: [],
            id: whom.id,
            collection: whom.collection,
            older: None,
            newest: part,
            count: Count::of(&shape),
            times: times.into(),
            extra: E::default(),
        });
        self.places.insert_unique(spread(tag), Place { tag, slot: place }, |place| spread(place.tag));
        self.set_aside(place as usize, times);
        place as usize
    }

    /// Notes times that no slot has room for; none are noted before there are any.
    fn set_aside(&mut self, place: usize, times: Times) {
        if E::HAS_TIMES || self.times.is_empty() && times == Times::default() {
            return;
        }
        self.times.resize(self.slots.len(), Times::default());
        if let Some(aside) = self.times.get_mut(place) {
            *aside = times;
        }
    }

    /// The shape of a slot, and the clock before the oldest of its parts that still matters.
    pub(crate) fn told(&self, place: usize, slot: &Slot<P, E>) -> (Shape, Clock) {
        let aside = self.times.get(place).copied();
        let times = aside.unwrap_or_else(|| slot.times.into());
        (slot.count.shape(times.since, times.clock), times.before)
    }

    /// At least as many as the parts that still matter, of all slots.
    pub(crate) fn parts_max(&self) -> usize {
        self.slots.len() + self.older.len()
    }

    /// The parts of a slot that still matter, newest first.
    pub(crate) fn parts<'a>(&'a self, slot: &'a Slot<P, E>) -> impl Iterator<Item = P> + 'a {
        let mut next = slot.older;
        std::iter::once(slot.newest).chain(std::iter::from_fn(move || {
            let older = self.older.get(next?.get() as usize - 1)?;
            next = older.older;
            Some(older.part)
        }))
    }
}

/// Which of so many parts a hash falls into, all equally large: the high half of the product. The tables go by its low bits.
pub(crate) fn part_of(hash: u64, parts: u64) -> u64 {
    u64::try_from((u128::from(hash) * u128::from(parts)) >> 64).unwrap_or(0)
}

/// What a place remembers of a hash.
fn tag(hash: u64) -> u32 {
    u32::try_from(hash & u64::from(u32::MAX)).unwrap_or(0)
}

/// The hash that the table works with, made of the tag alone so that growing reads no slot: the bits
/// that choose a bucket stay, those that the table compares first are mixed.
fn spread(tag: u32) -> u64 {
    u64::from(tag).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// How a part stands to the older ones of its entity.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct How {
    /// It replaces the content.
    pub(crate) replaces: bool,
    /// Everything older is done with.
    pub(crate) cuts: bool,
}

#[cfg(test)]
mod tests {
    use super::super::effect::Kind;
    use super::super::names::{Millis, Seq};
    use super::*;

    /// What keeps nothing beside, but times.
    #[derive(Debug, Default)]
    struct Timed;

    impl Beside for Timed {
        type Begins = ();
        type Times = Times;
        const HAS_TIMES: bool = true;
    }

    fn whom(id: u128, collection: u32) -> Whom {
        Whom { hash: 7, collection, id: Uuid::from_u128(id) }
    }

    fn at(seq: u64, kind: Kind) -> Shape {
        Shape::of(Seq(seq), kind, Clock::of(Some(Millis(seq))))
    }

    #[test]
    fn entities_of_one_hash_are_kept_apart() {
        let mut slots = Slots::<u32, Timed>::new();
        let all = [whom(1, 0), whom(2, 0), whom(1, 1)];
        for round in 0..2 {
            for (place, whom) in all.iter().enumerate() {
                assert_eq!(slots.add(whom, None, at(1, Kind::Patch), round, How::default()), place);
            }
        }
        assert_eq!(slots.slots.len(), all.len());
        let mut hints = [None; LOOKED_UP];
        slots.look_up(all.iter(), &mut hints);
        for (place, hint) in hints.iter().take(all.len()).enumerate() {
            assert!(hint.is_none_or(|hint| hint as usize == place), "{place}: {hint:?}");
        }
        slots.clear();
        assert_eq!(slots.add(&whom(3, 0), None, at(1, Kind::Patch), 0, How::default()), 0);
        assert_eq!(slots.slots.len(), 1);
    }

    #[test]
    fn a_slot_knows_its_parts_and_the_time_before_them() {
        let mut slots = Slots::<u32, Timed>::new();
        let replaces = How { replaces: true, cuts: false };
        let time = |at| Clock::of(Some(Millis(at)));
        let seen = |slots: &Slots<u32, Timed>| {
            let slot = slots.slots.first().unwrap();
            let parts: Vec<u32> = slots.parts(slot).collect();
            assert_eq!(slot.has_older(), parts.len() > 1);
            (parts, slot.shape().clock, slot.before())
        };
        slots.add(&whom(1, 0), None, at(1, Kind::Patch), 1, How::default());
        assert_eq!(seen(&slots), (vec![1], time(1), Clock::default()));
        slots.add(&whom(1, 0), None, at(2, Kind::Patch), 2, How::default());
        let both = seen(&slots);
        assert_eq!((both.0, both.2), (vec![2, 1], Clock::default()));
        assert_eq!(both.1.time(), Some(Millis(2)));
        slots.add(&whom(1, 0), None, at(3, Kind::State), 3, replaces);
        assert_eq!(seen(&slots).0, [3]);
        assert_eq!(seen(&slots).2, both.1);
        slots.add(&whom(1, 0), None, at(4, Kind::Patch), 4, How { cuts: true, replaces: false });
        assert_eq!(seen(&slots), (vec![4], time(4), Clock::default()));
    }
}
