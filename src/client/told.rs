//! The stream of triggers, as far as it is decided about: when it is opened, and what is made of what it tells.

use super::error::Error;
use super::message::RETRY_AFTER_S_MAX;
use super::options::Options;
use crate::algebra::{Generation, Index, Millis, Trigger};
use crate::codec::wire::{Event as Told, EventId};
use crate::replica::{Replica, Standing};
use crate::sync::{ATTEMPT_DELAY_MS_MAX, Engine, Want, delay_ms};

/// What a stream tells.
#[derive(Debug)]
pub(super) enum StreamNews {
    /// It is open.
    Opened,
    /// This happened.
    Told(Vec<Told>),
    /// It is over, for this reason.
    Ended(Error),
}

/// What to do about the stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum StreamAct {
    /// Nothing.
    #[default]
    Keep,
    /// Close it.
    Close,
    /// Open one that begins behind what was heard.
    Open { ticket: u64, heard: EventId },
}

/// What hearing came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// Triggers that were new.
    pub(super) new: u64,
    /// Whether the stream opened (true) or ended (false) by this.
    pub(super) turned: Option<bool>,
}

/// The stream of one client.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// The one that is open, or being opened.
    ticket: Option<u64>,
    is_open: bool,
    failures: u32,
    not_before: Millis,
}

impl Stream {
    /// Whether what happens is told.
    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }

    /// When it is to be opened, if it is not.
    pub(super) fn due(&self) -> Option<Millis> {
        self.ticket.is_none().then_some(self.not_before)
    }

    /// Whatever kept it from being opened is over.
    pub(super) fn try_at_once(&mut self) {
        (self.failures, self.not_before) = (0, Millis(0));
    }

    /// Gives it up; whether there was one.
    pub(super) fn give_up(&mut self) -> bool {
        self.is_open = false;
        self.ticket.take().is_some()
    }

    /// What is to be done where a stream is wanted: nothing before its time, nor before everything was fetched once.
    pub(super) fn opened(
        &mut self,
        replica: &Replica,
        standing: &Standing,
        now: Millis,
        next_ticket: &mut u64,
    ) -> Result<StreamAct, Error> {
        // Where the clock was set back, a time far ahead is none that was meant.
        let is_early = now < self.not_before && self.not_before.0 - now.0 <= RETRY_AFTER_S_MAX * 1_000;
        let (Some(generation), false) = (standing.generation, standing.is_fetching_all) else {
            return Ok(StreamAct::Keep);
        };
        if self.ticket.is_some() || is_early {
            return Ok(StreamAct::Keep);
        }
        let index = heard_until(replica)?;
        *next_ticket += 1;
        self.ticket = Some(*next_ticket);
        Ok(StreamAct::Open { ticket: *next_ticket, heard: EventId { generation, index } })
    }

    /// Takes what a stream tells.
    pub(super) fn hear(
        &mut self,
        ticket: u64,
        news: StreamNews,
        engine: &mut Engine,
        options: &Options,
    ) -> Result<Heard, Error> {
        if self.ticket != Some(ticket) {
            return Ok(Heard::default());
        }
        let now = options.now();
        match news {
            StreamNews::Opened => {
                self.is_open = true;
                engine.is_told(true, now);
                Ok(Heard { new: 0, turned: Some(true) })
            }
            StreamNews::Told(events) => {
                // Only what tells something proves that the stream is one.
                self.failures = 0;
                Ok(Heard { new: told(events, engine)?, turned: None })
            }
            StreamNews::Ended(error) => {
                tracing::debug!(%error, "the stream of triggers ended");
                let was_open = std::mem::take(&mut self.is_open);
                self.ticket = None;
                self.failures = self.failures.saturating_add(1);
                let [low, high] = halves(options.drawn());
                let delay = now.0.saturating_add(delay_ms(self.failures, low ^ high));
                self.not_before = Millis(match &error {
                    Error::Busy { until } => delay.max(until.0),
                    // No stream there, or something else than one: that will not change soon.
                    Error::Unanswered { .. } => now.0.saturating_add(ATTEMPT_DELAY_MS_MAX),
                    _ => delay,
                });
                engine.is_told(false, now);
                if matches!(error, Error::Unauthorised) {
                    // Asked for anything at all, the authority says so to the engine as well.
                    engine.want(Want::DOWN);
                }
                Ok(Heard { new: 0, turned: was_open.then_some(false) })
            }
        }
    }
}

/// Hands events to the engine, as many at once as are of one generation.
fn told(events: Vec<Told>, engine: &mut Engine) -> Result<u64, Error> {
    let mut new = 0;
    let mut batch: Vec<Trigger> = Vec::new();
    let mut of = Generation::default();
    for event in events {
        match event {
            Told::Trigger { generation, trigger } => {
                if generation != of && !batch.is_empty() {
                    new += engine.hear(of, &std::mem::take(&mut batch))?;
                }
                of = generation;
                batch.push(trigger);
            }
            Told::Resync { .. } => engine.want(Want::DOWN),
            Told::Alive => {}
        }
    }
    if !batch.is_empty() {
        new += engine.hear(of, &batch)?;
    }
    Ok(new)
}

fn heard_until(replica: &Replica) -> Result<Index, Error> {
    let reads = replica.journal().reads().map_err(crate::replica::Error::from)?;
    Ok(reads.heard.cursor)
}

fn halves(random: u128) -> [u64; 2] {
    [random, random >> 64].map(|half| u64::try_from(half & u128::from(u64::MAX)).unwrap_or(0))
}
