//! The authority itself: accounts, asks, and what is tried again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use std::cell::RefCell;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio_postgres::Row;
use uuid::Uuid;

use super::super::account::Account;
use super::super::accounts::{Authority, Error, refusal};
use super::super::answer::{ROWS_MAX, answer};
use super::super::deliver::Rules;
use super::connect::{Connections, Session};
use super::error::PostgresError;
use super::foresight::{Foresight, Wants};
use super::held::{Counter, Held};
use super::options::PostgresOptions;
use super::own::Own;
use super::pipeline::Call;
use super::reading::{asked, take};
use super::row::get;
use super::store::{CHANNEL, PostgresStore};
use super::tables::Tables;
use super::values::uncounted;
use super::{catalogue, migrate};
use crate::algebra::{
    Answer, Ask, BunchNumber, CollectionName, Digest, Epoch, Generation, LiveSet, Millis, Outcomes, Planned,
    ReplicaId, Schema,
};
use crate::codec::lines::Line;

/// How often what decided nothing is tried again.
const ATTEMPTS_MAX: u32 = 4;

/// How long the first of these waits; each further one twice as long.
const BACKOFF: Duration = Duration::from_millis(25);

/// How many accounts' numbers are remembered: some MiB.
const NUMBERS_MAX: usize = 50_000;

/// The runtime of an authority that brings its own has so many threads: they only pass bytes on.
const THREADS: usize = 2;

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
    /// Its own, unless it was given one.
    runtime: Option<Runtime>,
}

/// What every call needs.
pub(super) struct Shared {
    pub(super) connections: Connections,
    pub(super) schema: Schema,
    pub(super) tables: Tables,
    pub(super) own: Own,
    pub(super) channel: String,
    pub(super) triggers_max: u64,
    /// Which of the schemas that were served this one is.
    served: i64,
    /// The numbers of accounts, as they were when they were seen last.
    pub(super) numbers: Mutex<HashMap<Account, i64>>,
}

/// An account's row.
#[derive(Clone, Copy)]
struct Found {
    number: i64,
    generation: Generation,
    last_trigger: u64,
    triggers_from: u64,
}

impl PostgresAuthority {
    /// Opens the authority with a runtime of its own. The tables are made where they are missing, and follow the
    /// schema where that has changed: servers with an earlier one serve no writes from then on.
    ///
    /// # Errors
    /// A connection string or option that cannot be used; what PostgreSQL says; a schema that cannot be served, or
    /// with a unique key that does not hold among what is stored.
    ///
    /// # Panics
    /// In asynchronous code.
    pub fn open(url: &str, schema: Schema, options: PostgresOptions) -> Result<Self, Error> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("foldlog-postgres")
            .enable_all()
            .build()
            .map_err(|source| Error::Store { source: Box::new(source) })?;
        let opened = PostgresAuthority::open_on(runtime.handle().clone(), url, schema, options);
        match opened {
            Ok(mut authority) => {
                authority.runtime = Some(runtime);
                Ok(authority)
            }
            Err(error) => {
                runtime.shutdown_background();
                Err(error)
            }
        }
    }

    /// Opens the authority on a runtime that is there already, of several threads and with all drivers.
    ///
    /// # Errors
    /// As [`PostgresAuthority::open`].
    ///
    /// # Panics
    /// In asynchronous code.
    pub fn open_on(
        handle: Handle,
        url: &str,
        schema: Schema,
        options: PostgresOptions,
    ) -> Result<Self, Error> {
        options.check()?;
        let tables = Tables::new(&options.namespace, &schema)?;
        let connections = Connections::new(url, &options, handle)?;
        let mut shared = Shared {
            own: Own::new(&options.namespace),
            channel: channel(&options.namespace),
            triggers_max: options.triggers_max,
            served: 0,
            numbers: Mutex::default(),
            connections,
            schema,
            tables,
        };
        shared.served = again(|| {
            let mut session = shared.connections.patient_session()?;
            catalogue::require_server(&mut session)?;
            session.run("BEGIN")?;
            catalogue::bring_up(&mut session, &options.namespace)?;
            let (served, names) = migrate::follow(&mut session, &shared.tables, &shared.schema)?;
            session.said_last(&[Call::plain("COMMIT")])?;
            Ok((served, names))
        })
        .map(|(served, names)| {
            shared.tables.number(names);
            served
        })?;
        Ok(PostgresAuthority { shared: Arc::new(shared), runtime: None })
    }

    /// Opens an account's data for a caller that runs the rules itself; until it is committed or dropped, nobody else
    /// writes to the account.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub fn store(&self, account: &Account) -> Result<PostgresStore<'_>, PostgresError> {
        self.shared.writing(account, None)
    }

    /// How often an answer of PostgreSQL was waited for.
    #[must_use]
    pub fn round_trips(&self) -> u64 {
        self.shared.connections.round_trips.load(std::sync::atomic::Ordering::Relaxed)
    }
}

