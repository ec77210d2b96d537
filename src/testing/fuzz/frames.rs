//! Hostile bytes from disk: a typed error, or a value that is stored again byte for byte.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::algebra::{BunchNumber, Epoch, Index};
use crate::codec::accounts::{
    AccountRecord, AuthorityRecord, CollectionRecord, EntityRecord, LeftRecord, TriggersRecord,
};
use crate::codec::answers::AnswerRecord;
use crate::codec::columns::{Rows, RowsDraft};
use crate::codec::frame::{self, FRAME_HEAD_BYTES, FrameError, FrameKind};
use crate::codec::kept::{ConflictRecord, LocalRecord, LostRecord, MergedRecord, ReplicaRecord};
use crate::codec::records::{
    self, BaseRecord, ExtraRecord, Identity, JournalState, ParkedRecord, SetAsideRecord, SupersededRecord,
    TriggerRecord,
};
use crate::journal::{alone, from_alone, group_names};

/// Where every value of this target is stored.
const PLACE: &[u8] = &[0; 8];

const KINDS: [FrameKind; 25] = [
    FrameKind::Identity,
    FrameKind::State,
    FrameKind::Rows,
    FrameKind::Payload,
    FrameKind::Base,
    FrameKind::BunchText,
    FrameKind::Parked,
    FrameKind::Waits,
    FrameKind::Superseded,
    FrameKind::Trigger,
    FrameKind::SetAside,
    FrameKind::Local,
    FrameKind::Conflict,
    FrameKind::Lost,
    FrameKind::Cursor,
    FrameKind::Replica,
    FrameKind::Authority,
    FrameKind::Account,
    FrameKind::Collection,
    FrameKind::Entity,
    FrameKind::Answer,
    FrameKind::Triggers,
    FrameKind::Left,
    FrameKind::Merged,
    FrameKind::Unparked,
];

/// Opens arbitrary bytes as a frame of every kind, and as the body of a sound one: as if whoever wrote them
/// knew the format.
///
/// # Panics
/// If what was decoded is not encoded to the same bytes, or a frame opens where it should not.
pub fn frames(data: &[u8]) {
    for kind in KINDS {
        if let Ok(opened) = frame::open(kind, PLACE, data) {
            assert_eq!(framed(kind, opened), data, "a frame is closed to other bytes");
        }
        let whole = framed(kind, data);
        assert_eq!(frame::open(kind, PLACE, &whole).ok(), Some(data), "a sound frame does not open");
        assert!(frame::open(kind, &[1; 8], &whole).is_err(), "a frame opens in another place");
        // What cannot be decoded is a typed error, which is all that is asked of it.
        let _ = decode(kind, data, &whole);
    }
}

fn framed(kind: FrameKind, body: &[u8]) -> Vec<u8> {
    framed_at(kind, PLACE, body)
}

fn framed_at(kind: FrameKind, place: &[u8], body: &[u8]) -> Vec<u8> {
    let mut bytes = frame::begin(body.len());
    bytes.extend_from_slice(body);
    frame::close(kind, place, bytes)
}

/// A stored value with its head made anew, for its place and its body; as it is where it begins like none.
pub(super) fn reframed(place: &[u8], stored: &[u8]) -> Vec<u8> {
    let kind = stored.get(2).and_then(|number| KINDS.into_iter().find(|kind| *kind as u8 == *number));
    match (kind, stored.get(FRAME_HEAD_BYTES..)) {
        (Some(kind), Some(body)) => framed_at(kind, place, body),
        _ => stored.to_vec(),
    }
}

fn decode(kind: FrameKind, body: &[u8], whole: &[u8]) -> Result<(), FrameError> {
    match kind {
        FrameKind::Identity => record::<Identity>(kind, whole).map(drop),
        FrameKind::State => record::<JournalState>(kind, whole).map(drop),
        FrameKind::Rows => rows(whole),
        FrameKind::Payload => extra(body),
        FrameKind::Base => base(record(kind, whole)?),
        // Its text is a line.
        FrameKind::BunchText => Ok(()),
        FrameKind::Parked | FrameKind::Unparked => {
            record::<ParkedRecord>(kind, whole).and_then(|record| rows(&record.rows))
        }
        FrameKind::Waits => {
            let (collection, id): (String, [u8; 16]) = record(kind, whole)?;
            records::key_of(&collection, id).map(drop)
        }
        FrameKind::Superseded => {
            let record: SupersededRecord = record(kind, whole)?;
            record.state.as_deref().map(records::state_of).transpose()?;
            rows(&record.rows)
        }
        FrameKind::Trigger => trigger(record(kind, whole)?),
        FrameKind::SetAside => record::<SetAsideRecord>(kind, whole).map(drop),
        FrameKind::Local => record::<LocalRecord>(kind, whole)?.version().map(drop),
        FrameKind::Conflict => match record(kind, whole)? {
            ConflictRecord::Concurrent { before } | ConflictRecord::Decided { before } => {
                before.version().map(drop)
            }
            ConflictRecord::Clash(clash) | ConflictRecord::DecidedClash { clash, .. } => {
                clash.before.map_or(Ok(()), |before| before.version().map(drop))
            }
        },
        FrameKind::Lost => record::<LostRecord>(kind, whole)?.patch().map(drop),
        FrameKind::Cursor => record::<(u64, u64)>(kind, whole).map(drop),
        FrameKind::Replica => record::<ReplicaRecord>(kind, whole).map(drop),
        FrameKind::Authority => record::<AuthorityRecord>(kind, whole).map(drop),
        FrameKind::Account => record::<AccountRecord>(kind, whole).map(drop),
        FrameKind::Collection => record::<CollectionRecord>(kind, whole).map(drop),
        FrameKind::Entity => entity(whole),
        FrameKind::Answer => answer(record(kind, whole)?),
        FrameKind::Triggers => triggers(record(kind, whole)?),
        FrameKind::Left => record::<LeftRecord>(kind, whole).map(drop),
        FrameKind::Merged => {
            let record: MergedRecord = record(kind, whole)?;
            record.given.into_iter().try_for_each(|(_, version)| version.version().map(drop))
        }
    }
}

