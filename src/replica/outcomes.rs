//! Sealing and settling: as the journal does it, with the policies and with what the program sees.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::conflicts;
use super::error::Error;
use super::keep::put_cursors;
use super::lost::{self, Loss, Side, Why};
use super::rebase::{Known, Rebase, UnitPart, lost_to, rebase, unit_part};
use super::view::{Cause, View, version_of};
use super::{Replica, Tables};
use crate::algebra::{
    Base, Bunch, CollectionName, Cursors, Effect, EntityKey, Epoch, Group, Limits, Liveness, Millis,
    OnDelete, Outcome, Outcomes, Page, Policy, ReplicaId, Resulting, Schema, Stamps, State, Version,
    changing, key_values, written,
};
use crate::codec::records::CauseRecord;
use crate::journal::Work;
use crate::journal::entry::Entry;
use crate::journal::seal::Sealing;
use crate::journal::settle::{self, Decided};

/// What settling a bunch came to, in entities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// The bunch had been settled before; nothing was done.
    pub was_settled: bool,
    /// Accepted.
    pub accepted: u64,
    /// Gave way to the authority's side.
    pub superseded: Vec<EntityKey>,
    /// Refused, and not edited since.
    pub parked: Vec<EntityKey>,
    /// In conflict from now on: a unique key is taken, or the policy leaves it to a person.
    pub conflicting: Vec<EntityKey>,
    /// Refused or clashing, but edited meanwhile: pending again together with the edit.
    pub mended: Vec<EntityKey>,
    /// Pending again until what they wait for can go.
    pub waiting: Vec<EntityKey>,
    /// Pending again.
    pub retried: u64,
}

impl Replica {
    /// Freezes the next bunch, or gives the open one again, byte for byte; none if there is nothing to send.
    ///
    /// # Errors
    /// As [`Journal::seal`](crate::Journal::seal).
    pub fn seal(&self, limits: Limits) -> Result<Option<Bunch>, Error> {
        if let Some(open) = self.journal.open_bunch()? {
            return Ok(Some(open));
        }
        let sealing = self.maintain(|work, view| {
            if work.state.open.is_some() {
                // Another thread was quicker.
                work.folds = false;
                return Ok(Sealing::Done(None));
            }
            let sealing = work.seal(limits, Some(&self.schema))?;
            let bunch = if let Sealing::Done(bunch) = &sealing { bunch.as_ref() } else { None };
            let sent = bunch.iter().flat_map(|bunch| &bunch.operations).map(|planned| &planned.operation.key);
            let sent: BTreeSet<&EntityKey> = sent.collect();
            let nothing = work.overrides.keys().filter(|key| !sent.contains(key));
            for key in nothing.cloned().collect::<Vec<_>>() {
                let (base, stamps) = view.base(&key)?;
                // What came back and went again before it was sent is remembered as it was seen here.
                view.lay_with(&key, &base, &stamps, None, Cause::Local, true)?;
            }
            Ok(sealing)
        })?;
        match sealing {
            Sealing::Done(Some(bunch)) => Ok(Some(bunch)),
            Sealing::Done(None) => Ok(self.journal.open_bunch()?),
            Sealing::Again => self.seal(limits),
        }
    }

