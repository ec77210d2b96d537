//! Damage to a file's bytes: what disks, copies and strangers do.

use crate::testing::fuzz::build::Bytes;

/// The engine's own page.
const PAGE: usize = 4096;
/// The most that is done to one file.
const HURTS_MAX: u8 = 4;
/// So much of a file is written to; the rest of what the engine takes at first is empty.
const WRITTEN_BYTES: usize = 256 * 1024;

/// Does some damage.
pub(super) fn done(bytes: &mut Bytes<'_>, file: &mut Vec<u8>) {
    for _ in 0..1 + bytes.below(HURTS_MAX) {
        let place = place(bytes, file.len());
        match bytes.below(12) {
            0 => file.truncate(place),
            1 => file.truncate(place - place % PAGE),
            2 => file.extend(std::iter::repeat_n(bytes.next(), place % (3 * PAGE))),
            3 => {
                let other = self::place(bytes, file.len());
                swap(file, place, other);
            }
            4 => {
                let (byte, count) = (bytes.next(), usize::from(bytes.next()) * 16);
                file.iter_mut().skip(place).take(count).for_each(|at| *at = byte);
            }
            5 => {
                // A part of it stands elsewhere once more.
                let from = self::place(bytes, file.len());
                let part: Vec<u8> = file.iter().skip(from).take(usize::from(bytes.next())).copied().collect();
                file.iter_mut().skip(place).zip(part).for_each(|(at, byte)| *at = byte);
            }
            6 | 7 => {
                // The head of a page: its kind, and how much is in it.
                let head = place - place % PAGE + bytes.below(16);
                set(file, head, bytes.next());
            }
            8 => {
                // The engine's own header, where it says where all begins.
                set(file, usize::from(bytes.next()) % 320, bytes.next());
            }
            _ => {
                let mask = 1 << bytes.below(8);
                if let Some(byte) = file.get_mut(place) {
                    *byte ^= mask;
                }
            }
        }
    }
}

fn place(bytes: &mut Bytes<'_>, len: usize) -> usize {
    let place = usize::from(bytes.next()) << 16 | usize::from(bytes.next()) << 8 | usize::from(bytes.next());
    let most = if bytes.below(16) == 0 { len } else { len.min(WRITTEN_BYTES) };
    place % most.max(1)
}

fn set(file: &mut [u8], place: usize, byte: u8) {
    if let Some(at) = file.get_mut(place) {
        *at = byte;
    }
}

/// Two pages change places.
fn swap(file: &mut [u8], one: usize, other: usize) {
    for at in 0..PAGE {
        let (one, other) = (one - one % PAGE + at, other - other % PAGE + at);
        if one < file.len() && other < file.len() {
            file.swap(one, other);
        }
    }
}
