//! Fields, states and patches: canonical JSON objects that are laid over one another.
//!
//! A [`State`] is a whole entity, a [`Patch`] changes only the fields it names. Both are shallow: a
//! field's value is replaced whole. (RFC 7396 patches are not closed under composition when nested;
//! these are.) Invariant: the text is canonical, so equality is equality of bytes.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::Error;
use super::finite::require_finite;
use super::members::{Builder, Entries, Pair, Zipped};
use super::text;

/// The largest state or patch that is read, in bytes of canonical JSON: 16 MiB, so that one operation always fits in
/// memory many times over on the smallest machine that runs this. What is composed of several may be larger.
pub const FIELDS_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A whole entity: field name → JSON value. A null field is an absent field.
///
/// ```
/// use foldlog::algebra::{Patch, State};
/// let state = State::from_json(r#"{"b":1,"a":"x","gone":null}"#)?;
/// assert_eq!(state.as_json(), r#"{"a":"x","b":1}"#);
/// let patch = Patch::from_json(r#"{"b":null,"c":true}"#)?;
/// assert_eq!(state.with(&patch).as_json(), r#"{"a":"x","c":true}"#);
/// # Ok::<(), foldlog::algebra::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct State(Fields);

/// A change of the fields it names; null removes one.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Patch(Fields);

/// The blake3 hash of a state's canonical text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl State {
    /// The state without fields.
    #[must_use]
    pub fn empty() -> Self {
        State(Fields::empty())
    }

    /// Reads a state from the JSON text of an object. Null fields are left out.
    ///
    /// # Errors
    /// What is no object, names a key twice, holds a number that cannot be carried exactly, is nested
    /// deeper than [`NESTING_MAX`](super::NESTING_MAX), or larger than [`FIELDS_BYTES_MAX`].
    pub fn from_json(json: &str) -> Result<Self, Error> {
        Fields::read(json, FIELDS_BYTES_MAX, |value| value == "null").map(State)
    }

    /// Reads a state that was composed here: as [`State::from_json`], however large it is. What it was composed of was
    /// within the limit, and taken.
    pub(crate) fn composed(json: &str) -> Result<Self, Error> {
        Fields::read(json, usize::MAX, |value| value == "null").map(State)
    }

    /// As [`State::composed`], from a serde value.
    pub(crate) fn composed_of<T: Serialize + ?Sized>(value: &T) -> Result<Self, Error> {
        require_finite(value)?;
        State::composed(&serde_json::to_string(value)?)
    }

    /// Reads a state from any serde value that is an object.
    ///
    /// # Errors
    /// As [`State::from_json`]; also a NaN or an infinity, which JSON cannot hold.
    pub fn from_serialize<T: Serialize + ?Sized>(value: &T) -> Result<Self, Error> {
        require_finite(value)?;
        State::from_json(&serde_json::to_string(value)?)
    }

    /// Reads the state as a serde type.
    ///
    /// # Errors
    /// If the type does not accept these fields.
    pub fn to<T: DeserializeOwned>(&self) -> Result<T, Error> {
        Ok(serde_json::from_str(self.as_json())?)
    }

    /// The canonical JSON text.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.0.text
    }

    /// A field's value, or nothing where the field is absent.
    #[must_use]
    pub fn get(&self, field: &str) -> Option<Value> {
        self.raw(field).and_then(|raw| serde_json::from_str(raw).ok())
    }

    /// A field's value as canonical JSON text.
    #[must_use]
    pub fn raw(&self, field: &str) -> Option<&str> {
        self.0.raw(field)
    }

    /// The names and values, in the names' order; the values as canonical JSON text.
    pub fn iter(&self) -> impl Iterator<Item = (String, &str)> {
        self.0.entries().map(|entry| (entry.name().into_owned(), entry.value))
    }

    /// Whether there is no field.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The patch laid over this state (`⊕`).
    #[must_use]
    pub fn with(&self, patch: &Patch) -> State {
        State(self.0.overlaid(&patch.0, Nulls::Remove))
    }

    /// The smallest patch that makes this state the other one.
    #[must_use]
    pub fn changes_to(&self, other: &State) -> Patch {
        let mut builder = Builder::with_capacity(other.0.text.len());
        for pair in Zipped::new(self.as_json(), other.as_json()) {
            match pair {
                Pair::Left(old) => builder.push(old.raw_name, "null"),
                Pair::Right(new) => builder.push(new.raw_name, new.value),
                Pair::Both(old, new) if old.value != new.value => builder.push(new.raw_name, new.value),
                Pair::Both(..) => {}
            }
        }
        Patch(Fields { text: builder.finish() })
    }

    /// The state without the fields that are not wanted.
    pub(crate) fn only(&self, is_wanted: impl Fn(&str) -> bool) -> State {
        State(self.0.only(is_wanted))
    }

    /// The blake3 hash of the canonical text.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest(*blake3::hash(self.as_json().as_bytes()).as_bytes())
    }

    /// How many hold its text.
    pub(super) fn holders(&self) -> usize {
        Arc::strong_count(&self.0.text)
    }

    /// Takes what was made of members of canonical objects, each name once, in order, none of them null.
    pub(super) fn built(text: Arc<str>) -> Self {
        State(Fields { text })
    }

    /// Takes text whose checksum says that it was written as canonical. See [`Fields::trusted`].
    pub(crate) fn trusted(text: &str) -> Self {
        State(Fields::trusted(text))
    }
}

