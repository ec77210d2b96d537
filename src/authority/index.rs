//! Live entities by what their states say of them.

use std::collections::{BTreeSet, HashMap};

use uuid::Uuid;

use crate::algebra::{CollectionName, EntityKey, Existence, Schema};

/// A collection, the fields of a key or the name of a reference, and their values.
type Place = (CollectionName, Vec<String>, Vec<String>);

/// Finds live entities by their unique keys and references.
#[derive(Clone, Debug, Default)]
pub(super) struct LiveIndex {
    ids: HashMap<Place, BTreeSet<Uuid>>,
}

impl LiveIndex {
    /// Notes that an entity is this now and was that before.
    pub(super) fn moved(&mut self, schema: &Schema, key: &EntityKey, before: &Existence, now: &Existence) {
        for place in places(schema, key, before) {
            if let Some(ids) = self.ids.get_mut(&place) {
                ids.remove(&key.id());
                if ids.is_empty() {
                    self.ids.remove(&place);
                }
            }
        }
        for place in places(schema, key, now) {
            self.ids.entry(place).or_default().insert(key.id());
        }
    }

    pub(super) fn holders(
        &self,
        collection: &CollectionName,
        fields: &[String],
        values: &[String],
    ) -> impl Iterator<Item = Uuid> + use<'_> {
        self.found((collection.clone(), fields.to_vec(), values.to_vec()))
    }

    pub(super) fn referrers(
        &self,
        to: &EntityKey,
        from: &CollectionName,
        field: &str,
    ) -> impl Iterator<Item = Uuid> + use<'_> {
        self.found((from.clone(), reference_fields(field), vec![to.id().to_string()]))
    }

    fn found(&self, place: Place) -> impl Iterator<Item = Uuid> + use<'_> {
        self.ids.get(&place).into_iter().flatten().copied()
    }
}

/// A list that no unique key has: they name no field that is empty.
fn reference_fields(field: &str) -> Vec<String> {
    vec![String::new(), field.to_owned()]
}

fn places(schema: &Schema, key: &EntityKey, existence: &Existence) -> Vec<Place> {
    let Existence::Live(state) = existence else { return Vec::new() };
    let keys = schema
        .keys(key, state)
        .map(|(_, fields, values)| (key.collection().clone(), fields.to_vec(), values));
    let references = schema
        .targets(key, state)
        .map(|(field, _, to)| (key.collection().clone(), reference_fields(field), vec![to.id().to_string()]));
    keys.chain(references).collect()
}
