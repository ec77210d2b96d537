//! Erasing an account.

use super::tables::{Tables, WriteTable, bounds, engine};
use crate::authority::{Account, Error};

/// Erases an account from every table; whether there was one. Its number is not given out again. What was written of it
/// may still be read from pages of the file that are free, until they are written over.
pub(super) fn erase(tables: &mut Tables<WriteTable<'_>>, account: &Account) -> Result<(bool, bool), Error> {
    let Some(record) = tables.account(account.as_str())? else { return Ok((false, false)) };
    let (from, to) = bounds(record.number);
    for table in tables.of_accounts() {
        table.retain_in(from.as_slice()..to.as_slice(), |_, _| false).map_err(engine)?;
    }
    tables.accounts.remove(account.as_str().as_bytes()).map_err(engine)?;
    Ok((true, true))
}