    /// Records an outcome for each operation of the open bunch, in its order. Settling a bunch twice is harmless.
    ///
    /// # Errors
    /// As [`Journal::settle`](crate::Journal::settle); and a clash with what no entity can be.
    pub fn settle(&self, outcomes: &Outcomes) -> Result<Settled, Error> {
        let is_nobodys = |told: &Outcome| matches!(told, Outcome::Clash { holder, .. } if holder.is_nil());
        if outcomes.outcomes.iter().any(is_nobodys) {
            return Err(Error::WrongAnswer { why: "the holder of a key is the nil UUID".to_owned() });
        }
        let (own, now) = (self.id(), (self.journal.inner.options.clock)());
        self.maintain(|work, view| {
            let Some(settling) = work.settling(outcomes)? else {
                return Ok(Settled { was_settled: true, ..Settled::default() });
            };
            let mut settlement = Settlement {
                own,
                now,
                bunch: settling.bunch,
                held: Held::of(&settling.decided, &self.schema),
                deleted: deleted(&settling.decided),
                settled: Settled::default(),
            };
            for decided in &settling.decided {
                settlement.decide(work, view, decided)?;
                if sabotaged!(own_push_moves_cursor)
                    && let Some(epoch) = decided.epoch
                {
                    let cursors = Cursors::from([(decided.entry.key.collection().clone(), epoch)]);
                    put_cursors(work.txn, &Page { cursors, ..Page::default() })?;
                }
            }
            // What failed is where it was, and what clashes with it was told so.
            let has_moved = |decided: &&Decided| {
                matches!(decided.outcome, Outcome::Accepted { .. } | Outcome::Superseded { .. })
            };
            let moved: BTreeSet<&EntityKey> =
                settling.decided.iter().filter(has_moved).map(|decided| &decided.entry.key).collect();
            conflicts::end_clashes(work.txn, view, &|holder| moved.contains(holder))?;
            Ok(settlement.settled)
        })
    }
}

/// What is held by a policy, of the units that gave way.
struct Held {
    /// The groups of what was changed elsewhere: what only goes with that stays as it is, and waits.
    groups: BTreeSet<Group>,
    /// Deletes of which nothing that was sent was changed elsewhere: what the deleter had not seen must be something new
    /// that refers to it. The conflict is theirs.
    roots: BTreeSet<EntityKey>,
}

impl Held {
    fn of(decided: &[Decided], schema: &Schema) -> Self {
        let moved = |decided: &&Decided| match &decided.outcome {
            Outcome::Superseded { epoch, .. } => !is_unchanged(&decided.before, *epoch),
            Outcome::Accepted { .. }
            | Outcome::Clash { .. }
            | Outcome::Refused { .. }
            | Outcome::Waits { .. }
            | Outcome::Retry => false,
        };
        let policy = |key: &EntityKey| schema.policy(key.collection());
        let groups_of = |decided: &Decided| decided.entry.effect.groups.clone();
        let all_moved: BTreeSet<Group> = decided.iter().filter(moved).flat_map(groups_of).collect();
        let manual =
            decided.iter().filter(moved).filter(|decided| policy(&decided.entry.key) == Policy::Manual);
        let mut held = Held { groups: manual.flat_map(groups_of).collect(), roots: BTreeSet::new() };
        let places: BTreeMap<&EntityKey, usize> =
            decided.iter().enumerate().map(|(place, decided)| (&decided.entry.key, place)).collect();
        let deleted = deleted(decided);
        for (place, decided) in decided.iter().enumerate() {
            let key = &decided.entry.key;
            let is_unmoved = matches!(decided.outcome, Outcome::Superseded { .. }) && !moved(&decided);
            let groups = &decided.entry.effect.groups;
            let is_manual = leaves_open(schema, key.collection());
            if !is_unmoved
                || !deleted.contains(key)
                || !is_manual
                || groups.iter().any(|group| all_moved.contains(group))
            {
                continue;
            }
            held.groups.extend(groups.iter().cloned());
            // What refers goes first; in a circle somebody goes last.
            let is_later = |to: &EntityKey| places.get(to).is_some_and(|other| *other > place);
            let goes_with = decided.before.live_state().is_some_and(|state| {
                schema.targets(key, state).any(|(_, _, to)| deleted.contains(&to) && is_later(&to))
            });
            if !goes_with {
                held.roots.insert(key.clone());
            }
        }
        held
    }
}

/// Whether something that a delete may reach is left to a person or the program: who is reached decides by its own
/// policy, and the deleter does not know who that was.
fn leaves_open(schema: &Schema, deleted: &CollectionName) -> bool {
    let mut seen: BTreeSet<&CollectionName> = BTreeSet::new();
    let mut open = vec![deleted];
    while let Some(parent) = open.pop() {
        for (collection, _, reference) in schema.referrers(parent) {
            if schema.policy(collection) == Policy::Manual {
                return true;
            }
            if reference.on_delete == OnDelete::Cascade && seen.insert(collection) {
                open.push(collection);
            }
        }
    }
    false
}

