//! The tables of a schema's collections: what they are called, which columns they have, and the statements that the
//! authority says to them.
//!
//! | table | holds |
//! |---|---|
//! | of a collection | what is live; unique keys and references are constraints of it |
//! | its archive, which inherits from it | the tombstones, with their last states |
//!
//! A statement that names the first with `ONLY` reads what is live, one without `ONLY` both.

use std::collections::{BTreeMap, BTreeSet};

use super::error::PostgresError;
use super::names::{name, quoted};
use super::statements::{Statements, holders, row_columns};
use crate::algebra::{Collection, CollectionName, Schema};

/// The most columns of one index, the account's taken off.
const KEY_FIELDS_MAX: usize = 31;

/// The collections there are, by their numbers.
pub(super) type Names = BTreeMap<i32, CollectionName>;

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
    /// Whether the database vouches for it: what is live refers to what is live, also what was there before it.
    pub(super) is_sure: bool,
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

    /// Takes which of the constraints hold for all that is there.
    pub(super) fn vouched(&mut self, constraints: &BTreeSet<String>) {
        for reference in self.of.values_mut().flat_map(|table| &mut table.references) {
            reference.is_sure = constraints.contains(&reference.constraint);
        }
    }

    /// The table of a collection. The rules refuse what the schema does not name, so nothing of it is written.
    pub(super) fn require(&self, collection: &CollectionName) -> Result<&Table, PostgresError> {
        self.get(collection).ok_or_else(|| PostgresError::Schema {
            why: format!("it does not name {collection}, and only what it names has a table"),
        })
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
                is_sure: false,
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
