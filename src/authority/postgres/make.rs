//! Making the table of a collection, its archive, and what moves rows from the one to the other.

use super::connect::Session;
use super::error::PostgresError;
use super::names::{name, quoted};
use super::pipeline::Call;
use super::statements::ROW;
use super::tables::{Table, Tables};
use crate::algebra::CollectionName;

/// Makes both, without what the schema asks for beside, and notes them in the catalogue.
pub(super) fn make(
    session: &mut Session<'_>,
    tables: &Tables,
    collection: &CollectionName,
    table: &Table,
) -> Result<(), PostgresError> {
    let (live, archive) = (&table.live, &table.archive);
    let not_null = |column: &str| !["state", "exact", "replica", "bunch"].contains(&column);
    let column = |(column, of): &(&str, &str)| {
        format!("{column} {of}{}", if not_null(column) { " NOT NULL" } else { "" })
    };
    let columns: Vec<String> = ROW.iter().map(column).collect();
    session.run(&format!(
        "CREATE TABLE {live} (account bigint NOT NULL, {}, deleted boolean NOT NULL DEFAULT false, CHECK ((state IS \
         NULL) <> (exact IS NULL)), PRIMARY KEY (account, id)); CREATE TABLE {archive} (archived timestamptz NOT NULL \
         DEFAULT now(), PRIMARY KEY (account, id)) INHERITS ({live}); CREATE INDEX ON {live} (account, epoch); CREATE \
         INDEX ON {archive} (account, epoch); CREATE INDEX ON {archive} (archived)",
        columns.join(", ")
    ))?;
    session.run(&archiving(tables, collection, table, &[]))?;
    session.run(&format!(
        "CREATE TRIGGER archives AFTER UPDATE OF deleted ON {live} FOR EACH ROW WHEN (NEW.deleted) EXECUTE FUNCTION \
         {}()",
        archiver(tables, collection)
    ))?;
    let text = format!("INSERT INTO {} (name, live, archive) VALUES ($1, $2, $3)", tables.own("collections"));
    let call = Call::new(text).with(collection.as_str().to_owned()).with(live.clone()).with(archive.clone());
    session.asked(call)?;
    Ok(())
}

fn archiver(tables: &Tables, collection: &CollectionName) -> String {
    tables.own(&quoted(&name("archives", &[collection.as_str()])))
}

/// The function that moves a row which was softly deleted to the archive, for a table with these columns beside the
/// common ones.
pub(super) fn archiving(
    tables: &Tables,
    collection: &CollectionName,
    table: &Table,
    columns: &[String],
) -> String {
    let common = ["account", "deleted"].into_iter().chain(ROW.iter().map(|(column, _)| *column));
    let all: Vec<String> =
        common.map(str::to_owned).chain(columns.iter().map(|column| quoted(column))).collect();
    let new: Vec<String> = all.iter().map(|column| format!("NEW.{column}")).collect();
    format!(
        "CREATE OR REPLACE FUNCTION {}() RETURNS trigger LANGUAGE plpgsql AS $body$ BEGIN INSERT INTO {} ({}) VALUES \
         ({}); DELETE FROM ONLY {} WHERE account = NEW.account AND id = NEW.id; RETURN NULL; END $body$",
        archiver(tables, collection),
        table.archive,
        all.join(", "),
        new.join(", "),
        table.live
    )
}
