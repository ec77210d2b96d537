//! Bytes kept in memory by the page, copied only where they are written.
//!
//! A clone shares every page and costs nothing until one of the two is written to: that is what lets a
//! test hold an image of a file for each of thousands of crashes, and an overlay lie over a file of any
//! size. A page that is not here is the caller's to supply: zeros, or a file's bytes. Never does I/O.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::sync::Arc;

/// The size of a page in bytes: that of the engine, so that most of its writes are whole pages.
pub(crate) const PAGE_BYTES: usize = 4096;

type Page = [u8; PAGE_BYTES];

/// A sparse map from page number to page.
#[derive(Clone, Default)]
pub(crate) struct Pages(Arc<BTreeMap<u64, Arc<Page>>>);

/// A part of a range of bytes that lies in one page.
struct Piece {
    page: u64,
    /// Where in the page it begins.
    start: usize,
    /// Where in the range it begins.
    from: usize,
    bytes: usize,
}

impl Pages {
    /// How many pages are here.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Whether anything of a range is here.
    pub(crate) fn has_any(&self, offset: u64, len: usize) -> io::Result<bool> {
        let end = offset.checked_add(to_u64(len)?).ok_or_else(out_of_range)?;
        Ok(end > offset && self.0.range(place(offset).0..=place(end - 1).0).next().is_some())
    }

    /// Fills `out` from `offset` on. What is not here, `absent` fills in, given its offset.
    pub(crate) fn read(
        &self,
        offset: u64,
        out: &mut [u8],
        mut absent: impl FnMut(u64, &mut [u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        for piece in pieces(offset, out.len())? {
            let end = piece.from + piece.bytes;
            let out = out.get_mut(piece.from..end).ok_or_else(out_of_range)?;
            match self.0.get(&piece.page) {
                Some(page) => {
                    let held = page.get(piece.start..piece.start + piece.bytes);
                    out.copy_from_slice(held.ok_or_else(out_of_range)?);
                }
                None => absent(page_offset(piece.page) + to_u64(piece.start)?, out)?,
            }
        }
        Ok(())
    }

    /// Puts `data` at `offset`. The rest of a page that was not here, `absent` fills in, given its offset.
    pub(crate) fn write(
        &mut self,
        offset: u64,
        data: &[u8],
        mut absent: impl FnMut(u64, &mut [u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let pages = Arc::make_mut(&mut self.0);
        for piece in pieces(offset, data.len())? {
            let data = data.get(piece.from..piece.from + piece.bytes).ok_or_else(out_of_range)?;
            let page = match pages.entry(piece.page) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => {
                    let mut page = [0; PAGE_BYTES];
                    if piece.bytes < PAGE_BYTES {
                        absent(page_offset(piece.page), &mut page)?;
                    }
                    entry.insert(Arc::new(page))
                }
            };
            let held = Arc::make_mut(page).get_mut(piece.start..piece.start + piece.bytes);
            held.ok_or_else(out_of_range)?.copy_from_slice(data);
        }
        Ok(())
    }

    /// Forgets everything from `len` on: what is left of the last page here reads as zeros.
    pub(crate) fn truncate(&mut self, len: u64) {
        let (last, start) = place(len);
        let whole = if start == 0 { last } else { last + 1 };
        if self.0.keys().next_back().is_none_or(|&page| page < last) {
            return;
        }
        let pages = Arc::make_mut(&mut self.0);
        pages.split_off(&whole);
        if start > 0
            && let Some(page) = pages.get_mut(&last)
            && let Some(gone) = Arc::make_mut(page).get_mut(start..)
        {
            gone.fill(0);
        }
    }
}

/// The page an offset lies in, and where in the page.
#[expect(clippy::cast_possible_truncation, reason = "a remainder of 4096 fits every usize")]
fn place(offset: u64) -> (u64, usize) {
    (offset / PAGE_BYTES as u64, (offset % PAGE_BYTES as u64) as usize)
}

fn page_offset(page: u64) -> u64 {
    page * PAGE_BYTES as u64
}

fn to_u64(bytes: usize) -> io::Result<u64> {
    u64::try_from(bytes).map_err(|_| out_of_range())
}

/// Cuts a range of bytes at the page boundaries.
fn pieces(offset: u64, len: usize) -> io::Result<impl Iterator<Item = Piece>> {
    offset.checked_add(to_u64(len)?).ok_or_else(out_of_range)?;
    let (mut page, mut start) = place(offset);
    let mut from = 0;
    Ok(std::iter::from_fn(move || {
        let bytes = (PAGE_BYTES - start).min(len - from);
        let piece = Piece { page, start, from, bytes };
        page += 1;
        start = 0;
        from += bytes;
        (bytes > 0).then_some(piece)
    }))
}

/// The error for what reaches past the end.
pub(crate) fn out_of_range() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "reaches past the end of the storage")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zeros(_: u64, out: &mut [u8]) -> io::Result<()> {
        out.fill(0);
        Ok(())
    }

    #[test]
    fn pages_hold_what_was_written_across_their_boundaries() {
        let mut pages = Pages::default();
        let mut flat = vec![0u8; 5 * PAGE_BYTES];
        for (i, (offset, len)) in
            [(0, 10), (4090, 12), (4096, 4096), (100, 9000), (8191, 2), (16000, 1)].into_iter().enumerate()
        {
            let data = vec![u8::try_from(i + 1).unwrap(); len];
            pages.write(offset as u64, &data, zeros).unwrap();
            flat[offset..offset + len].copy_from_slice(&data);
        }
        assert!(pages.has_any(0, 1).unwrap() && pages.has_any(16_000, 9_000).unwrap());
        assert!(!pages.has_any(5 * 4096, 9_000).unwrap() && !pages.has_any(16_000, 0).unwrap());
        for (offset, len) in [(0, flat.len()), (1, 5000), (4095, 2), (12287, 4098), (7, 0)] {
            let mut out = vec![9; len];
            pages.read(offset as u64, &mut out, zeros).unwrap();
            assert_eq!(out, flat[offset..offset + len]);
        }
    }

    #[test]
    fn a_clone_does_not_see_later_writes() {
        let mut pages = Pages::default();
        pages.write(0, &[1; 5000], zeros).unwrap();
        let before = pages.clone();
        pages.write(10, &[2; 10], zeros).unwrap();
        pages.truncate(4096);
        let mut out = [0; 5000];
        before.read(0, &mut out, zeros).unwrap();
        assert_eq!(out, [1; 5000]);
    }

    #[test]
    fn what_was_truncated_does_not_come_back() {
        let mut pages = Pages::default();
        pages.write(0, &[1; 9000], zeros).unwrap();
        pages.truncate(4100);
        let mut out = [7; 9000];
        pages.read(0, &mut out, zeros).unwrap();
        assert_eq!(out[..4100], [1; 4100]);
        assert_eq!(out[4100..], [0; 4900]);
        pages.truncate(0);
        assert_eq!(pages.count(), 0);
    }
}