/// What the bunch deleted.
fn deleted(decided: &[Decided]) -> BTreeSet<EntityKey> {
    let is_delete = |decided: &&Decided| decided.entry.effect.shape.liveness == Liveness::Dead;
    decided.iter().filter(is_delete).map(|decided| decided.entry.key.clone()).collect()
}

/// What was known of the authority's side when the bunch was sealed.
fn under(decided: &Decided) -> Version {
    version_of(&decided.before, decided.stamps.clone())
}

/// Whether the authority holds just the version that was known of here.
fn is_unchanged(before: &Base, epoch: Epoch) -> bool {
    before.epoch() == Some(epoch)
}

struct Settlement {
    own: ReplicaId,
    now: Millis,
    bunch: u64,
    held: Held,
    deleted: BTreeSet<EntityKey>,
    settled: Settled,
}

/// What the authority holds now, and what is left of what is unsent.
struct Moved {
    base: Base,
    stamps: Stamps,
    rebase: Rebase,
}

impl Settlement {
    fn decide(
        &mut self,
        work: &mut Work<'_>,
        view: &mut View<'_, Tables<'_>>,
        decided: &Decided,
    ) -> Result<(), Error> {
        let Decided { entry, newer, outcome, .. } = decided;
        let key = &entry.key;
        let operations = u64::from(entry.effect.shape.operations);
        let moved = match outcome {
            Outcome::Accepted { result, overwrote, .. } => {
                work.state.settled += operations;
                work.state.folded_away += operations.saturating_sub(1);
                self.settled.accepted += 1;
                self.accepted(view, decided, result, overwrote.as_ref())?
            }
            Outcome::Superseded { epoch, state, stamps, .. } => {
                self.settled.superseded.push(key.clone());
                let moved = self.superseded(work, view, decided, *epoch, state.as_ref(), stamps)?;
                let Some(moved) = moved else { return Ok(()) };
                moved
            }
            Outcome::Refused { reason } => {
                if newer.is_some() {
                    self.settled.mended.push(key.clone());
                    work.come_back(entry, newer.clone());
                } else {
                    self.settled.parked.push(key.clone());
                    work.park(entry, CauseRecord::Refused { reason: reason.clone() }, self.bunch)?;
                }
                return Ok(());
            }
            Outcome::Clash { unique, holder, of } => {
                return self.clashes(work, view, decided, unique, *holder, of.as_ref());
            }
            Outcome::Waits { on } => {
                work.come_back(entry, newer.clone());
                work.wait_for(key, on)?;
                self.settled.waiting.push(key.clone());
                return Ok(());
            }
            Outcome::Retry => {
                if !sabotaged!(retried_dropped) {
                    work.come_back(entry, newer.clone());
                }
                self.settled.retried += 1;
                return Ok(());
            }
        };
        let Moved { base, stamps, rebase } = moved;
        lost::keep(work.txn, key, &rebase.losses, self.now)?;
        let before = newer.as_ref().map(|newer| &newer.effect);
        if rebase.left.as_ref() != before {
            if let (None, Some(newer)) = (&rebase.left, newer) {
                work.state.settled += u64::from(newer.effect.shape.operations);
            }
            let first_at = newer.as_ref().map_or(entry.first_at, |newer| newer.first_at);
            let left = rebase.left.clone().map(|effect| Entry { key: key.clone(), effect, first_at });
            work.overrides.insert(key.clone(), left);
        }
        let cause = if rebase.losses.is_empty() { Cause::Remote } else { Cause::Conflict };
        let left = rebase.left.as_ref().map(|effect| (effect, self.own));
        let is_own_delete = entry.effect.shape.liveness == Liveness::Dead;
        // Nothing was done since, so what is seen is what was sent on what was known.
        let is_as_sent = base == decided.assumed && base.live_state().is_some();
        if left.is_none() && newer.is_none() && is_as_sent {
            return Ok(view.lay_as_seen(key, &base, &stamps)?);
        }
        view.lay_with(key, &base, &stamps, left, cause, is_own_delete)?;
        Ok(())
    }

