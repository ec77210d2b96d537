//! Numbers and names as people read them.

use crate::algebra::{CollectionName, EntityKey, parse_id};

use super::failure::Failure;

/// A count with its thousands parted: 2,128.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A count and its noun: "1 operation", "2,128 operations".
pub(super) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

pub(super) fn operations(number: u64) -> String {
    counted(number, "operation", "operations")
}

pub(super) fn entities(number: u64) -> String {
    counted(number, "entity", "entities")
}

/// A size: "312 B", "1.2 kB", "40 MB".
pub(super) fn bytes(number: u64) -> String {
    let mut unit = "B";
    let mut divisor = 1_u64;
    for (name, size) in [("kB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000)] {
        if number >= size {
            (unit, divisor) = (name, size);
        }
    }
    let whole = number / divisor;
    if divisor == 1 || whole >= 100 {
        format!("{} {unit}", count(whole))
    } else {
        format!("{whole}.{} {unit}", number % divisor * 10 / divisor)
    }
}

/// How much of a whole, in percent with one place, rounded down: never "100 %" of less.
pub(super) fn percent(part: u64, whole: u64) -> String {
    let tenths = u128::from(part) * 1_000 / u128::from(whole.max(1));
    format!("{}.{} %", tenths / 10, tenths % 10)
}

/// A span of time in its largest unit: "3 min".
pub(super) fn span(ms: u64) -> String {
    let (number, unit) = match ms {
        0..1_000 => (ms, "ms"),
        1_000..60_000 => (ms / 1_000, "s"),
        60_000..3_600_000 => (ms / 60_000, "min"),
        3_600_000..172_800_000 => (ms / 3_600_000, "h"),
        _ => (ms / 86_400_000, "days"),
    };
    format!("{} {unit}", count(number))
}

/// Text from outside as it may stand on a terminal: what would move the cursor, or turn the direction of writing, is
/// spelled out.
pub(super) fn shown(text: &str) -> String {
    let turns = |char: char| matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        if char.is_control() || turns(char) { out.extend(char.escape_unicode()) } else { out.push(char) }
    }
    out
}

/// An entity as COLLECTION/UUID.
pub(super) fn entity(text: &str) -> Result<EntityKey, Failure> {
    let Some((collection, id)) = text.rsplit_once('/') else {
        return Err(Failure::Usage(format!(
            "{text:?} is no entity; write it as COLLECTION/UUID, like notes/8d56e5d3-d4f3-583e-9955-4d898ddc04c9"
        )));
    };
    let named = |error: crate::algebra::Error| Failure::Usage(error.to_string());
    let collection = CollectionName::new(collection).map_err(named)?;
    EntityKey::new(collection, parse_id(id).map_err(named)?).map_err(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0, 999, 1_000, 1_299, 99_999, 100_000, 2_500_000].map(bytes),
            ["0 B", "999 B", "1.0 kB", "1.2 kB", "99.9 kB", "100 kB", "2.5 MB"]
        );
        assert_eq!([percent(1_999, 2_000), percent(0, 0), percent(7, 7)], ["99.9 %", "0.0 %", "100.0 %"]);
        assert_eq!(shown("a\u{1b}[2J\u{202e}ä"), "a\\u{1b}[2J\\u{202e}ä");
        assert_eq!([5, 59_999, 7_200_000, 172_800_000].map(span), ["5 ms", "59 s", "2 h", "2 days"]);
    }
}
