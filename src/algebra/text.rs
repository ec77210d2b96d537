//! Canonical JSON text: one spelling for each JSON value, so that equal values are equal bytes.
//!
//! Keys stand in the order of their characters' code points, each once; no white space; strings are
//! escaped only where JSON demands it; integers of 64 bits are written in decimal, every other number as
//! the shortest decimal that reads back as the same double. A number that cannot be carried exactly is
//! refused. Tokens are found by `serde_json`; only the form is decided here.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::error::{Error, shortened};

/// The deepest nesting of arrays and objects that is read: what `serde_json` itself reads back.
pub const NESTING_MAX: usize = 120;

/// Appends the canonical text of any JSON value to `out`.
pub(crate) fn canonical(raw: &str, depth: usize, out: &mut String) -> Result<(), Error> {
    let raw = raw.trim_ascii();
    match raw.as_bytes().first() {
        Some(b'{') => {
            let members = members(raw)?;
            out.push('{');
            write_members(&members, depth, out, |_| false)?;
            out.push('}');
            Ok(())
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(raw)?;
            out.push('[');
            let below = deeper(depth)?;
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    out.push(',');
                }
                canonical(item.get(), below, out)?;
            }
            out.push(']');
            Ok(())
        }
        Some(b'"') => {
            if raw.contains('\\') {
                let text: String = serde_json::from_str(raw)?;
                out.push_str(&serde_json::to_string(&text)?);
            } else {
                // Without an escape there is only one way to write it; the parser has seen it already.
                out.push_str(raw);
            }
            Ok(())
        }
        Some(b'-' | b'0'..=b'9') => number(raw, out),
        _ => {
            out.push_str(raw);
            Ok(())
        }
    }
}

/// The members of an object in canonical order, each name once. The names are not escaped.
pub(crate) fn members(raw: &str) -> Result<Vec<(Cow<'_, str>, &RawValue)>, Error> {
    let mut parser = serde_json::Deserializer::from_str(raw);
    let mut members = parser.deserialize_map(Members)?;
    parser.end()?;
    members.sort_by(|(a, _), (b, _)| a.cmp(b));
    for ((first, _), (second, _)) in members.iter().zip(members.iter().skip(1)) {
        if first == second {
            return Err(Error::DuplicateKey { key: shortened(first) });
        }
    }
    Ok(members)
}

