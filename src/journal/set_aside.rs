//! What was set aside: listed, counted, forgotten.

use redb::{ReadableTable, ReadableTableMetadata};

use super::error::{Error, engine};
use super::tables::{SET_ASIDE, Snapshot, damaged};
use super::verify::Finding;
use super::{Journal, status};
use crate::algebra::Millis;
use crate::codec::FrameError;
use crate::codec::frame::{self, FrameKind};
use crate::codec::records::SetAsideRecord;

/// A stored value that did not open when it was needed, as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// Where it was.
    pub place: String,
    /// In what way it was damaged.
    pub why: String,
    /// When that was found, by the journal's clock.
    pub at: Millis,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Journal {
    /// What was damaged and is set aside, oldest first.
    ///
    /// # Errors
    /// A journal that is suspended or damaged, or what the storage says.
    pub fn set_aside(&self) -> Result<Vec<SetAside>, Error> {
        self.inner.read(|snapshot| {
            let all = records(snapshot)?.into_iter().map(|(number, record)| match record {
                Ok(SetAsideRecord { place, why, at, bytes }) => {
                    Ok(SetAside { place, why, at: Millis(at), bytes })
                }
                Err((why, _)) => Err(damaged(format!("value set aside {number}"))(why)),
            });
            all.collect()
        })
    }

    /// Forgets what was set aside so far, and says how many values that were. The operations in them count as
    /// settled from then on: given up.
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub fn forget_set_aside(&self) -> Result<u64, Error> {
        self.inner.maintain(|work| {
            work.folds = false;
            let counted = status::counted(work.snapshot, &work.state, None, work.pass_bytes)?;
            if counted.set_aside_values > 0 {
                work.txn.delete_table(SET_ASIDE).map_err(engine)?;
                work.state.settled = counted.settled + counted.set_aside;
                work.has_written = true;
            }
            Ok(counted.set_aside_values)
        })
    }
}

/// How many values are set aside.
pub(crate) fn count(snapshot: &Snapshot) -> Result<u64, Error> {
    match snapshot.numbered_if_there(SET_ASIDE)? {
        Some(table) => table.len().map_err(engine),
        None => Ok(0),
    }
}

/// What was set aside, the oldest so many left out: at most so much of it, without its bytes.
pub(crate) fn findings(snapshot: &Snapshot, skipped: u64, most: usize) -> Result<Vec<Finding>, Error> {
    let Some(table) = snapshot.numbered_if_there(SET_ASIDE)? else { return Ok(Vec::new()) };
    let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
    let mut found = Vec::new();
    for value in table.iter().map_err(engine)?.skip(skipped).take(most) {
        let (number, value) = value.map_err(engine)?;
        let number = number.value();
        let record = frame::open_record(FrameKind::SetAside, &number.to_le_bytes(), value.value());
        let SetAsideRecord { place, why, .. } =
            record.map_err(damaged(format!("value set aside {number}")))?;
        found.push(Finding { place, what: why });
    }
    Ok(found)
}

/// What is set aside, by its number: a record, or why there is none.
pub(super) type Records = Vec<(u64, Result<SetAsideRecord, (FrameError, Vec<u8>)>)>;

/// What is set aside, in order.
pub(super) fn records(snapshot: &Snapshot) -> Result<Records, Error> {
    let Some(table) = snapshot.numbered_if_there(SET_ASIDE)? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for value in table.iter().map_err(engine)? {
        let (number, value) = value.map_err(engine)?;
        let (number, bytes) = (number.value(), value.value());
        let record = frame::open_record(FrameKind::SetAside, &number.to_le_bytes(), bytes);
        found.push((number, record.map_err(|why| (why, bytes.to_owned()))));
    }
    Ok(found)
}
