//! Names of entities as people write them: an id that is no UUID stands for a fixed one made of it.

use std::collections::HashMap;

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::algebra::{CollectionName, EntityKey, Error, Patch, Schema, State, parse_id};
use crate::merge::Naming;

/// The namespace of made ids: a fixed UUID drawn for this.
const NAMESPACE: Uuid = Uuid::from_u128(0x1f0c_2b8e_57a4_4d13_9a86_3f5e_7b21_c0d4);

/// Names, both ways.
#[derive(Debug)]
pub(super) struct Names {
    schema: Schema,
    written: HashMap<Uuid, String>,
}

impl Names {
    pub(super) fn new(schema: Schema) -> Self {
        Names { schema, written: HashMap::new() }
    }

    pub(super) fn id(&mut self, name: &str) -> Uuid {
        let id = parse_id(name).unwrap_or_else(|_| Uuid::new_v5(&NAMESPACE, name.as_bytes()));
        self.written.insert(id, name.to_owned());
        id
    }

    /// The entity that is written as "notes/x".
    pub(super) fn key(&mut self, entity: &str) -> Result<EntityKey, Error> {
        let (collection, id) = entity.split_once('/').unwrap_or((entity, ""));
        EntityKey::new(CollectionName::new(collection)?, self.id(id))
    }

    /// A state as it is meant: in fields that refer, names become ids.
    pub(super) fn state(&mut self, key: &EntityKey, fields: &Map<String, Value>) -> Result<State, Error> {
        State::from_serialize(&self.meant(key, fields))
    }

    pub(super) fn patch(&mut self, key: &EntityKey, fields: &Map<String, Value>) -> Result<Patch, Error> {
        Patch::from_serialize(&self.meant(key, fields))
    }

    fn meant(&mut self, key: &EntityKey, fields: &Map<String, Value>) -> Map<String, Value> {
        let declared = self.schema.collection(key.collection()).cloned();
        let is_reference =
            |field: &str| declared.as_ref().is_some_and(|declared| declared.reference_of(field).is_some());
        fields
            .iter()
            .map(|(field, value)| match value {
                Value::String(name) if is_reference(field) => {
                    (field.clone(), Value::String(self.id(name).to_string()))
                }
                value => (field.clone(), value.clone()),
            })
            .collect()
    }

    /// JSON text with ids as they were written.
    pub(super) fn shown(&self, json: &str) -> String {
        let mut shown = json.to_owned();
        for (id, name) in &self.written {
            shown = shown.replace(&id.to_string(), name);
        }
        shown
    }
}

impl Naming for Names {
    fn key(&mut self, entity: &str) -> Result<EntityKey, Error> {
        Names::key(self, entity)
    }

    fn patch(&mut self, key: &EntityKey, fields: &Map<String, Value>) -> Result<Patch, Error> {
        Names::patch(self, key, fields)
    }
}
