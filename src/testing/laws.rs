//! The laws of the algebra, each as a check that says what it found instead.
//!
//! ```
//! use foldlog::testing::{laws, strategies};
//! use proptest::prelude::*;
//! proptest!(|(log in strategies::log(8), baseline in strategies::baseline())| {
//!     laws::equivalence(&log, &baseline)?;
//! });
//! ```
//!
//! | law | check |
//! |---|---|
//! | 1 equivalence | [`equivalence`], [`equivalence_at_cuts`], [`timekeeping`] |
//! | 2 associativity | [`associativity`], [`fold_is_composition`], [`gathering_is_composition`](super::gathering::gathering_is_composition) |
//! | 3 idempotence | [`idempotence`] |
//! | 4 smallest | [`smallest`] |
//! | 5 accounting | [`accounting`] |
//! | 6 prefix validity | [`prefixes`](super::prefixes::prefixes) |
//! | 7 fence, 10 nothing lost | [`play`](super::player::play) |
//! | 11 hostile bytes | [`fuzz`](super::fuzz) |

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use super::baseline::Baseline;
use super::oracle::World;
use crate::algebra::{
    Base, BaseMap, Bases, Change, Effect, EntityKey, Existence, Fate, Fold, Held, Knowledge, Millis,
    Operation, Plan, Planned, Seq, Stamp, Update, plan,
};

/// A law that does not hold, and what was found instead. In the body of a property, `?` makes it a failure.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The law.
    pub law: &'static str,
    /// What was found.
    pub found: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} does not hold: {}", self.law, self.found)
    }
}

impl std::error::Error for Violation {}

pub(crate) fn require(
    law: &'static str,
    holds: bool,
    found: impl FnOnce() -> String,
) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation { law, found: found() }) }
}

/// The plan of a log on a baseline, without a schema.
#[must_use]
pub fn planned(log: &[Operation], bases: &impl Bases) -> Plan {
    let mut fold = Fold::new();
    fold.extend(log);
    plan(fold.effects(), bases, None)
}

/// Law 1: on every authority that the plan was made for, applying the plan leaves the same live set as
/// replaying the log.
///
/// # Errors
/// The first entity that differs.
pub fn equivalence(log: &[Operation], baseline: &Baseline) -> Result<(), Violation> {
    let plan = planned(log, baseline.bases());
    for truth in baseline.worlds(log) {
        let mut sent: World = truth.iter().collect();
        let mut replayed = sent.clone();
        sent.replay(plan.operations.iter().map(|planned| &planned.operation));
        replayed.replay(log);
        if let Some(differs) = replayed.live_difference(&sent) {
            let found = format!("on {truth:?}, replaying gives {differs:?} of what the plan sends: {plan:?}");
            return Err(Violation { law: "equivalence", found });
        }
    }
    Ok(())
}

/// How often each bunch reaches the authority: once more than it has to.
const DELIVERIES: usize = 2;

/// Law 1 across bunches: the log is cut into parts. Each is planned on what the authority will hold once the
/// earlier ones have arrived, whether or not they have, and then reaches it, more than once.
///
/// The whole log is what must come out, with two exceptions. A bare journal forgets what it annihilated (a
/// replica keeps its tombstones): an entity that is not live at a cut goes on from what the authority holds
/// then, be that nothing or a tombstone without the last changes before the delete. And nothing is said of an
/// id that one part creates and deletes though nothing was known of it, should the authority have held it
/// live all along.
///
/// # Errors
/// The first entity that differs.
pub fn equivalence_at_cuts(log: &[Operation], cuts: &[usize], baseline: &Baseline) -> Result<(), Violation> {
    let mut bases = CutBases { known: HashMap::new(), baseline };
    let mut bunches = Vec::new();
    for part in parts(log, cuts) {
        let plan = planned(part, &bases);
        bunches.push((part, presumptuous(part, &bases), plan));
        for planned in bunches.iter().rev().take(1).flat_map(|(_, _, plan)| &plan.operations) {
            let operation = &planned.operation;
            let after = bases.base(&operation.key).after(&operation.change, None);
            bases.known.insert(operation.key.clone(), after);
        }
    }
    for truth in baseline.worlds(log) {
        let mut authority: World = truth.iter().collect();
        let mut local = authority.clone();
        let mut presumed: BTreeSet<&EntityKey> = BTreeSet::new();
        for (part, presumptuous, plan) in &bunches {
            presumed.extend(presumptuous.iter().filter(|key| authority.is_live(key)));
            for _ in 0..DELIVERIES {
                authority.replay(plan.operations.iter().map(|planned| &planned.operation));
            }
            local.replay(part.iter());
            for key in part.iter().map(|operation| &operation.key).filter(|key| !presumed.contains(key)) {
                require("equivalence at cuts", local.looks_like(&authority, key), || {
                    let (here, there) = (local.thing(key), authority.thing(key));
                    format!("{key} is {here:?} here and {there:?} there, of {plan:?} on {truth:?}")
                })?;
                if !local.is_live(key) {
                    // Forgotten here, so it goes on from what is there.
                    local.put(key, authority.thing(key));
                }
            }
        }
    }
    Ok(())
}

