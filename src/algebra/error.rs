//! The one error of the algebra: what was refused, and why.

use thiserror::Error;

/// The error of everything that is read into the algebra's types.
///
/// Nothing is half-built: a value that is refused leaves no trace.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is not JSON, or not the JSON that was expected here.
    #[error("not valid JSON: {source}")]
    Json {
        /// What the JSON parser said, with line and column inside the text.
        #[from]
        source: serde_json::Error,
    },
    /// A state or a patch must be a JSON object.
    #[error("a state or a patch is a JSON object, but this is {found}")]
    NotAnObject {
        /// What stood there: "an array", "a number", …
        found: &'static str,
    },
    /// One object named a key twice.
    #[error("the key {key:?} stands twice in one object; keep one of them")]
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// A number that would come back as another one.
    #[error(
        "the number {literal} cannot be carried exactly (integers of 64 bits and doubles can); send it as a string"
    )]
    InexactNumber {
        /// The number as it was written, shortened to 64 characters.
        literal: String,
    },
    /// A floating-point value that JSON has no word for (NaN or an infinity).
    #[error("{value} is not a JSON number; use null or a string")]
    NotANumber {
        /// "NaN", "inf" or "-inf".
        value: String,
    },
    /// Arrays and objects were nested too deeply.
    #[error("nested deeper than {max} levels")]
    TooDeep {
        /// The deepest nesting that is read: [`NESTING_MAX`](super::NESTING_MAX).
        max: usize,
    },
    /// A state or patch was too large.
    #[error("{bytes} bytes of fields; the limit is {max} bytes (16 MiB)")]
    TooLarge {
        /// Its size as canonical JSON.
        bytes: usize,
        /// The limit: [`FIELDS_BYTES_MAX`](super::FIELDS_BYTES_MAX).
        max: usize,
    },
    /// A collection name was refused.
    #[error("the collection name {name:?} {why}")]
    CollectionName {
        /// The name, shortened to 64 characters.
        name: String,
        /// What is wrong with it, as the end of a sentence.
        why: &'static str,
    },
    /// A group name was refused.
    #[error("the group name {name:?} {why}")]
    GroupName {
        /// The name, shortened to 64 characters.
        name: String,
        /// What is wrong with it, as the end of a sentence.
        why: &'static str,
    },
    /// An id that is no UUID in its hyphenated form.
    #[error("{text:?} is no UUID; write it as 8-4-4-4-12 hexadecimal digits")]
    MalformedId {
        /// The text, shortened to 64 characters.
        text: String,
    },
    /// The nil UUID names nothing.
    #[error("the nil UUID cannot name an entity; use a version 4 or 7 UUID")]
    NilId,
    /// A time outside of what a stamp holds.
    #[error("the time {at} is out of range: 0 to {max} ms since 1970")]
    Time {
        /// The time that was given.
        at: u64,
        /// The latest time there is: [`Millis::MAX`](super::Millis::MAX).
        max: u64,
    },
    /// An operation whose parts are not as they must be.
    #[error("the operation on {key} {why}")]
    Operation {
        /// The entity.
        key: super::names::EntityKey,
        /// What is wrong with it, as the end of a sentence.
        why: &'static str,
    },
    /// A schema that contradicts itself.
    #[error("the schema's collection {collection:?} {why}")]
    Schema {
        /// The collection at fault.
        collection: String,
        /// What is wrong with it, as the end of a sentence.
        why: String,
    },
}

/// Shortens what came from outside so that it can stand in a message.
pub(crate) fn shortened(text: &str) -> String {
    const CHARS_MAX: usize = 64;
    let mut short: String = text.chars().take(CHARS_MAX).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::shortened;

    #[test]
    fn what_is_too_long_for_a_message_ends_in_an_ellipsis() {
        let of = |chars: usize| "é".repeat(chars);
        assert_eq!(shortened(&of(64)), of(64));
        assert_eq!(shortened(&of(65)), of(64) + "…");
        assert_eq!(shortened(""), "");
    }
}
