//! Rewriting the run: the one way in which a journal changes but for appending.
//!
//! The compacted run is a list of levels, oldest first. A rewrite folds the log, the newest levels, and
//! what the caller lays over them (effects that were sealed away, came back, or moved to another base)
//! into one new level. How many levels take part follows their sizes: a level joins while it has at most
//! twice the rows that are newer. So the cost of a rewrite follows the new operations, and
//! each entry is rewritten a logarithmic number of times in all. What is long is folded by a [`pass`](super::pass)
//! before, in many commits. Invariant: replaying the levels from the oldest, then the log, gives every pending
//! effect.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use redb::WriteTransaction;
use uuid::Uuid;

use super::columns::{ColumnWriter, Values, remove};
use super::entry::{Entry, group_names};
use super::error::{Error, engine};
use super::folding::{Folding, Part, SLOT_BYTES, Sources};
use super::parts::Parts;
use super::tables::{LOG, RUN, Snapshot, damaged};
use crate::algebra::{Effect, EntityKey, Group};
use crate::codec::columns::Layout;
use crate::codec::records::{JournalState, Level};
use crate::codec::row::Row;

/// What is laid over the pending effects: nothing at all in place of an entity's effect, or another one.
pub(crate) type Overrides = BTreeMap<EntityKey, Option<Entry>>;

/// How a level joins a rewrite: while it has at most so many times the rows that are newer.
const GROWTH: u64 = 2;

/// More rows than that are folded by a pass of many commits, for nobody can append while one lasts.
const ROWS_AT_ONCE: u64 = 1_000;

/// How many rows are folded within one commit, of a journal whose passes may take so many bytes.
pub(crate) fn rows_at_once(pass_bytes: u64) -> u64 {
    ROWS_AT_ONCE.min(pass_bytes / SLOT_BYTES / 4)
}

/// What a rewrite is about.
pub(crate) struct Due {
    /// How many of the oldest levels stay as they are.
    pub(crate) kept: usize,
    pub(crate) sources: Sources,
}

impl Due {
    /// What is to be folded where so many rows are new, and at most so many of levels join them; none if there is nothing.
    pub(crate) fn of(
        folding: &Folding,
        state: &JournalState,
        overrides: u64,
        rows_max: u64,
    ) -> Result<Option<Due>, Error> {
        let end = folding.log_end(state.log_begins)?;
        let log_rows = end - state.log_begins;
        let kept = levels_kept(&state.levels, log_rows + overrides, rows_max);
        let levels = state.levels.get(kept..).unwrap_or(&[]).to_vec();
        let is_any = log_rows > 0 || overrides > 0 || !levels.is_empty();
        let log = Some(state.log_begins..end);
        Ok(is_any.then_some(Due { kept, sources: Sources { levels, log } }))
    }

    /// All of it, if it is not one level already.
    pub(crate) fn everything(folding: &Folding, state: &JournalState) -> Result<Option<Due>, Error> {
        let sources = all(folding, state)?;
        let is_one = sources.levels.len() <= 1 && sources.log.as_ref().is_none_or(Range::is_empty);
        Ok((!is_one).then_some(Due { kept: 0, sources }))
    }

    /// Whether there is nothing below what is written.
    fn is_bottom(&self) -> bool {
        self.kept == 0
    }

