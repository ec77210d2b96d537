//! The engine itself.

use crate::algebra::{
    Answer, Ask, Bunch, CollectionName, EntityKey, Epoch, Generation, Index, Limits, LiveSets, Millis,
    Outcome, Outcomes, Page, Policy, ReplicaId, Trigger,
};
use crate::codec::lines::planned_bytes;
use crate::replica::{self, Applied, Replica, Settled, Standing, Status};
use uuid::Uuid;

use super::backoff::delay_ms;
use super::fitting::{as_wrong_answer, name_of, name_of_ask, require_page, require_read, wrong};

/// What is to be done. Wants add up: several are done in the engine's order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Want {
    /// Fetch what changed elsewhere.
    pub down: bool,
    /// Send what is pending.
    pub up: bool,
    /// Ask for the triggers that were not heard.
    pub triggers: bool,
    /// Read what the triggers hint at.
    pub reads: bool,
    /// When all else is done, compare what is live here with what is live there.
    pub compare: bool,
}

impl Want {
    /// What changed elsewhere, then what is pending.
    pub const SYNC: Want = Want { down: true, up: true, triggers: false, reads: false, compare: false };
    /// Only what changed elsewhere.
    pub const DOWN: Want = Want { up: false, ..Want::SYNC };
    /// Only what is pending.
    pub const UP: Want = Want { down: false, ..Want::SYNC };
    /// Only what the triggers hint at that were heard.
    pub const READS: Want = Want { down: false, up: false, reads: true, ..Want::SYNC };

    fn is_nothing(self) -> bool {
        self == Want::default()
    }
}

/// How much is asked for at once, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How large a bunch may be.
    pub limits: Limits,
    /// How many rows or triggers are asked for at once.
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

/// A question, with the number by which its answer is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The number.
    pub number: u64,
    /// The question.
    pub ask: Ask,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Ask this. Asked again before it is answered, it is the same request.
    Ask(Request),
    /// Nothing before this time; then call again.
    Wait(Millis),
    /// Nothing before there are new credentials ([`Engine::authorised`]).
    Unauthorised,
}

/// What taking an answer came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Outcomes were recorded.
    Settled(Settled),
    /// Rows were taken.
    Rows(Applied),
    /// Triggers were heard; so many were new.
    Heard(u64),
    /// What is live here was compared with what is live there.
    Compared(Compared),
    /// A bunch was too large for the authority, or for what stands before it: smaller ones are sent. Where it could not
    /// be smaller, what was in it is parked.
    TooLarge(Settled),
    /// The file was copied, so the replica goes on under a new name.
    Renamed(ReplicaId),
    /// Everything is fetched anew from here on.
    StartsOver,
    /// Nobody answered, or not now: there is a next attempt.
    Later,
    /// The credentials are refused.
    Unauthorised,
    /// It answers nothing that is open; it was left alone.
    Stale,
}

/// How what is live here compares with what is live there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Collections that were read to their end and differ all the same: something is wrong, and
    /// [`Engine::start_over`] mends it.
    pub differing: Vec<CollectionName>,
    /// Collections that changed there since they were read. They are read and compared once more, a few times.
    pub behind: Vec<CollectionName>,
}

/// Why something is parked that no authority decided about.
const TOO_LARGE: &str = "it is more than the authority, or what stands before it, takes at once: make it smaller, or \
     have the limit there raised";

/// How often a comparison is made once more because somebody was quicker.
const COMPARISONS_MAX: u32 = 4;

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
    replica: Replica,
    options: Options,
    want: Want,
    asked: Option<Request>,
    next_number: u64,
    /// What the open question reads, and up to which epochs.
    reading: Vec<(EntityKey, Epoch)>,
    down_at: Option<Millis>,
    up_at: Option<Millis>,
    is_told: bool,
    /// Comparisons in a row that came too late.
    compared: u32,
    /// How large a bunch may be by now, and how many operations the last one had that was too large.
    limits: Limits,
    too_large: Option<usize>,
}

