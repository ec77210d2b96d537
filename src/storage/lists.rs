//! The engine's own lists, looked at before it writes by them.
//!
//! In trees of its own the engine keeps which pages are free and which become so with a later commit. A commit goes
//! by them unchecked. Where they are damaged it panics, and as released (without its debug assertions) it panics a
//! second time while the first one unwinds, in `BtreeExtractIf::drop`: that ends the process, and nobody can catch
//! it. Or it gives away a page that is in use. So each of these pages is compared with its checksum when a database
//! is opened: there are about as many of them as the last commit changed, and one for every 32,000 others.
//!
//! What is read here is the engine's format 3, as its `docs/design.md` has it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use twox_hash::XxHash3_128;

pub(crate) const PAGE: u64 = 4096;
/// The engine's header, and in it: flags, how many pages there are before a region's own, and how many of these.
pub(super) const HEADER: usize = 320;
pub(super) const FLAGS: usize = 9;
const REGION_HEADER_PAGES: usize = 16;
const REGION_PAGES: usize = 20;
/// The two places that commits go to in turn; a flag says which one counts.
pub(super) const SLOTS: usize = 64;
pub(super) const SLOT: usize = 128;
pub(super) const VERSION: u8 = 3;
/// In such a place: whether the engine has a tree of its own, its root, and the checksum of all before it.
const HAS_ROOT: usize = 2;
const ROOT: usize = 40;
pub(super) const SLOT_CHECKSUM: usize = 112;
/// In what a tree of the engine's says of a table: the root, and the widths of keys and values.
pub(super) const TABLE: u8 = 3;
pub(super) const TABLE_ROOT: usize = 9;
pub(super) const KEY_WIDTH: usize = 42;
const VALUE_WIDTH: usize = 47;

pub(super) const LEAF: u8 = 1;
pub(super) const BRANCH: u8 = 2;
/// The engine's own bounds.
const ORDER_MAX: u64 = 20;
pub(super) const DEPTH_MAX: usize = 64;

/// Why the engine's own lists cannot be gone by, if they cannot. Nobody may write meanwhile.
///
/// # Errors
/// If reading fails.
pub(super) fn why_damaged(
    len: u64,
    read: impl Fn(u64, &mut [u8]) -> io::Result<()>,
) -> io::Result<Option<&'static str>> {
    match Lists::open(len, read).and_then(|lists| lists.check()) {
        Ok(()) => Ok(None),
        Err(Stop::Damaged) => Ok(Some("the engine's own lists of its pages are damaged")),
        Err(Stop::Io(error)) => Err(error),
    }
}

/// The same for a file.
pub(super) fn why_damaged_in(file: &File) -> io::Result<Option<&'static str>> {
    why_damaged(file.metadata()?.len(), |offset, out| {
        let mut file = file;
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(out)
    })
}

pub(super) enum Stop {
    Damaged,
    Io(io::Error),
}

/// A tree: its root page, and that page's checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Root {
    pub(super) page: u64,
    pub(super) checksum: u128,
}

/// How wide the keys and values of a tree are, where all are alike.
#[derive(Clone, Copy)]
struct Widths {
    key: Option<usize>,
    value: Option<usize>,
}

struct Lists<R> {
    len: u64,
    read: R,
    region_header: u64,
    region: u64,
    root: Option<Root>,
}

impl<R: Fn(u64, &mut [u8]) -> io::Result<()>> Lists<R> {
    fn open(len: u64, read: R) -> Result<Self, Stop> {
        let mut header = [0; HEADER];
        read(0, &mut header).map_err(Stop::Io)?;
        let pages = |at| u32_at(&header, at).map(|pages| u64::from(pages) * PAGE);
        let region_header = pages(REGION_HEADER_PAGES)?;
        let primary = usize::from(byte_at(&header, FLAGS)? & 1);
        let slot = slice(&header, SLOTS + primary * SLOT, SLOT)?;
        let sum = XxHash3_128::oneshot(slice(slot, 0, SLOT_CHECKSUM)?);
        if u128_at(slot, SLOT_CHECKSUM)? != sum {
            return Err(Stop::Damaged);
        }
        // What another format holds is the engine's to judge.
        let has_root = byte_at(slot, 0)? == VERSION && byte_at(slot, HAS_ROOT)? != 0;
        let root = if has_root { Some(root_at(slot, ROOT)?) } else { None };
        Ok(Lists { len, read, region_header, region: region_header + pages(REGION_PAGES)?, root })
    }

    /// Compares every page of every tree of the engine's own with its checksum.
    fn check(&self) -> Result<(), Stop> {
        let Some(root) = self.root else { return Ok(()) };
        let by_name = Widths { key: None, value: None };
        self.visit(root, by_name, 0, &mut |table| {
            if byte_at(table, 0)? != TABLE {
                return Err(Stop::Damaged);
            }
            if byte_at(table, TABLE_ROOT)? == 0 {
                return Ok(());
            }
            let widths = Widths { key: width_at(table, KEY_WIDTH)?, value: width_at(table, VALUE_WIDTH)? };
            self.visit(root_at(table, TABLE_ROOT + 1)?, widths, 0, &mut |_| Ok(()))
        })
    }

