//! The engine's trees, read without the engine: for a file that it does not open, or among whose pages it went astray.
//!
//! ```text
//! header ─→ directory: a leaf that names every table ─→ branches ─→ leaves: keys and values
//! ```
//!
//! Whoever leads to a page knows its checksum. A page that agrees is what was committed there, and all it says is
//! certain. Of one that does not agree, or to which nothing leads any more, every pair is offered that it may hold: whether
//! it does, only whoever knows the values can tell. What cannot be read of a disk counts as zeros. Nothing is written.
//!
//! What is read is the engine's format 3, as its `docs/design.md` has it, with regions of the size that it makes by itself.

use std::cell::Cell;
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use twox_hash::XxHash3_128;

use super::Storage;
pub(crate) use super::lists::PAGE;
use super::lists::{
    BRANCH, DEPTH_MAX, FLAGS, HEADER, KEY_WIDTH, LEAF, Root, TABLE, TABLE_ROOT, byte_at, place, root_at,
    slot, u16_at, u64_at, u128_at, usize_at, width_at,
};

/// The size of the engine's regions, which have no headers of their own.
const REGION: u64 = PAGE << 20;
/// Among the header's flags: it is to be recovered.
const LEFT_OPEN: u8 = 2;
/// In what the directory says of a table: how many values it has.
const TABLE_VALUES: usize = 1;
/// More is not read at once, whatever a damaged page says: the page of a value three times as large as one operation may
/// be. `SECURITY.md` promises it.
const PAGE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A file's bytes, as trees.
pub(crate) struct Trees<'s> {
    storage: &'s dyn Storage,
    len: u64,
}

/// A page, or as much of it as there is.
pub(crate) struct Page {
    pub(crate) bytes: Vec<u8>,
    /// Whether it is what was committed there.
    pub(crate) is_whole: bool,
}

/// What the directory says of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) values: u64,
    pub(crate) root: Option<Root>,
    pub(crate) key_width: Option<usize>,
}

/// The tables by their names, as of one commit.
pub(crate) type Directory = BTreeMap<String, Listed>;

impl<'s> Trees<'s> {
    pub(crate) fn of(storage: &'s dyn Storage) -> std::io::Result<Self> {
        Ok(Trees { storage, len: storage.len()? })
    }

    /// How many places there are at which a page may begin.
    pub(crate) fn pages(&self) -> u64 {
        self.len.div_ceil(PAGE)
    }

    /// The directories that the header leads to, that of the last commit first; none in the place of one that is not
    /// there as it was committed.
    pub(crate) fn directories(&self) -> Vec<Option<Directory>> {
        let header = self.read(0, HEADER as u64);
        let slot = |number| slot(&header, number).and_then(|slot| Some((slot.commit, slot.directory?)));
        let mut slots: Vec<(u64, Root)> = [0, 1].into_iter().filter_map(slot).collect();
        slots.sort_by_key(|(commit, _)| std::cmp::Reverse(*commit));
        let read = |root| self.page(root, None).filter(|page| page.is_whole);
        slots.into_iter().map(|(_, root)| directory(&read(root)?.bytes)).collect()
    }

    /// Whether whoever had the file open last never closed it: then a crash may have come between the pages of a commit.
    pub(crate) fn was_left_open(&self) -> bool {
        self.read(0, HEADER as u64).get(FLAGS).is_some_and(|flags| flags & LEFT_OPEN != 0)
    }

    /// The directory that begins at a place, if one does. It was one at some time.
    pub(crate) fn directory_at(&self, offset: u64) -> Option<Directory> {
        directory(&self.read(offset, PAGE))
    }

    /// Visits every leaf of a table, and every page of it that is not what was committed.
    pub(crate) fn walk<E>(
        &self,
        table: &Listed,
        mut visit: impl FnMut(&Page) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(root) = table.root else { return Ok(()) };
        // A page has one parent: whatever leads to it twice was made to lead astray.
        let mut seen = HashSet::new();
        let mut left = vec![(root, 0)];
        while let Some((root, depth)) = left.pop() {
            if depth > DEPTH_MAX || !seen.insert(root.page) {
                continue;
            }
            let Some(page) = self.page(root, table.key_width) else { continue };
            let is_branch = page.bytes.first() == Some(&BRANCH);
            if !(page.is_whole && is_branch) {
                visit(&page)?;
            }
            if page.is_whole && is_branch {
                // One that is damaged may be what it was at another time, and lead to what was there then.
                left.extend(children(&page.bytes).map(|child| (child, depth + 1)));
            }
        }
        Ok(())
    }

    /// A page that something leads to; none where the file has ended.
    fn page(&self, root: Root, key_width: Option<usize>) -> Option<Page> {
        let (offset, size) = place(root.page, 0, REGION)?;
        if offset >= self.len || size > PAGE_BYTES_MAX {
            return None;
        }
        let bytes = self.read(offset, size);
        let used = used(&bytes, key_width).and_then(|used| bytes.get(..used));
        let is_whole = used.is_some_and(|used| XxHash3_128::oneshot(used) == root.checksum);
        Some(Page { bytes, is_whole })
    }

