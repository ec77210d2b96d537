//! The oracle: what operations mean, played one by one over plain JSON values.
//!
//! It shares nothing with the fold that it judges: no effect, no patch algebra, no canonical text. A
//! state is a map of `serde_json` values, and each operation is carried out as the table of
//! [`Change`] says. Slow, and too simple to be wrong in the same way.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::algebra::{Change, EntityKey, Existence, Operation, State, Update};

/// An entity's fields as plain JSON values; none of them is null.
pub type PlainFields = Map<String, Value>;

/// What an entity is: [`Existence`] over plain JSON values.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Thing {
    /// Never made.
    #[default]
    Absent,
    /// There, with these fields.
    Live(PlainFields),
    /// Deleted; the tombstone keeps its last fields.
    Dead(PlainFields),
}

/// Every entity of one side, by key. An entity that is not listed is absent.
#[derive(Clone, Debug, Default)]
pub struct World {
    things: BTreeMap<EntityKey, Thing>,
}

/// The first entity in which two worlds are seen to differ.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The entity.
    pub key: EntityKey,
    /// What it is in the one world.
    pub left: Thing,
    /// What it is in the other.
    pub right: Thing,
}

impl Thing {
    /// The fields of a live entity.
    #[must_use]
    pub fn live(&self) -> Option<&PlainFields> {
        match self {
            Thing::Live(fields) => Some(fields),
            Thing::Absent | Thing::Dead(_) => None,
        }
    }

    /// What one change makes of it.
    #[must_use]
    pub fn after(self, change: &Change) -> Thing {
        let (fields, was_there) = match self {
            Thing::Absent => (PlainFields::new(), false),
            Thing::Live(fields) | Thing::Dead(fields) => (fields, true),
        };
        match change {
            Change::Create(state) | Change::Update(Update::State(state)) => Thing::Live(plain_fields(state)),
            Change::Update(Update::Patch(patch)) => {
                let mut fields = fields;
                for (name, value) in object(patch.as_json()) {
                    if value.is_null() {
                        fields.remove(&name);
                    } else {
                        fields.insert(name, value);
                    }
                }
                Thing::Live(fields)
            }
            Change::Delete if was_there => Thing::Dead(fields),
            Change::Delete => Thing::Absent,
        }
    }

    /// Whether both are the same, tombstones and their last fields included.
    #[must_use]
    pub fn is_same(&self, other: &Thing) -> bool {
        match (self, other) {
            (Thing::Absent, Thing::Absent) => true,
            (Thing::Live(a), Thing::Live(b)) | (Thing::Dead(a), Thing::Dead(b)) => are_same_fields(a, b),
            (Thing::Absent | Thing::Live(_) | Thing::Dead(_), _) => false,
        }
    }

    /// Whether both are live with the same fields, or neither is live.
    #[must_use]
    pub fn looks_like(&self, other: &Thing) -> bool {
        match (self.live(), other.live()) {
            (Some(a), Some(b)) => are_same_fields(a, b),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }
}

impl From<&Existence> for Thing {
    fn from(existence: &Existence) -> Thing {
        match existence {
            Existence::Absent => Thing::Absent,
            Existence::Live(state) => Thing::Live(plain_fields(state)),
            Existence::Dead(state) => Thing::Dead(plain_fields(state)),
        }
    }
}

impl World {
    /// A world in which there is nothing.
    #[must_use]
    pub fn new() -> Self {
        World::default()
    }

    /// Carries out one change.
    pub fn apply(&mut self, key: &EntityKey, change: &Change) {
        let thing = self.things.entry(key.clone()).or_default();
        *thing = std::mem::take(thing).after(change);
    }

    /// Carries out a log, operation by operation.
    pub fn replay<'a>(&mut self, log: impl IntoIterator<Item = &'a Operation>) {
        for operation in log {
            self.apply(&operation.key, &operation.change);
        }
    }

    /// Makes an entity what it is told to be.
    pub fn put(&mut self, key: &EntityKey, thing: Thing) {
        self.things.insert(key.clone(), thing);
    }

    /// What an entity is.
    #[must_use]
    pub fn thing(&self, key: &EntityKey) -> Thing {
        self.things.get(key).cloned().unwrap_or_default()
    }

    /// Whether an entity is live.
    #[must_use]
    pub fn is_live(&self, key: &EntityKey) -> bool {
        self.things.get(key).is_some_and(|thing| thing.live().is_some())
    }

    /// Whether an entity looks alike in both worlds: live with the same fields, or not live.
    #[must_use]
    pub fn looks_like(&self, other: &World, key: &EntityKey) -> bool {
        let absent = Thing::Absent;
        let (here, there) = (self.things.get(key), other.things.get(key));
        here.unwrap_or(&absent).looks_like(there.unwrap_or(&absent))
    }

    /// The live set: every live entity with its fields, in the order of the keys.
    pub fn live(&self) -> impl Iterator<Item = (&EntityKey, &PlainFields)> {
        self.things.iter().filter_map(|(key, thing)| thing.live().map(|fields| (key, fields)))
    }

    /// The first entity in which the live sets differ; nothing where they are the same.
    #[must_use]
    pub fn live_difference(&self, other: &World) -> Option<Difference> {
        self.difference_by(other, Thing::looks_like)
    }

    /// The first entity in which the worlds differ, tombstones included; nothing where they are the same.
    #[must_use]
    pub fn difference(&self, other: &World) -> Option<Difference> {
        self.difference_by(other, Thing::is_same)
    }

    fn difference_by(&self, other: &World, alike: impl Fn(&Thing, &Thing) -> bool) -> Option<Difference> {
        let absent = Thing::Absent;
        self.things.keys().chain(other.things.keys()).find_map(|key| {
            let left = self.things.get(key).unwrap_or(&absent);
            let right = other.things.get(key).unwrap_or(&absent);
            let differs = !alike(left, right);
            differs.then(|| Difference { key: key.clone(), left: left.clone(), right: right.clone() })
        })
    }
}

impl<'a> FromIterator<(&'a EntityKey, &'a Existence)> for World {
    fn from_iter<I: IntoIterator<Item = (&'a EntityKey, &'a Existence)>>(entities: I) -> World {
        World { things: entities.into_iter().map(|(key, thing)| (key.clone(), thing.into())).collect() }
    }
}

/// Whether two values are the same JSON value: 1 and 1.0 are not, and 0.0 and -0.0 are not.
#[must_use]
pub fn are_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) if a.is_f64() && b.is_f64() => {
            a.as_f64().map(f64::to_bits) == b.as_f64().map(f64::to_bits)
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| are_same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => are_same_fields(a, b),
        (a, b) => a == b,
    }
}

/// Whether two objects have the same members.
pub(crate) fn are_same_fields(a: &PlainFields, b: &PlainFields) -> bool {
    a.len() == b.len()
        && a.iter().all(|(name, value)| b.get(name).is_some_and(|other| are_same(value, other)))
}

/// A state's fields. A state never holds a null, so one that does is seen to differ from what it should be.
pub(crate) fn plain_fields(state: &State) -> PlainFields {
    object(state.as_json())
}

/// The members of an object. What is no JSON object shows as a field that no test writes, so that a
/// state whose text is broken is never the same as a good one.
pub(crate) fn object(json: &str) -> PlainFields {
    serde_json::from_str(json).unwrap_or_else(|error| {
        let mut broken = PlainFields::new();
        broken.insert(format!("broken JSON text {json:?}"), Value::String(error.to_string()));
        broken
    })
}