    /// The level that comes of it takes the place of what it was folded from, in a state to which levels may have been
    /// added since.
    pub(crate) fn done(&self, state: &mut JournalState, level: Level) {
        let joined = self.kept..self.kept + self.sources.levels.len();
        state.levels.splice(joined, (level.rows > 0).then_some(level));
        state.next_ordinal = state.next_ordinal.max(level.range().end);
        if let Some(log) = &self.sources.log {
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
    let rows_max = rows_at_once(pass_bytes);
    let Some(due) = Due::of(&folding, state, overrides.len() as u64, rows_max)? else { return Ok(()) };
    let first = state.next_ordinal;
    let mut writer = ColumnWriter::new(txn, RUN, Layout::Run, first);
    fold_into(&mut folding, &due, overrides, pass_bytes, &mut writer)?;
    let rows = writer.finish()? - first;
    for level in &due.sources.levels {
        remove(txn, RUN, level.range())?;
    }
    if due.sources.log.as_ref().is_some_and(|log| !log.is_empty()) {
        for table in [LOG.rows, LOG.payload] {
            // Dropping a table is the quickest way to empty it.
            txn.delete_table(table).map_err(engine)?;
            txn.open_table(table).map_err(engine)?;
        }
    }
    due.done(state, Level { first, rows });
    tracing::debug!(rows, levels = state.levels.len(), "rewrote the run");
    Ok(())
}

/// Writes what is due as one level, with the overrides on top.
pub(crate) fn fold_into(
    folding: &mut Folding,
    due: &Due,
    overrides: &Overrides,
    pass_bytes: u64,
    writer: &mut ColumnWriter<impl Values>,
) -> Result<(), Error> {
    let (sources, is_bottom) = (&due.sources, due.is_bottom());
    let mut laid_over: HashMap<(u32, Uuid), ()> = HashMap::with_capacity(overrides.len());
    for key in overrides.keys() {
        let name = folding.interned.name(key.collection().as_str()).map_err(damaged("an override"))?;
        laid_over.insert((name, key.id()), ());
    }
    let is_free = |collection: u32, id: Uuid| !laid_over.contains_key(&(collection, id));
    let parts = Parts::of(folding, sources, pass_bytes)?;
    if let Some(crowded) = &parts.crowded {
        crowded.alone(folding, sources, |collection, row, preamble, payload| {
            // What only says that everything older is done with says so to older levels.
            if !is_free(collection, row.id) || (row.shape.operations == 0 && is_bottom) {
                return Ok(());
            }
            let name = preamble.names.get(usize::from(row.name)).map_or("", String::as_str);
            let groups = group_names(row, preamble).map_err(damaged("an entry"))?;
            let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
            let row = Row { is_cut: row.is_cut && !is_bottom, ..*row };
            writer.push(row, name, &groups, payload.fields, payload.extra)
        })?;
    }
    for part in 0..parts.number {
        parts.fold(folding, sources, part)?;
        folding.survivors(
            |slot| is_free(slot.collection, slot.id),
            |slot, row, payload| {
                let name = folding.interned.collection(slot.collection).map_err(damaged("an entry"))?;
                let groups: Vec<&str> =
                    folding.interned.groups(slot.extra.groups).iter().map(Group::as_str).collect();
                let row = Row { is_cut: row.is_cut && !is_bottom, ..*row };
                writer.push(row, name.as_str(), &groups, payload.fields, payload.extra)
            },
        )?;
        if !is_bottom {
            let cuts = folding.slots.slots.iter().filter(|slot| {
                slot.count.operations == 0 && slot.extra.is_cut && is_free(slot.collection, slot.id)
            });
            for slot in cuts {
                let name = folding.interned.collection(slot.collection).map_err(damaged("an entry"))?;
                writer.push_effect(name, slot.id, &Effect::identity(), 0, true)?;
            }
        }
    }
    for (key, entry) in overrides {
        match entry {
            Some(entry) => {
                writer.push_entry(entry, !is_bottom)?;
            }
            None if is_bottom => {}
            None => writer.push_effect(key.collection(), key.id(), &Effect::identity(), 0, true)?,
        }
    }
    Ok(())
}

/// How many of the oldest levels stay as they are, where no more than so many rows are folded in all.
pub(super) fn levels_kept(levels: &[Level], new_rows: u64, rows_max: u64) -> usize {
    let (mut rows, mut kept) = (new_rows, levels.len());
    for (place, level) in levels.iter().enumerate().rev() {
        let joins = level.rows <= rows.saturating_mul(GROWTH);
        rows = rows.saturating_add(level.rows);
        if joins && rows <= rows_max {
            kept = place;
        }
    }
    kept
}

/// Whether some levels are to be folded into one, whatever is new.
pub(super) fn are_due(levels: &[Level]) -> bool {
    levels_kept(levels, 0, u64::MAX) < levels.len()
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
