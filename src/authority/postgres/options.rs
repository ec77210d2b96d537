//! How an authority on PostgreSQL is opened.

use std::time::Duration;

use super::error::PostgresError;
use super::names::NAME_BYTES_MAX;

/// The most triggers that are kept of an account unless asked for otherwise: a client that missed more of them reads
/// what changed by its cursors, which costs it no more.
pub const TRIGGERS_MAX: u64 = 100_000;

/// How an authority on PostgreSQL is opened.
///
/// ```
/// use std::time::Duration;
/// use foldlog::authority::postgres::PostgresOptions;
/// let options = PostgresOptions::new().namespace("notes_app").connections(4).timeout(Duration::from_secs(3));
/// # let _ = options;
/// ```
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    pub(super) namespace: String,
    pub(super) connections: usize,
    pub(super) connect_timeout: Duration,
    pub(super) timeout: Duration,
    pub(super) triggers_max: u64,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        PostgresOptions {
            namespace: "foldlog".to_owned(),
            connections: 16,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(30),
            triggers_max: TRIGGERS_MAX,
        }
    }
}

impl PostgresOptions {
    /// The schema `foldlog` of the database, 16 connections, 5 s to connect, 30 s for an answer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// In which schema of the database all tables are, and nothing else; it is made where it is missing. At most 63
    /// bytes.
    #[must_use]
    pub fn namespace(mut self, name: impl Into<String>) -> Self {
        self.namespace = name.into();
        self
    }

    /// At most so many connections, one for each call that runs at the same time. At least 1. Bunches of one account are
    /// taken one after the other and wait without a connection, so that they leave the others to other accounts.
    #[must_use]
    pub fn connections(mut self, most: usize) -> Self {
        self.connections = most.max(1);
        self
    }

    /// How long a connection may take to come about, or to come free.
    #[must_use]
    pub fn connect_timeout(mut self, most: Duration) -> Self {
        self.connect_timeout = most;
        self
    }

    /// How long PostgreSQL may take to answer, time spent waiting for other writers of the account included.
    #[must_use]
    pub fn timeout(mut self, most: Duration) -> Self {
        self.timeout = most;
        self
    }

    /// At least so many of the last triggers of an account are kept, and at most a tenth more. At least 1.
    #[must_use]
    pub fn triggers(mut self, least: u64) -> Self {
        self.triggers_max = least.max(1);
        self
    }

    pub(super) fn check(&self) -> Result<(), PostgresError> {
        let name = &self.namespace;
        let why = if name.is_empty() {
            "it is empty"
        } else if name.len() > NAME_BYTES_MAX {
            "it has more than 63 bytes"
        } else if name.contains('\0') {
            "it holds a NUL"
        } else if name.starts_with("pg_") || name == "information_schema" {
            "PostgreSQL keeps it for itself"
        } else {
            return Ok(());
        };
        Err(PostgresError::Option { what: "the namespace", why: format!("{why}: {name:?}") })
    }
}
