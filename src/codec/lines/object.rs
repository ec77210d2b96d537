//! Objects of which every key is known, each value of the kind that its key wants.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::error::{Problem, reason, shown};
use crate::algebra::{
    self, BunchNumber, CollectionName, EntityKey, Millis, ReplicaId, Stamp, Stamps, TextName, parse_id,
    text_members,
};

/// The members of an object, each key known and there once.
pub(in crate::codec) struct Object<'a> {
    what: &'static str,
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> Object<'a> {
    /// Reads an object of these keys. It is refused at the first other one, so that memory is bounded by
    /// the keys there are and not by the line.
    pub(in crate::codec) fn read(text: &'a str, what: &'static str, known: &[&str]) -> Result<Self, Problem> {
        let text = braced(text, what)?;
        let mut refusal = None;
        let mut parser = serde_json::Deserializer::from_str(text);
        let keys = Keys { what, known, refusal: &mut refusal };
        match parser.deserialize_map(keys) {
            Ok(members) => match parser.end() {
                Ok(()) => Ok(Object { what, members }),
                Err(error) => Err(Problem::Trailing { column: error.column() }),
            },
            Err(error) => Err(refusal.unwrap_or_else(|| error.into())),
        }
    }

    /// Reads an object whose keys are anything, in their order.
    pub(in crate::codec) fn open(text: &'a str, what: &'static str) -> Result<Self, Problem> {
        Ok(Object { what, members: text_members(braced(text, what)?)? })
    }

    pub(in crate::codec) fn members(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.members.iter().map(|(key, value)| (key.as_ref(), *value))
    }

    /// The value of a key as it is written.
    pub(in crate::codec) fn get(&self, key: &str) -> Option<&'a str> {
        self.members.iter().find(|(name, _)| name == key).map(|(_, value)| value.get())
    }

    pub(in crate::codec) fn need(&self, key: &'static str) -> Result<&'a str, Problem> {
        self.get(key).ok_or(Problem::MissingKey { what: self.what, key })
    }

    pub(in crate::codec) fn string(&self, key: &'static str) -> Result<Cow<'a, str>, Problem> {
        string(key, "a string", self.need(key)?)
    }

    pub(in crate::codec) fn optional_string(
        &self,
        key: &'static str,
    ) -> Result<Option<Cow<'a, str>>, Problem> {
        self.get(key).map(|raw| string(key, "a string", raw)).transpose()
    }

    pub(in crate::codec) fn whole(&self, key: &'static str) -> Result<u64, Problem> {
        whole(key, self.need(key)?)
    }

    pub(in crate::codec) fn optional_whole(&self, key: &'static str) -> Result<Option<u64>, Problem> {
        self.get(key).map(|raw| whole(key, raw)).transpose()
    }

    pub(in crate::codec) fn id(&self, key: &'static str) -> Result<Uuid, Problem> {
        Ok(parse_id(&string(key, "a UUID in a string", self.need(key)?)?)?)
    }

    pub(in crate::codec) fn optional_id(&self, key: &'static str) -> Result<Option<Uuid>, Problem> {
        if self.get(key).is_some() { self.id(key).map(Some) } else { Ok(None) }
    }

    /// A boolean; false where it is not there.
    pub(in crate::codec) fn is(&self, key: &'static str) -> Result<bool, Problem> {
        match self.get(key) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(wrong(key, "true or false", other)),
        }
    }

    /// The number of a bunch.
    pub(in crate::codec) fn bunch(&self) -> Result<BunchNumber, Problem> {
        match self.whole("bunch")? {
            0 => Err(wrong("bunch", "a whole number from 1", "0")),
            number => Ok(BunchNumber(number)),
        }
    }

    /// The entity that `collection` and `id` name.
    pub(in crate::codec) fn entity(&self) -> Result<EntityKey, Problem> {
        let collection = CollectionName::new(&self.string("collection")?)?;
        Ok(EntityKey::new(collection, self.id("id")?)?)
    }

    /// When an entity's fields were changed, by `created`, `turned` and `stamps`. Whoever says less need not say it in
    /// order, and may list what has the stamp of the creation.
    pub(in crate::codec) fn all_stamps(&self) -> Result<Stamps, Problem> {
        let optional = |key| self.get(key).map(stamp).transpose();
        let (created, turned) = (optional("created")?, optional("turned")?);
        let mut fields = self.stamps()?;
        fields.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(Stamps { created, turned, fields })
    }

    /// When fields were written, by `stamps`.
    pub(in crate::codec) fn stamps(&self) -> Result<Vec<(String, Stamp)>, Problem> {
        let Some(raw) = self.get("stamps") else { return Ok(Vec::new()) };
        let stamps = Object::open(raw, "stamps")?;
        stamps.members().map(|(name, value)| Ok((name.to_owned(), stamp(value.get())?))).collect()
    }
}