    /// A unique key is taken that the entity has, or a parent that would come back with it: then the conflict is the
    /// parent's, and what needs it waits.
    fn clashes(
        &mut self,
        work: &mut Work<'_>,
        view: &mut View<'_, Tables<'_>>,
        decided: &Decided,
        unique: &[String],
        holder: Uuid,
        of: Option<&EntityKey>,
    ) -> Result<(), Error> {
        let Decided { entry, newer, .. } = decided;
        let key = &entry.key;
        work.come_back(entry, newer.clone());
        let about = of.unwrap_or(key);
        let seen = view.visible(about)?;
        let sent = match of {
            None => under(decided).after(&entry.effect, self.own),
            Some(parent) if view.local(parent)?.is_some_and(|local| !local.is_kept) => {
                view.base(parent).map(|(base, stamps)| version_of(&base, stamps))?
            }
            Some(_) => seen.clone(),
        };
        let values = |version: &Version| {
            // A parent that is known to be deleted would come back as it was.
            let state = if of.is_some() { version.existence.state() } else { version.existence.live() };
            state.and_then(|state| key_values(state, unique))
        };
        let is_as_sent =
            sent.existence.is_live() == seen.existence.is_live() && values(&sent) == values(&seen);
        if let Some(values) = values(&sent).filter(|_| is_as_sent) {
            self.settled.conflicting.push(about.clone());
            conflicts::open_clash(work.txn, about, unique, &values, holder)?;
            view.changed.push((about.clone(), Cause::Conflict));
        } else if newer.is_none() && (of.is_none() || is_as_sent) {
            // There is no such key, and no edit that is to be sent: so nothing that is known here could end it.
            self.settled.parked.push(key.clone());
            work.overrides.remove(key);
            let cause = CauseRecord::Clash { unique: unique.to_vec(), holder: holder.into_bytes() };
            return Ok(work.park(entry, cause, self.bunch)?);
        } else if of.is_none() {
            self.settled.mended.push(key.clone());
        }
        if let Some(parent) = of {
            self.settled.waiting.push(key.clone());
            work.wait_for(key, parent)?;
        }
        Ok(())
    }

    fn accepted(
        &self,
        view: &View<'_, Tables<'_>>,
        decided: &Decided,
        result: &Resulting,
        overwrote: Option<&State>,
    ) -> Result<Moved, Error> {
        let Decided { entry, newer, before, assumed, epoch, .. } = decided;
        let under = under(decided);
        let sent = under.after(&entry.effect, self.own);
        let base = settle::accepted(before, assumed, *epoch, result);
        // An answer may come after something later was read: then what was sent is underneath that already.
        let is_kept = base == *before;
        let stamps = match result {
            _ if is_kept => under.stamps.clone(),
            Resulting::Live(_, told) | Resulting::Gone(told) if *told != Stamps::default() => told.clone(),
            Resulting::AsSent | Resulting::Live(..) | Resulting::Gone(_) => sent.stamps.clone(),
        };
        let mut losses: Vec<Loss> = overwrote.map(Loss::overwritten).into_iter().collect();
        if let (Resulting::Live(told, _), false, Some(effect)) =
            (result, is_kept, changing(&entry.effect, before))
        {
            let wrote = written(&effect);
            let lost = wrote.only(|field| wrote.raw(field) != Some(told.raw(field).unwrap_or("null")));
            if !lost.is_empty() {
                losses.push(Loss::of(Side::Local, Why::Policy, lost));
            }
        }
        let from = settle::seen(before, assumed, &base);
        // What is told here is what the authority made of the operation, not somebody else's unseen change: but where
        // the later one counts, it may be both.
        let policy = match view.schema.policy(entry.key.collection()) {
            Policy::Newest => Policy::Newest,
            Policy::LastOperation | Policy::FirstToAuthority | Policy::Manual => Policy::LastOperation,
        };
        let mut moved = self.move_newer(policy, newer.as_ref(), (from, &sent.stamps), (&base, &stamps));
        losses.append(&mut moved.losses);
        moved.losses = losses;
        Ok(Moved { base, stamps, rebase: moved })
    }

