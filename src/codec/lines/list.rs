//! Lists, element by element: the first bad one ends the reading.

use std::fmt;

use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::error::{Problem, reason};
use super::object::wrong;

/// Reads the elements of a list, each by `read`. Nothing is kept of an element but what `read` makes of it.
pub(in crate::codec) fn each<T>(
    key: &'static str,
    raw: &str,
    read: impl FnMut(&str) -> Result<T, Problem>,
) -> Result<Vec<T>, Problem> {
    if !raw.starts_with('[') {
        return Err(wrong(key, "a list", raw));
    }
    let mut refusal = None;
    let elements = Elements { read, refusal: &mut refusal };
    serde_json::Deserializer::from_str(raw)
        .deserialize_seq(elements)
        .map_err(|error| refusal.unwrap_or_else(|| Problem::Text { why: reason(&error) }))
}

/// Reads the elements of a list of things that have a name; a refused one is named by its place.
pub(in crate::codec) fn each_named<T>(
    key: &'static str,
    what: &'static str,
    raw: &str,
    mut read: impl FnMut(&str) -> Result<T, Problem>,
) -> Result<Vec<T>, Problem> {
    let mut place = 0;
    each(key, raw, |raw| {
        place += 1;
        read(raw).map_err(|problem| Problem::Element { what, place, problem: Box::new(problem) })
    })
}

struct Elements<'r, F> {
    read: F,
    refusal: &'r mut Option<Problem>,
}

impl<'de, T, F: FnMut(&str) -> Result<T, Problem>> Visitor<'de> for Elements<'_, F> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(raw) = list.next_element::<&RawValue>()? {
            match (self.read)(raw.get()) {
                Ok(element) => elements.push(element),
                Err(problem) => {
                    *self.refusal = Some(problem);
                    return Err(A::Error::custom("refused"));
                }
            }
        }
        Ok(elements)
    }
}
