//! What to ask next.

use crate::algebra::{Ask, EntityKey, Millis, Policy};
use crate::replica::{self, Standing, Status};

use super::ATTEMPT_DELAY_MS_MAX;
use super::engine::{Engine, Error};

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

impl Engine {
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
        if now < standing.next_attempt_at {
            // A clock that was set back must not make it wait for years.
            let longest = Millis(now.0.saturating_add(ATTEMPT_DELAY_MS_MAX));
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

    /// What is wanted because its time has come.
    fn want_what_is_due(&mut self, now: Millis) -> Result<(), Error> {
        // Not again at the same moment, however short the time between.
        let is_due = |at: Option<Millis>, interval: u64| match at {
            // Also where the clock was set back.
            Some(at) => now.0 >= at.0.saturating_add(interval.max(1)) || now < at,
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
        if self.want.triggers {
            // From the first one that is missing on: those behind a gap are heard again, which is harmless.
            let reads = self.replica.journal().reads().map_err(replica::Error::from)?;
            let (above, triggers_max) = (reads.heard.cursor, self.options.rows_max);
            return Ok(Some(Ask::Triggers { above, generation, triggers_max }));
        }
        if self.want.reads {
            if let Some(ask) = self.ask_for_reads()? {
                return Ok(Some(ask));
            }
            self.want.reads = false;
        }
        Ok(self.want.compare.then_some(Ask::LiveSets { generation }))
    }

    /// Asks for what the triggers hint at, as far as that has to be read; what they say by themselves is taken.
    fn ask_for_reads(&mut self) -> Result<Option<Ask>, Error> {
        let plan = self.replica.journal().reads().map_err(replica::Error::from)?.plan;
        let mut keys = Vec::new();
        for (collection, ids) in &plan.reads {
            keys.extend(ids.iter().filter_map(|id| EntityKey::new(collection.clone(), *id).ok()));
        }
        let mut deletes = Vec::new();
        for (key, epoch) in plan.deletes {
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
            return Ok(None);
        }
        let hinted = self.replica.hinted(&keys)?;
        self.reading = deletes.into_iter().chain(hinted).collect();
        Ok(Some(Ask::Reads { keys }))
    }
}
