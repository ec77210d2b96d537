//! Following a schema: tables, columns and constraints become what it asks for, and the catalogue says so.
//!
//! | the schema | the tables |
//! |---|---|
//! | names a new collection | one and its archive are made |
//! | has a new unique key or reference | columns are added and filled from the states, then the constraint; what breaks a key is named, and nothing is changed |
//! | lost one | the constraint goes, and a column that nothing needs any more |
//! | no longer names a collection | as if it had neither keys nor references; its rows stay, and are not served |
//!
//! All of it is one transaction, in which no account is written to.

use std::collections::{BTreeMap, BTreeSet};

use super::connect::Session;
use super::error::PostgresError;
use super::fill;
use super::make::{archiving, make};
use super::names::quoted;
use super::pipeline::Call;
use super::row::get;
use super::tables::{Names, Reference, Table, Tables};
use crate::algebra::{CollectionName, Schema};

/// What the catalogue says of one collection.
struct Known {
    name: CollectionName,
    live: String,
    columns: BTreeSet<String>,
    /// What kind each is of.
    constraints: BTreeMap<String, String>,
}

/// Makes the tables follow the schema; which of the schemas that were served it is, and the collections there are.
pub(super) fn follow(
    session: &mut Session<'_>,
    tables: &Tables,
    schema: &Schema,
) -> Result<(i64, Names), PostgresError> {
    let layout = tables.own("layout");
    let rows = session.asked(Call::new(format!("SELECT served, schema FROM {layout} FOR UPDATE")))?;
    let Some(row) = rows.first() else { return Err(PostgresError::damaged("the layout", "it is empty")) };
    let (served, followed): (i64, Option<&str>) = (get(row, 0)?, get(row, 1)?);
    let text = schema.to_json();
    if followed == Some(text.as_str()) {
        return Ok((served, names(&known(session, tables)?)));
    }
    // Writers end first, and those that come after notice.
    session.run(&format!("LOCK TABLE {} IN EXCLUSIVE MODE", tables.own("accounts")))?;
    session.run(
        "SET LOCAL enable_seqscan = on; SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on",
    )?;
    let before: BTreeSet<CollectionName> =
        known(session, tables)?.into_values().map(|known| known.name).collect();
    for (collection, table) in tables.of.iter().filter(|(collection, _)| !before.contains(*collection)) {
        make(session, tables, collection, table)?;
    }
    let known = known(session, tables)?;
    drop_what_is_not_wanted(session, tables, &known)?;
    add_what_is_missing(session, tables, schema, &known)?;
    let follows = Call::new(format!("UPDATE {layout} SET served = $1, schema = $2"));
    session.asked(follows.with(served.saturating_add(1)).with(text))?;
    Ok((served.saturating_add(1), names(&known)))
}

fn names(known: &BTreeMap<i32, Known>) -> Names {
    known.iter().map(|(number, known)| (*number, known.name.clone())).collect()
}

fn known(session: &mut Session<'_>, tables: &Tables) -> Result<BTreeMap<i32, Known>, PostgresError> {
    let mut all = BTreeMap::new();
    let text = format!("SELECT number, name, live FROM {}", tables.own("collections"));
    for row in session.asked(Call::new(text))? {
        let name = CollectionName::new(get(&row, 1)?)
            .map_err(|error| PostgresError::damaged("the catalogue of collections", error))?;
        let (columns, constraints) = (BTreeSet::new(), BTreeMap::new());
        all.insert(get(&row, 0)?, Known { name, live: get(&row, 2)?, columns, constraints });
    }
    for row in session.asked(Call::new(format!("SELECT collection, name FROM {}", tables.own("columns"))))? {
        if let Some(known) = all.get_mut(&get(&row, 0)?) {
            known.columns.insert(get(&row, 1)?);
        }
    }
    let text = format!("SELECT collection, name, kind FROM {}", tables.own("constraints"));
    for row in session.asked(Call::new(text))? {
        if let Some(known) = all.get_mut(&get(&row, 0)?) {
            known.constraints.insert(get(&row, 1)?, get(&row, 2)?);
        }
    }
    Ok(all)
}

/// What a table is to have: constraints by name, with what kind they are of.
fn wanted(table: Option<&Table>) -> (BTreeSet<&str>, BTreeSet<&str>) {
    let Some(table) = table else { return (BTreeSet::new(), BTreeSet::new()) };
    let columns = table.columns.iter().map(|column| column.name.as_str()).collect();
    let keys = table.keys.iter().map(|key| key.constraint.as_str());
    let references = table.references.iter();
    let references =
        references.flat_map(|reference| [reference.constraint.as_str(), reference.index.as_str()]);
    (columns, keys.chain(references).collect())
}

