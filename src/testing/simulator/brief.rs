//! What happened, in words.

use crate::algebra::{Answer, Ask, Operation, Planned};
use crate::sync;

pub(super) fn brief_ask(ask: &Ask) -> String {
    match ask {
        Ask::Deliver { bunch, .. } => {
            let one = |planned: &Planned| {
                let operation = &planned.operation;
                let groups: Vec<&str> = operation.groups.iter().map(crate::algebra::Group::as_str).collect();
                format!("{} {:?} on {:?} {groups:?}", operation.key, operation.change, planned.base)
            };
            let all: Vec<String> = bunch.operations.iter().map(one).collect();
            format!("to take bunch {}: {}", bunch.number, all.join(", "))
        }
        Ask::Changes { cursors, .. } => format!("for changes above {cursors:?}"),
        Ask::Triggers { above, .. } => format!("for triggers above {above}"),
        Ask::Reads { keys } => format!("for {keys:?}"),
        Ask::LiveSets { .. } => "for what is live".to_owned(),
    }
}

pub(super) fn brief_answer(answer: &Answer) -> String {
    let rows = |rows: &[crate::algebra::FullRow]| {
        let one =
            |row: &crate::algebra::FullRow| format!("{} {} {:?}", row.key, row.epoch, row.version.existence);
        rows.iter().map(one).collect::<Vec<_>>().join(", ")
    };
    match answer {
        Answer::Delivered(outcomes) => format!("{:?}", outcomes.outcomes),
        Answer::Changes(page) => format!("{}, up to {:?}", rows(&page.rows), page.cursors),
        Answer::Rows(found) => rows(found),
        other => format!("{other:?}"),
    }
}

pub(super) fn brief_taken(taken: &Result<sync::Taken, sync::Error>) -> String {
    match taken {
        Ok(sync::Taken::Settled(_)) => "settled".to_owned(),
        Ok(taken) => format!("{taken:?}"),
        Err(error) => error.to_string(),
    }
}

pub(super) fn shown(operations: &[Operation]) -> String {
    let one = |operation: &Operation| format!("{} {:?}", operation.key, operation.change);
    operations.iter().map(one).collect::<Vec<_>>().join(", then ")
}
