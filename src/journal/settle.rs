//! Settling: what the authority made of each operation of the open bunch.

use super::columns::remove;
use super::entry::Entry;
use super::error::{Error, engine};
use super::moved::Pended;
use super::tables::{BUNCH, RUN};
use super::{Journal, Work, seal};
use crate::algebra::{
    Base, BunchNumber, EntityKey, Epoch, Held, Knowledge, Outcome, Outcomes, Planned, Resulting, State,
};
use crate::codec::records::CauseRecord;

/// What settling came to, in entities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// The bunch had been settled before; nothing was done.
    pub was_settled: bool,
    /// Accepted.
    pub accepted: u64,
    /// Gave way to the authority's side; [`Journal::superseded`] keeps their values.
    pub superseded: Vec<EntityKey>,
    /// Refused or clashing, and not edited since.
    pub parked: Vec<EntityKey>,
    /// Refused or clashing, but edited meanwhile: pending again, together with the edit.
    pub mended: Vec<EntityKey>,
    /// Pending again until what they wait for is no longer parked or held.
    pub waiting: Vec<EntityKey>,
    /// Pending again.
    pub retried: u64,
    /// Pending deletes that gave way to a change of the authority's that they had not seen.
    pub deletes_dropped: Vec<EntityKey>,
}

impl Journal {
    /// Records an outcome for each operation of the open bunch, in its order. Edits made since the seal
    /// stay pending. Settling a bunch twice is harmless.
    ///
    /// # Errors
    /// Outcomes for a bunch that was never sealed, or not as many as it has operations; otherwise as
    /// [`Journal::seal`].
    pub fn settle(&self, outcomes: &Outcomes) -> Result<Settled, Error> {
        self.inner.maintain(|work| {
            let given = outcomes.bunch;
            let open = work.state.open.clone();
            let wrong = |open: Option<BunchNumber>| Error::WrongBunch { given, open };
            let Some(open) = open.filter(|open| open.number == given.0) else {
                let number = work.state.open.as_ref().map(|open| open.bunch_number());
                let is_past = given.0 > 0 && given.0 <= work.state.last_bunch && number != Some(given);
                work.folds = false;
                return if is_past {
                    Ok(Settled { was_settled: true, ..Settled::default() })
                } else {
                    Err(wrong(number))
                };
            };
            let count = outcomes.outcomes.len() as u64;
            if count != open.operations {
                return Err(Error::OutcomeCount { bunch: given, expected: open.operations, given: count });
            }
            work.settle(outcomes)
        })
    }
}

impl Work<'_> {
    fn settle(&mut self, outcomes: &Outcomes) -> Result<Settled, Error> {
        let Some(open) = self.state.open.take() else { return Ok(Settled::default()) };
        let (bunch, mut entries) = seal::load(self.snapshot, &open)?;
        let keys: Vec<EntityKey> = entries.keys().cloned().collect();
        let mut pending = self.pending(&keys)?;
        let bases = self.bases()?;
        let mut settled = Settled::default();
        for decided in decisions(&bunch.operations, &outcomes.outcomes) {
            let Some(entry) = entries.remove(decided.key) else { continue };
            let newer = pending.remove(decided.key);
            let before = bases.get(decided.key)?;
            self.decide(&entry, newer, &before, &decided, open.number, &mut settled)?;
        }
        remove(self.txn, RUN, open.level.range())?;
        self.txn.open_table(BUNCH).map_err(engine)?.retain(|_, _| false).map_err(engine)?;
        Ok(settled)
    }

    fn decide(
        &mut self,
        entry: &Entry,
        newer: Option<Entry>,
        before: &Base,
        decided: &Decision<'_>,
        bunch: u64,
        settled: &mut Settled,
    ) -> Result<(), Error> {
        let key = &entry.key;
        let operations = u64::from(entry.effect.shape.operations);
        let assumed = decided
            .operations
            .iter()
            .fold(before.clone(), |base, planned| base.after(&planned.operation.change, decided.epoch));
        let pended = match decided.outcome {
            Outcome::Accepted { result, .. } => {
                self.state.settled += operations;
                self.state.folded_away += operations.saturating_sub(1);
                settled.accepted += 1;
                let now = accepted(before, &assumed, decided.epoch, result);
                // Of a version that was not known, whatever is told now is no change.
                let from = if *before == Base::Unknown || !is_known(&assumed) { &now } else { &assumed };
                self.move_base(key, newer.as_ref(), from, &now)?
            }
            Outcome::Superseded { epoch, state, .. } => {
                self.state.settled += operations;
                self.state.folded_away += operations.saturating_sub(1);
                settled.superseded.push(key.clone());
                self.keep_superseded(entry, *epoch, state.as_ref(), bunch)?;
                let now = latest(before, remote(*epoch, state.as_ref()));
                self.move_base(key, newer.as_ref(), &assumed, &now)?
            }
            Outcome::Refused { reason } => {
                let cause = CauseRecord::Refused { reason: reason.clone() };
                self.refuse(entry, newer, cause, bunch, settled)?;
                Pended::Stays
            }
            Outcome::Clash { unique, holder } => {
                let cause = CauseRecord::Clash { unique: unique.clone(), holder: holder.into_bytes() };
                self.refuse(entry, newer, cause, bunch, settled)?;
                Pended::Stays
            }
            Outcome::Waits { on } => {
                self.come_back(entry, newer);
                self.wait_for(key, on)?;
                settled.waiting.push(key.clone());
                Pended::Stays
            }
            Outcome::Retry => {
                self.come_back(entry, newer);
                settled.retried += 1;
                Pended::Stays
            }
        };
        if pended == Pended::DeleteDropped {
            settled.deletes_dropped.push(key.clone());
        }
        Ok(())
    }

    /// Parks what was not taken, unless it was edited meanwhile: the edit may be the mend.
    fn refuse(
        &mut self,
        entry: &Entry,
        newer: Option<Entry>,
        cause: CauseRecord,
        bunch: u64,
        settled: &mut Settled,
    ) -> Result<(), Error> {
        if newer.is_some() {
            self.come_back(entry, newer);
            settled.mended.push(entry.key.clone());
            return Ok(());
        }
        settled.parked.push(entry.key.clone());
        self.park(entry, cause, bunch)
    }

    /// Makes a sealed effect pending again, under what was done since.
    fn come_back(&mut self, entry: &Entry, newer: Option<Entry>) {
        let entry = newer.map_or(entry.clone(), |newer| entry.then(&newer));
        self.overrides.insert(entry.key.clone(), Some(entry));
    }
}

