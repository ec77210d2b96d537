//! Entries: effects and operations as rows with payloads, and back.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::columns::Payload;
use super::effects::Who;
use super::error::Error;
use super::tables::damaged;
use crate::algebra::{
    Change, CollectionName, Content, Effect, EntityKey, Group, Millis, Operation, Patch, Seq, Shape, State,
    Update,
};
use crate::algebra::{Clock, FieldStamp};
use crate::codec::FrameError;
use crate::codec::columns::{Layout, Preamble, Rows, RowsDraft};
use crate::codec::records;
use crate::codec::row::{ContentKind, Row, content_of};

/// An effect with its entity, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: EntityKey,
    pub(crate) effect: Effect,
    /// The time of the oldest operation, plus 1; 0 if it had none.
    pub(crate) first_at: u64,
}

impl Entry {
    /// An operation of the text of a bunch. When it was appended is not known; it was before everything that is pending.
    pub(crate) fn of_text(operation: &Operation) -> Entry {
        let first_at = operation.at.map_or(0, |at| at.0.saturating_add(1));
        Entry { key: operation.key.clone(), effect: Effect::of(Seq(1), operation), first_at }
    }

    /// This entry and then a later one of the same entity.
    pub(crate) fn then(&self, later: &Entry) -> Entry {
        let first_at = if self.first_at == 0 { later.first_at } else { self.first_at };
        Entry { key: self.key.clone(), effect: self.effect.then(&later.effect), first_at }
    }

    /// This entry of the text of a bunch and what completes it there: that was no operation of its own.
    pub(crate) fn completed(&self, by: &Entry) -> Entry {
        let mut entry = self.then(by);
        entry.effect.shape.operations = self.effect.shape.operations;
        entry
    }
}

/// The payload of an effect or operation on its way to disk.
pub(crate) struct Parts<'a> {
    pub(crate) row: Row,
    pub(crate) fields: &'a str,
    pub(crate) extra: Vec<u8>,
}

/// An effect as a row; `name` and `groups` are the writer's business.
pub(crate) fn parts_of<'a>(
    id: uuid::Uuid,
    effect: &'a Effect,
    first_at: u64,
    is_cut: bool,
) -> Result<Parts<'a>, FrameError> {
    let (content, fields) = match &effect.content {
        Content::Keep => (ContentKind::Keep, ""),
        Content::Merge(patch) => (ContentKind::Merge, patch.as_json()),
        Content::Replace(state) => (ContentKind::Replace, state.as_json()),
    };
    let stamps = effect.exceptions.iter().map(|(name, stamp)| records::extra_of(name, *stamp));
    let mut extra = Vec::new();
    records::encode_extra(stamps, &mut extra)?;
    let row = Row {
        id,
        name: 0,
        groups: 0,
        content,
        is_cut,
        shape: effect.shape,
        written: effect.written,
        first_at,
        fields_bytes: length(fields.len())?,
        extra_bytes: length(extra.len())?,
    };
    Ok(Parts { row, fields, extra })
}

/// An operation as a row of the log.
///
/// An operation without a time is stamped with this one.
pub(crate) fn parts_of_operation(operation: &Operation, now: Millis) -> Result<Parts<'_>, FrameError> {
    let clock = Clock::of(Some(operation.at.unwrap_or(now)));
    let kind = operation.change.kind();
    let fields = match &operation.change {
        Change::Create(state) | Change::Update(Update::State(state)) => state.as_json(),
        Change::Update(Update::Patch(patch)) => patch.as_json(),
        Change::Delete => "",
    };
    let stated = operation.stamps.iter();
    let stated = stated.map(|(name, stamp)| records::extra_of(name, FieldStamp::Stated(*stamp)));
    let mut extra = Vec::new();
    records::encode_extra(stated, &mut extra)?;
    let row = Row {
        id: operation.key.id(),
        name: 0,
        groups: 0,
        content: content_of(kind),
        is_cut: false,
        shape: Shape::of(Seq(0), kind, clock),
        written: clock,
        first_at: clock.to_parts().0,
        fields_bytes: length(fields.len())?,
        extra_bytes: length(extra.len())?,
    };
    Ok(Parts { row, fields, extra })
}

pub(super) fn length(bytes: usize) -> Result<u32, FrameError> {
    u32::try_from(bytes).map_err(|_| FrameError::Body { why: format!("{bytes} bytes in one entry") })
}

/// The effect of a row and its payload.
pub(crate) fn effect_of(row: &Row, groups: Vec<Group>, payload: Payload<'_>) -> Result<Effect, FrameError> {
    let text = std::str::from_utf8(payload.fields)
        .map_err(|_| FrameError::Body { why: "fields are not UTF-8".to_owned() })?;
    let content = match row.content {
        ContentKind::Keep => Content::Keep,
        ContentKind::Merge => Content::Merge(Patch::trusted(text)),
        ContentKind::Replace => Content::Replace(State::trusted(text)),
    };
    let exceptions = records::decode_extra(payload.extra)?.into_iter().map(records::exception_of);
    let exceptions = exceptions.map(|(name, stamp)| (name.to_owned(), stamp)).collect();
    // A delete writes nothing, so it has no time of writing either.
    let written = if row.content == ContentKind::Keep { Clock::default() } else { row.written };
    Ok(Effect { content, shape: row.shape, groups, written, exceptions })
}