impl Patch {
    /// The patch that changes nothing.
    #[must_use]
    pub fn empty() -> Self {
        Patch(Fields::empty())
    }

    /// Reads a patch from the JSON text of an object. A null field removes.
    ///
    /// # Errors
    /// As [`State::from_json`].
    pub fn from_json(json: &str) -> Result<Self, Error> {
        Fields::read(json, FIELDS_BYTES_MAX, |_| false).map(Patch)
    }

    /// Reads a patch that was composed here. See [`State::composed`].
    pub(crate) fn composed(json: &str) -> Result<Self, Error> {
        Fields::read(json, usize::MAX, |_| false).map(Patch)
    }

    /// Reads a patch from any serde value that is an object.
    ///
    /// # Errors
    /// As [`State::from_serialize`].
    pub fn from_serialize<T: Serialize + ?Sized>(value: &T) -> Result<Self, Error> {
        require_finite(value)?;
        Patch::from_json(&serde_json::to_string(value)?)
    }

    /// The canonical JSON text.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.0.text
    }

    /// What the patch sets a field to, as canonical JSON text: "null" where it removes it, nothing where
    /// it does not name it.
    #[must_use]
    pub fn raw(&self, field: &str) -> Option<&str> {
        self.0.raw(field)
    }

    /// The names and values, in the names' order; the values as canonical JSON text.
    pub fn iter(&self) -> impl Iterator<Item = (String, &str)> {
        self.0.entries().map(|entry| (entry.name().into_owned(), entry.value))
    }

    /// Whether it names no field.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One patch that does what this one and then the later one do.
    #[must_use]
    pub fn then(&self, later: &Patch) -> Patch {
        Patch(self.0.overlaid(&later.0, Nulls::Keep))
    }

    /// The patch without the fields that are not wanted.
    pub(crate) fn only(&self, is_wanted: impl Fn(&str) -> bool) -> Patch {
        Patch(self.0.only(is_wanted))
    }

    /// The patch that removes one field.
    #[must_use]
    pub fn removing(field: &str) -> Self {
        let name = serde_json::Value::String(field.to_owned());
        Patch::from_json(&format!("{{{name}:null}}")).unwrap_or_else(|_| Patch::empty())
    }

    /// What is left of the patch once everything that the state already says is taken out.
    #[must_use]
    pub fn changing(&self, state: &State) -> Patch {
        let mut builder = Builder::with_capacity(self.0.text.len());
        for pair in Zipped::new(state.as_json(), self.as_json()) {
            match pair {
                Pair::Left(_) => {}
                Pair::Right(new) if new.value == "null" => {}
                Pair::Right(new) => builder.push(new.raw_name, new.value),
                Pair::Both(old, new) if old.value != new.value => builder.push(new.raw_name, new.value),
                Pair::Both(..) => {}
            }
        }
        Patch(Fields { text: builder.finish() })
    }

    /// How many hold its text.
    pub(super) fn holders(&self) -> usize {
        Arc::strong_count(&self.0.text)
    }

    /// Takes what was made of members of canonical objects, each name once, in order.
    pub(super) fn built(text: Arc<str>) -> Self {
        Patch(Fields { text })
    }

    /// Takes text whose checksum says that it was written as canonical. See [`Fields::trusted`].
    pub(crate) fn trusted(text: &str) -> Self {
        Patch(Fields::trusted(text))
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_json())
    }
}

