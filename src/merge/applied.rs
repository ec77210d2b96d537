//! What a decision does to the board: the loser goes, its children follow the winner or go as well, or one of the two
//! gets another key.

use super::board::{Files, Why};
use super::clashes::Pair;
use super::decide::{Deciding, Decision, Outcome, Restricted, key_of};
use super::joint::{Derived, Joint};
use super::losing::Loss;
use super::refusal::Refusal;
use super::resolution::Children;
use super::same::edited;
use crate::algebra::{EntityKey, Existence, OnDelete, Patch, Policy, Stamp, State};

impl<F: Files> Deciding<'_, '_, '_, F> {
    pub(super) fn apply(&mut self, outcome: Outcome<'_>) -> Result<(), F::Error> {
        let Outcome { winner, losers, edits, number } = outcome;
        if !losers.is_empty() {
            self.board.keep_for_good(&winner)?;
        }
        for (loser, pair, decision) in losers {
            if self.board.version(&loser)?.existence.is_live() {
                self.lose(&loser, &winner, &pair, decision, number)?;
            }
        }
        for (key, pair, to) in edits {
            self.modify(&key, pair, to, number)?;
        }
        Ok(())
    }

    /// Gives one of a clash another key.
    fn modify(&mut self, key: &EntityKey, pair: Pair, to: &Patch, number: usize) -> Result<(), F::Error> {
        let before = self.board.version(key)?;
        let joint = edited(&Joint::of(&before), to, self.board.editor);
        let after = joint.version(Policy::LastOperation)?;
        let (Some(had), Some(state)) = (before.existence.live(), after.existence.live()) else {
            // It lost another clash.
            self.refusals.insert(Refusal::Contradicted { pair });
            return Ok(());
        };
        let schema = self.board.schema;
        let mut wrong = None;
        if key_of(schema, key, number, had) == key_of(schema, key, number, state) {
            wrong = Some("it does not free the key".to_owned());
        }
        for (other, _, values) in schema.keys(key, state) {
            let holders = self.board.holding(key.collection(), other, &values)?;
            if let Some(holder) = holders.iter().find(|holder| *holder != key) {
                wrong = wrong.or_else(|| Some(format!("{holder} has the key that it would take")));
            }
        }
        for (field, _, to) in schema.targets(key, state) {
            if matches!(self.board.version(&to)?.existence, Existence::Dead(_)) {
                wrong = wrong.or_else(|| Some(format!("{field:?} would refer to {to}, which is deleted")));
            }
        }
        if let Some(why) = wrong {
            self.refusals.insert(Refusal::BadModify { pair, why });
            return Ok(());
        }
        self.board.put(key, |slot| {
            slot.version = after;
            slot.why.push(Why::Modified);
        })
    }

    /// Deletes the loser of a clash, and does with its children what was decided.
    fn lose(
        &mut self,
        loser: &EntityKey,
        winner: &EntityKey,
        pair: &Pair,
        decision: Decision,
        number: usize,
    ) -> Result<(), F::Error> {
        let heir = (decision.keep.children == Children::Both).then(|| winner.clone());
        let file = self.board.first(loser, number);
        self.bury(loser, pair, decision, file, Why::Lost { to: winner.clone() })?;
        let children = self.board.children(loser)?;
        if let Some(heir) = heir {
            for (child, field, _) in children {
                if sabotaged!(children_not_redirected) {
                    continue;
                }
                self.board.redirect(&child, &field, loser, &heir)?;
                self.ways.insert(child, Decision { is_listed: false, ..decision });
            }
            return self.board.put(loser, |slot| slot.heir = Some(heir));
        }
        self.board.put(loser, |slot| slot.is_alone = true)?;
        self.take_along(loser, children, pair, decision)
    }

    /// Deletes what refers to what goes, as the schema says.
    fn take_along(
        &mut self,
        root: &EntityKey,
        children: Vec<(EntityKey, String, OnDelete)>,
        pair: &Pair,
        decision: Decision,
    ) -> Result<(), F::Error> {
        let mut open: Vec<(EntityKey, EntityKey, String, OnDelete)> =
            children.into_iter().map(|(child, field, does)| (root.clone(), child, field, does)).collect();
        let mut let_go = Vec::new();
        while let Some((parent, child, field, does)) = open.pop() {
            match does {
                OnDelete::Restrict => {
                    self.restricted.push(Restricted { pair: pair.clone(), key: parent, by: child, field });
                }
                OnDelete::SetNull => let_go.push((parent, child, field)),
                OnDelete::Cascade if self.board.version(&child)?.existence.is_live() => {
                    self.bury(&child, pair, decision, 0, Why::Gone { with: parent })?;
                    self.gone.insert(child.clone());
                    let below = self.board.children(&child)?.into_iter();
                    open.extend(below.map(|(below, field, does)| (child.clone(), below, field, does)));
                }
                OnDelete::Cascade => {}
            }
        }
        // Only now is it known who stays: what goes keeps what it referred to.
        for (parent, child, field) in let_go {
            let version = self.board.version(&child)?;
            let Existence::Live(state) = &version.existence else { continue };
            let held = state.only(|name| name == field);
            let fields = State::empty().changes_to(&held);
            self.board.drop_reference(&child, &field, &parent)?;
            let loss = Loss { file: 0, fields, was_delete: false };
            self.board.put(&child, |slot| slot.losses.push(loss))?;
        }
        Ok(())
    }

    /// Leaves a tombstone of what goes, as of somebody who has seen all of it.
    fn bury(
        &mut self,
        key: &EntityKey,
        pair: &Pair,
        decision: Decision,
        file: usize,
        why: Why,
    ) -> Result<(), F::Error> {
        if decision.is_default && !sabotaged!(default_spares_nothing) && self.board.is_shared(key)? {
            let (pair, deletes) = (pair.clone(), key.clone());
            self.refusals.insert(Refusal::MustBeListed { pair, deletes });
        }
        let editor = self.board.editor.0;
        // What is deleted follows nobody and nothing.
        let state = self.board.underived(key)?.existence.state().cloned().unwrap_or_else(State::empty);
        self.board.put(key, |slot| {
            slot.derived = Derived::default();
            let fields = State::empty().changes_to(&state);
            let was_here = slot.was.version.existence.is_live();
            let file = if was_here { 0 } else { file.max(1) };
            slot.losses.push(Loss { file, fields, was_delete: false });
            let latest = slot.version.stamps.latest();
            let turned = latest.map(|last| Stamp { at: last.at, replica: Some(editor) });
            slot.version.stamps.turned = turned.max(slot.seen.as_ref().and_then(|seen| seen.at));
            slot.version.existence = Existence::Dead(state);
            slot.seen = None;
            slot.why.push(why);
        })
    }
}
