//! Turns: who of this process writes to an account. One at a time, as PostgreSQL lets nobody else anyway: whoever waits
//! does so here, without a connection, so that one account's writers never hold all of them.

use std::collections::HashSet;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::super::account::Account;
use super::connect::millis;
use super::error::PostgresError;

/// The accounts that are written to.
#[derive(Default)]
pub(super) struct Turns {
    taken: Mutex<HashSet<Account>>,
    ended: Condvar,
}

/// The turn of who writes, until it is dropped.
pub(super) struct Turn<'t> {
    turns: &'t Turns,
    account: &'t Account,
}

impl Turns {
    /// Waits for a turn, for so long at most.
    pub(super) fn take<'t>(
        &'t self,
        account: &'t Account,
        most: Duration,
    ) -> Result<Turn<'t>, PostgresError> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.ended.wait_timeout_while(taken, most, |taken| taken.contains(account));
        let (mut taken, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            return Err(PostgresError::TimedOut { waited_ms: millis(most) });
        }
        taken.insert(account.clone());
        Ok(Turn { turns: self, account })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(self.account);
        // Of all accounts; there are at most as many as requests.
        self.turns.ended.notify_all();
    }
}
