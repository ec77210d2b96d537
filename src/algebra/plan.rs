//! The plan: what would be sent of a set of effects, and what becomes of every operation.

use super::base::{Base, Bases};
use super::effect::{Content, Effect, Liveness, Shape};
use super::fields::{Patch, State};
use super::names::{EntityKey, Epoch, Seq};
use super::operation::{Change, Operation};
use super::order::{Ranks, arranged};
use super::schema::Schema;
use super::send::sent_of;

/// One operation of a plan: a folded one, with where it came from.
///
/// Where a circle of references had to be cut, an entity has two: first the operation without the fields
/// that were cut, which counts everything that was folded; later in the same plan its completion, an update
/// that sets them. A completion has the same base, time, groups, first and last as what it completes, and
/// counts no operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// What is sent.
    pub operation: Operation,
    /// The epoch of the base it was made on; 0 for known to be absent, as who makes it in a replica says; none for unknown.
    pub base: Option<Epoch>,
    /// The first operation folded into it.
    pub first: Seq,
    /// The last operation folded into it, by which it is named.
    pub last: Seq,
    /// How many operations were folded into it: 0 in a completion, otherwise at least 1.
    pub operations: u32,
    /// Of a create that revives a tombstone by a patch: the fields that were written or removed. The rest of its state
    /// is the tombstone's, and counts only where that is not live again by now.
    pub touched: Option<Vec<String>>,
}

impl Planned {
    /// Whether it sets the references that were cut out of an earlier operation of the same entity.
    #[must_use]
    pub fn is_completion(&self) -> bool {
        self.operations == 0
    }
}

/// A planned operation and what the authority holds live now, as far as it is known: what the order
/// inside a bunch is decided by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The operation.
    pub planned: Planned,
    /// The entity's live state before it, where known.
    pub before: Option<State>,
}

/// What is sent of a set of effects, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The operations, at most one an entity (two where a cycle of references had to be cut).
    pub operations: Vec<Planned>,
    /// What needs no sending.
    pub nothing: Vec<Nothing>,
}

/// An entity whose operations came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nothing {
    /// The entity.
    pub key: EntityKey,
    /// The first of its operations.
    pub first: Seq,
    /// The last of its operations, its partner: after it the entity is what the base is.
    pub last: Seq,
    /// How many there were.
    pub operations: u32,
}

/// What becomes of one effect: an operation to send, or nothing.
///
/// # Errors
/// The account of the operations that came to nothing.
pub fn draft(key: &EntityKey, effect: &Effect, base: &Base) -> Result<Draft, Nothing> {
    let planned = planned(key.clone(), effect.clone(), base)?;
    Ok(Draft { planned, before: base.live_state().cloned() })
}

/// What becomes of one effect: of what it is made of nothing is copied.
fn planned(key: EntityKey, mut effect: Effect, base: &Base) -> Result<Planned, Nothing> {
    let Shape { clock, first, last, operations, .. } = effect.shape;
    let touched = touched(&effect, base);
    let content = std::mem::replace(&mut effect.content, Content::Keep);
    let Some(change) = sent_of(content, &effect.shape, base) else {
        return Err(Nothing { key, first, last, operations });
    };
    let stamps = effect.stated(&change);
    let operation = Operation { key, change, at: clock.time(), stamps, groups: effect.groups };
    Ok(Planned { operation, base: base.epoch(), first, last, operations, touched })
}

/// What a patch that revives touches of a tombstone whose state is known.
fn touched(effect: &Effect, base: &Base) -> Option<Vec<String>> {
    let (Base::Dead(held), Liveness::Live) = (base, effect.shape.liveness) else { return None };
    let state = held.state.state()?;
    let patch = match &effect.content {
        Content::Merge(patch) => patch.changing(state),
        Content::Keep => Patch::empty(),
        Content::Replace(_) => return None,
    };
    Some(patch.iter().map(|(name, _)| name).collect())
}

