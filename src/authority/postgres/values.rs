//! Values as columns hold them: what PostgreSQL would change is kept beside what it can show.

use std::error::Error as StdError;

use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use super::error::PostgresError;
use crate::algebra::State;
use crate::codec::binary;
use crate::codec::records::StampsRecord;

/// How long a value stands in a key's column as it is: 31 of them, the most that one index takes beside the account,
/// fit into the 2,700 bytes of its rows.
pub(super) const KEY_BYTES_MAX: usize = 80;

/// The format of the marks.
const MARKS_VERSION: u8 = 1;

/// A value of a unique key, canonical JSON, as its column holds it. A long one is known by its hash, behind a sign that no
/// JSON value begins with.
pub(super) fn key_text(raw: &str) -> String {
    if raw.len() <= KEY_BYTES_MAX {
        raw.to_owned()
    } else {
        format!("#{}", blake3::hash(raw.as_bytes()).to_hex())
    }
}

/// Whether canonical JSON is the same again after it was JSONB, which refuses `\u0000`, knows no negative zero, and
/// writes out every exponent. It looks at the text alone and says no where it is not sure.
pub(super) fn survives_jsonb(json: &str) -> bool {
    if json.contains("\\u0000") {
        return false;
    }
    let mut bytes = json.bytes();
    let mut before = b' ';
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => {
                // To the end of the string: what is behind a backslash never ends it.
                while let Some(inside) = bytes.next() {
                    match inside {
                        b'\\' => drop(bytes.next()),
                        b'"' => break,
                        _ => {}
                    }
                }
            }
            b'e' | b'E' if before.is_ascii_digit() => return false,
            b'0' if before == b'-' => return false,
            _ => {}
        }
        before = byte;
    }
    true
}

/// A state on its way into or out of a column of type `jsonb`, as text.
#[derive(Debug)]
pub(super) struct Jsonb<T>(pub(super) T);

/// The version of the binary form of `jsonb`: behind it stands the text.
const JSONB_VERSION: u8 = 1;

impl ToSql for Jsonb<State> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        out.put_u8(JSONB_VERSION);
        out.put_slice(self.0.as_json().as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(of: &Type) -> bool {
        *of == Type::JSONB
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Jsonb<&'a str> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        match raw.split_first() {
            Some((&JSONB_VERSION, text)) => Ok(Jsonb(std::str::from_utf8(text)?)),
            Some(_) | None => Err("a jsonb value of an unknown version".into()),
        }
    }

    fn accepts(of: &Type) -> bool {
        *of == Type::JSONB
    }
}

/// The stamps of an entity and the epochs of its fields.
pub(super) type Marks = (StampsRecord, Vec<(String, u64)>);

pub(super) fn marks_bytes(marks: &Marks) -> Result<Vec<u8>, PostgresError> {
    let mut bytes = vec![MARKS_VERSION];
    binary::encode_behind(marks, &mut bytes)
        .map_err(|error| PostgresError::damaged("an entity's marks", error))?;
    Ok(bytes)
}

pub(super) fn marks_of(bytes: &[u8]) -> Result<Marks, PostgresError> {
    let damaged = |why: String| PostgresError::damaged("an entity's marks", why);
    match bytes.split_first() {
        Some((&MARKS_VERSION, body)) => binary::decode(body).map_err(|error| damaged(error.to_string())),
        Some((version, _)) => Err(damaged(format!("format {version} is not known; update foldlog"))),
        None => Err(damaged("they are empty".to_owned())),
    }
}

/// A number that is counted here, as PostgreSQL holds it. It would take longer than anything lasts to count beyond.
pub(super) fn counted(what: &'static str, number: u64) -> Result<i64, PostgresError> {
    i64::try_from(number).map_err(|_| PostgresError::damaged(what, format!("{number} cannot be stored")))
}

pub(super) fn uncounted(what: &'static str, number: i64) -> Result<u64, PostgresError> {
    u64::try_from(number).map_err(|_| PostgresError::damaged(what, format!("{number} is negative")))
}

/// A number that others say, to compare with what is counted here: whatever is too large is above all of it.
pub(super) fn compared(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_jsonb_spoils_is_seen() {
        for (json, survives) in [
            (r#"{"a":1,"b":[1.5,-0.5e0]}"#, false),
            (r#"{"a":1,"b":[1.5,100.0,true,false,null],"e":"1e5 -0"}"#, true),
            (r#"{"n":18446744073709551615,"m":-9223372036854775808}"#, true),
            (r#"{"a":1e300}"#, false),
            (r#"{"a":-0.0}"#, false),
            (r#"{"a":"\u0000"}"#, false),
            (r#"{"a":"\\\"1e5"}"#, true),
            (r#"{"1e5":"-0.0"}"#, true),
            (r#"{"a\"":1e5}"#, false),
            ("{}", true),
        ] {
            assert_eq!(survives_jsonb(json), survives, "{json}");
        }
    }

    #[test]
    fn a_long_value_of_a_key_is_known_by_a_text_that_is_no_value() {
        let long = format!("\"{}\"", "x".repeat(KEY_BYTES_MAX));
        assert!(key_text(&long).starts_with('#') && key_text(&long).len() < KEY_BYTES_MAX);
        assert_eq!(key_text("\"x\""), "\"x\"");
    }
}
