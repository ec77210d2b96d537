//! How large an entity may become.

use super::store::Stored;
use crate::algebra::{Error, FIELDS_BYTES_MAX, Version, marked_bytes};

/// The most bytes of an entity with its fields' stamps: well below what a client takes as one answer.
const ROW_BYTES_MAX: usize = 3 * FIELDS_BYTES_MAX;

/// Why an entity cannot be what it would be: nobody could read its row, or what is kept of fields that are no more would
/// grow for ever. What was as large before may stay so.
pub(super) fn too_large(stored: Option<&Stored>, before: &Version, after: &Version) -> Option<String> {
    let is_more = |after: usize, before: usize, max| after > max && after > before;
    let fields = after.existence.state_bytes();
    if is_more(fields, before.existence.state_bytes(), FIELDS_BYTES_MAX) {
        return Some(Error::TooLarge { bytes: fields, max: FIELDS_BYTES_MAX }.to_string());
    }
    let told = |bytes: usize| {
        Some(format!(
            "{bytes} bytes of names of its fields, removed ones included, and of when each was changed; the limit is \
             {ROW_BYTES_MAX} bytes (48 MiB): use fewer names, or another entity"
        ))
    };
    let row = after.bytes();
    if is_more(row, before.bytes(), ROW_BYTES_MAX) {
        return told(row);
    }
    let marks = &stored?.fields;
    let bytes = marked_bytes(marks);
    let is_new = |name: &str| marks.binary_search_by(|(known, _)| known.as_str().cmp(name)).is_err();
    let mut names = after.existence.state().into_iter().flat_map(|state| state.iter());
    if bytes > ROW_BYTES_MAX && names.any(|(name, _)| is_new(&name)) { told(bytes) } else { None }
}