/// Plans a set of effects, one an entity. Deterministic: the same effects, bases and schema give the
/// same plan, in whatever order they come.
#[must_use]
pub fn plan(
    effects: impl IntoIterator<Item = (EntityKey, Effect)>,
    bases: &impl Bases,
    schema: Option<&Schema>,
) -> Plan {
    let mut drafts = Vec::new();
    let mut ranks = Ranks::default();
    let mut nothing = Vec::new();
    for (key, effect) in effects {
        let base = bases.base(&key);
        match planned(key, effect, &base) {
            // What stands there by now matters to the order among rules alone.
            Ok(planned) if schema.is_some() => {
                drafts.push(Draft { planned, before: base.live_state().cloned() });
            }
            Ok(planned) => ranks.push(planned),
            Err(none) => nothing.push(none),
        }
    }
    nothing.sort_by_key(|none| none.last);
    let operations = match schema {
        None => ranks.into_operations(),
        Some(_) => arranged(drafts, schema).operations,
    };
    Plan { operations, nothing }
}

/// What became of one operation of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It names an operation of the plan.
    Sent,
    /// It was folded into the operation of the plan that this one names.
    FoldedInto(Seq),
    /// Together with this operation it came to nothing; an operation that is its own partner changed
    /// nothing on its base.
    Annihilated {
        /// The last operation of the entity, or for that one its first.
        with: Seq,
    },
}

impl Plan {
    /// What became of each operation of the log that was planned, in the log's order: every operation is
    /// sent, folded into a named one, or annihilated with a named partner. Nothing for one that is not
    /// of this plan's log.
    #[must_use]
    pub fn fates(&self, log: &[Operation]) -> Vec<Option<Fate>> {
        use std::collections::HashMap;
        let sent: HashMap<&EntityKey, Seq> =
            self.operations.iter().map(|planned| (&planned.operation.key, planned.last)).collect();
        let none: HashMap<&EntityKey, &Nothing> = self.nothing.iter().map(|none| (&none.key, none)).collect();
        (1..)
            .map(Seq)
            .zip(log)
            .map(|(seq, operation)| match (sent.get(&operation.key), none.get(&operation.key)) {
                (Some(last), _) if *last == seq => Some(Fate::Sent),
                (Some(last), _) => Some(Fate::FoldedInto(*last)),
                (None, Some(nothing)) => {
                    let with = if seq == nothing.last { nothing.first } else { nothing.last };
                    Some(Fate::Annihilated { with })
                }
                (None, None) => None,
            })
            .collect()
    }
}