/// Writes members between braces that the caller has written, leaving out those that `skip` names by
/// their raw value.
pub(crate) fn write_members(
    members: &[(Cow<'_, str>, &RawValue)],
    depth: usize,
    out: &mut String,
    skip: impl Fn(&str) -> bool,
) -> Result<(), Error> {
    let below = deeper(depth)?;
    let mut is_first = true;
    for (name, value) in members {
        if skip(value.get()) {
            continue;
        }
        if !is_first {
            out.push(',');
        }
        is_first = false;
        out.push_str(&serde_json::to_string(name)?);
        out.push(':');
        canonical(value.get(), below, out)?;
    }
    Ok(())
}

fn deeper(depth: usize) -> Result<usize, Error> {
    if depth >= NESTING_MAX { Err(Error::TooDeep { max: NESTING_MAX }) } else { Ok(depth + 1) }
}

fn number(raw: &str, out: &mut String) -> Result<(), Error> {
    let inexact = || Error::InexactNumber { literal: shortened(raw) };
    let is_integer = !raw.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E'));
    if is_integer && raw != "-0" {
        // JSON writes an integer in one way only, so what fits is canonical as it stands.
        if raw.parse::<i64>().is_err() && raw.parse::<u64>().is_err() {
            return Err(inexact());
        }
        out.push_str(raw);
        return Ok(());
    }
    let double: f64 = raw.parse().map_err(|_| inexact())?;
    if !double.is_finite() {
        return Err(inexact());
    }
    let shortest = serde_json::to_string(&double)?;
    if Decimal::of(raw) != Decimal::of(&shortest) {
        return Err(inexact());
    }
    out.push_str(&shortest);
    Ok(())
}

/// A decimal literal by its meaning: sign, digits without zeros at either end, power of ten.
#[derive(PartialEq, Eq)]
struct Decimal {
    is_negative: bool,
    digits: String,
    exponent: Option<i64>,
}

impl Decimal {
    fn of(literal: &str) -> Self {
        let is_negative = literal.starts_with('-');
        let (mantissa, exponent) = match literal.split_once(['e', 'E']) {
            // An exponent beyond 64 bits never equals one that a double prints.
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()),
            None => (literal, Some(0)),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all: String = whole.chars().chain(fraction.chars()).filter(char::is_ascii_digit).collect();
        let trimmed = all.trim_end_matches('0');
        let zeros_dropped = all.len() - trimmed.len();
        let digits = trimmed.trim_start_matches('0').to_owned();
        if digits.is_empty() {
            return Decimal { is_negative, digits, exponent: Some(0) };
        }
        let shift = i64::try_from(zeros_dropped)
            .ok()
            .zip(i64::try_from(fraction.len()).ok())
            .map(|(dropped, fraction)| dropped - fraction);
        let exponent = exponent.zip(shift).and_then(|(exponent, shift)| exponent.checked_add(shift));
        Decimal { is_negative, digits, exponent }
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some((Name(name), value)) = map.next_entry()? {
            members.push((name, value));
        }
        Ok(members)
    }
}

/// A key that is borrowed wherever it holds no escape.
pub(crate) struct Name<'a>(pub(crate) Cow<'a, str>);

impl<'de> serde::Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(raw: &str) -> Result<String, Error> {
        let mut out = String::new();
        canonical(raw, 0, &mut out).map(|()| out)
    }

    #[test]
    fn equal_values_have_one_spelling() {
        for (raw, expected) in [
            (r#" { "b" : 1 , "a" : [ 1.50 , "\u0041\n" ] } "#, r#"{"a":[1.5,"A\n"],"b":1}"#),
            ("1e2", "100.0"),
            ("0.1e1", "1.0"),
            ("0.010e2", "1.0"),
            ("-0", "-0.0"),
            ("0.1", "0.1"),
            ("18446744073709551615", "18446744073709551615"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("5e-324", "5e-324"),
            ("0e99999999999999999999", "0.0"),
            (r#""\u00e9""#, "\"é\""),
        ] {
            assert_eq!(text(raw).unwrap(), expected, "{raw}");
        }
    }

    #[test]
    fn what_would_come_back_as_another_number_is_refused() {
        for raw in [
            "18446744073709551616",
            "-9223372036854775809",
            "123456789012345678901234567890",
            "0.1000000000000000055511151231257827",
            "9007199254740993.0",
            "1e400",
            "1e-400",
            "1e99999999999999999999",
        ] {
            assert!(matches!(text(raw), Err(Error::InexactNumber { .. })), "{raw}");
        }
    }

    #[test]
    fn a_key_may_stand_once_at_every_depth() {
        assert!(matches!(text(r#"{"a":1,"\u0061":2}"#), Err(Error::DuplicateKey { .. })));
        assert!(matches!(text(r#"[{"x":{"a":1,"a":1}}]"#), Err(Error::DuplicateKey { .. })));
    }

    #[test]
    fn what_is_wanted_is_said() {
        let said = |json: &str| members(json).unwrap_err().to_string();
        assert!(said("[1]").contains("a JSON object"), "{}", said("[1]"));
        let said = serde_json::from_str::<Name<'_>>("1").map(|_| ()).unwrap_err().to_string();
        assert!(said.contains("a key"), "{said}");
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(text(&deep(NESTING_MAX)).is_ok());
        assert!(matches!(text(&deep(NESTING_MAX + 1)), Err(Error::TooDeep { .. })));
        assert!(matches!(text(&deep(100_000)), Err(Error::TooDeep { .. })));
    }
}