pub(in crate::codec) fn string<'a>(
    key: &'static str,
    expected: &'static str,
    raw: &'a str,
) -> Result<Cow<'a, str>, Problem> {
    match raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        None => Err(wrong(key, expected, raw)),
        Some(plain) if !plain.contains('\\') => Ok(Cow::Borrowed(plain)),
        Some(_) => match serde_json::from_str(raw) {
            Ok(text) => Ok(Cow::Owned(text)),
            Err(error) => Err(Problem::Text { why: reason(&error) }),
        },
    }
}

pub(in crate::codec) fn whole(key: &'static str, raw: &str) -> Result<u64, Problem> {
    let is_whole = raw.bytes().all(|byte| byte.is_ascii_digit());
    is_whole
        .then(|| raw.parse().ok())
        .flatten()
        .ok_or_else(|| wrong(key, "a whole number of 64 bits, 0 or more", raw))
}

pub(in crate::codec) fn stamp(raw: &str) -> Result<Stamp, Problem> {
    if raw.starts_with('{') {
        let stamp = Object::read(raw, "a stamp", &["at", "replica"])?;
        let replica = stamp.optional_id("replica")?.map(ReplicaId);
        return Ok(Stamp { at: Millis::new(stamp.whole("at")?)?, replica });
    }
    let expected = "a time in ms, or {\"at\":…,\"replica\":…}, for each field";
    let at = whole("stamps", raw).map_err(|_| wrong("stamps", expected, raw))?;
    Ok(Stamp::own(Millis::new(at)?))
}

pub(in crate::codec) fn wrong(key: &'static str, expected: &'static str, raw: &str) -> Problem {
    Problem::WrongValue { key, expected, found: shown(raw) }
}

/// The text between what JSON takes for white space, if an object begins there.
fn braced<'a>(text: &'a str, what: &'static str) -> Result<&'a str, Problem> {
    let text = text.trim_matches(is_space);
    if text.starts_with('{') { Ok(text) } else { Err(Problem::NotAnObject { what, found: shown(text) }) }
}

/// Whether JSON takes it for white space.
pub(in crate::codec) fn is_space(char: char) -> bool {
    matches!(char, ' ' | '\t' | '\r' | '\n')
}

/// Visits an object, and leaves the refusal where the caller finds it: the parser's error only says that
/// there is one.
struct Keys<'k> {
    what: &'static str,
    known: &'k [&'k str],
    refusal: &'k mut Option<Problem>,
}

impl<'de> Visitor<'de> for Keys<'_> {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members: Self::Value = Vec::with_capacity(self.known.len());
        while let Some(TextName(key)) = map.next_key()? {
            let problem = if !self.known.contains(&key.as_ref()) {
                let known = if self.known.is_empty() { "none".to_owned() } else { self.known.join(", ") };
                Problem::UnknownKey { what: self.what, key: shown(&key), known }
            } else if members.iter().any(|(name, _)| *name == key) {
                Problem::Invalid { source: algebra::Error::DuplicateKey { key: key.into_owned() } }
            } else {
                members.push((key, map.next_value()?));
                continue;
            };
            *self.refusal = Some(problem);
            return Err(A::Error::custom("refused"));
        }
        Ok(members)
    }
}
