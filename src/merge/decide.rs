//! Carrying decisions out: clash after clash, parents before children, until no key has two who live with it.
//!
//! What is decided about parents makes the clashes below them real: a child that refers to the winner from now on has
//! the key of one that always did. Such a clash goes the way of the parents, unless it is listed itself.

use std::collections::{BTreeMap, BTreeSet};

use super::board::{Board, Files};
use super::clashes::{Clashes, Pair};
use super::refusal::Refusal;
use super::resolution::{How, Keep, Resolution, Side, With};
use crate::algebra::{
    Collection, CollectionName, EntityKey, Existence, Millis, Patch, Schema, State, key_values,
};

/// Decisions on their way into the joint state.
pub(super) struct Deciding<'b, 'f, 'r, F> {
    pub(super) board: &'b mut Board<'f, F>,
    /// What is listed, by whoever had the key later.
    listed: BTreeMap<&'r EntityKey, Vec<&'r Resolution>>,
    clashes: &'r Clashes,
    /// Whoever refers to a winner now, and how that was decided.
    pub(super) ways: BTreeMap<EntityKey, Decision>,
    pub(super) refusals: BTreeSet<Refusal>,
    /// What went with something else.
    pub(super) gone: BTreeSet<EntityKey>,
    /// What refers by `restrict` to what goes.
    pub(super) restricted: Vec<Restricted>,
}

/// What is decided about two.
#[derive(Clone, Copy)]
pub(super) struct Decision {
    pub(super) keep: Keep,
    pub(super) is_default: bool,
    /// Whether it was listed itself, and not only its parents.
    pub(super) is_listed: bool,
}

pub(super) struct Restricted {
    pub(super) pair: Pair,
    pub(super) key: EntityKey,
    pub(super) by: EntityKey,
    pub(super) field: String,
}

/// Those who live with one key, whoever had it first before the others.
struct Class {
    members: Vec<EntityKey>,
    number: usize,
}

/// What is decided about a class.
pub(super) struct Outcome<'r> {
    pub(super) winner: EntityKey,
    pub(super) losers: Vec<(EntityKey, Pair, Decision)>,
    pub(super) edits: Vec<(EntityKey, Pair, &'r Patch)>,
    pub(super) number: usize,
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
        for resolution in &self.board.resolutions.listed {
            let pair = &resolution.pair;
            let is_self = pair.source == pair.dest
                && self.board.slots.get(&pair.source).is_some_and(|slot| slot.is_self_clash);
            if !is_self && !self.clashes.has(pair) {
                self.refusals.insert(Refusal::NoClash { pair: pair.clone() });
            }
            if !named.insert(pair) {
                self.refusals.insert(Refusal::NamedTwice { pair: pair.clone() });
            }
        }
        if self.board.resolutions.default.is_none() {
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
                        self.board.resolutions.default.map(|keep| Decision {
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
            let version = &self.board.slots.get(key)?.version;
            key_of(self.board.schema, key, class.number, version.existence.state()?)
        };
        let moved = || {
            let values = fields(&pair.source)?;
            named.iter().find(|one| fields(&one.pair.dest).as_ref() == Some(&values))
        };
        exact.or_else(moved).map(|one| (one.pair.clone(), &one.how))
    }

    fn last_change(&self, key: &EntityKey) -> Result<Option<Millis>, F::Error> {
        Ok(self.board.version(key)?.stamps.latest().map(|stamp| stamp.at))
    }

    /// What came of it that nobody wanted.
    fn look_at_the_end(&mut self) -> Result<(), F::Error> {
        for Restricted { pair, key, by, field } in std::mem::take(&mut self.restricted) {
            if self.board.version(&by)?.existence.is_live() {
                self.refusals.insert(Refusal::Restricted { pair, key, by, field });
            }
        }
        for resolution in &self.board.resolutions.listed {
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
                How::Modify { side, .. } => {
                    let modified = if *side == Side::Source { source } else { dest };
                    self.gone.contains(source)
                        || self.gone.contains(dest)
                        || !self.board.version(modified)?.existence.is_live()
                }
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

/// What an entity with this state has in the unique key of this number.
pub(super) fn key_of(schema: &Schema, key: &EntityKey, number: usize, state: &State) -> Option<Vec<String>> {
    let fields = schema.collection(key.collection())?.unique_keys().nth(number)?;
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
