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

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::names::CollectionName;
    use super::*;

    const SCHEMA: &str = r#"{"collections":{"folders":{},"notes":{"unique":[["title"],["at","place"]],"references":{
        "in":{"to":"folders","on_delete":"cascade"},"of":{"to":"folders","on_delete":"set_null"}}}}}"#;

    fn key(collection: &str, n: u128) -> EntityKey {
        EntityKey::new(CollectionName::new(collection).unwrap(), Uuid::from_u128(n)).unwrap()
    }

    #[test]
    fn the_keys_of_a_state_are_those_it_has_all_fields_of() {
        let schema = Schema::from_json(SCHEMA).unwrap();
        let keys = |collection: &str, json: &str| {
            let state = State::from_json(json).unwrap();
            let entity = key(collection, 1);
            let found = schema.keys(&entity, &state).map(|(number, _, values)| (number, values));
            found.collect::<Vec<_>>()
        };
        let (title, place) = ((0, vec![r#""a""#.to_owned()]), (1, vec!["1".to_owned(), "2".to_owned()]));
        assert_eq!(keys("notes", r#"{"title":"a","place":2,"at":1}"#), [title.clone(), place]);
        assert_eq!(keys("notes", r#"{"title":"a","place":2}"#), [title]);
        assert_eq!(keys("notes", r#"{"place":2}"#), []);
        assert_eq!(keys("folders", r#"{"title":"a"}"#), []);
    }

    #[test]
    fn only_what_is_there_has_a_key() {
        let fields = ["title".to_owned()];
        let state = State::from_json(r#"{"title":"a"}"#).unwrap();
        let values = vec![r#""a""#.to_owned()];
        assert!(has_values(&state, &fields, &values));
        assert!(!has_values(&state, &fields, &[r#""b""#.to_owned()]));
        assert!(!has_values(&State::empty(), &fields, &values));
        assert_eq!(live_key_values(&Existence::Live(state.clone()), &fields), Some(values));
        assert_eq!(live_key_values(&Existence::Dead(state), &fields), None);
        assert_eq!(live_key_values(&Existence::Absent, &fields), None);
    }

    #[test]
    fn a_field_refers_to_what_it_names() {
        let schema = Schema::from_json(SCHEMA).unwrap();
        let (note, folder) = (key("notes", 1), key("folders", 2));
        let found = |json: &str| {
            let state = State::from_json(json).unwrap();
            let targets = schema.targets(&note, &state);
            targets.map(|(field, _, to)| (field.to_owned(), to)).collect::<Vec<_>>()
        };
        let referring = format!(r#"{{"in":"{}","title":"{}"}}"#, folder.id(), folder.id());
        assert_eq!(found(&referring), [("in".to_owned(), folder)]);
        assert_eq!(found(r#"{"in":"nobody"}"#), []);
        assert_eq!(found(r#"{"title":"a"}"#), []);
    }

    #[test]
    fn what_refers_goes_or_loses_the_field_or_stays() {
        let note = key("notes", 1);
        let of = |on_delete: &str| {
            let json = SCHEMA.replace("cascade", on_delete);
            let schema = Schema::from_json(&json).unwrap();
            let declared = schema.collection(note.collection()).unwrap();
            let (field, reference) = declared.references().find(|(field, _)| *field == "in").unwrap();
            reference.consequence(&note, field)
        };
        assert_eq!(of("cascade"), Some(Operation::delete(note.clone())));
        assert_eq!(of("set_null"), Some(Operation::patch(note.clone(), Patch::removing("in"))));
        assert_eq!(of("restrict"), None);
    }
}
