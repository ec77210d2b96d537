//! A namespace of its own for each test, and what SQL says about it.

use foldlog::Uuid;
use foldlog::algebra::Schema;
use foldlog::authority::postgres::{PostgresAuthority, PostgresOptions};
use foldlog::authority::{Account, Error};
use foldlog::testing::postgres::{Server, shared};
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

pub(crate) struct Namespace {
    pub(crate) name: String,
    pub(crate) url: String,
    runtime: Runtime,
    client: Client,
}

impl Namespace {
    /// On the server that all tests share; none where there is none, which is said.
    pub(crate) fn of(test: &str) -> Option<Namespace> {
        match shared() {
            Some(server) => Some(Namespace::on(server)),
            None => {
                println!("skipped: {test}");
                None
            }
        }
    }

    pub(crate) fn on(server: &Server) -> Namespace {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let client = runtime.block_on(connected(server.url()));
        // Quotes and more, so that none is forgotten anywhere.
        let name = format!("a \"b' $1; {}", Uuid::new_v4().simple());
        Namespace { name, url: server.url().to_owned(), runtime, client }
    }

    pub(crate) fn options(&self) -> PostgresOptions {
        PostgresOptions::new().namespace(&self.name)
    }

    pub(crate) fn try_open(&self, schema: &str) -> Result<PostgresAuthority, Error> {
        PostgresAuthority::open(&self.url, Schema::from_json(schema).unwrap(), self.options())
    }

    pub(crate) fn open(&self, schema: &str) -> PostgresAuthority {
        self.try_open(schema).unwrap()
    }

    /// What a statement gives, as text; `NS.` stands for the namespace.
    pub(crate) fn sql(&self, text: &str) -> Vec<Vec<String>> {
        self.try_sql(text).unwrap()
    }

    pub(crate) fn try_sql(&self, text: &str) -> Result<Vec<Vec<String>>, tokio_postgres::Error> {
        let text = text.replace("NS.", &format!("{}.", self.quoted()));
        let messages = self.runtime.block_on(self.client.simple_query(&text))?;
        let rows = messages.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|place| row.get(place).unwrap_or("null").to_owned()).collect())
            }
            _ => None,
        });
        Ok(rows.collect())
    }

    fn quoted(&self) -> String {
        format!("\"{}\"", self.name.replace('"', "\"\""))
    }

    pub(crate) fn number(&self, text: &str) -> u64 {
        self.sql(text)[0][0].parse().unwrap()
    }

    /// The live table of a collection and its archive, as they stand in statements.
    pub(crate) fn tables_of(&self, collection: &str) -> [String; 2] {
        let found =
            self.sql(&format!("SELECT live, archive FROM NS.collections WHERE name = '{collection}'"));
        [found[0][0].clone(), found[0][1].clone()]
    }

    /// Every table of the namespace.
    pub(crate) fn tables(&self) -> Vec<String> {
        let name = self.name.replace('\'', "''");
        let text = format!(
            "SELECT quote_ident(relname) FROM pg_class JOIN pg_namespace ON relnamespace = pg_namespace.oid WHERE \
             nspname = '{name}' AND relkind = 'r'"
        );
        self.sql(&text).into_iter().map(|row| row[0].clone()).collect()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // On a server that stays, nothing is left behind; on one that was stopped there is nobody to say it to.
        let text = format!("SET statement_timeout = 5000; DROP SCHEMA IF EXISTS {} CASCADE", self.quoted());
        drop(self.try_sql(&text));
    }
}

async fn connected(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

pub(crate) fn account(name: &str) -> Account {
    Account::new(name).unwrap()
}
