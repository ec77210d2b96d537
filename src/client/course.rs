//! The course of a sync: the engine's questions one after the other, and what came of them. No network; its calls
//! read and write the replica, so they may wait for a disk.

use super::error::Error;
use super::message::{Carried, RETRY_AFTER_S_MAX};
use super::options::Options;
use super::synced::Synced;
use crate::algebra::{Answer, Ask, Millis};
use crate::replica::{self, Replica};
use crate::sync::{self, Engine, Next, Request, Taken, Want};

/// A sync under way.
#[derive(Debug)]
pub(super) struct Course {
    engine: Engine,
    engine_options: sync::Options,
    options: Options,
    synced: Synced,
    /// Until when the authority asked to be left alone: nobody who is impatient goes before that.
    not_before: Option<Millis>,
    /// The operations of the open question.
    operations: u64,
    /// Whether the last bunch held all there was when it was sealed.
    was_all: bool,
}

impl Course {
    pub(super) fn new(replica: Replica, engine_options: sync::Options, options: Options) -> Self {
        let engine = Engine::new(replica, engine_options);
        Course {
            engine,
            engine_options,
            options,
            synced: Synced::default(),
            not_before: None,
            operations: 0,
            was_all: false,
        }
    }

    /// Begins from what is in the replica, which somebody else may have synced meanwhile: a question that was given up
    /// need not be one any more.
    pub(super) fn anew(&mut self) {
        self.engine = Engine::new(self.engine.replica().clone(), self.engine_options);
        self.synced = Synced::default();
    }

    #[cfg(feature = "client")]
    pub(super) fn replica(&self) -> &Replica {
        self.engine.replica()
    }

    pub(super) fn engine(&mut self) -> &mut Engine {
        &mut self.engine
    }

    /// What it has come to since it was last taken.
    pub(super) fn synced(&self) -> &Synced {
        &self.synced
    }

    pub(super) fn take_synced(&mut self) -> Synced {
        std::mem::take(&mut self.synced)
    }

    /// Begins a sync that somebody asked for: neither waits for the next attempt, unless the authority said so itself, nor
    /// for other credentials, which may be others by now.
    pub(super) fn begin(&mut self, want: Want) -> Result<(), Error> {
        self.engine.want(want);
        let now = self.options.now();
        if let Some(until) = self.not_before {
            // A clock that was set back must not make it wait for years.
            if now < until && until.0 - now.0 <= RETRY_AFTER_S_MAX * 1_000 {
                return Err(Error::Busy { until });
            }
            self.not_before = None;
        }
        if self.engine.replica().standing()?.is_unauthorised {
            self.engine.authorised()?;
        }
        Ok(self.engine.online()?)
    }

    /// Lets what was written since the last bunch was sealed wait for its interval; a backlog goes on at once.
    pub(super) fn take_breath(&mut self) {
        if self.was_all {
            self.engine.up_is_enough();
        }
    }

    /// What to do next.
    pub(super) fn next(&mut self) -> Result<Next, Error> {
        let next = self.engine.next(self.options.now())?;
        if let Next::Ask(Request { ask: Ask::Deliver { bunch, .. }, .. }) = &next {
            self.operations = bunch.operations.len() as u64;
            let status = self.engine.replica().journal().status().map_err(replica::Error::from)?;
            self.was_all = status.pending.entities == 0;
        }
        Ok(next)
    }

    /// Takes what came of a question. Whatever went wrong, there is a next attempt: the engine was told.
    pub(super) fn take(&mut self, number: u64, carried: Carried) -> Result<Taken, Error> {
        let (now, random) = (self.options.now(), self.options.drawn());
        self.synced.bytes_sent += carried.sent;
        self.synced.bytes_received += carried.received;
        let answer = match carried.answer {
            Ok(answer) => answer,
            Err(error) => {
                self.engine.answer(number, Answer::Offline, now, random)?;
                return Err(error);
            }
        };
        if let Answer::Busy { retry_after_ms } = answer {
            self.not_before = Some(Millis(now.0.saturating_add(retry_after_ms)).min(Millis::MAX));
        }
        let taken = self.engine.answer(number, answer, now, random)?;
        self.synced.add(self.operations, &taken);
        match taken {
            Taken::Later => Err(Error::Busy { until: self.engine.replica().standing()?.next_attempt_at }),
            Taken::Unauthorised => Err(Error::Unauthorised),
            taken => Ok(taken),
        }
    }
}