    /// Compares the pages of a tree with their checksums; hands out every value whose length is not fixed.
    fn visit(
        &self,
        root: Root,
        widths: Widths,
        depth: usize,
        value: &mut dyn FnMut(&[u8]) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        if depth > DEPTH_MAX {
            return Err(Stop::Damaged);
        }
        let page = self.page(root.page)?;
        let count = usize::from(u16_at(&page, 2)?);
        let last = count.checked_sub(1).ok_or(Stop::Damaged)?;
        let kind = byte_at(&page, 0)?;
        // Where the table of key ends begins, and where the keys do.
        let ends = if kind == LEAF { 4 } else { 8 + (count + 1) * 24 };
        let value_ends = ends + if widths.key.is_none() { 4 * count } else { 0 };
        let keys = value_ends + if kind == LEAF && widths.value.is_none() { 4 * count } else { 0 };
        let keys_end = match widths.key {
            Some(width) => keys + width * count,
            None => usize_at(&page, ends + 4 * last)?,
        };
        let end = match (kind, widths.value) {
            (LEAF, Some(width)) => keys_end + width * count,
            (LEAF, None) => usize_at(&page, value_ends + 4 * last)?,
            (BRANCH, _) => keys_end,
            _ => return Err(Stop::Damaged),
        };
        if XxHash3_128::oneshot(slice(&page, 0, end)?) != root.checksum {
            return Err(Stop::Damaged);
        }
        if kind == BRANCH {
            for child in 0..=count {
                let checksum = u128_at(&page, 8 + 16 * child)?;
                let child = u64_at(&page, 8 + 16 * (count + 1) + 8 * child)?;
                self.visit(Root { page: child, checksum }, widths, depth + 1, value)?;
            }
        } else if widths.value.is_none() {
            let mut begin = keys_end;
            for number in 0..count {
                let end = usize_at(&page, value_ends + 4 * number)?;
                value(slice(&page, begin, end.checked_sub(begin).ok_or(Stop::Damaged)?)?)?;
                begin = end;
            }
        }
        Ok(())
    }

    /// Reads a page by its number.
    fn page(&self, number: u64) -> Result<Vec<u8>, Stop> {
        let (offset, size) = place(number, self.region_header, self.region).ok_or(Stop::Damaged)?;
        if offset.checked_add(size).is_none_or(|end| end > self.len) {
            return Err(Stop::Damaged);
        }
        let mut page = vec![0; usize::try_from(size).map_err(|_| Stop::Damaged)?];
        (self.read)(offset, &mut page).map_err(Stop::Io)?;
        Ok(page)
    }
}

/// Where a page is and its size, by its number: its place among those of its size in a region, the region, and its size.
pub(super) fn place(number: u64, region_header: u64, region: u64) -> Option<(u64, u64)> {
    let order = number >> 59;
    if order > ORDER_MAX {
        return None;
    }
    let size = PAGE << order;
    let (index, at) = (number & (0xf_ffff >> order), (number >> 20) & 0xf_ffff);
    let offset = at.checked_mul(region)?.checked_add(PAGE + region_header + index * size)?;
    Some((offset, size))
}

pub(super) fn slice(bytes: &[u8], begin: usize, len: usize) -> Result<&[u8], Stop> {
    bytes.get(begin..).and_then(|rest| rest.get(..len)).ok_or(Stop::Damaged)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], Stop> {
    slice(bytes, at, N)?.try_into().map_err(|_| Stop::Damaged)
}

pub(super) fn byte_at(bytes: &[u8], at: usize) -> Result<u8, Stop> {
    array(bytes, at).map(|[byte]| byte)
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Result<u16, Stop> {
    array(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, Stop> {
    array(bytes, at).map(u32::from_le_bytes)
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Result<u64, Stop> {
    array(bytes, at).map(u64::from_le_bytes)
}

pub(super) fn u128_at(bytes: &[u8], at: usize) -> Result<u128, Stop> {
    array(bytes, at).map(u128::from_le_bytes)
}

pub(super) fn usize_at(bytes: &[u8], at: usize) -> Result<usize, Stop> {
    usize::try_from(u32_at(bytes, at)?).map_err(|_| Stop::Damaged)
}

/// A width that need not be there.
pub(super) fn width_at(bytes: &[u8], at: usize) -> Result<Option<usize>, Stop> {
    Ok(if byte_at(bytes, at)? == 0 { None } else { Some(usize_at(bytes, at + 1)?) })
}

pub(super) fn root_at(bytes: &[u8], at: usize) -> Result<Root, Stop> {
    Ok(Root { page: u64_at(bytes, at)?, checksum: u128_at(bytes, at + 8)? })
}
