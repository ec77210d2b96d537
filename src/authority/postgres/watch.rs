//! Watching: servers on one database wake each other.
//!
//! A commit that made triggers is followed by a notification, which says the account's number and nothing else. One
//! that is lost as connections break is made up for by waking everyone when it is listened again: whoever is woken looks
//! what there is. One that was never sent, as a server ended between the two, is made up for by the next.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_postgres::{AsyncMessage, NoTls};

use super::super::account::Account;
use super::super::accounts::Error;
use super::authority::{PostgresAuthority, Shared};
use super::connect::runtime;
use super::error::{PostgresError, Told};
use super::names::quoted;
use super::row::get;

/// How many notifications wait to be passed on; what is beyond wakes everyone instead.
const WAITING_MAX: usize = 10_000;

/// How many accounts' names are remembered.
const NAMES_MAX: usize = 50_000;

/// How long it waits before it listens again; longer after each failure, up to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// Who is to look what there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Woken {
    /// Whoever waits for something of this account.
    Account(Account),
    /// Whoever waits: something may have been missed.
    Everyone,
}

/// Watches until it is dropped.
#[derive(Debug)]
#[must_use = "dropped, it watches no longer"]
pub struct Watch {
    _until_dropped: oneshot::Sender<Infallible>,
}

impl PostgresAuthority {
    /// Calls `wake` after each commit that made triggers, of this server or of another one on the same namespace, and
    /// whenever something may have been missed. It is called on a thread of its own, which listens: so it must not block.
    ///
    /// # Errors
    /// A system that has no thread left.
    pub fn watch(&self, wake: impl Fn(Woken) + Send + Sync + 'static) -> Result<Watch, Error> {
        let shared = Arc::clone(&self.shared);
        let runtime = runtime()?;
        let (until_dropped, dropped) = oneshot::channel();
        let watching = move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = dropped => {}
                    _ = watched(&shared, &wake) => {}
                }
            });
        };
        let thread = std::thread::Builder::new().name("foldlog-watch".to_owned());
        thread.spawn(watching).map_err(|source| Error::Store { source: Box::new(source) })?;
        Ok(Watch { _until_dropped: until_dropped })
    }
}

/// Listens again and again.
async fn watched(shared: &Shared, wake: &(impl Fn(Woken) + Send + Sync)) -> Infallible {
    let mut wait = BACKOFF.0;
    loop {
        let mut has_listened = false;
        let Err(error) = listen(shared, wake, &mut has_listened).await;
        if has_listened {
            wait = BACKOFF.0;
        }
        tracing::debug!("listening to PostgreSQL, to be tried again: {error}");
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(BACKOFF.1);
    }
}

/// Listens until the connection ends.
async fn listen(
    shared: &Shared,
    wake: &(impl Fn(Woken) + Send + Sync),
    has_listened: &mut bool,
) -> Result<Infallible, PostgresError> {
    let lost = || PostgresError::Unreachable { source: Box::new(Told("the connection ended".to_owned())) };
    let connecting = shared.connections.config().connect(NoTls);
    let connected = tokio::time::timeout(shared.connections.connect_timeout(), connecting).await;
    let (client, mut connection) = connected.map_err(|_| lost())??;
    let (sender, mut waiting) = mpsc::channel(WAITING_MAX);
    let has_missed = Arc::new(AtomicBool::new(false));
    let missing = Arc::clone(&has_missed);
    // It ends with the connection, and the connection with the client.
    tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
            if let AsyncMessage::Notification(told) = message
                && sender.try_send(told.payload().to_owned()).is_err()
            {
                missing.store(true, Ordering::Relaxed);
            }
        }
    });
    client.batch_execute(&format!("LISTEN {}", quoted(&shared.channel))).await?;
    *has_listened = true;
    wake(Woken::Everyone);
    let find = client
        .prepare(&format!("SELECT name FROM {} WHERE number = $1", shared.tables.own("accounts")))
        .await?;
    let mut names: HashMap<i64, Account> = HashMap::new();
    while let Some(payload) = waiting.recv().await {
        if has_missed.swap(false, Ordering::Relaxed) {
            wake(Woken::Everyone);
        }
        // Anybody may notify.
        let Ok(number) = payload.parse::<i64>() else { continue };
        if let Some(account) = names.get(&number) {
            wake(Woken::Account(account.clone()));
            continue;
        }
        let Some(row) = client.query_opt(&find, &[&number]).await? else { continue };
        let Ok(account) = Account::new(get(&row, 0)?) else { continue };
        if names.len() >= NAMES_MAX {
            names.clear();
        }
        names.insert(number, account.clone());
        wake(Woken::Account(account));
    }
    Err(lost())
}
