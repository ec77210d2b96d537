//! Writing what was put: a statement for each table and what happens to its rows, however many there are.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::error::PostgresError;
use super::held::{Held, Place, Recorded};
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
            let table = self.tables.require(key.collection())?;
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
        let forget = if unwritten.triggers.is_empty() { None } else { self.forget_triggers(held)? };
        let (mut answers, mut counters) = (unwritten.answers.into_iter(), unwritten.counters);
        let rows = unwritten.triggers.chunk_by(|one, next| one.sender == next.sender);
        let mut rows = rows.flat_map(|same| same.chunks(TRIGGERS_A_ROW_MAX));
        loop {
            let (triggers, answer) = (rows.next().unwrap_or_default(), answers.next());
            if triggers.is_empty() && counters.is_empty() && answer.is_none() {
                calls.extend(forget);
                return Ok(calls);
            }
            let call = Call::new(&self.own.beside).with(self.account);
            let call = self.with_triggers(call, triggers, held.triggers_from)?;
            let call = self.with_counters(call, held, std::mem::take(&mut counters))?;
            calls.push(with_answer(call, held, answer));
        }
    }

    /// Forgets the oldest triggers where there are too many.
    fn forget_triggers(&self, held: &mut Held) -> Result<Option<Call>, PostgresError> {
        let kept = held.last_trigger.saturating_sub(held.triggers_from);
        if kept <= self.triggers_max.saturating_add(self.triggers_max / 10) {
            return Ok(None);
        }
        held.triggers_from = held.last_trigger.saturating_sub(self.triggers_max);
        let until = counted("a trigger's index", held.triggers_from)?;
        Ok(Some(Call::new(&self.own.forget_triggers).with(self.account).with(until)))
    }

    fn with_triggers(&self, call: Call, triggers: &[Trigger], from: u64) -> Result<Call, PostgresError> {
        let index = |trigger: &Trigger| counted("a trigger's index", trigger.index.0);
        let (mut numbers, mut ids) = (Vec::new(), Vec::new());
        let (mut epochs, mut deletes) = (Vec::new(), Vec::new());
        for trigger in triggers {
            numbers.push(self.tables.require(trigger.key.collection())?.number);
            ids.push(trigger.key.id());
            epochs.push(counted("an epoch", trigger.epoch.0)?);
            deletes.push(trigger.action == Action::Delete);
        }
        let call = call.with(triggers.first().map(index).transpose()?);
        let call = call.with(triggers.last().map(index).transpose()?);
        let call = call.with(triggers.first().and_then(|trigger| trigger.sender));
        let call = call.with(numbers).with(ids).with(epochs).with(deletes);
        Ok(call.with(counted("a trigger's index", from)?))
    }

    fn with_counters(
        &self,
        call: Call,
        held: &Held,
        collections: BTreeSet<CollectionName>,
    ) -> Result<Call, PostgresError> {
        let (mut numbers, mut lasts, mut floors) = (Vec::new(), Vec::new(), Vec::new());
        let (mut counts, mut sums) = (Vec::new(), Vec::new());
        for collection in collections {
            let counter = held.counters.get(&collection).copied().unwrap_or_default();
            numbers.push(self.tables.require(&collection)?.number);
            lasts.push(counted("an epoch", counter.last.0)?);
            floors.push(counted("an epoch", counter.floor.0)?);
            counts.push(counted("a number of entities", counter.live.count)?);
            sums.push(counter.live.sum.0.to_vec());
        }
        Ok(call.with(numbers).with(lasts).with(floors).with(counts).with(sums))
    }
}

fn with_answer(call: Call, held: &Held, answer: Option<Recorded>) -> Call {
    let recorded = answer.and_then(|of| Some((of, held.answers.get(&of)?.as_ref()?)));
    let call = call.with(recorded.map(|((replica, _), _)| replica.0));
    let call = call.with(recorded.map(|((_, bunch), _)| bunch.0.cast_signed()));
    let call = call.with(recorded.map(|(_, (digest, _))| digest.0.to_vec()));
    call.with(recorded.map(|(_, (_, outcomes))| outcomes.to_line()))
}
