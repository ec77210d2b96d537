//! Honest answers, bent: rows and outcomes that are changed, doubled, left out or put elsewhere, and texts with other
//! bytes in them.

use super::made;
use crate::algebra::{Answer, Epoch, FullRow, Index, Outcomes, Page, Trigger};
use crate::codec::wire::{Reply, Route};
use crate::testing::fuzz::build::Bytes;

/// The most changes to one answer.
const CHANGES_MAX: u8 = 4;

/// What is left of an honest answer when a few things in it are other ones.
pub(super) fn answer(bytes: &mut Bytes<'_>, honest: Answer) -> Answer {
    let mut answer = honest;
    for _ in 0..1 + bytes.below(CHANGES_MAX) {
        match &mut answer {
            Answer::Changes(changes) => page(bytes, changes),
            Answer::Rows(rows) => {
                list(bytes, rows, row);
            }
            Answer::Triggers(triggers) => {
                list(bytes, triggers, trigger);
            }
            Answer::Delivered(outcomes) => delivered(bytes, outcomes),
            Answer::LiveSets(sets) => {
                let place = bytes.below(4);
                if let Some((set, last)) = sets.values_mut().nth(place) {
                    set.count = set.count.wrapping_add(u64::from(bytes.next()));
                    *last = moved(bytes, *last);
                }
            }
            Answer::StartOver { generation } => *generation = super::generation(bytes.below(3)),
            Answer::Forked
            | Answer::TriggersTooOld
            | Answer::TooLarge
            | Answer::Busy { .. }
            | Answer::Unauthorised
            | Answer::Offline => {}
        }
    }
    answer
}

/// The answer as it travels, with other bytes in it; none where that is an answer no more.
pub(super) fn on_its_way(bytes: &mut Bytes<'_>, answer: &Answer, route: Route) -> Option<Answer> {
    let mut reply = Reply::of(answer);
    if bytes.below(8) == 0 {
        reply.status = [200, 401, 409, 410, 413, 429, 500, 503].get(bytes.below(8)).copied()?;
    }
    let mut text = reply.body.into_bytes();
    bytes.bend(&mut text);
    reply.body = String::from_utf8(text).ok()?;
    reply.answer(route).ok()
}

/// Changes one of a list, doubles it, takes it out, or lets it change places.
fn list<T: Clone>(bytes: &mut Bytes<'_>, all: &mut Vec<T>, change: impl FnOnce(&mut Bytes<'_>, &mut T)) {
    let Some(last) = all.len().checked_sub(1) else { return };
    let place = bytes.below(16).min(last);
    match bytes.below(8) {
        0 => drop(all.remove(place)),
        1 => {
            if let Some(one) = all.get(place).cloned() {
                all.insert(bytes.below(16).min(last), one);
            }
        }
        2 => all.swap(place, bytes.below(16).min(last)),
        3 => all.truncate(place),
        _ => {
            if let Some(one) = all.get_mut(place) {
                change(bytes, one);
            }
        }
    }
}

fn row(bytes: &mut Bytes<'_>, row: &mut FullRow) {
    match bytes.below(8) {
        0 | 1 => row.version.existence = bytes.existence(),
        2 => row.version.stamps = made::stamps(bytes),
        3 => row.writer = made::writer(bytes),
        4 => row.key = made::key(bytes),
        5 => row.epoch = made::epoch(bytes),
        _ => row.epoch = moved(bytes, row.epoch),
    }
}

fn trigger(bytes: &mut Bytes<'_>, trigger: &mut Trigger) {
    match bytes.below(4) {
        0 => *trigger = made::trigger(bytes),
        1 => trigger.index = Index(moved(bytes, Epoch(trigger.index.0)).0),
        2 => trigger.epoch = moved(bytes, trigger.epoch),
        _ => trigger.key = made::key(bytes),
    }
}

fn delivered(bytes: &mut Bytes<'_>, outcomes: &mut Outcomes) {
    match bytes.below(8) {
        0 => outcomes.bunch.0 = moved(bytes, Epoch(outcomes.bunch.0)).0,
        _ => list(bytes, &mut outcomes.outcomes, |bytes, outcome| *outcome = made::outcome(bytes)),
    }
}

fn page(bytes: &mut Bytes<'_>, page: &mut Page) {
    match bytes.below(12) {
        0 => page.has_more = !page.has_more,
        1 => page.generation = super::generation(bytes.below(3)),
        2 => page.triggers_until = Index(made::epoch(bytes).0),
        3 => {
            let place = bytes.below(4);
            if let Some(cursor) = page.cursors.values_mut().nth(place) {
                *cursor = moved(bytes, *cursor);
            }
        }
        4 => {
            let place = bytes.below(4);
            if let Some(floor) = page.floors.values_mut().nth(place) {
                *floor = made::epoch(bytes);
            }
        }
        5 => page.rows.push(made::row(bytes)),
        _ => list(bytes, &mut page.rows, row),
    }
}

/// A number near another one.
fn moved(bytes: &mut Bytes<'_>, from: Epoch) -> Epoch {
    match bytes.below(16) {
        0 => Epoch(u64::MAX),
        1 => Epoch(0),
        by => Epoch(from.0.wrapping_add(by as u64).wrapping_sub(8)),
    }
}
