//! What must hold at a bunch's end: what was deleted takes what refers to it, references lead to something live, unique
//! keys are held once. What does not hold is objected to, with the operation that has to answer for it.

use std::collections::BTreeSet;

use super::attempt::{Arrived, Given};
use super::out::{Objection, Out};
use super::store::Store;
use super::world::World;
use crate::algebra::{
    Effect, EntityKey, Existence, Millis, OnDelete, Operation, Outcome, Patch, Policy, Seq, Version,
    live_key_values, referred,
};

impl<'a, S: Store> Given<'a, S> {
    /// Whether an operation on an entity is applied.
    fn writes(&self, key: &EntityKey, out: &Out) -> bool {
        self.on(key).any(|(place, _)| !out.contains(place))
    }

    /// What was deleted takes what refers to it, as the schema says; but never what the bunch itself writes.
    pub(super) fn cascades(&self, world: &mut World<'a, S>, out: &Out) -> Result<Vec<Objection>, S::Error> {
        let mut objections = Vec::new();
        let deleted: Vec<(EntityKey, usize)> = world
            .touched()
            .filter(|(_, touched)| matches!(touched.version.existence, Existence::Dead(_)))
            .map(|(key, touched)| (key.clone(), touched.origin))
            .collect();
        let mut open: Vec<(EntityKey, usize)> = deleted.into_iter().rev().collect();
        while let Some((parent, place)) = open.pop() {
            let Some(origin) = self.operation(place) else { continue };
            let at = origin.effect.shape.clock.time().or(Some(Millis(0)));
            for (from, field, reference) in self.rules.schema.referrers(parent.collection()) {
                for child in world.referrers(&parent, from, field)? {
                    if reference.on_delete != OnDelete::Restrict && self.writes(&child, out) {
                        continue;
                    }
                    // It refers only because what would have led it away could not go: that is what the delete was
                    // made after, so it waits for it.
                    let failed =
                        self.on(&child).map(|(place, _)| place).find(|on| out.failed.contains_key(on));
                    if reference.on_delete != OnDelete::SetNull && failed.is_some() {
                        let outcome = Some(Outcome::Waits { on: child });
                        objections.push(Objection { place, outcome, cause: failed });
                        continue;
                    }
                    let Some(part) = reference.consequence(&child, field) else {
                        let reason = format!("{child} still refers to {parent} by {field:?}");
                        let outcome = Some(Outcome::Refused { reason });
                        objections.push(Objection { place, outcome, cause: world.origin(&child) });
                        continue;
                    };
                    let is_delete = reference.on_delete == OnDelete::Cascade;
                    let effect = Effect::of(Seq(1), &Operation { at, ..part });
                    let version = world.now(&child)?.after(&effect, self.replica);
                    world.put(&child, version, place);
                    if is_delete {
                        open.push((child, place));
                    }
                }
            }
        }
        Ok(objections)
    }

    /// Every reference of what was written leads to something live, also of what was written as it was; a parent that is
    /// gone comes back with its child where the child's policy lets it.
    pub(super) fn require_references(
        &self,
        world: &mut World<'a, S>,
        out: &Out,
        objections: &mut Vec<Objection>,
    ) -> Result<(), S::Error> {
        let written = self.operations.iter().map(Arrived::key);
        let as_it_was = written.filter(|key| world.origin(key).is_none() && self.writes(key, out)).cloned();
        let touched = world.touched().map(|(key, _)| key.clone());
        let mut open: Vec<EntityKey> = as_it_was.chain(touched).collect();
        while let Some(key) = open.pop() {
            let Some(declared) = self.rules.schema.collection(key.collection()) else { continue };
            for (field, reference) in declared.references() {
                let version = world.now(&key)?;
                let Existence::Live(state) = &version.existence else { break };
                let own = || self.on(&key).map(|(place, _)| place).next();
                let Some(place) = world.origin(&key).or_else(own) else { break };
                let mut refuse = |reason: String| {
                    objections.push(Objection {
                        place,
                        outcome: Some(Outcome::Refused { reason }),
                        cause: None,
                    });
                };
                let target = match referred(state, field, reference) {
                    Err(error) => {
                        refuse(format!("{field:?} refers to nothing: {error}"));
                        continue;
                    }
                    Ok(None) if reference.is_required => {
                        refuse(format!("{field:?} is required"));
                        continue;
                    }
                    Ok(None) => continue,
                    Ok(Some(target)) => target,
                };
                if world.is_live(&target)? {
                    continue;
                }
                let there = world.now(&target)?;
                let has_failed = self.on(&target).any(|(place, _)| out.failed.contains_key(&place));
                match &there.existence {
                    Existence::Live(_) => {}
                    Existence::Absent | Existence::Dead(_) if has_failed => {
                        let cause = self.on(&target).map(|(place, _)| place).next();
                        objections.push(Objection {
                            place,
                            outcome: Some(Outcome::Waits { on: target }),
                            cause,
                        });
                    }
                    Existence::Absent => refuse(format!("{field:?} refers to {target}, which is not known")),
                    Existence::Dead(_) if reference.on_delete == OnDelete::SetNull => {
                        let dropped = Operation::patch(key.clone(), Patch::removing(field));
                        world.put(&key, self.like(&version, &version, dropped), place);
                    }
                    Existence::Dead(_) => match self.policy(&key) {
                        Policy::Manual => objections.push(Objection { place, outcome: None, cause: None }),
                        Policy::FirstToAuthority => refuse(format!("{target} was deleted")),
                        Policy::Newest if version.stamps.latest() <= there.stamps.turned => {
                            refuse(format!("{target} was deleted later"));
                        }
                        Policy::LastOperation | Policy::Newest => {
                            let revival = Operation::patch(target.clone(), Patch::empty());
                            world.put(&target, self.like(&version, &there, revival), place);
                            open.push(target);
                        }
                    },
                }
            }
        }
        Ok(())
    }

