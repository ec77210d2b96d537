//! Carrying decisions out: clash after clash, parents before children, until no key has two who live with it.
//!
//! What is decided about parents makes the clashes below them real: a child that refers to the winner from now on has
//! the key of one that always did. Such a clash goes the way of the parents, unless it is listed itself.

use std::collections::{BTreeMap, BTreeSet};

use super::board::{Board, Files, Why};
use super::clashes::{Clashes, Pair};
use super::joint::{Derived, Joint};
use super::losing::Loss;
use super::refusal::Refusal;
use super::resolution::{Children, How, Keep, Resolution, Resolutions, Side, With};
use super::same::edited;
use crate::algebra::{
    Collection, CollectionName, EntityKey, Existence, Millis, OnDelete, Patch, Policy, Schema, Stamp, State,
    key_values,
};

/// Decisions on their way into the joint state.
pub(super) struct Deciding<'b, 'f, 'r, F> {
    pub(super) board: &'b mut Board<'f, F>,
    resolutions: &'r Resolutions,
    /// What is listed, by whoever had the key later.
    listed: BTreeMap<&'r EntityKey, Vec<&'r Resolution>>,
    clashes: &'r Clashes,
    /// Whoever refers to a winner now, and how that was decided.
    ways: BTreeMap<EntityKey, Decision>,
    refusals: BTreeSet<Refusal>,
    /// What went with something else.
    gone: BTreeSet<EntityKey>,
    /// What refers by `restrict` to what goes.
    restricted: Vec<Restricted>,
}

/// What is decided about two.
#[derive(Clone, Copy)]
struct Decision {
    keep: Keep,
    is_default: bool,
    /// Whether it was listed itself, and not only its parents.
    is_listed: bool,
}

struct Restricted {
    pair: Pair,
    key: EntityKey,
    by: EntityKey,
    field: String,
}

/// Those who live with one key, whoever had it first before the others.
struct Class {
    members: Vec<EntityKey>,
    number: usize,
}

/// What is decided about a class.
struct Outcome<'r> {
    winner: EntityKey,
    losers: Vec<(EntityKey, Pair, Decision)>,
    edits: Vec<(EntityKey, Pair, &'r Patch)>,
    number: usize,
}

