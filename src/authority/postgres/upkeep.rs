//! Upkeep: erasing an account, forgetting old tombstones, telling a restored copy from what it was copied from.

use std::sync::PoisonError;
use std::time::Duration;

use super::super::account::Account;
use super::super::accounts::Error;
use super::authority::{PostgresAuthority, Shared, again};
use super::error::PostgresError;
use super::pipeline::Call;
use super::row::get;
use super::values::{compared, uncounted};
use crate::algebra::{CollectionName, Epoch};

impl PostgresAuthority {
    /// Forgets an account's tombstones of a collection up to an epoch, inclusive; how many. A client that read less than
    /// that has to start over, as it may have missed them.
    ///
    /// # Errors
    /// A collection that the schema does not name; what PostgreSQL says.
    pub fn prune(&self, account: &Account, collection: &CollectionName, until: Epoch) -> Result<u64, Error> {
        Ok(again(|| self.shared.prune(account.as_str(), collection, until))?)
    }

    /// Forgets the tombstones of all accounts that are older than this; how many.
    ///
    /// # Errors
    /// What PostgreSQL says; what was forgotten before stays forgotten.
    pub fn prune_older_than(&self, age: Duration) -> Result<u64, Error> {
        let mut forgotten = 0;
        for collection in self.shared.tables.of.keys() {
            for (account, until) in again(|| self.shared.older_than(collection, age))? {
                forgotten += again(|| self.shared.prune(&account, collection, until))?;
            }
        }
        Ok(forgotten)
    }

    /// Says that the database was restored from an older copy; how many accounts it has. What it held since the copy is
    /// gone, and its epochs are given out anew, so every client has to start over, keeping what it has not sent.
    ///
    /// # Errors
    /// What PostgreSQL says; then nothing has changed.
    pub fn restored(&self) -> Result<u64, Error> {
        Ok(again(|| {
            let mut session = self.shared.connections.patient_session()?;
            let text = format!(
                "WITH changed AS (UPDATE {} SET generation = gen_random_uuid() RETURNING 1) SELECT count(*) FROM changed",
                self.shared.tables.own("accounts")
            );
            let patience = Call::plain("SET LOCAL statement_timeout = 0");
            let calls = [Call::plain("BEGIN"), patience, Call::new(text), Call::plain("COMMIT")];
            let answers = session.said_last(&calls)?;
            let row = answers.get(2).and_then(|rows| rows.first());
            row.map_or(Ok(0), |row| uncounted("a number of accounts", get(row, 0)?))
        })?)
    }
}

impl Shared {
    pub(super) fn erase(&self, account: &Account) -> Result<bool, PostgresError> {
        let mut session = self.connections.patient_session()?;
        let lock = Call::new(&self.own.lock).with(account.as_str().to_owned());
        let patience = Call::plain("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0");
        // Collections that are no longer served are the account's, too.
        let tables = Call::new(format!("SELECT live FROM {}", self.tables.own("collections")));
        let answers = session.said(&[Call::plain("BEGIN"), patience, lock, tables])?;
        let number: Option<i64> =
            answers.get(2).and_then(|rows| rows.first()).map(|row| get(row, 0)).transpose()?;
        let Some(number) = number else {
            session.end();
            return Ok(false);
        };
        let mut calls = Vec::new();
        for row in answers.get(3).into_iter().flatten() {
            let live: &str = get(row, 0)?;
            calls.push(Call::new(format!("DELETE FROM {live} WHERE account = $1")).with(number));
        }
        for own in ["counters", "answers", "triggers"] {
            let text = format!("DELETE FROM {} WHERE account = $1", self.tables.own(own));
            calls.push(Call::new(text).with(number));
        }
        let text = format!("DELETE FROM {} WHERE number = $1", self.tables.own("accounts"));
        calls.push(Call::new(text).with(number));
        calls.push(Call::plain("COMMIT"));
        session.said_last(&calls)?;
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner).remove(account);
        Ok(true)
    }

    fn prune(&self, account: &str, collection: &CollectionName, until: Epoch) -> Result<u64, PostgresError> {
        let table = self.tables.require(collection)?;
        let mut session = self.connections.patient_session()?;
        let lock = Call::new(&self.own.lock).with(account.to_owned());
        let answers = session.said(&[Call::plain("BEGIN"), lock])?;
        let number: Option<i64> =
            answers.get(1).and_then(|rows| rows.first()).map(|row| get(row, 0)).transpose()?;
        let Some(number) = number else {
            session.end();
            return Ok(0);
        };
        let floor = Call::new(format!(
            "UPDATE {} SET floor = greatest(floor, least(last_epoch, $3)) WHERE account = $1 AND collection = $2",
            self.tables.own("counters")
        ));
        let forget = Call::new(format!(
            "WITH gone AS (DELETE FROM {} WHERE account = $1 AND epoch <= $2 RETURNING 1) SELECT count(*) FROM gone",
            table.archive
        ));
        let until = compared(until.0);
        let answers = session.said_last(&[
            Call::plain("SET LOCAL statement_timeout = 0"),
            floor.with(number).with(table.number).with(until),
            forget.with(number).with(until),
            Call::plain("COMMIT"),
        ])?;
        let row = answers.get(2).and_then(|rows| rows.first());
        row.map_or(Ok(0), |row| uncounted("a number of tombstones", get(row, 0)?))
    }

    /// The accounts that have older tombstones, and up to which epoch.
    fn older_than(
        &self,
        collection: &CollectionName,
        age: Duration,
    ) -> Result<Vec<(String, Epoch)>, PostgresError> {
        let table = self.tables.require(collection)?;
        let mut session = self.connections.patient_session()?;
        let text = format!(
            "SELECT account.name, max(archived.epoch) FROM {} AS archived JOIN {} AS account ON account.number = \
             archived.account WHERE archived.archived < now() - make_interval(secs => $1) GROUP BY account.name",
            table.archive,
            self.tables.own("accounts")
        );
        let rows = session.said_last(&[Call::new(text).with(age.as_secs_f64())])?;
        let row = |row: &tokio_postgres::Row| Ok((get(row, 0)?, Epoch(uncounted("an epoch", get(row, 1)?)?)));
        rows.iter().flatten().map(row).collect()
    }
}
