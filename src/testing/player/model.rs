//! The program's side as it must be: for every entity what is known of it and the operations that wait, in
//! which phase, one by one. Nothing in here is folded.

use std::collections::{BTreeMap, BTreeSet};

use super::Played;
use super::known::{Known, Version};
use super::run::Run;
use crate::algebra::{
    Bunch, Change, EntityKey, Epoch, Group, Index, Operation, Outcome, Outcomes, Resulting, Row, Seq, State,
    Trigger,
};
use crate::testing::oracle::plain_fields;

/// One entity.
#[derive(Clone, Debug, Default)]
pub(super) struct Entity {
    pub(super) known: Known,
    pub(super) pending: Run,
    pub(super) sealed: Run,
    /// What the open bunch does to it: one operation, and one that completes it where a circle was cut.
    pub(super) sent: Vec<Change>,
    pub(super) parked: Run,
    /// What was parked before an operation brought it back.
    brought_back: BTreeSet<Seq>,
    pub(super) waits_for: Option<EntityKey>,
}

/// What an entity's pending operations came to when its base moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moved {
    Stays,
    Agreed,
    DeleteDropped,
}

/// Everything that a journal must remember.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    pub(super) entities: BTreeMap<EntityKey, Entity>,
    pub(super) appended: u64,
    pub(super) open: Option<Bunch>,
    pub(super) last_bunch: u64,
    pub(super) last_outcomes: Option<Outcomes>,
    pub(super) superseded: Vec<(EntityKey, Epoch)>,
    /// What was heard, by index.
    pub(super) inbox: BTreeMap<Index, Trigger>,
}

/// What settling must come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) parked: BTreeSet<EntityKey>,
    pub(super) mended: BTreeSet<EntityKey>,
    pub(super) waiting: BTreeSet<EntityKey>,
    pub(super) superseded: BTreeSet<EntityKey>,
    pub(super) agreed: BTreeSet<EntityKey>,
    pub(super) deletes_dropped: BTreeSet<EntityKey>,
}

impl Entity {
    /// What will be known once the open bunch is settled as it was sent.
    pub(super) fn expected(&self) -> Known {
        self.known.after(&self.sent, None)
    }

    /// What is to be sent of what is pending.
    pub(super) fn planned(&self) -> Option<Change> {
        self.pending.sent(&self.expected())
    }

    /// Takes one operation back. What it had brought back is parked again.
    pub(super) fn cancel(&mut self, seq: Seq) {
        self.pending.cancel(seq);
        if !self.pending.is_empty() && self.pending.seqs == self.brought_back {
            self.parked = self.pending.take();
        }
    }

    /// Notes what the authority holds now, under what is pending: DESIGN, section 8, `LastOperation`.
    fn move_to(&mut self, from: &Known, to: Known) -> Moved {
        let moved = if self.pending.is_empty() {
            Moved::Stays
        } else if self.pending.sent(from).is_none() {
            Moved::Agreed
        } else if !self.pending.ends_live() {
            match &to {
                // A delete on what is not known claims nothing, so there is nothing that it had not seen.
                Known::Live(_) if matches!(from, Known::Unknown) || from.is_same(&to) => Moved::Stays,
                Known::Live(_) => Moved::DeleteDropped,
                Known::Absent | Known::Dead(_) => Moved::Agreed,
                Known::Unknown => Moved::Stays,
            }
        } else {
            let mut rest = self.pending.clone();
            rest.forget_what_changed_nothing(from);
            match rest.sent(&to) {
                None => Moved::Agreed,
                Some(_) => {
                    self.pending = rest;
                    Moved::Stays
                }
            }
        };
        match moved {
            Moved::Stays => {}
            Moved::Agreed | Moved::DeleteDropped => drop(self.pending.take()),
        }
        self.known = to;
        moved
    }
}

impl Expected {
    pub(super) fn counted(&self) -> Played {
        let count = |keys: &BTreeSet<EntityKey>| keys.len() as u64;
        Played {
            parked: count(&self.parked),
            mended: count(&self.mended),
            superseded: count(&self.superseded),
            agreed: count(&self.agreed),
            deletes_dropped: count(&self.deletes_dropped),
            ..Played::default()
        }
    }

