//! Which commit of a damaged file is gone by, and what is certain of it.
//!
//! | what leads to it | the commit | whether that is certain |
//! |---|---|---|
//! | the header | the last | yes: what is damaged of it is gone |
//! | the header, past a damaged directory or a commit that a crash cut off | the one before | unless a newer state lies somewhere that no crash left there |
//! | nothing | the newest that is found | if all its pages agree, and no newer state lies anywhere |
//!
//! One that is not certain may be older than what was sent.

use std::convert::Infallible;

use redb::TableHandle;

use super::super::stored::{Place, TABLES, Table};
use super::super::tables::{BASE, IDENTITY_KEY, LOG, META, REPLICA_KEY, STATE_KEY};
use super::scan::{Scan, key_bytes, number_of};
use crate::codec::FrameError;
use crate::codec::frame::{self, FrameKind};
use crate::codec::kept::ReplicaRecord;
use crate::codec::records::{Identity, JournalState};
use crate::storage::trees::{Directory, Listed, Page, Trees, likely_pairs, pairs};

/// A commit.
#[derive(Debug, Default)]
pub(super) struct Commit {
    pub(super) directory: Directory,
    /// Whether the header leads to it.
    pub(super) is_named: bool,
    /// Whether nothing was committed after it.
    pub(super) is_last: bool,
    /// Whether something was: then numbers were given out that nothing may tell.
    pub(super) is_followed: bool,
    /// Whether what is damaged of it cannot just have been used for a later one.
    pub(super) is_certain: bool,
    /// Whether no other commit could as well be this one that has other base knowledge.
    pub(super) has_certain_bases: bool,
    pub(super) meta: Meta,
}

/// Who the journal is, and where it stands.
#[derive(Debug, Default)]
pub(super) struct Meta {
    pub(super) identity: Option<Identity>,
    pub(super) state: Option<JournalState>,
    pub(super) replica: Option<ReplicaRecord>,
    /// How many of these were where the commit leads to.
    pub(super) found: u64,
}

impl Commit {
    /// Chooses the commit that is gone by; none where no directory of a journal is left.
    pub(super) fn chosen(trees: &Trees<'_>, scan: &Scan) -> Option<Commit> {
        let mut named = trees.directories().into_iter();
        let newest =
            scan.states(trees).into_iter().filter(JournalState::is_possible).map(|state| age(&state)).max();
        // A state that is newer than a commit's is of one that is gone.
        let is_newest = |meta: &Meta| meta.state.as_ref().map(age) >= newest;
        let (last, before) = (named.next(), named.next());
        // Where only one of two is there as it was written, nothing tells which one it is.
        let is_known = before.is_some();
        let has_header = last.is_some();
        let (last, before) = (last.flatten(), before.flatten());
        let is_cut_off =
            is_cut_off(trees, last.as_ref()) && before.as_ref().is_some_and(|it| is_whole(trees, it));
        if let Some(directory) = last.filter(|_| !is_cut_off) {
            let meta = Meta::of(trees, &directory);
            let is_certain = is_known || is_newest(&meta);
            return Some(Commit::named(directory, is_known, is_certain, meta));
        }
        if let Some(directory) = before {
            let meta = Meta::of(trees, &directory);
            // What a crash cut off does not count, whatever of it lies somewhere.
            let is_certain = trees.was_left_open() || is_newest(&meta);
            return Some(Commit::named(directory, false, is_certain, meta));
        }
        Self::newest(trees, scan, |meta| !has_header && is_newest(meta))
    }

    /// The newest of the directories that lie somewhere.
    fn newest(trees: &Trees<'_>, scan: &Scan, is_newest: impl Fn(&Meta) -> bool) -> Option<Commit> {
        let age_of = |meta: &Meta| meta.state.as_ref().map(age);
        let found: Vec<(&Directory, Meta)> =
            scan.directories.iter().map(|directory| (directory, Meta::of(trees, directory))).collect();
        let newest = found.iter().map(|(_, meta)| age_of(meta)).max()?;
        // Of those that only appended to one another the last has the most in its log.
        let log = |directory: &Directory| directory.get(LOG.rows.name()).map(|log| log.values);
        let found = found.into_iter().filter(|(_, meta)| age_of(meta) == newest);
        let mut found: Vec<(&Directory, Meta, bool)> =
            found.map(|(directory, meta)| (directory, meta, is_whole(trees, directory))).collect();
        found.sort_by_key(|(directory, _, is_whole)| (*is_whole, log(directory)));
        let (directory, meta, is_whole) = found.pop()?;
        let base = |directory: &Directory| directory.get(BASE.name()).copied();
        let is_rival = |(other, _, is_whole): &(&Directory, Meta, bool)| {
            *is_whole && log(other) == log(directory) && base(other) != base(directory)
        };
        let has_certain_bases = !found.iter().any(is_rival);
        let is_followed = found.iter().any(|(other, ..)| log(other) > log(directory));
        let is_certain = is_whole && is_newest(&meta);
        let directory = directory.clone();
        Some(Commit {
            directory,
            is_named: false,
            is_last: false,
            is_followed,
            is_certain,
            has_certain_bases,
            meta,
        })
    }

    fn named(directory: Directory, is_last: bool, is_certain: bool, meta: Meta) -> Commit {
        let is_followed = !is_last;
        Commit { directory, is_named: true, is_last, is_followed, is_certain, has_certain_bases: true, meta }
    }

