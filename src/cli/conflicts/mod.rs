//! `conflicts`: what both sides changed is listed, shown and decided; what lost is listed and brought back.
//!
//! Every decision is durable when the next question is asked; none is taken without being said.

mod args;
mod beside;
mod dialog;
mod editor;
mod losers;
mod resolve;
mod seen;

use serde_json::json;

pub(super) use args::ConflictsArgs;
pub(super) use beside::{Column, beside};
pub(super) use seen::Seen;

use super::failure::Failure;
use super::fold::object;
use super::output::{Output, width};
use super::{replica, words};
use crate::clock::now;
use crate::replica::{Error, Replica};
use args::ConflictsAction;

pub(super) fn conflicts(args: &ConflictsArgs, output: &mut Output) -> Result<(), Failure> {
    match args.action.as_ref().unwrap_or(&ConflictsAction::List) {
        ConflictsAction::List => list(&replica::open(&args.replica)?, output),
        ConflictsAction::Show { entity } => {
            let key = words::entity(entity)?;
            let seen = Seen::of(&replica::open(&args.replica)?, &key)?.ok_or(Error::NoConflict { key })?;
            if output.is_json() {
                return output.text(&seen.line());
            }
            for line in seen.told(width(&console::Term::stdout()), now()) {
                output.text(&line)?;
            }
            Ok(())
        }
        ConflictsAction::Resolve(resolve) => resolve::resolve(&args.replica, resolve, output),
        ConflictsAction::Losers(losers) => losers::losers(&args.replica, losers, output),
        ConflictsAction::Restore { number } => losers::restore(&args.replica, *number, output),
    }
}

fn list(replica: &Replica, output: &mut Output) -> Result<(), Failure> {
    let all = Seen::all(replica)?;
    for seen in &all {
        let line = if output.is_json() { seen.line() } else { seen.words() };
        output.text(&line)?;
    }
    let (open, decided) = (all.len(), replica.decided()?.len());
    let mut said = match open {
        0 => "no conflict is open".to_owned(),
        number => format!(
            "{}; `resolve` decides",
            words::counted(number as u64, "conflict is open", "conflicts are open")
        ),
    };
    if decided > 0 {
        let decided =
            words::counted(decided as u64, "more is decided and waits", "more are decided and wait");
        said.push_str(&format!("; {decided} until it is seen here what the other side did"));
    }
    output.summary(true, &said, || object(json!({"open": open, "decided": decided})))
}
