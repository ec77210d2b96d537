//! Moving an authority's file to another schema: policies are the rules' alone, but the index stands by the unique keys
//! and references that were declared when something was written.
//!
//! One transaction: the index of every collection that declares others now is made anew, or nothing is changed.

use std::collections::{BTreeMap, BTreeSet};

use redb::{Database, ReadableTable};
use uuid::Uuid;

use super::generations::accounts;
use super::handle::write;
use super::one::stored;
use super::places;
use super::tables::{Tables, WriteTable, behind, bounds, engine, id_of, of_collection, opened};
use crate::algebra::{Collection, CollectionName, EntityKey, Existence, Reference, Schema};
use crate::authority::accounts::{DUPLICATES_MAX, Duplicates};
use crate::authority::{Account, Error};
use crate::codec::accounts::CollectionRecord;
use crate::codec::frame::FrameKind;

/// Moves the file to a schema, or leaves it with the one that it has; gives the authority's id and the schema.
pub(super) fn follow(db: &Database, schema: Option<Schema>) -> Result<([u8; 16], Schema), Error> {
    write(db, |tables| {
        let mut identity = tables.identity()?;
        let id = identity.id;
        let before = Schema::from_json(&identity.schema).map_err(|error| Error::Damaged {
            what: "the schema of what is stored".to_owned(),
            why: error.to_string(),
        })?;
        let Some(schema) = schema.filter(|schema| *schema != before) else {
            return Ok(((id, before), false));
        };
        let mut duplicates = Vec::new();
        for account in accounts(tables)? {
            move_account(tables, &account, &before, &schema, &mut duplicates)?;
        }
        if !duplicates.is_empty() {
            return Err(Error::Duplicates { found: duplicates });
        }
        identity.schema = schema.to_json();
        tables.put_identity(&identity)?;
        Ok(((id, schema), true))
    })
}

fn move_account(
    tables: &mut Tables<WriteTable<'_>>,
    account: &Account,
    before: &Schema,
    schema: &Schema,
    duplicates: &mut Vec<Duplicates>,
) -> Result<(), Error> {
    let Some(record) = tables.account(account.as_str())? else { return Ok(()) };
    let is_free = schema.collections().next().is_none();
    for (name, collection) in collections(tables, account, record.number)? {
        if !is_free && schema.collection(&name).is_none() {
            let why = format!("{name} of account {account} is stored, but not declared; declare it too");
            return Err(Error::Schema { why });
        }
        if indexed(before.collection(&name)) != indexed(schema.collection(&name)) {
            let given = Given { schema, account, number: record.number, name: &name, collection };
            given.index_anew(tables, duplicates)?;
        }
    }
    Ok(())
}

/// What the index of a collection stands by.
fn indexed(declared: Option<&Collection>) -> (BTreeSet<&[String]>, BTreeMap<&str, &CollectionName>) {
    let unique = declared.into_iter().flat_map(Collection::unique_keys).collect();
    let references = declared.into_iter().flat_map(Collection::references);
    (unique, references.map(|(field, Reference { to, .. })| (field, to)).collect())
}

fn collections(
    tables: &Tables<WriteTable<'_>>,
    account: &Account,
    number: u64,
) -> Result<Vec<(CollectionName, u32)>, Error> {
    let (from, to) = bounds(number);
    let mut found = Vec::new();
    for row in tables.collections.range(from.as_slice()..to.as_slice()).map_err(engine)? {
        let (key, value) = row.map_err(engine)?;
        let what = || format!("a collection of account {account}");
        let record: CollectionRecord = opened(FrameKind::Collection, key.value(), value.value(), what)?;
        let name = key.value().get(from.len()..).and_then(|name| std::str::from_utf8(name).ok());
        let name = name.and_then(|name| CollectionName::new(name).ok());
        let wrong = || Error::Damaged { what: what(), why: "its name is none".to_owned() };
        found.push((name.ok_or_else(wrong)?, record.number));
    }
    Ok(found)
}

/// A collection whose index is made anew.
struct Given<'a> {
    schema: &'a Schema,
    account: &'a Account,
    number: u64,
    name: &'a CollectionName,
    collection: u32,
}

impl Given<'_> {
    fn index_anew(
        &self,
        tables: &mut Tables<WriteTable<'_>>,
        duplicates: &mut Vec<Duplicates>,
    ) -> Result<(), Error> {
        let Tables { entities, live, .. } = tables;
        let from = of_collection(self.number, self.collection);
        let to = behind(&from);
        live.retain_in(from.as_slice()..to.as_slice(), |_, _| false).map_err(engine)?;
        for row in entities.range(from.as_slice()..to.as_slice()).map_err(engine)? {
            let (place, value) = row.map_err(engine)?;
            let what = || format!("an entity of {} of account {}", self.name, self.account);
            let entity = stored(place.value(), value.value(), what)?;
            let wrong = || Error::Damaged { what: what(), why: "its id is none".to_owned() };
            let id = id_of(place.value()).ok_or_else(wrong)?;
            let key = EntityKey::new(self.name.clone(), id).map_err(|_| wrong())?;
            self.note_duplicates(live, &key, &entity.version.existence, duplicates)?;
            let existence = &entity.version.existence;
            for place in places::of(self.schema, self.number, self.collection, &key, existence) {
                live.insert(place.as_slice(), [].as_slice()).map_err(engine)?;
            }
        }
        Ok(())
    }

    /// Notes whom an entity shares a unique key with, of those that came before it.
    fn note_duplicates(
        &self,
        live: &WriteTable<'_>,
        key: &EntityKey,
        existence: &Existence,
        duplicates: &mut Vec<Duplicates>,
    ) -> Result<(), Error> {
        let Existence::Live(state) = existence else { return Ok(()) };
        for (_, fields, values) in self.schema.keys(key, state) {
            let prefix = places::holders(self.number, self.collection, fields, &values);
            let from = places::with_id(prefix.clone(), Uuid::nil());
            let to = places::with_id(prefix, Uuid::max());
            let mut others = live.range(from.as_slice()..=to.as_slice()).map_err(engine)?;
            let Some(other) = others.next().transpose().map_err(engine)? else { continue };
            let other = id_of(other.0.value()).unwrap_or(Uuid::nil());
            let Ok(other) = EntityKey::new(self.name.clone(), other) else { continue };
            if duplicates.len() < DUPLICATES_MAX {
                let (account, unique) = (self.account.clone(), fields.to_vec());
                duplicates.push(Duplicates { account, unique, holders: [other, key.clone()] });
            }
        }
        Ok(())
    }
}
