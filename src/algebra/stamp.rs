//! Stamps: when an operation was made, and when each field was last written.
//!
//! A stamp is later than every stamp already seen on its entity, by at least 1 ms, even when the clock
//! ran backwards. Operations are stamped one by one and folded in any grouping, so the rule itself must
//! compose: a run of operations maps the entity's last time `x` to `max(at, x + steps)`. Such functions
//! are closed under composition (the max-plus algebra), and that is all a [`Clock`] is.

use std::num::NonZeroU64;

use super::names::{Millis, ReplicaId};

/// A time and who wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// When.
    pub at: Millis,
    /// Which replica; nothing for the journal's own.
    pub replica: Option<ReplicaId>,
}

impl Stamp {
    /// Of the journal's own.
    pub(crate) fn own(at: Millis) -> Self {
        Stamp { at, replica: None }
    }
}

/// The time after a run of operations, as a function of the entity's time before it.
// 12 bytes, not 16: each entity that is folded has three of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(Rust, packed(4))]
pub struct Clock {
    /// The time if nothing came before, plus 1 so that an option takes no room; none if no operation of
    /// the run was stamped.
    at: Option<NonZeroU64>,
    /// How many stamped operations the run has: what it adds at least to the time before it.
    steps: u32,
}

impl Clock {
    /// The clock of one operation.
    #[must_use]
    pub fn of(at: Option<Millis>) -> Self {
        let at = at.and_then(|at| NonZeroU64::new(at.0.saturating_add(1)));
        Clock { at, steps: u32::from(at.is_some()) }
    }

    /// The two numbers a clock is stored as.
    pub(crate) fn to_parts(self) -> (u64, u32) {
        ({ self.at }.map_or(0, NonZeroU64::get), self.steps)
    }

    /// The clock that was stored as these numbers.
    pub(crate) fn from_parts(at: u64, steps: u32) -> Self {
        Clock { at: NonZeroU64::new(at), steps }
    }

    /// The clock of one operation, told as the first of its [two numbers](Self::to_parts).
    pub(super) fn of_one(at: u64) -> Self {
        Clock::from_parts(at, u32::from(at != 0))
    }

    /// This clock for a run that comes after another one.
    #[must_use]
    pub fn after(self, earlier: Clock) -> Self {
        let lifted = { earlier.at }.map(|at| at.saturating_add(u64::from(self.steps)));
        Clock { at: { self.at }.max(lifted), steps: self.steps.saturating_add(earlier.steps) }
    }

    /// The time, if any operation was stamped.
    #[must_use]
    pub fn time(self) -> Option<Millis> {
        { self.at }.map(|at| Millis(at.get() - 1).min(Millis::MAX))
    }
}

/// When a field was written: by an operation of this journal, or as somebody stated it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldStamp {
    /// Moves with what comes before it.
    Clock(Clock),
    /// Stated with the operation (it was folded or merged elsewhere): never moved.
    Stated(Stamp),
}

impl FieldStamp {
    /// This stamp in a run that comes after another one.
    #[must_use]
    pub fn after(self, earlier: Clock) -> Self {
        match self {
            FieldStamp::Clock(clock) => FieldStamp::Clock(clock.after(earlier)),
            FieldStamp::Stated(stamp) => FieldStamp::Stated(stamp),
        }
    }

    /// The stamp, if there is one.
    #[must_use]
    pub fn stamp(self) -> Option<Stamp> {
        match self {
            FieldStamp::Clock(clock) => clock.time().map(Stamp::own),
            FieldStamp::Stated(stamp) => Some(stamp),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_runs_backwards_still_moves_on() {
        let run = [100, 50, 50, 200, 10].map(|at| Clock::of(Some(Millis(at))));
        let times: Vec<u64> = run
            .iter()
            .scan(Clock::default(), |before, clock| {
                *before = clock.after(*before);
                before.time()
            })
            .map(|at| at.0)
            .collect();
        assert_eq!(times, [100, 101, 102, 200, 201]);
    }

    #[test]
    fn an_operation_without_a_time_leaves_the_clock_as_it_is() {
        let stamped = Clock::of(Some(Millis(7)));
        assert_eq!(Clock::of(None).after(stamped), stamped);
        assert_eq!(stamped.after(Clock::of(None)), stamped);
    }
}