/// What was decided of one entity.
struct Decision<'a> {
    key: &'a EntityKey,
    operations: Vec<&'a Planned>,
    outcome: &'a Outcome,
    epoch: Option<Epoch>,
}

/// One decision an entity: of two operations on one, the first that was not accepted counts, or the last.
fn decisions<'a>(operations: &'a [Planned], outcomes: &'a [Outcome]) -> Vec<Decision<'a>> {
    let mut decisions: Vec<Decision<'a>> = Vec::with_capacity(operations.len());
    let mut places = std::collections::HashMap::new();
    for (planned, outcome) in operations.iter().zip(outcomes) {
        let key = &planned.operation.key;
        let epoch = match outcome {
            Outcome::Accepted { epoch, .. } => *epoch,
            Outcome::Superseded { .. }
            | Outcome::Clash { .. }
            | Outcome::Refused { .. }
            | Outcome::Waits { .. }
            | Outcome::Retry => None,
        };
        let place = *places.entry(key).or_insert(decisions.len());
        match decisions.get_mut(place) {
            None => decisions.push(Decision { key, operations: vec![planned], outcome, epoch }),
            Some(decision) => {
                decision.operations.push(planned);
                if matches!(decision.outcome, Outcome::Accepted { .. }) {
                    decision.outcome = outcome;
                    decision.epoch = epoch.or(decision.epoch);
                }
            }
        }
    }
    decisions
}

fn is_known(base: &Base) -> bool {
    match base {
        Base::Unknown => false,
        Base::Absent => true,
        Base::Live(held) | Base::Dead(held) => held.state != Knowledge::Nothing,
    }
}

/// What the authority holds after it accepted.
fn accepted(before: &Base, assumed: &Base, epoch: Option<Epoch>, result: &Resulting) -> Base {
    let now = match result {
        Resulting::AsSent => assumed.clone(),
        Resulting::Live(state) => Base::live(state.clone(), epoch),
        // A tombstone's state is told by no outcome, and where the result had to be told, it need not be what the
        // base says: somebody may have written in between.
        Resulting::Gone => {
            let held = match assumed {
                // Deleting what is gone gets no epoch of its own: the one that is held stays.
                Base::Live(held) | Base::Dead(held) => held.epoch,
                Base::Unknown | Base::Absent => None,
            };
            Base::Dead(Held { epoch: epoch.or(held), state: Knowledge::Nothing })
        }
    };
    latest(before, now)
}

fn remote(epoch: Epoch, state: Option<&State>) -> Base {
    match state {
        Some(state) => Base::live(state.clone(), Some(epoch)),
        None => Base::Dead(Held { epoch: Some(epoch), state: Knowledge::Nothing }),
    }
}

/// The later of what was held and what is told: an answer may come after a later row was read.
fn latest(held: &Base, told: Base) -> Base {
    match (held.epoch(), told.epoch()) {
        (Some(held_epoch), Some(told_epoch)) if held_epoch > told_epoch => held.clone(),
        _ => told,
    }
}
