//! The statements that are said to the tables of entities, made once of the names of their columns.

use super::names::quoted;
use super::tables::Column;

/// What every table of entities has, in the order in which it is read and written, behind the account.
pub(super) const ROW: [(&str, &str); 8] = [
    ("id", "uuid"),
    ("epoch", "bigint"),
    ("state_bytes", "integer"),
    ("state", "jsonb"),
    ("exact", "text"),
    ("marks", "bytea"),
    ("replica", "uuid"),
    ("bunch", "bigint"),
];

/// What is said to a table; `$1` is always the account.
#[derive(Debug)]
pub(super) struct Statements {
    /// The rows of these ids (`$2`).
    pub(super) rows: String,
    /// The rows above an epoch (`$2`), at most so many (`$3`), and no more than one behind so many bytes (`$4`).
    pub(super) page: String,
    /// Puts live rows in: an array a column. As are the next three.
    pub(super) insert: String,
    pub(super) update: String,
    /// Deletes live rows softly, so that they go to the archive.
    pub(super) delete: String,
    /// Puts rows into the archive that are there, or nowhere.
    pub(super) bury: String,
    /// Takes rows of these ids (`$2`) out of the archive.
    pub(super) unbury: String,
}

/// What is read of a row, `deleted` last.
pub(super) fn row_columns() -> String {
    let columns: Vec<&str> = ROW.iter().map(|(column, _)| *column).collect();
    format!("{}, deleted", columns.join(", "))
}

/// Finds who holds a key of these columns.
pub(super) fn holders(live: &str, columns: &[String]) -> String {
    let arrays: Vec<String> = (0..columns.len()).map(|place| format!("${}::text[]", place + 2)).collect();
    let wanted: Vec<String> = (0..columns.len()).map(|place| format!("wanted_{place}")).collect();
    let same: Vec<String> = columns
        .iter()
        .zip(&wanted)
        .map(|(column, wanted)| format!("held.{} = asked.{wanted}", quoted(column)))
        .collect();
    // `OFFSET 0` keeps the planner from beginning with all that the account has, of which it may know nothing yet.
    format!(
        "SELECT asked.place, held.id FROM unnest({}) WITH ORDINALITY AS asked ({}, place), LATERAL (SELECT id FROM ONLY \
         {live} AS held WHERE held.account = $1 AND {} OFFSET 0) AS held",
        arrays.join(", "),
        wanted.join(", "),
        same.join(" AND ")
    )
}

impl Statements {
    pub(super) fn new(live: &str, archive: &str, columns: &[Column]) -> Self {
        let all: Vec<(String, &str)> = ROW
            .iter()
            .map(|(column, of)| ((*column).to_owned(), *of))
            .chain(columns.iter().map(|column| (quoted(&column.name), column.kind.sql_type())))
            .collect();
        let join = |each: &dyn Fn(&str) -> String| {
            all.iter().map(|(column, _)| each(column)).collect::<Vec<_>>().join(", ")
        };
        let (names, given) = (join(&str::to_owned), join(&|column| format!("given.{column}")));
        let arrays: Vec<String> =
            (2..).zip(&all).map(|(place, (_, of))| format!("${place}::{of}[]")).collect();
        let given_rows = format!("unnest({}) AS given ({names})", arrays.join(", "));
        let set = join(&|column| format!("{column} = given.{column}"));
        let set_excluded = join(&|column| format!("{column} = excluded.{column}"));
        let row = row_columns();
        Statements {
            rows: format!("SELECT {row} FROM {live} WHERE account = $1 AND id = ANY ($2)"),
            page: format!(
                "SELECT {row} FROM (SELECT {row}, sum(state_bytes) OVER (ORDER BY epoch ROWS UNBOUNDED PRECEDING) AS \
                 so_far FROM {live} WHERE account = $1 AND epoch > $2 ORDER BY epoch LIMIT $3) AS page WHERE so_far - \
                 state_bytes <= $4 ORDER BY epoch"
            ),
            insert: format!("INSERT INTO {live} (account, {names}) SELECT $1, {given} FROM {given_rows}"),
            update: format!(
                "UPDATE ONLY {live} AS held SET {set} FROM {given_rows} WHERE held.account = $1 AND held.id = given.id"
            ),
            delete: format!(
                "UPDATE ONLY {live} AS held SET deleted = true, {set} FROM {given_rows} WHERE held.account = $1 AND \
                 held.id = given.id"
            ),
            bury: format!(
                "INSERT INTO {archive} (account, deleted, {names}) SELECT $1, true, {given} FROM {given_rows} ON \
                 CONFLICT (account, id) DO UPDATE SET archived = excluded.archived, {set_excluded}"
            ),
            unbury: format!("DELETE FROM {archive} WHERE account = $1 AND id = ANY ($2)"),
        }
    }
}
