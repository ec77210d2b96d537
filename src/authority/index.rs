//! Live entities by what their states say of them.

use std::collections::{BTreeSet, HashMap};

use foldhash::fast::RandomState;
use uuid::Uuid;

use crate::algebra::{CollectionName, EntityKey, Existence, Schema, State, referred};

/// A collection, a key's fields or a reference's field, and what they hold: one text, as looking up is all there is to it.
type Place = Vec<u8>;

/// Finds live entities by their unique keys and references.
#[derive(Clone, Debug, Default)]
pub(super) struct LiveIndex {
    ids: HashMap<Place, BTreeSet<Uuid>, RandomState>,
}

impl LiveIndex {
    /// Notes that an entity is this now and was that before.
    pub(super) fn moved(&mut self, schema: &Schema, key: &EntityKey, before: &Existence, now: &Existence) {
        for place in places(schema, key, before.live()) {
            if let Some(ids) = self.ids.get_mut(&place) {
                ids.remove(&key.id());
                if ids.is_empty() {
                    self.ids.remove(&place);
                }
            }
        }
        for place in places(schema, key, now.live()) {
            self.ids.entry(place).or_default().insert(key.id());
        }
    }

    pub(super) fn holders(
        &self,
        collection: &CollectionName,
        fields: &[String],
        values: &[String],
    ) -> impl Iterator<Item = Uuid> + use<'_> {
        let mut place = of_key(collection, fields);
        values.iter().for_each(|value| push(&mut place, value.as_bytes()));
        self.found(&place)
    }

    pub(super) fn referrers(
        &self,
        to: &EntityKey,
        from: &CollectionName,
        field: &str,
    ) -> impl Iterator<Item = Uuid> + use<'_> {
        self.found(&of_reference(from, field, to.id()))
    }

    fn found(&self, place: &[u8]) -> impl Iterator<Item = Uuid> + use<'_> {
        self.ids.get(place).into_iter().flatten().copied()
    }
}

fn places<'a>(
    schema: &'a Schema,
    key: &'a EntityKey,
    live: Option<&'a State>,
) -> impl Iterator<Item = Place> + use<'a> {
    let declared = live.and_then(|state| Some((state, schema.collection(key.collection())?)));
    let keys = declared.into_iter().flat_map(move |(state, declared)| {
        declared.unique_keys().filter_map(move |fields| {
            let mut place = of_key(key.collection(), fields);
            for field in fields {
                push(&mut place, state.raw(field)?.as_bytes());
            }
            Some(place)
        })
    });
    let references = declared.into_iter().flat_map(move |(state, declared)| {
        declared.references().filter_map(move |(field, reference)| {
            let to = referred(state, field, reference).ok().flatten()?;
            Some(of_reference(key.collection(), field, to.id()))
        })
    });
    keys.chain(references)
}

fn of_key(collection: &CollectionName, fields: &[String]) -> Place {
    let mut place = begun(collection, b'k');
    fields.iter().for_each(|field| push(&mut place, field.as_bytes()));
    place
}

fn of_reference(collection: &CollectionName, field: &str, to: Uuid) -> Place {
    let mut place = begun(collection, b'r');
    push(&mut place, field.as_bytes());
    place.extend_from_slice(to.as_bytes());
    place
}

fn begun(collection: &CollectionName, kind: u8) -> Place {
    let mut place = Vec::with_capacity(128);
    place.push(kind);
    push(&mut place, collection.as_str().as_bytes());
    place
}

/// Adds a part behind its length, so that no two lists of parts are one text.
fn push(place: &mut Place, part: &[u8]) {
    place.extend_from_slice(&part.len().to_le_bytes());
    place.extend_from_slice(part);
}
