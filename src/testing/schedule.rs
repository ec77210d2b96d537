//! Schedules: what happens to a journal, as data. A test plays one on a journal and, beside it, on the
//! [`oracle`](super::oracle), and compares the two after every step.
//!
//! A schedule never names what it cannot know beforehand (bunch numbers, sequence numbers, epochs): it
//! points at "the n-th of what is there", counted round and round, so every step can be played on every
//! journal, and a shrunken schedule is still one.

use crate::algebra::{
    Bunch, Change, Epoch, Existence, Operation, Outcome, Outcomes, Planned, Resulting, State, Update,
};

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
    /// The program learns what the authority holds for an entity.
    Learn {
        /// Which of the entities that the schedule names.
        entity: usize,
        /// What it is there.
        truth: Existence,
    },
    /// The pass runs.
    Compact,
    /// The plan is read; nothing may change by it.
    Plan,
    /// The next bunch is frozen, or the open one is asked for again.
    Seal(SealLimits),
    /// The open bunch is settled; nothing where none is open.
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was applied as it was sent.
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

/// Gives each operation of a bunch its outcome: the answers in turn, counted round (`accepted` where
/// there are none), and the epochs from the counter on.
#[must_use]
pub fn outcomes(bunch: &Bunch, answers: &[Answer], epoch: &mut Epoch) -> Outcomes {
    let mut answers = answers.iter().cycle();
    let outcomes = bunch
        .operations
        .iter()
        .map(|planned| outcome(planned, answers.next().unwrap_or(&Answer::Accepted), bunch, epoch))
        .collect();
    Outcomes { bunch: bunch.number, outcomes }
}

fn outcome(planned: &Planned, answer: &Answer, bunch: &Bunch, epoch: &mut Epoch) -> Outcome {
    let of_bunch = |place: &usize| bunch.operations.iter().cycle().nth(place % bunch.operations.len().max(1));
    let mut accepted = |result: Resulting, overwrote: Option<State>| {
        epoch.0 += 1;
        Outcome::Accepted { epoch: Some(*epoch), result, overwrote }
    };
    match answer {
        Answer::Accepted => accepted(Resulting::AsSent, None),
        Answer::AcceptedAs(state) => match planned.operation.change {
            Change::Create(_) | Change::Update(_) => accepted(Resulting::Live(state.clone()), None),
            Change::Delete => accepted(Resulting::AsSent, None),
        },
        Answer::AcceptedGone => match planned.operation.change {
            Change::Delete => accepted(Resulting::Gone, None),
            Change::Create(_) | Change::Update(_) => accepted(Resulting::AsSent, None),
        },
        Answer::AcceptedOver(fields) => match planned.operation.change {
            Change::Update(Update::Patch(_) | Update::State(_)) => {
                accepted(Resulting::AsSent, Some(fields.clone()))
            }
            Change::Create(_) | Change::Delete => accepted(Resulting::AsSent, None),
        },
        Answer::Superseded(state) => {
            epoch.0 += 1;
            Outcome::Superseded { epoch: *epoch, state: state.clone(), stamps: Vec::new(), writer: None }
        }
        Answer::Clash(place) => match of_bunch(place) {
            Some(holder) => {
                Outcome::Clash { unique: vec!["a".to_owned()], holder: holder.operation.key.id() }
            }
            None => Outcome::Retry,
        },
        Answer::Refused => Outcome::Refused { reason: "refused by the schedule".to_owned() },
        Answer::Waits(place) => match of_bunch(place) {
            Some(on) if on.operation.key != planned.operation.key => {
                Outcome::Waits { on: on.operation.key.clone() }
            }
            Some(_) | None => Outcome::Retry,
        },
        Answer::Retry => Outcome::Retry,
    }
}
