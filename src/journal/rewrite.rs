//! Rewriting the run: the one way in which a journal changes but for appending.
//!
//! The compacted run is a list of levels, oldest first. A rewrite folds the log, the newest levels, and
//! what the caller lays over them (effects that were sealed away, came back, or moved to another base)
//! into one new level. How many levels take part follows their sizes: a level joins while it has at most
//! twice the rows that are folded already. So the cost of a rewrite follows the new operations, and
//! each entry is rewritten a logarithmic number of times in all. Invariant: replaying the levels from
//! the oldest, then the log, gives every pending effect.

use std::collections::{BTreeMap, HashMap};

use redb::WriteTransaction;
use uuid::Uuid;

use super::alone::Crowded;
use super::columns::{ColumnWriter, remove};
use super::entry::{Entry, group_names};
use super::error::{Error, engine};
use super::folding::{Folding, Part, SLOT_BYTES, Sources};
use super::tables::{LOG, RUN, Snapshot, damaged};
use crate::algebra::{Effect, EntityKey, Group};
use crate::codec::columns::Layout;
use crate::codec::records::{JournalState, Level};
use crate::codec::row::Row;

/// What is laid over the pending effects: nothing at all in place of an entity's effect, or another one.
pub(crate) type Overrides = BTreeMap<EntityKey, Option<Entry>>;

/// How a level joins a rewrite: while it has at most so many times the rows that take part already.
const GROWTH: u64 = 2;

/// Folds the log and the newest levels into one level, with the overrides on top.
pub(crate) fn rewrite(
    txn: &WriteTransaction,
    snapshot: &Snapshot,
    state: &mut JournalState,
    overrides: &Overrides,
    pass_bytes: u64,
) -> Result<(), Error> {
    let mut folding = Folding::new(snapshot)?;
    let log_rows = folding.log_end(state.log_begins)? - state.log_begins;
    if log_rows == 0 && overrides.is_empty() {
        return Ok(());
    }
    let kept = levels_kept(&state.levels, log_rows + overrides.len() as u64);
    let log = state.log_begins..state.log_begins + log_rows;
    let is_bottom = kept == 0;
    let sources =
        Sources { levels: state.levels.get(kept..).unwrap_or(&[]).to_vec(), log: Some(log.clone()) };
    let mut laid_over: HashMap<(u32, Uuid), ()> = HashMap::with_capacity(overrides.len());
    for key in overrides.keys() {
        let name = folding.interned.name(key.collection().as_str()).map_err(damaged("an override"))?;
        laid_over.insert((name, key.id()), ());
    }
    let is_free = |collection: u32, id: Uuid| !laid_over.contains_key(&(collection, id));
    let mut writer = ColumnWriter::new(txn, RUN, Layout::Run, state.next_ordinal)?;
    let Parts { crowded, parts, entities } = parts(&mut folding, &sources, pass_bytes)?;
    if let Some(crowded) = &crowded {
        crowded.alone(&mut folding, &sources, |collection, row, preamble, payload| {
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
    for part in 0..parts {
        folding.clear(entities);
        folding.fold(&sources, Part::Hashed { part, of: parts, crowded: crowded.as_ref() })?;
        folding.survivors(
            |_, slot| is_free(slot.collection, slot.id),
            |_, slot, row, payload| {
                let name = folding.interned.collection(slot.collection).map_err(damaged("an entry"))?;
                let groups: Vec<&str> =
                    folding.interned.groups(slot.extra.groups).iter().map(Group::as_str).collect();
                let row = Row { is_cut: row.is_cut && !is_bottom, ..*row };
                writer.push(row, name.as_str(), &groups, payload.fields, payload.extra)
            },
        )?;
        if !is_bottom {
            let cuts = folding.slots.slots.iter().filter(|slot| {
                slot.shape.operations == 0 && slot.extra.is_cut && is_free(slot.collection, slot.id)
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
    let end = writer.finish()?;
    for level in &sources.levels {
        remove(txn, RUN, level.range())?;
    }
    if log_rows > 0 {
        for table in [LOG.rows, LOG.payload] {
            // Dropping a table is the quickest way to empty it.
            txn.delete_table(table).map_err(engine)?;
            txn.open_table(table).map_err(engine)?;
        }
    }
    state.levels.truncate(kept);
    if end > state.next_ordinal {
        state.levels.push(Level { first: state.next_ordinal, rows: end - state.next_ordinal });
    }
    state.next_ordinal = end;
    state.log_begins = log.end;
    tracing::debug!(log_rows, parts, levels = state.levels.len(), "rewrote the run");
    Ok(())
}

/// How many of the oldest levels stay as they are.
fn levels_kept(levels: &[Level], new_rows: u64) -> usize {
    let mut rows = new_rows;
    let mut kept = levels.len();
    while let Some(level) = kept.checked_sub(1).and_then(|place| levels.get(place)) {
        if level.rows > rows.saturating_mul(GROWTH) {
            break;
        }
        rows += level.rows;
        kept -= 1;
    }
    kept
}

/// How a pass stays within its memory.
struct Parts {
    /// Who is folded at all, where most are alone.
    crowded: Option<Crowded>,
    /// How often the rows are read to fold them.
    parts: u64,
    /// About how many entities are folded each time, or a few more.
    entities: u64,
}

fn parts(folding: &mut Folding, sources: &Sources, pass_bytes: u64) -> Result<Parts, Error> {
    let rows = sources.rows();
    if rows.saturating_mul(SLOT_BYTES) <= pass_bytes / 4 {
        return Ok(Parts { crowded: None, parts: 1, entities: rows });
    }
    let mut estimate = folding.estimate(sources, None)?;
    let mut crowded = None;
    if estimate.bytes > pass_bytes && estimate.entities > rows / 2 {
        let found = Crowded::of(folding, sources, pass_bytes / 4)?;
        estimate = folding.estimate(sources, Some(&found))?;
        crowded = Some(found);
    }
    let left = pass_bytes.saturating_sub(crowded.as_ref().map_or(0, Crowded::bytes));
    let parts = estimate.bytes.div_ceil(left.max(SLOT_BYTES)).max(1);
    let entities = estimate.entities.div_ceil(parts);
    Ok(Parts { crowded, parts, entities: entities.saturating_add(entities / 16).min(rows) })
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
        |_, _| true,
        |_, slot, row, payload| {
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
