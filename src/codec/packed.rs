//! Columns of numbers: each number as its distance from the smallest, all as wide as the largest distance.
//!
//! So times in a row, sizes of one order and places in a short list take a byte or two, and what is the same
//! in every row takes none.

use serde::{Deserialize, Serialize};

/// How a column is packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Packing {
    /// The smallest number.
    least: u64,
    /// Bytes a number: 0, 1, 2, 4 or 8.
    width: u8,
}

impl Packing {
    /// How numbers between these two are packed.
    fn of(least: u64, most: u64) -> Self {
        let width = match most - least {
            0 => 0,
            0x1..=0xff => 1,
            0x100..=0xffff => 2,
            0x1_0000..=0xffff_ffff => 4,
            _ => 8,
        };
        Packing { least, width }
    }

    /// Bytes a number, if this is a packing at all.
    pub(crate) fn width(self) -> Option<usize> {
        matches!(self.width, 0 | 1 | 2 | 4 | 8).then_some(usize::from(self.width))
    }
}

/// A column in the making.
#[derive(Clone, Debug, Default)]
pub(crate) struct PackedDraft {
    numbers: Vec<u64>,
    least: u64,
    most: u64,
}

impl PackedDraft {
    pub(crate) fn push(&mut self, number: u64) {
        (self.least, self.most) = self.between(number);
        self.numbers.push(number);
    }

    /// Bytes a number if this one came too.
    pub(crate) fn width_with(&self, number: u64) -> usize {
        let (least, most) = self.between(number);
        usize::from(Packing::of(least, most).width)
    }

    /// Bytes a number.
    pub(crate) fn width(&self) -> usize {
        usize::from(Packing::of(self.least, self.most).width)
    }

    fn between(&self, number: u64) -> (u64, u64) {
        if self.numbers.is_empty() {
            (number, number)
        } else {
            (self.least.min(number), self.most.max(number))
        }
    }

    pub(crate) fn packing(&self) -> Packing {
        Packing::of(self.least, self.most)
    }

    /// Appends the column and is empty again.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        let width = self.width();
        for number in self.numbers.drain(..) {
            let bytes = (number - self.least).to_le_bytes();
            out.extend_from_slice(bytes.get(..width).unwrap_or(&bytes));
        }
        (self.least, self.most) = (0, 0);
    }
}

/// A packed column.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Packed<'a> {
    least: u64,
    width: u8,
    bytes: &'a [u8],
}

impl<'a> Packed<'a> {
    /// Takes a column of so many numbers off the front of some bytes.
    pub(crate) fn split_off(packing: Packing, rows: usize, bytes: &mut &'a [u8]) -> Option<Self> {
        let (column, rest) = bytes.split_at_checked(rows.checked_mul(packing.width()?)?)?;
        *bytes = rest;
        Some(Packed { least: packing.least, width: packing.width, bytes: column })
    }

    /// A number by its place; the smallest beyond the end, which no caller asks for. What damage that agrees
    /// with its checksum could add up to more than 64 bits wraps around.
    #[inline]
    pub(crate) fn get(&self, place: usize) -> u64 {
        let distance = match self.width {
            0 => 0,
            1 => self.bytes.get(place).copied().map_or(0, u64::from),
            2 => self.read(place).map_or(0, |bytes| u64::from(u16::from_le_bytes(bytes))),
            4 => self.read(place).map_or(0, |bytes| u64::from(u32::from_le_bytes(bytes))),
            _ => self.read(place).map_or(0, u64::from_le_bytes),
        };
        self.least.wrapping_add(distance)
    }

    /// Reads numbers from a place on, as many as there is room for; what is left of the room stays.
    pub(crate) fn unpack(&self, place: usize, room: &mut [u64]) {
        let width = usize::from(self.width);
        let bytes = self.bytes.get(place.saturating_mul(width)..).unwrap_or(&[]);
        let least = self.least;
        // One loop for each width, so that each is one the compiler can make wide.
        match self.width {
            0 => room.fill(least),
            1 => room.iter_mut().zip(bytes).for_each(|(to, byte)| *to = least.wrapping_add(u64::from(*byte))),
            2 => widen(bytes, room, |bytes| least.wrapping_add(u64::from(u16::from_le_bytes(bytes)))),
            4 => widen(bytes, room, |bytes| least.wrapping_add(u64::from(u32::from_le_bytes(bytes)))),
            _ => widen(bytes, room, |bytes| least.wrapping_add(u64::from_le_bytes(bytes))),
        }
    }

    #[inline]
    fn read<const N: usize>(&self, place: usize) -> Option<[u8; N]> {
        self.bytes.get(place.checked_mul(N)?..)?.first_chunk::<N>().copied()
    }
}

#[inline]
fn widen<const N: usize>(bytes: &[u8], room: &mut [u64], number: impl Fn([u8; N]) -> u64) {
    for (to, bytes) in room.iter_mut().zip(bytes.as_chunks::<N>().0) {
        *to = number(*bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both sides of every border between widths, near 0 and far from it.
    fn edges() -> Vec<u64> {
        let steps = [0, 1, 0xfe, 0xff, 0x100, 0xffff, 0x1_0000, 0xffff_ffff, 0x1_0000_0000];
        steps.iter().flat_map(|step| [*step, 7 + step, u64::MAX - step]).collect()
    }

    #[test]
    fn what_is_packed_is_read_back() {
        let edges = edges();
        let mut draft = PackedDraft::default();
        for a in &edges {
            for b in &edges {
                for c in &edges {
                    let numbers = [*a, *b, *c, *b];
                    for number in numbers {
                        let width = draft.width_with(number);
                        draft.push(number);
                        assert_eq!(draft.width(), width);
                    }
                    let packing = draft.packing();
                    let mut bytes = Vec::new();
                    draft.finish(&mut bytes);
                    assert_eq!(bytes.len(), numbers.len() * packing.width().unwrap());
                    bytes.push(7);
                    let mut rest = bytes.as_slice();
                    let packed = Packed::split_off(packing, numbers.len(), &mut rest).unwrap();
                    assert_eq!(rest, [7]);
                    assert_eq!([0, 1, 2, 3].map(|place| packed.get(place)), numbers);
                    let mut room = [0; 3];
                    packed.unpack(1, &mut room);
                    assert_eq!(room, [*b, *c, *b]);
                }
            }
        }
    }

    #[test]
    fn no_other_width_is_read_and_nothing_beyond_the_end() {
        for width in [3, 5, 9, 255] {
            assert!(Packed::split_off(Packing { least: 0, width }, 1, &mut [0; 300].as_slice()).is_none());
        }
        assert!(Packed::split_off(Packing { least: 0, width: 8 }, 2, &mut [0; 15].as_slice()).is_none());
        assert!(
            Packed::split_off(Packing { least: 0, width: 8 }, usize::MAX, &mut [0; 15].as_slice()).is_none()
        );
    }
}
