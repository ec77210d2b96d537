//! The tables of an authority's file, their keys, and how their values are framed and named.
//!
//! | table | key | value |
//! |---|---|---|
//! | `authority` | `identity` | what the file is, its schema, the next account's number |
//! | `accounts` | name | number, generation, how far its triggers go |
//! | `collections` | account, name | number, last epoch, floor, live set |
//! | `entities` | account, collection, id | what it is, its stamps, the epochs of its fields, its writer |
//! | `epochs` | account, collection, epoch of the last change, id | – |
//! | `left` | account, how many are listed | keys among the epochs that are to go |
//! | `live` | account, collection, hash of what is looked up, id | – |
//! | `answers` | account, replica, bunch | its digest, its outcomes |
//! | `triggers` | account, index of the last one | triggers that follow one another |
//!
//! Numbers stand in keys with their highest byte first, so that the engine's order is theirs. Accounts and collections
//! stand there by numbers, as short keys make many a page; whatever is of an account begins with its number, in every
//! table but the first two. What says all in its key has no value: what it leads to is compared with it.

use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, Table, TableDefinition, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::algebra::{BunchNumber, ReplicaId};
use crate::authority::Error;
use crate::codec::FrameError;
use crate::codec::accounts::{AccountRecord, AuthorityRecord};
use crate::codec::frame::{self, FrameKind};

pub(super) type Bytes = &'static [u8];
pub(super) type ReadTable = ReadOnlyTable<Bytes, Bytes>;
pub(super) type WriteTable<'t> = Table<'t, Bytes, Bytes>;
type Definition = TableDefinition<'static, Bytes, Bytes>;

pub(super) const AUTHORITY: Definition = TableDefinition::new("authority");
const ACCOUNTS: Definition = TableDefinition::new("accounts");
const COLLECTIONS: Definition = TableDefinition::new("collections");
const ENTITIES: Definition = TableDefinition::new("entities");
const EPOCHS: Definition = TableDefinition::new("epochs");
pub(super) const LEFT: Definition = TableDefinition::new("left");
const LIVE: Definition = TableDefinition::new("live");
const ANSWERS: Definition = TableDefinition::new("answers");
const TRIGGERS: Definition = TableDefinition::new("triggers");

const IDENTITY_KEY: &[u8] = b"identity";

/// All tables, opened once a transaction.
pub(super) struct Tables<T> {
    pub(super) authority: T,
    pub(super) accounts: T,
    pub(super) collections: T,
    pub(super) entities: T,
    pub(super) epochs: T,
    pub(super) left: T,
    pub(super) live: T,
    pub(super) answers: T,
    pub(super) triggers: T,
}

impl Tables<ReadTable> {
    pub(super) fn reading(txn: &ReadTransaction) -> Result<Self, Error> {
        Tables::opened(|definition| txn.open_table(definition).map_err(engine))
    }
}

impl<'t> Tables<WriteTable<'t>> {
    /// Makes those that are not there yet.
    pub(super) fn writing(txn: &'t WriteTransaction) -> Result<Self, Error> {
        Tables::opened(|definition| txn.open_table(definition).map_err(engine))
    }

    pub(super) fn put_identity(&mut self, identity: &AuthorityRecord) -> Result<(), Error> {
        put(&mut self.authority, FrameKind::Authority, IDENTITY_KEY, identity)
    }

    pub(super) fn put_account(&mut self, name: &str, account: &AccountRecord) -> Result<(), Error> {
        put(&mut self.accounts, FrameKind::Account, name.as_bytes(), account)
    }

    /// The tables of which every key begins with an account's number.
    pub(super) fn of_accounts(&mut self) -> [&mut WriteTable<'t>; 7] {
        let Tables { collections, entities, epochs, left, live, answers, triggers, .. } = self;
        [collections, entities, epochs, left, live, answers, triggers]
    }
}

impl<T> Tables<T> {
    fn opened(mut open: impl FnMut(Definition) -> Result<T, Error>) -> Result<Self, Error> {
        Ok(Tables {
            authority: open(AUTHORITY)?,
            accounts: open(ACCOUNTS)?,
            collections: open(COLLECTIONS)?,
            entities: open(ENTITIES)?,
            epochs: open(EPOCHS)?,
            left: open(LEFT)?,
            live: open(LIVE)?,
            answers: open(ANSWERS)?,
            triggers: open(TRIGGERS)?,
        })
    }
}

impl<T: ReadableTable<Bytes, Bytes>> Tables<T> {
    pub(super) fn identity(&self) -> Result<AuthorityRecord, Error> {
        let what = || "the authority's identity".to_owned();
        record(&self.authority, FrameKind::Authority, IDENTITY_KEY, what)?
            .ok_or_else(|| Error::Damaged { what: what(), why: "it is missing".to_owned() })
    }

