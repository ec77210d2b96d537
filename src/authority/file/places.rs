//! Where a live entity stands in the index: by its unique keys, and by what it refers to.
//!
//! A place holds a hash of what is looked up, so that it is short whatever that is. It only leads to entities: whoever
//! finds one there looks whether it is what was looked for.

use uuid::Uuid;

use super::tables::of_collection;
use crate::algebra::{EntityKey, Existence, Schema};

/// So many bytes of the hash: what meets by accident meets once in 2⁶⁴, and is told apart all the same.
const HASH_BYTES: usize = 16;

/// Where those begin that have these values in these fields.
pub(super) fn holders(account: u64, collection: u32, fields: &[String], values: &[String]) -> Vec<u8> {
    let mut hasher = begun(b'k', fields.iter().map(String::as_str));
    values.iter().for_each(|value| add(&mut hasher, value.as_bytes()));
    place(account, collection, &hasher)
}

/// Where those begin that refer by this field to this id.
pub(super) fn referrers(account: u64, collection: u32, field: &str, to: Uuid) -> Vec<u8> {
    let mut hasher = begun(b'r', std::iter::once(field));
    add(&mut hasher, to.as_bytes());
    place(account, collection, &hasher)
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

fn begun<'f>(kind: u8, fields: impl Iterator<Item = &'f str>) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[kind]);
    fields.for_each(|field| add(&mut hasher, field.as_bytes()));
    // No text is as long as this: here the fields end.
    hasher.update(&u64::MAX.to_le_bytes());
    hasher
}

fn add(hasher: &mut blake3::Hasher, text: &[u8]) {
    hasher.update(&(text.len() as u64).to_le_bytes());
    hasher.update(text);
}

fn place(account: u64, collection: u32, hasher: &blake3::Hasher) -> Vec<u8> {
    let mut hash = [0; HASH_BYTES];
    hasher.finalize_xof().fill(&mut hash);
    let mut place = of_collection(account, collection);
    place.extend_from_slice(&hash);
    place
}
