//! `replica get` and `list`: what is seen, with what is unsent at once.

use serde_json::json;

use super::args::{EntityArgs, ListArgs};
use super::open;
use crate::algebra::{CollectionName, EntityKey, Existence, State};
use crate::cli::failure::Failure;
use crate::cli::fold::object;
use crate::cli::output::Output;
use crate::cli::show::ShowLine;
use crate::cli::words;
use crate::replica::{Entity, Status};

pub(super) fn get(args: &EntityArgs, output: &mut Output) -> Result<(), Failure> {
    let key = words::entity(&args.entity)?;
    let entity = open(&args.of.replica)?.entity(&key)?;
    let existence = &entity.version.existence;
    if output.is_json() {
        let last = existence.state().filter(|_| !existence.is_live());
        let changed = entity.version.stamps.latest().map(|stamp| stamp.at.0);
        let line = row(&key, &entity)
            .with("deleted", &json!(matches!(existence, Existence::Dead(_))).to_string())
            .with("last", last.map_or("null", State::as_json))
            .with("changed_at", &json!(changed).to_string());
        output.text(&line.end())?;
    }
    match existence {
        Existence::Live(_) if output.is_json() => Ok(()),
        Existence::Live(state) => output.text(state.as_json()),
        Existence::Absent => {
            Err(Failure::Failed(format!("there is no {key} here; `foldlog replica list` shows what is")))
        }
        Existence::Dead(_) => Err(Failure::Failed(format!(
            "{key} is deleted; --json shows its last state, `foldlog replica patch` with {{}} brings it back"
        ))),
    }
}

pub(super) fn list(args: &ListArgs, output: &mut Output) -> Result<(), Failure> {
    let collection = args.collection.as_deref().map(CollectionName::new).transpose();
    let collection = collection.map_err(|error| Failure::Usage(error.to_string()))?;
    let replica = open(&args.of.replica)?;
    let (mut live, mut deleted, mut unsent) = (0_u64, 0_u64, 0_u64);
    for (key, entity) in replica.entities(collection.as_ref())? {
        let is_live = entity.version.existence.is_live();
        live += u64::from(is_live);
        deleted += u64::from(!is_live);
        unsent += u64::from(entity.status != Status::Synchronised);
        if is_live || args.deleted {
            output.text(&row(&key, &entity).end())?;
        }
    }
    let conflicts = replica.conflicts()?.len();
    let open = match conflicts {
        0 => String::new(),
        number => format!("; {}", words::counted(number as u64, "conflict is open", "conflicts are open")),
    };
    let said = format!(
        "{}, {} deleted, {} with something unsent{open}",
        words::entities(live),
        words::count(deleted),
        words::count(unsent)
    );
    output.summary(true, &said, || {
        object(json!({"live": live, "deleted": deleted, "unsent": unsent, "conflicts": conflicts}))
    })
}

/// An entity as a row, with its status.
fn row(key: &EntityKey, entity: &Entity) -> ShowLine {
    let line =
        ShowLine::of(key).with("state", entity.version.existence.live().map_or("null", State::as_json));
    let line = match entity.epoch {
        Some(epoch) => line.with("epoch", &epoch.to_string()),
        None => line,
    };
    let status = match entity.status {
        Status::Synchronised => "synchronised",
        Status::Changed => "changed",
        Status::Created => "created",
    };
    line.with("status", &json!(status).to_string())
}