    fn note(&mut self, key: &EntityKey, moved: Moved) {
        match moved {
            Moved::Stays => {}
            Moved::Agreed => drop(self.agreed.insert(key.clone())),
            Moved::DeleteDropped => drop(self.deletes_dropped.insert(key.clone())),
        }
    }
}

impl Model {
    pub(super) fn entity(&mut self, key: &EntityKey) -> &mut Entity {
        self.entities.entry(key.clone()).or_default()
    }

    pub(super) fn append(&mut self, operations: &[Operation]) {
        for operation in operations {
            self.appended += 1;
            let seq = Seq(self.appended);
            let entity = self.entity(&operation.key);
            if entity.pending.is_empty() {
                // What waited is gone.
                entity.waits_for = None;
            }
            let parked = entity.parked.take();
            if !parked.is_empty() {
                entity.brought_back.clone_from(&parked.seqs);
            }
            entity.pending.put_before(parked);
            entity.pending.push(seq, operation);
        }
    }

    /// Makes what is parked pending again, and lets go what waits.
    pub(super) fn retry(&mut self, key: &EntityKey) {
        let entity = self.entity(key);
        entity.waits_for = None;
        entity.brought_back.clear();
        let parked = entity.parked.take();
        entity.pending.put_before(parked);
    }

    pub(super) fn discard(&mut self, key: &EntityKey) {
        let entity = self.entity(key);
        entity.waits_for = None;
        (entity.parked, entity.pending) = (Run::default(), Run::default());
    }

    pub(super) fn seal(&mut self, bunch: &Bunch) {
        for planned in &bunch.operations {
            let entity = self.entity(&planned.operation.key);
            if !planned.is_completion() {
                entity.sealed = entity.pending.take();
            }
            entity.sent.push(planned.operation.change.clone());
            entity.waits_for = None;
        }
        self.last_bunch = bunch.number.0;
        self.open = Some(bunch.clone());
    }

    /// What each outcome makes of its entity: DESIGN, sections 5 and 8.
    pub(super) fn settle(&mut self, bunch: &Bunch, outcomes: &Outcomes) -> Expected {
        let mut expected = Expected::default();
        for (key, outcome) in decided(bunch, &outcomes.outcomes) {
            let entity = self.entities.entry(key.clone()).or_default();
            let sealed = entity.sealed.take();
            let sent = std::mem::take(&mut entity.sent);
            let moved = match outcome {
                Outcome::Accepted { epoch, result, .. } => {
                    let assumed = entity.known.after(&sent, *epoch);
                    let told = match result {
                        Resulting::AsSent => assumed.clone(),
                        Resulting::Live(state, _) => live(state, *epoch),
                        Resulting::Gone(_) => Known::gone(epoch.or(match assumed {
                            Known::Live(Version { epoch, .. }) | Known::Dead(Version { epoch, .. }) => epoch,
                            Known::Unknown | Known::Absent => None,
                        })),
                    };
                    let to = latest(&entity.known, told);
                    // Of a version whose fields are not known, whatever is told of it is no change.
                    let is_guess = assumed.thing().is_none() || matches!(entity.known, Known::Unknown);
                    let from = if is_guess { to.clone() } else { assumed };
                    entity.move_to(&from, to)
                }
                Outcome::Superseded { epoch, state, .. } => {
                    self.superseded.push((key.clone(), *epoch));
                    expected.superseded.insert(key.clone());
                    let assumed = entity.known.after(&sent, None);
                    let told = Known::told(state.as_ref().map(plain_fields), *epoch);
                    let to = latest(&entity.known, told);
                    entity.move_to(&assumed, to)
                }
                Outcome::Refused { .. } | Outcome::Clash { .. } if entity.pending.is_empty() => {
                    expected.parked.insert(key.clone());
                    entity.parked = sealed;
                    Moved::Stays
                }
                Outcome::Refused { .. } | Outcome::Clash { .. } => {
                    expected.mended.insert(key.clone());
                    entity.pending.put_before(sealed);
                    Moved::Stays
                }
                Outcome::Waits { on } => {
                    expected.waiting.insert(key.clone());
                    entity.pending.put_before(sealed);
                    entity.waits_for = Some(on.clone());
                    Moved::Stays
                }
                Outcome::Retry => {
                    entity.pending.put_before(sealed);
                    Moved::Stays
                }
            };
            expected.note(key, moved);
        }
        self.open = None;
        self.last_outcomes = Some(outcomes.clone());
        expected
    }

