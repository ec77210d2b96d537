//! The schema: what a program declares about its collections, so that order, uniqueness and conflicts can
//! be decided by rule. It never looks at an entity.
//!
//! Invariant: a schema does not contradict itself. Every reference leads to a collection of the same
//! schema, every unique key names at least one field and none twice, no name of a field is empty, and what
//! is required is never set to null.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::error::{Error, shortened};
use super::names::CollectionName;
use super::text;

/// What a program declares about its collections.
///
/// A collection that is not declared has the default policy, no unique key and no reference.
///
/// ```
/// use foldlog::algebra::{Collection, CollectionName, OnDelete, Reference, Schema};
/// let (folders, notes) = (CollectionName::new("folders")?, CollectionName::new("notes")?);
/// let built = Schema::new([
///     (folders.clone(), Collection::new().unique(["name"])),
///     (notes, Collection::new().reference("folder", Reference::to(folders).on_delete(OnDelete::Cascade))),
/// ])?;
/// let read = Schema::from_json(
///     r#"{"collections":{"folders":{"unique":[["name"]]},
///         "notes":{"references":{"folder":{"to":"folders","on_delete":"cascade"}}}}}"#,
/// )?;
/// assert_eq!(built, read);
/// assert_eq!(Schema::from_json(&built.to_json())?, built);
/// # Ok::<(), foldlog::algebra::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    collections: BTreeMap<CollectionName, Collection>,
}

/// What is declared about one collection. Checked when it becomes part of a [`Schema`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collection {
    policy: Policy,
    unique: Vec<Vec<String>>,
    references: BTreeMap<String, Reference>,
}

/// A field that holds the id of an entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The collection of the entity referred to.
    pub to: CollectionName,
    /// What happens to the one that refers when the other is deleted.
    pub on_delete: OnDelete,
    /// Whether the field must not be absent.
    pub is_required: bool,
}

/// Who wins where both sides changed the same thing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// The operation that reaches the authority last, field by field; construction prevails on demolition.
    #[default]
    LastOperation,
    /// The operation that reaches the authority first.
    FirstToAuthority,
    /// The later stamp, field by field.
    Newest,
    /// Nobody, until a person or the program decides.
    Manual,
}

/// What happens to an entity that refers to another one when that one is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDelete {
    /// It is deleted too.
    Cascade,
    /// Its field becomes absent.
    SetNull,
    /// The delete is refused while it refers. The default: of the three the only one that never changes
    /// what nobody asked to have changed.
    #[default]
    Restrict,
}

impl Schema {
    /// Checks declarations and makes a schema of them.
    ///
    /// # Errors
    /// A collection that stands twice, and everything that breaks the invariant above; the message names
    /// the collection and the field.
    pub fn new(collections: impl IntoIterator<Item = (CollectionName, Collection)>) -> Result<Self, Error> {
        let mut checked = Schema::default();
        for (name, collection) in collections {
            let again = name.clone();
            if checked.collections.insert(name, collection).is_some() {
                return Err(objection(&again, "stands twice; declare it once".to_owned()));
            }
        }
        for (name, collection) in &checked.collections {
            collection.check(&checked).map_err(|why| objection(name, why))?;
        }
        for name in checked.collections.keys() {
            checked.require_an_end(name).map_err(|why| objection(name, why))?;
        }
        Ok(checked)
    }

    /// Refuses a circle of references that are all required and all cascade: no entity of it could ever be the first, a
    /// delete of one would leave none, and one that comes back would bring back others without an end.
    fn require_an_end(&self, from: &CollectionName) -> Result<(), String> {
        let mut open = vec![from];
        let mut seen = BTreeSet::new();
        while let Some(name) = open.pop() {
            let references = self.collection(name).into_iter().flat_map(Collection::references);
            for (field, reference) in references {
                if !reference.is_required || reference.on_delete != OnDelete::Cascade {
                    continue;
                }
                if reference.to == *from {
                    let field = shortened(field);
                    return Err(format!(
                        "is in a circle of required references that cascade, by {field:?} of {name:?}; let one of them be \
                         absent"
                    ));
                }
                if seen.insert(&reference.to) {
                    open.push(&reference.to);
                }
            }
        }
        Ok(())
    }