    /// Moves what was done since the seal.
    fn move_newer(
        &self,
        policy: Policy,
        newer: Option<&Entry>,
        from: (&Base, &Stamps),
        to: (&Base, &Stamps),
    ) -> Rebase {
        let Some(newer) = newer else { return Rebase { left: None, losses: Vec::new(), is_held: false } };
        let [from_version, to_version] = [from, to].map(|(base, stamps)| version_of(base, stamps.clone()));
        let from = Known { base: from.0, version: &from_version };
        rebase(policy, &newer.effect, self.own, from, Known { base: to.0, version: &to_version })
    }

    /// None where nothing moves but what comes back.
    fn superseded(
        &mut self,
        work: &mut Work<'_>,
        view: &mut View<'_, Tables<'_>>,
        decided: &Decided,
        epoch: Epoch,
        state: Option<&State>,
        told: &Stamps,
    ) -> Result<Option<Moved>, Error> {
        let Decided { entry, newer, before, assumed, .. } = decided;
        let key = &entry.key;
        let operations = u64::from(entry.effect.shape.operations);
        let under = under(decided);
        let is_unchanged = is_unchanged(before, epoch);
        let base =
            if is_unchanged { before.clone() } else { settle::latest(before, settle::remote(epoch, state)) };
        // An answer may come after something later was read.
        let is_kept = is_unchanged || base == *before;
        let stamps = if is_kept { under.stamps.clone() } else { told.clone() };
        let both: Effect = match newer {
            Some(newer) => entry.effect.then(&newer.effect),
            None => entry.effect.clone(),
        };
        let is_root = self.held.roots.contains(key);
        if is_root {
            conflicts::open_concurrent(work.txn, key, &under)?;
            self.settled.conflicting.push(key.clone());
            view.changed.push((key.clone(), Cause::Conflict));
        }
        if is_unchanged
            && (is_root || entry.effect.groups.iter().any(|group| self.held.groups.contains(group)))
        {
            work.come_back(entry, newer.clone());
            return Ok(None);
        }
        let is_of_unit = |key: &EntityKey| self.deleted.contains(key);
        let part = unit_part(&entry.effect, &under.existence, view.schema, key, &is_of_unit);
        if let (true, Some(UnitPart { left, loss })) = (is_unchanged, part) {
            if left.is_none() {
                work.state.settled += operations;
            }
            let left = match (left, newer) {
                (Some(edit), Some(newer)) => Some(edit.then(&newer.effect)),
                (Some(edit), None) => Some(edit),
                (None, newer) => newer.as_ref().map(|newer| newer.effect.clone()),
            };
            let rebase = Rebase { left, losses: vec![loss], is_held: false };
            return Ok(Some(Moved { base, stamps, rebase }));
        }
        let policy = view.schema.policy(key.collection());
        let there = version_of(&base, stamps.clone()).existence;
        let rebase = match policy {
            Policy::Manual => {
                if both.apply(&there) == there {
                    work.state.settled += operations;
                    Rebase { left: None, losses: Vec::new(), is_held: false }
                } else {
                    conflicts::open_concurrent(work.txn, key, &under)?;
                    self.settled.conflicting.push(key.clone());
                    Rebase { left: Some(both), losses: Vec::new(), is_held: true }
                }
            }
            Policy::FirstToAuthority => {
                work.state.settled += operations;
                work.state.folded_away += operations.saturating_sub(1);
                Rebase { left: None, losses: vec![lost_to(&there, &both, Why::Policy)], is_held: false }
            }
            Policy::LastOperation | Policy::Newest => {
                work.state.settled += operations;
                work.state.folded_away += operations.saturating_sub(1);
                let sent = under.after(&entry.effect, self.own).stamps;
                let mut rebase = self.move_newer(policy, newer.as_ref(), (assumed, &sent), (&base, &stamps));
                rebase.losses.insert(0, lost_to(&there, &entry.effect, Why::Policy));
                rebase
            }
        };
        Ok(Some(Moved { base, stamps, rebase }))
    }
}
