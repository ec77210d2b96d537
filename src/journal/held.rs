//! Which pending effects are held: those that depend on something parked.
//!
//! Held is derived, never stored, by the one rule of [`waiting`]. So what is unparked frees what waited for
//! it without a word.

use std::collections::{BTreeSet, HashSet};

use redb::ReadableTable;

use super::effects::Outline;
use super::error::{Error, engine};
use super::parked::{self, HeldEffect};
use super::tables::{CONFLICTS, Snapshot, damaged, entity_of};
use super::{Journal, pending::Pending, rewrite};
use crate::algebra::{Draft, EntityKey, Operation, Planned, Schema, draft, waiting};

impl Journal {
    /// The pending effects that are held, by entity.
    ///
    /// # Errors
    /// A journal that is suspended or damaged, or what the storage says.
    pub fn held(&self) -> Result<Vec<HeldEffect>, Error> {
        let schema = self.inner.options.schema.as_ref();
        self.inner.read(|snapshot| {
            let state = snapshot.state()?;
            let mut pending = Pending::load(snapshot, &state, self.inner.options.pass_bytes)?;
            let mut waits = parked::waits(snapshot)?;
            let held: Vec<EntityKey> = entities(snapshot, &mut pending, schema)?.into_iter().collect();
            let mut effects = rewrite::effects_of(snapshot, &state, &held)?;
            let held = held.into_iter().filter_map(|key| {
                let effect = effects.remove(&key)?.effect;
                Some(HeldEffect { waits_for: waits.remove(&key), key, effect })
            });
            Ok(held.collect())
        })
    }
}

/// The entities whose pending effects are held.
pub(crate) fn entities(
    snapshot: &Snapshot,
    pending: &mut Pending,
    schema: Option<&Schema>,
) -> Result<BTreeSet<EntityKey>, Error> {
    let parked = parked::all(snapshot)?;
    let conflicting = conflicting(snapshot)?;
    if parked.is_empty() && conflicting.is_empty() {
        // Nothing to depend on; who waits for something that is not parked need not wait.
        return Ok(BTreeSet::new());
    }
    let waits: Vec<(EntityKey, EntityKey)> = parked::waits(snapshot)?.into_iter().collect();
    let mut drafts = match schema {
        Some(_) => {
            let mut all = HashSet::new();
            pending.effects.each(|_, outline| {
                all.insert(outline.who);
                Ok(())
            })?;
            pending.drafted(&all)?.drafts.into_iter().map(|(draft, _)| draft).collect()
        }
        None => stand_ins(pending, &waits)?,
    };
    for (key, (entry, _)) in &parked {
        // One that would come to nothing by now holds nothing but who waits for it by name.
        drafts.extend(draft(key, &entry.effect, &pending.bases.get(key)?));
    }
    let standing: HashSet<EntityKey> = parked.into_keys().chain(conflicting).collect();
    Ok(waiting(&drafts, schema, &standing, &waits))
}

/// The entities with an open conflict: what is pending on them stands.
pub(crate) fn conflicting(snapshot: &Snapshot) -> Result<BTreeSet<EntityKey>, Error> {
    let Some(table) = snapshot.keyed_if_there(CONFLICTS)? else { return Ok(BTreeSet::new()) };
    let keys = table.iter().map_err(engine)?;
    keys.map(|row| entity_of(row.map_err(engine)?.0.value()).map_err(damaged("an open conflict"))).collect()
}

/// Without a schema only names and groups count, so no payload is read.
fn stand_ins(pending: &mut Pending, waits: &[(EntityKey, EntityKey)]) -> Result<Vec<Draft>, Error> {
    let waiters: HashSet<&EntityKey> = waits.iter().map(|(who, _)| who).collect();
    let mut drafts = Vec::new();
    pending.effects.each(|interned, Outline { who, shape, kept }| {
        let groups = interned.groups(kept.groups);
        if groups.is_empty() && waiters.is_empty() {
            return Ok(());
        }
        let key = interned.key(who)?;
        if groups.is_empty() && !waiters.contains(&key) {
            return Ok(());
        }
        let operation = groups.iter().cloned().fold(Operation::delete(key), Operation::in_group);
        let (first, last, operations) = (shape.first, shape.last, shape.operations);
        drafts.push(Draft {
            planned: Planned { operation, base: None, first, last, operations, touched: None },
            before: None,
        });
        Ok(())
    })?;
    Ok(drafts)
}
