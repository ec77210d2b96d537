//! The engine itself: what it wants, and what it stands on.

use crate::algebra::{EntityKey, Epoch, Generation, Limits, Millis, ROWS_MAX, Trigger};
use crate::replica::{self, Replica, Standing};

use super::asking::{Request, Want};
use super::backoff::delay_ms;

/// How much is asked for at once, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How large a bunch may be.
    pub limits: Limits,
    /// How many rows or triggers are asked for at once: at most [`ROWS_MAX`].
    pub rows_max: usize,
    /// How long what is pending waits at most, in ms.
    pub up_interval_ms: u64,
    /// How long between two down syncs nobody asked for, in ms.
    pub down_interval_ms: u64,
}

impl Default for Options {
    fn default() -> Self {
        // A second is soon for whoever waits; five minutes are what a client without a stream may be behind.
        Options {
            limits: Limits::default(),
            rows_max: 10_000,
            up_interval_ms: 1_000,
            down_interval_ms: 300_000,
        }
    }
}

/// The error of the engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// What the replica says.
    #[error(transparent)]
    Replica {
        /// Its error.
        #[from]
        source: replica::Error,
    },
    /// An answer that cannot be one to what was asked. Nothing of it was taken, and there is a next attempt.
    #[error("the authority's answer is not one to what was asked: {why}; nothing of it was taken")]
    WrongAnswer {
        /// What is wrong with it.
        why: String,
    },
}

/// The sync engine of one replica.
#[derive(Debug)]
pub struct Engine {
    pub(super) replica: Replica,
    pub(super) options: Options,
    pub(super) want: Want,
    pub(super) asked: Option<Request>,
    pub(super) next_number: u64,
    /// What the open question reads, and up to which epochs.
    pub(super) reading: Vec<(EntityKey, Epoch)>,
    pub(super) down_at: Option<Millis>,
    pub(super) up_at: Option<Millis>,
    pub(super) is_told: bool,
    /// Comparisons in a row that came too late.
    pub(super) compared: u32,
    /// How large a bunch may be by now, and how many operations the last one had that was too large.
    pub(super) limits: Limits,
    pub(super) too_large: Option<usize>,
}

impl Engine {
    /// An engine that wants what a client wants when it starts: everything.
    #[must_use]
    pub fn new(replica: Replica, options: Options) -> Self {
        let (asked, reading) = (None, Vec::new());
        // Of more than are told at once it would be thought that there are no more.
        let options = Options { rows_max: options.rows_max.clamp(1, ROWS_MAX), ..options };
        Engine {
            replica,
            options,
            want: Want::SYNC,
            asked,
            next_number: 1,
            reading,
            down_at: None,
            up_at: None,
            is_told: false,
            compared: 0,
            limits: options.limits,
            too_large: None,
        }
    }

    /// The replica.
    #[must_use]
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// Wants this too.
    pub fn want(&mut self, want: Want) {
        self.want.down |= want.down;
        self.want.up |= want.up;
        self.want.triggers |= want.triggers;
        self.want.reads |= want.reads;
        self.want.compare |= want.compare;
    }

    /// Wants this, and nothing else.
    pub fn want_only(&mut self, want: Want) {
        self.want = want;
    }

    /// Drops the local copy of what the authority holds and fetches all of it; what is unsent is kept, unless it is
    /// [undone](Replica::undo) before: `replica.undo(&replica.unsent()?)`.
    ///
    /// # Errors
    /// What the replica says.
    pub fn start_over(&mut self) -> Result<(), Error> {
        let generation = self.replica.standing()?.generation;
        self.begin_anew(generation)
    }

    /// There are new credentials: what waited for them goes on.
    ///
    /// # Errors
    /// What the replica says.
    pub fn authorised(&mut self) -> Result<(), Error> {
        Ok(self.replica.note_attempt(0, Millis(0), false)?)
    }

    /// The network is there again: what waited for the next attempt need not wait.
    ///
    /// # Errors
    /// What the replica says.
    pub fn online(&mut self) -> Result<(), Error> {
        let Standing { failures, is_unauthorised, .. } = self.replica.standing()?;
        // What is heard is read.
        self.want(Want { triggers: true, ..Want::SYNC });
        Ok(self.replica.note_attempt(failures, Millis(0), is_unauthorised)?)
    }

    /// Hears triggers that came by themselves, as over a stream: what they hint at is wanted, and what is missing in
    /// between; of another generation, everything is. How many were new.
    ///
    /// # Errors
    /// What the replica says.
    pub fn hear(&mut self, generation: Generation, triggers: &[Trigger]) -> Result<u64, Error> {
        if self.replica.standing()?.generation != Some(generation) {
            self.want.down = true;
            return Ok(0);
        }
        let received = self.replica.journal().receive(triggers).map_err(replica::Error::from)?;
        self.want.reads = true;
        self.want.triggers |= !received.heard.gaps.is_empty();
        Ok(received.new)
    }

    /// What is pending now is enough for this time: what is written meanwhile waits for its interval. Without this a
    /// program that writes while a bunch is on its way is followed by one bunch after the other.
    pub fn up_is_enough(&mut self) {
        self.want.up = false;
    }

    /// Says whether what changes elsewhere is told as it happens, as over a stream. While it is, no down sync is due
    /// by itself; once it is not any more, the next one is due an interval later.
    pub fn is_told(&mut self, is_told: bool, now: Millis) {
        if self.is_told && !is_told && self.down_at.is_some() {
            self.down_at = Some(now);
        }
        self.is_told = is_told;
    }

    pub(super) fn begin_anew(&mut self, generation: Option<Generation>) -> Result<(), Error> {
        self.replica.begin_anew(generation)?;
        self.asked = None;
        self.want.down = true;
        Ok(())
    }

    /// Waits longer than after the last failure; at least as long as the authority says.
    pub(super) fn later(&mut self, now: Millis, at_least_ms: u64, random: u128) -> Result<(), Error> {
        let failures = self.replica.standing()?.failures.saturating_add(1);
        let [low, high] =
            [random, random >> 64].map(|half| u64::try_from(half & u128::from(u64::MAX)).unwrap_or(0));
        let delay = delay_ms(failures, low ^ high).max(at_least_ms);
        let at = Millis(now.0.saturating_add(delay)).min(Millis::MAX);
        Ok(self.replica.note_attempt(failures, at, false)?)
    }
}
