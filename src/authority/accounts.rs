//! An authority of many accounts: what a server stands on, whatever keeps the data.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use uuid::Uuid;

use super::account::Account;
use super::answer::answer;
use super::deliver::Rules;
use super::memory::MemoryStore;
use crate::algebra::{Answer, Ask, CollectionName, EntityKey, Generation, Millis, Planned, Schema};

/// What an authority could not do. Nothing of what was asked is kept then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// What keeps the data says no; it may say yes later.
    #[error("the authority's store: {source}")]
    Store {
        /// What it says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What is stored is not what was written.
    #[error("{what} is damaged: {why}; restore the authority's data from a backup")]
    Damaged {
        /// What it is.
        what: String,
        /// How that shows.
        why: String,
    },
    /// There is no such file.
    #[error("there is no authority's data at {}; create it to make some", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Another handle, perhaps of another process, has it open.
    #[error("the authority's data {place} are open elsewhere; close them there, or wait")]
    InUse {
        /// Which.
        place: String,
    },
    /// The file is something else, or was cut short.
    #[error(
        "{place} holds no authority's data, or is damaged beyond opening: {why}; if it did, keep it and restore a copy"
    )]
    NotAnAuthority {
        /// Which file.
        place: String,
        /// What gave it away.
        why: String,
    },
    /// The engine found its own pages damaged.
    #[error("the authority's file is damaged: {why}; restore the authority's data from a backup")]
    Corrupted {
        /// What it said.
        why: String,
    },
    /// A newer program wrote it.
    #[error("{what} was written by a newer program: {why}")]
    Newer {
        /// What it is.
        what: String,
        /// How that shows.
        why: String,
    },
    /// A unique key of the schema does not hold among what is stored.
    #[error(
        "the schema asks for unique keys that do not hold: {}; change these entities under the old schema first",
        listed(found)
    )]
    Duplicates {
        /// Who shares one, at most [`DUPLICATES_MAX`] of them.
        found: Vec<Duplicates>,
    },
    /// What is stored was made with a schema that this one does not follow on.
    #[error("the schema does not fit what is stored: {why}")]
    Schema {
        /// Why.
        why: String,
    },
}

/// The most duplicates that are listed: enough to see what they have in common.
pub const DUPLICATES_MAX: usize = 20;

/// Live entities of one account that share the values of a unique key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duplicates {
    /// Whose they are.
    pub account: Account,
    /// The fields of the key.
    pub unique: Vec<String>,
    /// Two that have the same values in them.
    pub holders: [EntityKey; 2],
}

fn listed(found: &[Duplicates]) -> String {
    let one = |Duplicates { account, unique, holders: [one, other] }: &Duplicates| {
        format!("{one} and {other} of account {account} share {}", unique.join(", "))
    };
    found.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// An authority of many accounts. Usable from any thread; a call blocks until it is done.
pub trait Authority: Send + Sync {
    /// Answers what a client of an account asks. What was written is durable when this returns. An account that was
    /// never heard of is made.
    ///
    /// # Errors
    /// What the store says; then nothing is kept.
    fn answer(&self, account: &Account, now: Millis, ask: &Ask) -> Result<Answer, Error>;

    /// Erases an account, so that no trace of it is left; whether there was one. Whoever comes later under its name
    /// finds another generation, and so starts over.
    ///
    /// # Errors
    /// What the store says; then nothing is erased.
    fn erase(&self, account: &Account) -> Result<bool, Error>;
}

/// Why an operation is refused before it is judged: where a schema names collections, there are no others.
pub(super) fn refusal(schema: &Schema, planned: &Planned) -> Option<String> {
    let collection: &CollectionName = planned.operation.key.collection();
    let is_known = schema.collections().next().is_none() || schema.collection(collection).is_some();
    (!is_known).then(|| format!("the authority's schema has no collection {collection}"))
}

/// An authority that forgets everything when it ends: for tests and demonstrations.
#[derive(Debug, Default)]
pub struct MemoryAuthority {
    schema: Schema,
    accounts: Mutex<HashMap<Account, MemoryStore>>,
}

impl MemoryAuthority {
    /// An empty one.
    #[must_use]
    pub fn new(schema: Schema) -> Self {
        MemoryAuthority { schema, accounts: Mutex::default() }
    }
}

impl Authority for MemoryAuthority {
    fn answer(&self, account: &Account, now: Millis, ask: &Ask) -> Result<Answer, Error> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let store = accounts
            .entry(account.clone())
            .or_insert_with(|| MemoryStore::new(self.schema.clone(), Generation(Uuid::new_v4())));
        let refuses = |planned: &Planned| refusal(&self.schema, planned);
        let rules = Rules { schema: &self.schema, now, refuses: &refuses };
        answer(store, &rules, ask).map_err(|never| match never {})
    }

    fn erase(&self, account: &Account) -> Result<bool, Error> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(accounts.remove(account).is_some())
    }
}
