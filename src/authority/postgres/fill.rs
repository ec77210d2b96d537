//! Filling new columns from the states, and looking for what breaks a new key.

use uuid::Uuid;

use super::connect::Session;
use super::error::PostgresError;
use super::names::quoted;
use super::pipeline::Call;
use super::row::{extras, get, push_extras, with_extras};
use super::tables::{Key, Table, Tables};
use super::values::Jsonb;
use crate::algebra::{CollectionName, EntityKey, Schema, State};

/// At most so many rows at once, and so many bytes of states.
const ROWS_MAX: i64 = 1_000;
const BYTES_MAX: i64 = 16 * 1024 * 1024;

/// The most holders of one key that are listed.
const LISTED_MAX: usize = 10;

/// Fills the columns of a table and its archive from their states.
pub(super) fn fill(
    session: &mut Session<'_>,
    schema: &Schema,
    collection: &CollectionName,
    table: &Table,
) -> Result<(), PostgresError> {
    let read = format!(
        "SELECT account, id, state, exact FROM (SELECT account, id, state, exact, state_bytes, sum(state_bytes) OVER \
         (ORDER BY account, id ROWS UNBOUNDED PRECEDING) AS so_far FROM {} WHERE (account, id) > ($1, $2) ORDER BY \
         account, id LIMIT {ROWS_MAX}) AS page WHERE so_far - state_bytes <= {BYTES_MAX} ORDER BY account, id",
        table.live
    );
    let columns: Vec<(String, &str)> =
        table.columns.iter().map(|column| (quoted(&column.name), column.kind.sql_type())).collect();
    let set: Vec<String> = columns.iter().map(|(column, _)| format!("{column} = given.{column}")).collect();
    let arrays: Vec<String> =
        (3..).zip(&columns).map(|(place, (_, of))| format!("${place}::{of}[]")).collect();
    let names: Vec<&str> = columns.iter().map(|(column, _)| column.as_str()).collect();
    let write = format!(
        "UPDATE {} AS held SET {} FROM unnest($1::bigint[], $2::uuid[], {}) AS given (account, id, {}) WHERE \
         held.account = given.account AND held.id = given.id",
        table.live,
        set.join(", "),
        arrays.join(", "),
        names.join(", ")
    );
    let mut after = (0_i64, Uuid::nil());
    loop {
        let rows = session.asked(Call::new(&read).with(after.0).with(after.1))?;
        let (mut accounts, mut ids, mut filled) = (Vec::new(), Vec::new(), extras(table));
        for row in &rows {
            let (account, id): (i64, Uuid) = (get(row, 0)?, get(row, 1)?);
            let (state, exact): (Option<Jsonb<&str>>, Option<&str>) = (get(row, 2)?, get(row, 3)?);
            let text = exact.or(state.map(|state| state.0)).unwrap_or("{}");
            let damaged = |error| PostgresError::damaged(format!("the row of {collection}/{id}"), error);
            let state = State::composed(text).map_err(damaged)?;
            let key = EntityKey::new(collection.clone(), id).map_err(damaged)?;
            push_extras(&mut filled, table, schema, &key, &state);
            accounts.push(account);
            ids.push(id);
            after = (account, id);
        }
        if rows.is_empty() {
            return Ok(());
        }
        session.asked(with_extras(Call::new(&write).with(accounts).with(ids), filled))?;
    }
}

/// Refuses a new key that does not hold, with who breaks it.
pub(super) fn require_unique(
    session: &mut Session<'_>,
    tables: &Tables,
    collection: &CollectionName,
    table: &Table,
    key: &Key,
) -> Result<(), PostgresError> {
    let columns: Vec<String> = key.columns.iter().map(|column| format!("held.{}", quoted(column))).collect();
    let given: Vec<String> = columns.iter().map(|column| format!("{column} IS NOT NULL")).collect();
    let columns = columns.join(", ");
    let text = format!(
        "SELECT account.name, concat_ws(', ', {columns}), array_agg(held.id ORDER BY held.id) FROM ONLY {} AS held JOIN \
         {} AS account ON account.number = held.account WHERE {} GROUP BY account.name, {columns} HAVING count(*) > 1 \
         ORDER BY 1, 2 LIMIT $1",
        table.live,
        tables.own("accounts"),
        given.join(" AND ")
    );
    let most = i64::try_from(LISTED_MAX).unwrap_or(i64::MAX);
    let rows = session.asked(Call::new(text).with(most.saturating_add(1)))?;
    if rows.is_empty() {
        return Ok(());
    }
    let mut broken = Vec::new();
    for row in rows.iter().take(LISTED_MAX) {
        let (account, values, ids): (&str, &str, Vec<Uuid>) = (get(row, 0)?, get(row, 1)?, get(row, 2)?);
        let ids: Vec<String> = ids.iter().take(LISTED_MAX).map(Uuid::to_string).collect();
        broken.push(format!("{values} of account {account} by {}", ids.join(" and ")));
    }
    let and_more = if rows.len() > LISTED_MAX { "; and more" } else { "" };
    let why = format!(
        "the unique key {:?} of {collection:?} is held more than once: {}{and_more}; change these entities under the \
         schema that was served before",
        key.fields,
        broken.join("; ")
    );
    Err(PostgresError::Schema { why })
}
