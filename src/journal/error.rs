//! The one error of the journal.

use std::io;
use std::path::PathBuf;

use crate::algebra::{self, BunchNumber, EntityKey, Seq};
use crate::codec::FrameError;

/// The error of everything that a journal does. Whatever is refused has changed nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// What was handed in is not valid.
    #[error(transparent)]
    Invalid {
        /// What is wrong with it.
        #[from]
        source: algebra::Error,
    },
    /// There is no such file.
    #[error("there is no journal at {}; look at the name, or append to it to make one", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Something is where a new file was to be made.
    #[error("there is something at {} already; name a file that is not there", path.display())]
    Exists {
        /// Where.
        path: PathBuf,
    },
    /// Nothing can be salvaged of a file.
    #[error("{place} cannot be salvaged: {why}; if it was a journal, restore a copy")]
    NotSalvaged {
        /// Which file.
        place: String,
        /// What is wrong with it.
        why: String,
    },
    /// Of a damaged journal nothing tells any more for which replica it was written.
    #[error(
        "the name of {place}, its replica id, cannot be read any more; `foldlog salvage --new-name` gives it a new one, \
         and parks what is in it, for all of it may have been sent under the old one"
    )]
    NameLost {
        /// Which file.
        place: String,
    },
    /// Another handle, perhaps of another process, has it open.
    #[error("the journal {place} is open elsewhere; close it there, or wait")]
    Locked {
        /// Which journal.
        place: String,
    },
    /// The file is something else, or was cut short.
    #[error(
        "{place} is no journal, or is damaged beyond opening: {why}; if it was one, keep it: `foldlog salvage` takes what is \
         readable to a new file"
    )]
    NotAJournal {
        /// Which file.
        place: String,
        /// What gave it away.
        why: String,
    },
    /// A stored value was damaged.
    #[error(
        "the journal is damaged at {place}: {source}; `foldlog compact --mend` sets it aside, so that the rest goes on"
    )]
    Damaged {
        /// Which value.
        place: String,
        /// In what way.
        source: FrameError,
    },
    /// A newer program wrote the journal.
    #[error("{place} holds what a newer program wrote: {source}")]
    Newer {
        /// Which journal, or which value in it.
        place: String,
        /// Which format.
        source: FrameError,
    },
    /// The storage engine found its own structure damaged.
    #[error("the journal's file is damaged: {why}; `foldlog verify` tells more")]
    Corrupted {
        /// What the engine said.
        why: String,
    },
    /// The disk said no.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// What the system said.
        source: io::Error,
    },
    /// An earlier read or write failed, so that it is not known what the disk holds.
    #[error(
        "an earlier read or write failed, so this handle writes no more; see to the disk and open the journal again"
    )]
    Failed,
    /// The journal is suspended.
    #[error("the journal is suspended; resume it first")]
    Suspended,
    /// Outcomes for a bunch that is not open.
    #[error("outcomes for bunch {given}, but {}", open.map_or_else(|| "no bunch is open".to_owned(), |open| format!("bunch {open} is open")))]
    WrongBunch {
        /// The bunch that was named.
        given: BunchNumber,
        /// The bunch that is open.
        open: Option<BunchNumber>,
    },
    /// Not one outcome an operation.
    #[error("bunch {bunch} has {expected} operations, but there are {given} outcomes")]
    OutcomeCount {
        /// The bunch.
        bunch: BunchNumber,
        /// How many it has.
        expected: u64,
        /// How many outcomes came.
        given: u64,
    },
    /// An entity that is not parked.
    #[error("{key} is not parked; `parked` lists what is")]
    NotParked {
        /// The entity.
        key: EntityKey,
    },
    /// A sequence number that was never given out.
    #[error("no operation {seq} was ever appended")]
    NeverAppended {
        /// The number.
        seq: Seq,
    },
    /// The journal is part of a replica, which would not see what is done to the journal alone.
    #[error("this journal is a replica's, which would not see that; do it through the replica")]
    OfReplica,
    /// More than fits into one call.
    #[error("{given} operations in one call; at most {max} are taken")]
    TooMany {
        /// How many were given.
        given: u64,
        /// The limit.
        max: u64,
    },
}

impl Error {
    /// Whether the same call may succeed later without anything being mended: somebody else has the
    /// journal open, or it is suspended.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self, Error::Locked { .. } | Error::Suspended)
    }

    /// Whether the journal's file is not what this program wrote.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(
            self,
            Error::NotAJournal { .. }
                | Error::NotSalvaged { .. }
                | Error::NameLost { .. }
                | Error::Damaged { .. }
                | Error::Corrupted { .. }
        )
    }
}

/// What the engine said, in our words.
pub(crate) fn engine(error: impl Into<redb::Error>) -> Error {
    match error.into() {
        // Nobody cuts a file that is open: the engine was led past its end by what it read.
        redb::Error::Io(source) if source.kind() == io::ErrorKind::UnexpectedEof => {
            Error::Corrupted { why: "its engine's pages lead past its end".to_owned() }
        }
        redb::Error::Io(source) => Error::Io { doing: "the journal's storage failed".to_owned(), source },
        redb::Error::PreviousIo => Error::Failed,
        redb::Error::Corrupted(why) => Error::Corrupted { why },
        other => Error::Corrupted { why: other.to_string() },
    }
}
