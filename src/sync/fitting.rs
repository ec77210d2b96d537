//! What makes an answer none to what was asked. Nothing here changes anything.

use std::collections::{HashMap, HashSet};

use super::engine::Error;
use crate::algebra::{Answer, Ask, Cursors, EntityKey, Epoch, FullRow, Generation, Page};
use crate::{journal, replica};

/// Refuses a page that cannot follow these cursors.
pub(super) fn require_page(
    page: &Page,
    cursors: &Cursors,
    generation: Option<Generation>,
    rows_max: usize,
) -> Result<(), Error> {
    if generation.is_some_and(|known| known != page.generation) {
        return Err(wrong("the page is of another generation".to_owned()));
    }
    if page.rows.len() > rows_max {
        return Err(wrong(format!("{} rows where at most {rows_max} were asked for", page.rows.len())));
    }
    for (collection, cursor) in cursors {
        let goes_back = page.cursors.get(collection).is_none_or(|now| now < cursor);
        if goes_back && !sabotaged!(page_that_goes_back_taken) {
            return Err(wrong(format!("the cursor of {collection} goes back")));
        }
    }
    if page.has_more && page.cursors == *cursors {
        return Err(wrong("there is more, but the cursors stand still".to_owned()));
    }
    let mut seen = HashSet::new();
    for row in &page.rows {
        let collection = row.key.collection();
        let from = cursors.get(collection).copied().unwrap_or_default();
        let to = page.cursors.get(collection).copied().unwrap_or_default();
        if row.epoch <= from || row.epoch > to {
            return Err(wrong(format!("{} is of epoch {}, not above {from} up to {to}", row.key, row.epoch)));
        }
        if !seen.insert(&row.key) {
            return Err(wrong(format!("{} stands twice", row.key)));
        }
    }
    Ok(())
}

/// Refuses rows of what was not asked for, or was told already.
pub(super) fn require_read(rows: &[FullRow], keys: Vec<EntityKey>) -> Result<(), Error> {
    let mut left: HashSet<EntityKey> = keys.into_iter().collect();
    match rows.iter().find(|row| !left.remove(&row.key)) {
        Some(row) => Err(wrong(format!("{} was not asked for, or stands twice", row.key))),
        None => Ok(()),
    }
}

/// Whether an entity is older than the triggers hinted at that were read for.
pub(super) fn is_behind(rows: &[FullRow], hinted: &[(EntityKey, Epoch)]) -> bool {
    let epochs: HashMap<&EntityKey, Epoch> = rows.iter().map(|row| (&row.key, row.epoch)).collect();
    hinted.iter().any(|(key, hinted)| epochs.get(key).is_some_and(|epoch| epoch < hinted))
}

pub(super) fn wrong(why: String) -> Error {
    Error::WrongAnswer { why }
}

/// What the replica refuses because of the answer is the answer's fault.
pub(super) fn as_wrong_answer(error: Error) -> Error {
    match error {
        Error::Replica { source: replica::Error::WrongAnswer { why } } => Error::WrongAnswer { why },
        Error::Replica {
            source:
                replica::Error::Journal {
                    source: source @ (journal::Error::WrongBunch { .. } | journal::Error::OutcomeCount { .. }),
                },
        } => Error::WrongAnswer { why: source.to_string() },
        error => error,
    }
}

pub(super) fn name_of(answer: &Answer) -> &'static str {
    match answer {
        Answer::Delivered(_) => "outcomes",
        Answer::Forked => "`forked`",
        Answer::TooLarge => "`too large`",
        Answer::Changes(_) => "a page of changes",
        Answer::StartOver { .. } => "`start over`",
        Answer::Triggers(_) | Answer::TriggersTooOld => "triggers",
        Answer::Rows(_) => "rows",
        Answer::LiveSets(_) => "live sets",
        Answer::Busy { .. } | Answer::Unauthorised | Answer::Offline => "none",
    }
}

pub(super) fn name_of_ask(ask: &Ask) -> &'static str {
    match ask {
        Ask::Deliver { .. } => "a bunch",
        Ask::Changes { .. } => "a question for changes",
        Ask::Triggers { .. } => "a question for triggers",
        Ask::Reads { .. } => "a read",
        Ask::LiveSets { .. } => "a comparison",
    }
}