fn record<T: Serialize + DeserializeOwned>(kind: FrameKind, whole: &[u8]) -> Result<T, FrameError> {
    let record: T = frame::open_record(kind, PLACE, whole)?;
    let encoded = frame::record(kind, PLACE, &record)?;
    assert_eq!(encoded, whole, "a record is encoded to other bytes");
    Ok(record)
}

/// A record may say more than a base can (a state of what is absent), so it is the base that must last.
fn base(record: BaseRecord) -> Result<(), FrameError> {
    let known = record.base_and_stamps()?;
    let again = BaseRecord::of(&known.0, Some(&known.1)).map(BaseRecord::base_and_stamps).transpose()?;
    assert_eq!(again, Some(known), "a base is stored as another one");
    Ok(())
}

fn trigger(record: TriggerRecord) -> Result<(), FrameError> {
    let trigger = record.trigger(Index(1))?;
    let again = TriggerRecord::of(&trigger).trigger(Index(1))?;
    assert_eq!(again, trigger, "a trigger is stored as another one");
    Ok(())
}

fn entity(whole: &[u8]) -> Result<(), FrameError> {
    let record: EntityRecord<'_> = frame::open_borrowed_record(FrameKind::Entity, PLACE, whole)?;
    assert_eq!(
        frame::record(FrameKind::Entity, PLACE, &record)?,
        whole,
        "a record is encoded to other bytes"
    );
    let epoch = Epoch(record.epoch);
    let (version, fields, writer) = record.parts();
    let again = EntityRecord::of(&version, epoch, &fields, writer).map(EntityRecord::parts);
    assert_eq!(again, Some((version, fields, writer)), "an entity is stored as another one");
    Ok(())
}

fn answer(record: AnswerRecord) -> Result<(), FrameError> {
    let (id, outcomes) = record.answer(BunchNumber(1))?;
    let again = AnswerRecord::of(id, &outcomes).answer(BunchNumber(1))?;
    assert_eq!(again, (id, outcomes), "an answer is stored as another one");
    Ok(())
}

/// Where they stand says how many there are, so only those are read that stand in their place.
fn triggers(record: TriggersRecord) -> Result<(), FrameError> {
    let last = record.last();
    let triggers = record.triggers(last)?;
    let again = TriggersRecord::of(&triggers).triggers(last);
    assert!(triggers.is_empty() || again? == triggers, "triggers are stored as others");
    Ok(())
}

fn extra(body: &[u8]) -> Result<(), FrameError> {
    let decoded: ExtraRecord<'_> = records::decode_extra(body)?;
    let mut encoded = Vec::new();
    records::encode_extra(decoded.iter().copied(), &mut encoded)?;
    assert!(encoded == body || decoded.is_empty(), "stamps are encoded to other bytes");
    for field in decoded {
        let (name, stamp) = records::exception_of(field);
        let again = records::exception_of(records::extra_of(name, stamp));
        assert_eq!(again, (name, stamp), "stamps are stored as others");
    }
    Ok(())
}

/// A value of rows: what its writer would have written is written again, byte for byte.
fn rows(whole: &[u8]) -> Result<(), FrameError> {
    let value = Rows::open(PLACE, 0, whole)?;
    assert_eq!(value.iter().count(), value.preamble.rows as usize, "not as many rows as were promised");
    for (place, row) in value.iter().enumerate() {
        assert_eq!(row.is_ok(), value.row(place).is_some(), "the two ways to read a row differ");
    }
    let drafted = redrafted(&value)?;
    let read = Rows::open(PLACE, 0, &drafted)?;
    // The writer looks for a set of groups only among its newest ones.
    if read.preamble == value.preamble && read.preamble.groups.len() <= 4 {
        assert_eq!(drafted, whole, "rows are written to other bytes");
    }
    assert_eq!(redrafted(&read)?, drafted, "written twice, rows changed");
    if let Ok(stored) = from_alone(PLACE, whole) {
        let again = from_alone(PLACE, &alone(PLACE, &stored)?);
        assert_eq!(again.ok(), Some(stored), "an entry is stored as another one");
    }
    Ok(())
}

fn redrafted(value: &Rows<'_>) -> Result<Vec<u8>, FrameError> {
    let mut draft = RowsDraft::new(value.preamble.layout);
    for row in value.iter() {
        let row = row?;
        let name = value.preamble.names.get(usize::from(row.name));
        let name = name.ok_or_else(|| FrameError::Body { why: "a row names no collection".to_owned() })?;
        let groups: Vec<&str> = group_names(&row, &value.preamble)?.iter().map(String::as_str).collect();
        draft.push(row, name, &groups);
    }
    draft.finish(PLACE, value.inline)
}