/// What is expected of the authority after some bunches.
struct CutBases<'b> {
    known: HashMap<EntityKey, Base>,
    baseline: &'b Baseline,
}

impl Bases for CutBases<'_> {
    fn base(&self, key: &EntityKey) -> std::borrow::Cow<'_, Base> {
        match self.known.get(key) {
            Some(base) => std::borrow::Cow::Borrowed(base),
            None => self.baseline.bases().base(key),
        }
    }
}

/// The entities that a part creates and deletes while they are unknown.
fn presumptuous(part: &[Operation], bases: &impl Bases) -> Vec<EntityKey> {
    let mut ends: BTreeMap<&EntityKey, (&Change, &Change)> = BTreeMap::new();
    for operation in part {
        ends.entry(&operation.key)
            .and_modify(|(_, last)| *last = &operation.change)
            .or_insert((&operation.change, &operation.change));
    }
    ends.into_iter()
        .filter(|(key, (first, last))| {
            matches!((first, last), (Change::Create(_), Change::Delete)) && *bases.base(key) == Base::Unknown
        })
        .map(|(key, _)| key.clone())
        .collect()
}

pub(super) fn parts<'l>(log: &'l [Operation], cuts: &[usize]) -> Vec<&'l [Operation]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| (*cut).min(log.len())).collect();
    places.extend([0, log.len()]);
    places.sort_unstable();
    places.windows(2).filter_map(|pair| log.get(*pair.first()?..*pair.last()?)).collect()
}

/// Law 2: however a run of operations on one entity is bracketed, its effect is the same, stamps and all.
///
/// # Errors
/// The brackets that made a difference.
pub fn associativity(run: &[Operation]) -> Result<(), Violation> {
    let effects: Vec<Effect> =
        (1..).map(Seq).zip(run).map(|(seq, operation)| Effect::of(seq, operation)).collect();
    let all = composed(&effects);
    let from_the_end = effects.iter().rev().fold(Effect::identity(), |later, effect| effect.then(&later));
    require("associativity", all == from_the_end, || {
        format!("from the front {all:?}, from the back {from_the_end:?}")
    })?;
    for cut in 0..=effects.len() {
        let (first, second) = effects.split_at(cut);
        let both = composed(first).then(&composed(second));
        require("associativity", all == both, || format!("cut at {cut}: {both:?}, uncut: {all:?}"))?;
    }
    Ok(())
}

fn composed(effects: &[Effect]) -> Effect {
    effects.iter().fold(Effect::identity(), |before, effect| before.then(effect))
}

/// Law 2 for logs: folding is composing each entity's effects one by one.
///
/// # Errors
/// The first entity whose effect differs.
pub fn fold_is_composition(log: &[Operation]) -> Result<(), Violation> {
    let mut one_by_one: BTreeMap<EntityKey, Effect> = BTreeMap::new();
    for (seq, operation) in (1..).map(Seq).zip(log) {
        let before = one_by_one.entry(operation.key.clone()).or_insert_with(Effect::identity);
        *before = before.then(&Effect::of(seq, operation));
    }
    let mut fold = Fold::new();
    fold.extend(log);
    let folded: BTreeMap<EntityKey, Effect> = fold.effects().collect();
    require("folding is composition", folded == one_by_one, || {
        format!("folded {folded:?}, one by one {one_by_one:?}")
    })
}

