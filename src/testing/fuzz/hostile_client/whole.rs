//! All that an authority answers about an account, and whether that can be.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::algebra::{
    Action, Answer, Ask, Cursors, EntityKey, Epoch, FullRow, Generation, Index, LiveSets, Millis, Schema,
    Trigger,
};
use crate::authority::{Account, Authority};

/// Small, so that pages end in the middle of something.
const ROWS_A_PAGE: usize = 3;
/// More than there can be.
const PAGES_MAX: usize = 200;
/// No question here depends on the time.
const NOW: Millis = Millis(1);

/// What an account is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    generation: Generation,
    /// In the order in which they came.
    pub(super) rows: Vec<FullRow>,
    cursors: Cursors,
    triggers_until: Index,
    triggers: Vec<Trigger>,
    live: LiveSets,
}

/// The present life of an account's data.
pub(super) fn generation(authority: &dyn Authority, account: &Account) -> Generation {
    match said(authority, account, &Ask::LiveSets { generation: Some(Generation(Uuid::nil())) }) {
        Answer::StartOver { generation } => generation,
        other => panic!("another generation is not told: {other:?}"),
    }
}

/// Asks for all that there is.
pub(super) fn seen(authority: &dyn Authority, account: &Account) -> Seen {
    let generation = generation(authority, account);
    let (mut rows, mut cursors, mut triggers_until) = (Vec::new(), Cursors::new(), Index(0));
    let mut has_more = true;
    for _ in 0..PAGES_MAX {
        let floors = Cursors::new();
        let ask = Ask::Changes {
            cursors: cursors.clone(),
            floors,
            generation: Some(generation),
            rows_max: ROWS_A_PAGE,
        };
        let Answer::Changes(page) = said(authority, account, &ask) else {
            panic!("no page of changes for {account}");
        };
        rows.extend(page.rows);
        (cursors, triggers_until, has_more) = (page.cursors, page.triggers_until, page.has_more);
        if !has_more {
            break;
        }
    }
    assert!(!has_more, "there is always another page for {account}");
    let ask = Ask::Triggers { above: Index(0), generation: Some(generation), triggers_max: usize::MAX };
    let Answer::Triggers(triggers) = said(authority, account, &ask) else {
        panic!("no triggers for {account}")
    };
    let Answer::LiveSets(live) = said(authority, account, &Ask::LiveSets { generation: None }) else {
        panic!("no live sets for {account}");
    };
    Seen { generation, rows, cursors, triggers_until, triggers, live }
}

/// What cannot be, in words.
pub(super) fn wrong(schema: &Schema, seen: &Seen) -> Vec<String> {
    let mut found = Vec::new();
    let mut sets = LiveSets::new();
    let mut keys: BTreeSet<(String, usize, Vec<String>)> = BTreeSet::new();
    let mut epochs: BTreeMap<&EntityKey, Epoch> = BTreeMap::new();
    let live: BTreeSet<&EntityKey> =
        seen.rows.iter().filter(|row| row.version.existence.is_live()).map(|row| &row.key).collect();
    for row in &seen.rows {
        let (set, last) = sets.entry(row.key.collection().clone()).or_default();
        if row.epoch <= *last {
            found.push(format!("{} at {} comes behind {last}", row.key, row.epoch));
        }
        *last = row.epoch;
        if epochs.insert(&row.key, row.epoch).is_some() {
            found.push(format!("{} stands there twice", row.key));
        }
        let Some(state) = row.version.existence.live() else { continue };
        set.add(row.key.id(), state);
        for (number, _, values) in schema.keys(&row.key, state) {
            if !keys.insert((row.key.collection().to_string(), number, values)) {
                found.push(format!("{} has a key that another one has", row.key));
            }
        }
        for (field, _, to) in schema.targets(&row.key, state) {
            if !live.contains(&to) {
                found.push(format!("{} refers by {field:?} to {to}, which is not there", row.key));
            }
        }
    }
    for (name, (set, last)) in &seen.live {
        let (counted, newest) = sets.get(name).copied().unwrap_or_default();
        let cursor = seen.cursors.get(name).copied().unwrap_or_default();
        if counted != *set {
            found.push(format!("{name}: {counted:?} is live, and {set:?} is said"));
        }
        // What was given out last may have gone with a tombstone that was changed again, never come later.
        if newest > *last || cursor != *last {
            found.push(format!("{name}: the newest is {newest}, the cursor {cursor}, the last {last}"));
        }
    }
    let all = seen.rows.iter().map(|row| row.key.collection());
    found.extend(all.filter(|name| !seen.live.contains_key(*name)).map(|name| format!("{name} is not said")));
    found.extend(wrong_triggers(seen, &live, &epochs));
    found
}

/// Triggers follow one another up to the last, and the last of an entity tells of what it is.
fn wrong_triggers(
    seen: &Seen,
    live: &BTreeSet<&EntityKey>,
    epochs: &BTreeMap<&EntityKey, Epoch>,
) -> Vec<String> {
    let mut found = Vec::new();
    for (index, trigger) in (1..).zip(&seen.triggers) {
        if trigger.index != Index(index) {
            found.push(format!("trigger {index} is {trigger:?}"));
        }
    }
    if seen.triggers_until != Index(seen.triggers.len() as u64) {
        found.push(format!("{} triggers, up to {}", seen.triggers.len(), seen.triggers_until));
    }
    let last: BTreeMap<&EntityKey, &Trigger> =
        seen.triggers.iter().map(|trigger| (&trigger.key, trigger)).collect();
    for (key, epoch) in epochs {
        let is_told = last.get(key).is_some_and(|trigger| {
            trigger.epoch == *epoch && (trigger.action == Action::Upsert) == live.contains(key)
        });
        if !is_told {
            found.push(format!("{key} at {epoch} is told by {:?}", last.get(key)));
        }
    }
    found
}

fn said(authority: &dyn Authority, account: &Account, ask: &Ask) -> Answer {
    authority.answer(account, NOW, ask).unwrap_or_else(|error| panic!("{account}: {error}"))
}
