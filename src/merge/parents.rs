//! References in the joint state: they follow what lost a clash earlier, and nothing that lives is left without what
//! it refers to.
//!
//! | a live entity refers to | |
//! |---|---|
//! | what lost a clash and has an heir | it refers to the heir |
//! | what is deleted, by `cascade` or `restrict` | that returns with its last state: whoever deleted it had not seen this |
//! | what is deleted, by `set_null` | the reference is dropped |
//!
//! A reference that is as in the destination, to what is as there, is not looked at: it is whole, or it is an open matter
//! between the destination and its authority.

use std::collections::{BTreeMap, BTreeSet};

use super::board::{Board, Files, Why};
use super::joint::{Derived, Joint};
use crate::algebra::{EntityKey, Existence, OnDelete, Stamp, State, Version, set_each};

impl<F: Files> Board<'_, F> {
    /// Makes the references of all that differs whole.
    pub(super) fn mend_references(&mut self) -> Result<(), F::Error> {
        let all: Vec<EntityKey> = self.slots.keys().cloned().collect();
        for key in &all {
            self.break_circle(key)?;
        }
        let mut open: Vec<EntityKey> = self.slots.keys().cloned().collect();
        let mut refers_to_dead = BTreeSet::new();
        while let Some(key) = open.pop() {
            for key in self.with_references(&key)? {
                open.extend(self.bring_back(&key, &mut refers_to_dead)?);
            }
        }
        // Only now is it known what stays deleted.
        for key in refers_to_dead {
            self.drop_dead(&key)?;
        }
        Ok(())
    }

    /// Whose references are to be looked at for an entity: its own, or those of what refers to it, if it is deleted.
    fn with_references(&self, key: &EntityKey) -> Result<BTreeSet<EntityKey>, F::Error> {
        if self.version(key)?.existence.is_live() {
            return Ok(BTreeSet::from([key.clone()]));
        }
        Ok(self.children(key)?.into_iter().map(|(child, ..)| child).collect())
    }

    /// What lives and refers to an entity, by which field, and what a delete of that does to it.
    pub(super) fn children(&self, of: &EntityKey) -> Result<Vec<(EntityKey, String, OnDelete)>, F::Error> {
        let mut found = Vec::new();
        for (from, field, reference) in self.schema.referrers(of.collection()) {
            for child in self.referring(of, from, field)? {
                found.push((child, field.to_owned(), reference.on_delete));
            }
        }
        Ok(found)
    }

    /// Lets the references of one entity follow heirs, and brings back what it needs; gives what returned for it, and notes
    /// who refers to what need not return.
    fn bring_back(
        &mut self,
        key: &EntityKey,
        refers_to_dead: &mut BTreeSet<EntityKey>,
    ) -> Result<Vec<EntityKey>, F::Error> {
        let version = self.version(key)?;
        let latest = version.stamps.latest();
        let mut returned = Vec::new();
        let targets = version.existence.live().into_iter().flat_map(|state| self.schema.targets(key, state));
        let news = targets.filter(|(field, _, to)| self.slots.contains_key(to) || !self.referred(key, field));
        let targets: Vec<_> =
            news.map(|(field, reference, to)| (field.to_owned(), reference.on_delete, to)).collect();
        for (field, on_delete, target) in targets {
            let to = self.living_heir(&target)?;
            if to != target {
                self.redirect(key, &field, &target, &to)?;
            }
            let last = match &self.version(&to)?.existence {
                Existence::Dead(last) if on_delete != OnDelete::SetNull => last.clone(),
                Existence::Dead(_) => {
                    refers_to_dead.insert(key.clone());
                    continue;
                }
                Existence::Absent | Existence::Live(_) => continue,
            };
            self.bring(&to, last, latest, key)?;
            returned.push(to);
        }
        Ok(returned)
    }

    /// Brings back what is deleted, as it was last, for something else.
    fn bring(
        &mut self,
        key: &EntityKey,
        last: State,
        like: Option<Stamp>,
        child: &EntityKey,
    ) -> Result<(), F::Error> {
        let seen = Joint::of(&*self.version(key)?).seen;
        self.put(key, |slot| {
            slot.returned_for_children = child != key;
            let had_returned = slot.was.version.existence.is_live() && slot.was.derived.returned.is_some();
            let like = if had_returned { slot.was.derived.returned } else { like };
            slot.version.existence = Existence::Live(last);
            slot.version.stamps.turned = like;
            slot.seen = seen;
            slot.derived.returned = like.filter(|_| !sabotaged!(returned_for_good));
            if had_returned {
                slot.why.clear();
            } else {
                slot.why.push(Why::Returned { child: child.clone() });
            }
        })
    }

    /// Where several files decided about the same entities the other way round, so that each is deleted and a part of the
    /// next one, one lives all the same: the one that was changed last.
    fn break_circle(&mut self, key: &EntityKey) -> Result<(), F::Error> {
        let mut circle: BTreeMap<EntityKey, (Option<Stamp>, Option<Stamp>, State)> = BTreeMap::new();
        let mut next = key.clone();
        loop {
            let Version { existence: Existence::Dead(last), stamps } = &*self.version(&next)? else {
                return Ok(());
            };
            let changed = stamps.fields.iter().map(|(_, stamp)| *stamp).chain(stamps.created).max();
            circle.insert(next.clone(), (changed, stamps.latest(), last.clone()));
            match self.files.heir(&next)? {
                Some(heir) if heir == *key => break,
                Some(heir) if !circle.contains_key(&heir) => next = heir,
                Some(_) | None => return Ok(()),
            }
        }
        let survivor = circle.into_iter().max_by_key(|(key, (changed, ..))| (*changed, key.clone()));
        survivor.map_or(Ok(()), |(key, (_, latest, last))| self.bring(&key, last, latest, &key))
    }

    /// What returned for something that is gone by now goes again, and references to it are dropped.
    pub(super) fn let_go_again(&mut self) -> Result<(), F::Error> {
        let returned: Vec<EntityKey> = (self.slots.iter())
            .filter(|(_, slot)| slot.returned_for_children)
            .map(|(key, _)| key.clone())
            .collect();
        let mut open = returned;
        while let Some(key) = open.pop() {
            let version = self.version(&key)?;
            let Existence::Live(state) = &version.existence else { continue };
            if self.is_needed(&key)? {
                continue;
            }
            open.extend(
                self.schema
                    .targets(&key, state)
                    .map(|(.., to)| to)
                    .filter(|to| self.slots.get(to).is_some_and(|slot| slot.returned_for_children)),
            );
            let last = self.underived(&key)?;
            self.put(&key, |slot| {
                slot.version.existence =
                    Existence::Dead(last.existence.state().cloned().unwrap_or_else(State::empty));
                slot.version.stamps = last.stamps;
                slot.version.stamps.turned = slot.seen.take().and_then(|seen| seen.at);
                slot.derived = Derived::default();
                slot.why.retain(|why| !matches!(why, Why::Returned { .. }));
            })?;
            for (child, ..) in self.children(&key)? {
                self.drop_dead(&child)?;
            }
        }
        Ok(())
    }

    /// What won a clash does not go with those for which it returned.
    pub(super) fn keep_for_good(&mut self, key: &EntityKey) -> Result<(), F::Error> {
        if self.slots.get(key).is_none_or(|slot| slot.derived.returned.is_none()) {
            return Ok(());
        }
        let editor = self.editor.0;
        self.put(key, |slot| {
            let deleted = slot.seen.as_ref().and_then(|seen| seen.at);
            let after = deleted.map(|at| Stamp { at: at.at.next(), replica: Some(editor) });
            slot.version.stamps.turned = slot.version.stamps.turned.max(after);
            slot.derived.returned = None;
            slot.returned_for_children = false;
        })
    }

    /// Whether something that lives could not do without it.
    fn is_needed(&self, key: &EntityKey) -> Result<bool, F::Error> {
        for (from, field, reference) in self.schema.referrers(key.collection()) {
            let children = self.referring(key, from, field)?;
            if reference.on_delete != OnDelete::SetNull && children.iter().any(|child| child != key) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Drops those references of an entity that lead to what is deleted.
    fn drop_dead(&mut self, key: &EntityKey) -> Result<(), F::Error> {
        let version = self.version(key)?;
        let mut dead = Vec::new();
        let targets = version.existence.live().into_iter().flat_map(|state| self.schema.targets(key, state));
        for (field, _, to) in targets {
            if matches!(self.version(&to)?.existence, Existence::Dead(_)) {
                dead.push((field.to_owned(), to));
            }
        }
        for (field, to) in dead {
            self.drop_reference(key, &field, &to)?;
        }
        Ok(())
    }

    /// Where a reference to an entity leads: on to the heirs of what lost clashes.
    fn living_heir(&self, target: &EntityKey) -> Result<EntityKey, F::Error> {
        let mut to = target.clone();
        let mut seen = BTreeSet::new();
        while !self.version(&to)?.existence.is_live()
            && let Some(heir) = self.files.heir(&to)?.filter(|heir| seen.insert(heir.clone()))
        {
            to = heir;
        }
        Ok(to)
    }

    /// Lets a reference lead elsewhere; no time passes by that.
    pub(super) fn redirect(
        &mut self,
        key: &EntityKey,
        field: &str,
        from: &EntityKey,
        to: &EntityKey,
    ) -> Result<(), F::Error> {
        let [was, now] = [from, to].map(|key| format!("\"{}\"", key.id()));
        let mut version = self.version(key)?.into_owned();
        version.set(field, &now)?;
        let why = Why::Redirected { field: field.to_owned(), from: from.clone(), to: to.clone() };
        self.put(key, |slot| {
            slot.version = version;
            let redirected = &mut slot.derived.redirected;
            match redirected.iter_mut().find(|(name, ..)| name == field) {
                Some((.., to)) => *to = now,
                None => redirected.push((field.to_owned(), was, now)),
            }
            if !slot.was.derived.redirected.iter().any(|one| redirected.contains(one)) {
                slot.why.push(why);
            }
        })
    }

    /// Drops a reference to what was deleted; no time passes by that.
    pub(super) fn drop_reference(
        &mut self,
        key: &EntityKey,
        field: &str,
        to: &EntityKey,
    ) -> Result<(), F::Error> {
        let mut version = self.version(key)?.into_owned();
        version.set(field, "null")?;
        let stamp = version.stamps.of(field);
        let why = Why::Dropped { field: field.to_owned(), to: to.clone() };
        self.put(key, |slot| {
            slot.version = version;
            if let Some(stamp) = stamp.filter(|stamp| Some(*stamp) != slot.version.stamps.created) {
                set_each(&mut slot.version.stamps.fields, [(field.to_owned(), stamp)]);
            }
            slot.derived.dropped.push((field.to_owned(), format!("\"{}\"", to.id())));
            if !slot.was.derived.dropped.iter().any(|(name, _)| name == field) {
                slot.why.push(why);
            }
        })
    }
}