/// What law 1 is to those who decide by time: an operation of the plan has the time of the last one that it is made
/// of, and each of its fields the one at which it was written last, or what was stated of it then.
///
/// # Errors
/// The first time that differs.
pub fn timekeeping(log: &[Operation], bases: &impl Bases) -> Result<(), Violation> {
    let law = "timekeeping";
    let mut histories: HashMap<&EntityKey, Times> = HashMap::new();
    for operation in log {
        histories.entry(&operation.key).or_default().note(operation);
    }
    for Planned { operation, .. } in planned(log, bases).operations {
        let Some(times) = histories.get(&operation.key) else { continue };
        require(law, operation.at == times.last, || format!("{operation:?} was made at {:?}", times.last))?;
        for name in named(&operation.change) {
            let stated = operation.stamps.iter().find(|(field, _)| *field == name).map(|(_, stamp)| *stamp);
            let told = stated.or(operation.at.map(Stamp::own));
            // Nobody can be told that a field has no time, where the operation has one.
            let expected = times.fields.get(&name).copied().unwrap_or(times.rest);
            require(law, expected.is_none() || expected == told, || {
                format!("{name} of {operation:?} was written at {expected:?}")
            })?;
        }
    }
    Ok(())
}

/// When one entity was written, operation by operation; nothing where no time is known, or none that matters.
#[derive(Default)]
struct Times {
    last: Option<Millis>,
    fields: HashMap<String, Option<Stamp>>,
    /// Of every field that is not listed.
    rest: Option<Stamp>,
}

impl Times {
    fn note(&mut self, operation: &Operation) {
        // Later than what it saw, whatever the clock says.
        let next = self.last.map(|last| Millis(last.0 + 1));
        self.last = operation.at.map(|at| next.map_or(at, |next| at.max(next))).or(self.last);
        let own = self.last.map(Stamp::own);
        if matches!(operation.change, Change::Create(_) | Change::Update(Update::State(_))) {
            self.fields.clear();
            self.rest = own;
        }
        let named: BTreeSet<String> = named(&operation.change).collect();
        // What is stated of a field that is not written matters to nobody.
        let unnamed = operation.stamps.iter().map(|(name, _)| name).filter(|name| !named.contains(*name));
        self.fields.extend(unnamed.map(|name| (name.clone(), None)));
        for name in named {
            let stated = operation.stamps.iter().find(|(field, _)| *field == name).map(|(_, stamp)| *stamp);
            self.fields.insert(name, stated.or(own));
        }
    }
}

/// The fields that a change names.
fn named(change: &Change) -> impl Iterator<Item = String> + use<> {
    let fields: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(change.fields_json()).unwrap_or_default();
    fields.into_iter().map(|(name, _)| name)
}

/// Law 3: the plan of a plan is that plan: entities, changes, order, times, stamps and groups.
///
/// # Errors
/// The first operation that differs.
pub fn idempotence(log: &[Operation], bases: &impl Bases) -> Result<(), Violation> {
    let once: Vec<Operation> =
        planned(log, bases).operations.into_iter().map(|planned| planned.operation).collect();
    let twice: Vec<Operation> =
        planned(&once, bases).operations.into_iter().map(|planned| planned.operation).collect();
    require("idempotence", once == twice, || format!("once {once:?}, twice {twice:?}"))
}

