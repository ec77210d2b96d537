//! Rewriting the run: the one way in which a journal changes but for appending.
//!
//! The compacted run is a list of [levels](super::levels). A rewrite folds the log, the newest levels, and
//! what the caller lays over them (effects that were sealed away, came back, or moved to another base)
//! into one new level. So the cost of a rewrite follows the new operations, and
//! each entry is rewritten a logarithmic number of times in all. What is long is folded by a [`pass`](super::pass)
//! before, in many commits. Invariant: replaying the levels from the oldest, then the log, gives every pending
//! effect.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use redb::WriteTransaction;
use uuid::Uuid;

use super::columns::{Values, remove};
use super::entry::{Entry, group_names};
use super::error::{Error, engine};
use super::folding::{Folding, Part, Sources};
use super::levels::{Joined, LevelWriter, Sizes, newest_at_once};
use super::parts::Parts;
use super::tables::{LOG, RUN, Snapshot, damaged};
use crate::algebra::{Effect, EntityKey, Group};
use crate::codec::records::{JournalState, Level};
use crate::codec::row::Row;

/// What is laid over the pending effects: nothing at all in place of an entity's effect, or another one.
pub(crate) type Overrides = BTreeMap<EntityKey, Option<Entry>>;

/// What a rewrite is about.
pub(crate) struct Due {
    pub(crate) joined: Joined,
    /// All of the log, or none of it.
    log: Option<Range<u64>>,
}

impl Due {
    /// The log, and levels that are chosen by how many rows it has.
    pub(crate) fn with_log(
        folding: &Folding,
        state: &JournalState,
        choose: impl FnOnce(&[Level], u64) -> Joined,
    ) -> Result<Due, Error> {
        let log = state.log_begins..folding.log_end(state.log_begins)?;
        let joined = choose(&state.levels, log.end - log.start);
        Ok(Due { joined, log: Some(log) })
    }

    /// Levels alone.
    pub(crate) fn of_levels(joined: Joined) -> Due {
        Due { joined, log: None }
    }

    /// Whether there is anything to fold.
    pub(crate) fn is_any(&self) -> bool {
        !self.joined.levels.is_empty() || self.has_log()
    }

    fn has_log(&self) -> bool {
        self.log.as_ref().is_some_and(|log| !log.is_empty())
    }

    pub(crate) fn sources(&self) -> Sources {
        Sources { levels: self.joined.levels.clone(), log: self.log.clone() }
    }

    /// What comes of it takes the place of what it was folded from, in a state to which levels may have been added
    /// since.
    pub(crate) fn done(&self, state: &mut JournalState, levels: Vec<Level>) {
        let end = levels.last().map_or(0, |level| level.range().end);
        state.next_ordinal = state.next_ordinal.max(end);
        self.joined.replace(&mut state.levels, levels);
        if let Some(log) = &self.log {
            state.log_begins = log.end;
        }
    }
}

/// Folds the log and the newest levels into one level, with the overrides on top, in a transaction.
pub(crate) fn rewrite(
    txn: &WriteTransaction,
    snapshot: &Snapshot,
    state: &mut JournalState,
    overrides: &Overrides,
    pass_bytes: u64,
) -> Result<(), Error> {
    let mut folding = Folding::new(snapshot)?;
    let sizes = Sizes::of(pass_bytes);
    let choose = |levels: &[Level], rows| newest_at_once(levels, rows + overrides.len() as u64, sizes);
    let due = Due::with_log(&folding, state, choose)?;
    if !due.is_any() && overrides.is_empty() {
        return Ok(());
    }
    let mut writer = LevelWriter::new(txn, due.joined.into, state.next_ordinal, 0);
    fold_into(&mut folding, &due, overrides, pass_bytes, &mut writer)?;
    let levels = writer.finish()?;
    for level in &due.joined.levels {
        remove(txn, RUN, level.range())?;
    }
    if due.has_log() {
        for table in [LOG.rows, LOG.payload] {
            // Dropping a table is the quickest way to empty it.
            txn.delete_table(table).map_err(engine)?;
            txn.open_table(table).map_err(engine)?;
        }
    }
    due.done(state, levels);
    tracing::debug!(levels = state.levels.len(), "rewrote the run");
    Ok(())
}

