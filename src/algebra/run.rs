//! What a run of effects does to an entity's fields, found at once: of every field the newest part counts.
//!
//! The same as composing them two by two, where every step would write the fields anew.

use std::cmp::Ordering;

use super::effect::{Content, Effect};
use super::fields::{Patch, State};
use super::members::{Builder, Entries, Entry};
use super::stamp::{Clock, FieldStamp};

/// An effect of a run, and the clock before it.
pub(super) type Part<'e> = (&'e Effect, Clock);

/// The fields of a run, and when they were written.
pub(super) struct Written {
    pub(super) content: Content,
    pub(super) written: Clock,
    pub(super) exceptions: Vec<(String, FieldStamp)>,
}

/// Composes the contents of a run, oldest first.
pub(super) fn composed(parts: &[Part<'_>]) -> Written {
    let replaced = parts.iter().rposition(|(part, _)| matches!(part.content, Content::Replace(_)));
    let parts = parts.get(replaced.unwrap_or(0)..).unwrap_or_default();
    let mut writing = parts.iter().filter(|(part, _)| !matches!(part.content, Content::Keep));
    match (writing.next(), writing.next()) {
        (None, _) => Written { content: Content::Keep, written: Clock::default(), exceptions: Vec::new() },
        (Some((only, before)), None) => Written {
            content: only.content.clone(),
            written: only.written.after(*before),
            exceptions: lifted(only, *before).collect(),
        },
        (Some(_), Some(_)) => merged(parts),
    }
}

/// The exceptions of a part, as they are in its run.
fn lifted(part: &Effect, before: Clock) -> impl Iterator<Item = (String, FieldStamp)> + '_ {
    part.exceptions.iter().map(move |(name, stamp)| (name.clone(), stamp.after(before)))
}

/// A member of one of the parts.
struct Member<'a> {
    /// The beginning of its name, which tells most names apart.
    head: u64,
    entry: Entry<'a>,
    part: usize,
}

impl<'a> Member<'a> {
    fn new(entry: Entry<'a>, part: usize) -> Self {
        let mut head = [0; 8];
        head.iter_mut().zip(entry.name().bytes()).for_each(|(to, from)| *to = from);
        Member { head: u64::from_be_bytes(head), entry, part }
    }

    fn cmp_names(&self, other: &Self) -> Ordering {
        self.head.cmp(&other.head).then_with(|| self.entry.cmp_names(&other.entry))
    }
}

/// Several parts that write, of which at most the first replaces everything.
fn merged(parts: &[Part<'_>]) -> Written {
    let mut members = Vec::new();
    for (place, (part, _)) in parts.iter().enumerate() {
        let text = match &part.content {
            Content::Keep => continue,
            Content::Merge(patch) => patch.as_json(),
            Content::Replace(state) => state.as_json(),
        };
        members.extend(Entries::new(text).map(|entry| Member::new(entry, place)));
    }
    // Stable: it finds that each part is in order already, and merges.
    members.sort_by(|a, b| a.cmp_names(b).then(b.part.cmp(&a.part)));
    members.dedup_by(|later, kept| later.cmp_names(kept) == Ordering::Equal);

    let whole = parts.first().filter(|(part, _)| matches!(part.content, Content::Replace(_)));
    let newest = parts.iter().rfind(|(part, _)| !matches!(part.content, Content::Keep));
    let written = whole.or(newest).map_or(Clock::default(), |(part, before)| part.written.after(*before));
    let mut exceptions: Vec<(String, FieldStamp)> = Vec::new();
    let bytes = members.iter().map(|member| member.entry.raw_name.len() + member.entry.value.len() + 4).sum();
    let mut builder = Builder::with_capacity(bytes);
    for Member { entry, part, .. } in &members {
        if whole.is_none() || entry.value != "null" {
            builder.push(entry.raw_name, entry.value);
        }
        let Some((part, before)) = parts.get(*part) else { continue };
        let own = FieldStamp::Clock(part.written);
        let stamp = if part.exceptions.is_empty() { own } else { part.stamp_of(&entry.name()) };
        let stamp = stamp.after(*before);
        if stamp != FieldStamp::Clock(written) {
            exceptions.push((entry.name().into_owned(), stamp));
        }
    }
    if let Some((whole, before)) = whole {
        // What it says of fields that it has removed.
        let is_named =
            |name: &str| members.binary_search_by(|member| member.entry.name().as_ref().cmp(name)).is_ok();
        let removed = lifted(whole, *before).filter(|(name, _)| !is_named(name));
        let named = exceptions.len();
        exceptions.extend(removed);
        if exceptions.len() > named {
            exceptions.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        }
    }
    let text = builder.finish();
    let content = match whole {
        Some(_) => Content::Replace(State::built(text)),
        None => Content::Merge(Patch::built(text)),
    };
    Written { content, written, exceptions }
}
