//! Local transactions: operations that become visible and durable together, checked at their end.
//!
//! | an operation | also does, in its group |
//! |---|---|
//! | a delete | deletes what refers to it by `cascade`, removes the field of what refers by `set_null` |
//! | a revival | revives what it refers to by `cascade` or `restrict`, drops what it refers to by `set_null` |

use std::collections::{BTreeMap, BTreeSet};

use redb::WriteTransaction;

use super::conflicts;
use super::constraints;
use super::error::Error;
use super::view::{Cause, View};
use super::{Replica, Tables, Within};
use crate::algebra::{
    Base, Change, Effect, EntityKey, Existence, Group, Millis, OnDelete, Operation, Patch, Policy, ReplicaId,
    Seq, State, Update, Version, joined, referred, set_each,
};
use crate::journal::append::LogWriter;
use crate::journal::tables::{CONFLICTS, WAITS, is_empty_in};
use crate::journal::{Appended, Durability, parked};

impl Replica {
    /// Carries operations out together: all of them are visible and durable when it returns, or none is.
    ///
    /// Deletes and revivals bring along what the schema says. An operation that changes nothing that is seen
    /// is not kept, unless it may change what is not known here, so fewer numbers may be given out than operations
    /// were given; none at all if none changes anything.
    ///
    /// # Errors
    /// A unique key that is taken at the end, a delete of what something still refers to by `restrict`, a reference
    /// newly written to what is deleted; otherwise what the journal says.
    pub fn commit(&self, operations: &[Operation], durability: Durability) -> Result<Appended, Error> {
        for operation in operations {
            operation.require_valid()?;
        }
        let all = |edit: &mut Edit<'_, '_, '_>| operations.iter().try_for_each(|one| edit.carry_out(one));
        self.commit_with(durability, all, |_, _, _| Ok(()))
    }

    /// Carries out what is said by the first, as [`Replica::commit`]; and the second in the same transaction, which is
    /// told what everything that was touched had been before.
    pub(super) fn commit_with(
        &self,
        durability: Durability,
        edits: impl FnOnce(&mut Edit<'_, '_, '_>) -> Result<(), Error>,
        and: impl FnOnce(&WriteTransaction, &mut View<'_, Tables<'_>>, &Touched) -> Result<(), Error>,
    ) -> Result<Appended, Error> {
        let now = (self.journal.inner.options.clock)();
        let own = self.journal.replica();
        self.append(durability, |within: Within<'_>, view| {
            let mut edit = Edit::new(view, own, now, within.first);
            edits(&mut edit)?;
            constraints::require(edit.view, &edit.touched)?;
            let Edit { out, touched, .. } = edit;
            // Before edits are looked at: they may end the conflict that this resolves.
            and(within.txn, view, &touched)?;
            look_at_what_waited(within.txn, view, &touched)?;
            let mut log = LogWriter::new(within.inner, within.txn, within.first);
            for operation in &out {
                log.push(operation, now)?;
            }
            Ok(log.finish()?)
        })
    }
}

/// What was touched may end conflicts, and let go of what it waited for.
pub(super) fn look_at_what_waited(
    txn: &WriteTransaction,
    view: &mut View<'_, Tables<'_>>,
    touched: &Touched,
) -> Result<(), Error> {
    let [is_peaceful, nobody_waits] = [is_empty_in(txn, CONFLICTS)?, is_empty_in(txn, WAITS)?];
    for key in touched.keys() {
        if !is_peaceful {
            conflicts::edited(txn, view, key)?;
        }
        if !nobody_waits {
            let_go(txn, view, key)?;
        }
    }
    Ok(())
}

/// What waits for an entity by name need not wait any more once it does not refer to it. Whether it shares a group
/// with it, or takes a key that it frees, is seen from the operations themselves.
fn let_go(txn: &WriteTransaction, view: &mut View<'_, Tables<'_>>, key: &EntityKey) -> Result<(), Error> {
    let Some(on) = parked::waits_for(txn, key)? else { return Ok(()) };
    let now = view.visible(key)?;
    let still_refers =
        now.existence.live().is_some_and(|state| view.schema.targets(key, state).any(|(_, _, to)| to == on));
    if !still_refers {
        parked::stop_waiting(txn, key)?;
        conflicts::end_unneeded(txn, view)?;
    }
    Ok(())
}

