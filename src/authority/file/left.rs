//! Keys among the epochs that entities have left, as they were changed again.
//!
//! An entity's old key lies anywhere among the epochs, so taking it out at once would write a page of the file for
//! almost every change. It is listed here instead, and whoever reads on passes over what is listed; once there are many,
//! all go in the order of their keys, many a page. Invariant: a key among the epochs is its entity's last, or is listed.

use std::collections::HashSet;

use redb::ReadableTable;
use uuid::Uuid;

use super::tables::{Bytes, Tables, WriteTable, bounds, engine, epoch_key, left_key, number_of, opened, put};
use crate::authority::Error;
use crate::codec::accounts::LeftRecord;
use crate::codec::frame::FrameKind;

/// So many keys of an account are listed before they go.
const LISTED_MAX: u64 = 5_000;

/// A collection's number, an epoch, whose it was.
pub(super) type Left = (u32, u64, Uuid);

/// All keys of an account that are listed.
pub(super) fn listed<T: ReadableTable<Bytes, Bytes>>(
    tables: &Tables<T>,
    account: u64,
) -> Result<HashSet<Left>, Error> {
    let (from, to) = bounds(account);
    let mut all = HashSet::new();
    for row in tables.left.range(from.as_slice()..to.as_slice()).map_err(engine)? {
        let (key, value) = row.map_err(engine)?;
        let what = || format!("the epochs left of account {account}");
        let record: LeftRecord = opened(FrameKind::Left, key.value(), value.value(), what)?;
        all.extend(record.left());
    }
    Ok(all)
}

/// Lists more, or lets all go where there are many.
pub(super) fn list(tables: &mut Tables<WriteTable<'_>>, account: u64, left: Vec<Left>) -> Result<(), Error> {
    if left.is_empty() {
        return Ok(());
    }
    let (from, to) = bounds(account);
    let last = tables.left.range(from.as_slice()..to.as_slice()).map_err(engine)?.next_back();
    let last = last.transpose().map_err(engine)?;
    // Each value stands under how many there are with it.
    let count = last.and_then(|(key, _)| number_of(key.value())).unwrap_or_default();
    let count = count.saturating_add(left.len() as u64);
    if count > LISTED_MAX {
        match listed(tables, account) {
            Ok(listed) => return drop_these(tables, account, listed.into_iter().chain(left).collect()),
            // What lists them is for a reader to stumble on; who writes goes on.
            Err(Error::Damaged { .. } | Error::Newer { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    put(&mut tables.left, FrameKind::Left, &left_key(account, count), &LeftRecord::of(&left))
}

/// Takes all keys of an account that are listed out of the epochs.
pub(super) fn drop_all(tables: &mut Tables<WriteTable<'_>>, account: u64) -> Result<(), Error> {
    let listed = listed(tables, account)?;
    drop_these(tables, account, listed.into_iter().collect())
}

fn drop_these(tables: &mut Tables<WriteTable<'_>>, account: u64, mut all: Vec<Left>) -> Result<(), Error> {
    all.sort_unstable();
    for (collection, epoch, id) in all {
        let key = epoch_key(account, collection, epoch, id);
        tables.epochs.remove(key.as_slice()).map_err(engine)?;
    }
    let (from, to) = bounds(account);
    tables.left.retain_in(from.as_slice()..to.as_slice(), |_, _| false).map_err(engine)
}
