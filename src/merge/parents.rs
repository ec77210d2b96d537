//! References in the joint state: they follow what lost a clash earlier, and nothing that lives is left without what
//! it refers to.
//!
//! | a live entity refers to | |
//! |---|---|
//! | what lost a clash and has an heir | it refers to the heir |
//! | what is deleted, by `cascade` or `restrict` | that returns with its last state: whoever deleted it had not seen this |
//! | what is deleted, by `set_null` | the reference is dropped |

use std::collections::BTreeSet;

use super::board::{Board, Files, Why};
use super::joint::time;
use crate::algebra::{EntityKey, Error, Existence, OnDelete, Patch, Stamp, State, Version, referred, set_of};

impl<F: Files> Board<'_, F> {
    /// Makes the references of all that differs whole.
    pub(super) fn mend_references(&mut self) -> Result<(), F::Error> {
        let mut open: Vec<EntityKey> = self.slots.keys().cloned().collect();
        while let Some(key) = open.pop() {
            if self.version(&key)?.existence.is_live() {
                open.extend(self.mend_of(&key)?);
            } else {
                for child in self.children(&key)? {
                    open.extend(self.mend_of(&child)?);
                }
            }
        }
        Ok(())
    }

    /// All that lives and refers to an entity.
    fn children(&self, of: &EntityKey) -> Result<BTreeSet<EntityKey>, F::Error> {
        let mut found = BTreeSet::new();
        for (from, field, _) in self.schema.referrers(of.collection()) {
            found.extend(self.referring(of, from, field)?);
        }
        Ok(found)
    }

    /// Makes the references of one entity whole; gives what returned for it.
    fn mend_of(&mut self, key: &EntityKey) -> Result<Vec<EntityKey>, F::Error> {
        let version = self.version(key)?;
        let Existence::Live(state) = &version.existence else { return Ok(Vec::new()) };
        let mut returned = Vec::new();
        let declared = self.schema.collection(key.collection());
        for (field, reference) in declared.into_iter().flat_map(|declared| declared.references()) {
            let Ok(Some(target)) = referred(state, field, reference) else { continue };
            let to = self.living_heir(&target)?;
            if to != target {
                self.redirect(key, field, &target, &to)?;
            }
            let parent = self.version(&to)?;
            let Existence::Dead(last) = &parent.existence else { continue };
            if reference.on_delete == OnDelete::SetNull {
                self.drop_reference(key, field, &to, parent.stamps.turned)?;
                continue;
            }
            let last = last.clone();
            let seen = Self::seen_of_dead(&parent);
            let like = version.stamps.latest();
            self.put(&to, |slot| {
                slot.version.existence = Existence::Live(last);
                slot.version.stamps.turned = like;
                slot.seen = seen;
                slot.why.push(Why::Returned { child: key.clone() });
            })?;
            returned.push(to);
        }
        Ok(returned)
    }

    /// Where a reference to an entity leads: on to the heirs of what lost clashes.
    fn living_heir(&self, target: &EntityKey) -> Result<EntityKey, F::Error> {
        let mut to = target.clone();
        let mut seen = BTreeSet::new();
        while !self.version(&to)?.existence.is_live() && seen.insert(to.clone()) {
            match self.heir(&to)? {
                Some(heir) if !seen.contains(&heir) => to = heir,
                Some(_) | None => break,
            }
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
        let value = format!("\"{}\"", to.id());
        let state = with_field(&self.version(key)?, field, &value)?;
        let why = Why::Redirected { field: field.to_owned(), from: from.clone(), to: to.clone() };
        self.put(key, |slot| {
            slot.version.existence = Existence::Live(state);
            slot.why.push(why);
        })
    }

    /// Drops a reference to what was deleted at a time.
    pub(super) fn drop_reference(
        &mut self,
        key: &EntityKey,
        field: &str,
        to: &EntityKey,
        at: Option<Stamp>,
    ) -> Result<(), F::Error> {
        let version = self.version(key)?;
        let state = with_field(&version, field, "null")?;
        let stamp =
            version.stamps.of(field).max(at.filter(|at| Some(at.at) > time(version.stamps.of(field))));
        let why = Why::Dropped { field: field.to_owned(), to: to.clone() };
        self.put(key, |slot| {
            slot.version.existence = Existence::Live(state);
            if let Some(stamp) = stamp {
                set_of(&mut slot.version.stamps.fields, field.to_owned(), stamp);
            }
            slot.why.push(why);
        })
    }
}

/// A live entity's state with another value in a field.
pub(super) fn with_field(version: &Version, field: &str, value: &str) -> Result<State, Error> {
    let state = version.existence.state().cloned().unwrap_or_else(State::empty);
    let patch = Patch::from_json(&format!("{{{}:{value}}}", serde_json::Value::from(field)))?;
    Ok(state.with(&patch))
}
