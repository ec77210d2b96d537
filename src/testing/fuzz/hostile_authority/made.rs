//! Answers out of bytes: of the right shape, and perhaps with nothing to do with the question.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{NOW, OWN, generation};
use crate::algebra::{
    Action, Answer, Ask, BunchNumber, CollectionName, Cursors, Digest, EntityKey, Epoch, FullRow, Index,
    LiveSet, LiveSets, Millis, Outcome, Outcomes, Page, ReplicaId, Resulting, Stamp, Stamps, Trigger,
    Version, Writer,
};
use crate::testing::fuzz::build::Bytes;
use crate::testing::strategies::{ENTITIES, entity};

/// An answer that somebody made up.
pub(super) fn answer(bytes: &mut Bytes<'_>, ask: &Ask) -> Answer {
    match bytes.below(16) {
        0 => Answer::Forked,
        1 => Answer::StartOver { generation: generation(bytes.below(3)) },
        2 => Answer::TriggersTooOld,
        3 => Answer::Busy { retry_after_ms: u64::from(bytes.next()) << (8 * bytes.below(8)) },
        4 => Answer::Unauthorised,
        5 => Answer::Offline,
        6 => Answer::Rows((0..bytes.below(6)).map(|_| row(bytes)).collect()),
        7 => Answer::Triggers((0..bytes.below(6)).map(|_| trigger(bytes)).collect()),
        8 => Answer::Changes(page(bytes, &Cursors::new())),
        9 => {
            let number = bytes.below(4) as u64;
            Answer::Delivered(outcomes(bytes, number, 3))
        }
        10 => Answer::TooLarge,
        _ => fitting(bytes, ask),
    }
}

/// An answer to just this question.
fn fitting(bytes: &mut Bytes<'_>, ask: &Ask) -> Answer {
    match ask {
        Ask::Deliver { bunch, .. } => {
            Answer::Delivered(outcomes(bytes, bunch.number.0, bunch.operations.len()))
        }
        Ask::Changes { cursors, .. } => Answer::Changes(page(bytes, cursors)),
        Ask::Triggers { above, .. } => {
            let count = bytes.below(4) as u64;
            let next = |n: u64| Index(above.0.saturating_add(n));
            Answer::Triggers((1..=count).map(|n| Trigger { index: next(n), ..trigger(bytes) }).collect())
        }
        Ask::Reads { keys } => {
            let keys = keys.iter().filter(|_| bytes.below(4) > 0).cloned().collect::<Vec<_>>();
            Answer::Rows(keys.into_iter().map(|key| FullRow { key, ..row(bytes) }).collect())
        }
        Ask::LiveSets { .. } => Answer::LiveSets(live_sets(bytes)),
    }
}

fn live_sets(bytes: &mut Bytes<'_>) -> LiveSets {
    let one = |bytes: &mut Bytes<'_>| {
        let set = LiveSet { count: u64::from(bytes.next()), sum: Digest([bytes.next(); 32]) };
        (key(bytes).collection().clone(), (set, epoch(bytes)))
    };
    (0..bytes.below(3)).map(|_| one(bytes)).collect()
}

pub(super) fn epoch(bytes: &mut Bytes<'_>) -> Epoch {
    match bytes.next() {
        255 => Epoch(u64::MAX),
        small => Epoch(u64::from(small % 16)),
    }
}

fn stamp(bytes: &mut Bytes<'_>) -> Option<Stamp> {
    let at = match bytes.next() {
        0 => return None,
        255 => Millis::MAX,
        small => Millis(NOW.0 - 100 + u64::from(small)),
    };
    Some(Stamp { at, replica: (bytes.below(2) == 0).then_some(OWN) })
}

pub(super) fn stamps(bytes: &mut Bytes<'_>) -> Stamps {
    let (created, turned) = (stamp(bytes), stamp(bytes));
    let fields = if bytes.below(2) == 0 { stamp(bytes) } else { None };
    Stamps { created, turned, fields: fields.map(|at| ("a".to_owned(), at)).into_iter().collect() }
}

