//! Plays a schedule on a journal, and says after every step whether it is still what it must be.
//!
//! | | |
//! |---|---|
//! | fence (7) | an open bunch is the same bytes until it is settled, after any crash; sequence numbers are given out once, without a gap; what was acknowledged is there |
//! | accounting (5) | every operation is pending, held, sealed, parked or settled |
//! | nothing lost (10) | at the end, once everything was delivered, the authority holds what the program did |
//! | reading | the plan changes nothing; compacting and sealing again change nothing |
//!
//! The program's side is a [`World`] in which each operation is carried out when it is appended. Where an
//! outcome makes what an entity should be a matter of how effects compose with it (an edit behind one that
//! was superseded, say), the entity is *unsure* until something settles it again: a whole state, or for its
//! being there a delete. An entity that is dead when a bunch is sealed is unsure in its fields, since a bare
//! journal keeps nothing of what it annihilated.

use std::collections::{BTreeMap, BTreeSet};

use super::laws::{Violation, require};
use super::oracle::{Thing, World};
use super::schedule::{Answer, Schedule, SealLimits, Step};
use super::storage::FaultyStorage;
use super::strategies::{ENTITIES, entity};
use super::{Unsynced, schedule};
use crate::algebra::{
    Base, Bunch, Change, EntityKey, Epoch, Existence, Held, Knowledge, Limits, Operation, Outcome, Outcomes,
    Resulting, Row, Seq, Update,
};
use crate::codec::lines::Line;
use crate::journal::{Appended, Cancelled, Durability, Error, Journal, Listing, Options};

/// How sure the model is of an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    /// Only whether it is there is known.
    Fields,
    /// Nothing is.
    All,
}

/// What the program did, as far as it was acknowledged.
#[derive(Clone, Debug, Default)]
struct Model {
    local: World,
    doubts: BTreeMap<EntityKey, Doubt>,
    appended: u64,
}

impl Model {
    fn append(&mut self, operations: &[Operation]) {
        for operation in operations {
            self.local.apply(&operation.key, &operation.change);
            match operation.change {
                Change::Create(_) | Change::Update(Update::State(_)) => {
                    self.doubts.remove(&operation.key);
                }
                Change::Update(Update::Patch(_)) | Change::Delete => {
                    // It is there, or it is not: that much is sure again.
                    if let Some(doubt) = self.doubts.get_mut(&operation.key) {
                        *doubt = Doubt::Fields;
                    }
                }
            }
            self.appended += 1;
        }
    }

    fn doubt(&mut self, key: &EntityKey, doubt: Doubt) {
        let known = self.doubts.entry(key.clone()).or_insert(doubt);
        if doubt == Doubt::All {
            *known = doubt;
        }
    }
}

struct Player {
    storage: FaultyStorage,
    journal: Option<Journal>,
    model: Model,
    /// The model after each append that a crash may take back, the newest last; the first is durable.
    undone: Vec<Model>,
    authority: World,
    epoch: Epoch,
    open: Option<Bunch>,
    last_outcomes: Option<Outcomes>,
    crashes: u64,
}

const FENCE: &str = "the fence";
const LOST: &str = "nothing lost";

/// Plays a schedule on a journal in a storage that loses what was not synced.
///
/// # Errors
/// The first thing that is not as it must be, with the step's number.
pub fn play(schedule: &Schedule, seed: u64) -> Result<(), Violation> {
    let mut player = Player::new()?;
    for (number, step) in schedule.iter().enumerate() {
        let crash = Unsynced::Sampled { seed: seed.wrapping_add(number as u64) };
        player.step(step, crash).and_then(|()| player.check()).map_err(|violation| Violation {
            found: format!("at step {number}, {step:?}: {}", violation.found),
            ..violation
        })?;
    }
    player.deliver_all()
}

fn failed(doing: &'static str) -> impl FnOnce(Error) -> Violation {
    move |error| Violation { law: doing, found: error.to_string() }
}

impl Player {
    fn new() -> Result<Self, Violation> {
        let storage = FaultyStorage::new();
        let journal = open(&storage)?;
        Ok(Player {
            storage,
            journal: Some(journal),
            model: Model::default(),
            undone: Vec::new(),
            authority: World::new(),
            epoch: Epoch(0),
            open: None,
            last_outcomes: None,
            crashes: 0,
        })
    }

