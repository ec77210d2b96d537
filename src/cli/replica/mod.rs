//! `replica`: what a program does with its replica, said by a person or a script.
//!
//! Every change is durable when the command returns. Only `init` makes a file, and only it chooses a schema: the
//! others keep the one that the replica has.

mod args;
mod change;
mod init;
mod read;

use std::path::Path;

pub(super) use args::ReplicaArgs;

use super::failure::Failure;
use super::output::Output;
use crate::journal::{self, Options};
use crate::replica::{Error, Replica};
use args::ReplicaAction;

pub(super) fn replica(args: &ReplicaArgs, output: &mut Output) -> Result<(), Failure> {
    match &args.action {
        ReplicaAction::Init(args) => init::init(args, output),
        ReplicaAction::Put(args) => change::put(args, output),
        ReplicaAction::Patch(args) => change::patch(args, output),
        ReplicaAction::Delete(args) => change::delete(args, output),
        ReplicaAction::Undo(args) => change::undo(args, output),
        ReplicaAction::Get(args) => read::get(args, output),
        ReplicaAction::List(args) => read::list(args, output),
    }
}

/// Opens a replica that is there, by the schema that it has.
pub(super) fn open(path: &Path) -> Result<Replica, Failure> {
    Replica::open(path, Options::new()).map_err(|error| not_opened(path, error))
}

/// Why a file was not opened as a replica, and what to do.
fn not_opened(path: &Path, error: Error) -> Failure {
    let place = path.display();
    Failure::Failed(match error {
        Error::NotAReplica { .. } => format!(
            "{place} is a journal, but no replica; `foldlog replica init {place} --of-journal` makes it one"
        ),
        Error::Journal { source: journal::Error::Missing { .. } } => {
            format!("there is no replica at {place}; `foldlog replica init {place}` makes one")
        }
        Error::Journal { source: journal::Error::Locked { .. } } => {
            format!("the replica {place} is open elsewhere; close it there, or wait")
        }
        Error::Journal { source: journal::Error::NotAJournal { why, .. } } => format!(
            "{place} is no replica, or is damaged beyond opening: {why}; if it was one, keep it and restore a copy"
        ),
        error => return error.into(),
    })
}
