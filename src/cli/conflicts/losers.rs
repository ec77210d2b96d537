//! `conflicts losers` and `restore`: the values that lost, until they are forgotten on purpose.

use std::path::Path;

use serde_json::json;

use super::args::LosersArgs;
use crate::algebra::Millis;
use crate::cli::failure::Failure;
use crate::cli::fold::object;
use crate::cli::output::Output;
use crate::cli::show::ShowLine;
use crate::cli::{replica, words};
use crate::clock::now;
use crate::replica::{Error, Lost, Side, Why};

/// So many characters of a value stand in a line for a person.
const VALUE_CHARS_MAX: usize = 120;

pub(super) fn losers(path: &Path, args: &LosersArgs, output: &mut Output) -> Result<(), Failure> {
    let replica = replica::open(path)?;
    if let Some(span) = args.forget_older_than {
        let forgotten = replica.forget_losers(Millis(now().0.saturating_sub(span)))?;
        let left = replica.losers()?.len();
        let said = format!("forgot {}, {left} left", words::counted(forgotten, "value", "values"));
        return output.summary(false, &said, || object(json!({"forgotten": forgotten, "left": left})));
    }
    let losers = replica.losers()?;
    for lost in &losers {
        let line = if output.is_json() { line(lost) } else { told(lost, now()) };
        output.text(&line)?;
    }
    let number = losers.len();
    let said = match number {
        0 => "nothing lost".to_owned(),
        number => {
            format!("{} lost; `restore N` brings one back", words::counted(number as u64, "value", "values"))
        }
    };
    output.summary(true, &said, || object(json!({ "losers": number })))
}

pub(super) fn restore(path: &Path, number: u64, output: &mut Output) -> Result<(), Failure> {
    let replica = replica::open(path)?;
    let lost = replica.losers()?.into_iter().find(|lost| lost.number == number);
    let Lost { key, was_delete, .. } = lost.ok_or(Error::NothingLost { number })?;
    replica.restore(number)?;
    let said =
        if was_delete { format!("{key} is deleted again") } else { format!("{key} has what lost again") };
    output.summary(false, &said, || object(json!({"restored": number, "entity": key.to_string()})))
}

/// For a person: its number, whose it was, what, and why it lost.
fn told(lost: &Lost, now: Millis) -> String {
    let side = match lost.side {
        Side::Local => "local",
        Side::Remote => "remote",
    };
    let why = match lost.why {
        Why::Overwritten => "overwritten by who had not seen it",
        Why::Policy => "the policy decided for the other side",
        Why::Unit => "part of a delete that gave way",
        Why::Resolved => "decided against",
        Why::Restored => "the authority was restored from an older copy",
    };
    let mut value = if lost.was_delete { "delete".to_owned() } else { words::shown(lost.fields.as_json()) };
    if let Some((end, _)) = value.char_indices().nth(VALUE_CHARS_MAX) {
        value.truncate(end);
        value.push('…');
    }
    let age = words::span(now.0.saturating_sub(lost.at.0));
    format!("{:>4}  {}  {side} {value}: {why}, {age} ago", lost.number, lost.key)
}

fn line(lost: &Lost) -> String {
    let side = match lost.side {
        Side::Local => "local",
        Side::Remote => "remote",
    };
    let why = match lost.why {
        Why::Overwritten => "overwritten",
        Why::Policy => "policy",
        Why::Unit => "unit",
        Why::Resolved => "resolved",
        Why::Restored => "restored",
    };
    ShowLine::of(&lost.key)
        .with("number", &lost.number.to_string())
        .with("decision", &lost.decision.to_string())
        .with("side", &json!(side).to_string())
        .with("why", &json!(why).to_string())
        .with("delete", &lost.was_delete.to_string())
        .with("fields", lost.fields.as_json())
        .with("at", &lost.at.to_string())
        .end()
}