    /// Reads a schema: `{"collections":{"notes":{"policy":…,"unique":[[…]],"references":{…}}}}`. What is
    /// left out of a collection has its default: policy `last_operation`, no unique key, no reference,
    /// `on_delete` `restrict`, not required.
    ///
    /// # Errors
    /// As [`Schema::new`]; also what is not JSON of this shape, an unknown key, a key that stands twice, or
    /// a bad collection name.
    pub fn from_json(json: &str) -> Result<Self, Error> {
        // Only for its objections: serde would take the last of two equal keys.
        text::canonical(json, 0, &mut String::new())?;
        let written: Written = serde_json::from_str(json)?;
        let mut collections = Vec::with_capacity(written.collections.len());
        for (name, collection) in written.collections {
            collections.push((CollectionName::new(&name)?, collection.read()?));
        }
        Schema::new(collections)
    }

    /// The schema as [`Schema::from_json`] reads it, with every default written out. Equal schemas have
    /// equal texts.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "names, words and flags are always JSON")]
    pub fn to_json(&self) -> String {
        let collections = self
            .collections
            .iter()
            .map(|(name, collection)| (name.to_string(), collection.write()))
            .collect();
        serde_json::to_string(&Written { collections }).expect("names, words and flags are always JSON")
    }

    /// What is declared about a collection, if anything.
    #[must_use]
    pub fn collection(&self, name: &CollectionName) -> Option<&Collection> {
        self.collections.get(name)
    }

    /// The declared collections, in the order of their names.
    pub fn collections(&self) -> impl Iterator<Item = (&CollectionName, &Collection)> {
        self.collections.iter()
    }

    /// The policy of a collection; the default where none is declared.
    #[must_use]
    pub fn policy(&self, name: &CollectionName) -> Policy {
        self.collection(name).map_or_else(Policy::default, Collection::policy)
    }

    /// The fields that refer into a collection, with the collections they belong to, in the order of both.
    pub fn referrers<'a>(
        &'a self,
        to: &'a CollectionName,
    ) -> impl Iterator<Item = (&'a CollectionName, &'a str, &'a Reference)> {
        self.collections().flat_map(move |(name, collection)| {
            let fields = collection.references().filter(move |(_, reference)| reference.to == *to);
            fields.map(move |(field, reference)| (name, field, reference))
        })
    }
}

impl Collection {
    /// A collection with the default policy, without unique keys and references.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The collection with this policy.
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// The collection with one more unique key: no two live entities have the same values in all of these
    /// fields. Where one of them is absent there is no key.
    #[must_use]
    pub fn unique<F: Into<String>>(mut self, fields: impl IntoIterator<Item = F>) -> Self {
        self.unique.push(fields.into_iter().map(Into::into).collect());
        self
    }

    /// The collection with a field that refers to another entity; the last declaration of a field counts.
    #[must_use]
    pub fn reference(mut self, field: impl Into<String>, reference: Reference) -> Self {
        self.references.insert(field.into(), reference);
        self
    }

    /// The policy.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// The fields of each unique key, as declared.
    pub fn unique_keys(&self) -> impl Iterator<Item = &[String]> {
        self.unique.iter().map(Vec::as_slice)
    }

    /// The fields that refer to other entities, in the order of their names.
    pub fn references(&self) -> impl Iterator<Item = (&str, &Reference)> {
        self.references.iter().map(|(field, reference)| (field.as_str(), reference))
    }

    /// The reference that a field is, if it is one.
    #[must_use]
    pub fn reference_of(&self, field: &str) -> Option<&Reference> {
        self.references.get(field)
    }