/// Writes what is due, with the overrides on top.
pub(crate) fn fold_into(
    folding: &mut Folding,
    due: &Due,
    overrides: &Overrides,
    pass_bytes: u64,
    writer: &mut LevelWriter<impl Values + Copy>,
) -> Result<(), Error> {
    let (joined, sources) = (&due.joined, &due.sources());
    let mut laid_over: HashMap<(u32, Uuid), ()> = HashMap::with_capacity(overrides.len());
    for key in overrides.keys() {
        let name = folding.interned.name(key.collection().as_str()).map_err(damaged("an override"))?;
        laid_over.insert((name, key.id()), ());
    }
    let is_free = |collection: u32, id: Uuid| !laid_over.contains_key(&(collection, id));
    let parts = Parts::of(folding, sources, pass_bytes)?;
    if let Some(crowded) = &parts.crowded {
        crowded.alone(folding, sources, |collection, row, preamble, payload| {
            let is_cut = row.is_cut && !joined.is_bottom_of(row.id);
            // What only says that everything older is done with says so to older levels.
            if !is_free(collection, row.id) || (row.shape.operations == 0 && !is_cut) {
                return Ok(());
            }
            let name = preamble.names.get(usize::from(row.name)).map_or("", String::as_str);
            let groups = group_names(row, preamble).map_err(damaged("an entry"))?;
            let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
            let row = Row { is_cut, ..*row };
            writer.of(row.id).push(row, name, &groups, payload.fields, payload.extra)
        })?;
    }
    for part in 0..parts.number {
        parts.fold(folding, sources, part)?;
        folding.survivors(
            |slot| is_free(slot.collection, slot.id),
            |slot, row, payload| {
                let name = folding.interned.collection(slot.collection).map_err(damaged("an entry"))?;
                let groups = folding.interned.groups(slot.extra.groups);
                let groups: Vec<&str> = groups.iter().map(Group::as_str).collect();
                let row = Row { is_cut: row.is_cut && !joined.is_bottom_of(slot.id), ..*row };
                writer.of(slot.id).push(row, name.as_str(), &groups, payload.fields, payload.extra)
            },
        )?;
        if !joined.is_bottom() {
            let cuts = folding.slots.slots.iter().filter(|slot| {
                slot.count.operations == 0
                    && slot.extra.is_cut
                    && is_free(slot.collection, slot.id)
                    && !joined.is_bottom_of(slot.id)
            });
            for slot in cuts {
                let name = folding.interned.collection(slot.collection).map_err(damaged("an entry"))?;
                writer.of(slot.id).push_effect(name, slot.id, &Effect::identity(), 0, true)?;
            }
        }
    }
    for (key, entry) in overrides {
        let is_bottom = joined.is_bottom_of(key.id());
        match entry {
            Some(entry) => writer.of(key.id()).push_entry(entry, !is_bottom)?,
            None if is_bottom => {}
            None => {
                writer.of(key.id()).push_effect(key.collection(), key.id(), &Effect::identity(), 0, true)?
            }
        }
    }
    Ok(())
}

/// The pending effects of some entities, composed of all levels and the log.
pub(crate) fn effects_of(
    snapshot: &Snapshot,
    state: &JournalState,
    keys: &[EntityKey],
) -> Result<HashMap<EntityKey, Entry>, Error> {
    let folding = Folding::new(snapshot)?;
    let sources = all(&folding, state)?;
    effects_in(folding, &sources, keys)
}

/// The pending effects of all entities.
pub(crate) fn all_effects(
    snapshot: &Snapshot,
    state: &JournalState,
) -> Result<HashMap<EntityKey, Entry>, Error> {
    let folding = Folding::new(snapshot)?;
    let sources = all(&folding, state)?;
    survivors_of(folding, &sources, Part::All)
}

/// The same, without what is in the log.
pub(crate) fn compacted_effects_of(
    snapshot: &Snapshot,
    state: &JournalState,
    keys: &[EntityKey],
) -> Result<HashMap<EntityKey, Entry>, Error> {
    let sources = Sources { levels: state.levels.clone(), log: None };
    effects_in(Folding::new(snapshot)?, &sources, keys)
}

fn effects_in(
    mut folding: Folding,
    sources: &Sources,
    keys: &[EntityKey],
) -> Result<HashMap<EntityKey, Entry>, Error> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let mut chosen = std::collections::HashSet::with_capacity(keys.len());
    for key in keys {
        let name = folding.interned.name(key.collection().as_str()).map_err(damaged("a key"))?;
        chosen.insert((name, key.id()));
    }
    survivors_of(folding, sources, Part::Keys(&chosen))
}

fn survivors_of(
    mut folding: Folding,
    sources: &Sources,
    part: Part<'_>,
) -> Result<HashMap<EntityKey, Entry>, Error> {
    folding.fold(sources, part)?;
    let mut found = HashMap::new();
    folding.survivors(
        |_| true,
        |slot, row, payload| {
            let entry = folding.entry(slot, row, payload)?;
            found.insert(entry.key.clone(), entry);
            Ok(())
        },
    )?;
    Ok(found)
}

/// Everything that is pending.
pub(crate) fn all(folding: &Folding, state: &JournalState) -> Result<Sources, Error> {
    let log = state.log_begins..folding.log_end(state.log_begins)?;
    Ok(Sources { levels: state.levels.clone(), log: Some(log) })
}
