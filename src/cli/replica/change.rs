//! `replica put`, `patch`, `delete` and `undo`: one transaction each, durable when it is said to be done.

use serde_json::json;

use super::args::{EntityArgs, PatchArgs, PutArgs, UndoArgs};
use super::open;
use crate::algebra::{CollectionName, EntityKey, Existence, Operation};
use crate::cli::failure::Failure;
use crate::cli::fold::object;
use crate::cli::output::Output;
use crate::cli::words;
use crate::journal::{Appended, Durability};
use crate::replica::Replica;

pub(super) fn put(args: &PutArgs, output: &mut Output) -> Result<(), Failure> {
    let key = named_or_new(&args.entity)?;
    let state = args.state.state()?;
    let replica = open(&args.of.replica)?;
    let before = replica.entity(&key)?.version.existence;
    let (operation, did) = match &before {
        Existence::Live(_) => (Operation::update(key.clone(), state), "replaced"),
        Existence::Absent => (Operation::create(key.clone(), state), "created"),
        Existence::Dead(_) => (Operation::create(key.clone(), state), "revived"),
    };
    let with = commit(&replica, operation)?;
    output.text(&key.id().to_string())?;
    let said = format!("{did} {key}{}{}", others(with), undeclared(&replica, key.collection()));
    output.summary(true, &said, || object(json!({"entity": key.to_string(), "did": did, "others": with})))
}

pub(super) fn patch(args: &PatchArgs, output: &mut Output) -> Result<(), Failure> {
    let key = words::entity(&args.entity)?;
    let patch = args.patch.patch()?;
    let replica = open(&args.of.replica)?;
    let did = match replica.entity(&key)?.version.existence {
        Existence::Live(_) => "changed",
        Existence::Dead(_) => "revived",
        Existence::Absent => {
            return Err(Failure::Failed(format!("there is no {key} here; `foldlog replica put` creates it")));
        }
    };
    let with = commit(&replica, Operation::patch(key.clone(), patch))?;
    let said = format!("{did} {key}{}", others(with));
    output.summary(false, &said, || object(json!({"entity": key.to_string(), "did": did, "others": with})))
}

pub(super) fn delete(args: &EntityArgs, output: &mut Output) -> Result<(), Failure> {
    let key = words::entity(&args.entity)?;
    let replica = open(&args.of.replica)?;
    let (said, did, with) = match replica.entity(&key)?.version.existence {
        Existence::Live(_) => {
            let with = commit(&replica, Operation::delete(key.clone()))?;
            (format!("deleted {key}{}", others(with)), "deleted", with)
        }
        Existence::Dead(_) => (format!("{key} was deleted before; nothing changed"), "nothing", 0),
        Existence::Absent => {
            return Err(Failure::Failed(format!(
                "there is no {key} here; `foldlog replica list` shows what is"
            )));
        }
    };
    output.summary(false, &said, || object(json!({"entity": key.to_string(), "did": did, "others": with})))
}

pub(super) fn undo(args: &UndoArgs, output: &mut Output) -> Result<(), Failure> {
    let named: Vec<EntityKey> =
        args.entities.iter().map(|text| words::entity(text)).collect::<Result<_, _>>()?;
    let replica = open(&args.of.replica)?;
    let keys = if args.all { replica.unsent()? } else { named };
    let undone: Vec<String> = replica.undo(&keys)?.iter().map(ToString::to_string).collect();
    let said = match undone.as_slice() {
        [] => "nothing of that is unsent; nothing changed".to_owned(),
        some => format!("took back what was unsent of {}", some.join(", ")),
    };
    output.summary(false, &said, || object(json!({ "undone": undone })))
}

/// Carries out one operation, and says of how many other entities there were operations with it.
fn commit(replica: &Replica, operation: Operation) -> Result<u64, Failure> {
    let Appended { first, last } = replica.commit(&[operation], Durability::Durable)?;
    Ok(last.0.saturating_sub(first.0))
}

fn others(number: u64) -> String {
    match number {
        0 => String::new(),
        number => format!(", and with it {}", words::counted(number, "other entity", "other entities")),
    }
}

/// An entity by its name, or a new one of a collection.
fn named_or_new(text: &str) -> Result<EntityKey, Failure> {
    if text.contains('/') {
        return words::entity(text);
    }
    let named = |error: crate::algebra::Error| Failure::Usage(error.to_string());
    EntityKey::new(CollectionName::new(text).map_err(named)?, uuid::Uuid::now_v7()).map_err(named)
}

/// A hint where a schema says nothing of a collection: perhaps its name is misspelt.
fn undeclared(replica: &Replica, name: &CollectionName) -> String {
    let schema = replica.schema();
    if schema.collection(name).is_some() || schema.collections().next().is_none() {
        return String::new();
    }
    let known: Vec<&str> = schema.collections().map(|(name, _)| name.as_str()).collect();
    format!("; the schema has no collection {name}, only {}", known.join(", "))
}
