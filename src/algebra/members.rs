//! The members of a canonical object: read in the order of their names, walked side by side, written again.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

use memchr::memchr2;

/// One member of a canonical object, as it is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    /// The name between its quotes, still escaped.
    pub(super) raw_name: &'a str,
    pub(super) value: &'a str,
    is_escaped: bool,
}

impl<'a> Entry<'a> {
    /// The name, its escapes undone.
    pub(super) fn name(&self) -> Cow<'a, str> {
        if self.is_escaped {
            Cow::Owned(serde_json::from_str(&format!("\"{}\"", self.raw_name)).unwrap_or_default())
        } else {
            Cow::Borrowed(self.raw_name)
        }
    }

    pub(super) fn is_named(&self, name: &str) -> bool {
        if self.is_escaped { self.name() == name } else { self.raw_name == name }
    }

    pub(super) fn cmp_names(&self, other: &Entry<'_>) -> Ordering {
        if self.is_escaped || other.is_escaped {
            self.name().cmp(&other.name())
        } else {
            self.raw_name.cmp(other.raw_name)
        }
    }
}

/// Splits the inside of a canonical object at its top-level commas and colons. Total: on any other text
/// it stops.
pub(super) struct Entries<'a> {
    rest: &'a str,
}

impl<'a> Entries<'a> {
    pub(super) fn new(object: &'a str) -> Self {
        let inner = object.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        Entries { rest: inner.unwrap_or("") }
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        let rest = self.rest.strip_prefix('"')?;
        let (name_end, is_escaped) = name_end(rest.as_bytes())?;
        let raw_name = rest.get(..name_end)?;
        let after = rest.get(name_end + 1..)?.strip_prefix(':')?;
        let value_end = value_end(after.as_bytes());
        let value = after.get(..value_end)?;
        self.rest = after.get(value_end + 1..).unwrap_or("");
        Some(Entry { raw_name, value, is_escaped })
    }
}

/// Where a name that began just before these bytes ends, and whether it has escapes. Most are so short that looking
/// at many bytes at once costs more than it saves.
fn name_end(bytes: &[u8]) -> Option<(usize, bool)> {
    let short = bytes.iter().take(SHORT_NAME).position(|byte| matches!(byte, b'"' | b'\\'));
    match short.and_then(|at| Some((at, *bytes.get(at)?))) {
        Some((at, b'"')) => Some((at, false)),
        _ => {
            let end = string_end(bytes)?;
            Some((end, bytes.get(..end)?.contains(&b'\\')))
        }
    }
}

const SHORT_NAME: usize = 16;

/// Where the string that began just before these bytes ends: the place of its closing quote.
fn string_end(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + memchr2(b'"', b'\\', bytes.get(from..)?)?;
        if bytes.get(at) == Some(&b'"') {
            return Some(at);
        }
        // Behind the backslash and what it escapes.
        from = at + 2;
    }
}

/// Where the value that these bytes begin with ends: the next comma outside of strings and brackets.
fn value_end(bytes: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => at += bytes.get(at + 1..).and_then(string_end).map_or(bytes.len(), |length| length + 1),
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => return at,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

/// What two objects have of one name.
pub(super) enum Pair<'a> {
    Left(Entry<'a>),
    Right(Entry<'a>),
    Both(Entry<'a>, Entry<'a>),
}

/// Walks two objects side by side in the order of their names.
pub(super) struct Zipped<'a> {
    left: std::iter::Peekable<Entries<'a>>,
    right: std::iter::Peekable<Entries<'a>>,
}

impl<'a> Zipped<'a> {
    pub(super) fn new(left: &'a str, right: &'a str) -> Self {
        Zipped { left: Entries::new(left).peekable(), right: Entries::new(right).peekable() }
    }
}

impl<'a> Iterator for Zipped<'a> {
    type Item = Pair<'a>;

    fn next(&mut self) -> Option<Pair<'a>> {
        let order = match (self.left.peek(), self.right.peek()) {
            (Some(left), Some(right)) => left.cmp_names(right),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return None,
        };
        match order {
            Ordering::Less => self.left.next().map(Pair::Left),
            Ordering::Greater => self.right.next().map(Pair::Right),
            Ordering::Equal => self.left.next().zip(self.right.next()).map(|(a, b)| Pair::Both(a, b)),
        }
    }
}

/// Writes an object member by member, in canonical order.
pub(super) struct Builder {
    text: String,
}

impl Builder {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Builder::in_place_of(String::with_capacity(bytes + 2))
    }

    /// Writes into the memory of another text.
    pub(super) fn in_place_of(mut text: String) -> Self {
        text.clear();
        text.push('{');
        Builder { text }
    }

    pub(super) fn push(&mut self, raw_name: &str, value: &str) {
        if self.text.len() > 1 {
            self.text.push(',');
        }
        self.text.push('"');
        self.text.push_str(raw_name);
        self.text.push_str("\":");
        self.text.push_str(value);
    }

    /// The object's text.
    pub(super) fn finish(self) -> Arc<str> {
        Arc::from(self.into_text())
    }

    pub(super) fn into_text(mut self) -> String {
        self.text.push('}');
        self.text
    }
}
