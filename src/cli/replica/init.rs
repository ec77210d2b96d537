//! `replica init`: makes a replica file, or a replica of a journal.

use std::io;
use std::path::Path;

use serde_json::json;

use super::args::InitArgs;
use super::not_opened;
use crate::algebra::{OnDelete, Policy, Schema};
use crate::cli::failure::Failure;
use crate::cli::fold::object;
use crate::cli::input::Source;
use crate::cli::output::Output;
use crate::cli::words;
use crate::journal::Options;
use crate::replica::{Error, Replica};

pub(super) fn init(args: &InitArgs, output: &mut Output) -> Result<(), Failure> {
    let path = args.of.replica.as_path();
    // Bad input makes no file.
    let schema = args.schema.as_ref().map(Source::schema).transpose()?.unwrap_or_default();
    let options = Options::new().schema(schema.clone());
    let replica = if args.of_journal { of_journal(path, options)? } else { create(path, options)? };
    let names: Vec<&str> = schema.collections().map(|(name, _)| name.as_str()).collect();
    let mut said = format!("made the replica {} in {}", replica.id(), path.display());
    if names.is_empty() {
        said.push_str("; without a schema, any collection may be written");
    }
    for line in declared(&schema) {
        said.push_str("\n  ");
        said.push_str(&line);
    }
    output
        .summary(false, &said, || object(json!({"replica": replica.id().to_string(), "collections": names})))
}

/// Makes a new file, and takes it away again if that fails.
fn create(path: &Path, options: Options) -> Result<Replica, Failure> {
    let place = path.display();
    // Whoever makes the file knows for certain that it was not there.
    match std::fs::OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(Failure::Failed(format!(
                "{place} is there already; give another name, or `--of-journal` if it is a journal that shall become \
                 a replica"
            )));
        }
        Err(error) => return Err(Failure::Failed(format!("{place} cannot be made: {error}"))),
    }
    Replica::create(path, options).map_err(|error| {
        // Somebody who was quicker to open it has made something of it.
        if !matches!(&error, Error::Journal { source } if source.is_temporary()) {
            let _ = std::fs::remove_file(path);
        }
        not_opened(path, error)
    })
}

fn of_journal(path: &Path, options: Options) -> Result<Replica, Failure> {
    let place = path.display();
    let journal = options.open(path)?;
    if journal.is_of_replica() {
        return Err(Failure::Failed(format!(
            "{place} is a replica already, {}; its schema stays as it is",
            journal.replica()
        )));
    }
    Replica::of(journal).map_err(|error| not_opened(path, error))
}

/// A line a collection: what the schema says of it.
fn declared(schema: &Schema) -> impl Iterator<Item = String> {
    schema.collections().map(|(name, declared)| {
        let mut told = vec![policy(declared.policy()).to_owned()];
        told.extend(declared.unique_keys().map(|fields| format!("unique ({})", fields.join(", "))));
        told.extend(declared.references().map(|(field, reference)| {
            format!("{field} refers to {} ({})", reference.to, on_delete(reference.on_delete))
        }));
        format!("{name}: {}", told.iter().map(|text| words::shown(text)).collect::<Vec<_>>().join(", "))
    })
}

fn policy(policy: Policy) -> &'static str {
    match policy {
        Policy::LastOperation => "last_operation",
        Policy::FirstToAuthority => "first_to_authority",
        Policy::Newest => "newest",
        Policy::Manual => "manual",
    }
}

fn on_delete(on_delete: OnDelete) -> &'static str {
    match on_delete {
        OnDelete::Cascade => "cascade",
        OnDelete::SetNull => "set_null",
        OnDelete::Restrict => "restrict",
    }
}
