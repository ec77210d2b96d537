//! Every value that was written, and what became of it: law 10.
//!
//! Each written value is another one (its writer and a count), so that it can be recognised wherever it turns up.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::algebra::{EntityKey, State};

/// A value: of which field of which entity, and which one.
pub(super) type Token = (EntityKey, String, String);

/// The values that were written, and those that somebody replaced who saw them.
#[derive(Debug, Default)]
pub(super) struct Values {
    written: BTreeSet<Token>,
    replaced: BTreeMap<Token, String>,
    count: u64,
}

impl Values {
    /// A value that was never written before.
    pub(super) fn fresh(&mut self) -> String {
        self.count += 1;
        format!("value {}", self.count)
    }

    /// Notes an operation by what its maker saw before and after it.
    pub(super) fn note(&mut self, key: &EntityKey, before: Option<&State>, after: Option<&State>, by: &str) {
        let (before, after) = (tokens(key, before), tokens(key, after));
        self.replaced.extend(before.difference(&after).map(|token| (token.clone(), by.to_owned())));
        self.written.extend(after.difference(&before).cloned());
    }

    /// The values that are neither replaced nor among those that are still somewhere.
    pub(super) fn missing(&self, found: &BTreeSet<Token>) -> Vec<Token> {
        let gone = self.written.iter().filter(|token| !self.replaced.contains_key(*token));
        gone.filter(|token| !found.contains(*token)).cloned().collect()
    }
}

/// The values of a state that are recognised.
pub(super) fn tokens(key: &EntityKey, state: Option<&State>) -> BTreeSet<Token> {
    let fields = state.into_iter().flat_map(State::iter);
    fields.filter_map(|(field, raw)| token(key, &field, raw)).collect()
}

/// A field's value, if it is one that is recognised.
pub(super) fn token(key: &EntityKey, field: &str, raw: &str) -> Option<Token> {
    match serde_json::from_str(raw) {
        Ok(Value::String(text)) if text.starts_with("value ") => Some((key.clone(), field.to_owned(), text)),
        Ok(_) | Err(_) => None,
    }
}
