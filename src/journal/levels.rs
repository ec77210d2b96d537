//! Which levels of the compacted run are folded together, and how what comes of them is written.
//!
//! New levels are about everybody, and a few of them are folded into one while they are short. What gets long is
//! written in slices, and from then on every slice is folded by itself: what it is folded from goes before the next one's
//! turn, so the file never holds all of it twice.
//!
//! | levels, oldest first | are folded together |
//! |---|---|
//! | of one slice | while one has at most twice the rows that are newer |
//! | of everybody, the newest | likewise; all of them, into slices, once they are long or the slices have at most twice their rows |
//! | all of both | into one of everybody, where that is short |
//!
//! Invariants: levels of everybody are newer than those of slices; places are in the order of age, an entity's.

use uuid::Uuid;

use super::columns::{ColumnWriter, Values};
use super::error::Error;
use super::folding::SLOT_BYTES;
use super::tables::RUN;
use crate::codec::columns::Layout;
use crate::codec::records::Level;
use crate::codec::slice::Slice;

/// A level joins while it has at most so many times the rows that are newer.
const GROWTH: u64 = 2;

/// More rows than that are folded by a pass of many commits, for nobody can append while one lasts.
const ROWS_AT_ONCE: u64 = 1_000;

/// So many times as many rows are short enough not to be cut into slices.
const SHORT: u64 = 16;

/// How many rows are how many.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// As many are folded within one commit.
    pub(crate) at_once: u64,
    /// As many are not cut into slices.
    pub(crate) short: u64,
}

impl Sizes {
    /// Those of a journal whose passes may take so many bytes.
    pub(crate) fn of(pass_bytes: u64) -> Sizes {
        let at_once = ROWS_AT_ONCE.min(pass_bytes / SLOT_BYTES / 4);
        Sizes { at_once, short: at_once * SHORT }
    }
}

/// Some levels that are folded together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Joined {
    pub(crate) levels: Vec<Level>,
    /// Where what comes of them stands in the list.
    at: usize,
    /// Whose entries older levels have.
    below: Vec<Slice>,
    pub(crate) into: Into,
}

/// What comes of levels that are folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Into {
    /// One level.
    One(Slice),
    /// One a slice.
    Slices,
}

impl Into {
    /// Whose entries each has.
    pub(crate) fn slices(self) -> Vec<Slice> {
        match self {
            Into::One(slice) => vec![slice],
            Into::Slices => Slice::each().collect(),
        }
    }
}

impl Joined {
    /// Levels from a place in the list on.
    fn from(levels: &[Level], at: usize, into: Into) -> Joined {
        let (below, joined) = levels.split_at_checked(at).unwrap_or((levels, &[]));
        let mut below: Vec<Slice> = below.iter().map(|level| level.slice).collect();
        below.sort_unstable();
        below.dedup();
        Joined { levels: joined.to_vec(), at, below, into }
    }

    /// Those of one slice but for so many of the oldest.
    fn of_slice(levels: &[Level], slice: Slice, kept: usize) -> Joined {
        let of_it = levels.iter().enumerate().filter(|(_, level)| level.slice == slice).skip(kept);
        let at = of_it.clone().map(|(place, _)| place).next().unwrap_or(levels.len());
        let below = if kept > 0 { vec![slice] } else { Vec::new() };
        Joined { levels: of_it.map(|(_, level)| *level).collect(), at, below, into: Into::One(slice) }
    }

    /// Whether folding them with so many new rows goes into one commit.
    pub(crate) fn is_at_once(&self, new_rows: u64, sizes: Sizes) -> bool {
        self.into == Into::One(Slice::ALL) && rows_of(&self.levels).saturating_add(new_rows) <= sizes.at_once
    }

    /// Whether nothing is older.
    pub(crate) fn is_bottom(&self) -> bool {
        self.below.is_empty()
    }

    /// Whether nothing of an entity is older.
    pub(crate) fn is_bottom_of(&self, id: Uuid) -> bool {
        !self.below.iter().any(|slice| slice.has(id))
    }

    /// Puts what came of them in their place, in a list to which levels may have been added since.
    pub(crate) fn replace(&self, levels: &mut Vec<Level>, new: Vec<Level>) {
        levels.retain(|level| !self.levels.contains(level));
        let at = self.at.min(levels.len());
        levels.splice(at..at, new);
    }
}

fn rows_of(levels: &[Level]) -> u64 {
    levels.iter().fold(0, |rows, level| rows.saturating_add(level.rows))
}

/// The levels of slices, and those of everybody.
fn split(levels: &[Level]) -> (&[Level], &[Level]) {
    let sliced = levels.iter().rposition(|level| level.slice != Slice::ALL);
    levels.split_at(sliced.map_or(0, |place| place + 1))
}

