//! The catalogue: which layout the tables have, and how an older one becomes this one.

use std::collections::BTreeSet;

use super::connect::Session;
use super::error::PostgresError;
use super::names::quoted;
use super::own::{STEPS, at};
use super::pipeline::Call;
use super::row::get;

/// The oldest server that has all that is asked of it.
const SERVER_MIN: i32 = 130_000;

/// Refuses a server on which nothing here would work.
pub(super) fn require_server(session: &mut Session<'_>) -> Result<(), PostgresError> {
    let text = "SELECT current_setting('server_version_num')::integer, current_setting('server_encoding')";
    let rows = session.asked(Call::new(text))?;
    let Some(row) = rows.first() else { return Err(PostgresError::damaged("the server's version", "none")) };
    let (version, encoding): (i32, &str) = (get(row, 0)?, get(row, 1)?);
    let why = if version < SERVER_MIN {
        format!("version {version} is older than {SERVER_MIN}, the oldest that will do")
    } else if encoding != "UTF8" {
        format!("its encoding is {encoding}; make one with the encoding UTF8")
    } else {
        return Ok(());
    };
    Err(PostgresError::Option { what: "the database", why })
}

/// Takes the namespace for this transaction, makes what is missing of it, and brings an older layout up.
pub(super) fn bring_up(session: &mut Session<'_>, namespace: &str) -> Result<(), PostgresError> {
    // Whoever starts at the same time waits here, and finds everything done.
    let lock = Call::new("SELECT pg_advisory_xact_lock($1)").with(lock_number(namespace));
    session.asked(lock)?;
    session.run("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0")?;
    let there = Call::new("SELECT FROM pg_namespace WHERE nspname = $1").with(namespace.to_owned());
    if session.asked(there)?.is_empty() {
        session.run(&format!("CREATE SCHEMA {}", quoted(namespace)))?;
    }
    let layout = format!("{}.layout", quoted(namespace));
    let found = session.asked(Call::new("SELECT to_regclass($1)::text").with(layout.clone()))?;
    let is_there = found.first().map(|row| get::<Option<&str>>(row, 0)).transpose()?.flatten().is_some();
    let done = if is_there { version(session, &layout)? } else { 0 };
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    if done > known {
        return Err(PostgresError::Newer { namespace: namespace.to_owned(), found: done, known });
    }
    for step in STEPS.iter().skip(usize::try_from(done).unwrap_or(0)) {
        session.run(&at(step, namespace))?;
    }
    if done < known {
        session.asked(Call::new(format!("UPDATE {layout} SET version = $1")).with(known))?;
    }
    Ok(())
}

/// The references, by the names of their constraints, that hold for all that is there.
pub(super) fn vouched(session: &mut Session<'_>, namespace: &str) -> Result<BTreeSet<String>, PostgresError> {
    let text = "SELECT conname::text FROM pg_constraint WHERE contype = 'f' AND convalidated AND connamespace = (SELECT \
                oid FROM pg_namespace WHERE nspname = $1)";
    let rows = session.asked(Call::new(text).with(namespace.to_owned()))?;
    rows.iter().map(|row| get(row, 0)).collect()
}

fn version(session: &mut Session<'_>, layout: &str) -> Result<i64, PostgresError> {
    let rows = session.asked(Call::new(format!("SELECT version FROM {layout}")))?;
    match rows.first() {
        Some(row) => get(row, 0),
        None => Err(PostgresError::damaged("the layout", "it is empty")),
    }
}

/// The advisory lock of a namespace.
fn lock_number(namespace: &str) -> i64 {
    let hash = blake3::hash(format!("foldlog {namespace}").as_bytes());
    hash.as_bytes().iter().take(8).fold(0_i64, |number, byte| (number << 8) | i64::from(*byte))
}
