//! The names and numbers that everything else is told by; each is checked once, when it is made.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use uuid::Uuid;

use super::error::{Error, shortened};

/// The longest collection name, in bytes: with the entity's id it stays a short key in every store.
pub const COLLECTION_NAME_BYTES_MAX: usize = 128;

/// The longest group name, in bytes: room for two UUIDs and a word.
pub const GROUP_NAME_BYTES_MAX: usize = 128;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// The place of an operation in one journal: 1, 2, 3, …; never used twice.
    Seq
}
number! {
    /// The authority's counter per account and collection, strictly increasing in commit order. 0 says
    /// that the entity is known to be absent.
    Epoch
}
number! {
    /// The place of a trigger in the authority's stream: 1, 2, 3, …
    Index
}
number! {
    /// The number of a bunch in one journal: 1, 2, 3, …
    BunchNumber
}
number! {
    /// Milliseconds since the Unix epoch, at most [`Millis::MAX`].
    Millis
}

impl Millis {
    /// The last millisecond of the year 9999: far enough, and never in reach of an overflow.
    pub const MAX: Millis = Millis(253_402_300_799_999);

    /// Takes a time from outside.
    ///
    /// # Errors
    /// A time after [`Millis::MAX`].
    pub fn new(at: u64) -> Result<Self, Error> {
        if at > Self::MAX.0 { Err(Error::Time { at, max: Self::MAX.0 }) } else { Ok(Millis(at)) }
    }

    /// The time after it: itself, where there is none.
    pub(crate) fn next(self) -> Self {
        Millis(self.0.saturating_add(1)).min(Self::MAX)
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $max:ident, $variant:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks a name.
            ///
            /// # Errors
            /// A name that breaks the rules above.
            pub fn new(name: &str) -> Result<Self, Error> {
                match objection(name, $max) {
                    Some(why) => Err(Error::$variant { name: shortened(name), why }),
                    None => Ok($name(Arc::from(name))),
                }
            }

            /// The name.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Error;
            fn from_str(name: &str) -> Result<Self, Error> {
                Self::new(name)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

name! {
    /// The name of a collection: 1 to [`COLLECTION_NAME_BYTES_MAX`] bytes without control characters,
    /// without `/` (which parts it from the id in messages), and without white space at its ends.
    CollectionName, COLLECTION_NAME_BYTES_MAX, CollectionName
}
name! {
    /// The name of a group: the operations of one local transaction, which travel together. The rules
    /// are those of a collection's name.
    Group, GROUP_NAME_BYTES_MAX, GroupName
}

fn objection(name: &str, bytes_max: usize) -> Option<&'static str> {
    if name.is_empty() {
        Some("is empty")
    } else if name.len() > bytes_max {
        Some("is longer than 128 bytes")
    } else if name.chars().any(char::is_control) {
        Some("holds a control character")
    } else if name.contains('/') {
        Some("holds a '/'")
    } else if name.trim() != name {
        Some("begins or ends with white space")
    } else {
        None
    }
}

/// Which entity: its collection and its id, which is never the nil UUID.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityKey {
    collection: CollectionName,
    id: Uuid,
}

impl EntityKey {
    /// Names an entity.
    ///
    /// # Errors
    /// The nil UUID.
    pub fn new(collection: CollectionName, id: Uuid) -> Result<Self, Error> {
        if id.is_nil() { Err(Error::NilId) } else { Ok(EntityKey { collection, id }) }
    }

    /// The collection.
    #[must_use]
    pub fn collection(&self) -> &CollectionName {
        &self.collection
    }

    /// The id.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.id
    }
}

impl fmt::Display for EntityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.collection, self.id)
    }
}

impl fmt::Debug for EntityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads an id in its hyphenated form, in any case.
///
/// # Errors
/// Any other text, and the nil UUID.
pub fn parse_id(text: &str) -> Result<Uuid, Error> {
    let hyphenated = (text.len() == 36).then(|| Uuid::try_parse(text).ok()).flatten();
    match hyphenated {
        None => Err(Error::MalformedId { text: shortened(text) }),
        Some(id) if id.is_nil() => Err(Error::NilId),
        Some(id) => Ok(id),
    }
}

/// Which replica wrote: a version 4 UUID that a journal draws when it is made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaId(pub Uuid);

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ids_are_checked() {
        for bad in ["", "a/b", " a", "a\n", &"x".repeat(129)] {
            assert!(CollectionName::new(bad).is_err(), "{bad:?}");
        }
        for good in ["notes", "Äpfel und Birnen", "a.b-c_d", &"x".repeat(128)] {
            assert!(CollectionName::new(good).is_ok(), "{good:?}");
        }
        let id = parse_id("8D56E5D3-D4F3-583E-9955-4D898DDC04C9").unwrap();
        assert_eq!(id.to_string(), "8d56e5d3-d4f3-583e-9955-4d898ddc04c9");
        for bad in ["", "x", "8d56e5d3d4f3583e99554d898ddc04c9", "{8d56e5d3-d4f3-583e-9955-4d898ddc04c}"] {
            assert!(matches!(parse_id(bad), Err(Error::MalformedId { .. })), "{bad:?}");
        }
        assert!(matches!(parse_id("00000000-0000-0000-0000-000000000000"), Err(Error::NilId)));
    }

    #[test]
    fn names_are_told_as_they_are_written() {
        let id = parse_id("8d56e5d3-d4f3-583e-9955-4d898ddc04c9").unwrap();
        let key = EntityKey::new(CollectionName::new("notes").unwrap(), id).unwrap();
        for told in [key.to_string(), format!("{key:?}")] {
            assert_eq!(told, "notes/8d56e5d3-d4f3-583e-9955-4d898ddc04c9");
        }
        for told in [ReplicaId(id).to_string(), format!("{:?}", ReplicaId(id))] {
            assert_eq!(told, "8d56e5d3-d4f3-583e-9955-4d898ddc04c9");
        }
    }
}
