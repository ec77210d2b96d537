//! One entity after another that came from the authority: what is known of it now, and what becomes of what is unsent.

use std::collections::btree_map::Entry as Place;
use std::collections::{BTreeMap, HashMap, HashSet};

use redb::ReadableTable;

use super::Tables;
use super::conflicts;
use super::down::Applied;
use super::error::Error;
use super::lost::{self, Loss, Side, Why};
use super::rebase::{Known, Rebase, rebase};
use super::view::{Cause, View, version_of};
use crate::algebra::{
    Base, Effect, EntityKey, Existence, FullRow, Held, Knowledge, Liveness, Millis, Other, ReplicaId, Stamps,
    State, Version, overwritten,
};
use crate::journal::entry::Entry;
use crate::journal::error::engine;
use crate::journal::tables::{FETCHED, entity_bytes};
use crate::journal::{Work, parked};

/// What is known now of an entity at the authority.
pub(super) struct Told {
    pub(super) base: Base,
    pub(super) stamps: Stamps,
    /// Whether this replica wrote it.
    pub(super) is_own: bool,
}

impl Told {
    pub(super) fn of(row: FullRow, own: ReplicaId) -> Self {
        let epoch = Some(row.epoch);
        let held = |state| Held { epoch, state: Knowledge::State(state) };
        let base = match row.version.existence {
            Existence::Live(state) => Base::Live(held(state)),
            Existence::Dead(state) => Base::Dead(held(state)),
            Existence::Absent => Base::Dead(Held { epoch, state: Knowledge::Nothing }),
        };
        let is_own = row.writer.is_some_and(|writer| writer.replica == own);
        Told { base, stamps: row.version.stamps, is_own }
    }
}

/// By what an answer is taken.
pub(super) struct Taking {
    pub(super) own: ReplicaId,
    pub(super) now: Millis,
    pub(super) fetches_all: bool,
    /// What is fetched is of another life of the authority's data: epochs say nothing of which is later.
    pub(super) is_restored: bool,
}

/// What is unsent of an entity.
pub(super) struct Unsent {
    pub(super) entry: Entry,
    pub(super) is_parked: bool,
}

impl Taking {
    pub(super) fn of(own: ReplicaId, now: Millis) -> Self {
        Taking { own, now, fetches_all: false, is_restored: false }
    }

    pub(super) fn take(
        &self,
        work: &mut Work<'_>,
        view: &mut View<'_, Tables<'_>>,
        told: Vec<(EntityKey, Told)>,
    ) -> Result<Applied, Error> {
        let mut applied = Applied::default();
        let mut newest: BTreeMap<EntityKey, Told> = BTreeMap::new();
        let takes_older = self.fetches_all || sabotaged!(late_row_applied);
        for (key, told) in told {
            match newest.entry(key) {
                Place::Vacant(free) => drop(free.insert(told)),
                Place::Occupied(mut held) => {
                    applied.stale += 1;
                    if held.get().base.epoch() <= told.base.epoch() {
                        held.insert(told);
                    }
                }
            }
        }
        let mut unsent = self.unsent(work, view, newest.keys())?;
        if sabotaged!(pages_between_not_rebased) && work.is_deferred {
            unsent.clear();
        }
        let mut reduced = Vec::new();
        let mut stale = Vec::new();
        for (key, told) in &newest {
            let (held, known_stamps) = view.base(key)?;
            let epoch = told.base.epoch().unwrap_or_default();
            match held.epoch() {
                Some(held_epoch) if epoch < held_epoch && !takes_older => stale.push(key.clone()),
                Some(held_epoch) if epoch == held_epoch && held == told.base => {
                    // Nothing new but, perhaps, its stamps: mostly what this replica sent itself.
                    if known_stamps != told.stamps {
                        view.put_base(key, &held, &told.stamps)?;
                    }
                    stale.push(key.clone());
                }
                Some(_) | None => {
                    let done = self.take_one(work, view, key, told, unsent.get(key), &mut applied)?;
                    reduced.extend(done);
                    applied.applied.push(key.clone());
                }
            }
        }
        applied.stale += stale.len() as u64;
        for key in &stale {
            newest.remove(key);
        }
        for key in reduced {
            self.drop_unit(work, view, &key, &mut applied)?;
        }
        self.new_children(work, view, &newest, &mut applied)?;
        self.clashes(work, view, &newest, &mut applied)?;
        Ok(applied)
    }