    pub(super) fn account(&self, name: &str) -> Result<Option<AccountRecord>, Error> {
        record(&self.accounts, FrameKind::Account, name.as_bytes(), || format!("the account {name}"))
    }
}

/// What the engine said, in our words. Whatever it is, the handle is not to be used again.
pub(super) fn engine(error: impl Into<redb::Error>) -> Error {
    match error.into() {
        redb::Error::Io(source) => Error::Store { source: source.into() },
        redb::Error::PreviousIo => Error::Store { source: "an earlier call to the storage failed".into() },
        redb::Error::Corrupted(why) => Error::Corrupted { why },
        other => Error::Corrupted { why: other.to_string() },
    }
}

/// What is damaged, for the error.
pub(super) fn damaged(what: String) -> impl FnOnce(FrameError) -> Error {
    move |error| match error {
        FrameError::Newer { .. } => Error::Newer { what, why: error.to_string() },
        error => Error::Damaged { what, why: error.to_string() },
    }
}

/// One record by its key; none where there is no such key.
pub(super) fn record<R: DeserializeOwned>(
    table: &impl ReadableTable<Bytes, Bytes>,
    kind: FrameKind,
    key: &[u8],
    what: impl FnOnce() -> String,
) -> Result<Option<R>, Error> {
    match table.get(key).map_err(engine)? {
        None => Ok(None),
        Some(value) => opened(kind, key, value.value(), what).map(Some),
    }
}

/// The record that stands under a key.
pub(super) fn opened<R: DeserializeOwned>(
    kind: FrameKind,
    key: &[u8],
    value: &[u8],
    what: impl FnOnce() -> String,
) -> Result<R, Error> {
    frame::open_record(kind, key, value).map_err(|error| damaged(what())(error))
}

/// Writes one record under a key.
pub(super) fn put<R: Serialize>(
    table: &mut WriteTable<'_>,
    kind: FrameKind,
    key: &[u8],
    record: &R,
) -> Result<(), Error> {
    let framed = frame::record(kind, key, record).map_err(damaged("a record to be written".to_owned()))?;
    table.insert(key, framed.as_slice()).map_err(engine)?;
    Ok(())
}

/// Where what is of an account begins, and where what is of the next one does.
pub(super) fn bounds(account: u64) -> ([u8; 8], [u8; 8]) {
    // Numbers are given out one by one: there is always a next one.
    (account.to_be_bytes(), account.saturating_add(1).to_be_bytes())
}

pub(super) fn collection_key(account: u64, name: &str) -> Vec<u8> {
    [account.to_be_bytes().as_slice(), name.as_bytes()].concat()
}

/// Where what is of one collection begins.
pub(super) fn of_collection(account: u64, collection: u32) -> Vec<u8> {
    let mut key = Vec::with_capacity(44);
    key.extend_from_slice(&account.to_be_bytes());
    key.extend_from_slice(&collection.to_be_bytes());
    key
}

pub(super) fn entity_key(account: u64, collection: u32, id: Uuid) -> Vec<u8> {
    let mut key = of_collection(account, collection);
    key.extend_from_slice(id.as_bytes());
    key
}

pub(super) fn epoch_key(account: u64, collection: u32, epoch: u64, id: Uuid) -> Vec<u8> {
    let mut key = of_collection(account, collection);
    key.extend_from_slice(&epoch.to_be_bytes());
    key.extend_from_slice(id.as_bytes());
    key
}

pub(super) fn left_key(account: u64, count: u64) -> Vec<u8> {
    [account.to_be_bytes(), count.to_be_bytes()].concat()
}

pub(super) fn answer_key(account: u64, replica: ReplicaId, bunch: BunchNumber) -> Vec<u8> {
    [account.to_be_bytes().as_slice(), replica.0.as_bytes(), &bunch.0.to_be_bytes()].concat()
}

pub(super) fn trigger_key(account: u64, last: u64) -> Vec<u8> {
    [account.to_be_bytes(), last.to_be_bytes()].concat()
}

/// The epoch in a key among the epochs.
pub(super) fn epoch_of(key: &[u8]) -> Option<u64> {
    key.get(12..20)?.first_chunk::<8>().map(|epoch| u64::from_be_bytes(*epoch))
}

/// The number at the end of a key.
pub(super) fn number_of(key: &[u8]) -> Option<u64> {
    key.last_chunk::<8>().map(|number| u64::from_be_bytes(*number))
}

/// The id at the end of a key.
pub(super) fn id_of(key: &[u8]) -> Option<Uuid> {
    key.last_chunk::<16>().map(|id| Uuid::from_bytes(*id))
}

/// The first key behind all those that begin so.
pub(super) fn behind(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    end
}
