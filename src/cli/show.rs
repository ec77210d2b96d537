//! `show`: what a journal knows of its entities, a line each.

use serde_json::json;

use super::args::ShowArgs;
use super::failure::Failure;
use super::output::Output;
use super::words;
use crate::algebra::{Base, CollectionName, Effect, EntityKey, Held, Planned, Seq, State, draft};
use crate::codec::lines::Line;
use crate::journal::{Cause, HeldEffect, Parked, Superseded};
use crate::replica::journal_by_its_schema;

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
    let journal = journal_by_its_schema(&args.of.journal)?;
    if let What::Entity(key) = &what {
        output.text(&base_line(key, &journal.base(key)?).end())?;
    }
    if let Some(bunch) = journal.open_bunch()? {
        for planned in bunch.operations.iter().filter(|planned| what.has(&planned.operation.key)) {
            output.text(&planned_line("sealed", planned).end())?;
        }
    }
    for parked in journal.parked()?.iter().filter(|parked| what.has(&parked.key)) {
        output.text(&parked_line(parked).end())?;
    }
    for held in journal.held()?.iter().filter(|held| what.has(&held.key)) {
        output.text(&held_line(held).end())?;
    }
    for superseded in journal.superseded()?.iter().filter(|superseded| what.has(&superseded.key)) {
        output.text(&superseded_line(superseded).end())?;
    }
    let plan = journal.plan()?;
    for planned in plan.operations.iter().filter(|planned| what.has(&planned.operation.key)) {
        output.text(&planned_line("pending", planned).end())?;
    }
    for nothing in plan.nothing.iter().filter(|nothing| what.has(&nothing.key)) {
        let line = ShowLine::new(&nothing.key, "nothing");
        output.text(&line.folded(nothing.operations, nothing.first, nothing.last).end())?;
    }
    Ok(())
}

/// One line: its members in the order in which they are added, values as they are written elsewhere.
pub(super) struct ShowLine(String);

impl ShowLine {
    fn new(key: &EntityKey, phase: &str) -> Self {
        ShowLine::of(key).with("phase", &json!(phase).to_string())
    }

    /// A line about an entity.
    pub(super) fn of(key: &EntityKey) -> Self {
        let line = ShowLine(String::from("{"));
        line.with("collection", &json!(key.collection().as_str()).to_string())
            .with("id", &json!(key.id().to_string()).to_string())
    }

    /// The line with a member more, its value as JSON.
    pub(super) fn with(mut self, key: &str, value: &str) -> Self {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0.push_str(&format!("\"{key}\":{value}"));
        self
    }

    fn folded(self, operations: u32, first: Seq, last: Seq) -> Self {
        let folded = format!(r#"{{"operations":{operations},"first":{first},"last":{last}}}"#);
        self.with("folded", &folded)
    }

    pub(super) fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

fn planned_line(phase: &str, planned: &Planned) -> ShowLine {
    let line = ShowLine::new(&planned.operation.key, phase).with("operation", &planned.to_line());
    line.folded(planned.operations, planned.first, planned.last)
}

fn base_line(key: &EntityKey, base: &Base) -> ShowLine {
    let line = ShowLine::new(key, "base");
    let (is, held) = match base {
        Base::Unknown => ("unknown", None),
        Base::Absent => ("absent", None),
        Base::Live(held) => ("live", Some(held)),
        Base::Dead(held) => ("dead", Some(held)),
    };
    let line = line.with("is", &json!(is).to_string());
    match held {
        None => line,
        Some(Held { epoch, state }) => line
            .with("epoch", &json!(epoch.map(|epoch| epoch.0)).to_string())
            .with("state", state.state().map_or("null", State::as_json)),
    }
}

/// A parked effect: why, and what it would send.
pub(super) fn parked_line(parked: &Parked) -> ShowLine {
    let line = ShowLine::new(&parked.key, "parked").with("bunch", &parked.bunch.to_string());
    let line = match &parked.cause {
        Cause::Refused { reason } => line.with("refused", &json!({"reason": reason}).to_string()),
        Cause::Clash { unique, holder } => {
            line.with("clash", &json!({"unique": unique, "holder": holder.to_string()}).to_string())
        }
    };
    line.with("operation", &sent(&parked.key, &parked.effect))
}

/// A held effect: for whom it waits, and what it would send.
pub(super) fn held_line(held: &HeldEffect) -> ShowLine {
    let on = json!(held.waits_for.as_ref().map(ToString::to_string)).to_string();
    ShowLine::new(&held.key, "held").with("waits_for", &on).with("operation", &sent(&held.key, &held.effect))
}

/// What gave way, and to what.
pub(super) fn superseded_line(superseded: &Superseded) -> ShowLine {
    ShowLine::new(&superseded.key, "superseded")
        .with("bunch", &superseded.bunch.to_string())
        .with("epoch", &superseded.epoch.to_string())
        .with("state", superseded.state.as_ref().map_or("null", State::as_json))
        .with("operation", &sent(&superseded.key, &superseded.effect))
}

/// What an effect would send to somebody of whom nothing is known.
fn sent(key: &EntityKey, effect: &Effect) -> String {
    draft(key, effect, &Base::Unknown).map_or_else(|_| "null".to_owned(), |draft| draft.planned.to_line())
}
