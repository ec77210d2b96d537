//! Answering whatever a client asks.

use super::deliver::{Delivery, Rules, deliver};
use super::store::Store;
use crate::algebra::{Answer, Ask, Cursors, FullRow, Generation};

/// The most rows on a page, whatever is asked for: what is answered at once stands in memory at once.
pub(super) const ROWS_MAX: usize = 10_000;

/// Answers what a client asks. What it writes to the store is to become durable, all of it, before the answer
/// leaves.
///
/// # Errors
/// What the store says; then nothing may be kept of what was written.
pub fn answer<S: Store>(store: &mut S, rules: &Rules<'_>, ask: &Ask) -> Result<Answer, S::Error> {
    match ask {
        Ask::Deliver { replica, bunch, generation } => {
            let known = store.answer(*replica, bunch.number)?.is_some();
            // An answer that was recorded is one, in whatever generation it was given.
            if !known && let Some(now) = other_generation(store, *generation)? {
                return Ok(Answer::StartOver { generation: now });
            }
            Ok(match deliver(store, rules, *replica, bunch)? {
                Delivery::Answered(outcomes) => Answer::Delivered(outcomes),
                Delivery::Forked => Answer::Forked,
            })
        }
        Ask::Changes { cursors, floors, generation, rows_max } => {
            if let Some(now) = other_generation(store, *generation)? {
                return Ok(Answer::StartOver { generation: now });
            }
            if is_below_floor(store, cursors, floors)? {
                return Ok(Answer::StartOver { generation: store.generation()? });
            }
            store.changes(cursors, (*rows_max).min(ROWS_MAX)).map(Answer::Changes)
        }
        Ask::Triggers { above, triggers_max } => {
            let found = store.triggers(*above, (*triggers_max).min(ROWS_MAX))?;
            Ok(found.map_or(Answer::TriggersTooOld, Answer::Triggers))
        }
        Ask::Reads { keys } => {
            let mut rows = Vec::new();
            for key in keys.iter().take(ROWS_MAX) {
                if let Some(stored) = store.entity(key)? {
                    let (key, version) = (key.clone(), stored.version);
                    rows.push(FullRow { key, version, epoch: stored.epoch, writer: stored.writer });
                }
            }
            Ok(Answer::Rows(rows))
        }
    }
}

/// The generation that there is, if the client knows another one.
fn other_generation<S: Store>(store: &S, known: Option<Generation>) -> Result<Option<Generation>, S::Error> {
    let now = store.generation()?;
    Ok(known.filter(|known| *known != now).map(|_| now))
}

/// Whether a client that read so far may have missed tombstones. One that read nothing missed none, nor did one
/// that began to read when they were gone already.
fn is_below_floor<S: Store>(store: &S, cursors: &Cursors, floors: &Cursors) -> Result<bool, S::Error> {
    for (collection, cursor) in cursors {
        let floor = store.floor(collection)?;
        let began_at = floors.get(collection).copied().unwrap_or_default();
        if cursor.0 > 0 && *cursor < floor && began_at < floor && !sabotaged!(pruned_tombstones_missed) {
            return Ok(true);
        }
    }
    Ok(false)
}