/// The newest levels, which so many new rows come on top of.
pub(crate) fn newest(levels: &[Level], new_rows: u64, sizes: Sizes) -> Joined {
    let (sliced, others) = split(levels);
    let (older, newer) = (rows_of(sliced), rows_of(others).saturating_add(new_rows));
    let joins_slices =
        older > 0 && newer > 0 && (older <= newer.saturating_mul(GROWTH) || is_slice_due(levels));
    if joins_slices && older.saturating_add(newer) <= sizes.short {
        return Joined::from(levels, 0, Into::One(Slice::ALL));
    }
    if joins_slices || newer > sizes.short {
        return Joined::from(levels, sliced.len(), Into::Slices);
    }
    let kept = sliced.len() + levels_kept(others, new_rows, u64::MAX);
    Joined::from(levels, kept, Into::One(Slice::ALL))
}

/// The same, where all of it goes into one commit with what comes on top.
pub(crate) fn newest_at_once(levels: &[Level], new_rows: u64, sizes: Sizes) -> Joined {
    let joined = newest(levels, new_rows, sizes);
    if joined.is_at_once(new_rows, sizes) {
        return joined;
    }
    let (sliced, others) = split(levels);
    let kept = sliced.len() + levels_kept(others, new_rows, sizes.at_once);
    Joined::from(levels, kept, Into::One(Slice::ALL))
}

/// The newest levels of a slice, if some are to be folded.
pub(crate) fn of_slice(levels: &[Level], slice: Slice) -> Option<Joined> {
    let of_it: Vec<Level> = levels.iter().filter(|level| level.slice == slice).copied().collect();
    let kept = levels_kept(&of_it, 0, u64::MAX);
    (kept < of_it.len()).then(|| Joined::of_slice(levels, slice, kept))
}

/// All of the newest levels, or of everything where that is short.
pub(crate) fn all_newest(levels: &[Level], new_rows: u64, sizes: Sizes) -> Joined {
    let (sliced, others) = split(levels);
    let all = rows_of(levels).saturating_add(new_rows);
    if sliced.is_empty() && others.len() <= 1 && new_rows == 0 {
        return Joined::from(levels, levels.len(), Into::One(Slice::ALL));
    }
    if all <= sizes.short {
        return Joined::from(levels, 0, Into::One(Slice::ALL));
    }
    Joined::from(levels, sliced.len(), Into::Slices)
}

/// All levels of a slice, if it has several.
pub(crate) fn all_of_slice(levels: &[Level], slice: Slice) -> Option<Joined> {
    let several = levels.iter().filter(|level| level.slice == slice).count() > 1;
    several.then(|| Joined::of_slice(levels, slice, 0))
}

/// Whether some levels are to be folded, whatever is new.
pub(crate) fn are_due(levels: &[Level], sizes: Sizes) -> bool {
    !newest(levels, 0, sizes).levels.is_empty() || is_slice_due(levels)
}

fn is_slice_due(levels: &[Level]) -> bool {
    Slice::each().any(|slice| of_slice(levels, slice).is_some())
}

/// How many of the oldest levels stay as they are, where no more than so many rows are folded in all.
fn levels_kept(levels: &[Level], new_rows: u64, rows_max: u64) -> usize {
    let (mut rows, mut kept) = (new_rows, levels.len());
    for (place, level) in levels.iter().enumerate().rev() {
        let joins = level.rows <= rows.saturating_mul(GROWTH);
        rows = rows.saturating_add(level.rows);
        if joins && rows <= rows_max {
            kept = place;
        }
    }
    kept
}

/// Writes what comes of levels: one, or one a slice.
pub(crate) struct LevelWriter<V> {
    writers: Vec<(Slice, u64, ColumnWriter<V>)>,
}

impl<V: Values + Copy> LevelWriter<V> {
    /// From an ordinal on, each of so many rows at most.
    pub(crate) fn new(values: V, into: Into, first: u64, rows_max: u64) -> Self {
        let firsts = (0..).map(|place: u64| first + place * rows_max);
        let writer = |first| ColumnWriter::new(values, RUN, Layout::Run, first);
        let writers = into.slices().into_iter().zip(firsts);
        LevelWriter { writers: writers.map(|(slice, first)| (slice, first, writer(first))).collect() }
    }

    /// Where an entity's entry goes.
    pub(crate) fn of(&mut self, id: Uuid) -> &mut ColumnWriter<V> {
        let place = if self.writers.len() > 1 { Slice::of(id).place().unwrap_or(0) } else { 0 };
        #[expect(clippy::indexing_slicing, reason = "there is one, or one for every slice")]
        &mut self.writers[place].2
    }

