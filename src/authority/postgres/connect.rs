//! Connections: made on demand, kept for the next call, and set up so that nothing waits for ever.

use std::future::Future;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, TimeoutType,
};
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Config, NoTls, Row};

use super::error::{PostgresError, Told, told};
use super::options::PostgresOptions;
use super::pipeline::{Call, said, sent};

/// The way to PostgreSQL.
pub(super) struct Connections {
    /// Driven by whoever waits for an answer, so that none goes through another thread. None once it ends.
    runtime: Option<Runtime>,
    pool: Pool,
    config: Config,
    timeout: Duration,
    connect_timeout: Duration,
    /// How often an answer was waited for.
    pub(super) round_trips: AtomicU64,
}

impl Connections {
    pub(super) fn new(url: &str, options: &PostgresOptions) -> Result<Self, PostgresError> {
        let config = config(url, options)?;
        let runtime = Some(runtime()?);
        let settings = settings(options);
        // A way to encrypt goes in here, and where `watch` listens.
        let manager = Manager::from_config(
            config.clone(),
            NoTls,
            ManagerConfig { recycling_method: RecyclingMethod::Fast },
        );
        let set_up = Hook::async_fn(move |client: &mut deadpool_postgres::ClientWrapper, _| {
            let settings = settings.clone();
            Box::pin(async move { client.batch_execute(&settings).await.map_err(HookError::Backend) })
        });
        let pool = Pool::builder(manager)
            .max_size(options.connections)
            .runtime(deadpool_postgres::Runtime::Tokio1)
            .wait_timeout(Some(options.connect_timeout))
            .create_timeout(Some(options.connect_timeout))
            .recycle_timeout(Some(options.connect_timeout))
            .post_create(set_up)
            .build()
            .map_err(|error| PostgresError::Option { what: "the connections", why: error.to_string() })?;
        let (timeout, connect_timeout) = (options.timeout, options.connect_timeout);
        Ok(Connections { runtime, pool, config, timeout, connect_timeout, round_trips: AtomicU64::new(0) })
    }

    /// A connection that nobody else uses.
    pub(super) fn session(&self) -> Result<Session<'_>, PostgresError> {
        let waited = self.connect_timeout;
        let getting = async {
            // What happened to the connections since somebody last waited is seen first.
            tokio::task::yield_now().await;
            turn().await;
            self.pool.get().await.map_err(|error| refused(error, waited))
        };
        let client = self.wait(getting)?;
        let has_old_plans = plans_are_old(Object::metrics(&client).recycle_count);
        let timeout = Some(self.timeout);
        Ok(Session { client: Some(client), of: self, timeout, is_clean: true, has_old_plans })
    }

    /// The same, for what takes as long as it takes.
    pub(super) fn patient_session(&self) -> Result<Session<'_>, PostgresError> {
        let mut session = self.session()?;
        session.timeout = None;
        Ok(session)
    }

    /// How a connection of its own is made, outside of the pool.
    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(super) fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// Waits for what is done with the connections.
    fn wait<T>(&self, doing: impl Future<Output = Result<T, PostgresError>>) -> Result<T, PostgresError> {
        self.runtime.as_ref().ok_or_else(ended)?.block_on(doing)
    }

    /// Does what nobody waits for to have its effect, as far as it is sent.
    fn pass_on(
        &self,
        timeout: Option<Duration>,
        doing: impl Future<Output = ()>,
    ) -> Result<(), PostgresError> {
        let passing = async {
            doing.await;
            turn().await;
            Ok(())
        };
        self.wait(in_time(timeout, passing))
    }

    /// Ends all connections that are not in use, and refuses new ones.
    pub(super) fn close(&self) {
        self.pool.close();
    }
}

/// Lets everything that is ready have its turn: what is asked for now comes behind all of that, whichever thread it is
/// that drives.
async fn turn() {
    let _ = tokio::spawn(async {}).await;
}

impl Drop for Connections {
    fn drop(&mut self) {
        self.pool.close();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A runtime of the thread that waits on it.
pub(super) fn runtime() -> Result<Runtime, PostgresError> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| PostgresError::Unreachable { source: Box::new(error) })
}

/// One connection, for as long as a call takes. Dropped inside a transaction, the connection ends, and the
/// transaction with it.
pub(super) struct Session<'a> {
    client: Option<Object>,
    of: &'a Connections,
    timeout: Option<Duration>,
    is_clean: bool,
    has_old_plans: bool,
}

