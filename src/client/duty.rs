//! What a running client does next, turn by turn: orders first, then what came, then the next question. It decides,
//! and reads and writes the replica; whoever runs it carries questions and streams, with threads or without.
//!
//! ```text
//! suspended ←─→ running:  down, up, triggers ─→ idle ─→ a write, a trigger, the time, an order ─→ …
//!                            └─ failed ─→ waiting (or offline, or unauthorised) ─→ …
//! ```
//!
//! Invariant: at most one question is on its way, and what comes of one that was given up is not heard.

use std::sync::Arc;

use super::course::Course;
use super::desk::{Desk, Mail, Orders};
use super::error::Error;
use super::options::Options;
use super::status::{Event, Phase};
use super::told::{Stream, StreamAct, StreamNews};
use crate::algebra::{Ask, Millis};
use crate::replica::{self, Replica};
use crate::sync::{self, ATTEMPT_DELAY_MS_MAX, Next, Taken, Want, delay_ms};

/// What is to be done until the next turn.
#[derive(Debug, Default)]
pub(super) struct Acts {
    /// Give up the question that is on its way.
    pub(super) hang_up: bool,
    /// Ask this; what comes of it is known by the ticket.
    pub(super) ask: Option<(u64, Ask)>,
    pub(super) stream: StreamAct,
    /// Take another turn then, if nothing comes before.
    pub(super) until: Option<Millis>,
    /// It was told to stop.
    pub(super) is_over: bool,
}

#[derive(Debug)]
pub(super) struct Duty {
    replica: Replica,
    engine: sync::Options,
    options: Options,
    desk: Arc<Desk>,
    /// None before the first turn, and while the file is somebody else's.
    course: Option<Course>,
    is_suspended: bool,
    is_offline: bool,
    /// The ticket and the number of the question that is on its way.
    asked: Option<(u64, u64)>,
    next_ticket: u64,
    stream: Stream,
    /// How often in a row the replica itself said no, and when it is tried again.
    troubles: u32,
    trouble_until: Millis,
    /// Whether anything was asked since there was nothing left to ask.
    has_asked: bool,
}

impl Duty {
    pub(super) fn new(replica: Replica, engine: sync::Options, options: Options, desk: Arc<Desk>) -> Self {
        Duty {
            replica,
            engine,
            options,
            desk,
            course: None,
            is_suspended: false,
            is_offline: false,
            asked: None,
            next_ticket: 0,
            stream: Stream::default(),
            troubles: 0,
            trouble_until: Millis(0),
            has_asked: false,
        }
    }

    #[cfg(feature = "client")]
    pub(super) fn now(&self) -> Millis {
        self.options.now()
    }

    /// Takes a turn.
    pub(super) fn turn(&mut self, mail: Mail) -> Acts {
        let mut acts = Acts::default();
        let Mail { orders, answer, stream } = mail;
        if orders.stop {
            self.give_up(&mut acts);
            acts.is_over = true;
            return acts;
        }
        // Whatever fails, what came is looked at: it comes only once.
        let heeded = self.heed(&orders, &mut acts);
        let answered = answer.map_or(Ok(()), |(ticket, carried)| self.answered(ticket, carried));
        let heard = stream.map_or(Ok(()), |(ticket, news)| self.hear(ticket, news));
        if heard.is_err() {
            // What was not kept is told again by the next one.
            self.close_stream(&mut acts);
        }
        let done = heeded.and(answered).and(heard).and_then(|()| self.go_on(&mut acts));
        if let Err(error) = done {
            self.in_trouble(error, &mut acts);
        }
        acts
    }

