//! Records: the small things a journal stores beside its columns, as they lie in their frames.

use serde::{Deserialize, Serialize};

use super::columns::ORDINAL_MAX;
use super::frame::FrameError;
use super::slice::Slice;
use crate::algebra::{
    Action, Base, BunchNumber, CollectionName, Digest, EntityKey, Epoch, FieldStamp, Held, Index, Knowledge,
    Millis, ReplicaId, Stamp, Stamps, State, Trigger,
};
use crate::algebra::{Clock, Group};
use uuid::Uuid;

/// Who a journal is; written once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) replica: [u8; 16],
    /// In ms since the Unix epoch.
    pub(crate) created_at: u64,
}

/// One level of the compacted run: the entries with ordinals `first..first + rows`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "(u64, u64)", try_from = "(u64, u64)")]
pub(crate) struct Level {
    pub(crate) first: u64,
    pub(crate) rows: u64,
    pub(crate) slice: Slice,
}

/// Where the slice stands in the number of rows, as it is stored.
const SLICE_SHIFT: u32 = 56;

impl From<Level> for (u64, u64) {
    fn from(level: Level) -> Self {
        (level.first, level.rows | u64::from(level.slice.number()) << SLICE_SHIFT)
    }
}

impl TryFrom<(u64, u64)> for Level {
    type Error = &'static str;

    fn try_from((first, stored): (u64, u64)) -> Result<Self, Self::Error> {
        let slice = u8::try_from(stored >> SLICE_SHIFT).ok().and_then(Slice::numbered);
        let rows = stored & ((1 << SLICE_SHIFT) - 1);
        Ok(Level { first, rows, slice: slice.ok_or("a level of a slice that there is not")? })
    }
}

impl Level {
    /// The entries of everybody between two ordinals.
    pub(crate) fn between(first: u64, end: u64) -> Level {
        Level { first, rows: end - first, slice: Slice::ALL }
    }

    /// The ordinals of its entries.
    pub(crate) fn range(&self) -> std::ops::Range<u64> {
        self.first..self.first + self.rows
    }
}

/// The open bunch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OpenBunch {
    pub(crate) number: u64,
    pub(crate) id: [u8; 32],
    pub(crate) operations: u64,
    pub(crate) text_bytes: u64,
    /// Its effects, one an entity.
    pub(crate) level: Level,
}

/// Where a journal stands; rewritten by everything but a plain append.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JournalState {
    /// The first sequence number that is not in the compacted run (or was never used).
    pub(crate) log_begins: u64,
    /// The levels of the compacted run, oldest first.
    pub(crate) levels: Vec<Level>,
    /// The next free ordinal of the run.
    pub(crate) next_ordinal: u64,
    /// The bunch that was sealed last; 0 for none.
    pub(crate) last_bunch: u64,
    pub(crate) open: Option<OpenBunch>,
    /// Whether an entity without a base row is absent rather than unknown.
    pub(crate) is_complete: bool,
    /// Every trigger up to this index was heard.
    pub(crate) cursor: u64,
    /// The next place in the record of what was superseded.
    pub(crate) next_superseded: u64,
    /// Operations that were sent as part of another one, or came to nothing.
    pub(crate) folded_away: u64,
    /// Operations whose effect the authority has decided on, or that somebody dropped.
    pub(crate) settled: u64,
}

/// Base knowledge as it is stored.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct BaseRecord {
    /// 0 absent, 1 live, 2 dead.
    existence: u8,
    epoch: Option<u64>,
    digest: Option<[u8; 32]>,
    state: Option<String>,
    /// What a replica knows of its fields' times.
    stamps: Option<StampsRecord>,
}

impl BaseRecord {
    /// The record of a base; none for unknown, which is stored as no record.
    pub(crate) fn of(base: &Base, stamps: Option<&Stamps>) -> Option<Self> {
        let (existence, held) = match base {
            Base::Unknown => return None,
            Base::Absent => (0, None),
            Base::Live(held) => (1, Some(held)),
            Base::Dead(held) => (2, Some(held)),
        };
        let (digest, state) = match held.map(|held| &held.state) {
            None | Some(Knowledge::Nothing) => (None, None),
            Some(Knowledge::Digest(digest)) => (Some(digest.0), None),
            Some(Knowledge::State(state)) => (None, Some(state.as_json().to_owned())),
        };
        let epoch = held.and_then(|held| held.epoch).map(|epoch| epoch.0);
        Some(BaseRecord { existence, epoch, digest, state, stamps: stamps.map(StampsRecord::of) })
    }

    /// The base of a record, and its stamps.
    pub(crate) fn base_and_stamps(mut self) -> Result<(Base, Stamps), FrameError> {
        let stamps = self.stamps.take().map(StampsRecord::stamps).unwrap_or_default();
        Ok((self.base()?, stamps))
    }

