//! Taking a bunch: from what came to what is answered.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::attempt::{Arrived, Attempt, Given};
use super::out::Out;
use super::store::{Store, Stored};
use crate::algebra::{
    Bunch, Change, EntityKey, Epoch, Existence, Millis, Operation, Outcome, Outcomes, Planned, ReplicaId,
    Resulting, Schema, Update, Version, Writer, set_each,
};

/// How far a stamp may be ahead of the authority's clock before it is set back to it: a minute, which is what
/// clocks that are kept by the network are never off by.
pub const FUTURE_MS_MAX: u64 = 60_000;

/// How many operations may be applied in all the attempts at one bunch: a second or two. What is left of a bunch
/// whose operations fall one by another for longer than that waits for what fell first.
const APPLIED_MAX: usize = 1 << 18;

/// How many attempts are made at a bunch of any size.
const ATTEMPTS_MIN: usize = 16;

/// What an authority decides by, beside what it holds.
pub struct Rules<'a> {
    /// The collections.
    pub schema: &'a Schema,
    /// The time, in ms since the Unix epoch.
    pub now: Millis,
    /// Refuses single operations for good, for reasons of its own.
    pub refuses: &'a dyn Fn(&Planned) -> Option<String>,
}

/// What an authority answers to a bunch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// An outcome for each operation, now or when it came first.
    Answered(Outcomes),
    /// Another bunch came under this number: the replica's file was copied or restored.
    Forked,
    /// Something of it was made on what was deleted since, and forgotten with its tombstone. Nothing of it was taken: its
    /// sender fetches everything anew, and brings that back whole or not at all.
    Forgotten,
}

impl Rules<'_> {
    /// An operation with no time that is further ahead than the authority accepts.
    pub(super) fn clamped(&self, operation: &Operation) -> Operation {
        let mut operation = operation.clone();
        let limit = self.now.0.saturating_add(FUTURE_MS_MAX);
        let stamps = operation.stamps.iter_mut().map(|(_, stamp)| &mut stamp.at);
        for at in stamps.chain(&mut operation.at) {
            if at.0 > limit && !sabotaged!(future_stamp_not_clamped) {
                *at = self.now;
            }
        }
        operation
    }
}

/// Takes a bunch of a replica: answers it from the record, or applies it in full and records the answer.
///
/// # Errors
/// What the store says; then nothing may be kept of what was written.
pub fn deliver<S: Store>(
    store: &mut S,
    rules: &Rules<'_>,
    replica: ReplicaId,
    bunch: &Bunch,
) -> Result<Delivery, S::Error> {
    if let Some((id, outcomes)) = store.answer(replica, bunch.number)? {
        let is_same = id == bunch.id || sabotaged!(bunch_key_without_digest);
        return Ok(if is_same { Delivery::Answered(outcomes) } else { Delivery::Forked });
    }
    let mut refused = BTreeMap::new();
    for (place, planned) in bunch.operations.iter().enumerate() {
        if let Some(reason) = (rules.refuses)(planned) {
            refused.insert(place, Outcome::Refused { reason });
        }
    }
    let decided = decided(store, rules, replica, &bunch.operations, Out::refused(refused))?;
    let Some(decided) = decided else { return Ok(Delivery::Forgotten) };
    let mut epochs: BTreeMap<EntityKey, Epoch> = BTreeMap::new();
    let writer = Writer { replica, bunch: bunch.number };
    // Epochs come last, so that they are in the order of commits.
    for (key, before, version) in decided.changed {
        let epoch = store.next_epoch(key.collection())?;
        let stored = written(before, version, epoch, writer);
        store.put(&key, stored)?;
        epochs.insert(key, epoch);
    }
    let mut outcomes = Vec::with_capacity(decided.verdicts.len());
    for (planned, verdict) in bunch.operations.iter().zip(decided.verdicts) {
        let key = &planned.operation.key;
        let changed_at = epochs.get(key).copied();
        let now = if verdict.tells_what_is_there(changed_at) { store.entity(key)? } else { None };
        outcomes.push(verdict.outcome(now, changed_at));
    }
    let outcomes = Outcomes { bunch: bunch.number, outcomes };
    if !sabotaged!(outcome_not_recorded) {
        store.record(replica, bunch.number, bunch.id, &outcomes)?;
    }
    Ok(Delivery::Answered(outcomes))
}

/// What was decided of a bunch, before epochs are given out.
struct Decided {
    changed: Vec<(EntityKey, Option<Arc<Stored>>, Version)>,
    verdicts: Vec<Verdict>,
}

enum Verdict {
    Out(Outcome),
    Superseded,
    Accepted { tells_result: bool, change_is_delete: bool, overwrote: Option<crate::algebra::State> },
}

