//! Plays a schedule on a journal beside a model of it and an authority, and says after every step whether
//! everything is what it must be.
//!
//! | law | what is compared |
//! |---|---|
//! | 1 equivalence | what would be sent of each entity, with what replaying its operations one by one asks for; at the end, once everything was delivered, the authority's live set with what the program saw |
//! | 3 idempotence | compacting and sealing again change nothing |
//! | 5 accounting | every operation is pending, held, sealed, parked or settled, and so many of each |
//! | 7 fence | a bunch is the same bytes until it is settled, whatever crashes; sequence numbers are given out once, without a gap; what was acknowledged as durable is there |
//! | 10 nothing lost | what is parked, and what gave way to the authority's side |
//! | section 6 | the read plan, against one that looks at one trigger after the other |
//!
//! An open bunch reaches the authority as often as the schedule says, or not at all, before its answer does.
//!
//! **What law 1 leaves out here.** A bare journal forgets an entity's operations once a seal found that they
//! come to nothing, and with them what the entity was. A patch that comes later starts from what is known of
//! the authority's side instead: from nothing, where the entity is unknown or absent there; from the tombstone
//! or the live state, where there is one. (A replica keeps what it had, so for it the law holds without this.)
//! Nothing else is left out.

mod authority;
mod check;
mod known;
mod model;
mod run;

use super::Unsynced;
use super::laws::{Violation, require};
use super::schedule::{Answer, Schedule, SealLimits, Step};
use super::storage::FaultyStorage;
use super::strategies::{ENTITIES, entity};
use crate::algebra::{EntityKey, Existence, Limits, Operation, Plan, Row, Schema, Seq, Trigger};
use crate::journal::{Appended, Cancelled, Durability, Error, Journal, Listing, Options};
use authority::Authority;
use known::Known;
use model::Model;

const FENCE: &str = "the fence";
const LOST: &str = "nothing lost";
const MOVING: &str = "moving a base";

/// How often everything is sealed and settled at the end before it must be done: an entity can come back
/// once for each answer that is not `accepted`, and there are none at the end.
const ROUNDS_MAX: usize = 2 * ENTITIES;

/// How often what matters came up: a property that never reaches it shows nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Played {
    /// Bunches that were sealed.
    pub bunches: u64,
    /// Operations in them, completions included.
    pub operations: u64,
    /// Operations that completed another one of the same bunch.
    pub completions: u64,
    /// Entities whose operations were found to come to nothing by a seal.
    pub annihilated: u64,
    /// Effects that were parked.
    pub parked: u64,
    /// Effects that an edit mended before they could be parked.
    pub mended: u64,
    /// Entities that were held, counted after every step.
    pub held: u64,
    /// Effects that gave way to the authority's side.
    pub superseded: u64,
    /// Pending effects that turned out to be what the authority holds.
    pub agreed: u64,
    /// Pending deletes that gave way to what they had not seen.
    pub deletes_dropped: u64,
    /// Rows that were applied.
    pub applied: u64,
    /// Operations that were not durable, and gone after a crash.
    pub lost: u64,
    /// Operations that were taken back.
    pub cancelled: u64,
}

impl std::ops::AddAssign for Played {
    fn add_assign(&mut self, more: Played) {
        self.bunches += more.bunches;
        self.operations += more.operations;
        self.completions += more.completions;
        self.annihilated += more.annihilated;
        self.parked += more.parked;
        self.mended += more.mended;
        self.held += more.held;
        self.superseded += more.superseded;
        self.agreed += more.agreed;
        self.deletes_dropped += more.deletes_dropped;
        self.applied += more.applied;
        self.lost += more.lost;
        self.cancelled += more.cancelled;
    }
}

struct Player {
    played: Played,
    schema: Option<Schema>,
    storage: FaultyStorage,
    journal: Journal,
    model: Model,
    /// The model after each call that a crash may take back, the newest last; the first is durable. Empty
    /// while all of it is durable.
    undone: Vec<Model>,
    authority: Authority,
    /// The triggers up to this one were sent, though some of them may be lost.
    sent_triggers: usize,
    last_rows: Vec<Row>,
}

/// Plays a schedule on a journal in a storage that loses what was not synced, as the seed says.
///
/// # Errors
/// The first thing that is not as it must be, with the step's number.
pub fn play(schedule: &Schedule, seed: u64) -> Result<Played, Violation> {
    played(Player::new(seed.is_multiple_of(2), None)?, schedule, seed)
}

