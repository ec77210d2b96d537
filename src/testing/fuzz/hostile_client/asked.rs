//! Questions out of bytes: of the right shape, with nothing in them that must be so.

use uuid::Uuid;

use super::Bytes;
use crate::algebra::{
    Ask, BunchNumber, CollectionName, Cursors, EntityKey, Epoch, Generation, Index, Millis, Operation,
    Planned, ReplicaId, Seq,
};
use crate::codec::lines;
use crate::testing::strategies::{ENTITIES, entity};

/// So many deliveries are remembered, to be made again.
const REMEMBERED_MAX: usize = 8;

/// What was asked so far.
#[derive(Default)]
pub(super) struct Asked {
    delivered: Vec<Ask>,
}

impl Asked {
    pub(super) fn next(&mut self, bytes: &mut Bytes<'_>) -> Ask {
        let generation = None;
        match bytes.below(12) {
            0 => Ask::Changes {
                cursors: cursors(bytes),
                floors: cursors(bytes),
                generation,
                rows_max: count(bytes),
            },
            1 => {
                let above = Index(epoch(bytes).0);
                Ask::Triggers { above, generation, triggers_max: count(bytes) }
            }
            2 => Ask::LiveSets { generation },
            3 => Ask::Reads { keys: (0..bytes.below(8)).map(|_| key(bytes)).collect() },
            4 => self.again(bytes),
            _ => {
                let ask = deliver(bytes);
                if self.delivered.len() < REMEMBERED_MAX {
                    self.delivered.push(ask.clone());
                }
                ask
            }
        }
    }

    /// What was delivered before: as it was, or something else under its number.
    fn again(&mut self, bytes: &mut Bytes<'_>) -> Ask {
        let Some(ask) = self.delivered.get(bytes.below(8)).cloned() else { return deliver(bytes) };
        match ask {
            Ask::Deliver { replica, bunch, generation } if bytes.below(2) == 0 => {
                let mut operations = bunch.operations;
                operations.pop();
                Ask::Deliver { replica, bunch: lines::bunch(bunch.number, operations), generation }
            }
            ask => ask,
        }
    }
}

fn deliver(bytes: &mut Bytes<'_>) -> Ask {
    // Those of the honest clients are among them.
    let replica = ReplicaId(Uuid::from_u128(6 + bytes.below(4) as u128));
    let number = match bytes.next() {
        255 => u64::MAX,
        small => u64::from(small % 6),
    };
    let operations = (0..bytes.below(6)).map(|_| planned(bytes)).collect();
    Ask::Deliver { replica, bunch: lines::bunch(BunchNumber(number), operations), generation: None }
}

fn planned(bytes: &mut Bytes<'_>) -> Planned {
    let mut operation: Operation = bytes.operation();
    match bytes.below(12) {
        0 => operation.key = key(bytes),
        1 => operation.at = Some(Millis::MAX),
        2 => operation.at = None,
        _ => {}
    }
    let base = match bytes.below(4) {
        0 => None,
        1 => Some(Epoch(0)),
        _ => Some(epoch(bytes)),
    };
    let touched = (bytes.below(4) == 0).then(|| vec!["a".to_owned()]);
    let (first, last) = (Seq(bytes.below(8) as u64), Seq(bytes.below(8) as u64));
    Planned { operation, base, first, last, operations: u32::from(bytes.next() % 3), touched }
}

fn key(bytes: &mut Bytes<'_>) -> EntityKey {
    let name = match bytes.below(16) {
        15 => "unheard of",
        14 => "meta",
        place => return entity(place % ENTITIES),
    };
    let name = CollectionName::new(name).expect("a plain name");
    EntityKey::new(name, Uuid::from_u128(1 + bytes.below(4) as u128)).expect("an id that is not nil")
}

fn epoch(bytes: &mut Bytes<'_>) -> Epoch {
    match bytes.next() {
        255 => Epoch(u64::MAX),
        254 => Epoch(u64::MAX - 1),
        small => Epoch(u64::from(small % 24)),
    }
}

fn count(bytes: &mut Bytes<'_>) -> usize {
    match bytes.next() {
        255 => usize::MAX,
        small => usize::from(small % 12),
    }
}

fn cursors(bytes: &mut Bytes<'_>) -> Cursors {
    (0..bytes.below(4)).map(|_| (key(bytes).collection().clone(), epoch(bytes))).collect()
}

/// The ask by whoever knows this generation.
pub(super) fn knowing(ask: &Ask, known: Option<Generation>) -> Ask {
    let mut ask = ask.clone();
    match &mut ask {
        Ask::Deliver { generation, .. }
        | Ask::Changes { generation, .. }
        | Ask::Triggers { generation, .. }
        | Ask::LiveSets { generation } => *generation = known,
        Ask::Reads { .. } => {}
    }
    ask
}
