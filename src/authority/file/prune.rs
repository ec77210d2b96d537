//! Forgetting old tombstones.
//!
//! What is old is looked for in snapshots, beside whoever writes; only what is found is looked at again and dropped in
//! a transaction, a bounded number at a time, together with the floor that says so.

use std::collections::BTreeMap;

use redb::ReadableTable;

use super::FileAuthority;
use super::deliveries::find;
use super::generations::accounts;
use super::left;
use super::one::{stored, stored_at};
use super::tables::{ReadTable, Tables, WriteTable, behind, bounds, engine, epoch_key, id_of, opened, put};
use crate::algebra::Millis;
use crate::authority::{Account, Error, Stored};
use crate::codec::accounts::CollectionRecord;
use crate::codec::frame::FrameKind;

/// So many tombstones are dropped in one transaction: deliveries wait for it.
const PRUNED_AT_ONCE: usize = 5_000;

/// A tombstone that is old: its key among the entities.
type Old = Vec<u8>;

impl FileAuthority {
    /// Drops the tombstones of all accounts that were deleted before a time, by the stamp of their deletion; says how
    /// many. A client that has not read as far as the newest of them has to start over. One whose deletion nobody has
    /// stamped stays.
    ///
    /// # Errors
    /// What the storage says, or a damaged entity; what was dropped until then stays so.
    pub fn prune(&self, older_than: Millis) -> Result<u64, Error> {
        let mut pruned = 0;
        for account in self.handle.read(accounts)? {
            let mut from = None;
            loop {
                let old = self.handle.read(|tables| look(tables, &account, from.as_deref(), older_than))?;
                if old.is_empty() {
                    break;
                }
                pruned += self.handle.write(|tables| {
                    let dropped = drop_all(tables, &account, &old, older_than)?;
                    Ok((dropped, dropped > 0))
                })?;
                from = old.into_iter().next_back();
            }
        }
        Ok(pruned)
    }
}

/// Old tombstones of an account behind a key, as many as are dropped at once.
fn look(
    tables: &Tables<ReadTable>,
    account: &Account,
    above: Option<&[u8]>,
    older_than: Millis,
) -> Result<Vec<Old>, Error> {
    let Some(held) = find(tables, account)? else { return Ok(Vec::new()) };
    let (from, to) = bounds(held.account.number);
    let from = above.map_or(from.to_vec(), behind);
    let mut old = Vec::new();
    for row in tables.entities.range(from.as_slice()..to.as_slice()).map_err(engine)? {
        let (key, value) = row.map_err(engine)?;
        let entity = stored(key.value(), value.value(), || an_entity(account))?;
        if is_old(&entity, older_than) {
            old.push(key.value().to_vec());
            if old.len() >= PRUNED_AT_ONCE {
                break;
            }
        }
    }
    Ok(old)
}

/// Drops those that are still what they were, and raises the floors of their collections.
fn drop_all(
    tables: &mut Tables<WriteTable<'_>>,
    account: &Account,
    old: &[Old],
    older_than: Millis,
) -> Result<u64, Error> {
    let Some(held) = find(tables, account)? else { return Ok(0) };
    let number = held.account.number;
    // What is listed leads to entities that are there.
    left::drop_all(tables, number)?;
    let mut dropped = 0;
    // By the number of a collection: the newest epoch of what was dropped.
    let mut floors: BTreeMap<u32, u64> = BTreeMap::new();
    for key in old {
        // The account may have been erased and made again meanwhile.
        let collection =
            key.strip_prefix(number.to_be_bytes().as_slice()).and_then(|key| key.first_chunk::<4>());
        let (Some(collection), Some(id)) = (collection.map(|number| u32::from_be_bytes(*number)), id_of(key))
        else {
            continue;
        };
        let entity = stored_at(&tables.entities, key, || an_entity(account))?;
        let Some(entity) = entity.filter(|entity| is_old(entity, older_than)) else { continue };
        tables.entities.remove(key.as_slice()).map_err(engine)?;
        let place = epoch_key(number, collection, entity.epoch.0, id);
        tables.epochs.remove(place.as_slice()).map_err(engine)?;
        let floor = floors.entry(collection).or_default();
        *floor = entity.epoch.0.max(*floor);
        dropped += 1;
    }
    raise(tables, account, number, &floors)?;
    Ok(dropped)
}

fn raise(
    tables: &mut Tables<WriteTable<'_>>,
    account: &Account,
    number: u64,
    floors: &BTreeMap<u32, u64>,
) -> Result<(), Error> {
    let (from, to) = bounds(number);
    let mut raised: Vec<(Vec<u8>, CollectionRecord)> = Vec::new();
    for row in tables.collections.range(from.as_slice()..to.as_slice()).map_err(engine)? {
        let (key, value) = row.map_err(engine)?;
        let what = || format!("a collection of account {account}");
        let mut record: CollectionRecord = opened(FrameKind::Collection, key.value(), value.value(), what)?;
        if let Some(floor) = floors.get(&record.number) {
            record.floor = record.floor.max(*floor);
            raised.push((key.value().to_vec(), record));
        }
    }
    raised
        .iter()
        .try_for_each(|(key, record)| put(&mut tables.collections, FrameKind::Collection, key, record))
}

fn is_old(entity: &Stored, older_than: Millis) -> bool {
    let version = &entity.version;
    !version.existence.is_live() && version.stamps.turned.is_some_and(|turned| turned.at < older_than)
}

fn an_entity(account: &Account) -> String {
    format!("an entity of account {account}")
}
