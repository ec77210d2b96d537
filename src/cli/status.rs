//! `status` and `verify`: how a journal stands.

use serde_json::{Map, Value, json};

use super::args::JournalArgs;
use super::failure::Failure;
use super::fold::object;
use super::output::Output;
use super::words;
use crate::journal::{self, Count, Status};
use crate::replica::journal_by_its_schema;

pub(super) fn status(args: &JournalArgs, output: &mut Output) -> Result<(), Failure> {
    let status = journal_by_its_schema(&args.journal)?.status()?;
    if output.is_json() {
        let json = Value::Object(as_json(&status)).to_string();
        return output.text(&json);
    }
    for line in lines(&status) {
        output.text(&line)?;
    }
    Ok(())
}

pub(super) fn lines(status: &Status) -> Vec<String> {
    let row = |name: &str, count: &Count| {
        format!(
            "{name:<12}{:>12}{:>18}{:>12}",
            words::entities(count.entities),
            words::operations(count.operations),
            words::bytes(count.bytes)
        )
    };
    let mut lines = vec![
        row("pending", &status.pending),
        row("held", &status.held),
        row("sealed", &status.sealed),
        row("parked", &status.parked),
        format!("{:<12}{:>30}", "settled", words::operations(status.settled)),
        format!(
            "{:<12}{:>30}{:>12}",
            "folded away",
            format!("{} of {}", words::count(status.folded_away), words::operations(status.appended)),
            words::percent(status.folded_away, status.appended)
        ),
    ];
    if status.set_aside_values > 0 {
        let values = words::counted(status.set_aside_values, "damaged value", "damaged values");
        lines.push(format!(
            "{:<12}{:>30}  in {values}; `foldlog compact` lists them",
            "set aside",
            words::operations(status.set_aside)
        ));
    }
    if let Some(number) = status.open_bunch {
        lines.push(format!("{:<12}bunch {number}: deliver it, then settle it", "open"));
    }
    if let Some(age) = status.oldest_age_ms {
        lines.push(format!("{:<12}{} old", "oldest", words::span(age)));
    }
    if status.cursor.0 > 0 {
        lines.push(format!("{:<12}triggers heard up to {}", "cursor", status.cursor));
    }
    lines
}

pub(super) fn as_json(status: &Status) -> Map<String, Value> {
    let count = |count: &Count| json!({"entities": count.entities, "operations": count.operations, "bytes": count.bytes});
    object(json!({
        "appended": status.appended, "pending": count(&status.pending), "held": count(&status.held),
        "sealed": count(&status.sealed), "parked": count(&status.parked), "settled": status.settled,
        "set_aside": status.set_aside, "set_aside_values": status.set_aside_values,
        "folded_away": status.folded_away, "open_bunch": status.open_bunch.map(|number| number.0),
        "oldest_at": status.oldest_at.map(|at| at.0), "oldest_age_ms": status.oldest_age_ms,
        "cursor": status.cursor.0,
    }))
}

/// Findings go to standard output, a line each; the exit code is 1 if there are any.
pub(super) fn verify(args: &JournalArgs, output: &mut Output) -> Result<(), Failure> {
    let report = journal::verify(&args.journal)?;
    if !output.is_json() {
        for finding in &report.findings {
            output.text(&format!("{}: {}", finding.place, finding.what))?;
        }
    }
    let checked = format!(
        "checked {} in {} and {}",
        words::bytes(report.bytes),
        words::counted(report.values, "value", "values"),
        words::operations(report.operations)
    );
    let number = report.findings.len() as u64;
    let found = words::counted(number, "finding", "findings");
    let said = if number == 0 { format!("{checked}: sound") } else { format!("{checked}: {found}") };
    output.summary(false, &said, || {
        let findings: Vec<Value> = report
            .findings
            .iter()
            .map(|finding| json!({"place": finding.place, "what": finding.what}))
            .collect();
        object(json!({
            "bytes": report.bytes, "values": report.values, "operations": report.operations,
            "findings": findings,
        }))
    })?;
    if number == 0 {
        return Ok(());
    }
    let place = args.journal.display();
    Err(Failure::Failed(format!(
        "{place} is damaged: {found}. Copy the file, then `foldlog compact {place} --mend` sets aside what is \
         damaged and goes on with the rest"
    )))
}
