//! What came, and what has to do with it by references and unique keys: units of deletes, new children, clashes.

use std::collections::{BTreeMap, BTreeSet};

use super::Tables;
use super::conflicts;
use super::down::Applied;
use super::error::Error;
use super::lost::{self, Loss, Why};
use super::rebase::{Rebase, UnitPart, lost_local, unit_part};
use super::taking::{Taking, Told};
use super::view::{Cause, View, version_of};
use crate::algebra::{
    Decision, Effect, EntityKey, Existence, Group, OnDelete, Operation, Other, Seq, decide, key_values,
    live_key_values,
};
use crate::journal::{Work, parked};

impl Taking {
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
        sharing.retain(|_, unsent| unsent.entry.effect.groups.iter().any(|group| groups.contains(group)));
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
    pub(super) fn new_children(
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
                    // It will be taken along, and nobody who deletes has seen it.
                    Decision::Local { .. } if reference.on_delete == OnDelete::Cascade => {
                        lost::keep(work.txn, key, &[Loss::overwritten(state)], self.now)?;
                    }
                    Decision::Local { .. } | Decision::Agreed => {}
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
    pub(super) fn clashes(
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
            let visible = view.visible(key)?;
            for (number, fields, values) in view.schema.keys(key, state) {
                if live_key_values(&visible.existence, fields).as_ref() != Some(&values) {
                    // What is unsent here frees the key before anybody takes it.
                    continue;
                }
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