/// None where something rests on what is forgotten.
fn decided<S: Store>(
    store: &S,
    rules: &Rules<'_>,
    replica: ReplicaId,
    operations: &[Planned],
    mut out: Out,
) -> Result<Option<Decided>, S::Error> {
    let given = Given::new(store, rules, replica, operations)?;
    if given.operations.iter().any(Arrived::rests_on_what_is_forgotten) {
        return Ok(None);
    }
    // Each attempt takes out at least one operation more, or gives some their second chance.
    let mut attempts_left = (APPLIED_MAX / operations.len().max(1)).max(ATTEMPTS_MIN);
    let attempt = loop {
        match given.attempt(out)? {
            Ok(attempt) => break attempt,
            Err(more) => out = more,
        }
        attempts_left -= 1;
        if attempts_left == 0 {
            out = out.with_all_that_is_left(&given);
        }
    };
    let mut changed = Vec::new();
    for (key, touched) in attempt.world.touched() {
        let before = attempt.world.before(key)?;
        let was = before.as_ref().map(|before| &before.version.existence);
        if was != Some(&touched.version.existence) {
            changed.push((key.clone(), before, touched.version.clone()));
        }
    }
    // What all operations on an entity make of it, one after the other.
    let mut assumed: HashMap<&EntityKey, Existence> = HashMap::new();
    for operation in &given.operations {
        let so_far = assumed.entry(operation.key()).or_insert_with(|| operation.existence_before());
        *so_far = so_far.after(&operation.planned.operation.change);
    }
    let mut verdicts = Vec::with_capacity(operations.len());
    for (place, operation) in given.operations.iter().enumerate() {
        let assumed = assumed.get(operation.key()).unwrap_or(&Existence::Absent);
        verdicts.push(verdict(&attempt, place, operation, assumed)?);
    }
    Ok(Some(Decided { changed, verdicts }))
}

fn verdict<S: Store>(
    attempt: &Attempt<'_, S>,
    place: usize,
    operation: &Arrived<'_>,
    assumed: &Existence,
) -> Result<Verdict, S::Error> {
    if let Some(outcome) = attempt.out.failed.get(&place) {
        return Ok(Verdict::Out(outcome.clone()));
    }
    if attempt.out.superseded.contains(&place) {
        return Ok(Verdict::Superseded);
    }
    let now = attempt.world.now(operation.key())?;
    let before = operation.existence_before();
    let change = &operation.planned.operation.change;
    let says_all = match change {
        Change::Create(_) | Change::Update(Update::State(_)) => true,
        Change::Update(Update::Patch(_)) | Change::Delete => false,
    };
    // Told wherever it is not simply the operation laid on a base that the sender knows; and what says all does not say
    // the stamps.
    let is_known = match (&before, operation.planned.base) {
        (Existence::Absent, None) => says_all,
        (Existence::Absent, Some(_)) => true,
        (_, None) => false,
        (Existence::Live(_), Some(_)) => !operation.is_concurrent(),
        // The sender need not know the tombstone's state, which a patch is laid on.
        (Existence::Dead(_), Some(_)) => {
            (says_all || *change == Change::Delete) && !operation.is_concurrent()
        }
    };
    let is_as_sent = match (assumed, &now.existence) {
        (Existence::Dead(_), Existence::Dead(_)) => true,
        (assumed, now) => assumed == now,
    };
    let overwrote = attempt.overwrote.get(&place).filter(|fields| !fields.is_empty()).cloned();
    let change_is_delete = *change == Change::Delete;
    Ok(Verdict::Accepted { tells_result: !(is_known && is_as_sent), change_is_delete, overwrote })
}

impl Verdict {
    /// Whether what is there now is part of the outcome.
    fn tells_what_is_there(&self, changed_at: Option<Epoch>) -> bool {
        match self {
            Verdict::Out(_) => false,
            Verdict::Superseded => true,
            Verdict::Accepted { tells_result, .. } => *tells_result || changed_at.is_none(),
        }
    }

    fn outcome(self, now: Option<Arc<Stored>>, changed_at: Option<Epoch>) -> Outcome {
        match self {
            Verdict::Out(outcome) => outcome,
            Verdict::Superseded => {
                let now = now.unwrap_or_default();
                Outcome::Superseded {
                    epoch: now.epoch,
                    state: now.version.existence.live().cloned(),
                    stamps: now.version.stamps.clone(),
                    writer: now.writer.map(|writer| writer.replica),
                }
            }
            Verdict::Accepted { tells_result, change_is_delete, overwrote } => {
                let result = match now.as_ref().filter(|_| tells_result).map(|now| &now.version) {
                    Some(Version { existence: Existence::Live(state), stamps }) => {
                        Resulting::Live(state.clone(), stamps.clone())
                    }
                    Some(Version { existence: Existence::Dead(_), stamps }) => {
                        Resulting::Gone(stamps.clone())
                    }
                    Some(_) | None => Resulting::AsSent,
                };
                // What changed nothing has the epoch of what is there; deleting what is gone has none.
                let held = now.map(|now| now.epoch).filter(|_| !change_is_delete);
                Outcome::Accepted { epoch: changed_at.or(held), result, overwrote }
            }
        }
    }
}

/// An entity as it is kept from now on.
fn written(before: Option<Arc<Stored>>, version: Version, epoch: Epoch, writer: Writer) -> Stored {
    let before = before.unwrap_or_default();
    let mut fields = before.fields.clone();
    let empty = crate::algebra::State::empty();
    let was = before.version.existence.state().unwrap_or(&empty);
    let changes = was.changes_to(version.existence.state().unwrap_or(&empty));
    set_each(&mut fields, changes.iter().map(|(name, _)| (name, epoch)));
    Stored { version, epoch, fields, writer: Some(writer) }
}