    /// What seems to be a leaf at a place: as many bytes as its values take by what they say themselves, and of what
    /// reaches beyond its first page at most so many.
    pub(crate) fn seeming_leaf(
        &self,
        offset: u64,
        most: u64,
        measured: impl Fn(&[u8]) -> Option<usize>,
    ) -> Option<Vec<u8>> {
        let page = self.read(offset, PAGE);
        let is_leaf = page.first() == Some(&LEAF);
        let begin = |width| {
            let shape = |count| Shape { count, width };
            let in_page = |begin: &usize| *begin < page.len();
            let mut begins = counts(&page).filter_map(|count| shape(count).values_begin(&page));
            let is_value = |begin: &usize| page.get(*begin..).is_some_and(|value| measured(value).is_some());
            // The first value may be what is damaged.
            let stated =
                || shape(stated_count(&page)).values_begin(&page).filter(in_page).filter(|_| is_leaf);
            begins.find(is_value).or_else(stated)
        };
        let mut end = [Some(8), None].into_iter().filter_map(begin).min()? as u64;
        let most = most.clamp(PAGE, PAGE_BYTES_MAX);
        // Values follow one another.
        while end < self.len && end < most {
            let head = self.read(offset + end, 64);
            match measured(&head) {
                Some(bytes) => end += bytes as u64,
                None => break,
            }
        }
        if end <= PAGE {
            return Some(page);
        }
        Some(self.read(offset, end.min(most)))
    }

    /// Reads what there is from a place on; zeros for what the disk does not give.
    pub(crate) fn read(&self, offset: u64, bytes: u64) -> Vec<u8> {
        let bytes = bytes.min(self.len.saturating_sub(offset));
        let mut out = vec![0; usize::try_from(bytes).unwrap_or(0)];
        if self.storage.read(offset, &mut out).is_err() {
            for (at, piece) in (offset..).step_by(SECTOR).zip(out.chunks_mut(SECTOR)) {
                if self.storage.read(at, piece).is_err() {
                    piece.fill(0);
                }
            }
        }
        out
    }
}

/// What a disk gives or does not give at once.
const SECTOR: usize = 512;

/// A directory, if a page is one: a leaf that leads to tables and nothing else.
fn directory(page: &[u8]) -> Option<Directory> {
    if page.first() != Some(&LEAF) || stated_count(page) == 0 {
        return None;
    }
    let listed = |(name, table): (&[u8], &[u8])| {
        let name = std::str::from_utf8(name).ok()?.to_owned();
        if byte_at(table, 0).ok()? != TABLE {
            return None;
        }
        let has_root = byte_at(table, TABLE_ROOT).ok()? != 0;
        let root = if has_root { Some(root_at(table, TABLE_ROOT + 1).ok()?) } else { None };
        let (values, key_width) = (u64_at(table, TABLE_VALUES).ok()?, width_at(table, KEY_WIDTH).ok()?);
        Some((name, Listed { values, root, key_width }))
    };
    let tables: Directory = pairs(page, None).map_while(listed).collect();
    (tables.len() == stated_count(page)).then_some(tables)
}

/// How much of a page is used.
fn used(page: &[u8], key_width: Option<usize>) -> Option<usize> {
    let count = stated_count(page);
    let last = count.checked_sub(1)?;
    match *page.first()? {
        LEAF => Shape { count, width: key_width }.value_end(page, last),
        BRANCH => match key_width {
            Some(width) => Some(8 + (count + 1) * 24 + width * count),
            None => usize_at(page, 8 + (count + 1) * 24 + 4 * last).ok(),
        },
        _ => None,
    }
}

/// What a branch leads to.
fn children(page: &[u8]) -> impl Iterator<Item = Root> {
    let count = stated_count(page) + 1;
    (0..count).map_while(move |child| {
        let checksum = u128_at(page, 8 + 16 * child).ok()?;
        Some(Root { page: u64_at(page, 8 + 16 * count + 8 * child).ok()?, checksum })
    })
}

/// The pairs of a page that is whole.
pub(crate) fn pairs(page: &[u8], key_width: Option<usize>) -> impl Iterator<Item = (&[u8], &[u8])> {
    let shape = Shape { count: stated_count(page), width: key_width };
    (0..shape.count).map_while(move |pair| {
        let key = shape.key_begin(page, pair)?..shape.key_end(page, pair)?;
        let value = shape.value_begin(page, pair)?..shape.value_end(page, pair)?;
        Some((page.get(key)?, page.get(value)?))
    })
}

