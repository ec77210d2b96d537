//! The authority itself: accounts, asks, and what is tried again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::super::account::Account;
use super::super::accounts::{Authority, Error, refusal};
use super::super::answer::answer;
use super::super::deliver::Rules;
use super::connect::Connections;
use super::error::PostgresError;
use super::options::PostgresOptions;
use super::own::Own;
use super::pipeline::Call;
use super::store::{CHANNEL, PostgresStore};
use super::tables::Tables;
use super::turns::Turns;
use super::{catalogue, migrate};
use crate::algebra::{Answer, Ask, Millis, Planned, Schema};

/// How often what decided nothing is tried again.
const ATTEMPTS_MAX: u32 = 4;

/// How long the first of these waits; each further one twice as long.
const BACKOFF: Duration = Duration::from_millis(25);

/// An authority that keeps its data in PostgreSQL, 13 or newer.
///
/// Its calls block. From asynchronous code they belong into a thread for blocking work, such as tokio's
/// `spawn_blocking` gives.
///
/// ```no_run
/// use foldlog::algebra::Schema;
/// use foldlog::authority::postgres::{PostgresAuthority, PostgresOptions};
/// let schema = Schema::from_json(r#"{"collections":{"notes":{"unique":[["title"]]}}}"#)?;
/// let options = PostgresOptions::new();
/// let authority = PostgresAuthority::open("postgres://app@localhost/app", schema, options)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct PostgresAuthority {
    pub(super) shared: Arc<Shared>,
}

/// What every call needs.
pub(super) struct Shared {
    pub(super) connections: Connections,
    pub(super) turns: Turns,
    pub(super) schema: Schema,
    pub(super) tables: Tables,
    pub(super) own: Own,
    pub(super) channel: String,
    pub(super) triggers_max: u64,
    /// Which of the schemas that were served this one is.
    pub(super) served: i64,
    /// The numbers of accounts, as they were when they were seen last.
    pub(super) numbers: Mutex<HashMap<Account, i64>>,
}

impl PostgresAuthority {
    /// Opens the authority. The tables are made where they are missing, and follow the schema where that has changed:
    /// servers with an earlier one serve no writes from then on.
    ///
    /// # Errors
    /// A connection string or option that cannot be used; what PostgreSQL says; a schema that cannot be served, or
    /// with a unique key that does not hold among what is stored.
    ///
    /// # Panics
    /// In asynchronous code, as all calls do.
    pub fn open(url: &str, schema: Schema, options: PostgresOptions) -> Result<Self, Error> {
        options.check()?;
        let tables = Tables::new(&options.namespace, &schema)?;
        let connections = Connections::new(url, &options)?;
        let mut shared = Shared {
            own: Own::new(&options.namespace),
            channel: channel(&options.namespace),
            triggers_max: options.triggers_max,
            served: 0,
            numbers: Mutex::default(),
            turns: Turns::default(),
            connections,
            schema,
            tables,
        };
        let (served, names, vouched) = again(|| {
            let mut session = shared.connections.patient_session()?;
            catalogue::require_server(&mut session)?;
            session.run("BEGIN")?;
            catalogue::bring_up(&mut session, &options.namespace)?;
            let (served, names) = migrate::follow(&mut session, &shared.tables, &shared.schema)?;
            let vouched = catalogue::vouched(&mut session, &options.namespace)?;
            session.said_last(&[Call::plain("COMMIT")])?;
            Ok((served, names, vouched))
        })?;
        shared.served = served;
        shared.tables.number(names);
        shared.tables.vouched(&vouched);
        Ok(PostgresAuthority { shared: Arc::new(shared) })
    }

    /// Opens an account's data for a caller that runs the rules itself; until it is committed or dropped, nobody else
    /// writes to the account.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub fn store(&self, account: &Account) -> Result<PostgresStore<'_>, PostgresError> {
        again(|| self.shared.writing(account, None))
    }

    /// How often an answer of PostgreSQL was waited for.
    #[must_use]
    pub fn round_trips(&self) -> u64 {
        self.shared.connections.round_trips.load(std::sync::atomic::Ordering::Relaxed)
    }
}

impl Drop for PostgresAuthority {
    fn drop(&mut self) {
        // Whoever watches may go on.
        self.shared.connections.close();
    }
}

impl Authority for PostgresAuthority {
    fn answer(&self, account: &Account, now: Millis, ask: &Ask) -> Result<Answer, Error> {
        let refuses = |planned: &Planned| refusal(&self.shared.schema, planned);
        let rules = Rules { schema: &self.shared.schema, now, refuses: &refuses };
        Ok(again(|| {
            let (_turn, mut store) = match ask {
                Ask::Deliver { .. } => {
                    // Before a connection.
                    let turn = self.shared.turns.take(account, self.shared.connections.timeout())?;
                    (Some(turn), self.shared.writing(account, Some(ask))?)
                }
                Ask::Changes { .. } | Ask::Triggers { .. } | Ask::Reads { .. } | Ask::LiveSets { .. } => {
                    (None, self.shared.reading(account, ask)?)
                }
            };
            let answer = answer(&mut store, &rules, ask)?;
            store.finish()?;
            Ok(answer)
        })?)
    }

    fn erase(&self, account: &Account) -> Result<bool, Error> {
        Ok(again(|| self.shared.erase(account))?)
    }
}

/// Does what may have to be done again, as nothing was decided: a transaction that gave way to another one, a
/// connection that was lost. (Was it lost while it committed, the same bunch is answered from the record.)
pub(super) fn again<T>(mut doing: impl FnMut() -> Result<T, PostgresError>) -> Result<T, PostgresError> {
    let mut wait = BACKOFF;
    for _ in 1..ATTEMPTS_MAX {
        match doing() {
            Err(error) if error.is_worth_another_try() => {
                tracing::debug!("PostgreSQL, to be tried again: {error}");
                std::thread::sleep(wait);
                wait *= 2;
            }
            done => return done,
        }
    }
    doing()
}

/// The channel of a namespace.
fn channel(namespace: &str) -> String {
    super::names::name(CHANNEL, &[namespace])
}