    /// Whether the holder of a unique key would have given it up by an operation that failed, for a key that it was to
    /// get from this entity: both change places, perhaps by way of others.
    fn is_swapped(
        &self,
        key: &EntityKey,
        holder: &EntityKey,
        fields: &[String],
        out: &Out,
    ) -> Result<bool, S::Error> {
        let failed = |key: &EntityKey| self.on(key).any(|(place, _)| out.failed.contains_key(&place));
        let existences = |key: &EntityKey| {
            let before = self.on(key).next().map(|(_, operation)| operation.existence_before());
            let before = before.unwrap_or_default();
            let after = self.on(key).fold(before.clone(), |now, (_, operation)| operation.effect.apply(&now));
            (before, after)
        };
        let (before, after) = existences(holder);
        if !failed(holder) || live_key_values(&before, fields) == live_key_values(&after, fields) {
            return Ok(false);
        }
        let mut seen = BTreeSet::from([holder.clone()]);
        let mut open = vec![after];
        while let Some(wanted) = open.pop() {
            let Existence::Live(state) = &wanted else { continue };
            for (_, fields, values) in self.rules.schema.keys(holder, state) {
                for id in self.store.holders(holder.collection(), fields, &values)? {
                    let Ok(other) = EntityKey::new(holder.collection().clone(), id) else { continue };
                    if other == *key {
                        return Ok(true);
                    }
                    if failed(&other) && seen.insert(other.clone()) {
                        open.push(existences(&other).1);
                    }
                }
            }
        }
        Ok(false)
    }

    /// A version after an operation that is stamped like another one.
    fn like(&self, other: &Version, version: &Version, operation: Operation) -> Version {
        let at = other.stamps.latest().map(|stamp| stamp.at);
        version.after(&Effect::of(Seq(1), &Operation { at, ..operation }), self.replica)
    }

