//! The protocol: what a client asks an authority, and what that answers. Shapes only; how they travel is for those
//! who carry them.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::live::LiveSets;
use super::names::{CollectionName, EntityKey, Epoch, Index, ReplicaId};
use super::outcome::{Bunch, FullRow, Outcomes};
use super::trigger::Trigger;

/// How far a client has read, a collection; one that is not listed was not read at all.
pub type Cursors = BTreeMap<CollectionName, Epoch>;

/// Names one life of an authority's data: another one after it was restored from an older copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub Uuid);

/// One page of changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The generation that its epochs belong to.
    pub generation: Generation,
    /// The rows, a collection after the other, each in the order of its epochs: an entity stands where it was
    /// changed last.
    pub rows: Vec<FullRow>,
    /// How far a client has read with this page, for every collection there is.
    pub cursors: Cursors,
    /// The floors of these collections when the page was made: below them tombstones may be gone.
    pub floors: Cursors,
    /// Whether there is more behind these cursors.
    pub has_more: bool,
    /// The index of the last trigger when the page was made: what it hints at is in these pages.
    pub triggers_until: Index,
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Take this bunch.
    Deliver {
        /// Whose it is.
        replica: ReplicaId,
        /// The bunch.
        bunch: Bunch,
        /// The generation that its bases belong to; none where nothing was ever read.
        generation: Option<Generation>,
    },
    /// What changed above these cursors?
    Changes {
        /// How far was read.
        cursors: Cursors,
        /// The floors when reading began: what was gone by then was never there for this client.
        floors: Cursors,
        /// The generation that they belong to; none where nothing was ever read.
        generation: Option<Generation>,
        /// At most so many rows.
        rows_max: usize,
    },
    /// Which triggers are there above this index?
    Triggers {
        /// The last one that was heard.
        above: Index,
        /// The generation that it belongs to; none where nothing was ever read.
        generation: Option<Generation>,
        /// At most so many.
        triggers_max: usize,
    },
    /// What are these entities?
    Reads {
        /// The entities, each once; at most [`ROWS_MAX`].
        keys: Vec<EntityKey>,
    },
    /// What is live?
    LiveSets {
        /// The generation that is known; none where nothing was ever read.
        generation: Option<Generation>,
    },
}

/// The most rows, triggers or entities that are told at once, however many are asked for.
pub const ROWS_MAX: usize = 10_000;

/// What an authority answers, or what comes in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To [`Ask::Deliver`]: an outcome for each operation.
    Delivered(Outcomes),
    /// To [`Ask::Deliver`]: another bunch came under this number, so the file was copied or restored.
    Forked,
    /// To [`Ask::Changes`].
    Changes(Page),
    /// The cursors or bases are too old, or of another generation, or were never given out: everything has to be
    /// fetched anew.
    StartOver {
        /// The generation that there is now.
        generation: Generation,
    },
    /// To [`Ask::Triggers`], in their order.
    Triggers(Vec<Trigger>),
    /// To [`Ask::Triggers`]: they are no longer kept.
    TriggersTooOld,
    /// To [`Ask::Reads`]: the entities that are known, tombstones included.
    Rows(Vec<FullRow>),
    /// To [`Ask::LiveSets`]: every collection there is.
    LiveSets(LiveSets),
    /// To [`Ask::Deliver`]: it is more than is taken at once. Nothing of it was taken. To [`Ask::Reads`]: it is more
    /// than is told at once; pages of changes tell it part by part.
    TooLarge,
    /// Not now.
    Busy {
        /// Not before so many ms have passed.
        retry_after_ms: u64,
    },
    /// The credentials are refused.
    Unauthorised,
    /// Nobody answers.
    Offline,
}