    fn check(&self, schema: &Schema) -> Result<(), String> {
        for key in &self.unique {
            if key.is_empty() {
                return Err("has a unique key without fields; name at least one".to_owned());
            }
            let mut seen = BTreeSet::new();
            for field in key {
                if field.is_empty() {
                    return Err("has a unique key with an empty field name".to_owned());
                }
                if !seen.insert(field) {
                    let field = shortened(field);
                    return Err(format!("names the field {field:?} twice in one unique key; name it once"));
                }
            }
        }
        for (field, reference) in &self.references {
            let (shown, to) = (shortened(field), &reference.to);
            if field.is_empty() {
                return Err("has a reference with an empty field name".to_owned());
            }
            if schema.collection(to).is_none() {
                return Err(format!("refers by {shown:?} to {to:?}, which is not declared; declare it too"));
            }
            if reference.is_required && reference.on_delete == OnDelete::SetNull {
                return Err(format!(
                    "requires {shown:?} and sets it to null on delete; choose one of the two"
                ));
            }
        }
        Ok(())
    }
}

impl Reference {
    /// A reference that may be absent and restricts the delete of what it leads to.
    #[must_use]
    pub fn to(collection: CollectionName) -> Self {
        Reference { to: collection, on_delete: OnDelete::default(), is_required: false }
    }

    /// The reference with this consequence of a delete.
    #[must_use]
    pub fn on_delete(mut self, on_delete: OnDelete) -> Self {
        self.on_delete = on_delete;
        self
    }

    /// The reference as one that must not be absent.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.is_required = true;
        self
    }
}

fn objection(collection: &CollectionName, why: String) -> Error {
    Error::Schema { collection: shortened(collection.as_str()), why }
}

/// A schema as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    collections: BTreeMap<String, WrittenCollection>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCollection {
    #[serde(default)]
    policy: Policy,
    #[serde(default)]
    unique: Vec<Vec<String>>,
    #[serde(default)]
    references: BTreeMap<String, WrittenReference>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenReference {
    to: String,
    #[serde(default)]
    on_delete: OnDelete,
    #[serde(default)]
    required: bool,
}

impl WrittenCollection {
    fn read(self) -> Result<Collection, Error> {
        let mut collection = Collection { policy: self.policy, unique: self.unique, ..Collection::default() };
        for (field, WrittenReference { to, on_delete, required }) in self.references {
            let to = CollectionName::new(&to)?;
            collection.references.insert(field, Reference { to, on_delete, is_required: required });
        }
        Ok(collection)
    }
}