    /// No two live entities have one unique key; of two of this bunch the later operation has to go. Of a
    /// swap the one half waits for the other one that failed.
    pub(super) fn require_unique(
        &self,
        world: &World<'a, S>,
        out: &Out,
        objections: &mut Vec<Objection>,
    ) -> Result<(), S::Error> {
        for (key, touched) in world.touched() {
            let Existence::Live(state) = &touched.version.existence else { continue };
            if sabotaged!(clash_not_seen) {
                continue;
            }
            for (_, fields, values) in self.rules.schema.keys(key, state) {
                let others = world.holders(key.collection(), fields, &values)?;
                for other in others.into_iter().filter(|other| other != key) {
                    let theirs = world.origin(&other);
                    let (place, holder, cause) = match theirs {
                        Some(theirs) if theirs > touched.origin => (theirs, key, Some(touched.origin)),
                        Some(_) | None => (touched.origin, &other, theirs),
                    };
                    let fails = if Some(place) == theirs { &other } else { key };
                    let is_swapped = theirs.is_none() && self.is_swapped(key, &other, fields, out)?;
                    let outcome = Some(match self.operation(place) {
                        // What came back with it, not it itself.
                        Some(own) if own.key() != fails => {
                            let of = Some(fails.clone());
                            Outcome::Clash { unique: fields.to_vec(), holder: holder.id(), of }
                        }
                        Some(_) | None if is_swapped => Outcome::Waits { on: holder.clone() },
                        Some(_) | None => {
                            Outcome::Clash { unique: fields.to_vec(), holder: holder.id(), of: None }
                        }
                    });
                    objections.push(Objection { place, outcome, cause });
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use uuid::Uuid;

    use crate::algebra::{
        Answer, Ask, BunchNumber, CollectionName, EntityKey, Existence, FIELDS_BYTES_MAX, Generation, Millis,
        Operation, Outcome, Patch, Planned, ReplicaId, Schema, Seq, State,
    };
    use crate::authority::{MemoryStore, Rules, Store, answer};
    use crate::codec::lines;

    pub(in crate::authority) fn planned(number: u64, operations: impl IntoIterator<Item = Operation>) -> Ask {
        let planned = |(seq, operation)| Planned {
            operation,
            base: None,
            first: Seq(seq),
            last: Seq(seq),
            operations: 1,
            touched: None,
        };
        let bunch = lines::bunch(BunchNumber(number), (1..).zip(operations).map(planned).collect());
        Ask::Deliver { replica: ReplicaId(Uuid::from_u128(7)), bunch, generation: None }
    }

    #[test]
    fn what_would_be_larger_than_anybody_reads_is_refused() {
        let notes = CollectionName::new("notes").unwrap();
        let [one, other] = [1, 2].map(|n| EntityKey::new(notes.clone(), Uuid::from_u128(n)).unwrap());
        let [a, b] = ["a", "b"].map(|name| {
            let json = format!(r#"{{"{name}":"{}"}}"#, "x".repeat(FIELDS_BYTES_MAX / 3 * 2));
            Patch::from_json(&json).unwrap()
        });
        let schema = Schema::default();
        let mut store = MemoryStore::new(schema.clone(), Generation::default());
        let rules = Rules { schema: &schema, now: Millis(1), refuses: &|_| None };
        let mut delivered = |ask| match answer(&mut store, &rules, &ask) {
            Ok(Answer::Delivered(outcomes)) => outcomes.outcomes,
            other => panic!("{other:?}"),
        };
        let made = delivered(planned(1, [Operation::patch(one.clone(), a.clone())]));
        assert!(matches!(made.as_slice(), [Outcome::Accepted { .. }]), "{made:?}");
        let too_much = [Operation::patch(one.clone(), b.clone()), Operation::patch(other.clone(), b.clone())];
        let outcomes = delivered(planned(2, too_much));
        let [Outcome::Refused { reason }, Outcome::Accepted { .. }] = outcomes.as_slice() else {
            panic!("not the one alone is refused");
        };
        assert!(reason.contains("16 MiB"), "{reason}");
        let shorter = Patch::removing("a").then(&b);
        let outcomes = delivered(planned(3, [Operation::patch(one, shorter)]));
        assert!(matches!(outcomes.as_slice(), [Outcome::Accepted { .. }]));
    }

    #[test]
    fn a_child_of_what_would_be_too_large_waits_for_it() {
        let refers = r#"{"in":{"to":"folders","on_delete":"cascade"}}"#;
        let json = format!(r#"{{"collections":{{"folders":{{}},"notes":{{"references":{refers}}}}}}}"#);
        let schema = Schema::from_json(&json).unwrap();
        let key = |name, n| EntityKey::new(CollectionName::new(name).unwrap(), Uuid::from_u128(n)).unwrap();
        let (parent, child) = (key("folders", 1), key("notes", 2));
        let [a, b] = ["a", "b"].map(|name| {
            let json = format!(r#"{{"{name}":"{}"}}"#, "x".repeat(FIELDS_BYTES_MAX / 3 * 2));
            Patch::from_json(&json).unwrap()
        });
        let inside = State::from_json(&format!(r#"{{"in":"{}"}}"#, parent.id())).unwrap();
        let both = State::empty().with(&a).with(&b);
        let ask = planned(1, [Operation::create(parent.clone(), both), Operation::create(child, inside)]);
        let mut store = MemoryStore::new(schema.clone(), Generation::default());
        let rules = Rules { schema: &schema, now: Millis(1), refuses: &|_| None };
        let Ok(Answer::Delivered(outcomes)) = answer(&mut store, &rules, &ask) else { panic!("no outcomes") };
        let [Outcome::Refused { .. }, Outcome::Waits { on }] = outcomes.outcomes.as_slice() else {
            panic!("the child does not wait");
        };
        assert_eq!(*on, parent);
    }

    #[test]
    fn a_child_that_is_written_as_it_was_keeps_its_parent() {
        let json =
            r#"{"collections":{"folders":{"references":{"in":{"to":"folders","on_delete":"cascade"}}}}}"#;
        let schema = Schema::from_json(json).unwrap();
        let folders = CollectionName::new("folders").unwrap();
        let [parent, child] = [1, 2].map(|n| EntityKey::new(folders.clone(), Uuid::from_u128(n)).unwrap());
        let inside = format!(r#"{{"in":"{}"}}"#, parent.id());
        let made = [
            Operation::create(parent.clone(), State::empty()),
            Operation::create(child.clone(), State::from_json(&inside).unwrap()),
        ];
        let again = Operation::patch(child.clone(), Patch::from_json(&inside).unwrap());
        let mut store = MemoryStore::new(schema.clone(), Generation::default());
        for (number, operations) in
            (1..).zip([made.to_vec(), vec![again.clone(), Operation::delete(parent.clone())]])
        {
            let ask = planned(number, operations);
            let rules = Rules { schema: &schema, now: Millis(1), refuses: &|_| None };
            let Ok(answer) = answer(&mut store, &rules, &ask);
            assert!(matches!(answer, Answer::Delivered(_)));
        }
        for key in [parent, child] {
            let Ok(stored) = store.entity(&key);
            assert!(matches!(stored.unwrap().version.existence, Existence::Live(_)), "{key}");
        }
    }
}