    /// How many values a table has, by the engine's name for it.
    pub(super) fn values(&self, name: &str) -> u64 {
        self.directory.get(name).map_or(0, |listed| listed.values)
    }

    pub(super) fn table(&self, table: &Table) -> Option<&Listed> {
        self.directory.get(table.stored_as())
    }
}

/// Whether a crash may have come between the pages of the last commit: then the engine goes by the one before.
fn is_cut_off(trees: &Trees<'_>, last: Option<&Directory>) -> bool {
    trees.was_left_open() && !last.is_some_and(|last| is_whole(trees, last))
}

/// What never becomes less, whatever is committed.
fn age(state: &JournalState) -> impl Ord + use<> {
    let JournalState { log_begins, next_ordinal, last_bunch, next_superseded, settled, folded_away, .. } =
        state;
    (*log_begins, *next_ordinal, *last_bunch, *next_superseded, *settled, *folded_away)
}

/// Whether everything that a directory leads to is there as it was committed.
fn is_whole(trees: &Trees<'_>, directory: &Directory) -> bool {
    directory.values().all(|listed| {
        let mut found = 0;
        let walked = trees.walk(listed, |page| {
            found += pairs(&page.bytes, listed.key_width).count() as u64;
            if page.is_whole { Ok(()) } else { Err(()) }
        });
        walked.is_ok() && found == listed.values
    })
}

impl Meta {
    fn of(trees: &Trees<'_>, directory: &Directory) -> Meta {
        let mut meta = Meta::default();
        let Some(listed) = directory.get(META.name()) else { return meta };
        let Some(table) = TABLES.get(number_of(META.name())) else { return meta };
        let Ok(()) = trees.walk::<Infallible>(listed, |page| {
            for (place, value) in values(table, page, listed.key_width).found {
                meta.take(&place, value);
            }
            Ok(())
        });
        meta.found = u64::from(meta.identity.is_some())
            + u64::from(meta.state.is_some())
            + u64::from(meta.replica.is_some());
        meta
    }

    fn take(&mut self, place: &Place, value: &[u8]) {
        let Some(key) = place.key() else { return };
        if key == IDENTITY_KEY {
            self.identity = frame::open_record(FrameKind::Identity, key, value).ok();
        } else if key == STATE_KEY {
            let state = frame::open_record::<JournalState>(FrameKind::State, key, value).ok();
            self.state = state.filter(JournalState::is_possible);
        } else if key == REPLICA_KEY {
            self.replica = frame::open_record(FrameKind::Replica, key, value).ok();
        }
    }

    /// Puts what is found of other commits in the place of what is not there of this one, or is newer than an uncertain
    /// one; says whether it is certain where the journal stands.
    pub(super) fn filled_in(&mut self, trees: &Trees<'_>, scan: &Scan, is_certain: bool) -> bool {
        let is_exact = is_certain && self.state.is_some();
        if self.identity.is_none() {
            // A copied file that was found out has had two names: which one is the newer is not known.
            let mut found = scan.identities(trees);
            found.dedup();
            self.identity = found.pop().filter(|_| found.is_empty());
        }
        if self.replica.is_none() {
            self.replica = scan
                .replicas(trees)
                .into_iter()
                .max_by_key(|record| (record.next_lost, record.next_decision));
        }
        if !is_exact {
            let found = scan.states(trees).into_iter().filter(JournalState::is_possible);
            self.state = found.chain(self.state.take()).max_by_key(age);
        }
        is_exact
    }
}

/// The values of a page.
#[derive(Default)]
pub(super) struct Values<'p> {
    /// Those that open.
    pub(super) found: Vec<(Place, &'p [u8])>,
    /// What seems to be the others.
    pub(super) damaged: Vec<(Place, &'p [u8])>,
}

/// What lies in a page to which a commit leads.
pub(super) fn values<'p>(table: &Table, page: &'p Page, key_width: Option<usize>) -> Values<'p> {
    // What a newer program wrote is not damaged, and told later on.
    let opens = |place: &Place, value: &[u8]| {
        matches!(table.opened(place, value), Ok(_) | Err(FrameError::Newer { .. }))
    };
    let stated = pairs(&page.bytes, key_width).filter_map(|pair| placed(table, pair));
    let (found, damaged): (Vec<_>, Vec<_>) = stated.partition(|(place, value)| opens(place, value));
    if page.is_whole {
        return Values { found, damaged };
    }
    let mut values = Values::default();
    if damaged.is_empty() && !found.is_empty() {
        // Nothing in it is damaged, so it is what it was at another time.
        return values;
    }
    likely_pairs(&page.bytes, key_width, frame::stated_bytes, key_bytes, |key, range| {
        let Some((place, value)) = page.bytes.get(range).and_then(|value| placed(table, (key, value))) else {
            return false;
        };
        let is_value = opens(&place, value);
        if is_value && values.found.iter().all(|(other, _)| *other != place) {
            values.found.push((place, value));
        }
        is_value
    });
    values.damaged.extend(damaged.into_iter().filter(|(place, value)| {
        let is_as_long = frame::stated_bytes(value) == Some(value.len());
        is_as_long && values.found.iter().all(|(other, _)| other != place)
    }));
    values
}

fn placed<'v>(table: &Table, (key, value): (&[u8], &'v [u8])) -> Option<(Place, &'v [u8])> {
    Some((table.place_of(key)?, value))
}
