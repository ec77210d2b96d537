//! The shapes that schemas are made of.

use serde_json::json;
use utoipa::Number;
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::schema::{AdditionalProperties, ArrayBuilder, ObjectBuilder, Schema, Type};
use utoipa::openapi::{Ref, RefOr};

use crate::algebra::COLLECTION_NAME_BYTES_MAX;

/// A UUID with hyphens.
const UUID: &str = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}";

/// The id that is none.
const NIL: &str = "00000000-0000-0000-0000-000000000000";

/// No control character and no slash, and no white space at either end.
const NAME: &str = "^[^\\u0000-\\u0020\\u007f-\\u00a0/\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]\
    ([^\\u0000-\\u001f\\u007f-\\u009f/]*\
    [^\\u0000-\\u0020\\u007f-\\u00a0/\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000])?$";

/// The schema of this name.
pub(super) fn refer(name: &str) -> Ref {
    Ref::from_schema_name(name)
}

/// Any text.
pub(super) fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// A whole number within bounds that are inclusive.
pub(super) fn whole(least: u64, most: u64) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(bound(least))).maximum(Some(bound(most)))
}

/// Up to where a client has heard; nothing where it has heard nothing.
pub(super) fn event_id() -> ObjectBuilder {
    text()
        .pattern(Some(format!("^({UUID}\\.[0-9]{{1,20}})?$")))
        .extensions(Some(not(json!({"pattern": format!("^{NIL}")}))))
        .description(Some("a generation, a dot and the index of a trigger. Rule: the index has 64 bits"))
}

fn bound(number: u64) -> Number {
    // The library has no other whole numbers; where pointers are short, the nearest double stands for it.
    #[expect(clippy::cast_precision_loss, reason = "a bound that is a little too wide is not wrong")]
    let double = number as f64;
    usize::try_from(number).map_or(Number::Float(double), Number::UInt)
}

pub(super) fn id() -> ObjectBuilder {
    text()
        .pattern(Some(format!("^{UUID}$")))
        .extensions(Some(not(json!({"const": NIL}))))
        .description(Some("a UUID"))
}

pub(super) fn name(bytes_max: usize) -> ObjectBuilder {
    text()
        .pattern(Some(NAME))
        .min_length(Some(1))
        .max_length(Some(bytes_max))
        .description(Some(format!("a name. Rule: it has at most {bytes_max} bytes")))
}

/// A keyword that the library does not know; the schemas of OpenAPI 3.1 have them all.
pub(super) fn not(schema: serde_json::Value) -> Extensions {
    [("not", schema)].into_iter().collect()
}

pub(super) fn boolean() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Boolean)
}

pub(super) fn list(of: impl Into<RefOr<Schema>>) -> ArrayBuilder {
    ArrayBuilder::new().items(of.into())
}

pub(super) fn by_collection(description: &str, of: impl Into<RefOr<Schema>>) -> ObjectBuilder {
    map(description, Some(name(COLLECTION_NAME_BYTES_MAX).build().into()), of)
}

pub(super) fn map(description: &str, names: Option<Schema>, of: impl Into<RefOr<Schema>>) -> ObjectBuilder {
    ObjectBuilder::new()
        .description(Some(description))
        .property_names(names)
        .additional_properties(Some(AdditionalProperties::RefOr(of.into())))
}

/// An object with no other keys than those that are named.
pub(super) struct Closed(pub(super) ObjectBuilder);

pub(super) fn closed(description: &str) -> Closed {
    let closed = ObjectBuilder::new().additional_properties(Some(AdditionalProperties::FreeForm(false)));
    Closed(closed.description((!description.is_empty()).then_some(description)))
}

impl Closed {
    pub(super) fn needs(self, key: &str, schema: impl Into<RefOr<Schema>>) -> Self {
        Closed(self.0.property(key, schema).required(key))
    }

    pub(super) fn may(self, key: &str, schema: impl Into<RefOr<Schema>>) -> Self {
        Closed(self.0.property(key, schema))
    }
}
