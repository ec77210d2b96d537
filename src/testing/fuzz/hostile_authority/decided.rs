//! What an answer says that the authority took: from then on it is the authority's to keep.

use crate::algebra::{Answer, Bunch, Change, FullRow, Outcome, ReplicaId, Resulting, State, Update};
use crate::replica::Conflict;
use crate::testing::values::Values;

const BY: &str = "an authority that took it";

/// Notes it of an answer that the client believed, while this bunch was open.
pub(super) fn note(values: &mut Values, own: ReplicaId, open: Option<&Bunch>, answer: &Answer) {
    match answer {
        Answer::Changes(page) => page.rows.iter().for_each(|row| told(values, own, open, row)),
        Answer::Rows(rows) => rows.iter().for_each(|row| told(values, own, open, row)),
        Answer::Delivered(outcomes) => {
            let sent = open.into_iter().flat_map(|bunch| &bunch.operations);
            for (planned, outcome) in sent.zip(&outcomes.outcomes) {
                let key = &planned.operation.key;
                match outcome {
                    Outcome::Accepted { result, overwrote, .. } => {
                        values.replace(key, &fields(&planned.operation.change), BY);
                        if let Resulting::Live(state, _) = result {
                            values.replace(key, state, BY);
                        }
                        if let Some(state) = overwrote {
                            values.replace(key, state, BY);
                        }
                    }
                    Outcome::Superseded { state: Some(state), .. } => values.replace(key, state, BY),
                    Outcome::Superseded { .. }
                    | Outcome::Clash { .. }
                    | Outcome::Refused { .. }
                    | Outcome::Waits { .. }
                    | Outcome::Retry => {}
                }
            }
        }
        Answer::Forked
        | Answer::StartOver { .. }
        | Answer::Triggers(_)
        | Answer::TriggersTooOld
        | Answer::LiveSets(_)
        | Answer::TooLarge
        | Answer::Busy { .. }
        | Answer::Unauthorised
        | Answer::Offline => {}
    }
}

/// A row that names the open bunch as its writer says that the operation was accepted.
fn told(values: &mut Values, own: ReplicaId, open: Option<&Bunch>, row: &FullRow) {
    if let Some(state) = row.version.existence.state() {
        values.replace(&row.key, state, BY);
    }
    let Some(bunch) = open.filter(|bunch| {
        row.writer.is_some_and(|writer| writer.replica == own && writer.bunch == bunch.number)
    }) else {
        return;
    };
    for planned in bunch.operations.iter().filter(|planned| planned.operation.key == row.key) {
        values.replace(&row.key, &fields(&planned.operation.change), BY);
    }
}

/// What the local side of a conflict wrote.
pub(super) fn own(conflict: &Conflict) -> State {
    conflict.local.existence.state().cloned().unwrap_or_else(State::empty)
}

fn fields(change: &Change) -> State {
    match change {
        Change::Create(state) | Change::Update(Update::State(state)) => state.clone(),
        Change::Update(Update::Patch(patch)) => State::empty().with(patch),
        Change::Delete => State::empty(),
    }
}
