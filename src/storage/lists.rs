//! The engine's own lists, looked at before it writes by them.
//!
//! In trees of its own the engine keeps which pages are free and which become so with a later commit. A commit goes
//! by them unchecked. Where they are damaged it panics, and as released (without its debug assertions) it panics a
//! second time while the first one unwinds, in `BtreeExtractIf::drop`: that ends the process, and nobody can catch
//! it. Or it gives away a page that is in use. So each of these pages is compared with its checksum when a database
//! is opened: there are about as many of them as the last commit changed, and one for every 32,000 others.
//!
//! Nor does it check its directory of tables. One that is said to be empty there, or at its root, would be taken for empty.
//!
//! Nor does it check the flag that says which of the last two commits counts, where it made them in two phases: turned
//! over, it would lead to the one before the last, and nobody would know. See [`leads_to_the_older`].
//!
//! What is read here is the engine's format 3, as its `docs/design.md` has it.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use twox_hash::XxHash3_128;

pub(crate) const PAGE: u64 = 4096;
/// The engine's header, and in it: flags, how many pages there are before a region's own, and how many of these.
pub(super) const HEADER: usize = 320;
pub(super) const FLAGS: usize = 9;
/// Among the flags: which of the two last commits counts, and that the engine does not look at the other one.
pub(super) const WHICH: u8 = 1;
const IN_TWO_PHASES: u8 = 4;
const REGION_HEADER_PAGES: usize = 16;
const REGION_PAGES: usize = 20;
/// The two places that commits go to in turn; a flag says which one counts.
const SLOTS: usize = 64;
const SLOT: usize = 128;
const VERSION: u8 = 3;
/// In such a place: whether there is a directory of tables, and a tree of the engine's own; their roots; the number of the
/// commit; and the checksum of all before it.
const HAS_DIRECTORY: usize = 1;
const HAS_OWN: usize = 2;
const DIRECTORY: usize = 8;
const OWN: usize = 40;
const COMMIT: usize = 104;
const SLOT_CHECKSUM: usize = 112;
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