fn drop_what_is_not_wanted(
    session: &mut Session<'_>,
    tables: &Tables,
    known: &BTreeMap<i32, Known>,
) -> Result<(), PostgresError> {
    for (number, known) in known {
        let (columns, constraints) = wanted(tables.get(&known.name));
        for (name, kind) in known.constraints.iter().filter(|(name, _)| !constraints.contains(name.as_str()))
        {
            match kind.as_str() {
                "index" => session.run(&format!("DROP INDEX {}", tables.own(&quoted(name))))?,
                _ => session.run(&format!("ALTER TABLE {} DROP CONSTRAINT {}", known.live, quoted(name)))?,
            }
            let text =
                format!("DELETE FROM {} WHERE collection = $1 AND name = $2", tables.own("constraints"));
            session.asked(Call::new(text).with(*number).with(name.clone()))?;
        }
        let dropped: Vec<&String> =
            known.columns.iter().filter(|name| !columns.contains(name.as_str())).collect();
        for name in &dropped {
            session.run(&format!("ALTER TABLE {} DROP COLUMN {}", known.live, quoted(name)))?;
            let text = format!("DELETE FROM {} WHERE collection = $1 AND name = $2", tables.own("columns"));
            session.asked(Call::new(text).with(*number).with((*name).clone()))?;
        }
    }
    Ok(())
}

fn add_what_is_missing(
    session: &mut Session<'_>,
    tables: &Tables,
    schema: &Schema,
    known: &BTreeMap<i32, Known>,
) -> Result<(), PostgresError> {
    for (number, known) in known {
        let Some(table) = tables.get(&known.name) else { continue };
        let missing = table.columns.iter().filter(|column| !known.columns.contains(&column.name));
        let missing: Vec<_> = missing.collect();
        for column in &missing {
            let (of, collate) = (
                column.kind.sql_type(),
                if column.kind.sql_type() == "text" { " COLLATE \"C\"" } else { "" },
            );
            session.run(&format!(
                "ALTER TABLE {} ADD COLUMN {} {of}{collate}",
                table.live,
                quoted(&column.name)
            ))?;
            let text = format!(
                "INSERT INTO {} (collection, name, kind, field) VALUES ($1, $2, $3, $4)",
                tables.own("columns")
            );
            let call = Call::new(text).with(*number).with(column.name.clone());
            session.asked(call.with(column.kind.word()).with(as_json(&column.field)))?;
        }
        if !missing.is_empty() {
            fill::fill(session, schema, &known.name, table)?;
        }
        let columns: Vec<String> = table.columns.iter().map(|column| column.name.clone()).collect();
        session.run(&archiving(tables, &known.name, table, &columns))?;
    }
    // What filling left to be checked is checked now, as tables with open checks cannot be changed.
    session.run("SET CONSTRAINTS ALL IMMEDIATE")?;
    for (number, known) in known {
        let Some(table) = tables.get(&known.name) else { continue };
        for key in table.keys.iter().filter(|key| !known.constraints.contains_key(&key.constraint)) {
            fill::require_unique(session, tables, &known.name, table, key)?;
            let columns: Vec<String> = key.columns.iter().map(|column| quoted(column)).collect();
            session.run(&format!(
                "ALTER TABLE {} ADD CONSTRAINT {} UNIQUE (account, {}) DEFERRABLE INITIALLY DEFERRED",
                table.live,
                quoted(&key.constraint),
                columns.join(", ")
            ))?;
            note(session, tables, *number, &key.constraint, "unique", &key.fields)?;
        }
        for reference in &table.references {
            refer(session, tables, (*number, known), table, reference)?;
        }
    }
    Ok(())
}

fn refer(
    session: &mut Session<'_>,
    tables: &Tables,
    (number, known): (i32, &Known),
    table: &Table,
    reference: &Reference,
) -> Result<(), PostgresError> {
    let (live, column) = (&table.live, quoted(&reference.column));
    let fields = [reference.field.clone()];
    if !known.constraints.contains_key(&reference.index) {
        let index = quoted(&reference.index);
        session.run(&format!("CREATE INDEX {index} ON {live} (account, {column})"))?;
        note(session, tables, number, &reference.index, "index", &fields)?;
    }
    if !known.constraints.contains_key(&reference.constraint)
        && let Some(to) = tables.get(&reference.to)
    {
        let constraint = quoted(&reference.constraint);
        // Of what was there before the reference was declared, some may lead nowhere: then what is there already is
        // let be, and what is written from now on is checked.
        let astray = format!(
            "SELECT FROM ONLY {live} AS child WHERE {column} IS NOT NULL AND NOT EXISTS (SELECT FROM ONLY {} AS parent \
             WHERE parent.account = child.account AND parent.id = child.{column}) LIMIT 1",
            to.live
        );
        let is_whole = session.asked(Call::new(astray))?.is_empty();
        session.run(&format!(
            "ALTER TABLE {live} ADD CONSTRAINT {constraint} FOREIGN KEY (account, {column}) REFERENCES {} (account, \
             id) DEFERRABLE INITIALLY DEFERRED{}",
            to.live,
            if is_whole { "" } else { " NOT VALID" }
        ))?;
        note(session, tables, number, &reference.constraint, "foreign", &fields)?;
    }
    Ok(())
}

fn note(
    session: &mut Session<'_>,
    tables: &Tables,
    number: i32,
    name: &str,
    kind: &'static str,
    fields: &[String],
) -> Result<(), PostgresError> {
    let text = format!(
        "INSERT INTO {} (collection, name, kind, fields) VALUES ($1, $2, $3, $4)",
        tables.own("constraints")
    );
    let fields: Vec<String> = fields.iter().map(|field| as_json(field)).collect();
    let call = Call::new(text).with(number).with(name.to_owned()).with(kind);
    session.asked(call.with(format!("[{}]", fields.join(","))))?;
    Ok(())
}

/// A name as JSON: it may hold what text in PostgreSQL cannot.
fn as_json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
