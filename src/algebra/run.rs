//! What a run of effects does to an entity's fields, found at once: of every field the newest part counts.
//!
//! The same as composing them two by two, where every step would write the fields anew. Parts are borrowed from
//! wherever they lie, and what is written goes into buffers that outlast a run.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::members::{Builder, Entries, Entry};
use super::stamp::{Clock, FieldStamp, Stamp};

/// What a part of a run does to the fields: its text, wherever that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fields<'a> {
    Keep,
    Merge(&'a str),
    Replace(&'a str),
}

/// The fields of a part that were written at another time than the others, in the order of their names.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Exceptions<'a> {
    OfEffect(&'a [(String, FieldStamp)]),
    OfOperation(&'a [(String, Stamp)]),
    /// As they were read; their names stayed where they are.
    Read(&'a [(&'a str, FieldStamp)]),
}

/// A part of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    pub(crate) fields: Fields<'a>,
    pub(crate) written: Clock,
    pub(crate) exceptions: Exceptions<'a>,
    /// The clock of everything before it.
    pub(crate) before: Clock,
}

/// The fields of a run, and when they were written.
pub(crate) struct Composed<'c> {
    pub(crate) fields: Fields<'c>,
    /// The place of the one part that wrote all of the fields, if one did.
    pub(super) only: Option<usize>,
    pub(crate) written: Clock,
    pub(crate) exceptions: &'c [Exception<'c>],
}

/// A field, and when it was written.
pub(crate) type Exception<'a> = (Cow<'a, str>, FieldStamp);

/// Composes one run after another.
#[derive(Debug, Default)]
pub(crate) struct Composer {
    text: String,
    // Empty between two runs: only their memory is kept.
    members: Vec<Member<'static>>,
    exceptions: Vec<Exception<'static>>,
}

impl Composer {
    /// Composes the contents of a run, oldest first, for somebody to take a look at.
    pub(crate) fn compose<T>(&mut self, parts: &[Part<'_>], look: impl FnOnce(Composed<'_>) -> T) -> T {
        let replaced = parts.iter().rposition(|part| matches!(part.fields, Fields::Replace(_)));
        let first = replaced.unwrap_or(0);
        let parts = parts.get(first..).unwrap_or_default();
        let mut exceptions = emptied(std::mem::take(&mut self.exceptions));
        let mut writing = parts.iter().enumerate().filter(|(_, part)| part.fields != Fields::Keep);
        let (fields, only, written) = match (writing.next(), writing.next()) {
            (None, _) => (Fields::Keep, None, Clock::default()),
            (Some((place, only)), None) => {
                exceptions.extend(only.lifted());
                (only.fields, Some(first + place), only.written.after(only.before))
            }
            (Some(_), Some(_)) => {
                let mut members = emptied(std::mem::take(&mut self.members));
                let written = merge(parts, &mut members, &mut self.text, &mut exceptions);
                self.members = emptied(members);
                let text = self.text.as_str();
                (if replaced.is_some() { Fields::Replace(text) } else { Fields::Merge(text) }, None, written)
            }
        };
        let looked = look(Composed { fields, only, written, exceptions: &exceptions });
        self.exceptions = emptied(exceptions);
        looked
    }
}

/// The memory of a list for another one of the same kind, whose lifetime differs: collecting it in place.
pub(crate) fn emptied<T, U>(mut list: Vec<T>) -> Vec<U> {
    list.clear();
    list.into_iter().filter_map(|_| None).collect()
}

impl<'a> Exceptions<'a> {
    fn len(&self) -> usize {
        match self {
            Exceptions::OfEffect(all) => all.len(),
            Exceptions::OfOperation(all) => all.len(),
            Exceptions::Read(all) => all.len(),
        }
    }

    fn at(&self, place: usize) -> Option<(&'a str, FieldStamp)> {
        match self {
            Exceptions::OfEffect(all) => all.get(place).map(|(name, stamp)| (name.as_str(), *stamp)),
            Exceptions::OfOperation(all) => {
                all.get(place).map(|(name, stamp)| (name.as_str(), FieldStamp::Stated(*stamp)))
            }
            Exceptions::Read(all) => all.get(place).copied(),
        }
    }

    fn of(&self, field: &str) -> Option<FieldStamp> {
        let found = match self {
            Exceptions::OfEffect(all) => all.binary_search_by(|(name, _)| name.as_str().cmp(field)),
            Exceptions::OfOperation(all) => all.binary_search_by(|(name, _)| name.as_str().cmp(field)),
            Exceptions::Read(all) => all.binary_search_by(|(name, _)| (*name).cmp(field)),
        };
        self.at(found.ok()?).map(|(_, stamp)| stamp)
    }
}

impl<'a> Part<'a> {
    /// Its exceptions, as they are in the run.
    fn lifted(&self) -> impl Iterator<Item = Exception<'a>> + '_ {
        let all = (0..self.exceptions.len()).filter_map(|place| self.exceptions.at(place));
        all.map(|(name, stamp)| (Cow::Borrowed(name), stamp.after(self.before)))
    }

    /// When it wrote a field, as that is in the run.
    fn stamp_of(&self, entry: &Entry<'_>) -> FieldStamp {
        let own = FieldStamp::Clock(self.written);
        let stamp = if self.exceptions.len() == 0 { None } else { self.exceptions.of(&entry.name()) };
        stamp.unwrap_or(own).after(self.before)
    }
}

/// A member of one of the parts.
#[derive(Debug)]
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

/// Writes the fields of several parts, of which at most the first replaces everything, and says when.
fn merge<'a>(
    parts: &[Part<'a>],
    members: &mut Vec<Member<'a>>,
    text: &mut String,
    exceptions: &mut Vec<Exception<'a>>,
) -> Clock {
    for (place, part) in parts.iter().enumerate() {
        if let Fields::Merge(text) | Fields::Replace(text) = part.fields {
            members.extend(Entries::new(text).map(|entry| Member::new(entry, place)));
        }
    }
    // Stable: it finds that each part is in order already, and merges.
    members.sort_by(|a, b| a.cmp_names(b).then(b.part.cmp(&a.part)));
    members.dedup_by(|later, kept| later.cmp_names(kept) == Ordering::Equal);

    let whole = parts.first().filter(|part| matches!(part.fields, Fields::Replace(_)));
    let newest = parts.iter().rfind(|part| part.fields != Fields::Keep);
    let written = whole.or(newest).map_or(Clock::default(), |part| part.written.after(part.before));
    let mut builder = Builder::in_place_of(std::mem::take(text));
    for Member { entry, part, .. } in members.iter() {
        if whole.is_none() || entry.value != "null" {
            builder.push(entry.raw_name, entry.value);
        }
        let Some(part) = parts.get(*part) else { continue };
        let stamp = part.stamp_of(entry);
        if stamp != FieldStamp::Clock(written) {
            exceptions.push((entry.name(), stamp));
        }
    }
    *text = builder.into_text();
    if let Some(whole) = whole {
        // What it says of fields that it has removed.
        let is_named =
            |name: &str| members.binary_search_by(|member| member.entry.name().as_ref().cmp(name)).is_ok();
        let named = exceptions.len();
        exceptions.extend(whole.lifted().filter(|(name, _)| !is_named(name)));
        if exceptions.len() > named {
            exceptions.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        }
    }
    written
}
