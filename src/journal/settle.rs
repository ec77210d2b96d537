//! Settling: what the authority made of each operation of the open bunch.

use std::collections::HashMap;

use super::columns::remove;
use super::entry::Entry;
use super::error::{Error, engine};
use super::moved::Pended;
use super::tables::{BUNCH, RUN};
use super::{Journal, Work, seal};
use crate::algebra::{
    Base, Bunch, EntityKey, Epoch, Held, Knowledge, Outcome, Outcomes, Planned, Resulting, Stamps, State,
};
use crate::codec::records::{CauseRecord, OpenBunch};

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
        self.inner.require_bare()?;
        self.inner.maintain(|work| {
            let mut settled = Settled::default();
            let Some(settling) = work.settling(outcomes)? else {
                settled.was_settled = true;
                return Ok(settled);
            };
            for decided in settling.decided {
                work.decide(&decided, settling.bunch, &mut settled)?;
            }
            Ok(settled)
        })
    }
}

/// The open bunch with its outcomes, taken out of the journal: whoever takes it says what becomes of each effect.
pub(crate) struct Settling {
    pub(crate) bunch: u64,
    pub(crate) decided: Vec<Decided>,
}

/// What was decided of one entity.
pub(crate) struct Decided {
    /// What was sent.
    pub(crate) entry: Entry,
    /// What was done since.
    pub(crate) newer: Option<Entry>,
    /// What the authority was known to hold, and when its fields were changed.
    pub(crate) before: Base,
    pub(crate) stamps: Stamps,
    /// What it holds if it took the operations as they were sent.
    pub(crate) assumed: Base,
    pub(crate) outcome: Outcome,
    pub(crate) epoch: Option<Epoch>,
}

impl Work<'_> {
    /// Takes the open bunch out for these outcomes; none where it was settled before.
    pub(crate) fn settling(&mut self, outcomes: &Outcomes) -> Result<Option<Settling>, Error> {
        let given = outcomes.bunch;
        let Some(open) = self.state.open.clone().filter(|open| open.number == given.0) else {
            let number = self.state.open.as_ref().map(|open| open.bunch_number());
            let is_past = given.0 > 0 && given.0 <= self.state.last_bunch && number != Some(given);
            self.folds = false;
            return if is_past { Ok(None) } else { Err(Error::WrongBunch { given, open: number }) };
        };
        let count = outcomes.outcomes.len() as u64;
        if count != open.operations {
            return Err(Error::OutcomeCount { bunch: given, expected: open.operations, given: count });
        }
        let (bunch, mut entries) = self.take_bunch(&open)?;
        let keys: Vec<EntityKey> = entries.keys().cloned().collect();
        let mut pending = self.pending(&keys)?;
        let bases = self.bases()?;
        let mut decided = Vec::with_capacity(entries.len());
        for Decision { key, operations, outcome, epoch } in decisions(&bunch.operations, &outcomes.outcomes) {
            let Some(entry) = entries.remove(key) else { continue };
            let (before, stamps) = bases.stored(key)?;
            let changes = operations.iter().map(|planned| &planned.operation.change);
            let assumed = changes.fold(before.clone(), |base, change| base.after(change, epoch));
            let newer = pending.remove(key);
            if sabotaged!(settle_forgets_later_edits) {
                self.overrides.insert(key.clone(), None);
            }
            decided.push(Decided { entry, newer, before, stamps, assumed, outcome: outcome.clone(), epoch });
        }
        Ok(Some(Settling { bunch: open.number, decided }))
    }

    /// Makes everything in the open bunch pending again, under what was done since: it is known that the authority
    /// never took it under this number.
    pub(crate) fn unseal(&mut self) -> Result<(), Error> {
        let Some(open) = self.state.open.clone() else { return Ok(()) };
        let (_, entries) = self.take_bunch(&open)?;
        let keys: Vec<EntityKey> = entries.keys().cloned().collect();
        let mut pending = self.pending(&keys)?;
        for (key, entry) in entries {
            self.come_back(&entry, pending.remove(&key));
        }
        Ok(())
    }

    fn take_bunch(&mut self, open: &OpenBunch) -> Result<(Bunch, HashMap<EntityKey, Entry>), Error> {
        let loaded = seal::load(self.snapshot, open)?;
        remove(self.txn, RUN, open.level.range())?;
        self.txn.open_table(BUNCH).map_err(engine)?.retain(|_, _| false).map_err(engine)?;
        self.state.open = None;
        Ok(loaded)
    }

    fn decide(&mut self, decided: &Decided, bunch: u64, settled: &mut Settled) -> Result<(), Error> {
        let Decided { entry, newer, before, assumed, outcome, epoch, stamps: _ } = decided;
        let key = &entry.key;
        let operations = u64::from(entry.effect.shape.operations);
        let pended = match outcome {
            Outcome::Accepted { result, .. } => {
                self.state.settled += operations;
                self.state.folded_away += operations.saturating_sub(1);
                settled.accepted += 1;
                let now = accepted(before, assumed, *epoch, result);
                let from = seen(before, assumed, &now);
                self.move_base(key, newer.as_ref(), from, &now)?
            }
            Outcome::Superseded { epoch, state, .. } => {
                self.state.settled += operations;
                self.state.folded_away += operations.saturating_sub(1);
                settled.superseded.push(key.clone());
                self.keep_superseded(entry, *epoch, state.as_ref(), bunch)?;
                let now = latest(before, remote(*epoch, state.as_ref()));
                self.move_base(key, newer.as_ref(), assumed, &now)?
            }
            Outcome::Refused { reason } => {
                let cause = CauseRecord::Refused { reason: reason.clone() };
                self.refuse(entry, newer.clone(), cause, bunch, settled)?;
                Pended::Stays
            }
            Outcome::Clash { unique, holder, .. } => {
                let cause = CauseRecord::Clash { unique: unique.clone(), holder: holder.into_bytes() };
                self.refuse(entry, newer.clone(), cause, bunch, settled)?;
                Pended::Stays
            }
            Outcome::Waits { on } => {
                self.come_back(entry, newer.clone());
                self.wait_for(key, on)?;
                settled.waiting.push(key.clone());
                Pended::Stays
            }
            Outcome::Retry => {
                self.come_back(entry, newer.clone());
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
    pub(crate) fn come_back(&mut self, entry: &Entry, newer: Option<Entry>) {
        let entry = newer.map_or(entry.clone(), |newer| entry.then(&newer));
        self.overrides.insert(entry.key.clone(), Some(entry));
    }
}

/// The outcome of one entity.
struct Decision<'a> {
    key: &'a EntityKey,
    operations: Vec<&'a Planned>,
    outcome: &'a Outcome,
    epoch: Option<Epoch>,
}

/// One decision an entity: of two operations on one, the first that was not accepted counts, or the last.
fn decisions<'a>(operations: &'a [Planned], outcomes: &'a [Outcome]) -> Vec<Decision<'a>> {
    let mut decisions: Vec<Decision<'a>> = Vec::with_capacity(operations.len());
    let mut places = HashMap::new();
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

/// What was seen of the authority's side when what is pending now was made: of a version that was not known,
/// whatever is told now is no change.
pub(crate) fn seen<'b>(before: &'b Base, assumed: &'b Base, now: &'b Base) -> &'b Base {
    if sabotaged!(drop_delete_after_unanswered_create) {
        return before;
    }
    if *before == Base::Unknown || !is_known(assumed) { now } else { assumed }
}