    fn heed(&mut self, orders: &Orders, acts: &mut Acts) -> Result<(), Error> {
        if let Some(is_there) = orders.network {
            self.is_offline = !is_there;
        }
        if orders.suspended && !self.is_suspended {
            self.give_up(acts);
            (self.is_suspended, self.course) = (true, None);
            if let Err(source) = self.replica.journal().suspend() {
                self.failed(replica::Error::from(source).into());
            }
            self.desk.show_phase(Phase::Suspended);
        }
        if orders.suspended {
            return Ok(());
        }
        if self.is_suspended {
            self.replica.journal().resume().map_err(replica::Error::from)?;
            self.is_suspended = false;
        }
        let is_new = self.course.is_none();
        let (engine, options) = (self.engine, self.options.clone());
        let course = self.course.get_or_insert_with(|| Course::new(self.replica.clone(), engine, options));
        if self.is_offline {
            self.give_up(acts);
            self.desk.show_phase(Phase::Offline);
            return Ok(());
        }
        if orders.has_token {
            course.engine().authorised()?;
            self.stream.try_at_once();
        }
        if is_new || orders.sync || orders.network == Some(true) {
            (self.troubles, self.trouble_until) = (0, Millis(0));
            self.stream.try_at_once();
            match course.begin(Want { compare: orders.compare, ..Want::SYNC }) {
                Ok(()) => {}
                // It waits for its time as it did.
                Err(error @ Error::Busy { .. }) => self.failed(error),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn answered(&mut self, ticket: u64, carried: super::message::Carried) -> Result<(), Error> {
        let Some((_, number)) = self.asked.take_if(|(asked, _)| *asked == ticket) else { return Ok(()) };
        let Some(course) = &mut self.course else { return Ok(()) };
        let taken = course.take(number, carried);
        let synced = course.synced().clone();
        self.desk.show(|status| status.synced = synced);
        match taken {
            Ok(taken) => {
                let conflicts = match taken {
                    Taken::Settled(settled) => {
                        course.take_breath();
                        settled.conflicting
                    }
                    Taken::Rows(applied) => applied.conflicting,
                    Taken::TooLarge(settled) => settled.conflicting,
                    Taken::Heard(_)
                    | Taken::Compared(_)
                    | Taken::Renamed(_)
                    | Taken::StartsOver
                    | Taken::Later
                    | Taken::Unauthorised
                    | Taken::Stale => Vec::new(),
                };
                if !conflicts.is_empty() {
                    self.desk.listeners.tell(&Event::Conflicts(conflicts));
                }
                self.desk.show(|status| status.failure = None);
                Ok(())
            }
            Err(error) if is_of_replica(&error) => Err(error),
            Err(error) => {
                self.failed(error);
                Ok(())
            }
        }
    }

    fn hear(&mut self, ticket: u64, news: StreamNews) -> Result<(), Error> {
        let Some(course) = &mut self.course else { return Ok(()) };
        let heard = self.stream.hear(ticket, news, course.engine(), &self.options)?;
        if let Some(is_open) = heard.turned {
            self.desk.listeners.tell(&Event::Streaming(is_open));
            self.desk.show(|status| status.is_streaming = is_open);
        }
        if heard.new > 0 {
            self.desk.listeners.tell(&Event::Heard(heard.new));
        }
        Ok(())
    }

    /// Asks what there is to ask, and opens a stream where there is none.
    fn go_on(&mut self, acts: &mut Acts) -> Result<(), Error> {
        self.desk.heed_writes(false);
        let Some(course) = &mut self.course else { return Ok(()) };
        if self.is_offline {
            return Ok(());
        }
        let now = self.options.now();
        if now < self.trouble_until && self.trouble_until.0 - now.0 <= ATTEMPT_DELAY_MS_MAX {
            acts.until = Some(self.trouble_until);
            return Ok(());
        }
        if self.asked.is_none() {
            match course.next()? {
                Next::Ask(request) => {
                    self.next_ticket += 1;
                    self.asked = Some((self.next_ticket, request.number));
                    acts.ask = Some((self.next_ticket, request.ask));
                    self.has_asked = true;
                    self.desk.show_phase(Phase::Syncing);
                }
                Next::Wait(until) => {
                    acts.until = Some(until);
                    self.rest(until, now)?;
                }
                Next::Unauthorised => {
                    self.desk.show_phase(Phase::Unauthorised);
                    return Ok(());
                }
            }
        }
        self.troubles = 0;
        if self.options.has_stream {
            let standing = self.replica.standing()?;
            let opened = self.stream.opened(&self.replica, &standing, now, &mut self.next_ticket)?;
            if opened != StreamAct::Keep {
                acts.stream = opened;
            }
            // Before anything was read there is none to open, and the answer to come brings a turn.
            let due =
                self.stream.due().filter(|_| standing.generation.is_some() && !standing.is_fetching_all);
            acts.until = acts.until.into_iter().chain(due).min();
        }
        Ok(())
    }

    /// There is nothing to ask: nothing is left, or an attempt failed.
    fn rest(&mut self, until: Millis, now: Millis) -> Result<(), Error> {
        if self.replica.standing()?.failures > 0 {
            self.desk.show_phase(Phase::Waiting { until });
            return Ok(());
        }
        // Until then nobody looks at what is written; what waits anyway goes with it.
        self.desk.heed_writes(until.0.saturating_sub(now.0) > self.engine.up_interval_ms);
        if std::mem::take(&mut self.has_asked)
            && let Some(course) = &mut self.course
        {
            let synced = course.take_synced();
            // Told first: who sees the status has been told all that led to it.
            self.desk.listeners.tell(&Event::Synced(synced.clone()));
            self.desk.show(|status| {
                (status.phase, status.synced_at, status.synced) = (Phase::Idle, Some(now), synced);
            });
        } else {
            self.desk.show_phase(Phase::Idle);
        }
        Ok(())
    }

    /// Gives up whatever is on its way.
    fn give_up(&mut self, acts: &mut Acts) {
        acts.hang_up |= self.asked.take().is_some();
        self.close_stream(acts);
    }

    fn close_stream(&mut self, acts: &mut Acts) {
        let was_open = self.stream.is_open();
        if self.stream.give_up() {
            acts.stream = StreamAct::Close;
            if let Some(course) = &mut self.course {
                course.engine().is_told(false, self.options.now());
            }
        }
        if was_open {
            self.desk.listeners.tell(&Event::Streaming(false));
            self.desk.show(|status| status.is_streaming = false);
        }
    }

    /// The replica itself says no: it is tried again later, and ever later.
    fn in_trouble(&mut self, error: Error, acts: &mut Acts) {
        self.troubles = self.troubles.saturating_add(1);
        let [low, high] = [self.options.drawn(), self.options.drawn() >> 64];
        let random = u64::try_from((low ^ high) & u128::from(u64::MAX)).unwrap_or(0);
        let until = Millis(self.options.now().0.saturating_add(delay_ms(self.troubles, random)));
        self.trouble_until = until;
        acts.until = Some(until);
        self.failed(error);
        if !self.is_suspended {
            self.desk.show_phase(Phase::Waiting { until });
        }
    }

    fn failed(&self, error: Error) {
        let error = Arc::new(error);
        self.desk.listeners.tell(&Event::Failed(Arc::clone(&error)));
        self.desk.show(|status| status.failure = Some(error));
    }
}

/// Whether it is the replica that fails, not whom it talks to: of that no attempt is noted anywhere.
fn is_of_replica(error: &Error) -> bool {
    matches!(error, Error::Sync { source: sync::Error::Replica { .. } })
}