/// The entry of a row and its payload.
pub(crate) fn entry_of(row: &Row, preamble: &Preamble, payload: Payload<'_>) -> Result<Entry, FrameError> {
    let key = key_of(row, preamble)?;
    let groups = records::groups_of(group_names(row, preamble)?)?;
    Ok(Entry { key, effect: effect_of(row, groups, payload)?, first_at: row.first_at })
}

/// One entry as a value of its own, for a record that holds it.
pub(crate) fn alone(place: &[u8], entry: &Entry) -> Result<Vec<u8>, FrameError> {
    let parts = parts_of(entry.key.id(), &entry.effect, entry.first_at, false)?;
    let mut draft = RowsDraft::new(Layout::Run);
    let groups: Vec<&str> = entry.effect.groups.iter().map(Group::as_str).collect();
    draft.push(parts.row, entry.key.collection().as_str(), &groups);
    draft.finish(place, Some(&[parts.fields.as_bytes(), &parts.extra].concat()))
}

/// The entry of a value of its own. Its fields are read as strictly as if they came from outside, but for how many they
/// are.
pub(crate) fn from_alone(place: &[u8], bytes: &[u8]) -> Result<Entry, FrameError> {
    let wrong = || FrameError::Body { why: "it does not hold one entry".to_owned() };
    let rows = Rows::open(place, 0, bytes)?;
    let row = rows.row(0).ok_or_else(wrong)?;
    let body = rows.inline.ok_or_else(wrong)?;
    let (fields, extra) = body.split_at_checked(row.fields_bytes as usize).ok_or_else(wrong)?;
    let entry = entry_of(&row, &rows.preamble, Payload { fields, extra })?;
    require_valid(&entry.effect)?;
    Ok(entry)
}

/// Refuses an effect whose fields are no valid JSON: the last check before they leave the journal. It was composed of what
/// was taken, so it is not refused for being large.
pub(crate) fn require_valid(effect: &Effect) -> Result<(), FrameError> {
    let is_same = match &effect.content {
        Content::Keep => true,
        Content::Merge(patch) => Patch::composed(patch.as_json()).is_ok_and(|read| read == *patch),
        Content::Replace(state) => State::composed(state.as_json()).is_ok_and(|read| read == *state),
    };
    if is_same { Ok(()) } else { Err(FrameError::Body { why: "fields are no canonical JSON".to_owned() }) }
}

/// The entity of a row.
pub(crate) fn key_of(row: &Row, preamble: &Preamble) -> Result<EntityKey, FrameError> {
    let name = preamble.names.get(usize::from(row.name));
    let name = name.ok_or_else(|| FrameError::Body { why: "a row names no collection".to_owned() })?;
    records::key_of(name, *row.id.as_bytes())
}

/// The names of a row's groups.
pub(crate) fn group_names<'p>(row: &Row, preamble: &'p Preamble) -> Result<&'p [String], FrameError> {
    match usize::from(row.groups).checked_sub(1) {
        None => Ok(&[]),
        Some(place) => preamble
            .groups
            .get(place)
            .map(Vec::as_slice)
            .ok_or_else(|| FrameError::Body { why: "a row names no set of groups".to_owned() }),
    }
}

/// Small numbers for collections and, while some entities are folded, for sets of groups.
#[derive(Debug, Default)]
pub(crate) struct Interned {
    names: Vec<CollectionName>,
    by_name: HashMap<String, u32>,
    sets: Vec<Set>,
    /// Those that are shared.
    by_set: HashMap<Arc<[Group]>, u32>,
}

/// What several entities have in common is held once; what one entity alone has grows where it is, so that no step on the
/// way to it is held.
#[derive(Debug)]
enum Set {
    Shared(Arc<[Group]>),
    Own(BTreeSet<Group>),
}

/// Sets that were joined of others are shared up to so many groups: larger ones are rarely two entities'.
const SHARED_GROUPS_MAX: usize = 4;

/// The set of groups of some rows, in their order, and its number once it has one.
#[derive(Debug)]
pub(crate) struct RowSet {
    groups: Vec<Group>,
    place: Option<u32>,
}

impl RowSet {
    fn is_in(&self, groups: &[Group]) -> bool {
        self.groups.iter().all(|group| groups.binary_search(group).is_ok())
    }
}

/// The sets of groups of a value of rows, each read when a row first needs it.
pub(crate) struct RowSets<'p> {
    preamble: &'p Preamble,
    sets: Vec<Option<RowSet>>,
}

