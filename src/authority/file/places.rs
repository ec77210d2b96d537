//! Where a live entity stands in the index: by its unique keys, and by what it refers to.
//!
//! Values stand in their places as they are, so that those that are alike are neighbours; long ones as a hash. A place
//! only leads to entities: whoever finds one there looks whether it is what was looked for.

use uuid::Uuid;

use super::tables::of_collection;
use crate::algebra::{EntityKey, Existence, Schema};

/// So many bytes of the hash of the fields: few, as whatever is found there is looked at.
const FIELDS_BYTES: usize = 8;

/// Values up to this length stand in their places as they are: short places make many a page.
const VALUES_BYTES_MAX: usize = 64;

/// Where those begin that have these values in these fields.
pub(super) fn holders(account: u64, collection: u32, fields: &[String], values: &[String]) -> Vec<u8> {
    let mut place = begun(account, collection, b'k', fields.iter().map(String::as_str));
    let begin = place.len();
    for value in values {
        // No zero is in the text of a JSON value.
        place.extend_from_slice(value.as_bytes());
        place.push(0);
    }
    if place.len() - begin > VALUES_BYTES_MAX {
        let hash = blake3::hash(place.get(begin..).unwrap_or_default());
        place.truncate(begin);
        // Nor does any begin so.
        place.push(0);
        place.extend_from_slice(hash.as_bytes());
    }
    place
}

/// Where those begin that refer by this field to this id.
pub(super) fn referrers(account: u64, collection: u32, field: &str, to: Uuid) -> Vec<u8> {
    let place = begun(account, collection, b'r', std::iter::once(field));
    with_id(place, to)
}

/// Every place where an entity stands that is this now.
pub(super) fn of(
    schema: &Schema,
    account: u64,
    collection: u32,
    key: &EntityKey,
    existence: &Existence,
) -> Vec<Vec<u8>> {
    let Existence::Live(state) = existence else { return Vec::new() };
    let keys =
        schema.keys(key, state).map(|(_, fields, values)| holders(account, collection, fields, &values));
    let references =
        schema.targets(key, state).map(|(field, _, to)| referrers(account, collection, field, to.id()));
    keys.chain(references).map(|prefix| with_id(prefix, key.id())).collect()
}

/// A place with the id at its end.
pub(super) fn with_id(mut prefix: Vec<u8>, id: Uuid) -> Vec<u8> {
    prefix.extend_from_slice(id.as_bytes());
    prefix
}

fn begun<'f>(account: u64, collection: u32, kind: u8, fields: impl Iterator<Item = &'f str>) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[kind]);
    for field in fields {
        hasher.update(&(field.len() as u64).to_le_bytes());
        hasher.update(field.as_bytes());
    }
    let mut place = of_collection(account, collection);
    place.extend(hasher.finalize().as_bytes().iter().take(FIELDS_BYTES));
    place
}
