//! Everything that lies in a file's pages, whether anything leads there or not.
//!
//! The engine never writes over a page that is in use: what a table held before lies in other pages until these are used
//! again. So what is found is proven by its checksum to have been stored there at some time, and no more. Only what may be
//! needed from there is looked for: base knowledge and triggers are asked for anew rather than taken from an old copy.

use std::collections::BTreeMap;

use redb::TableHandle;
use serde::de::DeserializeOwned;

use super::super::stored::{Place, TABLES};
use super::super::tables::{
    BUNCH, IDENTITY_KEY, LOG, LOST, META, PARKED, REPLICA_KEY, RUN, SET_ASIDE, STATE_KEY, SUPERSEDED,
    entity_of,
};
use crate::algebra::COLLECTION_NAME_BYTES_MAX;
use crate::codec::FrameError;
use crate::codec::accounts::AuthorityRecord;
use crate::codec::frame::{self, FRAME_HEAD_BYTES, FrameKind};
use crate::codec::kept::ReplicaRecord;
use crate::codec::records::{Identity, JournalState};
use crate::storage::trees::{Directory, PAGE, Trees, likely_pairs};

/// So many times its length is read of a file in pages of more than one, at most: several old ones may seem to lie over
/// one another.
const BEYOND_TIMES: u64 = 4;

/// A stored value, wherever it lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct StoredCopy {
    at: u64,
    bytes: usize,
    head: [u8; FRAME_HEAD_BYTES],
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// By the number of its table and its place there: every value that was stored there and lies somewhere.
    copies: BTreeMap<(usize, Place), Vec<StoredCopy>>,
    /// The directories of journals.
    pub(super) directories: Vec<Directory>,
    /// Whether an authority's identity was found.
    pub(super) is_authoritys: bool,
    /// A value that a newer program wrote.
    pub(super) newer: Option<(String, FrameError)>,
}

impl Scan {
    /// Looks at every place where a page may begin.
    pub(super) fn of(trees: &Trees<'_>) -> Scan {
        let mut scan = Scan::default();
        let wanted = wanted();
        // The pages of large values, too, add up to no more than the file; a made one may say of each that it reaches to
        // the end.
        let mut beyond = trees.pages().saturating_mul(PAGE).saturating_mul(BEYOND_TIMES);
        for offset in (0..trees.pages()).map(|page| page * PAGE) {
            if let Some(directory) = trees.directory_at(offset)
                && directory.contains_key(META.name())
                && !scan.directories.contains(&directory)
            {
                scan.directories.push(directory);
            }
            let Some(page) = trees.seeming_leaf(offset, beyond, frame::stated_bytes) else { continue };
            beyond = beyond.saturating_sub((page.len() as u64).saturating_sub(PAGE));
            for key_width in [Some(8), None] {
                likely_pairs(&page, key_width, frame::stated_bytes, key_bytes, |key, range| {
                    let value = page.get(range.clone()).unwrap_or_default();
                    let place = offset + range.start as u64;
                    scan.take(&wanted, key_width.is_some(), key, value, place)
                });
            }
        }
        scan
    }

    /// Takes a value if it is one.
    fn take(&mut self, wanted: &[(u8, usize)], is_numbered: bool, key: &[u8], value: &[u8], at: u64) -> bool {
        let Some(kind) = frame::stated_kind(value) else { return false };
        if kind == FrameKind::Authority as u8 {
            let opened = frame::open_record::<AuthorityRecord>(FrameKind::Authority, key, value);
            self.is_authoritys |= opened.is_ok();
        }
        for (_, number) in wanted.iter().filter(|(of, _)| *of == kind) {
            let Some(table) = TABLES.get(*number).filter(|table| table.numbered().is_some() == is_numbered)
            else {
                continue;
            };
            let Some(place) = table.place_of(key) else { continue };
            match table.opened(&place, value) {
                Ok(_) => {}
                Err(why @ FrameError::Newer { .. }) => {
                    self.newer.get_or_insert((table.place_name(&place), why));
                    return true;
                }
                Err(_) => continue,
            }
            let Some(head) = value.first_chunk::<FRAME_HEAD_BYTES>() else { continue };
            let copies = self.copies.entry((*number, place)).or_default();
            if copies.iter().all(|copy| copy.head != *head) {
                copies.push(StoredCopy { at, bytes: value.len(), head: *head });
            }
            return true;
        }
        false
    }

