//! What to do with what is answered.

use crate::algebra::{
    Answer, Ask, Bunch, CollectionName, Index, Limits, LiveSets, Millis, Outcome, Outcomes, Page, ReplicaId,
    Trigger,
};
use crate::codec::lines::planned_bytes;
use crate::replica::{self, Applied, Settled};
use uuid::Uuid;

use super::asking::Request;
use super::engine::{Engine, Error};
use super::fitting::{as_wrong_answer, is_behind, name_of, name_of_ask, require_page, require_read, wrong};

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

impl Engine {
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
                require_read(&rows, keys).and_then(|()| {
                    let applied = self.replica.take_reads(&reading, &rows)?;
                    if is_behind(&rows, &reading) {
                        // What was hinted at is not there: wherever it is, pages will tell.
                        self.reads_by_pages();
                    }
                    Ok(Taken::Rows(applied))
                })
            }
            (Ask::Reads { .. }, Answer::TooLarge) => {
                self.reads_by_pages();
                Ok(Taken::Rows(Applied::default()))
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

    /// Pages tell all that triggers hint at, and as much at once as goes.
    fn reads_by_pages(&mut self) {
        self.want.reads = false;
        self.want.down = true;
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
}
