//! `show`: what a journal knows of its entities, a line each.

use serde_json::{Value, json};

use super::args::ShowArgs;
use super::failure::Failure;
use super::output::Output;
use super::words;
use crate::algebra::{Base, CollectionName, Effect, EntityKey, Held, Planned, draft};
use crate::codec::lines::Line;
use crate::journal::{Cause, Journal};

enum What {
    All,
    Collection(CollectionName),
    Entity(EntityKey),
}

impl What {
    fn of(text: Option<&str>) -> Result<Self, Failure> {
        match text {
            None => Ok(What::All),
            Some(text) if text.contains('/') => words::entity(text).map(What::Entity),
            Some(text) => CollectionName::new(text)
                .map(What::Collection)
                .map_err(|error| Failure::Usage(error.to_string())),
        }
    }

    fn has(&self, key: &EntityKey) -> bool {
        match self {
            What::All => true,
            What::Collection(name) => key.collection() == name,
            What::Entity(entity) => key == entity,
        }
    }
}

pub(super) fn show(args: &ShowArgs, output: &mut Output) -> Result<(), Failure> {
    let what = What::of(args.what.as_deref())?;
    let journal = Journal::open(&args.of.journal)?;
    if let What::Entity(key) = &what {
        output.text(&base_line(key, &journal.base(key)?).to_string())?;
    }
    if let Some(bunch) = journal.open_bunch()? {
        for planned in bunch.operations.iter().filter(|planned| what.has(&planned.operation.key)) {
            output.text(&planned_line("sealed", planned)?.to_string())?;
        }
    }
    for parked in journal.parked()?.iter().filter(|parked| what.has(&parked.key)) {
        output.text(&parked_line(parked)?.to_string())?;
    }
    for held in journal.held()?.iter().filter(|held| what.has(&held.key)) {
        output.text(&held_line(held).to_string())?;
    }
    let plan = journal.plan()?;
    for planned in plan.operations.iter().filter(|planned| what.has(&planned.operation.key)) {
        output.text(&planned_line("pending", planned)?.to_string())?;
    }
    for nothing in plan.nothing.iter().filter(|nothing| what.has(&nothing.key)) {
        let mut line = named(&nothing.key, "nothing");
        put(
            &mut line,
            "folded",
            json!({
                "operations": nothing.operations, "first": nothing.first.0, "last": nothing.last.0,
            }),
        );
        output.text(&line.to_string())?;
    }
    Ok(())
}

fn named(key: &EntityKey, phase: &str) -> Value {
    json!({"collection": key.collection().as_str(), "id": key.id().to_string(), "phase": phase})
}

fn put(line: &mut Value, key: &str, value: Value) {
    if let Value::Object(members) = line {
        members.insert(key.to_owned(), value);
    }
}

fn planned_line(phase: &str, planned: &Planned) -> Result<Value, Failure> {
    let mut line = named(&planned.operation.key, phase);
    put(&mut line, "operation", parsed(&planned.to_line())?);
    put(
        &mut line,
        "folded",
        json!({
            "operations": planned.operations, "first": planned.first.0, "last": planned.last.0,
        }),
    );
    Ok(line)
}

fn base_line(key: &EntityKey, base: &Base) -> Value {
    let mut line = named(key, "base");
    let (is, held) = match base {
        Base::Unknown => ("unknown", None),
        Base::Absent => ("absent", None),
        Base::Live(held) => ("live", Some(held)),
        Base::Dead(held) => ("dead", Some(held)),
    };
    put(&mut line, "is", json!(is));
    if let Some(Held { epoch, state }) = held {
        put(&mut line, "epoch", json!(epoch.map(|epoch| epoch.0)));
        let state = state.state().and_then(|state| parsed(state.as_json()).ok());
        put(&mut line, "state", state.unwrap_or(Value::Null));
    }
    line
}

/// A parked effect: why, and what it would send.
pub(super) fn parked_line(parked: &crate::journal::Parked) -> Result<Value, Failure> {
    let mut line = named(&parked.key, "parked");
    put(&mut line, "bunch", json!(parked.bunch.0));
    match &parked.cause {
        Cause::Refused { reason } => put(&mut line, "refused", json!({"reason": reason})),
        Cause::Clash { unique, holder } => {
            put(&mut line, "clash", json!({"unique": unique, "holder": holder.to_string()}));
        }
    }
    put(&mut line, "operation", sent(&parked.key, &parked.effect)?);
    Ok(line)
}

/// What an effect would send to somebody of whom nothing is known.
fn sent(key: &EntityKey, effect: &Effect) -> Result<Value, Failure> {
    match draft(key, effect, &Base::Unknown) {
        Ok(draft) => parsed(&draft.planned.to_line()),
        Err(_) => Ok(Value::Null),
    }
}

/// A held effect: for whom it waits.
pub(super) fn held_line(held: &crate::journal::HeldEffect) -> Value {
    let mut line = named(&held.key, "held");
    put(&mut line, "waits_for", json!(held.waits_for.as_ref().map(ToString::to_string)));
    line
}

/// Our own canonical text as a value: for showing, where a number may be respelt.
fn parsed(text: &str) -> Result<Value, Failure> {
    serde_json::from_str(text).map_err(|error| Failure::Failed(error.to_string()))
}