impl fmt::Debug for Patch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_json())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What states and patches share: an object's canonical text.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Fields {
    text: Arc<str>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Nulls {
    Remove,
    Keep,
}

impl Fields {
    fn empty() -> Self {
        Fields { text: Arc::from("{}") }
    }

    fn read(json: &str, max: usize, skip: impl Fn(&str) -> bool) -> Result<Self, Error> {
        let json = json.trim_ascii();
        let found = match json.as_bytes().first() {
            Some(b'{') => None,
            Some(b'[') => Some("an array"),
            Some(b'"') => Some("a string"),
            Some(b'n') => Some("null"),
            Some(b't' | b'f') => Some("a boolean"),
            Some(b'-' | b'0'..=b'9') => Some("a number"),
            _ => Some("no JSON value"),
        };
        if let Some(found) = found {
            return Err(Error::NotAnObject { found });
        }
        let members = text::members(json)?;
        let mut out = String::with_capacity(json.len());
        out.push('{');
        text::write_members(&members, 0, &mut out, skip)?;
        out.push('}');
        if out.len() > max {
            return Err(Error::TooLarge { bytes: out.len(), max });
        }
        Ok(Fields { text: Arc::from(out) })
    }

    /// Takes text as canonical without looking at it: only for bytes under a checksum that this program
    /// wrote. Should they have been forged all the same, everything here still ends: the scanner is
    /// total, and whoever reads a value from the result gets a parse error.
    fn trusted(text: &str) -> Self {
        Fields { text: Arc::from(text) }
    }

    fn is_empty(&self) -> bool {
        self.text.len() <= 2
    }