impl Engine {
    /// An engine that wants what a client wants when it starts: everything.
    #[must_use]
    pub fn new(replica: Replica, options: Options) -> Self {
        let (asked, reading) = (None, Vec::new());
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
        self.want(Want { triggers: true, reads: true, ..Want::SYNC });
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

    /// What to do next. Time is in ms since the Unix epoch.
    ///
    /// While something is pending there is always a time at which it is attempted again.
    ///
    /// # Errors
    /// What the replica says.
    pub fn next(&mut self, now: Millis) -> Result<Next, Error> {
        let standing = self.replica.standing()?;
        if standing.is_unauthorised {
            return Ok(Next::Unauthorised);
        }
        if standing.failures > 0 && now < standing.next_attempt_at {
            // A clock that was set back must not make it wait for years.
            let longest = Millis(now.0.saturating_add(super::ATTEMPT_DELAY_MS_MAX));
            return Ok(Next::Wait(standing.next_attempt_at.min(longest)));
        }
        if let Some(asked) = &self.asked {
            return Ok(Next::Ask(asked.clone()));
        }
        self.want_what_is_due(now)?;
        match self.ask(&standing, now)? {
            Some(ask) => {
                let request = Request { number: self.next_number, ask };
                self.next_number += 1;
                self.asked = Some(request.clone());
                Ok(Next::Ask(request))
            }
            None => {
                let due = match self.is_told {
                    true => Millis::MAX.0,
                    false => self.down_at.unwrap_or(now).0.saturating_add(self.options.down_interval_ms),
                };
                let due = match self.has_pending()? {
                    true => {
                        let last = self.up_at.filter(|at| *at <= now).unwrap_or(now);
                        due.min(last.0.saturating_add(self.options.up_interval_ms))
                    }
                    false => due,
                };
                Ok(Next::Wait(Millis(due.max(now.0 + 1))))
            }
        }
    }

    /// Takes an answer, all of it or nothing. The random number spreads attempts, and names a replica anew.
    ///
    /// # Errors
    /// An answer that is not one to what was asked, or what the replica says.
    pub fn answer(&mut self, number: u64, answer: Answer, now: Millis, random: u128) -> Result<Taken, Error> {
        let is_answered = |asked: &mut Request| asked.number == number || sabotaged!(late_answer_taken);
        let Some(asked) = self.asked.take_if(is_answered) else { return Ok(Taken::Stale) };
        let taken = match (asked.ask, answer) {
            (_, Answer::Offline) => return self.later(now, 0, random).map(|()| Taken::Later),
            (_, Answer::Busy { retry_after_ms }) => {
                return self.later(now, retry_after_ms, random).map(|()| Taken::Later);
            }
            (_, Answer::Unauthorised) => {
                let failures = self.replica.standing()?.failures;
                self.replica.note_attempt(failures, Millis(0), true)?;
                return Ok(Taken::Unauthorised);
            }
            (Ask::Deliver { .. }, Answer::Delivered(outcomes)) => self.settle(&outcomes, now, random),
            (Ask::Deliver { .. }, Answer::Forked) => self.rename(random),
            (Ask::Deliver { bunch, .. }, Answer::TooLarge) => self.send_less(&bunch).map(Taken::TooLarge),
            (Ask::Deliver { .. }, Answer::StartOver { generation }) => {
                self.replica.take_back_bunch(None)?;
                self.begin_anew(Some(generation)).map(|()| Taken::StartsOver)
            }
            (
                Ask::Changes { .. } | Ask::Triggers { .. } | Ask::LiveSets { .. },
                Answer::StartOver { generation },
            ) => self.begin_anew(Some(generation)).map(|()| Taken::StartsOver),
            (Ask::Changes { cursors, generation, rows_max, .. }, Answer::Changes(page)) => {
                require_page(&page, &cursors, generation, rows_max).and_then(|()| self.take_page(&page, now))
            }
            (Ask::Triggers { above, .. }, Answer::Triggers(triggers)) => self.take_triggers(above, &triggers),
            (Ask::Triggers { .. }, Answer::TriggersTooOld) => {
                self.want.triggers = false;
                self.want.down = true;
                Ok(Taken::Heard(0))
            }
            (Ask::Reads { keys }, Answer::Rows(rows)) => {
                let reading = std::mem::take(&mut self.reading);
                require_read(&rows, keys)
                    .and_then(|()| Ok(Taken::Rows(self.replica.take_reads(&reading, &rows)?)))
            }
            (Ask::LiveSets { .. }, Answer::LiveSets(there)) => self.compare(&there),
            (ask, answer) => Err(wrong(format!("{} to {}", name_of(&answer), name_of_ask(&ask)))),
        };
        match taken {
            Ok(Taken::Later) => Ok(Taken::Later),
            Ok(taken) => {
                self.replica.note_attempt(0, Millis(0), false)?;
                Ok(taken)
            }
            Err(error) => {
                let error = as_wrong_answer(error);
                self.later(now, 0, random)?;
                Err(error)
            }
        }
    }

    /// What is wanted because its time has come.
    fn want_what_is_due(&mut self, now: Millis) -> Result<(), Error> {
        let is_due = |at: Option<Millis>, interval: u64| match at {
            // Also where the clock was set back.
            Some(at) => now.0 >= at.0.saturating_add(interval) || now < at,
            None => false,
        };
        self.want.down |= !self.is_told && is_due(self.down_at, self.options.down_interval_ms);
        if self.want.is_nothing() && is_due(self.up_at, self.options.up_interval_ms) && self.has_pending()? {
            self.want.up = true;
        }
        Ok(())
    }

    fn has_pending(&self) -> Result<bool, Error> {
        let status = self.replica.journal().status().map_err(replica::Error::from)?;
        Ok(status.pending.entities > 0 || status.open_bunch.is_some())
    }

    fn ask(&mut self, standing: &Standing, now: Millis) -> Result<Option<Ask>, Error> {
        let generation = standing.generation;
        if let Some(bunch) = self.replica.journal().open_bunch().map_err(replica::Error::from)? {
            return Ok(Some(Ask::Deliver { replica: self.replica.id(), bunch, generation }));
        }
        // What was decided goes up once it is seen what it is about.
        self.want.down |= self.want.up && !self.replica.decided()?.is_empty();
        if self.want.down || standing.is_fetching_all {
            let (cursors, floors) = (standing.cursors.clone(), standing.floors.clone());
            let rows_max = self.options.rows_max;
            return Ok(Some(Ask::Changes { cursors, floors, generation, rows_max }));
        }
        if self.want.up {
            self.up_at = Some(now);
            if let Some(bunch) = self.replica.seal(self.limits)? {
                return Ok(Some(Ask::Deliver { replica: self.replica.id(), bunch, generation }));
            }
            self.want.up = false;
        }
        if self.want.triggers || self.want.reads {
            let reads = self.replica.journal().reads().map_err(replica::Error::from)?;
            if self.want.triggers {
                // From the first one that is missing on: those behind a gap are heard again, which is harmless.
                let (above, triggers_max) = (reads.heard.cursor, self.options.rows_max);
                return Ok(Some(Ask::Triggers { above, generation, triggers_max }));
            }
            let mut keys = Vec::new();
            for (collection, ids) in &reads.plan.reads {
                keys.extend(ids.iter().filter_map(|id| EntityKey::new(collection.clone(), *id).ok()));
            }
            let mut deletes = Vec::new();
            for (key, epoch) in reads.plan.deletes {
                // Where the later one counts, it has to be known when the other side deleted it.
                let is_newest = self.replica.schema().policy(key.collection()) == Policy::Newest;
                if is_newest && self.replica.entity(&key)?.status != Status::Synchronised {
                    keys.push(key);
                } else {
                    deletes.push((key, epoch));
                }
            }
            keys.truncate(self.options.rows_max);
            if keys.is_empty() {
                if !deletes.is_empty() {
                    self.replica.take_reads(&deletes, &[])?;
                }
                self.want.reads = false;
                return Ok(self.want.compare.then_some(Ask::LiveSets { generation }));
            }
            let hinted = self.replica.hinted(&keys)?;
            self.reading = deletes.into_iter().chain(hinted).collect();
            return Ok(Some(Ask::Reads { keys }));
        }
        Ok(self.want.compare.then_some(Ask::LiveSets { generation }))
    }

    fn settle(&mut self, outcomes: &Outcomes, now: Millis, random: u128) -> Result<Taken, Error> {
        let settled = self.replica.settle(outcomes)?;
        if settled.retried > 0 {
            // What is to be retried is not retried at once.
            self.later(now, 0, random)?;
            self.want.up = false;
            return Ok(Taken::Later);
        }
        Ok(Taken::Settled(settled))
    }

    /// Takes a bunch back that is too large, and makes those to come half as large. Should an attempt of it have been taken
    /// whose answer was lost, the next bunch of its number is `forked`, and all is well. What cannot go in parts, or could
    /// not be parted by the last halving, is parked, so that the rest can go on.
    fn send_less(&mut self, bunch: &Bunch) -> Result<Settled, Error> {
        let operations = bunch.operations.len();
        self.want.up = true;
        if operations <= 1 || self.too_large == Some(operations) {
            self.too_large = None;
            let refused = Outcome::Refused { reason: TOO_LARGE.to_owned() };
            let outcomes = Outcomes { bunch: bunch.number, outcomes: vec![refused; operations] };
            return Ok(self.replica.settle(&outcomes)?);
        }
        self.too_large = Some(operations);
        let bytes: usize = bunch.operations.iter().map(planned_bytes).sum();
        // It may have been sealed under larger limits than there are now.
        let Limits { operations: operations_max, bytes: bytes_max } = self.limits;
        self.limits =
            Limits { operations: operations_max.min(operations / 2), bytes: bytes_max.min(bytes / 2) };
        self.replica.take_back_bunch(None)?;
        Ok(Settled::default())
    }

    fn rename(&mut self, random: u128) -> Result<Taken, Error> {
        let name = uuid::Builder::from_random_bytes(random.to_le_bytes()).into_uuid();
        // A name that all clones draw alike would be no name: it also depends on what is in the file.
        let name = ReplicaId(Uuid::new_v5(&name, self.replica.id().0.as_bytes()));
        self.replica.take_back_bunch(Some(name))?;
        self.want.up = true;
        Ok(Taken::Renamed(name))
    }

    fn begin_anew(&mut self, generation: Option<Generation>) -> Result<(), Error> {
        self.replica.begin_anew(generation)?;
        self.asked = None;
        self.want.down = true;
        Ok(())
    }

    fn take_page(&mut self, page: &Page, now: Millis) -> Result<Taken, Error> {
        let applied = self.replica.take_page(page)?;
        if applied.starts_over {
            return Ok(Taken::StartsOver);
        }
        if !page.has_more {
            self.want.down = false;
            self.down_at = Some(now);
        }
        Ok(Taken::Rows(applied))
    }

    fn take_triggers(&mut self, above: Index, triggers: &[Trigger]) -> Result<Taken, Error> {
        if let Some(trigger) = triggers.iter().find(|trigger| trigger.index <= above) {
            return Err(wrong(format!("trigger {} is not above {above}", trigger.index)));
        }
        if triggers.len() > self.options.rows_max {
            let (found, most) = (triggers.len(), self.options.rows_max);
            return Err(wrong(format!("{found} triggers where at most {most} were asked for")));
        }
        let received = self.replica.journal().receive(triggers).map_err(replica::Error::from)?;
        self.want.triggers = triggers.len() >= self.options.rows_max;
        self.want.reads = true;
        Ok(Taken::Heard(received.new))
    }

    fn compare(&mut self, there: &LiveSets) -> Result<Taken, Error> {
        let mut here = self.replica.live_sets()?;
        let cursors = self.replica.standing()?.cursors;
        let mut compared = Compared::default();
        for (collection, (set, epoch)) in there {
            let held = here.remove(collection).unwrap_or_default();
            if cursors.get(collection).copied().unwrap_or_default() < *epoch {
                compared.behind.push(collection.clone());
            } else if held != *set {
                compared.differing.push(collection.clone());
            }
        }
        // What it does not list was never there.
        compared.differing.extend(here.into_keys());
        self.compared += 1;
        if compared.behind.is_empty() || self.compared >= COMPARISONS_MAX {
            self.compared = 0;
            self.want.compare = false;
        } else {
            self.want.down = true;
        }
        Ok(Taken::Compared(compared))
    }

    /// Waits longer than after the last failure; at least as long as the authority says.
    fn later(&mut self, now: Millis, at_least_ms: u64, random: u128) -> Result<(), Error> {
        let failures = self.replica.standing()?.failures.saturating_add(1);
        let [low, high] =
            [random, random >> 64].map(|half| u64::try_from(half & u128::from(u64::MAX)).unwrap_or(0));
        let delay = delay_ms(failures, low ^ high).max(at_least_ms);
        let at = Millis(now.0.saturating_add(delay)).min(Millis::MAX);
        Ok(self.replica.note_attempt(failures, at, false)?)
    }
}
