//! Maps by collection, and the query behind a path.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::algebra::{self, CollectionName, Cursors, Epoch, Generation, parse_id};
use crate::codec::lines::Problem;
use crate::codec::lines::object::{Object, whole};
use crate::codec::lines::write::Writer;

/// Reads an object whose keys are collections.
pub(super) fn by_collection<T>(
    what: &'static str,
    raw: &str,
    read: impl Fn(&str) -> Result<T, Problem>,
) -> Result<BTreeMap<CollectionName, T>, Problem> {
    let mut found = BTreeMap::new();
    for (key, value) in Object::open(raw, what)?.members() {
        if found.insert(CollectionName::new(key)?, read(value.get())?).is_some() {
            return Err(Problem::Invalid { source: algebra::Error::DuplicateKey { key: key.to_owned() } });
        }
    }
    Ok(found)
}

pub(super) fn cursors(object: &Object<'_>, key: &'static str) -> Result<Cursors, Problem> {
    by_collection(key, object.need(key)?, |raw| whole(key, raw).map(Epoch))
}

pub(super) fn write_cursors(writer: &mut Writer<'_>, key: &str, cursors: &Cursors) {
    let mut object = Writer::new(writer.member(key));
    for (collection, epoch) in cursors {
        object.whole(collection.as_str(), epoch.0);
    }
    object.end();
}

pub(super) fn generation(object: &Object<'_>) -> Result<Option<Generation>, Problem> {
    Ok(object.optional_id("generation")?.map(Generation))
}

pub(super) fn write_generation(writer: &mut Writer<'_>, generation: Option<Generation>) {
    if let Some(Generation(id)) = generation {
        writer.id("generation", id);
    }
}

/// What stands behind the `?` of a path: names and values that need no escapes.
pub(super) struct Query<'q> {
    members: Vec<(&'q str, &'q str)>,
}

impl<'q> Query<'q> {
    /// Reads a query of these names.
    pub(super) fn read(text: &'q str, known: &[&'static str]) -> Result<Self, Problem> {
        let mut members: Vec<(&str, &str)> = Vec::new();
        for part in text.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            if !known.contains(&name) {
                let (key, known) = (algebra::shortened(name), known.join(", "));
                return Err(Problem::UnknownKey { what: "the query", key, known });
            }
            if members.iter().any(|(held, _)| *held == name) {
                return Err(Problem::Invalid {
                    source: algebra::Error::DuplicateKey { key: name.to_owned() },
                });
            }
            members.push((name, value));
        }
        Ok(Query { members })
    }

    pub(super) fn get(&self, name: &str) -> Option<&'q str> {
        self.members.iter().find(|(held, _)| *held == name).map(|(_, value)| *value)
    }

    pub(super) fn whole(&self, name: &'static str) -> Result<Option<u64>, Problem> {
        self.get(name).map(|raw| whole(name, raw)).transpose()
    }

    pub(super) fn generation(&self) -> Result<Option<Generation>, Problem> {
        let id: Option<Uuid> = self.get("generation").map(parse_id).transpose()?;
        Ok(id.map(Generation))
    }
}
