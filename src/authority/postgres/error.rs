//! What PostgreSQL, or the way to it, can get wrong.

use std::error::Error as StdError;

use tokio_postgres::error::SqlState;

use super::super::accounts::Error;

/// What whoever said it says.
pub(super) type Source = Box<dyn StdError + Send + Sync>;

/// What an authority on PostgreSQL could not do. Nothing of what was asked is kept then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostgresError {
    /// The connection string, or an option, cannot be used.
    #[error("{what} cannot be used: {why}")]
    Option {
        /// What was given.
        what: &'static str,
        /// Why it cannot be used.
        why: String,
    },
    /// Nobody answers, or the connection ended.
    #[error(
        "PostgreSQL cannot be reached: {source}; see that it runs and that the connection string leads to it"
    )]
    Unreachable {
        /// What the network or the server says.
        source: Source,
    },
    /// All connections are in use.
    #[error(
        "no connection to PostgreSQL came free within {waited_ms} ms; try again later or allow more of them"
    )]
    Busy {
        /// How long it waited.
        waited_ms: u64,
    },
    /// No answer came in time.
    #[error("PostgreSQL gave no answer within {waited_ms} ms; try again later")]
    TimedOut {
        /// How long it waited.
        waited_ms: u64,
    },
    /// PostgreSQL gave up within the time that it was given: the statement was too long, or the account's other writers
    /// were.
    #[error("PostgreSQL gave up waiting: {source}; try again later")]
    GaveUp {
        /// What it says.
        source: Source,
    },
    /// Another transaction was in the way.
    #[error("PostgreSQL gave way to another transaction: {source}; try again")]
    Again {
        /// What it says.
        source: Source,
    },
    /// A constraint of a table does not hold, although the rules found nothing against it.
    #[error(
        "the constraint {constraint:?} of PostgreSQL does not hold: {source}; nothing was kept, report this"
    )]
    Conflict {
        /// Its name.
        constraint: String,
        /// What PostgreSQL says.
        source: Source,
    },
    /// PostgreSQL refused a statement.
    #[error("PostgreSQL refused: {source}")]
    Refused {
        /// What it says.
        source: Source,
    },
    /// A newer program made the tables.
    #[error(
        "the tables in {namespace:?} have layout {found}, which is newer than {known}, the newest that this program \
         knows; update foldlog"
    )]
    Newer {
        /// Where they are.
        namespace: String,
        /// The layout found.
        found: i64,
        /// The newest layout known.
        known: i64,
    },
    /// The schema cannot be served, or does not follow on what is stored.
    #[error("the schema cannot be served: {why}")]
    Schema {
        /// Why.
        why: String,
    },
    /// Another server was started with another schema, which the tables follow by now.
    #[error("the tables follow the schema of another server by now; start this one anew with that schema")]
    OtherSchema,
    /// What is stored is not what was written.
    #[error("{what} is damaged: {why}")]
    Damaged {
        /// What it is.
        what: String,
        /// How that shows.
        why: String,
    },
}

impl PostgresError {
    /// Whether the same may succeed at once, as nothing was decided.
    pub(super) fn is_worth_another_try(&self) -> bool {
        match self {
            PostgresError::Unreachable { .. } | PostgresError::Again { .. } => true,
            PostgresError::Option { .. }
            | PostgresError::Busy { .. }
            | PostgresError::TimedOut { .. }
            | PostgresError::GaveUp { .. }
            | PostgresError::Conflict { .. }
            | PostgresError::Refused { .. }
            | PostgresError::Newer { .. }
            | PostgresError::Schema { .. }
            | PostgresError::OtherSchema
            | PostgresError::Damaged { .. } => false,
        }
    }

    pub(super) fn damaged(what: impl Into<String>, why: impl ToString) -> Self {
        PostgresError::Damaged { what: what.into(), why: why.to_string() }
    }
}

impl From<tokio_postgres::Error> for PostgresError {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(said) = error.as_db_error() else {
            let source = Box::new(Told(told(&error)));
            // A value that does not go in or out is no matter of the connection.
            return if error.is_closed() || is_of_the_network(&error) {
                PostgresError::Unreachable { source }
            } else {
                PostgresError::Refused { source }
            };
        };
        let code = said.code();
        let constraint = said.constraint().unwrap_or("without a name").to_owned();
        let source = Box::new(Told(told(&error)));
        let ends = [
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::CANNOT_CONNECT_NOW,
            SqlState::TOO_MANY_CONNECTIONS,
            SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        ];
        if ends.contains(code) || code.code().starts_with("08") {
            PostgresError::Unreachable { source }
        } else if [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED].contains(code) {
            PostgresError::Again { source }
        } else if [SqlState::QUERY_CANCELED, SqlState::LOCK_NOT_AVAILABLE].contains(code) {
            PostgresError::GaveUp { source }
        } else if code.code().starts_with("23") {
            PostgresError::Conflict { constraint, source }
        } else {
            PostgresError::Refused { source }
        }
    }
}

impl From<PostgresError> for Error {
    fn from(error: PostgresError) -> Self {
        match error {
            PostgresError::Damaged { what, why } => Error::Damaged { what, why },
            PostgresError::Schema { why } => Error::Schema { why },
            error @ PostgresError::OtherSchema => Error::Schema { why: error.to_string() },
            error @ (PostgresError::Option { .. }
            | PostgresError::Unreachable { .. }
            | PostgresError::Busy { .. }
            | PostgresError::TimedOut { .. }
            | PostgresError::GaveUp { .. }
            | PostgresError::Again { .. }
            | PostgresError::Conflict { .. }
            | PostgresError::Refused { .. }
            | PostgresError::Newer { .. }) => Error::Store { source: Box::new(error) },
        }
    }
}

/// The words of an error that is known only to the layer below.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Told(pub(super) String);

/// An error with all that is behind it, in one line.
pub(super) fn told(error: &dyn StdError) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(behind) = source {
        let more = behind.to_string();
        if !words.contains(&more) {
            words.push_str(": ");
            words.push_str(&more);
        }
        source = behind.source();
    }
    words
}

fn is_of_the_network(error: &dyn StdError) -> bool {
    let mut source = error.source();
    while let Some(behind) = source {
        if behind.is::<std::io::Error>() {
            return true;
        }
        source = behind.source();
    }
    // What could not connect at all has words alone.
    ["error connecting", "error communicating", "timeout"]
        .iter()
        .any(|words| error.to_string().contains(words))
}
