//! Writing what was put: a statement for each table and what happens to its rows, however many there are.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::error::PostgresError;
use super::held::{Held, Place};
use super::own::Own;
use super::pipeline::Call;
use super::row::Rows;
use super::tables::Tables;
use super::values::counted;
use crate::algebra::{Action, CollectionName, Schema, Trigger};
use crate::codec::lines::Line;

/// The most triggers of one row: as many as a page of them may well have.
const TRIGGERS_A_ROW_MAX: usize = 1_000;

/// Where things are written.
pub(super) struct Target<'a> {
    pub(super) tables: &'a Tables,
    pub(super) own: &'a Own,
    pub(super) schema: &'a Schema,
    pub(super) account: i64,
    pub(super) triggers_max: u64,
}

/// What becomes of the rows of one table.
#[derive(Default)]
struct Changes {
    inserts: Rows,
    updates: Rows,
    deletes: Rows,
    burials: Rows,
    returns: Vec<Uuid>,
}

impl Target<'_> {
    /// The statements that write all that is not written; what is held counts as written then.
    pub(super) fn calls(&self, held: &mut Held) -> Result<Vec<Call>, PostgresError> {
        let mut calls = Vec::new();
        let unwritten = std::mem::take(&mut held.unwritten);
        let mut by_collection: BTreeMap<&CollectionName, Changes> = BTreeMap::new();
        for key in &unwritten.order {
            let Some(slot) = held.entities.get_mut(key) else { continue };
            let Some(stored) = &slot.stored else { continue };
            let table = self.tables.get(key.collection()).ok_or_else(|| no_table(key.collection()))?;
            let changes = by_collection.entry(key.collection()).or_default();
            let is_live = stored.version.existence.is_live();
            let rows = match (slot.place, is_live) {
                (Place::Nowhere, true) => &mut changes.inserts,
                (Place::Live, true) => &mut changes.updates,
                (Place::Archive, true) => {
                    changes.returns.push(key.id());
                    &mut changes.inserts
                }
                (Place::Live, false) => &mut changes.deletes,
                (Place::Nowhere | Place::Archive, false) => &mut changes.burials,
            };
            rows.push(table, self.schema, key, stored)?;
            slot.place = if is_live { Place::Live } else { Place::Archive };
        }
        for (collection, changes) in by_collection {
            let Some(table) = self.tables.get(collection) else { continue };
            let says = &table.says;
            if !changes.returns.is_empty() {
                calls.push(Call::new(&says.unbury).with(self.account).with(changes.returns));
            }
            let groups = [
                (changes.inserts, &says.insert),
                (changes.updates, &says.update),
                (changes.deletes, &says.delete),
                (changes.burials, &says.bury),
            ];
            let filled = groups.into_iter().filter(|(rows, _)| !rows.is_empty());
            calls.extend(filled.map(|(rows, says)| rows.call(says, self.account)));
        }
        self.triggers(held, &unwritten.triggers, &mut calls)?;
        self.counters(held, &unwritten.counters.into_iter().collect::<Vec<_>>(), &mut calls)?;
        for (replica, bunch) in &unwritten.answers {
            let Some(Some((digest, outcomes))) = held.answers.get(&(*replica, *bunch)) else { continue };
            let call = Call::new(&self.own.record).with(self.account).with(replica.0);
            calls.push(call.with(bunch.0.cast_signed()).with(digest.0.to_vec()).with(outcomes.to_line()));
        }
        Ok(calls)
    }

    fn triggers(
        &self,
        held: &mut Held,
        triggers: &[Trigger],
        calls: &mut Vec<Call>,
    ) -> Result<(), PostgresError> {
        if triggers.is_empty() {
            return Ok(());
        }
        for same in triggers.chunk_by(|one, next| one.sender == next.sender) {
            for part in same.chunks(TRIGGERS_A_ROW_MAX) {
                calls.push(self.trigger_row(part)?);
            }
        }
        let kept = held.last_trigger.saturating_sub(held.triggers_from);
        if kept > self.triggers_max.saturating_add(self.triggers_max / 10) {
            held.triggers_from = held.last_trigger.saturating_sub(self.triggers_max);
            let until = counted("a trigger's index", held.triggers_from)?;
            calls.push(Call::new(&self.own.forget_triggers).with(self.account).with(until));
        }
        let last = counted("a trigger's index", held.last_trigger)?;
        let from = counted("a trigger's index", held.triggers_from)?;
        calls.push(Call::new(&self.own.passed).with(self.account).with(last).with(from));
        Ok(())
    }

    fn trigger_row(&self, triggers: &[Trigger]) -> Result<Call, PostgresError> {
        let index = |trigger: Option<&Trigger>| {
            counted("a trigger's index", trigger.map_or(0, |trigger| trigger.index.0))
        };
        let number = |trigger: &Trigger| {
            let collection = trigger.key.collection();
            self.tables.get(collection).map(|table| table.number).ok_or_else(|| no_table(collection))
        };
        let numbers: Vec<i32> = triggers.iter().map(number).collect::<Result<_, _>>()?;
        let epochs: Vec<i64> =
            triggers.iter().map(|trigger| counted("an epoch", trigger.epoch.0)).collect::<Result<_, _>>()?;
        let ids: Vec<Uuid> = triggers.iter().map(|trigger| trigger.key.id()).collect();
        let deletes: Vec<bool> = triggers.iter().map(|trigger| trigger.action == Action::Delete).collect();
        Ok(Call::new(&self.own.trigger)
            .with(self.account)
            .with(index(triggers.last())?)
            .with(index(triggers.first())?)
            .with(triggers.first().and_then(|trigger| trigger.sender))
            .with(numbers)
            .with(ids)
            .with(epochs)
            .with(deletes))
    }

    fn counters(
        &self,
        held: &Held,
        collections: &[CollectionName],
        calls: &mut Vec<Call>,
    ) -> Result<(), PostgresError> {
        if collections.is_empty() {
            return Ok(());
        }
        let (mut numbers, mut lasts, mut floors) = (Vec::new(), Vec::new(), Vec::new());
        let (mut counts, mut sums) = (Vec::new(), Vec::new());
        for collection in collections {
            let table = self.tables.get(collection).ok_or_else(|| no_table(collection))?;
            let counter = held.counters.get(collection).copied().unwrap_or_default();
            numbers.push(table.number);
            lasts.push(counted("an epoch", counter.last.0)?);
            floors.push(counted("an epoch", counter.floor.0)?);
            counts.push(counted("a number of entities", counter.live.count)?);
            sums.push(counter.live.sum.0.to_vec());
        }
        let call = Call::new(&self.own.count).with(self.account).with(numbers).with(lasts);
        calls.push(call.with(floors).with(counts).with(sums));
        Ok(())
    }
}

/// The rules refuse what the schema does not name, so nothing of it is written.
pub(super) fn no_table(collection: &CollectionName) -> PostgresError {
    PostgresError::Schema {
        why: format!("it does not name {collection}, and only what it names has a table"),
    }
}