    fn journal(&self) -> Result<Journal, Violation> {
        self.journal.clone().ok_or(Violation { law: "playing", found: "the journal is closed".to_owned() })
    }

    /// Everything so far is durable.
    fn is_durable(&mut self) {
        self.undone.clear();
    }

    fn step(&mut self, step: &Step, crash: Unsynced) -> Result<(), Violation> {
        let journal = self.journal()?;
        match step {
            Step::Append { operations, is_durable } => return self.append(operations, *is_durable),
            Step::Flush => journal.flush().map_err(failed("flushing"))?,
            Step::Learn { entity, truth } => return self.learn(*entity, truth),
            Step::Compact => {
                journal.compact().map_err(failed("compacting"))?;
                let once = journal.plan().map_err(failed("planning"))?;
                journal.compact().map_err(failed("compacting"))?;
                let twice = journal.plan().map_err(failed("planning"))?;
                require("idempotence", once == twice, || format!("{once:?}, then {twice:?}"))?;
                return Ok(());
            }
            Step::Plan => {
                journal.plan().map_err(failed("planning"))?;
                return Ok(());
            }
            Step::Seal(limits) => return self.seal(*limits),
            Step::Settle(answers) => return self.settle(answers),
            Step::SettleAgain => {
                if let Some(outcomes) = &self.last_outcomes {
                    let again = journal.settle(outcomes).map_err(failed("settling again"))?;
                    require(FENCE, again.was_settled, || format!("{outcomes:?} counted twice: {again:?}"))?;
                }
                return Ok(());
            }
            Step::Retry(parked) => {
                if let Some(key) = self.parked(*parked)? {
                    journal.retry(&key).map_err(failed("retrying"))?;
                    self.is_durable();
                }
                return Ok(());
            }
            Step::Edit { parked, change } => {
                if let Some(key) = self.parked(*parked)? {
                    let edit = Operation::new(key, change.clone());
                    let appended = journal.edit_parked(&edit).map_err(failed("editing"))?;
                    self.note(&[edit], appended)?;
                    self.is_durable();
                }
                return Ok(());
            }
            Step::Drop(parked) => {
                if let Some(key) = self.parked(*parked)? {
                    let had_any = journal.discard(&key).map_err(failed("dropping"))?;
                    require(LOST, had_any, || format!("{key} was parked, but there was nothing to drop"))?;
                    self.model.doubt(&key, Doubt::All);
                    self.is_durable();
                }
                return Ok(());
            }
            Step::Cancel(back) => return self.cancel(*back as u64),
            Step::Reclaim => {
                journal.reclaim().map_err(failed("reclaiming"))?;
            }
            Step::Crash => {
                drop(journal);
                return self.crash(crash);
            }
            Step::Reopen => {
                drop(journal);
                self.journal = None;
                self.journal = Some(open(&self.storage)?);
            }
            Step::Suspend => {
                journal.suspend().map_err(failed("suspending"))?;
                let refused = journal.plan();
                require("suspending", matches!(refused, Err(Error::Suspended)), || format!("{refused:?}"))?;
                journal.resume().map_err(failed("resuming"))?;
            }
        }
        self.is_durable();
        Ok(())
    }

    fn append(&mut self, operations: &[Operation], is_durable: bool) -> Result<(), Violation> {
        let durability = if is_durable { Durability::Durable } else { Durability::Deferred };
        if self.undone.is_empty() {
            self.undone.push(self.model.clone());
        }
        let appended = self.journal()?.append(operations, durability).map_err(failed("appending"))?;
        self.note(operations, appended)?;
        if is_durable && !operations.is_empty() {
            self.is_durable();
        } else {
            self.undone.push(self.model.clone());
        }
        Ok(())
    }

    /// Checks the numbers that were given out, and carries the operations out in the model.
    fn note(&mut self, operations: &[Operation], appended: Appended) -> Result<(), Violation> {
        let (first, last) = (self.model.appended + 1, self.model.appended + operations.len() as u64);
        let expected = match operations {
            [] => Appended::default(),
            _ => Appended { first: Seq(first), last: Seq(last) },
        };
        require(FENCE, appended == expected, || format!("{expected:?} were next, {appended:?} were given"))?;
        self.model.append(operations);
        Ok(())
    }

