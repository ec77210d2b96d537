//! The keys of a replica's indexes.

use uuid::Uuid;

use crate::algebra::{CollectionName, EntityKey};
use crate::journal::tables::entity_bytes;

/// Where the entities with one value of a unique key begin.
pub(super) fn unique_prefix(collection: &CollectionName, number: usize, values: &[String]) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new();
    for value in values {
        hasher.update(&(value.len() as u64).to_le_bytes());
        hasher.update(value.as_bytes());
    }
    let mut bytes = collection.as_str().as_bytes().to_vec();
    bytes.push(0);
    bytes.extend_from_slice(&(number as u64).to_le_bytes());
    bytes.extend_from_slice(hasher.finalize().as_bytes());
    bytes
}

/// Where those begin that refer to an entity by one field.
pub(super) fn reference_prefix(to: &EntityKey, from: &CollectionName, field: &str) -> Vec<u8> {
    let mut bytes = entity_bytes(to);
    bytes.extend_from_slice(from.as_str().as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(field.as_bytes());
    bytes.push(0);
    bytes
}

/// A key with the id at its end.
pub(super) fn with_id(mut prefix: Vec<u8>, id: Uuid) -> Vec<u8> {
    prefix.extend_from_slice(id.as_bytes());
    prefix
}

/// The id at the end of a key that begins so; none where it is longer than that.
pub(super) fn id_behind(prefix: &[u8], key: &[u8]) -> Option<Uuid> {
    key.strip_prefix(prefix).and_then(|id| <[u8; 16]>::try_from(id).ok()).map(Uuid::from_bytes)
}

/// The first key behind all those that begin so.
pub(super) fn behind(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}