/// What entities were before a transaction.
pub(super) type Touched = BTreeMap<EntityKey, Version>;

/// A transaction while it is carried out.
pub(super) struct Edit<'v, 't, 's> {
    pub(super) view: &'v mut View<'s, Tables<'t>>,
    own: ReplicaId,
    now: Millis,
    first: u64,
    /// What goes into the journal.
    out: Vec<Operation>,
    /// What each entity was before the transaction.
    touched: Touched,
}

impl<'v, 't, 's> Edit<'v, 't, 's> {
    fn new(view: &'v mut View<'s, Tables<'t>>, own: ReplicaId, now: Millis, first: u64) -> Self {
        Edit { view, own, now, first, out: Vec::new(), touched: BTreeMap::new() }
    }

    pub(super) fn carry_out(&mut self, operation: &Operation) -> Result<(), Error> {
        let before = self.view.visible(&operation.key)?;
        match (&operation.change, &before.existence) {
            (Change::Delete, Existence::Live(_)) => self.delete(operation),
            (Change::Delete, Existence::Dead(_)) => Ok(()),
            (Change::Delete, Existence::Absent) => {
                if self.view.base(&operation.key)?.0 == Base::Unknown {
                    self.apply(operation.clone(), &before)?;
                }
                Ok(())
            }
            (Change::Create(_) | Change::Update(_), _) => self.write(operation),
        }
    }

    /// Takes into what is kept of an entity all that goes with it by now, in one group with it: what refers to it, where
    /// it is deleted; what it refers to and is deleted, where it is there.
    pub(super) fn stand_by(&mut self, key: &EntityKey) -> Result<(), Error> {
        let before = self.view.visible(key)?;
        self.touched.entry(key.clone()).or_insert_with(|| before.clone());
        let state = match &before.existence {
            Existence::Absent => return Ok(()),
            Existence::Dead(_) => return self.delete(&Operation::delete(key.clone())),
            Existence::Live(state) => state,
        };
        let dead = self.dead_parents(key, state, &before.existence)?;
        if dead.revived.is_empty() && dead.dropped.is_empty() {
            return Ok(());
        }
        let again = Operation::patch(key.clone(), dead.removal());
        let again = again.clone().in_group(self.group(&again));
        for parent in dead.revived {
            let revival = Operation::patch(parent, Patch::empty());
            self.write(&Operation { groups: again.groups.clone(), ..revival })?;
        }
        self.apply(again, &before)
    }

    /// Lays one operation on what is seen.
    fn apply(&mut self, mut operation: Operation, before: &Version) -> Result<(), Error> {
        let at = operation.at.unwrap_or(self.now);
        let latest = before.stamps.latest().map_or(Millis(0), |stamp| stamp.at.next());
        operation.at = Some(at.max(latest).min(Millis::MAX));
        let now = before.after(&Effect::of(Seq(1), &operation), self.own);
        self.view.show(&operation.key, before, &now, Cause::Local)?;
        self.touched.entry(operation.key.clone()).or_insert_with(|| before.clone());
        self.out.push(operation);
        Ok(())
    }

    /// Writes an entity, after the parents that it brings back: one by one, as their chain may be long.
    fn write(&mut self, operation: &Operation) -> Result<(), Error> {
        // References may go in a circle.
        let mut begun: BTreeSet<EntityKey> = BTreeSet::new();
        let mut open = vec![Writing::Begin(operation.clone())];
        while let Some(next) = open.pop() {
            let mut operation = match next {
                Writing::Begin(operation) if begun.insert(operation.key.clone()) => operation,
                Writing::Begin(_) => continue,
                Writing::Apply(operation, before) => {
                    self.apply(operation, &before)?;
                    continue;
                }
            };
            let before = self.view.visible(&operation.key)?;
            let after = before.existence.after(&operation.change);
            if after == before.existence && !self.may_change_unseen(&operation)? {
                continue;
            }
            let mut parents = Vec::new();
            if let Existence::Dead(last) = &before.existence {
                let dead = self.dead_parents(&operation.key, last, &after)?;
                if !dead.revived.is_empty() {
                    let group = self.group(&operation);
                    operation.groups = joined(&operation.groups, std::slice::from_ref(&group));
                    parents.extend(dead.revived.iter().map(|parent| {
                        let revival = Operation::patch(parent.clone(), Patch::empty());
                        Operation { at: operation.at, ..revival.in_group(group.clone()) }
                    }));
                }
                operation.change = self.revival(&operation, last, &dead.removal())?;
            }
            self.keep_stamps(&mut operation, &before)?;
            open.push(Writing::Apply(operation, before));
            open.extend(parents.into_iter().rev().map(Writing::Begin));
        }
        Ok(())
    }