    fn pending(&self, key: &EntityKey) -> Result<bool, Violation> {
        let journal = self.journal()?;
        let plan = journal.plan().map_err(failed("planning"))?;
        Ok(plan.operations.iter().any(|planned| planned.operation.key == *key)
            || plan.nothing.iter().any(|nothing| nothing.key == *key)
            || journal.held().map_err(failed("listing"))?.iter().any(|held| held.key == *key)
            || journal.parked().map_err(failed("listing"))?.iter().any(|parked| parked.key == *key)
            || self
                .open
                .iter()
                .flat_map(|bunch| &bunch.operations)
                .any(|planned| planned.operation.key == *key))
    }

    /// The authority came to hold this, and the program is told.
    fn learn(&mut self, number: usize, truth: &Existence) -> Result<(), Violation> {
        let key = entity(number);
        self.epoch.0 += 1;
        let (state, there) = match truth {
            Existence::Live(state) => (Some(state.clone()), truth.into()),
            // A row says that an entity is there or that it is a tombstone; it cannot say "never made".
            Existence::Absent | Existence::Dead(_) => (None, Thing::Dead(super::oracle::PlainFields::new())),
        };
        let is_pending = self.pending(&key)?;
        let row = Row { key: key.clone(), state, epoch: Some(self.epoch) };
        self.journal()?.baseline(&[row], Listing::Partial).map_err(failed("learning"))?;
        self.is_durable();
        self.authority.put(&key, there.clone());
        if is_pending {
            self.model.doubt(&key, Doubt::All);
        } else {
            self.model.doubts.remove(&key);
            if there.live().is_none() {
                self.model.doubt(&key, Doubt::Fields);
            }
            self.model.local.put(&key, there);
        }
        Ok(())
    }

