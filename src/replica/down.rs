//! What comes from the authority: pages of changes, rows that were read, everything anew.
//!
//! Nothing is taken while a bunch is open: its answer comes first, so that what is known of the authority's side
//! is never older than what was sent on top of it.

use std::collections::btree_map::Entry as Place;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::Ordering;

use redb::ReadableTable;

use super::conflicts;
use super::error::Error;
use super::keep::{forget_cursors, put_cursors, put_record, record_in, record_of_cursor};
use super::lost::{self, Loss, Side, Why};
use super::rebase::{Known, Rebase, UnitPart, lost_local, rebase, unit_part};
use super::view::{Cause, View, version_of};
use super::{Replica, Tables};
use crate::algebra::{
    Base, Decision, Effect, EntityKey, Epoch, Existence, FullRow, Generation, Group, Held, Index, Knowledge,
    Liveness, Millis, OnDelete, Operation, Other, Page, ReplicaId, Seq, Stamps, State, Version, decide,
    key_values, overwritten,
};
use crate::codec::kept::ReplicaRecord;
use crate::journal::entry::Entry;
use crate::journal::error::engine;
use crate::journal::tables::{FETCHED, entity_bytes};
use crate::journal::{Work, parked};

/// So many pages are taken without waiting for the disk, at most, one after another: the space that each frees is
/// free for others only after the next that is waited for.
const DEFERRED_MAX: u32 = 16;

/// What taking rows came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Entities of which something newer is known now.
    pub applied: Vec<EntityKey>,
    /// How many rows were not newer than what was known.
    pub stale: u64,
    /// Entities on which what is unsent gave way, or was reduced.
    pub overridden: Vec<EntityKey>,
    /// Entities with a conflict that was opened.
    pub conflicting: Vec<EntityKey>,
    /// Nothing was taken: everything has to be fetched anew, and will be asked for.
    pub starts_over: bool,
}

/// What is known now of an entity at the authority.
struct Told {
    base: Base,
    stamps: Stamps,
    /// Whether this replica wrote it.
    is_own: bool,
}

