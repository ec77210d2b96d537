//! Devices: a replica in memory each, and what they write.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use foldlog::Uuid;
use foldlog::algebra::{CollectionName, EntityKey, Operation, Patch, Schema, State};
use foldlog::client::{
    AsyncConnection, AsyncDriver, Connection, Credentials, Driver, Options, Phase, Status,
};
use foldlog::journal::{self, Durability};
use foldlog::replica::Replica;
use foldlog::sync;

use super::server::Server;

pub(crate) fn key(n: u128) -> EntityKey {
    EntityKey::new(CollectionName::new("notes").unwrap(), Uuid::from_u128(n)).unwrap()
}

pub(crate) fn create(n: u128) -> Operation {
    Operation::create(key(n), State::from_json(&format!(r#"{{"n":{n}}}"#)).unwrap())
}

pub(crate) fn patch(n: u128, json: &str) -> Operation {
    Operation::patch(key(n), Patch::from_json(json).unwrap())
}

pub(crate) fn replica() -> Replica {
    Replica::in_memory(journal::Options::new().schema(Schema::default())).unwrap()
}

pub(crate) fn commit(replica: &Replica, operations: &[Operation]) {
    replica.commit(operations, Durability::Durable).unwrap();
}

/// Short enough for a test, long enough for a slow machine.
pub(crate) fn options() -> Options {
    Options::new().connect_ms_max(5_000).silence_ms_max(5_000)
}

pub(crate) fn connection(server: &Server, options: Options) -> Connection {
    Connection::new(server.url.parse().unwrap(), Credentials::none(), options).unwrap()
}

pub(crate) fn driver(server: &Server, options: Options) -> Driver {
    Driver::new(replica(), sync::Options::default(), connection(server, options))
}

pub(crate) fn async_connection(server: &Server, options: Options) -> AsyncConnection {
    AsyncConnection::new(server.url.parse().unwrap(), Credentials::none(), options).unwrap()
}

pub(crate) fn async_driver(server: &Server, options: Options) -> AsyncDriver {
    AsyncDriver::new(replica(), sync::Options::default(), async_connection(server, options))
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A clock that stands still until it is moved.
#[derive(Clone, Default)]
pub(crate) struct Clock(Arc<AtomicU64>);

impl Clock {
    pub(crate) fn of(&self, options: Options) -> Options {
        self.0.store(1_700_000_000_000, Ordering::Relaxed);
        let clock = Arc::clone(&self.0);
        options.clock(move || clock.load(Ordering::Relaxed))
    }

    pub(crate) fn pass(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }
}

/// Everything that is seen of the entities, and everything that is unsent.
pub(crate) fn observed(replica: &Replica) -> String {
    let known = replica.known().unwrap();
    let seen: Vec<String> = known.iter().map(|key| format!("{key} {:?}", replica.entity(key))).collect();
    let journal = replica.journal();
    let unsent = (journal.plan().unwrap(), journal.open_bunch().unwrap(), journal.parked().unwrap());
    format!("{seen:?} {unsent:?} {:?}", replica.standing().unwrap().cursors)
}

/// Everything that is seen of the entities.
pub(crate) fn live(replica: &Replica) -> String {
    format!("{:?}", replica.list(key(1).collection()).unwrap())
}

pub(crate) fn is_idle(status: &Status) -> bool {
    status.phase == Phase::Idle
}

pub(crate) const SOON: Duration = Duration::from_secs(10);

/// Waits until it is so.
pub(crate) fn until(what: &str, is: impl Fn() -> bool) -> Duration {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < SOON, "it never happened: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
    begun.elapsed()
}