    fn seal(&mut self, limits: SealLimits) -> Result<(), Violation> {
        let journal = self.journal()?;
        let limits = Limits {
            operations: limits.operations_max.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(1)),
            bytes: limits.bytes_max.map_or(Limits::BYTES_DEFAULT, |most| usize::try_from(most).unwrap_or(1)),
        };
        let sealed = journal.seal(limits).map_err(failed("sealing"))?;
        let again = journal.seal(Limits::default()).map_err(failed("sealing"))?;
        if sealed.is_some() || self.open.is_some() {
            require(FENCE, sealed == again, || format!("sealed {sealed:?}, again {again:?}"))?;
        } else {
            require(FENCE, again.is_none(), || format!("nothing was to be sealed, then {again:?}"))?;
        }
        match (&self.open, sealed) {
            (Some(open), sealed) => {
                require(FENCE, Some(open) == sealed.as_ref(), || format!("{open:?} became {sealed:?}"))?;
            }
            (None, sealed) => {
                self.forget_the_dead();
                self.open = sealed;
                // Giving the open bunch again writes nothing, and makes nothing durable.
                self.is_durable();
            }
        }
        Ok(())
    }

    /// Whoever is dead at a seal may be forgotten, fields and all.
    fn forget_the_dead(&mut self) {
        for number in 0..ENTITIES {
            let key = entity(number);
            if self.model.local.thing(&key).live().is_none() {
                self.model.doubt(&key, Doubt::Fields);
            }
        }
    }

    fn settle(&mut self, answers: &[Answer]) -> Result<(), Violation> {
        let Some(bunch) = self.open.take() else { return Ok(()) };
        let outcomes = schedule::outcomes(&bunch, answers, &mut self.epoch);
        let journal = self.journal()?;
        // What the authority did with it, whether or not its answer is heard.
        let touched_since = self.edited_since(&bunch)?;
        for (planned, outcome) in bunch.operations.iter().zip(&outcomes.outcomes) {
            let key = &planned.operation.key;
            let there = match outcome {
                Outcome::Accepted { result: Resulting::AsSent, .. } => {
                    self.authority.apply(key, &planned.operation.change);
                    continue;
                }
                Outcome::Accepted { result: Resulting::Live(state), .. }
                | Outcome::Superseded { state: Some(state), .. } => (&Existence::Live(state.clone())).into(),
                Outcome::Accepted { result: Resulting::Gone, .. }
                | Outcome::Superseded { state: None, .. } => Thing::Dead(super::oracle::PlainFields::new()),
                Outcome::Clash { .. } | Outcome::Refused { .. } | Outcome::Waits { .. } | Outcome::Retry => {
                    // Nothing changed there; parked or not, the program still sees its own.
                    continue;
                }
            };
            self.authority.put(key, there.clone());
            if touched_since.contains(key) {
                self.model.doubt(key, Doubt::All);
            } else {
                self.model.doubts.remove(key);
                if there.live().is_none() {
                    self.model.doubt(key, Doubt::Fields);
                }
                self.model.local.put(key, there);
            }
        }
        let settled = journal.settle(&outcomes).map_err(failed("settling"))?;
        require(FENCE, !settled.was_settled, || format!("bunch {} was not settled before", bunch.number))?;
        for key in &settled.deletes_dropped {
            let told =
                bunch.operations.iter().zip(&outcomes.outcomes).find(|(sent, _)| sent.operation.key == *key);
            let is_unseen = told.is_some_and(|(_, outcome)| match outcome {
                Outcome::Accepted { result, .. } => matches!(result, Resulting::Live(_)),
                Outcome::Superseded { state, .. } => state.is_some(),
                Outcome::Clash { .. } | Outcome::Refused { .. } | Outcome::Waits { .. } | Outcome::Retry => {
                    false
                }
            });
            require(LOST, is_unseen, || format!("the delete of {key} was dropped by {told:?}"))?;
            // A delete that had not seen what the authority holds gave way to it.
            self.model.doubts.remove(key);
            self.model.local.put(key, self.authority.thing(key));
        }
        self.last_outcomes = Some(outcomes);
        self.is_durable();
        Ok(())
    }

    /// The entities of a bunch that have something pending on top of it.
    fn edited_since(&self, bunch: &Bunch) -> Result<BTreeSet<EntityKey>, Violation> {
        let journal = self.journal()?;
        let plan = journal.plan().map_err(failed("planning"))?;
        let mut edited: BTreeSet<EntityKey> =
            plan.operations.into_iter().map(|planned| planned.operation.key).collect();
        edited.extend(plan.nothing.into_iter().map(|nothing| nothing.key));
        edited.extend(journal.held().map_err(failed("listing"))?.into_iter().map(|held| held.key));
        Ok(bunch
            .operations
            .iter()
            .map(|planned| planned.operation.key.clone())
            .filter(|key| edited.contains(key))
            .collect())
    }

    fn parked(&self, number: usize) -> Result<Option<EntityKey>, Violation> {
        let parked = self.journal()?.parked().map_err(failed("listing"))?;
        let place = number.checked_rem(parked.len());
        Ok(place.and_then(|place| parked.get(place)).map(|parked| parked.key.clone()))
    }

    /// Takes back the operation that is so many before the last.
    fn cancel(&mut self, back: u64) -> Result<(), Violation> {
        let Some(seq) = self.model.appended.checked_sub(back).filter(|seq| *seq > 0) else { return Ok(()) };
        let journal = self.journal()?;
        let before = journal.status().map_err(failed("counting"))?;
        let cancelled = journal.cancel(Seq(seq)).map_err(failed("cancelling"))?;
        let after = journal.status().map_err(failed("counting"))?;
        let settled = after.settled.saturating_sub(before.settled);
        let expected = u64::from(cancelled == Cancelled::Done);
        require("cancelling", settled == expected, || {
            format!("{cancelled:?}, but {settled} operations ended")
        })?;
        if cancelled == Cancelled::Done {
            // Which entity it was is not known here.
            for number in 0..ENTITIES {
                self.model.doubt(&entity(number), Doubt::All);
            }
            self.is_durable();
        }
        Ok(())
    }

    /// The process dies; what was not synced is lost, or not, as the fault model likes.
    fn crash(&mut self, unsynced: Unsynced) -> Result<(), Violation> {
        // The image is taken before the handle can close in order.
        let image = self.storage.after_crash(unsynced);
        self.journal = None;
        self.storage = image;
        self.crashes += 1;
        let journal = open(&self.storage)?;
        let found = journal.status().map_err(failed("counting"))?.appended;
        self.journal = Some(journal);
        if let Some(before) = self.undone.iter().rev().find(|model| model.appended == found) {
            self.model = before.clone();
        }
        let acknowledged = self.undone.first().map_or(self.model.appended, |durable| durable.appended);
        require(FENCE, found == self.model.appended, || {
            format!("after a crash {found} operations are there; {acknowledged} were acknowledged as durable")
        })?;
        self.is_durable();
        Ok(())
    }

    /// What must be true after every step.
    fn check(&mut self) -> Result<(), Violation> {
        let journal = self.journal()?;
        let status = journal.status().map_err(failed("counting"))?;
        let phases = [&status.pending, &status.held, &status.sealed, &status.parked];
        let counted = phases.iter().map(|count| count.operations).sum::<u64>() + status.settled;
        require("accounting", counted == status.appended && counted == self.model.appended, || {
            format!("{counted} operations are accounted for of {}: {status:?}", self.model.appended)
        })?;
        let open = journal.open_bunch().map_err(failed("reading the open bunch"))?;
        require(FENCE, open == self.open, || format!("{:?} became {open:?}", self.open))?;
        if let Some(bunch) = &open {
            let line = bunch.to_line();
            let read = Bunch::from_line(&line);
            require(FENCE, read.is_ok(), || format!("{line} is refused: {read:?}"))?;
        }
        Ok(())
    }

    /// Delivers everything, and compares the two sides.
    fn deliver_all(mut self) -> Result<(), Violation> {
        let journal = self.journal()?;
        self.settle(&[])?;
        for parked in journal.parked().map_err(failed("listing"))? {
            journal.retry(&parked.key).map_err(failed("retrying"))?;
        }
        for held in journal.held().map_err(failed("listing"))? {
            journal.retry(&held.key).map_err(failed("retrying"))?;
        }
        for round in 0.. {
            require(LOST, round < 1_000, || "there is always more to send".to_owned())?;
            self.seal(SealLimits::default())?;
            if self.open.is_none() {
                break;
            }
            self.settle(&[])?;
            self.check()?;
        }
        let status = journal.status().map_err(failed("counting"))?;
        require(LOST, status.settled == self.model.appended, || {
            format!("something stayed behind: {status:?}")
        })?;
        for number in 0..ENTITIES {
            let key = entity(number);
            let (here, there) = (self.model.local.thing(&key), self.authority.thing(&key));
            let holds = match self.model.doubts.get(&key) {
                None => here.looks_like(&there),
                Some(Doubt::Fields) => here.live().is_some() == there.live().is_some(),
                Some(Doubt::All) => true,
            };
            require(LOST, holds, || format!("{key} is {here:?} here and {there:?} there"))?;
            let base = journal.base(&key).map_err(failed("reading a base"))?;
            require("base knowledge", agrees(&base, &there), || format!("{key}: {base:?} of {there:?}"))?;
        }
        Ok(())
    }
}

fn open(storage: &FaultyStorage) -> Result<Journal, Violation> {
    Options::new().cache_bytes(1 << 20).clock(|| 1_000_000).on(storage.clone()).map_err(failed("opening"))
}

/// Whether this may be known of that.
fn agrees(base: &Base, there: &Thing) -> bool {
    let is_state = |held: &Held, fields: &super::oracle::PlainFields| match &held.state {
        Knowledge::State(state) => {
            Thing::from(&Existence::Live(state.clone())).looks_like(&Thing::Live(fields.clone()))
        }
        Knowledge::Digest(_) | Knowledge::Nothing => true,
    };
    match (base, there) {
        (Base::Unknown, _) | (Base::Absent, Thing::Absent) | (Base::Dead(_), Thing::Dead(_)) => true,
        (Base::Live(held), Thing::Live(fields)) => is_state(held, fields),
        // A delete of what was unknown and is nowhere.
        (Base::Dead(_), Thing::Absent) => true,
        (Base::Absent | Base::Live(_) | Base::Dead(_), _) => false,
    }
}
