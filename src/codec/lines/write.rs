//! Writing objects and lists.

use uuid::Uuid;

use crate::algebra::{EntityKey, Stamp, Stamps};

/// Writes one object: keys in the order in which they are given.
pub(in crate::codec) struct Writer<'o> {
    out: &'o mut String,
    has_members: bool,
}

impl<'o> Writer<'o> {
    pub(in crate::codec) fn new(out: &'o mut String) -> Self {
        out.push('{');
        Writer { out, has_members: false }
    }

    /// Begins a member whose value the caller writes.
    pub(in crate::codec) fn member(&mut self, key: &str) -> &mut String {
        if self.has_members {
            self.out.push(',');
        }
        self.has_members = true;
        quote(key, self.out);
        self.out.push(':');
        self.out
    }

    pub(in crate::codec) fn raw(&mut self, key: &str, json: &str) {
        self.member(key).push_str(json);
    }

    pub(in crate::codec) fn string(&mut self, key: &str, text: &str) {
        quote(text, self.member(key));
    }

    pub(in crate::codec) fn whole(&mut self, key: &str, number: u64) {
        let digits = number.to_string();
        self.raw(key, &digits);
    }

    pub(in crate::codec) fn id(&mut self, key: &str, id: Uuid) {
        let mut buffer = Uuid::encode_buffer();
        let text = id.hyphenated().encode_lower(&mut buffer);
        self.string(key, text);
    }

    pub(in crate::codec) fn entity(&mut self, key: &EntityKey) {
        self.string("collection", key.collection().as_str());
        self.id("id", key.id());
    }

    pub(in crate::codec) fn stamps(&mut self, stamps: &[(String, Stamp)]) {
        if stamps.is_empty() {
            return;
        }
        let mut writer = Writer::new(self.member("stamps"));
        for (name, stamp) in stamps {
            writer.stamp(name, *stamp);
        }
        writer.end();
    }

    pub(in crate::codec) fn stamp(&mut self, key: &str, stamp: Stamp) {
        match stamp.replica {
            None => self.whole(key, stamp.at.0),
            Some(replica) => {
                let mut both = Writer::new(self.member(key));
                both.whole("at", stamp.at.0);
                both.id("replica", replica.0);
                both.end();
            }
        }
    }

    /// What [`Object::all_stamps`](super::object::Object::all_stamps) reads.
    pub(in crate::codec) fn all_stamps(&mut self, stamps: &Stamps) {
        let Stamps { created, turned, fields } = stamps;
        for (key, stamp) in [("created", created), ("turned", turned)] {
            if let Some(stamp) = stamp {
                self.stamp(key, *stamp);
            }
        }
        self.stamps(fields);
    }

    pub(in crate::codec) fn boolean(&mut self, key: &str, is: bool) {
        self.raw(key, if is { "true" } else { "false" });
    }

    pub(in crate::codec) fn end(self) {
        self.out.push('}');
    }
}

/// Writes a JSON string.
pub(in crate::codec) fn quote(text: &str, out: &mut String) {
    if text.bytes().any(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        // Writing a string into memory cannot fail.
        out.push_str(&serde_json::to_string(text).unwrap_or_default());
    } else {
        out.push('"');
        out.push_str(text);
        out.push('"');
    }
}

/// Writes a list, each element by `write`.
pub(in crate::codec) fn write_list<T>(
    out: &mut String,
    elements: &[T],
    mut write: impl FnMut(&T, &mut String),
) {
    out.push('[');
    for (place, element) in elements.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        write(element, out);
    }
    out.push(']');
}
