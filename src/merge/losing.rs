//! What loses in a merge: values that are in no state afterwards, and that nobody who overwrote them can be said to have
//! seen.

use super::joint::{Content, Seen, time};
use crate::algebra::Patch;

/// A value that lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Whose it was: 0 is the destination, then the sources in their order.
    pub file: usize,
    /// The fields with their values; null for one that had been removed.
    pub fields: Patch,
    /// Whether what lost was a deletion.
    pub was_delete: bool,
}

impl Loss {
    /// The loss of some fields, if there are any.
    pub(super) fn of(file: usize, fields: Patch) -> Option<Self> {
        let is_any = !fields.is_empty();
        is_any.then_some(Loss { file, fields, was_delete: false })
    }
}

/// What a side is known to have had: one of them, or whichever won.
pub(super) struct Had<'a> {
    pub(super) content: &'a Content,
    pub(super) by: Option<&'a Content>,
}

/// What one side has, and what comes of it.
pub(super) struct Losing<'a> {
    pub(super) ours: &'a Content,
    pub(super) kept: &'a Content,
    /// What all sides have.
    pub(super) others: &'a [&'a Content],
    pub(super) had: &'a [Had<'a>],
    /// Whether stamps tell who wrote something: no two files write under one name, and nothing carries a stamp of what
    /// lost to it.
    pub(super) are_apart: bool,
}

impl Losing<'_> {
    /// The fields that are lost and that nobody can be said to have seen; or, where it was deleted, that the deleters had
    /// not.
    pub(super) fn fields(&self, deleters: Option<&Seen>) -> Patch {
        let Losing { ours, kept, .. } = self;
        ours.values(|name| {
            let (mine, kept) = (ours.mark(name), kept.mark(name));
            if deleters.is_some_and(|seen| time(mine.0) > seen.of(name)) {
                return true;
            }
            let is_known = self
                .had
                .iter()
                .any(|had| had.content.mark(name) == mine && had.by.is_none_or(|by| by.mark(name) == kept));
            // Whoever wrote both had seen the first; and whoever changed it since it was made, what it was made as.
            let writers = (mine.0.and_then(|stamp| stamp.replica), kept.0.and_then(|stamp| stamp.replica));
            let moved_on = self.are_apart && writers.0.is_some() && writers.0 == writers.1;
            let winner = self.others.iter().find(|content| content.mark(name) == kept);
            let was_made_so = self.are_apart
                && mine.0 == ours.created
                && winner.is_some_and(|winner| winner.created == ours.created && kept.0 != winner.created);
            mine.1 != kept.1 && !is_known && !moved_on && !was_made_so
        })
    }
}

/// These fields with their values, null for none.
pub(super) fn patch_of<'a>(fields: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) -> Patch {
    let mut whole = Patch::empty();
    for (name, value) in fields {
        let value = value.unwrap_or("null");
        let one = format!("{{{}:{value}}}", serde_json::Value::from(name));
        // It was a member of a state.
        if let Ok(one) = Patch::from_json(&one) {
            whole = whole.then(&one);
        }
    }
    whole
}

impl Content {
    /// Whether a field is there, or was removed.
    pub(super) fn had(&self, name: &str) -> bool {
        let (stamp, value) = self.mark(name);
        value.is_some() || stamp != self.created
    }

    /// Those of its fields that are wanted; null for one that was removed.
    fn values(&self, is_wanted: impl Fn(&str) -> bool) -> Patch {
        let listed = self.fields.iter().filter(|(name, _)| self.had(name) && is_wanted(name));
        patch_of(listed.map(|(name, (_, value))| (name.as_str(), value.as_deref())))
    }
}
