//! What a state says by the fields that a schema names: whom it refers to, and by which values it is known.

use super::error::Error;
use super::fields::{Patch, State};
use super::names::{EntityKey, parse_id};
use super::operation::{Existence, Operation};
use super::schema::{OnDelete, Reference, Schema};

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

/// Whether a state has these values, as canonical JSON, in these fields.
pub(crate) fn has_values(state: &State, fields: &[String], values: &[String]) -> bool {
    fields.iter().map(|field| state.raw(field)).eq(values.iter().map(|value| Some(value.as_str())))
}

/// The values of a live entity in the fields of a unique key.
#[must_use]
pub fn live_key_values(existence: &Existence, fields: &[String]) -> Option<Vec<String>> {
    existence.live().and_then(|state| key_values(state, fields))
}

impl Schema {
    /// The unique keys that an entity with this state has: number, fields, values.
    pub fn keys<'a>(
        &'a self,
        key: &EntityKey,
        state: &'a State,
    ) -> impl Iterator<Item = (usize, &'a [String], Vec<String>)> {
        let declared = self.collection(key.collection());
        let keys = declared.into_iter().flat_map(|declared| declared.unique_keys().enumerate());
        keys.filter_map(|(number, fields)| Some((number, fields, key_values(state, fields)?)))
    }

    /// What an entity with this state refers to; a field that holds no id refers to nothing.
    pub fn targets<'a>(
        &'a self,
        key: &EntityKey,
        state: &'a State,
    ) -> impl Iterator<Item = (&'a str, &'a Reference, EntityKey)> {
        let declared = self.collection(key.collection());
        let references = declared.into_iter().flat_map(|declared| declared.references());
        references.filter_map(|(field, reference)| {
            Some((field, reference, referred(state, field, reference).ok().flatten()?))
        })
    }
}

impl Reference {
    /// What the delete of what an entity refers to does to that entity; none where it is refused.
    #[must_use]
    pub fn consequence(&self, of: &EntityKey, field: &str) -> Option<Operation> {
        match self.on_delete {
            OnDelete::Cascade => Some(Operation::delete(of.clone())),
            OnDelete::SetNull => Some(Operation::patch(of.clone(), Patch::removing(field))),
            OnDelete::Restrict => None,
        }
    }
}
