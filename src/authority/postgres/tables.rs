//! The tables of a schema's collections: what they are called, which columns they have, and the statements that the
//! authority says to them.
//!
//! | table | holds |
//! |---|---|
//! | of a collection | what is live; unique keys and references are constraints of it |
//! | its archive, which inherits from it | the tombstones, with their last states |
//!
//! A statement that names the first with `ONLY` reads what is live, one without `ONLY` both.

use std::collections::BTreeMap;

use super::authority::Names;
use super::error::PostgresError;
use super::names::{name, quoted};
use crate::algebra::{Collection, CollectionName, Schema};

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

/// The most columns of one index, the account's taken off.
const KEY_FIELDS_MAX: usize = 31;

/// The tables of a schema, in one namespace.
#[derive(Debug)]
pub(super) struct Tables {
    /// The namespace as it stands in statements.
    pub(super) namespace: String,
    pub(super) of: BTreeMap<CollectionName, Table>,
    /// All collections there ever were, by their numbers.
    pub(super) names: Names,
}

/// The table of one collection.
#[derive(Debug)]
pub(super) struct Table {
    /// In the catalogue; 0 before it has one.
    pub(super) number: i32,
    pub(super) live: String,
    pub(super) archive: String,
    pub(super) columns: Vec<Column>,
    pub(super) keys: Vec<Key>,
    pub(super) references: Vec<Reference>,
    pub(super) says: Statements,
}

/// A column for what a schema names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) field: String,
    pub(super) kind: ColumnKind,
}

/// What a column holds of its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ColumnKind {
    /// Its value, for a unique key.
    Value,
    /// The id that it refers to.
    Reference,
}

/// A unique key.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) fields: Vec<String>,
    /// The names of their columns.
    pub(super) columns: Vec<String>,
    pub(super) constraint: String,
    /// Finds who holds one: `$1` the account, then an array a field. Gives the place in the arrays, and the id.
    pub(super) holders: String,
}

/// A reference.
#[derive(Debug)]
pub(super) struct Reference {
    pub(super) field: String,
    pub(super) to: CollectionName,
    pub(super) column: String,
    pub(super) constraint: String,
    pub(super) index: String,
    /// Finds who refers: `$1` the account, `$2` the ids referred to. Gives the row, and the id that it refers to.
    pub(super) referrers: String,
}

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

impl ColumnKind {
    pub(super) fn sql_type(self) -> &'static str {
        match self {
            ColumnKind::Value => "text",
            ColumnKind::Reference => "uuid",
        }
    }

    /// As the catalogue names it.
    pub(super) fn word(self) -> &'static str {
        match self {
            ColumnKind::Value => "value",
            ColumnKind::Reference => "reference",
        }
    }
}

impl Tables {
    /// The tables that a schema asks for, as yet without numbers.
    ///
    /// # Errors
    /// A schema that names nothing, or a key that no index takes.
    pub(super) fn new(namespace: &str, schema: &Schema) -> Result<Self, PostgresError> {
        let namespace = quoted(namespace);
        let mut of = BTreeMap::new();
        for (collection, declared) in schema.collections() {
            of.insert(collection.clone(), Table::new(&namespace, collection, declared)?);
        }
        if of.is_empty() {
            let why = "it names no collection, and only what is named has a table; name them all".to_owned();
            return Err(PostgresError::Schema { why });
        }
        Ok(Tables { namespace, of, names: Names::new() })
    }

    /// A table or the like of the authority's own, as it stands in statements.
    pub(super) fn own(&self, name: &str) -> String {
        format!("{}.{name}", self.namespace)
    }

    /// Takes the numbers that the catalogue gives to all collections there ever were.
    pub(super) fn number(&mut self, names: Names) {
        for (number, name) in &names {
            if let Some(table) = self.of.get_mut(name) {
                table.number = *number;
            }
        }
        self.names = names;
    }

    pub(super) fn get(&self, collection: &CollectionName) -> Option<&Table> {
        self.of.get(collection)
    }
}