    /// A field that keeps its value keeps its stamp, where stamps may decide. Under `Newest` a field is all that is
    /// decided at once, so what keeps its value is not written at all where it is known what there is.
    fn keep_stamps(&self, operation: &mut Operation, before: &Version) -> Result<(), Error> {
        let policy = self.view.schema.policy(operation.key.collection());
        let Some(state) =
            before.existence.state().filter(|_| matches!(policy, Policy::Newest | Policy::Manual))
        else {
            return Ok(());
        };
        let writes = match &operation.change {
            Change::Create(whole) | Change::Update(Update::State(whole)) => State::empty().changes_to(whole),
            Change::Update(Update::Patch(patch)) => patch.clone(),
            Change::Delete => return Ok(()),
        };
        if policy == Policy::Newest && before.existence.is_live() && self.is_seen(&operation.key)? {
            let changes = match &operation.change {
                Change::Create(whole) | Change::Update(Update::State(whole)) => state.changes_to(whole),
                Change::Update(Update::Patch(_)) | Change::Delete => writes.changing(state),
            };
            operation.stamps.retain(|(name, _)| changes.raw(name).is_some());
            operation.change = Change::Update(Update::Patch(changes));
            return Ok(());
        }
        let changes = writes.changing(state);
        let changed: BTreeSet<String> = changes.iter().map(|(name, _)| name).collect();
        let kept = writes.iter().filter(|(name, value)| *value != "null" && !changed.contains(name));
        let mut stamps: Vec<_> =
            kept.filter_map(|(name, _)| before.stamps.of(&name).map(|stamp| (name, stamp))).collect();
        // What the operation says itself counts.
        set_each(&mut stamps, std::mem::take(&mut operation.stamps));
        operation.stamps = stamps;
        Ok(())
    }

    /// Whether it is known here what the authority holds of an entity.
    fn is_seen(&self, key: &EntityKey) -> Result<bool, Error> {
        Ok(match self.view.base(key)?.0 {
            Base::Unknown => false,
            Base::Absent => true,
            Base::Live(held) | Base::Dead(held) => held.state.state().is_some(),
        })
    }

    /// Whether an operation that changes nothing that is seen may change something at the authority, of which it is not
    /// known here what it holds.
    fn may_change_unseen(&self, operation: &Operation) -> Result<bool, Error> {
        Ok(!self.is_seen(&operation.key)?
            && match &operation.change {
                // What it writes is seen because it was written here.
                Change::Update(Update::Patch(patch)) => patch.iter().any(|(_, value)| value == "null"),
                Change::Create(_) | Change::Update(Update::State(_)) => true,
                Change::Delete => false,
            })
    }

    /// A change of what is deleted, so that it brings back all that was seen here: the tombstone that the authority
    /// has, or will have, knows nothing of what was changed here and then deleted, or never sent at all.
    fn revival(&self, operation: &Operation, last: &State, dropped: &Patch) -> Result<Change, Error> {
        let base = self.view.base(&operation.key)?.0;
        // Made here, and gone before it was sent.
        let is_made_anew =
            matches!(base, Base::Unknown | Base::Absent) && self.is_only_remembered(&operation.key)?;
        Ok(match &operation.change {
            Change::Update(Update::Patch(patch)) if is_made_anew => {
                Change::Create(last.with(patch).with(dropped))
            }
            Change::Update(Update::State(state)) if is_made_anew => Change::Create(state.with(dropped)),
            Change::Update(Update::Patch(patch)) => {
                let whole = last.with(patch).with(dropped);
                let own = match base {
                    Base::Unknown | Base::Absent => State::empty().changes_to(&whole),
                    Base::Live(held) | Base::Dead(held) => {
                        held.state.state().map_or_else(Patch::empty, |state| state.changes_to(&whole))
                    }
                };
                Change::Update(Update::Patch(own.then(patch).then(dropped)))
            }
            Change::Update(Update::State(state)) => Change::Update(Update::State(state.with(dropped))),
            Change::Create(state) => Change::Create(state.with(dropped)),
            Change::Delete => Change::Delete,
        })
    }

