//! Names in PostgreSQL: of any text, one that is safe, short enough and still tells what it is for.
//!
//! Invariant: a name is made of `[a-z0-9_]` alone and has at most 63 bytes; other texts have other names, as the name
//! holds 64 bits of their hash.

/// The longest identifier that PostgreSQL keeps whole.
pub(super) const NAME_BYTES_MAX: usize = 63;

/// How much of a name is there to be read.
const READABLE_BYTES_MAX: usize = 36;

/// The name of a thing of this kind that belongs to these texts, the first of which it begins with.
pub(super) fn name(kind: &str, texts: &[&str]) -> String {
    let mut hasher = blake3::Hasher::new();
    for text in [kind].iter().chain(texts) {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    let hash = hasher.finalize().to_hex();
    let hash: String = hash.chars().take(16).collect();
    let readable = readable(texts.first().copied().unwrap_or(""));
    let name = format!("{readable}_{hash}_{kind}");
    debug_assert!(name.len() <= NAME_BYTES_MAX, "{name}");
    name
}

fn readable(text: &str) -> String {
    let plain = |char: char| {
        let char = char.to_ascii_lowercase();
        if char.is_ascii_alphanumeric() { char } else { '_' }
    };
    let plain: String = text.chars().take(READABLE_BYTES_MAX).map(plain).collect();
    // An identifier of digits alone is one, but nobody expects it.
    if plain.starts_with(|first: char| first.is_ascii_digit()) {
        format!("_{}", plain.chars().take(READABLE_BYTES_MAX - 1).collect::<String>())
    } else {
        plain
    }
}

/// Any identifier as it stands in a statement.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_safe_short_and_its_own_for_every_text() {
        let long = "x".repeat(128);
        let texts = [
            "notes",
            "Notes",
            "nötes",
            "a\"; drop table x; --",
            "",
            "1",
            long.as_str(),
            "日本語",
            "a_b",
            "a b",
        ];
        let names: std::collections::BTreeSet<String> = texts
            .iter()
            .flat_map(|text| ["live", "archive"].map(|kind| name(kind, &[text, "field"])))
            .collect();
        assert_eq!(names.len(), 2 * texts.len());
        for name in names {
            assert!(name.len() <= NAME_BYTES_MAX, "{name}");
            assert!(name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_')), "{name}");
            assert!(!name.starts_with(|first: char| first.is_ascii_digit()), "{name}");
        }
        assert_ne!(name("key", &["a", "bc"]), name("key", &["a", "b", "c"]));
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
    }
}
