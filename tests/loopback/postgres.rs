//! A server in this process, on PostgreSQL. What dies is PostgreSQL.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use foldlog::Uuid;
use foldlog::algebra::{CollectionName, Epoch, Schema};
use foldlog::authority::Account;
use foldlog::authority::postgres::{PostgresAuthority, PostgresOptions};
use foldlog::server::Running;
use foldlog::testing::postgres::Server;
use tokio_postgres::NoTls;

use crate::door::Door;
use crate::host::{ACCOUNT, Host};

/// The one server that is stopped and started here. Whoever does that has it alone.
pub(crate) struct Postgres {
    server: Server,
    is_down: Mutex<bool>,
}

static TURN: Mutex<()> = Mutex::new(());

/// The server, until it is somebody else's turn; none where PostgreSQL is not installed, which is said.
pub(crate) fn postgres(test: &str) -> Option<(&'static Postgres, MutexGuard<'static, ()>)> {
    static SHARED: OnceLock<Option<Postgres>> = OnceLock::new();
    // What a process has written survives that process: to wait for the disk is for those who cut its power.
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let started = SHARED.get_or_init(|| match Server::start(&[("fsync", "off")]) {
        Ok(server) => Some(Postgres { server, is_down: Mutex::new(false) }),
        Err(why) => {
            println!("no PostgreSQL: {why}");
            None
        }
    });
    match started {
        Some(postgres) => Some((postgres, turn)),
        None => {
            println!("skipped: {test}");
            None
        }
    }
}

impl Postgres {
    pub(crate) fn stop(&self) {
        let mut is_down = self.is_down.lock().unwrap();
        if !std::mem::replace(&mut *is_down, true) {
            self.server.stop_at_once().unwrap();
        }
    }

    pub(crate) fn start(&self) {
        let mut is_down = self.is_down.lock().unwrap();
        if std::mem::replace(&mut *is_down, false) {
            self.server.start_again().unwrap();
        }
    }

    fn url(&self, database: &str) -> String {
        self.server.url().replace("dbname=postgres", &format!("dbname={database}"))
    }

    /// Says something to the server, outside of all databases that are tested on.
    fn say(&self, statements: &[String]) {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let url = self.url("postgres");
        runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
            tokio::spawn(connection);
            for statement in statements {
                client.batch_execute(statement).await.unwrap();
            }
        });
    }
}

pub(crate) struct PostgresHost {
    postgres: &'static Postgres,
    database: String,
    schema: Schema,
    door: Door,
    served: Mutex<Option<Served>>,
}

struct Served {
    running: Running,
    authority: Arc<PostgresAuthority>,
}

impl PostgresHost {
    pub(crate) fn new(postgres: &'static Postgres, schema: Schema) -> Self {
        let database = format!("loopback_{}", Uuid::new_v4().simple());
        postgres.start();
        postgres.say(&[format!("CREATE DATABASE {database}")]);
        let host = PostgresHost { postgres, database, schema, door: Door::new(), served: Mutex::default() };
        host.live();
        host
    }

    fn served(&self, is_restored: bool) -> Served {
        let options = PostgresOptions::new().connections(8);
        let options = options.connect_timeout(Duration::from_secs(2)).timeout(Duration::from_secs(10));
        let url = self.postgres.url(&self.database);
        let authority = Arc::new(PostgresAuthority::open(&url, self.schema.clone(), options).unwrap());
        if is_restored {
            assert_eq!(authority.restored().unwrap(), 1);
        }
        Served { running: self.door.serve(authority.clone()), authority }
    }

    /// With nobody connected to either, makes one database as the other is.
    fn copy(&self, from: &str, to: &str) {
        self.postgres.start();
        self.postgres.say(&[
            format!("DROP DATABASE IF EXISTS {to} WITH (FORCE)"),
            format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{from}'"),
            format!("CREATE DATABASE {to} TEMPLATE {from}"),
        ]);
    }
}

impl Host for PostgresHost {
    fn address(&self) -> Option<SocketAddr> {
        self.served.lock().unwrap().as_ref().map(|served| served.running.address())
    }

    fn die(&self) {
        self.postgres.stop();
    }

    fn live(&self) -> SocketAddr {
        self.postgres.start();
        let mut served = self.served.lock().unwrap();
        served.get_or_insert_with(|| self.served(false)).running.address()
    }

    fn back_up(&self) {
        let mut served = self.served.lock().unwrap();
        drop(served.take());
        self.copy(&self.database, &format!("{}_copy", self.database));
        *served = Some(self.served(false));
    }

    fn restore(&self) {
        let mut served = self.served.lock().unwrap();
        drop(served.take());
        self.copy(&format!("{}_copy", self.database), &self.database);
        *served = Some(self.served(true));
    }

    fn prune(&self) {
        let served = self.served.lock().unwrap();
        let authority = &served.as_ref().unwrap().authority;
        let account = Account::new(ACCOUNT).unwrap();
        for (name, _) in self.schema.collections() {
            let name: &CollectionName = name;
            authority.prune(&account, name, Epoch(u64::MAX >> 1)).unwrap();
        }
    }

    fn token(&self) -> &str {
        &self.door.token
    }
}