    /// Whether nothing of an entity is unsent or on its way, but what it was is kept.
    fn is_only_remembered(&self, key: &EntityKey) -> Result<bool, Error> {
        Ok(self.view.local(key)?.is_some_and(|local| local.is_kept))
    }

    /// What a revived entity refers to, as it did before, that is deleted.
    fn dead_parents(&self, key: &EntityKey, last: &State, after: &Existence) -> Result<Parents, Error> {
        let mut parents = Parents::default();
        let (Existence::Live(state), Some(declared)) = (after, self.view.schema.collection(key.collection()))
        else {
            return Ok(parents);
        };
        for (field, reference) in declared.references() {
            let Ok(Some(to)) = referred(state, field, reference) else { continue };
            let is_dead = matches!(self.view.visible(&to)?.existence, Existence::Dead(_));
            if !is_dead || last.raw(field) != state.raw(field) {
                continue;
            }
            match reference.on_delete {
                OnDelete::Cascade | OnDelete::Restrict => parents.revived.push(to),
                OnDelete::SetNull => parents.dropped.push(field.to_owned()),
            }
        }
        Ok(parents)
    }

    /// Deletes an entity with all that goes with it: what refers goes before what it refers to.
    fn delete(&mut self, operation: &Operation) -> Result<(), Error> {
        let mut deleted = vec![operation.key.clone()];
        let mut seen: BTreeSet<EntityKey> = deleted.iter().cloned().collect();
        let mut loosened: Vec<(EntityKey, String)> = Vec::new();
        let mut place = 0;
        while let Some(parent) = deleted.get(place).cloned() {
            place += 1;
            for (from, field, reference) in self.view.schema.referrers(parent.collection()) {
                for child in self.view.children(&parent, from, field)? {
                    match reference.on_delete {
                        // What refers may itself go in this transaction: judged at its end.
                        OnDelete::Restrict => {}
                        OnDelete::Cascade if seen.insert(child.clone()) => deleted.push(child),
                        OnDelete::Cascade => {}
                        OnDelete::SetNull => loosened.push((child, field.to_owned())),
                    }
                }
            }
        }
        loosened.retain(|(child, _)| !seen.contains(child));
        let is_gone = !self.view.visible(&operation.key)?.existence.is_live();
        if is_gone && deleted.len() + loosened.len() == 1 {
            return Ok(());
        }
        let mut groups = operation.groups.clone();
        if deleted.len() + loosened.len() > 1 {
            groups = joined(&groups, &[self.group(operation)]);
        }
        for (child, field) in loosened {
            let before = self.view.visible(&child)?;
            let patch = Operation { at: operation.at, ..Operation::patch(child, Patch::removing(&field)) };
            self.apply(Operation { groups: groups.clone(), ..patch }, &before)?;
        }
        for key in deleted.into_iter().rev() {
            let before = self.view.visible(&key)?;
            let delete = Operation { at: operation.at, ..Operation::delete(key) };
            self.apply(Operation { groups: groups.clone(), ..delete }, &before)?;
        }
        Ok(())
    }

    /// The group of what goes together: the caller's, or one that no other transaction has.
    fn group(&self, operation: &Operation) -> Group {
        let own = || {
            let number = self.first + self.out.len() as u64;
            Group::new(&format!("unit {number} of {}", self.own)).expect("words and numbers are a name")
        };
        operation.groups.first().cloned().unwrap_or_else(own)
    }
}

/// What is left to do of a write.
enum Writing {
    /// To see what it brings back.
    Begin(Operation),
    /// To lay it on what was seen.
    Apply(Operation, Version),
}

#[derive(Default)]
struct Parents {
    revived: Vec<EntityKey>,
    dropped: Vec<String>,
}

impl Parents {
    /// The patch that removes the references that are dropped.
    fn removal(&self) -> Patch {
        self.dropped.iter().fold(Patch::empty(), |patch, field| patch.then(&Patch::removing(field)))
    }
}