    /// Writes what is still buffered, and gives the levels that have entries.
    pub(crate) fn finish(self) -> Result<Vec<Level>, Error> {
        let mut levels = Vec::with_capacity(self.writers.len());
        for (slice, first, writer) in self.writers {
            let rows = writer.finish()? - first;
            levels.extend((rows > 0).then_some(Level { first, rows, slice }));
        }
        Ok(levels)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    const SIZES: Sizes = Sizes { at_once: 8, short: 64 };

    /// A run as sets of ids, by where a level begins.
    #[derive(Default)]
    struct Run {
        levels: Vec<Level>,
        sets: BTreeMap<u64, BTreeSet<u128>>,
        next: u64,
        most: u64,
    }

    impl Run {
        fn fold(&mut self, joined: &Joined, log: BTreeSet<u128>) {
            let mut all = log;
            for level in &joined.levels {
                all.extend(&self.sets[&level.first]);
            }
            let mut new = Vec::new();
            for slice in joined.into.slices() {
                let set: BTreeSet<u128> =
                    all.iter().copied().filter(|id| slice.has(Uuid::from_u128(*id))).collect();
                let (first, rows) = (self.next, set.len() as u64);
                new.push(Level { first, rows, slice });
                self.sets.insert(first, set);
                self.next += rows;
            }
            self.most = self.most.max(rows_of(&self.levels) + rows_of(&new));
            joined.replace(&mut self.levels, new);
            let firsts: BTreeSet<u64> = self.levels.iter().map(|level| level.first).collect();
            self.sets.retain(|first, _| firsts.contains(first));
        }

        fn pass(&mut self, log: BTreeSet<u128>) {
            let joined = newest(&self.levels, log.len() as u64, SIZES);
            self.fold(&joined, log);
            for slice in Slice::each() {
                if let Some(joined) = of_slice(&self.levels, slice) {
                    self.fold(&joined, BTreeSet::new());
                }
            }
        }

        fn live(&self) -> u64 {
            self.sets.values().flatten().collect::<BTreeSet<_>>().len() as u64
        }
    }

    #[test]
    fn a_run_is_never_twice_as_long_as_what_is_live_but_for_what_is_short() {
        for (entities, each) in [(2_000, 10), (2_000, 100), (10_000, 30), (10_000, 2_000), (100, 7)] {
            let mut run = Run::default();
            let mut random: u64 = 5;
            for _ in 0..20_000 / each {
                let log = (0..each).map(|_| {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    u128::from(random >> 33) % entities
                });
                run.most = 0;
                run.pass(log.collect());
                let live = run.live();
                let at_most = live * 2 + SIZES.short * 2 + u64::try_from(each).unwrap();
                assert!(run.most <= at_most, "{} of {live} live", run.most);
                assert!(!are_due(&run.levels, SIZES), "{:?}", run.levels);
                let (sliced, others) = split(&run.levels);
                assert!(sliced.iter().all(|level| level.slice != Slice::ALL), "{:?}", run.levels);
                assert!(rows_of(others) <= SIZES.short);
                // Of one slice, or of everybody, newer ones begin later.
                for slice in Slice::each().chain([Slice::ALL]) {
                    let of_it =
                        run.levels.iter().filter(|level| level.slice == slice || level.slice == Slice::ALL);
                    assert!(of_it.map(|level| level.first).is_sorted(), "{:?}", run.levels);
                }
            }
        }
    }

    #[test]
    fn what_became_short_again_is_one_level() {
        let of = |first, rows, slice| Level { first, rows, slice: Slice::numbered(slice).unwrap() };
        let levels = [of(0, 4, 1), of(10, 3, 5), of(20, 2, 1), of(30, 20, 0)];
        let joined = newest(&levels, 0, SIZES);
        assert_eq!((joined.levels.len(), joined.into), (4, Into::One(Slice::ALL)));
        assert!(joined.is_bottom());
    }

    #[test]
    fn what_is_new_is_folded_with_the_only_level_or_all_that_is_newer_than_slices() {
        let of = |first, rows, slice| Level { first, rows, slice: Slice::numbered(slice).unwrap() };
        let folded = |levels: &[Level], new_rows| {
            let joined = all_newest(levels, new_rows, SIZES);
            (joined.levels.len(), joined.into)
        };
        let one = [of(0, 20, 0)];
        assert_eq!(folded(&one, 0), (0, Into::One(Slice::ALL)), "there is nothing to fold it with");
        assert_eq!(folded(&one, 1), (1, Into::One(Slice::ALL)));
        assert_eq!(folded(&[of(0, 20, 0), of(20, 1, 0)], 0), (2, Into::One(Slice::ALL)));
        assert_eq!(folded(&[of(0, 100, 1), of(200, 1, 0)], 0), (1, Into::Slices));
    }

    #[test]
    fn what_is_due_in_a_slice_waits_for_what_is_newer_than_all_slices() {
        let of = |first, rows, slice| Level { first, rows, slice: Slice::numbered(slice).unwrap() };
        // A crash came between folding into slices and folding these.
        let levels = [of(0, 100, 1), of(200, 90, 1), of(300, 1, 0)];
        let joined = newest(&levels, 1, SIZES);
        assert_eq!((joined.levels.as_slice(), joined.into), (&levels[2..], Into::Slices));
        assert!(
            !joined.is_bottom_of((0..).map(Uuid::from_u128).find(|id| Slice::of(*id).number() == 1).unwrap())
        );
        assert!(
            joined.is_bottom_of((0..).map(Uuid::from_u128).find(|id| Slice::of(*id).number() == 2).unwrap())
        );
    }
}