impl Table {
    fn new(
        namespace: &str,
        collection: &CollectionName,
        declared: &Collection,
    ) -> Result<Self, PostgresError> {
        let of = collection.as_str();
        let (live, archive) = (name("live", &[of]), name("archive", &[of]));
        let [live, archive] = [live, archive].map(|table| format!("{namespace}.{}", quoted(&table)));
        let mut columns: Vec<Column> = Vec::new();
        let mut column = |field: &str, kind: ColumnKind| {
            let made = Column { name: name(kind.word(), &[field]), field: field.to_owned(), kind };
            let name = made.name.clone();
            if !columns.contains(&made) {
                columns.push(made);
            }
            name
        };
        let mut keys: Vec<Key> = Vec::new();
        for fields in declared.unique_keys().filter(|fields| !fields.is_empty()) {
            if fields.len() > KEY_FIELDS_MAX {
                let why = format!(
                    "a unique key of {of:?} has {} fields, and an index takes {KEY_FIELDS_MAX}; name fewer",
                    fields.len()
                );
                return Err(PostgresError::Schema { why });
            }
            let names: Vec<String> = fields.iter().map(|field| column(field, ColumnKind::Value)).collect();
            let constraint = name("unique", &named_by(of, fields));
            if !keys.iter().any(|key| key.fields == fields) {
                let holders = holders(&live, &names);
                keys.push(Key { fields: fields.to_vec(), columns: names, constraint, holders });
            }
        }
        let mut references = Vec::new();
        for (field, reference) in declared.references() {
            let column = column(field, ColumnKind::Reference);
            let texts = [of, field, reference.to.as_str()];
            let referrers = format!(
                "SELECT {}, {quoted} FROM ONLY {live} WHERE account = $1 AND {quoted} = ANY ($2)",
                row_columns(),
                quoted = quoted(&column)
            );
            references.push(Reference {
                field: field.to_owned(),
                to: reference.to.clone(),
                column,
                constraint: name("foreign", &texts),
                index: name("index", &texts),
                referrers,
            });
        }
        let says = Statements::new(&live, &archive, &columns);
        Ok(Table { number: 0, live, archive, columns, keys, references, says })
    }

    /// The key with these fields.
    pub(super) fn key(&self, fields: &[String]) -> Option<(usize, &Key)> {
        self.keys.iter().enumerate().find(|(_, key)| key.fields == fields)
    }
}

fn named_by<'a>(of: &'a str, fields: &'a [String]) -> Vec<&'a str> {
    [of].into_iter().chain(fields.iter().map(String::as_str)).collect()
}

/// What is read of a row, `deleted` last.
pub(super) fn row_columns() -> String {
    let columns: Vec<&str> = ROW.iter().map(|(column, _)| *column).collect();
    format!("{}, deleted", columns.join(", "))
}

fn holders(live: &str, columns: &[String]) -> String {
    let arrays: Vec<String> = (0..columns.len()).map(|place| format!("${}::text[]", place + 2)).collect();
    let wanted: Vec<String> = (0..columns.len()).map(|place| format!("wanted_{place}")).collect();
    let same: Vec<String> = columns
        .iter()
        .zip(&wanted)
        .map(|(column, wanted)| format!("held.{} = asked.{wanted}", quoted(column)))
        .collect();
    format!(
        "SELECT asked.place, held.id FROM unnest({}) WITH ORDINALITY AS asked ({}, place) JOIN ONLY {live} AS held ON \
         held.account = $1 AND {}",
        arrays.join(", "),
        wanted.join(", "),
        same.join(" AND ")
    )
}

impl Statements {
    fn new(live: &str, archive: &str, columns: &[Column]) -> Self {
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
                 CONFLICT (account, id) DO UPDATE SET {set_excluded}"
            ),
            unbury: format!("DELETE FROM {archive} WHERE account = $1 AND id = ANY ($2)"),
        }
    }
}