impl Drop for PostgresAuthority {
    fn drop(&mut self) {
        self.shared.connections.close();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Authority for PostgresAuthority {
    fn answer(&self, account: &Account, now: Millis, ask: &Ask) -> Result<Answer, Error> {
        let refuses = |planned: &Planned| refusal(&self.shared.schema, planned);
        let rules = Rules { schema: &self.shared.schema, now, refuses: &refuses };
        Ok(again(|| {
            let mut store = match ask {
                Ask::Deliver { .. } => self.shared.writing(account, Some(ask))?,
                Ask::Changes { .. } | Ask::Triggers { .. } | Ask::Reads { .. } | Ask::LiveSets { .. } => {
                    self.shared.reading(account, ask)?
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

impl Shared {
    /// An account's data to write to, with what an ask needs of it. The account is made where it is missing.
    pub(super) fn writing(
        &self,
        account: &Account,
        ask: Option<&Ask>,
    ) -> Result<PostgresStore<'_>, PostgresError> {
        let mut session = self.connections.session()?;
        let operations = match ask {
            Some(Ask::Deliver { bunch, .. }) => bunch.operations.as_slice(),
            Some(_) | None => &[],
        };
        let mut foresight = Foresight::new(&self.schema, operations);
        let first = foresight.wanted();
        let begin =
            || vec![Call::plain("BEGIN"), Call::new(&self.own.lock).with(account.as_str().to_owned())];
        let (found, held) = self.begun(&mut session, account, begin, ask, &first)?;
        let is_new = found.is_none();
        let (found, held) = match found {
            Some(found) => (found, held),
            None => {
                let make = Call::new(&self.own.make).with(account.as_str().to_owned()).with(Uuid::new_v4());
                let lock = Call::new(&self.own.lock).with(account.as_str().to_owned());
                let rows = session.said(&[make, lock])?;
                // Made and erased again by others, between the two.
                let Some(found) = found_in(rows.last())? else { return Err(overtaken()) };
                let held = self.held(&mut session, found, ask, &first)?;
                (found, held)
            }
        };
        let mut store = self.store(account, session, found, held);
        // A generation that was told is kept.
        store.has_written = is_new;
        store.foresee(foresight)?;
        Ok(store)
    }

    /// One snapshot of an account's data. The account is made where it is missing.
    fn reading(&self, account: &Account, ask: &Ask) -> Result<PostgresStore<'_>, PostgresError> {
        let mut session = self.connections.session()?;
        let mut first = Wants::default();
        if let Ask::Reads { keys } = ask {
            keys.iter().take(ROWS_MAX).for_each(|key| first.entity(key));
        }
        let begin = || {
            let begin = Call::plain("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
            vec![begin, Call::new(&self.own.find).with(account.as_str().to_owned())]
        };
        let (found, held) = self.begun(&mut session, account, begin, Some(ask), &first)?;
        if let Some(found) = found {
            return Ok(self.store(account, session, found, held));
        }
        session.end();
        let make = Call::new(&self.own.make).with(account.as_str().to_owned()).with(Uuid::new_v4());
        session.said_last(&[make])?;
        match self.begun(&mut session, account, begin, Some(ask), &first)? {
            (Some(found), held) => Ok(self.store(account, session, found, held)),
            (None, _) => Err(overtaken()),
        }
    }

    /// Begins a transaction and finds the account, reading at once what is needed of it where its number is known.
    fn begun(
        &self,
        session: &mut Session<'_>,
        account: &Account,
        begin: impl Fn() -> Vec<Call>,
        ask: Option<&Ask>,
        first: &Wants,
    ) -> Result<(Option<Found>, Held), PostgresError> {
        let known = self.numbers.lock().unwrap_or_else(PoisonError::into_inner).get(account).copied();
        let mut calls = begin();
        let beginning = calls.len();
        let mut held = Held::default();
        let mut askings = Vec::new();
        if let Some(number) = known {
            calls.extend(self.beginning(number, ask));
            let more = asked(&self.tables, number, first.clone(), &mut held);
            for (asking, call) in more {
                askings.push(asking);
                calls.push(call);
            }
        }
        let answers = session.said(&calls)?;
        let found = found_in(answers.get(beginning.saturating_sub(1)))?;
        let Some(found) = found else { return Ok((None, Held::default())) };
        if known != Some(found.number) {
            self.note(account, found.number);
            let held = self.held(session, found, ask, first)?;
            return Ok((Some(found), held));
        }
        let mut rest = answers.into_iter().skip(beginning);
        self.take_beginning(&mut held, found, ask, rest.next(), rest.next())?;
        for (asking, rows) in askings.into_iter().zip(rest) {
            take(&mut held, &self.schema, asking, &rows)?;
        }
        Ok((Some(found), held))
    }

    /// What is needed at first of an account that was found.
    fn held(
        &self,
        session: &mut Session<'_>,
        found: Found,
        ask: Option<&Ask>,
        first: &Wants,
    ) -> Result<Held, PostgresError> {
        let mut held = Held::default();
        let mut calls = self.beginning(found.number, ask);
        let (askings, more): (Vec<_>, Vec<_>) =
            asked(&self.tables, found.number, first.clone(), &mut held).into_iter().unzip();
        calls.extend(more);
        let mut answers = session.said(&calls)?.into_iter();
        self.take_beginning(&mut held, found, ask, answers.next(), answers.next())?;
        for (asking, rows) in askings.into_iter().zip(answers) {
            take(&mut held, &self.schema, asking, &rows)?;
        }
        Ok(held)
    }

    /// Which schema is served, whether the bunch was answered before, and how far everything is.
    fn beginning(&self, account: i64, ask: Option<&Ask>) -> Vec<Call> {
        let (replica, bunch) = recorded(ask);
        vec![self.answer_call(account, replica, bunch), Call::new(&self.own.counters).with(account)]
    }

    fn take_beginning(
        &self,
        held: &mut Held,
        found: Found,
        ask: Option<&Ask>,
        answer: Option<Vec<Row>>,
        counters: Option<Vec<Row>>,
    ) -> Result<(), PostgresError> {
        let answer = answer.unwrap_or_default();
        let served: i64 = match answer.first() {
            Some(row) => get(row, 0)?,
            None => return Err(PostgresError::damaged("the layout", "it is empty")),
        };
        let writes = match ask {
            None | Some(Ask::Deliver { .. }) => true,
            Some(Ask::Changes { .. } | Ask::Triggers { .. } | Ask::Reads { .. } | Ask::LiveSets { .. }) => {
                false
            }
        };
        if writes && served != self.served {
            return Err(PostgresError::OtherSchema);
        }
        held.answers.insert(recorded(ask), self.answer_of(&answer)?);
        (held.last_trigger, held.triggers_from) = (found.last_trigger, found.triggers_from);
        for row in counters.unwrap_or_default() {
            let number: i32 = get(&row, 0)?;
            // Another server may have made it; here it is not served.
            let Some(collection) = self.tables.names.get(&number) else { continue };
            held.counters.insert(collection.clone(), counter(&row)?);
        }
        Ok(())
    }

    pub(super) fn answer_call(&self, account: i64, replica: ReplicaId, bunch: BunchNumber) -> Call {
        Call::new(&self.own.answer).with(account).with(replica.0).with(bunch.0.cast_signed())
    }

    /// The recorded answer, if there is one.
    pub(super) fn answer_of(&self, rows: &[Row]) -> Result<Option<(Digest, Outcomes)>, PostgresError> {
        let Some(row) = rows.first() else { return Ok(None) };
        let (digest, outcomes): (Option<&[u8]>, Option<&str>) = (get(row, 1)?, get(row, 2)?);
        let Some((digest, outcomes)) = digest.zip(outcomes) else { return Ok(None) };
        let damaged = |why: String| PostgresError::damaged("a recorded answer", why);
        let digest = <[u8; 32]>::try_from(digest).map_err(|error| damaged(error.to_string()))?;
        let outcomes = Outcomes::from_line(outcomes).map_err(|error| damaged(error.to_string()))?;
        Ok(Some((Digest(digest), outcomes)))
    }

    fn store<'a>(
        &'a self,
        account: &Account,
        session: Session<'a>,
        found: Found,
        held: Held,
    ) -> PostgresStore<'a> {
        self.note(account, found.number);
        PostgresStore {
            shared: self,
            session: RefCell::new(session),
            account: found.number,
            generation: found.generation,
            held: RefCell::new(held),
            has_news: false,
            has_written: false,
        }
    }

    fn note(&self, account: &Account, number: i64) {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        if numbers.len() >= NUMBERS_MAX {
            numbers.clear();
        }
        numbers.insert(account.clone(), number);
    }
}

fn overtaken() -> PostgresError {
    let source = Box::new(super::error::Told("the account was erased meanwhile".to_owned()));
    PostgresError::Again { source }
}

/// Whose answer an ask needs; nobody's has the nil replica.
fn recorded(ask: Option<&Ask>) -> (ReplicaId, BunchNumber) {
    match ask {
        Some(Ask::Deliver { replica, bunch, .. }) => (*replica, bunch.number),
        Some(Ask::Changes { .. } | Ask::Triggers { .. } | Ask::Reads { .. } | Ask::LiveSets { .. })
        | None => (ReplicaId(Uuid::nil()), BunchNumber(0)),
    }
}

fn found_in(rows: Option<&Vec<Row>>) -> Result<Option<Found>, PostgresError> {
    let Some(row) = rows.and_then(|rows| rows.first()) else { return Ok(None) };
    Ok(Some(Found {
        number: get(row, 0)?,
        generation: Generation(get(row, 1)?),
        last_trigger: uncounted("a trigger's index", get(row, 2)?)?,
        triggers_from: uncounted("a trigger's index", get(row, 3)?)?,
    }))
}

fn counter(row: &Row) -> Result<Counter, PostgresError> {
    let damaged = |why: String| PostgresError::damaged("a live set's sum", why);
    let sum: &[u8] = get(row, 4)?;
    let sum = <[u8; 32]>::try_from(sum).map_err(|error| damaged(error.to_string()))?;
    let count = uncounted("a number of entities", get(row, 3)?)?;
    Ok(Counter {
        live: LiveSet { count, sum: Digest(sum) },
        last: Epoch(uncounted("an epoch", get(row, 1)?)?),
        floor: Epoch(uncounted("an epoch", get(row, 2)?)?),
    })
}

/// The collections there are, by their numbers.
pub(super) type Names = std::collections::BTreeMap<i32, CollectionName>;