/// Why the engine's own lists, or its directory of tables, cannot be gone by, if they cannot. Nobody may write meanwhile.
///
/// # Errors
/// If reading fails.
pub(super) fn why_damaged(
    len: u64,
    read: impl Fn(u64, &mut [u8]) -> io::Result<()>,
) -> io::Result<Option<&'static str>> {
    let check = || {
        let header = header(&read)?;
        let counts = slot(&header, usize::from(byte_at(&header, FLAGS)? & WHICH)).ok_or(Stop::Damaged)?;
        let lists = Lists::of(len, &read, &header)?;
        // What another format holds is the engine's to judge.
        counts.own.map_or(Ok(()), |own| lists.check(own))?;
        let tables = counts.directory.map_or(Ok(()), |tables| lists.check_where_tables_begin(tables));
        Ok(match tables {
            Err(Stop::Damaged) => Some("the directory of its tables is damaged"),
            tables => tables.map(|()| None)?,
        })
    };
    match check() {
        Ok(why) => Ok(why),
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

/// Whether the header leads to the older of the two last commits though the newer is there whole: a bit was turned over, or
/// a crash came when all of it was written but the flag, so that nobody has been told of it. It counts in both cases.
///
/// # Errors
/// If reading fails.
pub(super) fn leads_to_the_older(
    len: u64,
    read: impl Fn(u64, &mut [u8]) -> io::Result<()>,
) -> io::Result<bool> {
    match is_newer_whole(len, read) {
        Ok(is_whole) => Ok(is_whole),
        Err(Stop::Damaged) => Ok(false),
        Err(Stop::Io(error)) => Err(error),
    }
}

fn is_newer_whole(len: u64, read: impl Fn(u64, &mut [u8]) -> io::Result<()>) -> Result<bool, Stop> {
    let header = header(&read)?;
    let flags = byte_at(&header, FLAGS)?;
    let which = usize::from(flags & WHICH);
    let (Some(here), Some(other)) = (slot(&header, which), slot(&header, 1 - which)) else {
        return Ok(false);
    };
    if flags & IN_TWO_PHASES == 0 || here.commit >= other.commit || other.directory.is_none() {
        return Ok(false);
    }
    let lists = Lists::of(len, read, &header)?;
    for root in [other.directory, other.own].into_iter().flatten() {
        lists.check(root)?;
    }
    Ok(true)
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
    /// So many pages are looked at, and no more: pages that lead to one another again and again were made to.
    left: Cell<u64>,
}

impl<R: Fn(u64, &mut [u8]) -> io::Result<()>> Lists<R> {
    fn of(len: u64, read: R, header: &[u8]) -> Result<Self, Stop> {
        let pages = |at| u32_at(header, at).map(|pages| u64::from(pages) * PAGE);
        let region_header = pages(REGION_HEADER_PAGES)?;
        let region = region_header + pages(REGION_PAGES)?;
        Ok(Lists { len, read, region_header, region, left: Cell::new(len / PAGE) })
    }

    /// Compares every page of every tree that a directory leads to with its checksum.
    fn check(&self, directory: Root) -> Result<(), Stop> {
        self.tables(directory, &mut |root, widths| self.visit(root, widths, 0, &mut |_| Ok(())))
    }

    /// Compares the pages of a directory with their checksums: it says which tables are empty. So does a tree that has no
    /// pair at its root, and there is no such tree.
    fn check_where_tables_begin(&self, directory: Root) -> Result<(), Stop> {
        self.tables(directory, &mut |root, _| {
            let (offset, _) = self.place(root.page)?;
            let mut head = [0; 4];
            (self.read)(offset, &mut head).map_err(Stop::Io)?;
            if u16_at(&head, 2)? == 0 { Err(Stop::Damaged) } else { Ok(()) }
        })
    }

    /// Hands out the trees that a directory leads to.
    fn tables(
        &self,
        directory: Root,
        tree: &mut dyn FnMut(Root, Widths) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let by_name = Widths { key: None, value: None };
        self.visit(directory, by_name, 0, &mut |table| {
            if byte_at(table, 0)? != TABLE {
                return Err(Stop::Damaged);
            }
            if byte_at(table, TABLE_ROOT)? == 0 {
                return Ok(());
            }
            let widths = Widths { key: width_at(table, KEY_WIDTH)?, value: width_at(table, VALUE_WIDTH)? };
            tree(root_at(table, TABLE_ROOT + 1)?, widths)
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
        let (offset, size) = self.place(number)?;
        self.left.set(self.left.get().checked_sub(1).ok_or(Stop::Damaged)?);
        let mut page = vec![0; usize::try_from(size).map_err(|_| Stop::Damaged)?];
        (self.read)(offset, &mut page).map_err(Stop::Io)?;
        Ok(page)
    }

    /// Where a page of the file is, and its size.
    fn place(&self, number: u64) -> Result<(u64, u64), Stop> {
        let (offset, size) = place(number, self.region_header, self.region).ok_or(Stop::Damaged)?;
        let is_within = offset.checked_add(size).is_some_and(|end| end <= self.len);
        if is_within { Ok((offset, size)) } else { Err(Stop::Damaged) }
    }
}

fn header(read: impl Fn(u64, &mut [u8]) -> io::Result<()>) -> Result<[u8; HEADER], Stop> {
    let mut header = [0; HEADER];
    read(0, &mut header).map_err(Stop::Io)?;
    Ok(header)
}

/// One of the places that commits go to.
pub(super) struct Slot {
    /// The commit's number.
    pub(super) commit: u64,
    /// The directory of its tables, and that of the engine's own; none of a format that is not known.
    pub(super) directory: Option<Root>,
    own: Option<Root>,
}

/// One of the two places that commits go to, if it is as it was written.
pub(super) fn slot(header: &[u8], number: usize) -> Option<Slot> {
    let slot = slice(header, SLOTS + number * SLOT, SLOT).ok()?;
    if u128_at(slot, SLOT_CHECKSUM).ok()? != XxHash3_128::oneshot(slot.get(..SLOT_CHECKSUM)?) {
        return None;
    }
    let is_known = byte_at(slot, 0).ok()? == VERSION;
    let root = |has: usize, at: usize| {
        let is_there = is_known && byte_at(slot, has).ok()? != 0;
        if is_there { root_at(slot, at).ok() } else { None }
    };
    let (directory, own) = (root(HAS_DIRECTORY, DIRECTORY), root(HAS_OWN, OWN));
    Some(Slot { commit: u64_at(slot, COMMIT).ok()?, directory, own })
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
