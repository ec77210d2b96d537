//! Hostile bytes where a stored value is expected.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::algebra::Index;
use crate::codec::binary;
use crate::codec::columns::Rows;
use crate::codec::frame::{self, FRAME_HEAD_BYTES, FrameKind};
use crate::codec::records::{
    self, BaseRecord, ExtraRecord, Identity, JournalState, ParkedRecord, SupersededRecord, TriggerRecord,
};
use crate::journal::from_alone;

const PLACE: &[u8] = b"a place";

/// These bytes as a frame, and as the body of a sound frame of each kind: a typed error, or something that is
/// written back as the same bytes.
///
/// # Panics
/// If it is neither.
pub fn frames(data: &[u8]) {
    // Framed by somebody else: nothing of it can be believed.
    if let Ok(body) = frame::open(FrameKind::Rows, PLACE, data) {
        assert_eq!(closed(FrameKind::Rows, body), data, "a frame that opens was closed by us");
    }
    // A checksum that agrees, as if whoever wrote it knew the format.
    let framed = closed(FrameKind::Rows, data);
    assert_eq!(frame::open(FrameKind::Rows, PLACE, &framed).ok(), Some(data));
    rows(&framed);
    let _ = from_alone(PLACE, &framed);
    record::<BaseRecord>(data, |record| record.base().map(drop).is_ok());
    record::<TriggerRecord>(data, |record| record.trigger(Index(1)).is_ok());
    record::<ParkedRecord>(data, |record| from_alone(PLACE, &record.rows).is_ok());
    record::<SupersededRecord>(data, |record| from_alone(PLACE, &record.rows).is_ok());
    record::<JournalState>(data, |_| true);
    record::<Identity>(data, |_| true);
    record::<ExtraRecord>(data, |record| records::exceptions_of(record).len() < usize::MAX);
}

fn closed(kind: FrameKind, body: &[u8]) -> Vec<u8> {
    let mut bytes = frame::begin(body.len());
    bytes.extend_from_slice(body);
    assert_eq!(bytes.len(), FRAME_HEAD_BYTES + body.len());
    frame::close(kind, PLACE, bytes)
}

fn rows(framed: &[u8]) {
    let Ok(rows) = Rows::open(PLACE, 7, framed) else { return };
    assert_eq!(rows.iter().count(), rows.preamble.rows as usize, "as many rows as were promised");
    for (place, row) in rows.iter().enumerate() {
        assert_eq!(row.is_ok(), rows.row(place).is_some(), "both ways to read a row agree");
    }
}

/// A body that decodes is the only one of its value.
fn record<T: Serialize + DeserializeOwned>(data: &[u8], used: impl Fn(T) -> bool) {
    if let Ok(record) = binary::decode::<T>(data) {
        let again = binary::encode(&record).expect("what was decoded can be encoded");
        assert_eq!(again, data, "one value, one encoding");
        used(record);
    }
}
