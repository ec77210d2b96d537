//! The conflict record: every value that lost, until it is forgotten on purpose.

use redb::{ReadableTable, WriteTransaction};

use super::Replica;
use super::error::Error;
use super::keep::{put_record, record_in};
use crate::algebra::{EntityKey, Millis, Operation, Patch, State};
use crate::codec::FrameError;
use crate::codec::frame::{self, FrameKind};
use crate::codec::kept::{LOST_WHYS, LostRecord};
use crate::journal::error::engine;
use crate::journal::tables::{LOST, damaged};
use crate::journal::{self, Appended, Durability};

/// A value that lost in a conflict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Its number, by which it is restored or forgotten.
    pub number: u64,
    /// Which decision it lost in: values of one decision share the number.
    pub decision: u64,
    /// The entity.
    pub key: EntityKey,
    /// Whose value it was.
    pub side: Side,
    /// Why it lost.
    pub why: Why,
    /// The fields that lost, with their values; null for one that had been removed. Empty for a delete.
    pub fields: Patch,
    /// Whether what lost was a delete.
    pub was_delete: bool,
    /// When it lost.
    pub at: Millis,
}

/// Whose value lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// This replica's.
    Local,
    /// The authority's.
    Remote,
}

/// Why a value lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// An operation of this replica's replaced it, which had not seen it.
    Overwritten,
    /// The policy decided for the other side.
    Policy,
    /// It was part of a delete that gave way whole.
    Unit,
    /// A person or the program decided.
    Resolved,
    /// The authority was restored from an older copy.
    Restored,
}

impl Why {
    const ALL: [Why; LOST_WHYS] = [Why::Overwritten, Why::Policy, Why::Unit, Why::Resolved, Why::Restored];

    fn number(self) -> u8 {
        match self {
            Why::Overwritten => 0,
            Why::Policy => 1,
            Why::Unit => 2,
            Why::Resolved => 3,
            Why::Restored => 4,
        }
    }
}

/// What lost in one decision, before it is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Loss {
    pub(super) side: Side,
    pub(super) why: Why,
    pub(super) fields: Patch,
    pub(super) was_delete: bool,
}

impl Loss {
    pub(super) fn of(side: Side, why: Why, fields: Patch) -> Self {
        Loss { side, why, fields, was_delete: false }
    }

    /// Fields as the other side had them.
    pub(super) fn overwritten(fields: &State) -> Self {
        Loss::of(Side::Remote, Why::Overwritten, State::empty().changes_to(fields))
    }
}

impl Replica {
    /// The values that lost, oldest first.
    ///
    /// # Errors
    /// What the journal says.
    pub fn losers(&self) -> Result<Vec<Lost>, Error> {
        self.read(|snapshot, _| {
            let mut found = Vec::new();
            for row in snapshot.numbered(LOST)?.iter().map_err(engine)? {
                let (number, value) = row.map_err(engine)?;
                found.push(lost_of(number.value(), value.value())?);
            }
            Ok(found)
        })
    }

    /// Makes a value that lost the entity's again, as an edit of now: its fields, or a delete. The record stays.
    ///
    /// # Errors
    /// A number that no value has; otherwise as [`Replica::commit`].
    pub fn restore(&self, number: u64) -> Result<Appended, Error> {
        let lost = self.losers()?.into_iter().find(|lost| lost.number == number);
        let lost = lost.ok_or(Error::NothingLost { number })?;
        let operation = if lost.was_delete {
            Operation::delete(lost.key)
        } else {
            Operation::patch(lost.key, lost.fields)
        };
        self.commit(&[operation], Durability::Durable)
    }

    /// Forgets the values that lost before a time, in ms since the Unix epoch, and says how many those were.
    ///
    /// # Errors
    /// What the journal says.
    pub fn forget_losers(&self, before: Millis) -> Result<u64, Error> {
        self.maintain(|work, _| {
            let mut table = work.txn.open_table(LOST).map_err(engine)?;
            let mut forgotten = Vec::new();
            for row in table.iter().map_err(engine)? {
                let (number, value) = row.map_err(engine)?;
                if lost_of(number.value(), value.value())?.at < before {
                    forgotten.push(number.value());
                }
            }
            for number in &forgotten {
                table.remove(number).map_err(engine)?;
            }
            work.has_written |= !forgotten.is_empty();
            Ok(forgotten.len() as u64)
        })
    }
}

/// Writes down what lost in one decision on an entity.
pub(super) fn keep(
    txn: &WriteTransaction,
    key: &EntityKey,
    losses: &[Loss],
    at: Millis,
) -> Result<(), journal::Error> {
    if losses.is_empty() || sabotaged!(loser_not_recorded) {
        return Ok(());
    }
    let mut record = record_in(txn)?.unwrap_or_default();
    {
        let mut table = txn.open_table(LOST).map_err(engine)?;
        for loss in losses {
            let number = record.next_lost;
            let lost = LostRecord {
                collection: key.collection().as_str().to_owned(),
                id: key.id().into_bytes(),
                decision: record.next_decision,
                side: match loss.side {
                    Side::Local => 0,
                    Side::Remote => 1,
                },
                was_delete: loss.was_delete,
                fields: loss.fields.as_json().to_owned(),
                at: at.0,
                why: loss.why.number(),
            };
            let framed = frame::record(FrameKind::Lost, &number.to_le_bytes(), &lost)
                .map_err(damaged(format!("lost value {number}")))?;
            table.insert(number, framed.as_slice()).map_err(engine)?;
            record.next_lost += 1;
        }
    }
    record.next_decision += 1;
    put_record(txn, &record)
}

fn lost_of(number: u64, bytes: &[u8]) -> Result<Lost, journal::Error> {
    let read = || -> Result<Lost, FrameError> {
        let record: LostRecord = frame::open_record(FrameKind::Lost, &number.to_le_bytes(), bytes)?;
        let why = Why::ALL.get(usize::from(record.why)).copied();
        Ok(Lost {
            number,
            decision: record.decision,
            key: record.key()?,
            side: if record.side == 0 { Side::Local } else { Side::Remote },
            why: why.ok_or_else(|| FrameError::Body { why: "it lost for no known reason".to_owned() })?,
            fields: record.patch()?,
            was_delete: record.was_delete,
            at: Millis(record.at).min(Millis::MAX),
        })
    };
    read().map_err(damaged(format!("lost value {number}")))
}