impl Session<'_> {
    /// Says all of it in one round trip; the rows of each.
    pub(super) fn said(&mut self, calls: &[Call]) -> Result<Vec<Vec<Row>>, PostgresError> {
        let Some(client) = &self.client else { return Err(ended()) };
        self.of.round_trips.fetch_add(1, Ordering::Relaxed);
        // Whatever comes of it, until it is known to have ended well.
        self.is_clean = false;
        if std::mem::take(&mut self.has_old_plans) {
            self.of.pass_on(self.timeout, sent(client, &Call::plain("DISCARD PLANS")))?;
        }
        self.of.wait(in_time(self.timeout, said(client, calls)))
    }

    /// The same, as the last that is said in a transaction.
    pub(super) fn said_last(&mut self, calls: &[Call]) -> Result<Vec<Vec<Row>>, PostgresError> {
        let rows = self.said(calls)?;
        self.is_clean = true;
        Ok(rows)
    }

    /// Says one thing.
    pub(super) fn asked(&mut self, call: Call) -> Result<Vec<Row>, PostgresError> {
        Ok(self.said(&[call])?.pop().unwrap_or_default())
    }

    /// Says what takes nothing, a whole script perhaps.
    pub(super) fn run(&mut self, script: &str) -> Result<(), PostgresError> {
        let Some(client) = &self.client else { return Err(ended()) };
        self.is_clean = false;
        let running = async { Ok(client.batch_execute(script).await?) };
        self.of.wait(in_time(self.timeout, running))
    }

    /// Ends a transaction in which nothing was written.
    pub(super) fn end(&mut self) {
        self.is_clean = self.client.is_some();
        self.tell(&Call::plain("ROLLBACK"));
    }

    /// Says what nobody waits for.
    pub(super) fn tell(&mut self, call: &Call) {
        if let Some(client) = &self.client {
            let told = self.of.pass_on(self.timeout, sent(client, call));
            // It is not known then what became of it.
            self.is_clean &= told.is_ok();
        }
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        if !self.is_clean
            && let Some(client) = self.client.take()
        {
            self.of.pass_on(None, async { drop(Object::take(client)) }).unwrap_or(());
        }
    }
}

/// How often a connection may be used with the plans that it has.
const USES_MAX: usize = 1_024;

/// Whether a connection that was used so often plans its statements anew. To an empty table every index is as good as
/// another, and a plan that was made then would go on reading all of the account: so plans are made often at first, and
/// again from time to time.
fn plans_are_old(uses: usize) -> bool {
    if uses < USES_MAX { uses.is_power_of_two() } else { uses.is_multiple_of(USES_MAX) }
}

fn ended() -> PostgresError {
    PostgresError::Unreachable { source: Box::new(Told("the connection was given up".to_owned())) }
}

async fn in_time<T>(
    most: Option<Duration>,
    doing: impl Future<Output = Result<T, PostgresError>>,
) -> Result<T, PostgresError> {
    let Some(most) = most else { return doing.await };
    // PostgreSQL gives up first if it can; this is for one that does nothing any more.
    match tokio::time::timeout(most.saturating_add(Duration::from_secs(1)), doing).await {
        Ok(done) => done,
        Err(_) => Err(PostgresError::TimedOut { waited_ms: millis(most) }),
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn refused(error: PoolError, waited: Duration) -> PostgresError {
    match error {
        PoolError::Timeout(TimeoutType::Wait) => PostgresError::Busy { waited_ms: millis(waited) },
        PoolError::Timeout(TimeoutType::Create | TimeoutType::Recycle) => {
            PostgresError::TimedOut { waited_ms: millis(waited) }
        }
        PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => error.into(),
        error @ (PoolError::Closed | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_)) => {
            PostgresError::Unreachable { source: Box::new(Told(told(&error))) }
        }
    }
}

fn config(url: &str, options: &PostgresOptions) -> Result<Config, PostgresError> {
    let mut config = Config::from_str(url)
        .map_err(|error| PostgresError::Option { what: "the connection string", why: told(&error) })?;
    // Later than the pool's own, which ends a call for good: a host that says nothing is not asked again and again.
    config.connect_timeout(options.connect_timeout.saturating_mul(2)).tcp_user_timeout(options.timeout);
    if config.get_application_name().is_none() {
        config.application_name("foldlog");
    }
    Ok(config)
}

/// What a connection is told when it is new. Every statement finds its rows by an index, so the planner is kept from
/// reading whole tables where it knows nothing of them yet.
fn settings(options: &PostgresOptions) -> String {
    let timeout_ms = millis(options.timeout).clamp(1, 2_000_000_000);
    format!(
        "SET statement_timeout = {timeout_ms}; SET lock_timeout = {timeout_ms}; SET \
         idle_in_transaction_session_timeout = {idle_ms}; SET search_path = pg_catalog; SET client_min_messages = \
         warning; SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET random_page_cost = \
         0.1; SET seq_page_cost = 0.1; SET jit = off; SET \
         plan_cache_mode = force_generic_plan; SELECT set_config('synchronous_commit', 'on', false) WHERE \
         current_setting('synchronous_commit') = 'off'",
        idle_ms = timeout_ms.saturating_mul(2),
    )
}
