//! Objects of which every key is known, each value of the kind that its key wants.

use std::borrow::Cow;

use serde_json::value::RawValue;
use uuid::Uuid;

use super::error::Problem;
use crate::algebra::{
    CollectionName, EntityKey, Millis, ReplicaId, Stamp, parse_id, shortened, text_members,
};

/// The members of an object, each key known and there once.
pub(super) struct Object<'a> {
    what: &'static str,
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> Object<'a> {
    pub(super) fn read(text: &'a str, what: &'static str, known: &[&str]) -> Result<Self, Problem> {
        let object = Self::open(text, what)?;
        match object.members.iter().find(|(key, _)| !known.contains(&key.as_ref())) {
            None => Ok(object),
            Some((key, _)) => Err(Problem::UnknownKey { what, key: shortened(key), known: known.join(", ") }),
        }
    }

    /// An object whose keys are anything.
    pub(super) fn open(text: &'a str, what: &'static str) -> Result<Self, Problem> {
        let text = text.trim_ascii();
        if !text.starts_with('{') {
            // What is no JSON at all is better told by the parser.
            serde_json::from_str::<&RawValue>(text)?;
            return Err(Problem::NotAnObject { what, found: shortened(text) });
        }
        Ok(Object { what, members: text_members(text)? })
    }

    pub(super) fn members(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.members.iter().map(|(key, value)| (key.as_ref(), *value))
    }

    /// The value of a key as it is written.
    pub(super) fn get(&self, key: &str) -> Option<&'a str> {
        self.members.iter().find(|(name, _)| name == key).map(|(_, value)| value.get())
    }

    pub(super) fn need(&self, key: &'static str) -> Result<&'a str, Problem> {
        self.get(key).ok_or(Problem::MissingKey { what: self.what, key })
    }

    pub(super) fn string(&self, key: &'static str) -> Result<Cow<'a, str>, Problem> {
        string(key, "a string", self.need(key)?)
    }

    pub(super) fn optional_string(&self, key: &'static str) -> Result<Option<Cow<'a, str>>, Problem> {
        self.get(key).map(|raw| string(key, "a string", raw)).transpose()
    }

    pub(super) fn whole(&self, key: &'static str) -> Result<u64, Problem> {
        whole(key, self.need(key)?)
    }

    pub(super) fn optional_whole(&self, key: &'static str) -> Result<Option<u64>, Problem> {
        self.get(key).map(|raw| whole(key, raw)).transpose()
    }

    pub(super) fn id(&self, key: &'static str) -> Result<Uuid, Problem> {
        Ok(parse_id(&string(key, "a UUID in a string", self.need(key)?)?)?)
    }

    pub(super) fn optional_id(&self, key: &'static str) -> Result<Option<Uuid>, Problem> {
        if self.get(key).is_some() { self.id(key).map(Some) } else { Ok(None) }
    }

    /// The entity that `collection` and `id` name.
    pub(super) fn entity(&self) -> Result<EntityKey, Problem> {
        let collection = CollectionName::new(&self.string("collection")?)?;
        Ok(EntityKey::new(collection, self.id("id")?)?)
    }

    /// When fields were written, by `stamps`.
    pub(super) fn stamps(&self) -> Result<Vec<(String, Stamp)>, Problem> {
        let Some(raw) = self.get("stamps") else { return Ok(Vec::new()) };
        let stamps = Object::open(raw, "stamps")?;
        stamps.members().map(|(name, value)| Ok((name.to_owned(), stamp(value.get())?))).collect()
    }
}

/// A list of raw values.
pub(super) fn list<'a>(key: &'static str, raw: &'a str) -> Result<Vec<&'a RawValue>, Problem> {
    if raw.starts_with('[') { Ok(serde_json::from_str(raw)?) } else { Err(wrong(key, "a list", raw)) }
}

pub(super) fn string<'a>(
    key: &'static str,
    expected: &'static str,
    raw: &'a str,
) -> Result<Cow<'a, str>, Problem> {
    match raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        None => Err(wrong(key, expected, raw)),
        Some(plain) if !plain.contains('\\') => Ok(Cow::Borrowed(plain)),
        Some(_) => Ok(Cow::Owned(serde_json::from_str(raw)?)),
    }
}

pub(super) fn whole(key: &'static str, raw: &str) -> Result<u64, Problem> {
    let is_whole = raw.bytes().all(|byte| byte.is_ascii_digit());
    is_whole
        .then(|| raw.parse().ok())
        .flatten()
        .ok_or_else(|| wrong(key, "a whole number of 64 bits, 0 or more", raw))
}

fn stamp(raw: &str) -> Result<Stamp, Problem> {
    if raw.starts_with('{') {
        let stamp = Object::read(raw, "a stamp", &["at", "replica"])?;
        let replica = stamp.optional_id("replica")?.map(ReplicaId);
        return Ok(Stamp { at: Millis::new(stamp.whole("at")?)?, replica });
    }
    Ok(Stamp { at: Millis::new(whole("stamps", raw)?)?, replica: None })
}

pub(super) fn wrong(key: &'static str, expected: &'static str, raw: &str) -> Problem {
    Problem::WrongValue { key, expected, found: shortened(raw) }
}

/// Writes one object: keys in the order in which they are given.
pub(super) struct Writer<'o> {
    out: &'o mut String,
    has_members: bool,
}

impl<'o> Writer<'o> {
    pub(super) fn new(out: &'o mut String) -> Self {
        out.push('{');
        Writer { out, has_members: false }
    }

    /// Begins a member whose value the caller writes.
    pub(super) fn member(&mut self, key: &str) -> &mut String {
        if self.has_members {
            self.out.push(',');
        }
        self.has_members = true;
        quote(key, self.out);
        self.out.push(':');
        self.out
    }

    pub(super) fn raw(&mut self, key: &str, json: &str) {
        self.member(key).push_str(json);
    }

    pub(super) fn string(&mut self, key: &str, text: &str) {
        quote(text, self.member(key));
    }

    pub(super) fn whole(&mut self, key: &str, number: u64) {
        let digits = number.to_string();
        self.raw(key, &digits);
    }

    pub(super) fn id(&mut self, key: &str, id: Uuid) {
        let mut buffer = Uuid::encode_buffer();
        let text = id.hyphenated().encode_lower(&mut buffer);
        self.string(key, text);
    }

    pub(super) fn entity(&mut self, key: &EntityKey) {
        self.string("collection", key.collection().as_str());
        self.id("id", key.id());
    }

    pub(super) fn stamps(&mut self, stamps: &[(String, Stamp)]) {
        if stamps.is_empty() {
            return;
        }
        let mut writer = Writer::new(self.member("stamps"));
        for (name, stamp) in stamps {
            match stamp.replica {
                None => writer.whole(name, stamp.at.0),
                Some(replica) => {
                    let mut both = Writer::new(writer.member(name));
                    both.whole("at", stamp.at.0);
                    both.id("replica", replica.0);
                    both.end();
                }
            }
        }
        writer.end();
    }

    pub(super) fn end(self) {
        self.out.push('}');
    }
}

/// Writes a JSON string.
pub(super) fn quote(text: &str, out: &mut String) {
    if text.bytes().any(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        // Writing a string into memory cannot fail.
        out.push_str(&serde_json::to_string(text).unwrap_or_default());
    } else {
        out.push('"');
        out.push_str(text);
        out.push('"');
    }
}
