//! Answering whatever a client asks.

use std::cmp::Ordering;

use super::deliver::{Delivery, Rules, deliver};
use super::store::Store;
use crate::algebra::{Answer, Ask, CollectionName, Cursors, Epoch, FullRow, Generation, Page, ROWS_MAX};

/// The most bytes of rows that are told at once, unless one row alone has more: what is answered at once stands in
/// memory at once.
pub(super) const PAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

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
                Delivery::Forgotten => Answer::StartOver { generation: store.generation()? },
            })
        }
        Ask::Changes { cursors, floors, generation, rows_max } => {
            if let Some(now) = other_generation(store, *generation)? {
                return Ok(Answer::StartOver { generation: now });
            }
            if is_below_floor(store, cursors, floors)? || is_ahead(store, cursors)? {
                return Ok(Answer::StartOver { generation: store.generation()? });
            }
            let page = store.changes(cursors, (*rows_max).min(ROWS_MAX))?;
            Ok(Answer::Changes(cut(page, cursors, PAGE_BYTES_MAX)))
        }
        Ask::Triggers { above, generation, triggers_max } => {
            if let Some(now) = other_generation(store, *generation)? {
                return Ok(Answer::StartOver { generation: now });
            }
            if *above > store.last_trigger()? {
                return Ok(Answer::TriggersTooOld);
            }
            let found = store.triggers(*above, (*triggers_max).min(ROWS_MAX))?;
            Ok(found.map_or(Answer::TriggersTooOld, Answer::Triggers))
        }
        Ask::Reads { keys } => {
            if keys.len() > ROWS_MAX {
                return Ok(Answer::TooLarge);
            }
            // What is not among the rows is gone, so that none may be left out.
            let (mut rows, mut bytes) = (Vec::new(), 0);
            for key in keys {
                if let Some(stored) = store.entity(key)? {
                    let row = stored.row(key.clone());
                    bytes += row.version.bytes();
                    if bytes > PAGE_BYTES_MAX && !rows.is_empty() {
                        return Ok(Answer::TooLarge);
                    }
                    rows.push(row);
                }
            }
            Ok(Answer::Rows(rows))
        }
        Ask::LiveSets { generation } => Ok(match other_generation(store, *generation)? {
            Some(now) => Answer::StartOver { generation: now },
            None => Answer::LiveSets(store.live_sets()?),
        }),
    }
}

/// A page without the rows that are too much for it.
fn cut(mut page: Page, above: &Cursors, bytes_max: usize) -> Page {
    let mut bytes = 0_usize;
    let is_too_much = |row: &FullRow| {
        bytes += row.version.bytes();
        bytes > bytes_max
    };
    let fitting = page.rows.iter().position(is_too_much).unwrap_or(page.rows.len());
    let left = page.rows.split_off(fitting.max(1).min(page.rows.len()));
    let Some(first) = left.first() else { return page };
    // What was cut was not read, nor was any collection that comes behind.
    let cut = first.key.collection();
    let last = page.rows.iter().filter(|row| row.key.collection() == cut).map(|row| row.epoch).max();
    let read = |collection: &CollectionName, cursor: &mut Epoch| {
        let until = match collection.cmp(cut) {
            Ordering::Less => Some(*cursor),
            Ordering::Equal => last.or(above.get(collection).copied()),
            Ordering::Greater => above.get(collection).copied(),
        };
        *cursor = until.unwrap_or_default();
        until.is_some()
    };
    page.cursors.retain(|collection, cursor| read(collection, cursor));
    page.floors.retain(|collection, _| page.cursors.contains_key(collection));
    page.has_more = true;
    page
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

/// Whether a client says that it read what was never given out: then this is an older copy that nobody called one.
fn is_ahead<S: Store>(store: &S, cursors: &Cursors) -> Result<bool, S::Error> {
    for (collection, cursor) in cursors {
        if *cursor > store.last_epoch(collection)? {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use uuid::Uuid;

    use super::*;
    use crate::algebra::{EntityKey, Existence, State, Version};

    fn row(collection: &CollectionName, epoch: u64, bytes: usize) -> FullRow {
        let state = State::from_json(&format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes - 8))).unwrap();
        assert_eq!(state.as_json().len(), bytes);
        FullRow {
            key: EntityKey::new(collection.clone(), Uuid::from_u128(u128::from(epoch))).unwrap(),
            version: Version { existence: Existence::Live(state), ..Version::default() },
            epoch: Epoch(epoch),
            writer: None,
        }
    }

    #[test]
    fn what_is_too_much_for_a_page_is_left_for_the_next_and_one_row_always_fits() {
        let [a, b, c] = ["a", "b", "c"].map(|name| CollectionName::new(name).unwrap());
        let rows = vec![row(&a, 3, 10), row(&b, 4, 10), row(&b, 6, 10), row(&c, 9, 10)];
        let cursors = BTreeMap::from([(a.clone(), Epoch(3)), (b.clone(), Epoch(6)), (c.clone(), Epoch(9))]);
        let page = Page { rows, cursors, ..Page::default() };
        let above = BTreeMap::from([(a.clone(), Epoch(1)), (b.clone(), Epoch(2))]);
        // Bytes, rows, how far each collection was read, if at all.
        for (bytes, rows, read) in [
            (40, 4, [Some(3), Some(6), Some(9)]),
            (39, 3, [Some(3), Some(6), None]),
            (29, 2, [Some(3), Some(4), None]),
            (19, 1, [Some(3), Some(2), None]),
            (1, 1, [Some(3), Some(2), None]),
        ] {
            let cut = cut(page.clone(), &above, bytes);
            let found = [&a, &b, &c].map(|name| cut.cursors.get(name).map(|epoch| epoch.0));
            assert_eq!((cut.rows.len(), found, cut.has_more), (rows, read, rows < 4), "{bytes} bytes");
        }
    }
}