    /// The base of a record.
    pub(crate) fn base(self) -> Result<Base, FrameError> {
        self.base_by(state_of)
    }

    /// The base of a record, with a state that says nothing in place of its own.
    pub(crate) fn outline(&self) -> Result<Base, FrameError> {
        self.base_by(|_| Ok(State::empty()))
    }

    /// How long its state is.
    pub(crate) fn state_bytes(&self) -> usize {
        self.state.as_ref().map_or(0, String::len)
    }

    fn base_by(&self, state_of: fn(&str) -> Result<State, FrameError>) -> Result<Base, FrameError> {
        let state = match (&self.state, self.digest) {
            (Some(json), _) => Knowledge::State(state_of(json)?),
            (None, Some(digest)) => Knowledge::Digest(Digest(digest)),
            (None, None) => Knowledge::Nothing,
        };
        let held = Held { epoch: self.epoch.map(Epoch), state };
        match self.existence {
            0 => Ok(Base::Absent),
            1 => Ok(Base::Live(held)),
            2 => Ok(Base::Dead(held)),
            other => Err(FrameError::Body { why: format!("a base is of no known kind ({other})") }),
        }
    }
}

/// The stamps of an entity as they are stored; the nil replica stands for none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StampsRecord<S = String> {
    created: Option<(u64, [u8; 16])>,
    turned: Option<(u64, [u8; 16])>,
    fields: Vec<(S, u64, [u8; 16])>,
}

impl<'s, S: From<&'s str> + Into<String>> StampsRecord<S> {
    pub(crate) fn of(stamps: &'s Stamps) -> Self {
        let parts =
            |stamp: Stamp| (stamp.at.0, stamp.replica.map_or([0; 16], |replica| replica.0.into_bytes()));
        let field = |(name, stamp): &'s (String, Stamp)| {
            let (at, replica) = parts(*stamp);
            (S::from(name.as_str()), at, replica)
        };
        StampsRecord {
            created: stamps.created.map(parts),
            turned: stamps.turned.map(parts),
            fields: stamps.fields.iter().map(field).collect(),
        }
    }

    pub(crate) fn stamps(self) -> Stamps {
        let stamp = |at: u64, replica: [u8; 16]| {
            let replica = Uuid::from_bytes(replica);
            Stamp {
                at: Millis(at).min(Millis::MAX),
                replica: (!replica.is_nil()).then_some(ReplicaId(replica)),
            }
        };
        let fields = self.fields.into_iter().map(|(name, at, replica)| (name.into(), stamp(at, replica)));
        let mut fields: Vec<(String, Stamp)> = fields.collect();
        if !fields.is_sorted_by(|(one, _), (next, _)| one < next) {
            // Of two that have one name the last counts.
            let sorted: std::collections::BTreeMap<String, Stamp> = fields.into_iter().collect();
            fields = sorted.into_iter().collect();
        }
        Stamps {
            created: self.created.map(|(at, replica)| stamp(at, replica)),
            turned: self.turned.map(|(at, replica)| stamp(at, replica)),
            fields,
        }
    }
}

/// Reads a stored state as strictly as one that came from outside, but that it may be larger: a patch may have been laid
/// over it here.
pub(crate) fn state_of(json: &str) -> Result<State, FrameError> {
    State::composed(json).map_err(|error| FrameError::Body { why: error.to_string() })
}

/// A trigger as it is stored.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TriggerRecord {
    collection: String,
    id: [u8; 16],
    is_delete: bool,
    epoch: u64,
    sender: Option<[u8; 16]>,
}

impl TriggerRecord {
    pub(crate) fn of(trigger: &Trigger) -> Self {
        TriggerRecord {
            collection: trigger.key.collection().as_str().to_owned(),
            id: *trigger.key.id().as_bytes(),
            is_delete: trigger.action == Action::Delete,
            epoch: trigger.epoch.0,
            sender: trigger.sender.map(|sender| *sender.as_bytes()),
        }
    }

    pub(crate) fn trigger(self, index: Index) -> Result<Trigger, FrameError> {
        Ok(Trigger {
            index,
            key: key_of(&self.collection, self.id)?,
            action: if self.is_delete { Action::Delete } else { Action::Upsert },
            epoch: Epoch(self.epoch),
            sender: self.sender.map(Uuid::from_bytes),
        })
    }
}

/// The name of an entity from its stored parts.
pub(crate) fn key_of(collection: &str, id: [u8; 16]) -> Result<EntityKey, FrameError> {
    CollectionName::new(collection)
        .and_then(|collection| EntityKey::new(collection, Uuid::from_bytes(id)))
        .map_err(|error| FrameError::Body { why: error.to_string() })
}