    /// The places of a table of which something was found, with all that was stored there.
    pub(super) fn of_table(&self, number: usize) -> impl Iterator<Item = (&Place, &[StoredCopy])> {
        let begin = (number, Place::Number(0));
        let of = self.copies.range(begin..).take_while(move |((of, _), _)| *of == number);
        of.map(|((_, place), copies)| (place, copies.as_slice()))
    }

    /// Every state that the journal was in and that lies somewhere, in no order.
    pub(super) fn states(&self, trees: &Trees<'_>) -> Vec<JournalState> {
        self.meta(trees, FrameKind::State, STATE_KEY)
    }

    /// The same of its identity; it changes only when a copied file gets a new one.
    pub(super) fn identities(&self, trees: &Trees<'_>) -> Vec<Identity> {
        self.meta(trees, FrameKind::Identity, IDENTITY_KEY)
    }

    /// The same of a replica's record.
    pub(super) fn replicas(&self, trees: &Trees<'_>) -> Vec<ReplicaRecord> {
        self.meta(trees, FrameKind::Replica, REPLICA_KEY)
    }

    fn meta<T: DeserializeOwned>(&self, trees: &Trees<'_>, kind: FrameKind, key: &[u8]) -> Vec<T> {
        let place = (number_of(META.name()), Place::Key(key.to_owned()));
        let copies = self.copies.get(&place).map_or(&[][..], Vec::as_slice);
        copies.iter().filter_map(|copy| frame::open_record(kind, key, &copy.read(trees)).ok()).collect()
    }

    /// Whether nothing of a journal was found.
    pub(super) fn is_empty(&self) -> bool {
        self.copies.is_empty() && self.directories.is_empty()
    }
}

impl StoredCopy {
    /// The head of its frame, which has its length and its checksum.
    pub(super) fn head(&self) -> &[u8] {
        &self.head
    }

    pub(super) fn read(&self, trees: &Trees<'_>) -> Vec<u8> {
        trees.read(self.at, self.bytes as u64)
    }
}

/// The number of a table by the engine's name for it.
pub(super) fn number_of(name: &str) -> usize {
    TABLES.iter().position(|table| table.is(name)).unwrap_or(TABLES.len())
}

/// The tables of which values are looked for, by the kinds of their frames.
fn wanted() -> Vec<(u8, usize)> {
    let kinds = [
        (FrameKind::Rows, LOG.rows.name()),
        (FrameKind::Rows, RUN.rows.name()),
        (FrameKind::Payload, LOG.payload.name()),
        (FrameKind::Payload, RUN.payload.name()),
        (FrameKind::Identity, META.name()),
        (FrameKind::State, META.name()),
        (FrameKind::Replica, META.name()),
        (FrameKind::Parked, PARKED.name()),
        (FrameKind::BunchText, BUNCH.name()),
        (FrameKind::Superseded, SUPERSEDED.name()),
        (FrameKind::Lost, LOST.name()),
        (FrameKind::SetAside, SET_ASIDE.name()),
    ];
    kinds.into_iter().map(|(kind, name)| (kind as u8, number_of(name))).collect()
}

/// How long the key is that seems to begin here, where nothing tells: an entity's, or one of the identity and the state.
pub(super) fn key_bytes(bytes: &[u8]) -> Option<usize> {
    let known = [IDENTITY_KEY, STATE_KEY, REPLICA_KEY].into_iter().find(|key| bytes.starts_with(key));
    let of_entity = || {
        let name = bytes.iter().take(ENTITY_NAME_BYTES_MAX).position(|byte| *byte == 0)?;
        let end = name + 1 + 16;
        entity_of(bytes.get(..end)?).ok().map(|_| end)
    };
    known.map(<[u8]>::len).or_else(of_entity)
}

/// The name of a collection is not longer; then comes a zero.
const ENTITY_NAME_BYTES_MAX: usize = COLLECTION_NAME_BYTES_MAX + 1;
