//! `conflicts resolve`: decides by flags, or asks on a terminal.

use std::io::{self, IsTerminal};
use std::path::Path;

use serde_json::json;

use super::args::ResolveArgs;
use super::dialog::Dialog;
use super::editor;
use crate::algebra::EntityKey;
use crate::cli::failure::Failure;
use crate::cli::fold::object;
use crate::cli::output::{Output, say, width};
use crate::cli::{replica, words};
use crate::replica::{Error, Replica, Resolution};

/// What to say where there is nobody to ask.
const FLAGS: &str = "say which side is kept: `resolve COLLECTION/ID` or `resolve --all`, with \
     `--with local|remote|newest|delete`; or `resolve COLLECTION/ID --modify STATE_JSON`";

pub(super) fn resolve(path: &Path, args: &ResolveArgs, output: &mut Output) -> Result<(), Failure> {
    let named = args.entity.as_deref().map(words::entity).transpose()?;
    let resolution = match (args.with, &args.modify) {
        (Some(with), _) => Some(with.resolution()),
        (None, Some(state)) => Some(Resolution::Modify(state.state()?)),
        (None, None) => None,
    };
    match (resolution, named) {
        (Some(resolution), Some(key)) => one(&replica::open(path)?, &key, &resolution, output),
        (Some(resolution), None) if args.all => all(&replica::open(path)?, &resolution, output),
        (Some(_), None) => {
            Err(Failure::Usage("name the entity, or give --all for every open conflict".to_owned()))
        }
        (None, named) => {
            if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
                return Err(Failure::Usage(format!("there is no terminal to ask on; {FLAGS}")));
            }
            ask(&replica::open(path)?, named, output)
        }
    }
}

fn one(
    replica: &Replica,
    key: &EntityKey,
    resolution: &Resolution,
    output: &mut Output,
) -> Result<(), Failure> {
    replica.resolve(key, resolution)?;
    let waits = replica.decided()?.contains(key);
    let open = replica.conflicts()?.len();
    let how = if waits { "; it is carried out once it is seen here what the other side did" } else { "" };
    let said = format!("{key} is resolved{how}; {open} open");
    output.summary(false, &said, || {
        object(json!({"resolved": [key.to_string()], "refused": [], "waits": waits, "open": open}))
    })
}

/// Each that is open, by itself: what cannot be resolved so stays open, and the others are resolved all the same.
fn all(replica: &Replica, resolution: &Resolution, output: &mut Output) -> Result<(), Failure> {
    let (mut resolved, mut refused) = (Vec::new(), Vec::new());
    let keys: Vec<EntityKey> = replica.conflicts()?.into_iter().map(|conflict| conflict.key).collect();
    for key in keys {
        match replica.resolve(&key, resolution) {
            Ok(()) => resolved.push(key.to_string()),
            // An earlier one was the end of this one too.
            Err(Error::NoConflict { .. }) => {}
            Err(Error::Journal { source }) => return Err(source.into()),
            Err(error) => {
                say(&format!("{key} stays open: {error}"));
                refused.push(key.to_string());
            }
        }
    }
    let open = replica.conflicts()?.len();
    let said =
        format!("{} resolved, {open} open", words::counted(resolved.len() as u64, "conflict", "conflicts"));
    output
        .summary(false, &said, || object(json!({"resolved": resolved, "refused": refused, "open": open})))?;
    match refused.len() {
        0 => Ok(()),
        number => Err(Failure::Failed(format!(
            "{} be resolved so; decide each by itself",
            words::counted(number as u64, "conflict cannot", "conflicts cannot")
        ))),
    }
}

/// Asks about one after another.
fn ask(replica: &Replica, named: Option<EntityKey>, output: &mut Output) -> Result<(), Failure> {
    let mut keys: Vec<EntityKey> = replica.conflicts()?.into_iter().map(|conflict| conflict.key).collect();
    if let Some(key) = named {
        if !keys.contains(&key) {
            return Err(Error::NoConflict { key }.into());
        }
        keys = vec![key];
    }
    let resolved = Dialog {
        replica,
        input: io::stdin().lock(),
        out: io::stderr(),
        editor: editor::edit,
        width: width(&console::Term::stderr()),
    }
    .talk(&keys)?;
    let open = replica.conflicts()?.len();
    let said = format!("{} resolved, {open} open", words::counted(resolved, "conflict", "conflicts"));
    output.summary(false, &said, || object(json!({"resolved": resolved, "open": open})))
}