/// Law 4: at most one operation an entity; with a known base, none that changes nothing; never more
/// operations or bytes of fields than the log, but for the whole revived state that a patch of a known
/// tombstone has to be sent as.
///
/// # Errors
/// The first operation that is too much.
pub fn smallest(log: &[Operation], bases: &impl Bases) -> Result<(), Violation> {
    let law = "smallest";
    let plan = planned(log, bases);
    let mut bytes: HashMap<&EntityKey, usize> = HashMap::new();
    for operation in log {
        *bytes.entry(&operation.key).or_default() += operation.change.fields_json().len();
    }
    let mut seen = BTreeSet::new();
    for planned in &plan.operations {
        let operation = &planned.operation;
        require(law, seen.insert(&operation.key), || format!("{} is sent twice", operation.key))?;
        let given = bytes.get(&operation.key).copied();
        require(law, given.is_some(), || format!("{} is in no operation of the log", operation.key))?;
        let base = bases.base(&operation.key);
        let is_revival = matches!(base.as_ref(), Base::Dead(Held { state: Knowledge::State(_), .. }));
        let sent = operation.change.fields_json().len();
        require(law, is_revival || sent <= given.unwrap_or(0), || {
            format!("{operation:?} has {sent} bytes of fields, its log {given:?}")
        })?;
        if let Some(before) = existence(&base) {
            let after = before.after(&operation.change);
            require(law, after.live() != before.live(), || {
                format!("{operation:?} changes nothing on {before:?}")
            })?;
        }
    }
    Ok(())
}

/// What an entity is, where that is known.
fn existence(base: &Base) -> Option<Existence> {
    match base {
        Base::Absent => Some(Existence::Absent),
        Base::Live(held) => held.state.state().cloned().map(Existence::Live),
        Base::Dead(held) => held.state.state().cloned().map(Existence::Dead),
        Base::Unknown => None,
    }
}

/// Law 5: every operation of the log is sent, folded into a named operation of the same entity, or
/// annihilated with a named partner.
///
/// # Errors
/// The first operation that is not accounted for.
pub fn accounting(log: &[Operation], bases: &impl Bases) -> Result<(), Violation> {
    let law = "accounting";
    let plan = planned(log, bases);
    let fates = plan.fates(log);
    require(law, fates.len() == log.len(), || format!("{} fates of {}", fates.len(), log.len()))?;
    let at =
        |seq: Seq| usize::try_from(seq.0).ok().and_then(|seq| Some((log.get(seq - 1)?, fates.get(seq - 1)?)));
    let mut sent = 0;
    for (seq, operation) in (1..).map(Seq).zip(log) {
        let fate = at(seq).and_then(|(_, fate)| *fate);
        let found = || format!("operation {seq} of {}: {fate:?} in {plan:?}", operation.key);
        match fate {
            None => return Err(Violation { law, found: found() }),
            Some(Fate::Sent) => sent += 1,
            Some(Fate::FoldedInto(other)) => {
                let is_there = at(other)
                    .is_some_and(|(into, fate)| into.key == operation.key && *fate == Some(Fate::Sent));
                require(law, is_there, found)?;
            }
            Some(Fate::Annihilated { with }) => {
                let is_there = at(with).is_some_and(|(partner, fate)| {
                    partner.key == operation.key && matches!(fate, Some(Fate::Annihilated { .. }))
                });
                require(law, is_there, found)?;
            }
        }
    }
    require(law, sent == plan.operations.len(), || {
        format!("{sent} operations are sent of a plan of {}", plan.operations.len())
    })?;
    let counted: usize = plan
        .operations
        .iter()
        .map(|planned| planned.operations)
        .chain(plan.nothing.iter().map(|nothing| nothing.operations))
        .map(|operations| usize::try_from(operations).unwrap_or(usize::MAX))
        .sum();
    require(law, counted == log.len(), || format!("{counted} operations counted of {}", log.len()))
}

/// All the laws that speak of a log and a baseline.
///
/// # Errors
/// The first that does not hold.
pub fn all(log: &[Operation], cuts: &[usize], baseline: &Baseline) -> Result<(), Violation> {
    let bases: &BaseMap = baseline.bases();
    equivalence(log, baseline)?;
    equivalence_at_cuts(log, cuts, baseline)?;
    timekeeping(log, bases)?;
    fold_is_composition(log)?;
    idempotence(log, bases)?;
    smallest(log, bases)?;
    accounting(log, bases)?;
    let keys: BTreeSet<&EntityKey> = log.iter().map(|operation| &operation.key).collect();
    for key in keys {
        let run: Vec<Operation> = log.iter().filter(|operation| operation.key == *key).cloned().collect();
        associativity(&run)?;
    }
    Ok(())
}