/// As [`play`], on a journal with a schema: bunches are ordered by it, circles of references are cut. Whether
/// the order is right is for [`prefixes`](super::prefixes) to say.
///
/// # Errors
/// As [`play`].
pub fn play_with(schema: &Schema, schedule: &Schedule, seed: u64) -> Result<Played, Violation> {
    played(Player::new(seed.is_multiple_of(2), Some(schema.clone()))?, schedule, seed)
}

fn played(mut player: Player, schedule: &Schedule, seed: u64) -> Result<Played, Violation> {
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

fn open(storage: &FaultyStorage, schema: Option<&Schema>) -> Result<Journal, Violation> {
    let mut options = Options::new().cache_bytes(1 << 20).clock(|| 1_000_000);
    if let Some(schema) = schema {
        // Room for some ten entities: every pass but the smallest is one of several parts.
        options = options.schema(schema.clone()).pass_bytes(2_000);
    }
    options.on(storage.clone()).map_err(failed("opening"))
}

impl Player {
    fn new(is_complete: bool, schema: Option<Schema>) -> Result<Self, Violation> {
        let storage = FaultyStorage::new();
        let journal = open(&storage, schema.as_ref())?;
        let mut model = Model::default();
        if is_complete {
            journal.baseline(&[], Listing::Complete).map_err(failed("learning"))?;
        }
        for number in 0..ENTITIES {
            model.entity(&entity(number)).known = if is_complete { Known::Absent } else { Known::Unknown };
        }
        Ok(Player {
            played: Played::default(),
            schema,
            storage,
            journal,
            model,
            undone: Vec::new(),
            authority: Authority::default(),
            sent_triggers: 0,
            last_rows: Vec::new(),
        })
    }

    /// Everything so far is durable.
    fn is_durable(&mut self) {
        self.undone.clear();
    }

    fn step(&mut self, step: &Step, crash: Unsynced) -> Result<(), Violation> {
        match step {
            Step::Append { operations, is_durable } => self.append(operations, *is_durable),
            Step::Flush => self.durable(|journal| journal.flush()),
            Step::Learn { entity, truth } => self.learn(*entity, truth),
            Step::Remote { entity: number, truth } => {
                self.authority.write(&entity(*number), truth);
                Ok(())
            }
            Step::Hear { lost, twice } => self.hear(*lost, *twice),
            Step::FillGaps => self.fill_gaps(),
            Step::Integrate { lost } => self.read(*lost),
            Step::IntegrateAgain => self.integrate(&self.last_rows.clone()),
            Step::Compact => self.compact(),
            Step::Plan => self.journal.plan().map(drop).map_err(failed("planning")),
            Step::Seal(limits) => self.seal(*limits),
            Step::Deliver(answers) => self.deliver(answers),
            Step::Settle(answers) => self.settle(answers),
            Step::SettleAgain => self.settle_again(),
            Step::Retry(parked) => match self.parked(*parked) {
                Some(key) => self.retry(&key),
                None => Ok(()),
            },
            Step::Edit { parked, change } => match self.parked(*parked) {
                Some(key) => {
                    let edit = Operation::new(key, change.clone());
                    let appended = self.journal.edit_parked(&edit).map_err(failed("editing"))?;
                    self.is_durable();
                    self.note(&[edit], appended)
                }
                None => Ok(()),
            },
            Step::Drop(parked) => match self.parked(*parked) {
                Some(key) => self.discard(&key),
                None => Ok(()),
            },
            Step::Cancel(back) => self.cancel(*back as u64),
            Step::Reclaim => self.durable(|journal| journal.reclaim().map(drop)),
            Step::Crash => self.crash(crash),
            Step::Reopen => {
                self.close();
                self.journal = open(&self.storage, self.schema.as_ref())?;
                self.is_durable();
                Ok(())
            }
            Step::Suspend => {
                self.durable(Journal::suspend)?;
                let refused = self.journal.plan();
                require("suspending", matches!(refused, Err(Error::Suspended)), || format!("{refused:?}"))?;
                self.durable(Journal::resume)
            }
        }
    }

    /// A call that changes nothing that is seen, and leaves everything durable.
    fn durable(&mut self, call: impl FnOnce(&Journal) -> Result<(), Error>) -> Result<(), Violation> {
        call(&self.journal).map_err(failed("maintaining"))?;
        self.is_durable();
        Ok(())
    }

    /// Lets go of the handle, so that the storage can be opened again.
    fn close(&mut self) {
        if let Ok(nothing) = Journal::in_memory() {
            self.journal = nothing;
        }
    }

    fn append(&mut self, operations: &[Operation], is_durable: bool) -> Result<(), Violation> {
        let durability = if is_durable { Durability::Durable } else { Durability::Deferred };
        if self.undone.is_empty() {
            self.undone.push(self.model.clone());
        }
        let appended = self.journal.append(operations, durability).map_err(failed("appending"))?;
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

    /// The authority comes to hold this, and the program is told by a row, under what is pending.
    fn learn(&mut self, number: usize, truth: &Existence) -> Result<(), Violation> {
        let key = entity(number);
        self.authority.write(&key, truth);
        let Some(row) = self.authority.row(&key) else { return Ok(()) };
        let row = std::slice::from_ref(&row);
        self.journal.baseline(row, Listing::Partial).map_err(failed("learning"))?;
        self.is_durable();
        for row in row {
            let fields = row.state.as_ref().map(super::oracle::plain_fields);
            self.model.entity(&key).known = Known::told(fields, row.epoch.unwrap_or_default());
        }
        Ok(())
    }

    fn compact(&mut self) -> Result<(), Violation> {
        let before = self.plan()?;
        self.durable(Journal::compact)?;
        let once = self.plan()?;
        require("idempotence", before == once, || format!("{before:?}, compacted {once:?}"))?;
        let events = self.storage.events();
        self.durable(Journal::compact)?;
        let writes = self.storage.events() - events;
        require("idempotence", writes == 0, || format!("compacting again wrote {writes} times"))
    }

    fn plan(&self) -> Result<Plan, Violation> {
        self.journal.plan().map_err(failed("planning"))
    }

    fn seal(&mut self, limits: SealLimits) -> Result<(), Violation> {
        let count = |most: Option<u64>, all| most.map_or(all, |most| usize::try_from(most).unwrap_or(all));
        let limits = Limits {
            operations: count(limits.operations_max.map(u64::from), usize::MAX),
            bytes: count(limits.bytes_max, Limits::BYTES_DEFAULT),
        };
        let plan = self.plan()?;
        let sealed = self.journal.seal(limits).map_err(failed("sealing"))?;
        if let Some(open) = &self.model.open {
            // Giving it again writes nothing, so it makes nothing durable either.
            return require(FENCE, sealed.as_ref() == Some(open), || format!("{open:?} became {sealed:?}"));
        }
        self.is_durable();
        let after = self.plan()?;
        if let Some(bunch) = &sealed {
            check::bunch(bunch, &plan, limits, &self.model, self.schema.is_some())?;
            self.model.seal(bunch);
            self.played.bunches += 1;
            self.played.operations += bunch.operations.len() as u64;
            let completions = bunch.operations.iter().filter(|planned| planned.is_completion());
            self.played.completions += completions.count() as u64;
        } else {
            require(LOST, plan.operations.is_empty(), || format!("nothing was sealed of {plan:?}"))?;
        }
        // What came to nothing may be forgotten now; it need not be.
        for nothing in plan.nothing.iter().filter(|nothing| !check::has(&after, &nothing.key)) {
            drop(self.model.entity(&nothing.key).pending.take());
            self.played.annihilated += 1;
        }
        let again = self.journal.seal(Limits::default()).map_err(failed("sealing"))?;
        require(FENCE, sealed == again, || format!("sealed {sealed:?}, again {again:?}"))
    }

    fn deliver(&mut self, answers: &[Answer]) -> Result<(), Violation> {
        match &self.model.open {
            Some(bunch) => self.authority.deliver(bunch, answers).map(drop),
            None => Ok(()),
        }
    }

    fn settle(&mut self, answers: &[Answer]) -> Result<(), Violation> {
        let Some(bunch) = self.model.open.clone() else { return Ok(()) };
        let outcomes = self.authority.deliver(&bunch, answers)?;
        let expected = self.model.settle(&bunch, &outcomes);
        self.played += expected.counted();
        let settled = self.journal.settle(&outcomes).map_err(failed("settling"))?;
        self.is_durable();
        require(FENCE, !settled.was_settled, || format!("bunch {} was not settled before", bunch.number))?;
        for (found, expected) in [
            (&settled.parked, &expected.parked),
            (&settled.mended, &expected.mended),
            (&settled.waiting, &expected.waiting),
            (&settled.superseded, &expected.superseded),
            (&settled.deletes_dropped, &expected.deletes_dropped),
        ] {
            check::same_keys("settling", expected, found, &outcomes)?;
        }
        Ok(())
    }

    fn settle_again(&mut self) -> Result<(), Violation> {
        let Some(outcomes) = &self.model.last_outcomes else { return Ok(()) };
        let again = self.journal.settle(outcomes).map_err(failed("settling again"))?;
        require(FENCE, again.was_settled, || format!("{outcomes:?} counted twice: {again:?}"))
    }

    /// A parked entity: the n-th, counted round.
    fn parked(&self, number: usize) -> Option<EntityKey> {
        let parked = self.model.entities.iter().filter(|(_, entity)| !entity.parked.is_empty());
        let keys: Vec<&EntityKey> = parked.map(|(key, _)| key).collect();
        let place = number.checked_rem(keys.len())?;
        keys.get(place).map(|key| (*key).clone())
    }

    fn retry(&mut self, key: &EntityKey) -> Result<(), Violation> {
        self.durable(|journal| journal.retry(key))?;
        self.model.retry(key);
        Ok(())
    }

    fn discard(&mut self, key: &EntityKey) -> Result<(), Violation> {
        let had_any = self.journal.discard(key).map_err(failed("dropping"))?;
        self.is_durable();
        self.model.discard(key);
        require(LOST, had_any, || format!("{key} was parked, but there was nothing to drop"))
    }

    /// Takes back the operation that is so many before the last.
    fn cancel(&mut self, back: u64) -> Result<(), Violation> {
        let Some(seq) = self.model.appended.checked_sub(back).filter(|seq| *seq > 0) else { return Ok(()) };
        let cancelled = self.journal.cancel(Seq(seq)).map_err(failed("cancelling"))?;
        // Of what was folded only the span of its numbers is known: one between them may be another entity's.
        let is_spanned = self.model.entities.values().any(|entity| {
            let seqs = &entity.pending.seqs;
            seqs.len() > 1 && seqs.first() <= Some(&Seq(seq)) && Some(&Seq(seq)) <= seqs.last()
        });
        let mut entities = self.model.entities.values_mut();
        let owner = entities.find(|entity| entity.pending.seqs.contains(&Seq(seq)));
        let operations = owner.as_ref().map_or(0, |entity| entity.pending.seqs.len());
        let may_be = match cancelled {
            Cancelled::Done => operations > 0,
            Cancelled::Folded => operations > 1 || (operations == 0 && is_spanned),
            Cancelled::TooLate => operations == 0,
        };
        require("cancelling", may_be, || {
            format!("{cancelled:?}, but operation {seq} is one of {operations} that are pending together")
        })?;
        if let (Cancelled::Done, Some(entity)) = (cancelled, owner) {
            entity.cancel(Seq(seq));
            self.played.cancelled += 1;
            self.is_durable();
        }
        Ok(())
    }

    /// The process dies; what was not synced is lost, or not, as the fault model likes.
    fn crash(&mut self, unsynced: Unsynced) -> Result<(), Violation> {
        // The image is taken before the handle can close in order.
        let image = self.storage.after_crash(unsynced);
        self.close();
        self.storage = image;
        self.journal = open(&self.storage, self.schema.as_ref())?;
        let found = self.journal.status().map_err(failed("counting"))?.appended;
        self.played.lost += self.model.appended.saturating_sub(found);
        if let Some(before) = self.undone.iter().rev().find(|model| model.appended == found) {
            self.model = before.clone();
        }
        let durable = self.undone.first().map_or(self.model.appended, |durable| durable.appended);
        require(FENCE, found == self.model.appended, || {
            format!("after a crash {found} operations are there; {durable} were acknowledged as durable")
        })?;
        self.is_durable();
        Ok(())
    }

    /// Delivers everything, and compares the two sides.
    fn deliver_all(mut self) -> Result<Played, Violation> {
        self.settle(&[])?;
        self.check()?;
        while let Some(key) = self.parked(0) {
            self.retry(&key)?;
        }
        // What the authority holds by now, so that nothing that is sent from here on is concurrent.
        let rows: Vec<Row> = (0..ENTITIES).filter_map(|number| self.authority.row(&entity(number))).collect();
        self.integrate(&rows)?;
        self.check()?;
        let mut seen = self.authority.world.clone();
        for (key, entity) in &self.model.entities {
            seen.put(key, entity.pending.replayed_on(self.authority.world.thing(key)));
        }
        let mut rounds = 0;
        loop {
            self.seal(SealLimits { operations_max: Some(1), bytes_max: None })?;
            if self.model.open.is_none() {
                break;
            }
            self.settle(&[])?;
            self.check()?;
            rounds += 1;
            require(LOST, rounds <= ROUNDS_MAX, || "there is always more to send".to_owned())?;
        }
        let status = self.journal.status().map_err(failed("counting"))?;
        require(LOST, status.settled == self.model.appended, || format!("not all is settled: {status:?}"))?;
        let differs = seen.live_difference(&self.authority.world);
        require("equivalence", differs.is_none(), || {
            format!("left is what the program saw, right what the authority holds: {differs:?}")
        })?;
        Ok(self.played)
    }

    /// The new triggers arrive, but for those that are lost.
    fn hear(&mut self, lost: u8, twice: bool) -> Result<(), Violation> {
        let new = self.authority.triggers.get(self.sent_triggers..).unwrap_or(&[]).to_vec();
        self.sent_triggers = self.authority.triggers.len();
        let is_lost = |trigger: &Trigger| lost & (1 << (trigger.index.0 % 8)) != 0;
        let mut heard: Vec<Trigger> = new.into_iter().filter(|trigger| !is_lost(trigger)).collect();
        if twice {
            heard.extend(heard.clone());
            heard.reverse();
        }
        self.receive(&heard)
    }

    fn fill_gaps(&mut self) -> Result<(), Violation> {
        let gaps = self.journal.reads().map_err(failed("reading"))?.heard.gaps;
        let is_missing = |trigger: &&Trigger| gaps.iter().any(|gap| gap.contains(&trigger.index.0));
        let missing: Vec<Trigger> = self.authority.triggers.iter().filter(is_missing).cloned().collect();
        self.receive(&missing)
    }

    fn receive(&mut self, triggers: &[Trigger]) -> Result<(), Violation> {
        let received = self.journal.receive(triggers).map_err(failed("receiving"))?;
        let before = self.model.inbox.len();
        self.model.inbox.extend(triggers.iter().map(|trigger| (trigger.index, trigger.clone())));
        let new = (self.model.inbox.len() - before) as u64;
        if new > 0 {
            self.is_durable();
        }
        require("hearing", received.new == new, || format!("{new} were new of {triggers:?}: {received:?}"))
    }

    /// Reads what the triggers hint at; some answers are lost.
    fn read(&mut self, lost: u8) -> Result<(), Violation> {
        let reads = self.journal.reads().map_err(failed("reading"))?.plan.reads;
        let keys = reads.into_iter().flat_map(|(collection, ids)| {
            ids.into_iter().filter_map(move |id| EntityKey::new(collection.clone(), id).ok())
        });
        let is_lost = |place: usize| lost & (1 << (place % 8)) != 0;
        let rows = keys.enumerate().filter(|(place, _)| !is_lost(*place));
        self.last_rows = rows.filter_map(|(_, key)| self.authority.row(&key)).collect();
        self.integrate(&self.last_rows.clone())
    }

    fn integrate(&mut self, rows: &[Row]) -> Result<(), Violation> {
        let deleted = check::reads(&self.model).deletes;
        let mut told = rows.to_vec();
        told.extend(deleted.into_iter().map(|(key, epoch)| Row { key, state: None, epoch: Some(epoch) }));
        let (applied, expected) = self.model.integrate(&told);
        self.played += Played { applied: applied.len() as u64, ..expected.counted() };
        let integrated = self.journal.integrate(rows).map_err(failed("integrating"))?;
        self.is_durable();
        let applied_twice = integrated.applied.len() != applied.len();
        require(MOVING, !applied_twice, || format!("{applied:?} are newer, {integrated:?} of {told:?}"))?;
        for (found, expected) in [
            (&integrated.applied, &applied),
            (&integrated.agreed, &expected.agreed),
            (&integrated.deletes_dropped, &expected.deletes_dropped),
        ] {
            check::same_keys(MOVING, expected, found, &told)?;
        }
        Ok(())
    }
}