    fn entries(&self) -> Entries<'_> {
        Entries::new(&self.text)
    }

    fn raw(&self, field: &str) -> Option<&str> {
        self.entries().find(|entry| entry.is_named(field)).map(|entry| entry.value)
    }

    fn only(&self, is_wanted: impl Fn(&str) -> bool) -> Fields {
        let mut builder = Builder::with_capacity(self.text.len());
        for entry in self.entries().filter(|entry| is_wanted(&entry.name())) {
            builder.push(entry.raw_name, entry.value);
        }
        Fields { text: builder.finish() }
    }

    fn overlaid(&self, later: &Fields, nulls: Nulls) -> Fields {
        let mut builder = Builder::with_capacity(self.text.len() + later.text.len());
        for pair in Zipped::new(&self.text, &later.text) {
            match pair {
                Pair::Left(old) => builder.push(old.raw_name, old.value),
                Pair::Right(new) | Pair::Both(_, new) => {
                    if nulls == Nulls::Keep || new.value != "null" {
                        builder.push(new.raw_name, new.value);
                    }
                }
            }
        }
        Fields { text: builder.finish() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(json: &str) -> State {
        State::from_json(json).unwrap()
    }

    fn patch(json: &str) -> Patch {
        Patch::from_json(json).unwrap()
    }

    #[test]
    fn names_with_escapes_keep_their_order() {
        let both = state(r#"{"a\"b":1,"a!":2,"a#":3}"#).with(&patch(r#"{"a\"b":9,"a\"":4}"#));
        assert_eq!(both.as_json(), r#"{"a!":2,"a\"":4,"a\"b":9,"a#":3}"#);
        assert_eq!(both.get("a\"b"), Some(Value::from(9)));
        assert_eq!(State::from_json(both.as_json()).unwrap(), both);
    }

    #[test]
    fn an_escaped_name_stands_where_its_characters_do() {
        let both = state(r#"{"aZ":1}"#).with(&patch(r#"{"a\"":2}"#));
        assert_eq!(both.as_json(), r#"{"a\"":2,"aZ":1}"#);
        let both = state(r#"{"a\"":1}"#).with(&patch(r#"{"aZ":2}"#));
        assert_eq!(both.as_json(), r#"{"a\"":1,"aZ":2}"#);
    }

    #[test]
    fn what_was_composed_is_read_as_any_state() {
        let read = State::composed(r#"{"b":null,"a":1}"#).unwrap();
        assert_eq!(read, state(r#"{"a":1}"#));
    }

    #[test]
    fn values_are_replaced_whole_and_split_at_the_right_commas() {
        let nested = state(r#"{"a":{"x":[1,"},{\\",{"y":"\""}]},"b":"a,b:c"}"#);
        assert_eq!(
            nested.with(&patch(r#"{"b":1}"#)).as_json(),
            r#"{"a":{"x":[1,"},{\\",{"y":"\""}]},"b":1}"#
        );
        assert_eq!(nested.with(&patch(r#"{"a":{}}"#)).as_json(), r#"{"a":{},"b":"a,b:c"}"#);
    }

    #[test]
    fn the_patch_between_two_states_makes_one_the_other() {
        let (a, b) = (state(r#"{"p":1,"q":2,"r":3}"#), state(r#"{"q":2,"r":4,"s":5}"#));
        let changes = a.changes_to(&b);
        assert_eq!(changes.as_json(), r#"{"p":null,"r":4,"s":5}"#);
        assert_eq!(a.with(&changes), b);
        assert!(a.changes_to(&a).is_empty());
    }

    #[test]
    fn a_patch_keeps_nulls_until_it_is_laid_on_a_state() {
        let both = patch(r#"{"a":1,"b":null}"#).then(&patch(r#"{"a":null}"#));
        assert_eq!(both.as_json(), r#"{"a":null,"b":null}"#);
        assert!(both.changing(&State::empty()).is_empty());
    }

    #[test]
    fn of_a_patch_what_changes_something_is_left() {
        let there = state(r#"{"a":1,"b":2,"c":3}"#);
        let change = patch(r#"{"a":1,"b":9,"c":null,"d":4,"e":null}"#).changing(&there);
        assert_eq!(change.as_json(), r#"{"b":9,"c":null,"d":4}"#);
    }

    #[test]
    fn fields_are_listed_in_the_order_of_their_names() {
        let (none, some) = (State::empty(), state(r#"{"b":[2],"a":"x"}"#));
        let listed: Vec<(String, &str)> = some.iter().collect();
        assert_eq!(listed, [("a".to_owned(), "\"x\""), ("b".to_owned(), "[2]")]);
        assert_eq!(none.iter().count(), 0);
        assert!(none.is_empty() && !some.is_empty());
    }

    #[test]
    fn what_is_no_object_is_called_by_its_name() {
        for (json, name) in [
            ("[]", "an array"),
            ("\"a\"", "a string"),
            ("null", "null"),
            ("true", "a boolean"),
            ("false", "a boolean"),
            ("-1", "a number"),
            ("7", "a number"),
        ] {
            let refused = State::from_json(json);
            assert!(
                matches!(refused, Err(Error::NotAnObject { found }) if found == name),
                "{json}: {refused:?}"
            );
        }
    }

    #[test]
    fn sixteen_mebibytes_are_read_and_one_byte_more_is_not() {
        let of = |bytes: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes - 8));
        assert!(State::from_json(&of(16_777_216)).is_ok());
        let refused = State::from_json(&of(16_777_217));
        assert!(
            matches!(refused, Err(Error::TooLarge { bytes: 16_777_217, max: 16_777_216 })),
            "another error"
        );
        assert!(State::composed(&of(16_777_217)).is_ok());
    }

    #[test]
    fn fields_and_digests_are_shown_as_they_are_written() {
        let shown = state(r#"{"b":1,"a":2}"#);
        assert_eq!(format!("{shown:?} {:?}", patch(r#"{"c":null}"#)), r#"{"a":2,"b":1} {"c":null}"#);
        let digest = blake3::hash(br#"{"a":2,"b":1}"#).to_hex();
        let shown = format!("{} {:?}", shown.digest(), shown.digest());
        assert_eq!(shown, format!("{digest} {digest}"));
    }

    #[test]
    fn forged_text_ends_without_a_panic() {
        for text in
            ["", "{", "}", "{\"", "{\"a", "{\"a\"}", "{\"a\":", "{\"a\":[", "{\"a\":\"\\", "{,}", "{\"é:1}"]
        {
            let forged = State::trusted(text);
            let _ = forged.with(&patch(r#"{"a":1}"#));
            let _ = forged.changes_to(&State::empty());
            assert_eq!(forged.get("a"), None);
        }
    }
}