/// Where an operation stands in a plan without a schema: deletes by last operation, creates by first
/// operation, updates by last operation. Smaller goes first.
#[must_use]
pub fn rank(change: &Change, first: Seq, last: Seq) -> (u8, Seq) {
    match change {
        Change::Delete => (0, last),
        Change::Create(_) => (1, first),
        Change::Update(_) => (2, last),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::base::{BaseMap, Held, Knowledge};
    use super::super::fold::Fold;
    use super::super::names::CollectionName;
    use super::super::operation::Update;
    use super::*;

    fn operation(n: u128, change: Change) -> Operation {
        let key = EntityKey::new(CollectionName::new("notes").unwrap(), Uuid::from_u128(n)).unwrap();
        Operation::new(key, change)
    }

    #[test]
    fn an_operation_of_another_log_has_no_fate() {
        let log = [
            operation(1, Change::Create(State::empty())),
            operation(2, Change::Create(State::empty())),
            operation(1, Change::Delete),
            operation(2, Change::Update(Update::State(State::empty()))),
        ];
        let mut fold = Fold::new();
        for operation in &log {
            fold.push(operation);
        }
        let plan = plan(fold.effects(), &BaseMap::new(true), None);
        let mut asked = log.to_vec();
        asked.push(operation(3, Change::Delete));
        let expected = [
            Some(Fate::Annihilated { with: Seq(3) }),
            Some(Fate::FoldedInto(Seq(4))),
            Some(Fate::Annihilated { with: Seq(1) }),
            Some(Fate::Sent),
            None,
        ];
        assert_eq!(plan.fates(&asked), expected);
    }

    #[test]
    fn with_a_schema_everything_is_sent_in_another_order() {
        let schema =
            r#"{"collections":{"notes":{"references":{"in":{"to":"notes","on_delete":"cascade"}}}}}"#;
        let schema = Schema::from_json(schema).unwrap();
        let inside = State::from_json(&format!(r#"{{"in":"{}"}}"#, Uuid::from_u128(2))).unwrap();
        let log = [operation(1, Change::Create(inside)), operation(2, Change::Create(State::empty()))];
        let mut fold = Fold::new();
        for operation in &log {
            fold.push(operation);
        }
        let planned = |schema| {
            let plan = plan(fold.effects(), &BaseMap::new(true), schema);
            plan.operations.iter().map(|planned| planned.first.0).collect::<Vec<_>>()
        };
        assert_eq!(planned(None), [1, 2]);
        assert_eq!(planned(Some(&schema)), [2, 1]);
    }

    #[test]
    fn a_revival_says_which_fields_it_touches() {
        let dead = State::from_json(r#"{"a":1,"b":2}"#).unwrap();
        let held = |state: State| Held { epoch: Some(Epoch(3)), state: Knowledge::State(state) };
        let touched_by = |effect: Effect, base: Base| {
            let operation = operation(1, Change::Delete);
            let mut bases = BaseMap::new(false);
            bases.insert(operation.key.clone(), base);
            let planned = plan([(operation.key, effect)], &bases, None).operations.into_iter().next();
            planned.and_then(|planned| planned.touched)
        };
        let touched =
            |change: Change, base: Base| touched_by(Effect::of(Seq(1), &operation(1, change)), base);
        let patch = |json: &str| Change::Update(Update::Patch(Patch::from_json(json).unwrap()));
        // What says what is there already touches nothing of it.
        assert_eq!(
            touched(patch(r#"{"a":1,"b":3,"c":4}"#), Base::Dead(held(dead.clone()))),
            Some(vec!["b".to_owned(), "c".to_owned()])
        );
        let lives = Effect::of(Seq(1), &operation(1, patch(r#"{"b":3}"#)));
        let lives = Effect { content: Content::Keep, ..lives };
        assert_eq!(touched_by(lives, Base::Dead(held(dead.clone()))), Some(Vec::new()));
        assert_eq!(touched(Change::Create(State::empty()), Base::Dead(held(dead))), None);
        assert_eq!(touched(patch(r#"{"a":2}"#), Base::Live(held(State::empty()))), None);
    }

    #[test]
    fn a_reference_that_is_cut_out_of_a_revival_is_not_touched_by_its_first_part() {
        let schema =
            r#"{"collections":{"notes":{"references":{"in":{"to":"notes","on_delete":"cascade"}}}}}"#;
        let schema = Schema::from_json(schema).unwrap();
        let mut fold = Fold::new();
        let mut bases = BaseMap::new(false);
        let log = [(1, 2), (2, 1)].map(|(own, other)| {
            let json = format!(r#"{{"in":"{}","a":2}}"#, Uuid::from_u128(other));
            operation(own, Change::Update(Update::Patch(Patch::from_json(&json).unwrap())))
        });
        for operation in &log {
            let state = Knowledge::State(State::from_json(r#"{"a":1}"#).unwrap());
            bases.insert(operation.key.clone(), Base::Dead(Held { epoch: Some(Epoch(3)), state }));
            fold.push(operation);
        }
        let planned = plan(fold.effects(), &bases, Some(&schema)).operations;
        let touched: Vec<_> = planned.iter().map(|planned| (planned.operations, &planned.touched)).collect();
        let (a, both) = (Some(vec!["a".to_owned()]), Some(vec!["a".to_owned(), "in".to_owned()]));
        assert_eq!(touched, [(1, &a), (1, &both), (0, &None)]);
    }
}
