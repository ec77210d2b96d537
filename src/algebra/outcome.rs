//! Bunches, and what the authority answers to each of their operations.

use uuid::Uuid;

use super::fields::{Digest, State};
use super::names::{BunchNumber, EntityKey, Epoch, ReplicaId};
use super::plan::Planned;
use super::version::{Stamps, Version};

/// The operations frozen for one send: numbered, immutable, identified by the blake3 of its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bunch {
    /// Its number in its journal.
    pub number: BunchNumber,
    /// The blake3 hash of its bytes.
    pub id: Digest,
    /// Its operations, in the order in which the authority applies them.
    pub operations: Vec<Planned>,
}

/// What the authority answered to one operation of a bunch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was applied.
    Accepted {
        /// The epoch it got; none where nothing changed (deleting what is gone).
        epoch: Option<Epoch>,
        /// What the authority holds now, where that is not simply the operation laid on its base.
        result: Resulting,
        /// The concurrently changed fields that it replaced, with the values they had.
        overwrote: Option<State>,
    },
    /// The policy decided for the remote side.
    Superseded {
        /// The epoch of what the authority holds.
        epoch: Epoch,
        /// The live state there; none for a tombstone.
        state: Option<State>,
        /// When its fields were written and it was deleted, where told; of a tombstone these say what its deleter had
        /// seen.
        stamps: Stamps,
        /// Who wrote it last, where told.
        writer: Option<ReplicaId>,
    },
    /// A unique key is held by another entity.
    Clash {
        /// The fields of the key.
        unique: Vec<String>,
        /// The entity that holds it.
        holder: Uuid,
        /// The entity that cannot have it, where that is not the operation's own: a parent that would have come back
        /// with it.
        of: Option<EntityKey>,
    },
    /// It was refused for good.
    Refused {
        /// Why, in the authority's words.
        reason: String,
    },
    /// It depends on an operation that failed.
    Waits {
        /// The entity it waits for.
        on: EntityKey,
    },
    /// Nothing was decided: it goes out again.
    Retry,
}

/// What an accepted operation came to at the authority.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Resulting {
    /// The operation laid on the base it names.
    #[default]
    AsSent,
    /// This live state, with its stamps where they are told.
    Live(State, Stamps),
    /// A tombstone, with its stamps where they are told: they say what its deleter had seen.
    Gone(Stamps),
}

/// The answer to a whole bunch, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcomes {
    /// Which bunch.
    pub bunch: BunchNumber,
    /// One an operation.
    pub outcomes: Vec<Outcome>,
}

/// An entity as the authority holds it: a row of a baseline, or the answer to a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The entity.
    pub key: EntityKey,
    /// Its live state; none for a tombstone.
    pub state: Option<State>,
    /// The epoch of its last change, where told.
    pub epoch: Option<Epoch>,
}

/// An entity with all that the authority tells of it: a tombstone with its last state, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FullRow {
    /// The entity.
    pub key: EntityKey,
    /// What it is; never absent.
    pub version: Version,
    /// The epoch of its last change.
    pub epoch: Epoch,
    /// Who wrote it last, where told.
    pub writer: Option<Writer>,
}

/// Who wrote an entity: a replica, by one of its bunches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Writer {
    /// The replica.
    pub replica: ReplicaId,
    /// Its bunch.
    pub bunch: BunchNumber,
}
