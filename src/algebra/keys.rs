//! What a state says by the fields that a schema names: whom it refers to, and by which values it is known.

use super::error::Error;
use super::fields::State;
use super::names::{EntityKey, parse_id};
use super::schema::Reference;

/// The entity that a field of a state refers to; none where the field is absent.
///
/// # Errors
/// A field that holds no id.
pub fn referred(state: &State, field: &str, reference: &Reference) -> Result<Option<EntityKey>, Error> {
    let Some(raw) = state.raw(field) else { return Ok(None) };
    let text: String = serde_json::from_str(raw)?;
    EntityKey::new(reference.to.clone(), parse_id(&text)?).map(Some)
}

/// The values of a state in the fields of a unique key, as canonical JSON; none where one of them is absent, as
/// then there is no key.
#[must_use]
pub fn key_values(state: &State, fields: &[String]) -> Option<Vec<String>> {
    fields.iter().map(|field| state.raw(field).map(str::to_owned)).collect()
}
