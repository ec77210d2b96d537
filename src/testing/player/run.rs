//! A run: the operations of one entity that wait together, kept one by one. What is to be sent of it is found
//! by replaying them, not by composing effects.

use std::collections::BTreeSet;

use super::known::Known;
use crate::algebra::{Change, Group, Operation, Patch, Seq, State, Update};
use crate::testing::oracle::{PlainFields, Thing, are_same, object};

/// Operations on one entity, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Run {
    /// The numbers of its operations.
    pub(super) seqs: BTreeSet<Seq>,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug)]
struct Piece {
    /// None in what is left of several once their base has moved.
    seq: Option<Seq>,
    change: Change,
    groups: BTreeSet<Group>,
}

impl Run {
    pub(super) fn push(&mut self, seq: Seq, operation: &Operation) {
        self.seqs.insert(seq);
        let groups = operation.groups.iter().cloned().collect();
        self.pieces.push(Piece { seq: Some(seq), change: operation.change.clone(), groups });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.seqs.is_empty()
    }

    pub(super) fn take(&mut self) -> Run {
        std::mem::take(self)
    }

    /// Puts older operations before these.
    pub(super) fn put_before(&mut self, older: Run) {
        let newer = std::mem::replace(self, older);
        self.seqs.extend(newer.seqs);
        self.pieces.extend(newer.pieces);
    }

    pub(super) fn groups(&self) -> BTreeSet<Group> {
        self.pieces.iter().flat_map(|piece| piece.groups.iter().cloned()).collect()
    }

    /// Takes one operation back.
    pub(super) fn cancel(&mut self, seq: Seq) {
        self.seqs.remove(&seq);
        self.pieces.retain(|piece| piece.seq != Some(seq));
        if self.seqs.is_empty() {
            self.pieces.clear();
        }
    }

    fn is_born(&self) -> bool {
        self.pieces.first().is_some_and(|piece| matches!(piece.change, Change::Create(_)))
    }

    /// Whether the entity is there after it.
    pub(super) fn ends_live(&self) -> bool {
        self.pieces.last().is_some_and(|piece| piece.change != Change::Delete)
    }

    fn replaces(&self) -> bool {
        self.pieces
            .iter()
            .any(|piece| matches!(piece.change, Change::Create(_) | Change::Update(Update::State(_))))
    }

    /// What it makes of an entity.
    pub(super) fn replayed_on(&self, thing: Thing) -> Thing {
        self.pieces.iter().fold(thing, |thing, piece| thing.after(&piece.change))
    }

    /// What its patches set the fields to, the last one of each.
    fn patched(&self) -> PlainFields {
        let mut fields = PlainFields::new();
        for piece in &self.pieces {
            if let Change::Update(Update::Patch(patch)) = &piece.change {
                fields.extend(object(patch.as_json()));
            }
        }
        fields
    }

    /// What has to be sent, given what is known: DESIGN's table, cell by cell.
    pub(super) fn sent(&self, known: &Known) -> Option<Change> {
        if self.is_empty() {
            return None;
        }
        let is_new = match known {
            Known::Unknown => self.is_born(),
            Known::Absent => true,
            Known::Live(_) | Known::Dead(_) => false,
        };
        if !self.ends_live() {
            let may_be_there = match known {
                Known::Unknown => !is_new,
                Known::Live(_) => true,
                Known::Absent | Known::Dead(_) => false,
            };
            return may_be_there.then_some(Change::Delete);
        }
        let whole = |thing: Thing| state(thing.live().unwrap_or(&PlainFields::new()));
        match (known, known.thing()) {
            _ if is_new => Some(Change::Create(whole(self.replayed_on(Thing::Absent)))),
            (Known::Dead(_), Some(thing)) => Some(Change::Create(whole(self.replayed_on(thing)))),
            (Known::Dead(_), None) if self.replaces() => {
                Some(Change::Create(whole(self.replayed_on(Thing::Absent))))
            }
            (Known::Live(_), Some(thing)) if self.replayed_on(thing.clone()).looks_like(&thing) => None,
            (_, thing) if self.replaces() => {
                Some(Change::Update(Update::State(whole(self.replayed_on(thing.unwrap_or_default())))))
            }
            (Known::Live(_), thing) => {
                let patch = self.changing(thing.as_ref());
                (!patch.is_empty()).then(|| Change::Update(Update::Patch(to_patch(&patch))))
            }
            (Known::Unknown | Known::Absent | Known::Dead(_), _) => {
                Some(Change::Update(Update::Patch(to_patch(&self.patched()))))
            }
        }
    }

    /// Of the patched fields those that are not so already.
    fn changing(&self, thing: Option<&Thing>) -> PlainFields {
        let mut fields = self.patched();
        if let Some(there) = thing.and_then(Thing::live) {
            fields.retain(|name, value| match there.get(name) {
                Some(there) => !are_same(there, value),
                None => !value.is_null(),
            });
        }
        fields
    }

    /// Forgets what was no change on the base it was made on, now that the base moves.
    pub(super) fn forget_what_changed_nothing(&mut self, from: &Known) {
        if !from.is_live() || self.replaces() || !self.ends_live() {
            return;
        }
        let Some(thing) = from.thing() else { return };
        let change = Change::Update(Update::Patch(to_patch(&self.changing(Some(&thing)))));
        self.pieces = vec![Piece { seq: None, change, groups: self.groups() }];
    }
}

fn state(fields: &PlainFields) -> State {
    State::from_serialize(fields).expect("fields of states are fields of a state")
}

fn to_patch(fields: &PlainFields) -> Patch {
    Patch::from_serialize(fields).expect("fields of patches are fields of a patch")
}
