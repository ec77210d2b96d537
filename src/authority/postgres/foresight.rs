//! Foresight: what the rules will ask about a bunch, so that it can be read in a few round trips.
//!
//! | of | is read |
//! |---|---|
//! | every operation | its entity |
//! | what will be live | what it refers to, who holds its unique keys |
//! | a parent that is gone | the same of it, as its child may bring it back: upwards |
//! | what is deleted | who refers to it; of those that go with it the same: downwards |
//!
//! It only ever saves time: whatever is asked beyond it is read then.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use foldhash::fast::RandomState;
use uuid::Uuid;

use super::held::Held;
use crate::algebra::{
    Change, CollectionName, EntityKey, Existence, OnDelete, Patch, Planned, Schema, State, Update,
};

/// What is to be read next.
#[derive(Clone, Debug, Default)]
pub(super) struct Wants {
    pub(super) entities: BTreeMap<CollectionName, BTreeSet<Uuid>>,
    /// Values by collection and fields.
    pub(super) holders: BTreeMap<(CollectionName, Vec<String>), BTreeSet<Vec<String>>>,
    /// Who refers to these.
    pub(super) referrers: BTreeMap<CollectionName, BTreeSet<Uuid>>,
}

impl Wants {
    pub(super) fn is_empty(&self) -> bool {
        self.entities.is_empty() && self.holders.is_empty() && self.referrers.is_empty()
    }

    pub(super) fn entity(&mut self, key: &EntityKey) {
        self.entities.entry(key.collection().clone()).or_default().insert(key.id());
    }
}

/// What was foreseen of a bunch so far.
pub(super) struct Foresight<'a> {
    schema: &'a Schema,
    /// What is made of what is not known yet.
    patches: Vec<(&'a EntityKey, &'a Patch)>,
    targets: Vec<EntityKey>,
    parents: Vec<EntityKey>,
    seen_targets: HashSet<EntityKey, RandomState>,
    seen_parents: HashSet<EntityKey, RandomState>,
    wants: Wants,
}

impl<'a> Foresight<'a> {
    /// What a bunch needs at first.
    pub(super) fn new(schema: &'a Schema, operations: &'a [Planned]) -> Self {
        let mut foresight = Foresight {
            schema,
            patches: Vec::new(),
            targets: Vec::new(),
            parents: Vec::new(),
            seen_targets: HashSet::default(),
            seen_parents: HashSet::default(),
            wants: Wants::default(),
        };
        let held = Held::default();
        for planned in operations {
            let key = &planned.operation.key;
            foresight.wants.entity(key);
            match &planned.operation.change {
                Change::Create(state) | Change::Update(Update::State(state)) => {
                    foresight.live(&held, key, state);
                }
                Change::Update(Update::Patch(patch)) => {
                    // As much as it says by itself.
                    foresight.live(&held, key, &State::empty().with(patch));
                    foresight.patches.push((key, patch));
                }
                Change::Delete => foresight.gone(key),
            }
        }
        foresight
    }

    /// What is needed next, once what was needed before is held; empty at the end.
    pub(super) fn next(&mut self, held: &Held) -> Wants {
        for (key, patch) in std::mem::take(&mut self.patches) {
            if let Some(state) = existence(held, key).and_then(Existence::state) {
                self.live(held, key, &state.with(patch));
            }
        }
        for target in std::mem::take(&mut self.targets) {
            if let Some(Existence::Dead(state)) = existence(held, &target) {
                self.live(held, &target, state);
            }
        }
        let schema = self.schema;
        for parent in std::mem::take(&mut self.parents) {
            for (from, field, reference) in schema.referrers(parent.collection()) {
                let referred = (parent.clone(), from.clone(), field.to_owned());
                for id in held.referrers.get(&referred).into_iter().flatten() {
                    let Ok(child) = EntityKey::new(from.clone(), *id) else { continue };
                    match reference.on_delete {
                        OnDelete::Cascade => self.gone(&child),
                        OnDelete::SetNull => {
                            if let Some(Existence::Live(state)) = existence(held, &child) {
                                self.live(held, &child, &state.with(&Patch::removing(field)));
                            }
                        }
                        OnDelete::Restrict => {}
                    }
                }
            }
        }
        self.wanted()
    }

    /// What was found to be needed.
    pub(super) fn wanted(&mut self) -> Wants {
        std::mem::take(&mut self.wants)
    }

    fn live(&mut self, held: &Held, key: &EntityKey, state: &State) {
        for (_, _, target) in self.schema.targets(key, state) {
            if self.seen_targets.insert(target.clone()) {
                if !held.entities.contains_key(&target) && !held.live_targets.contains(&target) {
                    self.wants.entity(&target);
                }
                self.targets.push(target);
            }
        }
        for (_, fields, values) in self.schema.keys(key, state) {
            let asked = (key.collection().clone(), fields.to_vec(), values);
            if !held.holders.contains_key(&asked) {
                let (collection, fields, values) = asked;
                self.wants.holders.entry((collection, fields)).or_default().insert(values);
            }
        }
    }

    fn gone(&mut self, key: &EntityKey) {
        let is_referred_to = self.schema.referrers(key.collection()).next().is_some();
        if is_referred_to && self.seen_parents.insert(key.clone()) {
            self.wants.referrers.entry(key.collection().clone()).or_default().insert(key.id());
            self.parents.push(key.clone());
        }
    }
}

fn existence<'h>(held: &'h Held, key: &EntityKey) -> Option<&'h Existence> {
    held.entities.get(key)?.stored.as_ref().map(|stored| &stored.version.existence)
}