/// A set of groups from its stored names.
pub(crate) fn groups_of(names: &[String]) -> Result<Vec<Group>, FrameError> {
    names
        .iter()
        .map(|name| Group::new(name).map_err(|error| FrameError::Body { why: error.to_string() }))
        .collect()
}

/// The fields of an entry that were written at another time than the entry says, as stored behind its
/// fields.
pub(crate) type ExtraRecord<'b> = Vec<ExtraField<'b>>;

/// One of them: name, time plus 1, steps (none: stated, never moved), replica.
pub(crate) type ExtraField<'b> = (&'b str, u64, Option<u32>, Option<[u8; 16]>);

/// The stored form of a stamp.
pub(crate) fn extra_of(name: &str, stamp: FieldStamp) -> ExtraField<'_> {
    match stamp {
        FieldStamp::Clock(clock) => {
            let (at, steps) = clock.to_parts();
            (name, at, Some(steps), None)
        }
        FieldStamp::Stated(stamp) => {
            (name, stamp.at.0.saturating_add(1), None, stamp.replica.map(|replica| replica.0.into_bytes()))
        }
    }
}

/// The stamp of a stored form.
pub(crate) fn exception_of((name, at, steps, replica): ExtraField<'_>) -> (&str, FieldStamp) {
    let stamp = match steps {
        Some(steps) => FieldStamp::Clock(Clock::from_parts(at, steps)),
        None => FieldStamp::Stated(Stamp {
            at: Millis(at.saturating_sub(1)).min(Millis::MAX),
            replica: replica.map(|replica| ReplicaId(Uuid::from_bytes(replica))),
        }),
    };
    (name, stamp)
}

/// Why an effect is parked, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum CauseRecord {
    Refused { reason: String },
    Clash { unique: Vec<String>, holder: [u8; 16] },
}

/// One effect by itself, as it is stored: a value of rows with its one row and its payload inline.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ParkedRecord {
    pub(crate) bunch: u64,
    pub(crate) cause: CauseRecord,
    pub(crate) rows: Vec<u8>,
}

/// An effect that gave way, and what it gave way to.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SupersededRecord {
    pub(crate) bunch: u64,
    pub(crate) epoch: u64,
    pub(crate) state: Option<String>,
    pub(crate) rows: Vec<u8>,
}

/// A stored value that did not open, as it was found.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SetAsideRecord {
    pub(crate) place: String,
    pub(crate) why: String,
    /// When it was found, in ms.
    pub(crate) at: u64,
    pub(crate) bytes: Vec<u8>,
}

impl OpenBunch {
    pub(crate) fn bunch_number(&self) -> BunchNumber {
        BunchNumber(self.number)
    }
}

impl JournalState {
    /// Whether the levels are apart from each other and end before the next free ordinal, and no number is near
    /// its end.
    pub(crate) fn is_possible(&self) -> bool {
        let mut levels: Vec<Level> = self.levels.clone();
        levels.extend(self.open.as_ref().map(|open| open.level));
        levels.sort_by_key(|level| level.first);
        let mut free = 0;
        for level in levels {
            match level.first.checked_add(level.rows) {
                Some(end) if level.first >= free => free = end,
                Some(_) | None => return false,
            }
        }
        let numbers = [self.log_begins, self.next_ordinal, self.last_bunch, self.next_superseded];
        free <= self.next_ordinal && numbers.iter().all(|number| *number < ORDINAL_MAX)
    }

    /// A journal in which nothing ever happened.
    pub(crate) fn new() -> Self {
        JournalState {
            log_begins: 1,
            levels: Vec::new(),
            next_ordinal: 0,
            last_bunch: 0,
            open: None,
            is_complete: false,
            cursor: 0,
            next_superseded: 0,
            folded_away: 0,
            settled: 0,
        }
    }
}

/// Encodes stamps behind what is in the buffer already; where there are none, nothing.
pub(crate) fn encode_extra<'b>(
    fields: impl ExactSizeIterator<Item = ExtraField<'b>> + Clone,
    buffer: &mut Vec<u8>,
) -> Result<(), FrameError> {
    if fields.len() == 0 {
        return Ok(());
    }
    Ok(super::binary::encode_behind(&Listed(fields), buffer)?)
}

/// Decodes stamps; their names stay where they are.
pub(crate) fn decode_extra(bytes: &[u8]) -> Result<ExtraRecord<'_>, FrameError> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    Ok(super::binary::decode_borrowed(bytes)?)
}

/// A list that is nowhere, written like one that is.
struct Listed<I>(I);

impl<I: ExactSizeIterator<Item: Serialize> + Clone> Serialize for Listed<I> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.clone())
    }
}