impl<'p> RowSets<'p> {
    pub(crate) fn of(preamble: &'p Preamble) -> Self {
        RowSets { preamble, sets: preamble.groups.iter().map(|_| None).collect() }
    }

    /// The one of a row; none for the empty one.
    pub(crate) fn of_row(&mut self, row: &Row) -> Result<Option<&mut RowSet>, FrameError> {
        let names = group_names(row, self.preamble)?;
        let set = usize::from(row.groups).checked_sub(1).and_then(|place| self.sets.get_mut(place));
        match set {
            Some(set) if !names.is_empty() => {
                if set.is_none() {
                    let mut groups = records::groups_of(names)?;
                    groups.sort();
                    groups.dedup();
                    *set = Some(RowSet { groups, place: None });
                }
                Ok(set.as_mut())
            }
            Some(_) | None => Ok(None),
        }
    }
}

impl Interned {
    pub(crate) fn name(&mut self, name: &str) -> Result<u32, FrameError> {
        if let Some(place) = self.by_name.get(name) {
            return Ok(*place);
        }
        let checked =
            CollectionName::new(name).map_err(|error| FrameError::Body { why: error.to_string() })?;
        let place = u32::try_from(self.names.len())
            .map_err(|_| FrameError::Body { why: "too many collections".to_owned() })?;
        self.names.push(checked);
        self.by_name.insert(name.to_owned(), place);
        Ok(place)
    }

    /// The names, by their numbers.
    pub(crate) fn into_names(self) -> Vec<CollectionName> {
        self.names
    }

    pub(crate) fn collection(&self, place: u32) -> Result<&CollectionName, FrameError> {
        self.names
            .get(place as usize)
            .ok_or_else(|| FrameError::Body { why: "an entry names no collection".to_owned() })
    }

    /// An entity by its collection's number.
    pub(crate) fn key(&self, (collection, id): Who) -> Result<EntityKey, Error> {
        let name = self.collection(collection).map_err(damaged("an entry"))?.clone();
        EntityKey::new(name, id).map_err(|source| Error::Invalid { source })
    }

    /// Forgets all sets of groups: their numbers mean nothing any more.
    pub(crate) fn forget_sets(&mut self) {
        self.sets.clear();
        self.by_set.clear();
    }

    /// The number of a set of groups; 0 is the empty one.
    pub(crate) fn set(&mut self, set: &mut RowSet) -> Result<u32, FrameError> {
        match set.place {
            Some(place) => Ok(place),
            None => {
                let place = self.shared(&set.groups)?;
                set.place = Some(place);
                Ok(place)
            }
        }
    }

    fn shared(&mut self, groups: &[Group]) -> Result<u32, FrameError> {
        if let Some(place) = self.by_set.get(groups) {
            return Ok(*place);
        }
        let groups: Arc<[Group]> = Arc::from(groups);
        let place = self.push(Set::Shared(Arc::clone(&groups)))?;
        self.by_set.insert(groups, place);
        Ok(place)
    }

    fn push(&mut self, set: Set) -> Result<u32, FrameError> {
        self.sets.push(set);
        u32::try_from(self.sets.len()).map_err(|_| FrameError::Body { why: "too many groups".to_owned() })
    }

    /// The groups of a set, in their order.
    pub(crate) fn groups(&self, place: u32) -> Cow<'_, [Group]> {
        match (place as usize).checked_sub(1).and_then(|place| self.sets.get(place)) {
            None => Cow::Borrowed(&[]),
            Some(Set::Shared(groups)) => Cow::Borrowed(groups),
            Some(Set::Own(groups)) => Cow::Owned(groups.iter().cloned().collect()),
        }
    }

    /// The number of the union of an entity's set, which it has no more, with that of one of its rows.
    pub(crate) fn union(&mut self, own: u32, row: &mut RowSet) -> Result<u32, FrameError> {
        let joined = match (own as usize).checked_sub(1).and_then(|place| self.sets.get_mut(place)) {
            None => return self.set(row),
            Some(Set::Own(groups)) => {
                groups.extend(row.groups.iter().cloned());
                return Ok(own);
            }
            Some(Set::Shared(groups)) if row.is_in(groups) => return Ok(own),
            Some(Set::Shared(groups)) => crate::algebra::joined(groups, &row.groups),
        };
        if joined.len() <= SHARED_GROUPS_MAX {
            self.shared(&joined)
        } else {
            self.push(Set::Own(joined.into_iter().collect()))
        }
    }

    /// How many groups are held, each as often as it is.
    #[cfg(test)]
    pub(crate) fn groups_held(&self) -> usize {
        let held = |set: &Set| match set {
            Set::Shared(groups) => groups.len(),
            Set::Own(groups) => groups.len(),
        };
        self.sets.iter().map(held).sum()
    }
}