pub(super) fn writer(bytes: &mut Bytes<'_>) -> Option<Writer> {
    (bytes.below(2) == 0).then(|| Writer {
        replica: if bytes.below(2) == 0 { OWN } else { ReplicaId(Uuid::from_u128(8)) },
        bunch: BunchNumber(bytes.below(4) as u64),
    })
}

pub(super) fn row(bytes: &mut Bytes<'_>) -> FullRow {
    let (stamps, writer) = (stamps(bytes), writer(bytes));
    FullRow {
        key: key(bytes),
        version: Version { existence: bytes.existence(), stamps },
        epoch: epoch(bytes),
        writer,
    }
}

pub(super) fn key(bytes: &mut Bytes<'_>) -> EntityKey {
    match bytes.below(12) {
        // Of a collection that nobody knows.
        11 => {
            let name = CollectionName::new("unheard of").expect("a plain name");
            EntityKey::new(name, Uuid::from_u128(1)).expect("an id that is not nil")
        }
        place => entity(place % ENTITIES),
    }
}

pub(super) fn trigger(bytes: &mut Bytes<'_>) -> Trigger {
    Trigger {
        index: Index(epoch(bytes).0),
        key: key(bytes),
        action: if bytes.below(2) == 0 { Action::Upsert } else { Action::Delete },
        epoch: epoch(bytes),
        sender: (bytes.below(2) == 0).then_some(OWN.0),
    }
}

fn page(bytes: &mut Bytes<'_>, cursors: &Cursors) -> Page {
    let rows: Vec<FullRow> = (0..bytes.below(6)).map(|_| row(bytes)).collect();
    let mut now = cursors.clone();
    let is_plausible = bytes.below(4) > 0;
    let mut last: BTreeMap<_, u64> = BTreeMap::new();
    let rows = rows.into_iter().map(|mut row| {
        if is_plausible {
            let from = cursors.get(row.key.collection()).map_or(0, |epoch| epoch.0);
            let before = last.entry(row.key.collection().clone()).or_insert(from);
            *before = before.saturating_add(1 + row.epoch.0 % 4);
            row.epoch = Epoch(*before);
        }
        row
    });
    let rows: Vec<FullRow> = rows.collect();
    for row in &rows {
        let cursor = now.entry(row.key.collection().clone()).or_default();
        *cursor = (*cursor).max(row.epoch);
    }
    Page {
        generation: generation(usize::from(bytes.below(8) == 0)),
        rows,
        cursors: now,
        floors: cursors.keys().map(|name| (name.clone(), epoch(bytes))).collect(),
        has_more: bytes.below(3) == 0,
        triggers_until: Index(epoch(bytes).0),
    }
}

fn outcomes(bytes: &mut Bytes<'_>, number: u64, count: usize) -> Outcomes {
    let count = if bytes.below(8) == 0 { bytes.below(6) } else { count };
    let outcomes = (0..count).map(|_| outcome(bytes)).collect();
    Outcomes { bunch: BunchNumber(number), outcomes }
}

pub(super) fn outcome(bytes: &mut Bytes<'_>) -> Outcome {
    match bytes.below(12) {
        0 => Outcome::Superseded {
            epoch: epoch(bytes),
            state: (bytes.below(2) == 0).then(|| bytes.state()),
            stamps: stamps(bytes),
            writer: writer(bytes).map(|writer| writer.replica),
        },
        1 => Outcome::Clash {
            unique: vec!["a".to_owned()],
            holder: Uuid::from_u128(bytes.below(4) as u128),
            of: (bytes.below(2) == 0).then(|| key(bytes)),
        },
        2 => Outcome::Refused { reason: "no".to_owned() },
        3 => Outcome::Waits { on: key(bytes) },
        4 => Outcome::Retry,
        kind => Outcome::Accepted {
            epoch: (bytes.below(8) > 0).then(|| epoch(bytes)),
            result: match kind {
                5 => Resulting::Gone(stamps(bytes)),
                6 | 7 => Resulting::Live(bytes.state(), stamps(bytes)),
                _ => Resulting::AsSent,
            },
            overwrote: (bytes.below(4) == 0).then(|| bytes.state()),
        },
    }
}