    /// What is unsent of these entities.
    pub(super) fn unsent<'k>(
        &self,
        work: &Work<'_>,
        view: &View<'_, Tables<'_>>,
        keys: impl Iterator<Item = &'k EntityKey>,
    ) -> Result<HashMap<EntityKey, Unsent>, Error> {
        let mut local = Vec::new();
        for key in keys {
            if view.local(key)?.is_some_and(|local| !local.is_kept) {
                local.push(key.clone());
            }
        }
        let mut found = HashMap::new();
        for (key, entry) in work.pending(&local)? {
            // What this transaction has made of it already.
            let entry = work.overrides.get(&key).cloned().unwrap_or(Some(entry));
            found.extend(entry.map(|entry| (key, Unsent { entry, is_parked: false })));
        }
        for key in local {
            if let Some((entry, _)) = parked::get(work.txn, &key)? {
                found.insert(key, Unsent { entry, is_parked: true });
            }
        }
        Ok(found)
    }

    /// Gives the entity back if what is unsent of it was a delete that gave way: then its unit goes too.
    fn take_one(
        &self,
        work: &mut Work<'_>,
        view: &mut View<'_, Tables<'_>>,
        key: &EntityKey,
        told: &Told,
        unsent: Option<&Unsent>,
        applied: &mut Applied,
    ) -> Result<Option<EntityKey>, Error> {
        let (from, from_stamps) = view.base(key)?;
        let from_version = version_of(&from, from_stamps);
        let mut to_version = version_of(&told.base, told.stamps.clone());
        if matches!(&told.base, Base::Dead(held) if held.state.state().is_none())
            && let Some(last) = from_version.existence.state()
        {
            to_version.existence = Existence::Dead(last.clone());
        }
        self.note_restored(work, key, &from_version, &to_version)?;
        self.note_taken_along(work, key, &from_version, told, &to_version)?;
        let Some(unsent) = unsent else {
            view.lay(key, &told.base, &told.stamps, None, Cause::Remote)?;
            return Ok(None);
        };
        let Unsent { entry, is_parked } = unsent;
        let effect = &entry.effect;
        let is_standing = conflicts::before_both(work.txn, key)?.is_some();
        // What waits for a person's decision is not decided by a policy meanwhile.
        let moved = if is_standing || *is_parked {
            let is_agreed = effect.apply(&to_version.existence) == to_version.existence;
            let left = (!is_agreed).then(|| effect.clone());
            let losses = if *is_parked && !is_agreed {
                hidden(effect, &from_version, &to_version)
            } else {
                Vec::new()
            };
            Rebase { left, losses, is_held: is_standing && !is_agreed }
        } else if match self.fetches_all {
            true => from_version.existence == to_version.existence,
            // The same change, of which more is known now.
            false => from.epoch().is_some() && from.epoch() == told.base.epoch(),
        } {
            Rebase { left: Some(effect.clone()), losses: Vec::new(), is_held: false }
        } else {
            let policy = view.schema.policy(key.collection());
            let from = Known { base: &from, version: &from_version };
            rebase(policy, effect, self.own, from, Known { base: &told.base, version: &to_version })
        };
        let gave_way =
            moved.left.is_none() && effect.shape.liveness == Liveness::Dead && !moved.losses.is_empty();
        self.leave(work, unsent, &moved)?;
        if moved.is_held && !is_standing {
            conflicts::open_concurrent(work.txn, key, &from_version)?;
            applied.conflicting.push(key.clone());
        } else if is_standing && !moved.is_held {
            conflicts::remove(work.txn, key)?;
        }
        if moved.left.as_ref() != Some(effect) {
            applied.overridden.push(key.clone());
        }
        let cause = if moved.losses.is_empty() && !moved.is_held { Cause::Rebased } else { Cause::Conflict };
        let left = moved.left.as_ref().map(|effect| (effect, self.own));
        view.lay(key, &told.base, &told.stamps, left, cause)?;
        Ok(gave_way.then(|| key.clone()))
    }

    /// Writes down what is left of what is unsent, and what lost.
    pub(super) fn leave(
        &self,
        work: &mut Work<'_>,
        Unsent { entry, is_parked }: &Unsent,
        moved: &Rebase,
    ) -> Result<(), Error> {
        let key = &entry.key;
        lost::keep(work.txn, key, &moved.losses, self.now)?;
        if moved.left.as_ref() == Some(&entry.effect) {
            return Ok(());
        }
        if moved.left.is_none() {
            work.state.settled += u64::from(entry.effect.shape.operations);
        }
        let left = moved.left.clone().map(|effect| Entry { effect, ..entry.clone() });
        if *is_parked {
            work.take_parked(key)?;
            if left.is_none() {
                return Ok(());
            }
        }
        work.overrides.insert(key.clone(), left);
        Ok(())
    }

    /// A delete of this replica's took along, at the authority, what nobody here had seen.
    fn note_taken_along(
        &self,
        work: &mut Work<'_>,
        key: &EntityKey,
        from: &Version,
        told: &Told,
        to: &Version,
    ) -> Result<(), Error> {
        let Existence::Dead(last) = &to.existence else { return Ok(()) };
        let seen = match &from.existence {
            Existence::Live(state) => state.clone(),
            Existence::Absent => State::empty(),
            Existence::Dead(_) => return Ok(()),
        };
        let unseen = last.only(|field| seen.raw(field) != last.raw(field));
        if told.is_own && !unseen.is_empty() {
            lost::keep(work.txn, key, &[Loss::overwritten(&unseen)], self.now)?;
        }
        Ok(())
    }

    /// After a restore, what the authority had and lost is kept here.
    fn note_restored(
        &self,
        work: &mut Work<'_>,
        key: &EntityKey,
        from_version: &Version,
        to: &Version,
    ) -> Result<(), Error> {
        let Existence::Live(had) = &from_version.existence else { return Ok(()) };
        if !self.is_restored {
            return Ok(());
        }
        let has = to.existence.live().cloned().unwrap_or_else(State::empty);
        let lost = had.only(|field| has.raw(field) != had.raw(field));
        if !lost.is_empty() {
            let loss = Loss::of(Side::Remote, Why::Restored, State::empty().changes_to(&lost));
            lost::keep(work.txn, key, &[loss], self.now)?;
        }
        Ok(())
    }

    /// What was known and did not come when everything was fetched is gone at the authority.
    pub(super) fn forget_the_rest(
        &self,
        work: &mut Work<'_>,
        view: &mut View<'_, Tables<'_>>,
        applied: &mut Applied,
    ) -> Result<(), Error> {
        let mut rest = Vec::new();
        {
            let fetched = work.txn.open_table(FETCHED).map_err(engine)?;
            for key in view.keys(None)? {
                if fetched.get(entity_bytes(&key).as_slice()).map_err(engine)?.is_none() {
                    rest.push(key);
                }
            }
        }
        let unsent = self.unsent(work, view, rest.iter())?;
        for key in &rest {
            let (base, stamps) = view.base(key)?;
            if matches!(base, Base::Absent | Base::Unknown) {
                continue;
            }
            let last = version_of(&base, stamps.clone());
            let told = match (unsent.get(key), last.existence.state()) {
                // A tombstone of which nobody knows any more: what is unsent may revive it, whole.
                (Some(_), Some(state)) => Told {
                    base: Base::Dead(Held { epoch: None, state: Knowledge::State(state.clone()) }),
                    stamps,
                    is_own: false,
                },
                (_, _) => Told { base: Base::Absent, stamps: Stamps::default(), is_own: false },
            };
            self.take_one(work, view, key, &told, unsent.get(key), applied)?;
            applied.applied.push(key.clone());
        }
        work.txn.open_table(FETCHED).map_err(engine)?.retain(|_, _| false).map_err(engine)?;
        // What is gone without a trace has given up its keys, too.
        let gone: HashSet<EntityKey> = rest.into_iter().collect();
        conflicts::end_clashes(work.txn, view, &|holder| gone.contains(holder))?;
        conflicts::end_unneeded(work.txn, view)?;
        Ok(())
    }
}

/// What somebody changed that nobody here sees, because what is parked lies over it.
fn hidden(parked: &Effect, from: &Version, to: &Version) -> Vec<Loss> {
    let empty = State::empty();
    let changes = from.existence.state().unwrap_or(&empty).changes_to(to.existence.state().unwrap_or(&empty));
    let has_changed = |field: &str| changes.raw(field).is_some();
    let other = Other { version: to, has_changed: &has_changed, was_absent: false };
    let lost = overwritten(&parked.apply(&to.existence), &other);
    if lost.is_empty() { Vec::new() } else { vec![Loss::overwritten(&lost)] }
}