    /// The entities of the open bunch.
    pub(super) fn is_open(&self, key: &EntityKey) -> bool {
        self.entities.get(key).is_some_and(|entity| !entity.sent.is_empty())
    }

    /// Rows that were read, or told by triggers: each counts if it is newer than what is held.
    pub(super) fn integrate(&mut self, rows: &[Row]) -> (BTreeSet<EntityKey>, Expected) {
        let (mut applied, mut expected) = (BTreeMap::new(), Expected::default());
        for row in rows.iter().filter(|row| !self.is_open(&row.key)) {
            let held: Option<Epoch> = match applied.get(&row.key) {
                Some(newer) => Known::epoch(newer),
                None => self.entities.get(&row.key).and_then(|entity| entity.known.epoch()),
            };
            let epoch = row.epoch.unwrap_or_default();
            if held.is_none_or(|held| held < epoch) {
                let fields = row.state.as_ref().map(plain_fields);
                applied.insert(row.key.clone(), Known::told(fields, epoch));
            }
        }
        for (key, to) in &applied {
            let entity = self.entity(key);
            let moved = entity.move_to(&entity.known.clone(), to.clone());
            expected.note(key, moved);
        }
        (applied.into_keys().collect(), expected)
    }

    /// Who is held: whoever waits for, or shares a group with, what is parked or held.
    pub(super) fn held(&self) -> BTreeSet<EntityKey> {
        let stands = |entity: &Entity| !entity.parked.is_empty();
        let mut reached: BTreeSet<&EntityKey> =
            self.entities.iter().filter(|(_, entity)| stands(entity)).map(|(key, _)| key).collect();
        loop {
            let groups: BTreeSet<Group> = reached.iter().flat_map(|key| self.groups_held_by(key)).collect();
            let more: Vec<&EntityKey> = self
                .entities
                .iter()
                .filter(|(key, entity)| !entity.pending.is_empty() && !reached.contains(key))
                .filter(|(_, entity)| {
                    entity.waits_for.as_ref().is_some_and(|on| reached.contains(on))
                        || !groups.is_disjoint(&entity.pending.groups())
                })
                .map(|(key, _)| key)
                .collect();
            if more.is_empty() {
                break;
            }
            reached.extend(more);
        }
        let is_held = |key: &&EntityKey| self.entities.get(*key).is_some_and(|entity| !stands(entity));
        reached.into_iter().filter(is_held).cloned().collect()
    }

    /// The groups of what stands or is held; of what is parked only if it would change anything.
    fn groups_held_by(&self, key: &EntityKey) -> BTreeSet<Group> {
        let Some(entity) = self.entities.get(key) else { return BTreeSet::new() };
        match entity.parked.sent(&entity.expected()) {
            Some(_) => entity.parked.groups(),
            None if entity.parked.is_empty() => entity.pending.groups(),
            None => BTreeSet::new(),
        }
    }
}

/// One outcome an entity: of an operation and its completion the first that is not `accepted`, or the last.
fn decided<'a>(bunch: &'a Bunch, outcomes: &'a [Outcome]) -> Vec<(&'a EntityKey, &'a Outcome)> {
    let mut decided: Vec<(&EntityKey, &Outcome)> = Vec::new();
    for (planned, outcome) in bunch.operations.iter().zip(outcomes) {
        let key = &planned.operation.key;
        match decided.iter_mut().find(|(decided, _)| *decided == key) {
            None => decided.push((key, outcome)),
            Some((_, first)) if matches!(first, Outcome::Accepted { .. }) => *first = outcome,
            Some(_) => {}
        }
    }
    decided
}

fn live(state: &State, epoch: Option<Epoch>) -> Known {
    Known::told(Some(plain_fields(state)), epoch.unwrap_or_default())
}

/// Of what is held and what is told, what the authority made later.
fn latest(held: &Known, told: Known) -> Known {
    match (held.epoch(), told.epoch()) {
        (Some(held_epoch), Some(told_epoch)) if held_epoch > told_epoch => held.clone(),
        _ => told,
    }
}