impl<'b, 'f: 'r, 'r, F: Files> Deciding<'b, 'f, 'r, F> {
    pub(super) fn new(board: &'b mut Board<'f, F>, clashes: &'r Clashes) -> Self {
        let resolutions = board.resolutions;
        let mut listed: BTreeMap<&EntityKey, Vec<&Resolution>> = BTreeMap::new();
        for one in resolutions.listed.iter().filter(|one| one.pair.source != one.pair.dest) {
            listed.entry(&one.pair.source).or_default().push(one);
        }
        Deciding {
            board,
            resolutions,
            listed,
            clashes,
            ways: BTreeMap::new(),
            refusals: BTreeSet::new(),
            gone: BTreeSet::new(),
            restricted: Vec::new(),
        }
    }

    /// Carries out what was decided, and gives what is wrong with that.
    pub(super) fn carry_out(mut self) -> Result<BTreeSet<Refusal>, F::Error> {
        self.look_at_the_list();
        let mut open: BTreeSet<EntityKey> = self.board.slots.keys().cloned().collect();
        loop {
            let classes = self.classes(&open)?;
            if classes.is_empty() {
                break;
            }
            let (classes, later) = parents_first(self.board.schema, classes);
            let mut outcomes = Vec::new();
            for class in &classes {
                outcomes.extend(self.outcome(class)?);
            }
            if outcomes.len() < classes.len() {
                // What is below depends on what nobody decided; the others are named as well.
                let open: BTreeSet<EntityKey> = classes.into_iter().flat_map(|class| class.members).collect();
                for class in later {
                    if !self.is_below(&class, &open)? {
                        self.outcome(&class)?;
                    }
                }
                break;
            }
            let losers: BTreeSet<EntityKey> = outcomes
                .iter()
                .flat_map(|outcome| outcome.losers.iter().map(|(key, ..)| key.clone()))
                .collect();
            let (mut settled, mut disputed): (Vec<Outcome<'_>>, Vec<Outcome<'_>>) =
                outcomes.into_iter().partition(|outcome| !losers.contains(&outcome.winner));
            if settled.is_empty() {
                // They beat each other in a circle. Where nobody said so, the first one counts.
                let is_default =
                    |outcome: &Outcome<'_>| outcome.losers.iter().all(|(.., one)| !one.is_listed);
                let Some(place) = disputed.iter().position(is_default) else {
                    let pairs = disputed.into_iter().flat_map(|outcome| outcome.losers);
                    self.refusals.extend(pairs.map(|(_, pair, _)| Refusal::Contradicted { pair }));
                    break;
                };
                settled.push(disputed.swap_remove(place));
            }
            let before: usize = self.refusals.len();
            for outcome in settled {
                self.apply(outcome)?;
            }
            if self.refusals.len() > before {
                break;
            }
            open = self.board.slots.keys().cloned().collect();
        }
        if self.refusals.is_empty() {
            self.look_at_the_end()?;
        }
        Ok(self.refusals)
    }

    /// What is wrong with the list as it stands.
    fn look_at_the_list(&mut self) {
        let mut named = BTreeSet::new();
        for resolution in &self.resolutions.listed {
            let pair = &resolution.pair;
            let is_self = pair.source == pair.dest
                && self.board.slots.get(&pair.source).is_some_and(|slot| slot.is_self_clash);
            if !is_self && !self.clashes.top.contains(pair) && !self.clashes.downstream.contains(pair) {
                self.refusals.insert(Refusal::NoClash { pair: pair.clone() });
            }
            if !named.insert(pair) {
                self.refusals.insert(Refusal::NamedTwice { pair: pair.clone() });
            }
        }
        if self.resolutions.default.is_none() {
            for (key, slot) in &self.board.slots {
                let pair = Pair { source: key.clone(), dest: key.clone() };
                if slot.is_self_clash && !named.contains(&pair) {
                    self.refusals.insert(Refusal::Undecided { pair });
                }
            }
        }
    }

    /// Who of these lives with a key that somebody else lives with, too.
    fn classes(&self, of: &BTreeSet<EntityKey>) -> Result<Vec<Class>, F::Error> {
        let mut found: BTreeMap<(CollectionName, usize, Vec<String>), Vec<EntityKey>> = BTreeMap::new();
        for key in of {
            let version = self.board.version(key)?;
            let Existence::Live(state) = &version.existence else { continue };
            for (number, fields, values) in self.board.schema.keys(key, state) {
                let is_old = self.board.had(key, fields, &values);
                let place = (key.collection().clone(), number, values);
                if is_old || found.contains_key(&place) {
                    continue;
                }
                let mut members = self.board.holding(key.collection(), number, &place.2)?;
                if members.len() > 1 {
                    members.sort_by_key(|member| (self.board.first(member, number), member.clone()));
                    found.insert(place, members);
                }
            }
        }
        Ok(found.into_iter().map(|((_, number, _), members)| Class { members, number }).collect())
    }

    /// Whether one of a class refers to one of these, by way of others perhaps.
    fn is_below(&self, class: &Class, these: &BTreeSet<EntityKey>) -> Result<bool, F::Error> {
        let mut open = class.members.clone();
        let mut seen = BTreeSet::new();
        while let Some(key) = open.pop() {
            if these.contains(&key) {
                return Ok(true);
            }
            let version = self.board.version(&key)?;
            if let Some(state) = version.existence.live().filter(|_| seen.insert(key.clone())) {
                open.extend(self.board.schema.targets(&key, state).map(|(.., to)| to));
            }
        }
        Ok(false)
    }

    /// What is decided about a class; nothing where nobody decided.
    fn outcome(&mut self, class: &Class) -> Result<Option<Outcome<'r>>, F::Error> {
        let Some((first, rest)) = class.members.split_first() else { return Ok(None) };
        let mut stands = first.clone();
        let mut losers: Vec<(EntityKey, Pair, Decision)> = Vec::new();
        let mut edits = Vec::new();
        let mut is_decided = true;
        for member in rest {
            let pair = Pair { source: member.clone(), dest: first.clone() };
            let (pair, decision) = match self.listed(&pair, class) {
                Some((pair, How::Modify { side: Side::Source, to })) => {
                    edits.push((member.clone(), pair, to));
                    continue;
                }
                Some((pair, How::Modify { side: Side::Dest, to })) => {
                    edits.push((std::mem::replace(&mut stands, member.clone()), pair, to));
                    continue;
                }
                Some((pair, How::Keep(keep))) => {
                    (pair, Some(Decision { keep: *keep, is_default: false, is_listed: true }))
                }
                None => {
                    let way = self.ways.get(member).or_else(|| self.ways.get(first)).copied();
                    let default = || {
                        self.resolutions.default.map(|keep| Decision {
                            keep,
                            is_default: true,
                            is_listed: false,
                        })
                    };
                    (pair, way.or_else(default))
                }
            };
            let Some(decision) = decision else {
                self.refusals.insert(Refusal::Undecided { pair });
                is_decided = false;
                continue;
            };
            let comes = match decision.keep.with {
                With::Source => true,
                With::Dest => false,
                With::Newest => self.last_change(member)? > self.last_change(&stands)?,
            };
            let loser = if comes { std::mem::replace(&mut stands, member.clone()) } else { member.clone() };
            losers.push((loser, pair, decision));
        }
        Ok(is_decided.then_some(Outcome { winner: stands, losers, edits, number: class.number }))
    }

    /// What is listed about one of a class against whoever had the key before it: that one may have lost another clash
    /// in the meantime.
    fn listed(&self, pair: &Pair, class: &Class) -> Option<(Pair, &'r How)> {
        let named = self.listed.get(&pair.source)?;
        let exact = named.iter().find(|one| one.pair == *pair);
        let fields = |key: &EntityKey| {
            let declared = self.board.schema.collection(key.collection())?;
            let version = &self.board.slots.get(key)?.version;
            key_of(declared, class.number, version.existence.state()?)
        };
        let values = fields(&pair.source);
        let moved = || named.iter().find(|one| values.is_some() && fields(&one.pair.dest) == values);
        exact.or_else(moved).map(|one| (one.pair.clone(), &one.how))
    }

    fn last_change(&self, key: &EntityKey) -> Result<Option<Millis>, F::Error> {
        Ok(self.board.version(key)?.stamps.latest().map(|stamp| stamp.at))
    }

    fn apply(&mut self, outcome: Outcome<'_>) -> Result<(), F::Error> {
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
        let schema = self.board.schema;
        let Some(declared) = schema.collection(key.collection()) else { return Ok(()) };
        let Some(state) = after.existence.live() else { return Ok(()) };
        let own = |existence: &Existence| existence.state().and_then(|state| key_of(declared, number, state));
        let mut wrong = None;
        if own(&before.existence) == own(&after.existence) {
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
        let children = self.children(loser)?;
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

    /// What lives and refers to an entity, by which field, and what a delete of that does to it.
    fn children(&self, of: &EntityKey) -> Result<Vec<(EntityKey, String, OnDelete)>, F::Error> {
        let mut found = Vec::new();
        for (from, field, reference) in self.board.schema.referrers(of.collection()) {
            for child in self.board.referring(of, from, field)? {
                found.push((child, field.to_owned(), reference.on_delete));
            }
        }
        Ok(found)
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
        while let Some((parent, child, field, does)) = open.pop() {
            match does {
                OnDelete::Restrict => {
                    self.restricted.push(Restricted { pair: pair.clone(), key: parent, by: child, field });
                }
                OnDelete::SetNull => {
                    let value = self.board.version(&child)?.existence.live().map(|state| {
                        let held = state.only(|name| name == field);
                        State::empty().changes_to(&held)
                    });
                    self.board.drop_reference(&child, &field, &parent)?;
                    if let Some(fields) = value.filter(|fields| !fields.is_empty()) {
                        let loss = Loss { file: 0, fields, was_delete: false };
                        self.board.put(&child, |slot| slot.losses.push(loss))?;
                    }
                }
                OnDelete::Cascade if self.board.version(&child)?.existence.is_live() => {
                    self.bury(&child, pair, decision, 0, Why::Gone { with: parent })?;
                    self.gone.insert(child.clone());
                    let below = self.children(&child)?.into_iter();
                    open.extend(below.map(|(below, field, does)| (child.clone(), below, field, does)));
                }
                OnDelete::Cascade => {}
            }
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
        let version = self.board.underived(key)?;
        self.board.put(key, |slot| {
            let Existence::Live(state) = &version.existence else { return };
            let state = state.clone();
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

    /// What came of it that nobody wanted.
    fn look_at_the_end(&mut self) -> Result<(), F::Error> {
        for Restricted { pair, key, by, field } in std::mem::take(&mut self.restricted) {
            if self.board.version(&by)?.existence.is_live() {
                self.refusals.insert(Refusal::Restricted { pair, key, by, field });
            }
        }
        for resolution in &self.resolutions.listed {
            let Pair { source, dest } = &resolution.pair;
            if source == dest {
                continue;
            }
            let is_contradicted = match &resolution.how {
                How::Keep(Keep { with: With::Source, .. }) => self.gone.contains(source),
                How::Keep(Keep { with: With::Dest, .. }) => self.gone.contains(dest),
                How::Keep(Keep { with: With::Newest, .. }) => {
                    self.gone.contains(source) && self.gone.contains(dest)
                }
                How::Modify { .. } => self.gone.contains(source) || self.gone.contains(dest),
            };
            if is_contradicted {
                self.refusals.insert(Refusal::Contradicted { pair: resolution.pair.clone() });
            } else if self.board.version(source)?.existence.is_live()
                && self.board.version(dest)?.existence.is_live()
                && matches!(resolution.how, How::Keep(_))
            {
                // What was to become one stays two, as their parents do.
                self.refusals.insert(Refusal::NoClash { pair: resolution.pair.clone() });
            }
        }
        Ok(())
    }
}

fn key_of(declared: &Collection, number: usize, state: &State) -> Option<Vec<String>> {
    let fields = declared.unique_keys().nth(number)?;
    key_values(state, fields)
}

/// Of classes, those of the collections that refer to no other one with classes, and the rest; all, where they do so in
/// a circle.
fn parents_first(schema: &Schema, classes: Vec<Class>) -> (Vec<Class>, Vec<Class>) {
    let of = |class: &Class| class.members.first().map(|member| member.collection().clone());
    let all: BTreeSet<CollectionName> = classes.iter().filter_map(of).collect();
    let refers = |name: &CollectionName| {
        let mut above = BTreeSet::new();
        let mut open = vec![name.clone()];
        while let Some(next) = open.pop() {
            let targets = schema.collection(&next).into_iter().flat_map(Collection::references);
            for (_, reference) in targets {
                if above.insert(reference.to.clone()) {
                    open.push(reference.to.clone());
                }
            }
        }
        above.remove(name);
        above
    };
    let free: BTreeSet<&CollectionName> = all.iter().filter(|name| refers(name).is_disjoint(&all)).collect();
    if free.is_empty() {
        return (classes, Vec::new());
    }
    classes.into_iter().partition(|class| of(class).is_some_and(|name| free.contains(&name)))
}