impl Told {
    fn of(row: FullRow, own: ReplicaId) -> Self {
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

impl Replica {
    /// Takes a page of changes, all of it or nothing.
    ///
    /// # Errors
    /// A page while a bunch is open, of another generation, or with cursors that go back; otherwise what the
    /// journal says.
    pub fn take_page(&self, page: &Page) -> Result<Applied, Error> {
        let applied = self.incoming(|taking, work, view| {
            let mut record = record_in(work.txn)?.unwrap_or_default();
            let generation = page.generation.0.into_bytes();
            if record.generation.is_some_and(|known| known != generation) {
                return Err(wrong("it is of another generation"));
            }
            (taking.fetches_all, taking.is_restored) = (record.is_fetching_all, record.is_restored);
            record.generation = Some(generation);
            if !record.is_fetching_all && may_have_missed(work, view, page)? {
                // What was learnt by an answer, before the collection was read, may be gone without a trace.
                anew(work, record, Some(page.generation))?;
                return Ok(Applied { starts_over: true, ..Applied::default() });
            }
            if record.is_fetching_all {
                let mut fetched = work.txn.open_table(FETCHED).map_err(engine)?;
                for row in &page.rows {
                    fetched.insert(entity_bytes(&row.key).as_slice(), [].as_slice()).map_err(engine)?;
                }
            }
            put_record(work.txn, &record)?;
            put_cursors(work.txn, page)?;
            work.has_written = true;
            // What a crash takes with it is fetched again: the cursors are lost with the rows.
            work.is_deferred =
                page.has_more && !self.deferred.fetch_add(1, Ordering::Relaxed).is_multiple_of(DEFERRED_MAX);
            let told = page.rows.iter().map(|row| (row.key.clone(), Told::of(row.clone(), taking.own)));
            let mut applied = taking.take(work, view, told.collect())?;
            if !page.has_more {
                work.state.is_complete = true;
                view.complete();
                if taking.fetches_all {
                    taking.forget_the_rest(work, view, &mut applied)?;
                    record = record_in(work.txn)?.unwrap_or_default();
                    (record.is_fetching_all, record.is_restored) = (false, false);
                    put_record(work.txn, &record)?;
                }
                // What the triggers up to here hint at is known now.
                if page.triggers_until.0 > work.state.cursor {
                    work.heard_until(page.triggers_until)?;
                }
            }
            Ok(applied)
        })?;
        if !page.has_more && !applied.starts_over {
            self.carry_decisions()?;
        }
        Ok(applied)
    }

    /// Takes rows that were read because of triggers, and what the triggers say themselves; what was asked for
    /// and is not among the rows is gone.
    ///
    /// # Errors
    /// Rows while a bunch is open; otherwise what the journal says.
    pub fn take_reads(&self, asked: &[(EntityKey, Epoch)], rows: &[FullRow]) -> Result<Applied, Error> {
        self.incoming(|taking, work, view| {
            let read: BTreeSet<&EntityKey> = rows.iter().map(|row| &row.key).collect();
            let gone = |epoch| Told {
                base: Base::Dead(Held { epoch: Some(epoch), state: Knowledge::Nothing }),
                stamps: Stamps::default(),
                is_own: false,
            };
            let mut told: Vec<(EntityKey, Told)> =
                rows.iter().map(|row| (row.key.clone(), Told::of(row.clone(), taking.own))).collect();
            let missing = asked.iter().filter(|(key, _)| !read.contains(key));
            told.extend(missing.map(|(key, epoch)| (key.clone(), gone(*epoch))));
            let applied = taking.take(work, view, told)?;
            work.clear_heard(&|key| Ok(view.base(key)?.0.epoch()))?;
            Ok(applied)
        })
    }

    /// The latest epochs that the triggers heard so far hint at.
    ///
    /// # Errors
    /// What the journal says.
    pub(crate) fn hinted(&self, keys: &[EntityKey]) -> Result<Vec<(EntityKey, Epoch)>, Error> {
        let wanted: BTreeSet<&EntityKey> = keys.iter().collect();
        self.read(|snapshot, _| {
            let mut latest: BTreeMap<EntityKey, Epoch> = BTreeMap::new();
            for trigger in crate::journal::inbox::triggers(snapshot)? {
                if wanted.contains(&trigger.key) {
                    let epoch = latest.entry(trigger.key).or_default();
                    *epoch = (*epoch).max(trigger.epoch);
                }
            }
            Ok(latest.into_iter().collect())
        })
    }

    /// Begins to fetch everything anew, from a generation of the authority's data; what is unsent stays, and what
    /// was known stays until it is fetched or found to be gone.
    ///
    /// # Errors
    /// What the journal says.
    pub fn begin_anew(&self, generation: Option<Generation>) -> Result<(), Error> {
        self.maintain(|work, view| {
            if sabotaged!(start_over_drops_pending) {
                work.overrides.extend(view.unsent()?.into_iter().map(|key| (key, None)));
            }
            let record = record_in(work.txn)?.unwrap_or_default();
            anew(work, record, generation)
        })
    }

    /// Gives the open bunch up: it is known that the authority never took it under this replica's name. What is in
    /// it is pending again; under a new name, if one is given.
    ///
    /// # Errors
    /// What the journal says.
    pub fn take_back_bunch(&self, new_name: Option<ReplicaId>) -> Result<(), Error> {
        use crate::codec::frame::FrameKind;
        use crate::journal::tables::{IDENTITY_KEY, META, put_record};
        self.maintain(|work, _| {
            work.unseal()?;
            if let Some(name) = new_name {
                let mut identity = work.snapshot.identity()?;
                identity.replica = name.0.into_bytes();
                put_record(work.txn, META, FrameKind::Identity, IDENTITY_KEY, &identity)?;
                work.has_written = true;
            }
            Ok(())
        })?;
        if let Some(name) = new_name {
            *self.journal.inner.replica.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = name;
        }
        Ok(())
    }

    fn incoming<T>(
        &self,
        body: impl Fn(&mut Taking, &mut Work<'_>, &mut View<'_, Tables<'_>>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let (own, now) = (self.id(), (self.journal.inner.options.clock)());
        self.maintain(|work, view| {
            if work.state.open.is_some() {
                return Err(wrong("a bunch is open, whose answer comes first"));
            }
            body(&mut Taking::of(own, now), work, view)
        })
    }
}

fn wrong(why: &str) -> Error {
    Error::WrongAnswer { why: why.to_owned() }
}

/// Begins to fetch everything anew.
fn anew(work: &mut Work<'_>, mut record: ReplicaRecord, generation: Option<Generation>) -> Result<(), Error> {
    let generation_bytes = generation.map(|generation| generation.0.into_bytes());
    record.is_restored |= record.generation.is_some() && record.generation != generation_bytes;
    record.is_fetching_all = true;
    record.generation = generation_bytes;
    put_record(work.txn, &record)?;
    forget_cursors(work.txn)?;
    work.txn.open_table(FETCHED).map_err(engine)?.retain(|_, _| false).map_err(engine)?;
    work.heard_until(Index(0))?;
    work.has_written = true;
    Ok(())
}

/// Whether something that is known here may have been deleted and forgotten below the floor of a collection that is
/// read for the first time.
fn may_have_missed(work: &Work<'_>, view: &View<'_, Tables<'_>>, page: &Page) -> Result<bool, Error> {
    for (collection, floor) in &page.floors {
        let place = collection.as_str().as_bytes();
        if floor.0 == 0 || record_of_cursor(work.txn, place)?.is_some() {
            continue;
        }
        for key in view.keys(Some(collection))? {
            if view.base(&key)?.0.epoch().is_some_and(|epoch| epoch.0 > 0 && epoch < *floor) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

pub(super) struct Taking {
    own: ReplicaId,
    now: Millis,
    fetches_all: bool,
    /// What is fetched is of another life of the authority's data: epochs say nothing of which is later.
    is_restored: bool,
}

/// What is unsent of an entity.
struct Unsent {
    entry: Entry,
    is_parked: bool,
}

impl Taking {
    pub(super) fn of(own: ReplicaId, now: Millis) -> Self {
        Taking { own, now, fetches_all: false, is_restored: false }
    }

    fn take(
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
            let (held, _) = view.base(key)?;
            let epoch = told.base.epoch().unwrap_or_default();
            match held.epoch() {
                Some(held_epoch) if epoch < held_epoch && !takes_older => stale.push(key.clone()),
                Some(held_epoch) if epoch == held_epoch && held == told.base => {
                    // Nothing new but, perhaps, its stamps.
                    view.put_base(key, &held, &told.stamps)?;
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
    fn unsent<'k>(
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
            if let Some(entry) = entry {
                found.insert(key, Unsent { entry, is_parked: false });
            }
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
    fn leave(
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
    fn forget_the_rest(
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
        Ok(())
    }

    /// A delete gave way: what went only with it comes back too.
    pub(super) fn drop_unit(
        &self,
        work: &mut Work<'_>,
        view: &mut View<'_, Tables<'_>>,
        root: &EntityKey,
        applied: &mut Applied,
    ) -> Result<(), Error> {
        let groups: BTreeSet<Group> = self.groups_of(work, root)?;
        if groups.is_empty() {
            return Ok(());
        }
        let local = view.unsent()?;
        let mut sharing = self.unsent(work, view, local.iter())?;
        sharing.retain(|key, unsent| {
            key != root && unsent.entry.effect.groups.iter().any(|group| groups.contains(group))
        });
        // Who belongs to it: by references of what the authority holds, from the root on, both ways.
        let mut unit: BTreeSet<EntityKey> = BTreeSet::from([root.clone()]);
        loop {
            let mut more = Vec::new();
            for key in sharing.keys().filter(|key| !unit.contains(*key)) {
                let refers_in = self.parents(view, key)?.iter().any(|parent| unit.contains(parent));
                let mut is_referred = false;
                for member in &unit {
                    is_referred |= self.parents(view, member)?.contains(key);
                }
                if refers_in || is_referred {
                    more.push(key.clone());
                }
            }
            if more.is_empty() {
                break;
            }
            unit.extend(more);
        }
        let is_of_unit = |key: &EntityKey| unit.contains(key);
        for key in &unit {
            let Some(unsent) = sharing.get(key) else { continue };
            let (base, stamps) = view.base(key)?;
            let under = version_of(&base, stamps.clone());
            let effect = &unsent.entry.effect;
            let part = unit_part(effect, &under.existence, view.schema, key, &is_of_unit);
            let Some(UnitPart { left, loss }) = part else { continue };
            let moved = Rebase { left, losses: vec![loss], is_held: false };
            self.leave(work, unsent, &moved)?;
            if moved.left.is_none() {
                conflicts::remove(work.txn, key)?;
            }
            let left = moved.left.as_ref().map(|effect| (effect, self.own));
            view.lay(key, &base, &stamps, left, Cause::Conflict)?;
            applied.overridden.push(key.clone());
        }
        Ok(())
    }

    /// What waits by name for an entity that is given up, and all that waits for that, is given up with it.
    pub(super) fn drop_waiting(
        &self,
        work: &mut Work<'_>,
        view: &mut View<'_, Tables<'_>>,
        root: &EntityKey,
    ) -> Result<(), Error> {
        let waits = parked::waits(work.snapshot)?;
        let mut open = vec![root.clone()];
        let mut dropped = BTreeSet::new();
        while let Some(on) = open.pop() {
            let waiting = waits.iter().filter(|(_, whom)| **whom == on).map(|(who, _)| who.clone());
            open.extend(waiting.filter(|who| dropped.insert(who.clone())));
        }
        for (key, unsent) in self.unsent(work, view, dropped.iter())? {
            let (base, stamps) = view.base(&key)?;
            let losses = vec![lost_local(&unsent.entry.effect, Why::Resolved)];
            self.leave(work, &unsent, &Rebase { left: None, losses, is_held: false })?;
            view.lay(&key, &base, &stamps, None, Cause::Conflict)?;
        }
        Ok(())
    }

    /// The groups that an entity's unsent effect had before this transaction.
    fn groups_of(&self, work: &Work<'_>, key: &EntityKey) -> Result<BTreeSet<Group>, Error> {
        let pending = work.pending(std::slice::from_ref(key))?.remove(key);
        Ok(pending.into_iter().flat_map(|entry| entry.effect.groups).collect())
    }

    /// What an entity refers to at the authority.
    fn parents(&self, view: &View<'_, Tables<'_>>, key: &EntityKey) -> Result<Vec<EntityKey>, Error> {
        let (base, stamps) = view.base(key)?;
        let version = version_of(&base, stamps);
        let Some(state) = version.existence.state() else { return Ok(Vec::new()) };
        Ok(view.schema.targets(key, state).map(|(_, _, to)| to).collect())
    }

    /// What came refers to something that is deleted here and not there: the deleter had not seen it.
    fn new_children(
        &self,
        work: &mut Work<'_>,
        view: &mut View<'_, Tables<'_>>,
        newest: &BTreeMap<EntityKey, Told>,
        applied: &mut Applied,
    ) -> Result<(), Error> {
        if !view.has_local() {
            return Ok(());
        }
        for (key, told) in newest {
            let Some(state) = told.base.live_state() else { continue };
            let visible = view.visible(key)?;
            for (field, reference, parent) in view.schema.targets(key, state) {
                let mut here =
                    visible.existence.live().into_iter().flat_map(|here| view.schema.targets(key, here));
                if !here.any(|(by, _, to)| by == field && to == parent) {
                    // Deleted here as well, or let go: what becomes of that is decided already.
                    continue;
                }
                let (base, stamps) = view.base(&parent)?;
                let is_deleted_here = matches!(view.visible(&parent)?.existence, Existence::Dead(_));
                if base.live_state().is_none() || !is_deleted_here {
                    continue;
                }
                let unsent = self.unsent(work, view, std::iter::once(&parent))?;
                let Some(delete) = unsent.get(&parent).filter(|delete| !delete.is_parked) else { continue };
                let at = delete.entry.effect.shape.since.time();
                // A delete that would be refused is in conflict as one that would take it along is.
                let part =
                    reference.consequence(key, field).unwrap_or_else(|| Operation::delete(key.clone()));
                let part = Effect::of(Seq(1), &Operation { at, ..part });
                let child = version_of(&told.base, told.stamps.clone());
                let other = Other { version: &child, has_changed: &|_| true, was_absent: false };
                let policy = view.schema.policy(key.collection());
                match decide(policy, &part, self.own, &other) {
                    Decision::Agreed => {}
                    // It will be taken along, and nobody who deletes has seen it.
                    Decision::Local { .. } if reference.on_delete == OnDelete::Cascade => {
                        lost::keep(work.txn, key, &[Loss::overwritten(state)], self.now)?;
                    }
                    Decision::Local { .. } => {}
                    // Decided about already: it takes along what is seen now.
                    Decision::Held if conflicts::is_decided(work.txn, &parent)? => {}
                    Decision::Held => {
                        conflicts::open_concurrent(work.txn, &parent, &version_of(&base, stamps))?;
                        applied.conflicting.push(parent);
                    }
                    Decision::Other => {
                        let loss = lost_local(&delete.entry.effect, Why::Policy);
                        let moved = Rebase { left: None, losses: vec![loss], is_held: false };
                        self.leave(work, delete, &moved)?;
                        view.lay(&parent, &base, &stamps, None, Cause::Conflict)?;
                        applied.overridden.push(parent.clone());
                        self.drop_unit(work, view, &parent, applied)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Unique keys: what came may have what something here wants, or have given it up.
    fn clashes(
        &self,
        work: &mut Work<'_>,
        view: &mut View<'_, Tables<'_>>,
        newest: &BTreeMap<EntityKey, Told>,
        applied: &mut Applied,
    ) -> Result<(), Error> {
        if !view.has_local() {
            return Ok(());
        }
        let came = |holder: &EntityKey| newest.contains_key(holder);
        conflicts::end_clashes(work.txn, view, &came)?;
        conflicts::end_unneeded(work.txn, view)?;
        for (key, told) in newest {
            let Some(state) = told.base.live_state() else { continue };
            if view.local(key)?.is_none() {
                // It is there, with all its keys.
                conflicts::remove(work.txn, key)?;
            }
            for (number, fields, values) in view.schema.keys(key, state) {
                for other in view.holders(key.collection(), number, &values)? {
                    let (base, _) = view.base(&other)?;
                    let has_it_there = base.live_state().and_then(|state| key_values(state, fields));
                    if other == *key || has_it_there.as_ref() == Some(&values) {
                        continue;
                    }
                    // Parked is parked: it clashes once somebody sends it again.
                    let is_pending = self.unsent(work, view, std::iter::once(&other))?;
                    if is_pending.get(&other).is_some_and(|unsent| !unsent.is_parked) {
                        conflicts::open_clash(work.txn, &other, fields, &values, key.id())?;
                        view.changed.push((other.clone(), Cause::Conflict));
                        applied.conflicting.push(other);
                    }
                }
            }
        }
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
