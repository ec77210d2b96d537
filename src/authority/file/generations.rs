//! Another generation for every account, after the file was restored from an older copy.

use redb::ReadableTable;
use uuid::Uuid;

use super::FileAuthority;
use super::tables::{Bytes, Tables, engine};
use crate::authority::{Account, Error};

impl FileAuthority {
    /// Says that this is a restored copy: what it held since is gone, so its epochs are given out anew, and whoever read
    /// more than it holds has to start over. Gives every account another generation, all of them or none; gives how many
    /// there are.
    ///
    /// # Errors
    /// What the storage says, or a damaged account; then all are what they were.
    pub fn renew_generations(&self) -> Result<u64, Error> {
        self.handle.write(|tables| {
            let accounts = accounts(tables)?;
            for account in &accounts {
                if let Some(mut record) = tables.account(account.as_str())? {
                    record.generation = Uuid::new_v4().into_bytes();
                    tables.put_account(account.as_str(), &record)?;
                }
            }
            Ok((accounts.len() as u64, !accounts.is_empty()))
        })
    }
}

/// The names of all accounts.
pub(super) fn accounts<T: ReadableTable<Bytes, Bytes>>(tables: &Tables<T>) -> Result<Vec<Account>, Error> {
    let wrong = || Error::Damaged {
        what: "the list of accounts".to_owned(),
        why: "a name in it names no account".to_owned(),
    };
    let mut names = Vec::new();
    for row in tables.accounts.iter().map_err(engine)? {
        let (name, _) = row.map_err(engine)?;
        let name = std::str::from_utf8(name.value()).ok().and_then(|name| Account::new(name).ok());
        names.push(name.ok_or_else(wrong)?);
    }
    Ok(names)
}
