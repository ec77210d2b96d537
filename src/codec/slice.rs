//! Slices: all ids are cut into a few, evenly, so that what is long can be folded a slice at a time.
//!
//! Which slice an id falls into is part of the format: it never changes.

use uuid::Uuid;

/// How many slices there are, as a power of two.
const SLICES_LOG: u32 = 3;

/// What the bits of an id are multiplied by, so that ids that follow one another spread: 2⁶⁴ by the golden ratio.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// Whose entries a level has: everybody's, or those of one slice of all ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slice(u8);

impl Slice {
    /// Everybody.
    pub(crate) const ALL: Slice = Slice(0);

    /// How many there are.
    pub(crate) const NUMBER: usize = 1 << SLICES_LOG;

    /// Every single one.
    pub(crate) fn each() -> impl Iterator<Item = Slice> {
        (1..=1 << SLICES_LOG).map(Slice)
    }

    /// The one that an id falls into.
    pub(crate) fn of(id: Uuid) -> Slice {
        let (high, low) = id.as_u64_pair();
        let spread = (high ^ low).wrapping_mul(SPREAD) >> (u64::BITS - SLICES_LOG);
        Slice(u8::try_from(spread).unwrap_or(0) + 1)
    }

    /// Whether it is about an id.
    pub(crate) fn has(self, id: Uuid) -> bool {
        self == Slice::ALL || self == Slice::of(id)
    }

    /// Its place among all of them; none for everybody.
    pub(crate) fn place(self) -> Option<usize> {
        usize::from(self.0).checked_sub(1)
    }

    /// As it is stored: 0 for everybody.
    pub(crate) fn number(self) -> u8 {
        self.0
    }

    /// The one that is stored as this.
    pub(crate) fn numbered(number: u8) -> Option<Slice> {
        (usize::from(number) <= Slice::NUMBER).then_some(Slice(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// They are in files.
    #[test]
    fn the_slice_of_an_id_is_what_it_always_was() {
        let slices = (0..8).map(|id| Slice::of(Uuid::from_u128(id)).number());
        assert_eq!(slices.collect::<Vec<_>>(), [1, 5, 2, 7, 4, 1, 6, 3]);
        let id = Uuid::from_u128(0x0192_d6c0_5a4b_7c3d_8e2f_1122_3344_5566);
        assert_eq!(Slice::of(id).number(), 8);
    }

    #[test]
    fn ids_that_follow_one_another_spread_evenly() {
        let ids = |id: u128| [Uuid::from_u128(id), Uuid::from_u128(id << 64), Uuid::from_u128(id << 96)];
        for kind in 0..3 {
            let mut slices = [0; Slice::NUMBER];
            for id in 1..8_001 {
                let place = ids(id).get(kind).and_then(|id| Slice::of(*id).place()).unwrap();
                *slices.get_mut(place).unwrap() += 1;
            }
            assert!(slices.iter().all(|slice| (500..1_500).contains(slice)), "{slices:?}");
        }
    }
}