impl Collection {
    fn write(&self) -> WrittenCollection {
        let references = self.references.iter().map(|(field, Reference { to, on_delete, is_required })| {
            let (to, on_delete, required) = (to.to_string(), *on_delete, *is_required);
            (field.clone(), WrittenReference { to, on_delete, required })
        });
        WrittenCollection {
            policy: self.policy,
            unique: self.unique.clone(),
            references: references.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> CollectionName {
        CollectionName::new(name).unwrap()
    }

    fn why(json: &str) -> String {
        match Schema::from_json(json) {
            Err(Error::Schema { collection, why }) => format!("{collection} {why}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let schema = Schema::from_json(
            r#"{"collections":{"a":{},"b":{"references":{"x":{"to":"a"}}},"c":{"policy":"first_to_authority"}}}"#,
        )
        .unwrap();
        assert_eq!(schema.policy(&name("a")), Policy::LastOperation);
        assert_eq!(schema.policy(&name("c")), Policy::FirstToAuthority);
        assert_eq!(schema.policy(&name("not declared")), Policy::LastOperation);
        let a = name("a");
        let referrers: Vec<_> = schema.referrers(&a).collect();
        let expected = Reference { to: a.clone(), on_delete: OnDelete::Restrict, is_required: false };
        assert_eq!(Reference::to(a.clone()), expected);
        let required = Reference { is_required: true, ..expected.clone() };
        assert_eq!(Reference::to(a.clone()).required(), required);
        assert_eq!(referrers, [(&name("b"), "x", &expected)]);
    }

    #[test]
    fn a_schema_comes_back_as_it_was_written() {
        let json = concat!(
            r#"{"collections":{"folders":{"policy":"manual","unique":[["name"],["unit","number"]],"#,
            r#""references":{"parent":{"to":"folders","on_delete":"set_null","required":false}}},"#,
            r#""notes":{"policy":"newest","unique":[],"#,
            r#""references":{"folder":{"to":"folders","on_delete":"cascade","required":true}}}}}"#,
        );
        assert_eq!(Schema::from_json(json).unwrap().to_json(), json);
        assert_eq!(Schema::from_json(&Schema::default().to_json()).unwrap(), Schema::default());
    }

    #[test]
    fn a_schema_that_contradicts_itself_is_refused_by_name() {
        for (json, part) in [
            (r#"{"collections":{"a":{"references":{"x":{"to":"b"}}}}}"#, r#"a refers by "x" to "b""#),
            (r#"{"collections":{"a":{"unique":[[]]}}}"#, "without fields"),
            (r#"{"collections":{"a":{"unique":[["x","y","x"]]}}}"#, r#""x" twice"#),
            (r#"{"collections":{"a":{"unique":[["x",""]]}}}"#, "empty field name"),
            (r#"{"collections":{"a":{"references":{"":{"to":"a"}}}}}"#, "empty field name"),
            (
                r#"{"collections":{"a":{"references":{"x":{"to":"a","on_delete":"set_null","required":true}}}}}"#,
                "choose one",
            ),
            (
                concat!(
                    r#"{"collections":{"a":{"references":{"x":{"to":"b","on_delete":"cascade","required":true}}},"#,
                    r#""b":{"references":{"y":{"to":"a","on_delete":"cascade","required":true}}}}}"#
                ),
                "circle of required references",
            ),
            // Also where others lead into it.
            (
                concat!(
                    r#"{"collections":{"a":{"references":{"x":{"to":"b","on_delete":"cascade","required":true}}},"#,
                    r#""b":{"references":{"y":{"to":"c","on_delete":"cascade","required":true}}},"#,
                    r#""c":{"references":{"z":{"to":"b","on_delete":"cascade","required":true}}}}}"#
                ),
                "b is in a circle of required references",
            ),
        ] {
            assert!(why(json).contains(part), "{json}: {}", why(json));
        }
        let twice = Schema::new([(name("a"), Collection::new()), (name("a"), Collection::new())]);
        assert!(matches!(twice, Err(Error::Schema { .. })));
    }

    #[test]
    fn what_is_not_of_the_shape_is_refused() {
        for json in [
            "",
            "{}",
            "[]",
            r#"{"collections":{"a":{"polcy":"newest"}}}"#,
            r#"{"collections":{"a":{"policy":"latest"}}}"#,
            r#"{"collections":{"a":{"policy":null}}}"#,
            r#"{"collections":{"a":{"references":{"x":{"on_delete":"cascade"}}}}}"#,
            r#"{"collections":{},"version":1}"#,
            r#"{"collections":{}} {}"#,
        ] {
            assert!(matches!(Schema::from_json(json), Err(Error::Json { .. })), "{json}");
        }
        assert!(matches!(
            Schema::from_json(r#"{"collections":{"a/b":{}}}"#),
            Err(Error::CollectionName { .. })
        ));
        for json in
            [r#"{"collections":{"a":{},"\u0061":{}}}"#, r#"{"collections":{"a":{"unique":[],"unique":[]}}}"#]
        {
            assert!(matches!(Schema::from_json(json), Err(Error::DuplicateKey { .. })), "{json}");
        }
    }

    #[test]
    fn a_schema_that_is_built_is_the_one_that_is_read() {
        let json = r#"{"collections":{"folders":{},"notes":{"policy":"newest","unique":[["title"]],
            "references":{"in":{"to":"folders","on_delete":"restrict","required":true}}}}}"#;
        let reference = Reference { to: name("folders"), on_delete: OnDelete::Restrict, is_required: true };
        let notes = Collection::new()
            .with_policy(Policy::Newest)
            .unique(["title"])
            .reference("in", reference.clone());
        assert_eq!(notes.reference_of("in"), Some(&reference));
        assert_eq!(notes.reference_of("title"), None);
        let read = Schema::from_json(json).unwrap();
        assert_eq!(read.collection(&name("notes")), Some(&notes));
    }
}