/// Offers every pair that a page may hold, whatever of what leads to them is damaged, until it is taken. Values say
/// themselves how long they are, and keys where nothing tells: none where what stands there is no value or key.
///
/// Whoever takes a value reads all of it, and a made page may say of each of its bytes that a value as long as the page
/// begins there. So offers end once they come to a multiple of the page.
pub(crate) fn likely_pairs(
    page: &[u8],
    key_width: Option<usize>,
    value_bytes: impl Fn(&[u8]) -> Option<usize>,
    key_bytes: impl Fn(&[u8]) -> Option<usize>,
    mut take: impl FnMut(&[u8], Range<usize>) -> bool,
) {
    let stated = stated_count(page);
    let left = Cell::new(OFFERED_BYTES_MIN.saturating_add(page.len().saturating_mul(OFFERED_TIMES)));
    let mut take = |key: Range<usize>, value: Range<usize>| {
        left.set(left.get().saturating_sub(OFFER_BYTES.saturating_add(value.len())));
        left.get() > 0 && take(page.get(key).unwrap_or_default(), value)
    };
    for count in counts(page).take_while(|_| left.get() > 0) {
        let shape = Shape { count, width: key_width };
        let Some(begin) = shape.values_begin(page) else { continue };
        let has_value = page.get(begin..).is_some_and(|value| value_bytes(value).is_some());
        if count != stated && !has_value {
            continue;
        }
        let mut taken = 0;
        let (mut next_key, mut next_value) = (shape.keys_begin(), begin);
        for pair in (0..count).take_while(|_| left.get() > 0) {
            let key_begins = [shape.key_begin(page, pair), Some(next_key)];
            let keys = ranges(page, key_begins, shape.key_end(page, pair), &key_bytes);
            let value_begins = [shape.value_begin(page, pair), Some(next_value)];
            let values = ranges(page, value_begins, shape.value_end(page, pair), &value_bytes);
            let found = values.iter().find_map(|value| {
                let key = keys.iter().find(|key| take((*key).clone(), value.clone()));
                key.map(|key| (key.end, value.end))
            });
            let guessed = || {
                (
                    keys.last().map_or(next_key, |key| key.end),
                    values.last().map_or(next_value, |value| value.end),
                )
            };
            taken += usize::from(found.is_some());
            (next_key, next_value) = found.unwrap_or_else(guessed);
        }
        if taken == count {
            return;
        }
    }
}

/// So many times its length is offered of a page in all.
const OFFERED_TIMES: usize = 8;
/// And so many bytes of any, for a short one is looked at by many layouts.
const OFFERED_BYTES_MIN: usize = 512 * 1024;
/// As much as so many bytes counts what an offer takes beside them.
const OFFER_BYTES: usize = 64;

/// Where something may stand that begins at one of two places, and ends where it is said to or by its own length.
fn ranges(
    page: &[u8],
    begins: [Option<usize>; 2],
    end: Option<usize>,
    own: impl Fn(&[u8]) -> Option<usize>,
) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for begin in begins.into_iter().flatten() {
        let measured = page.get(begin..).and_then(&own).and_then(|bytes| begin.checked_add(bytes));
        for end in [end, measured].into_iter().flatten() {
            if begin < end && end <= page.len() && !ranges.contains(&(begin..end)) {
                ranges.push(begin..end);
            }
        }
    }
    ranges
}

/// How many pairs a page may have: what it says, then every other number.
fn counts(page: &[u8]) -> impl Iterator<Item = usize> + use<> {
    /// A pair takes at least eight bytes: the ends of its key and its value, or one of them and a key.
    const PAIRS_MAX: usize = 4096 / 8;
    let stated = stated_count(page);
    std::iter::once(stated).chain((1..=PAIRS_MAX).filter(move |count| *count != stated))
}

fn stated_count(page: &[u8]) -> usize {
    u16_at(page, 2).map_or(0, usize::from)
}

/// How a leaf is laid out that has so many pairs, with keys of this width or of any.
#[derive(Clone, Copy)]
struct Shape {
    count: usize,
    width: Option<usize>,
}

impl Shape {
    fn value_ends(self) -> usize {
        4 + if self.width.is_none() { 4 * self.count } else { 0 }
    }

    fn keys_begin(self) -> usize {
        self.value_ends() + 4 * self.count
    }

    fn key_begin(self, page: &[u8], pair: usize) -> Option<usize> {
        pair.checked_sub(1).map_or(Some(self.keys_begin()), |before| self.key_end(page, before))
    }

    fn key_end(self, page: &[u8], pair: usize) -> Option<usize> {
        match self.width {
            Some(width) => Some(self.keys_begin() + width * (pair + 1)),
            None => usize_at(page, 4 + 4 * pair).ok(),
        }
    }

    fn values_begin(self, page: &[u8]) -> Option<usize> {
        self.key_end(page, self.count.checked_sub(1)?)
    }

    fn value_begin(self, page: &[u8], pair: usize) -> Option<usize> {
        pair.checked_sub(1).map_or_else(|| self.values_begin(page), |before| self.value_end(page, before))
    }

    fn value_end(self, page: &[u8], pair: usize) -> Option<usize> {
        usize_at(page, self.value_ends() + 4 * pair).ok()
    }
}
