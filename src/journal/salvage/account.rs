//! The account of a salvage: what went on, what did not, and what was judged.

use std::fmt;

use super::super::status::Status;
use super::super::verify::Finding;
use crate::algebra::ReplicaId;

/// What became of a damaged journal.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Salvaged {
    /// How it was read.
    pub reading: Reading,
    /// The replica that the new journal writes for.
    pub replica: ReplicaId,
    /// The new file's length.
    pub bytes: u64,
    /// How many stored values the new journal has.
    pub values: u64,
    /// Of how many entities it knows what the authority holds.
    pub bases: u64,
    /// How the new journal stands.
    pub status: Status,
    /// What could not be read, the first [`UNREADABLE_LISTED_MAX`] of it. What was set aside before is not among it.
    pub unreadable: Vec<Finding>,
    /// How much that is in all.
    pub unreadable_count: u64,
    /// What was decided where the file does not tell.
    pub judged: Vec<Judged>,
}

/// So much of what could not be read is listed; all of it is among what the new journal has set aside.
pub const UNREADABLE_LISTED_MAX: usize = 1_000;

/// How a damaged journal was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Nothing of it is damaged: the new file is a copy.
    Copied,
    /// Through the storage engine, whose own pages are as they should be.
    Engine,
    /// Page by page, without the engine.
    Pages,
}

/// Something that was decided where the file does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Judged {
    /// What leads to the last commit is gone: the one before it counts, with what was appended since.
    CommitBefore,
    /// Nothing tells which commit was the last: the newest counts that is whole.
    NewestWhole,
    /// Where the journal stood is not known: what it holds unsent may have been sent, so it is parked.
    Parked {
        /// How many entities.
        entities: u64,
    },
    /// Values that are gone from their places were taken from copies that the engine had not used again.
    Recalled {
        /// How many.
        values: u64,
    },
    /// Nothing tells whether what was parked of some entities still was, or had been sent or given up since: it is parked
    /// again, and its cause says so.
    ParkedAgain {
        /// How many entities.
        entities: u64,
    },
    /// It is not known any more what the authority holds of some entities: it is asked for anew.
    ReadAnew,
    /// Its name is gone: it has a new one.
    NewName,
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Judged::CommitBefore => {
                f.write_str("what leads to the last commit is gone: the one before it counts, with what was appended since")
            }
            Judged::NewestWhole => {
                f.write_str("nothing tells which commit was the last: the newest counts that is whole")
            }
            Judged::Parked { entities } => write!(
                f,
                "where the journal stood is not known: what it holds unsent of {entities} entities may have been sent, \
                 so it is parked, for you to retry or drop"
            ),
            Judged::Recalled { values } => write!(
                f,
                "{values} values that are gone from their places were taken from copies that the engine had not used again"
            ),
            Judged::ParkedAgain { entities } => write!(
                f,
                "nothing tells of {entities} entities that were parked whether they still were, or had been sent or \
                 dropped since: they are parked again, for you to retry or drop"
            ),
            Judged::ReadAnew => f.write_str(
                "of some entities it is not known any more what the authority holds: it is asked for anew",
            ),
            Judged::NewName => f.write_str("the name of the replica is gone: it has a new one"),
        }
    }
}

/// What to do where the name of a replica, its id, cannot be read any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LostName {
    /// Refuse the file.
    #[default]
    Refused,
    /// Give it a new name. Everything that it holds unsent is parked, for all of it may have been sent under the old one.
    Drawn,
}
