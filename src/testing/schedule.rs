//! Schedules: what happens to a journal, as data. A test plays one on a journal and, beside it, on the
//! [`oracle`](super::oracle), and compares the two after every step.
//!
//! A schedule never names what it cannot know beforehand (bunch numbers, sequence numbers, epochs): it
//! points at "the n-th of what is there", counted round and round, so every step can be played on every
//! journal, and a shrunken schedule is still one.

use crate::algebra::{Change, Existence, Operation, State};

/// What happens to one journal, in its order.
pub type Schedule = Vec<Step>;

/// One thing that happens to a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// These operations are appended in one call.
    Append {
        /// The operations; may be none.
        operations: Vec<Operation>,
        /// Whether the call returns only when they are durable; otherwise a later [`Step::Flush`] (or
        /// any durable step) makes them so, and a crash before it may take them, newest first.
        is_durable: bool,
    },
    /// Everything appended so far is made durable.
    Flush,
    /// Another writer makes an entity this at the authority, and the program is told at once, by a row of a
    /// baseline.
    Learn {
        /// Which of the entities that the schedule names.
        entity: usize,
        /// What it is there.
        truth: Existence,
    },
    /// Another writer makes an entity this at the authority; the program is not told.
    Remote {
        /// Which of the entities that the schedule names.
        entity: usize,
        /// What it is there; absent says that it is deleted.
        truth: Existence,
    },
    /// The authority's new triggers arrive.
    Hear {
        /// The n-th bit: triggers with an index of n modulo 8 are lost on the way.
        lost: u8,
        /// They come twice, and the last one first.
        twice: bool,
    },
    /// The triggers that the journal misses are asked for by range.
    FillGaps,
    /// What the triggers hint at is read and applied.
    Integrate {
        /// The n-th bit: the n-th row, modulo 8, does not come back.
        lost: u8,
    },
    /// The last rows that were read are applied once more, however late.
    IntegrateAgain,
    /// The pass runs.
    Compact,
    /// The plan is read; nothing may change by it.
    Plan,
    /// The next bunch is frozen, or the open one is asked for again.
    Seal(SealLimits),
    /// The open bunch reaches the authority, and its answer is lost; nothing where none is open. What it
    /// answers was decided the first time: the answers in turn, counted round; `Accepted` where there are none.
    Deliver(Vec<Answer>),
    /// The open bunch reaches the authority and is settled by its answer; nothing where none is open.
    Settle(Vec<Answer>),
    /// The last settlement comes once more, word for word.
    SettleAgain,
    /// A parked effect goes out again as it is: the n-th, counted round.
    Retry(usize),
    /// A parked effect is replaced by another change of the same entity.
    Edit {
        /// Which one: the n-th, counted round.
        parked: usize,
        /// What is to be done in its place.
        change: Change,
    },
    /// A parked effect is given up: the n-th, counted round.
    Drop(usize),
    /// A pending operation is taken back: the n-th, counted round.
    Cancel(usize),
    /// Space is given back to the file system.
    Reclaim,
    /// The process dies here: what was not synced is lost. The journal is opened again.
    Crash,
    /// The journal is closed in order and opened again.
    Reopen,
    /// The file is let go of, and taken up again.
    Suspend,
}

/// How much may go into a bunch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SealLimits {
    /// At most so many operations; none: any number. A group or an oversized operation may go beyond.
    pub operations_max: Option<u32>,
    /// At most so many bytes; none: any number. A group or an oversized operation may go beyond.
    pub bytes_max: Option<u64>,
}

/// What the authority says to one operation of a bunch, without the numbers.
///
/// What it accepts it still judges by the epochs: a delete of what another writer changed gives way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was applied, if no other writer came first.
    Accepted,
    /// It was applied, and the entity is live with this state now.
    AcceptedAs(State),
    /// It was applied, and the entity is a tombstone now.
    AcceptedGone,
    /// It was applied, and replaced these concurrently changed fields.
    AcceptedOver(State),
    /// The remote side prevailed: live with this state, or a tombstone.
    Superseded(Option<State>),
    /// A unique key is taken, by the n-th entity of the bunch, counted round.
    Clash(usize),
    /// It was refused for good.
    Refused,
    /// It waits for the n-th operation of the bunch, counted round.
    Waits(usize),
    /// Nothing was decided.
    Retry,
}
