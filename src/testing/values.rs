//! Every value that was written, and what became of it: law 10.
//!
//! Each written value is another one, so that it can be recognised wherever it turns up.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::algebra::{EntityKey, State, written};
use crate::replica::{Error, Replica};

/// A value: of which field of which entity, and which one.
pub type Token = (EntityKey, String, String);

/// How the text of a value begins that is recognised.
pub const VALUE: &str = "value ";

/// The values that were written, and those that somebody replaced who saw them.
#[derive(Clone, Debug, Default)]
pub struct Values {
    written: BTreeSet<Token>,
    replaced: BTreeMap<Token, String>,
    count: u64,
}

impl Values {
    /// A value that was never written before.
    #[must_use]
    pub fn fresh(&mut self) -> String {
        self.count += 1;
        format!("{VALUE}{}", self.count)
    }

    /// Notes an operation by what its maker saw before and after it.
    pub fn note(&mut self, key: &EntityKey, before: Option<&State>, after: Option<&State>, by: &str) {
        let (before, after) = (tokens(key, before), tokens(key, after));
        self.replaced.extend(before.difference(&after).map(|token| (token.clone(), by.to_owned())));
        self.written.extend(after.difference(&before).cloned());
    }

    /// Notes that values were replaced by somebody who could not see them, and who will never hear of it.
    pub fn replace(&mut self, key: &EntityKey, fields: &State, by: &str) {
        self.replaced.extend(tokens(key, Some(fields)).into_iter().map(|token| (token, by.to_owned())));
    }

    /// The values that were written.
    pub fn written(&self) -> impl Iterator<Item = &Token> {
        self.written.iter()
    }

    /// The values that somebody replaced who saw them, with who that was.
    pub fn replaced(&self) -> impl Iterator<Item = (&Token, &str)> {
        self.replaced.iter().map(|(token, by)| (token, by.as_str()))
    }

    /// The values that are neither replaced nor among those that are still somewhere.
    #[must_use]
    pub fn missing(&self, found: &BTreeSet<Token>) -> Vec<Token> {
        let gone = self.written.iter().filter(|token| !self.replaced.contains_key(*token));
        gone.filter(|token| !found.contains(*token)).cloned().collect()
    }
}

/// The values that a replica shows of some entities, or keeps: parked, in an open conflict, lost, or held.
///
/// # Errors
/// What the replica says.
pub fn kept<'k>(
    replica: &Replica,
    entities: impl IntoIterator<Item = &'k EntityKey>,
) -> Result<BTreeSet<Token>, Error> {
    let mut found = BTreeSet::new();
    for key in entities {
        found.extend(tokens(key, replica.get(key)?.as_ref()));
    }
    for parked in replica.journal().parked()? {
        let written = written(&parked.effect);
        found.extend(written.iter().filter_map(|(field, raw)| token(&parked.key, &field, raw)));
    }
    for conflict in replica.conflicts()? {
        found.extend(tokens(&conflict.key, conflict.local.existence.state()));
    }
    for lost in replica.losers()? {
        found.extend(lost.fields.iter().filter_map(|(field, raw)| token(&lost.key, &field, raw)));
    }
    for held in replica.journal().held()? {
        let written = written(&held.effect);
        found.extend(written.iter().filter_map(|(field, raw)| token(&held.key, &field, raw)));
    }
    Ok(found)
}

/// The values of a state that are recognised.
#[must_use]
pub fn tokens(key: &EntityKey, state: Option<&State>) -> BTreeSet<Token> {
    let fields = state.into_iter().flat_map(State::iter);
    fields.filter_map(|(field, raw)| token(key, &field, raw)).collect()
}

/// A field's value, if it is one that is recognised.
#[must_use]
pub fn token(key: &EntityKey, field: &str, raw: &str) -> Option<Token> {
    match serde_json::from_str(raw) {
        Ok(Value::String(text)) if text.starts_with(VALUE) => Some((key.clone(), field.to_owned(), text)),
        Ok(_) | Err(_) => None,
    }
}