fn is_known(base: &Base) -> bool {
    match base {
        Base::Unknown => false,
        Base::Absent => true,
        Base::Live(held) | Base::Dead(held) => held.state != Knowledge::Nothing,
    }
}

/// What the authority holds after it accepted.
pub(crate) fn accepted(before: &Base, assumed: &Base, epoch: Option<Epoch>, result: &Resulting) -> Base {
    let now = match result {
        Resulting::AsSent => assumed.clone(),
        Resulting::Live(state, _) => Base::live(state.clone(), epoch),
        // A tombstone's state is told by no outcome, and where the result had to be told, it need not be what the
        // base says: somebody may have written in between.
        Resulting::Gone(_) => {
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

pub(crate) fn remote(epoch: Epoch, state: Option<&State>) -> Base {
    match state {
        Some(state) => Base::live(state.clone(), Some(epoch)),
        // Nothing was ever given an epoch there.
        None if epoch == Epoch(0) => Base::Absent,
        None => Base::Dead(Held { epoch: Some(epoch), state: Knowledge::Nothing }),
    }
}

/// The later of what was held and what is told: an answer may come after a later row was read.
pub(crate) fn latest(held: &Base, told: Base) -> Base {
    match (held.epoch(), told.epoch()) {
        (Some(held_epoch), Some(told_epoch)) if held_epoch > told_epoch => held.clone(),
        _ => told,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algebra::Stamps;

    #[test]
    fn what_was_seen_is_what_was_assumed_wherever_that_was_known() {
        let now = remote(Epoch(9), None);
        let live = |epoch| Base::live(State::empty(), Some(Epoch(epoch)));
        let told = |before: &Base, assumed: &Base| seen(before, assumed, &now).clone();
        assert_eq!(told(&Base::Absent, &Base::Absent), Base::Absent, "what is not there is known");
        assert_eq!(told(&live(3), &live(4)), live(4));
        // Of what was not known, whatever is told is no change.
        assert_eq!(told(&Base::Unknown, &live(4)), now);
        assert_eq!(told(&live(3), &Base::Unknown), now);
        assert_eq!(told(&live(3), &remote(Epoch(4), None)), now);
    }

    #[test]
    fn a_tombstone_has_an_epoch_only_where_one_is_told_or_held() {
        let gone = Resulting::Gone(Stamps::default());
        let epoch = |assumed: &Base, told| accepted(&Base::Unknown, assumed, told, &gone).epoch();
        for nothing in [Base::Unknown, Base::Absent] {
            assert_eq!((epoch(&nothing, None), epoch(&nothing, Some(Epoch(4)))), (None, Some(Epoch(4))));
        }
        assert_eq!(epoch(&Base::live(State::empty(), Some(Epoch(3))), None), Some(Epoch(3)));
    }
}
