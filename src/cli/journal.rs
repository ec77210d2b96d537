//! The commands that move a journal on.

use std::path::Path;

use serde_json::json;

use super::ahead::ahead;
use super::args::{
    AppendArgs, BaselineArgs, CompactArgs, InputArgs, JournalArgs, PlanArgs, ReceiveArgs, SealArgs,
};
use super::failure::Failure;
use super::fold::{Summary, object};
use super::input::Source;
use super::output::{Output, say};
use super::progress::Progress;
use super::words;
use crate::algebra::{EntityKey, Heard, Index, Limits, Operation, Outcomes, Row, Trigger};
use crate::codec::lines::{Line, ReadList};
use crate::journal::{Appended, Durability, Journal, Listing};
use crate::replica::journal_by_its_schema;

/// Opens a journal or makes one, does something with it, and takes a new one away again if that failed: bad
/// input changes nothing.
fn creating<T>(path: &Path, work: impl FnOnce(&Journal) -> Result<T, Failure>) -> Result<T, Failure> {
    // Whoever makes the file knows for certain that it was not there.
    let is_new = std::fs::OpenOptions::new().write(true).create_new(true).open(path).is_ok();
    let journal = match Journal::create(path) {
        Ok(journal) => journal,
        Err(error) => {
            let is_empty = std::fs::metadata(path).is_ok_and(|file| file.len() == 0);
            if is_new && is_empty && !error.is_temporary() {
                let _ = std::fs::remove_file(path);
            }
            return Err(error.into());
        }
    };
    let done = work(&journal);
    if is_new && done.is_err() && journal.status().is_ok_and(|status| status.appended == 0) {
        // Before it is closed, so that nobody else can have opened it meanwhile.
        let _ = std::fs::remove_file(path);
    }
    done
}

fn all<T: Line>(source: &Source, what: &'static str) -> Result<Vec<T>, Failure> {
    Progress::new(what).over(source.lines()?).collect()
}

pub(super) fn append(args: &AppendArgs, output: &mut Output) -> Result<(), Failure> {
    let lines = args.to.input.lines::<Operation>()?;
    let progress = Progress::new("appending");
    if args.each {
        // Whoever waits for an answer to one line has not written the next: nothing is read ahead.
        return each(&args.to.journal, progress.over(lines), output);
    }
    let appended = creating(&args.to.journal, |journal| {
        journal.append_streamed(progress.over(ahead(lines)?.lines()), Durability::Durable)
    })?;
    let Appended { first, last } = appended;
    let number = if last.0 == 0 { 0 } else { last.0 - first.0 + 1 };
    let said = match number {
        0 => "nothing to append".to_owned(),
        number => format!("appended {}: {first} to {last}", words::operations(number)),
    };
    output.summary(false, &said, || object(json!({"appended": number, "first": first.0, "last": last.0})))
}

/// One durable commit a line, answered at once. A bad line ends it; what was answered stays.
fn each(
    path: &Path,
    lines: impl Iterator<Item = Result<Operation, Failure>>,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut lines = lines.peekable();
    if let Some(Err(_)) = lines.peek() {
        // Nothing was answered yet, so nothing is made either.
        return lines.next().map_or(Ok(()), |line| line.map(|_| ()));
    }
    let journal = Journal::create(path)?;
    let mut number = 0_u64;
    for operation in lines {
        let appended = journal.append(&[operation?], Durability::Durable)?;
        number += 1;
        let answer = format!(r#"{{"seq":{}}}"#, appended.last);
        output.text(&answer).and_then(|()| output.flush()).map_err(|failure| match failure {
            // Elsewhere that is no error; here the rest of the input would be missing without a word.
            Failure::BrokenPipe => Failure::Failed(format!(
                "nobody reads the answers any more: stopped after {}, which are in the journal",
                words::operations(number)
            )),
            failure => failure,
        })?;
    }
    let said = format!("appended {}, each by itself", words::operations(number));
    output.summary(true, &said, || object(json!({"appended": number})))
}

pub(super) fn baseline(args: &BaselineArgs, output: &mut Output) -> Result<(), Failure> {
    let rows: Vec<Row> = all(&args.to.input, "reading rows")?;
    let listing = if args.complete { Listing::Complete } else { Listing::Partial };
    creating(&args.to.journal, |journal| Ok(journal.baseline(&rows, listing)?))?;
    let number = rows.len() as u64;
    let rest = if args.complete { "what was never listed is absent" } else { "all others are as before" };
    let said = format!("noted what the authority holds of {}; {rest}", words::entities(number));
    output.summary(false, &said, || object(json!({"rows": number, "complete": args.complete})))
}

pub(super) fn plan(args: &PlanArgs, output: &mut Output) -> Result<(), Failure> {
    let journal = journal_by_its_schema(&args.of.journal)?;
    let plan = match &args.schema {
        Some(schema) => journal.plan_with(Some(&schema.schema()?))?,
        None => journal.plan()?,
    };
    for operation in &plan.operations {
        output.line(operation)?;
    }
    let sent: u64 = plan.operations.iter().map(|planned| u64::from(planned.operations)).sum();
    let nothing: u64 = plan.nothing.iter().map(|nothing| u64::from(nothing.operations)).sum();
    let summary = Summary::of(&plan);
    let open = journal.open_bunch()?.map(|bunch| format!("; behind bunch {}, which is open", bunch.number));
    let said = summary.words(sent + nothing) + open.as_deref().unwrap_or_default();
    output.summary(true, &said, || summary.json(sent + nothing))
}

pub(super) fn compact(args: &CompactArgs, output: &mut Output) -> Result<(), Failure> {
    let journal = Journal::open(&args.of.journal)?;
    if args.mend {
        journal.mend()?;
    }
    if args.forget {
        journal.forget_set_aside()?;
    }
    journal.compact()?;
    let set_aside = journal.set_aside()?;
    for aside in &set_aside {
        let bytes = words::bytes(aside.bytes.len() as u64);
        say(&format!("set aside: {}, {bytes}: {}", aside.place, aside.why));
    }
    let status = journal.status()?;
    let left = status.pending.entities + status.held.entities;
    let operations = status.pending.operations + status.held.operations;
    let said = format!("folded {} to {}", words::operations(operations), words::entities(left));
    output.summary(false, &said, || {
        let set_aside: Vec<serde_json::Value> =
            set_aside.iter().map(|aside| json!({"place": aside.place, "why": aside.why})).collect();
        object(json!({"operations": operations, "entities": left, "set_aside": set_aside}))
    })
}

pub(super) fn seal(args: &SealArgs, output: &mut Output) -> Result<(), Failure> {
    let journal = Journal::open(&args.of.journal)?;
    let schema = args.schema.as_ref().map(Source::schema).transpose()?;
    let mut limits = Limits::default();
    if let Some(most) = args.max_operations {
        limits.operations = usize::try_from(most).unwrap_or(usize::MAX);
    }
    if let Some(most) = args.max_bytes {
        limits.bytes = usize::try_from(most).unwrap_or(usize::MAX);
    }
    let was_open = journal.open_bunch()?.is_some();
    match journal.seal_with(limits, schema.as_ref())? {
        None => {
            let status = journal.status()?;
            let (parked, held) = (status.parked.entities, status.held.entities);
            let said = match parked + held {
                0 => "nothing to send".to_owned(),
                _ => format!("nothing to send; {parked} parked and {held} held, see `parked`"),
            };
            output.summary(true, &said, || {
                object(json!({"bunch": null, "operations": 0, "parked": parked, "held": held}))
            })
        }
        Some(bunch) => {
            output.line(&bunch)?;
            let again = if was_open { ", again: it is not settled yet" } else { "" };
            let number = bunch.operations.len() as u64;
            let said = format!("bunch {}: {}{again}", bunch.number, words::operations(number));
            output.summary(true, &said, || {
                object(json!({"bunch": bunch.number.0, "id": bunch.id.to_string(), "operations": number, "again": was_open}))
            })
        }
    }
}

pub(super) fn settle(args: &InputArgs, output: &mut Output) -> Result<(), Failure> {
    let journal = Journal::open(&args.journal)?;
    let answers: Vec<Outcomes> = all(&args.input, "reading outcomes")?;
    let [answer] = answers.as_slice() else {
        let lines = words::counted(answers.len() as u64, "line", "lines");
        return Err(Failure::Failed(format!(
            "{}: {lines} of outcomes; give the answer to the open bunch, one line",
            args.input
        )));
    };
    let settled = journal.settle(answer)?;
    let bunch = answer.bunch;
    if settled.was_settled {
        let said = format!("bunch {bunch} was settled before; nothing changed");
        return output.summary(false, &said, || object(json!({"bunch": bunch.0, "again": true})));
    }
    let counts = [
        ("accepted", settled.accepted),
        ("superseded", settled.superseded.len() as u64),
        ("parked", settled.parked.len() as u64),
        ("mended", settled.mended.len() as u64),
        ("waiting", settled.waiting.len() as u64),
        ("retried", settled.retried),
    ];
    let told: Vec<String> = counts
        .iter()
        .filter(|(_, number)| *number > 0)
        .map(|(what, number)| format!("{} {what}", words::count(*number)))
        .collect();
    let said = format!("bunch {bunch} is settled: {}", told.join(", "));
    output.summary(false, &said, || {
        object(json!({
            "bunch": bunch.0, "again": false, "accepted": settled.accepted,
            "superseded": names(&settled.superseded), "parked": names(&settled.parked),
            "mended": names(&settled.mended), "waiting": names(&settled.waiting),
            "retried": settled.retried, "deletes_dropped": names(&settled.deletes_dropped),
        }))
    })
}

pub(super) fn receive(args: &ReceiveArgs, output: &mut Output) -> Result<(), Failure> {
    let triggers: Vec<Trigger> = all(&args.to.input, "reading triggers")?;
    let (is_behind, received) = creating(&args.to.journal, |journal| {
        let mut is_behind = None;
        if let Some(cursor) = args.cursor {
            // Taken, a smaller one would have what was heard asked for again.
            if Index(cursor) > journal.receive(&[])?.heard.cursor {
                journal.set_cursor(Index(cursor))?;
            } else {
                is_behind = Some(cursor);
            }
        }
        Ok((is_behind, journal.receive(&triggers)?))
    })?;
    let number = triggers.len() as u64;
    let mut said = format!(
        "{}, {} new; {}",
        words::counted(number, "trigger", "triggers"),
        words::count(received.new),
        heard(&received.heard)
    );
    if let Some(cursor) = is_behind {
        said.push_str(&format!("; --cursor {cursor} is not beyond what was heard, and changed nothing"));
    }
    output.summary(false, &said, || {
        object(json!({
            "triggers": number, "new": received.new, "cursor": received.heard.cursor.0,
            "gaps": gaps(&received.heard),
        }))
    })
}

pub(super) fn reads(args: &JournalArgs, output: &mut Output) -> Result<(), Failure> {
    let reads = Journal::open(&args.journal)?.reads()?;
    for list in ReadList::of(&reads.plan) {
        output.line(&list)?;
    }
    let said = format!(
        "{} to read, {} deleted, {} in the open bunch; {}",
        words::count(reads.plan.len() as u64),
        words::count(reads.plan.deletes.len() as u64),
        words::count(reads.plan.waiting.len() as u64),
        heard(&reads.heard)
    );
    output.summary(true, &said, || {
        let deleted: Vec<EntityKey> = reads.plan.deletes.iter().map(|(key, _)| key.clone()).collect();
        object(json!({
            "reads": reads.plan.len(), "deletes": names(&deleted), "waiting": names(&reads.plan.waiting),
            "cursor": reads.heard.cursor.0, "gaps": gaps(&reads.heard),
        }))
    })
}

pub(super) fn integrate(args: &InputArgs, output: &mut Output) -> Result<(), Failure> {
    let journal = Journal::open(&args.journal)?;
    let rows: Vec<Row> = all(&args.input, "reading rows")?;
    let integrated = journal.integrate(&rows)?;
    let said = format!(
        "{} applied, {} not newer, {} in the open bunch; of what was pending {} agreed, {} gave way",
        words::count(integrated.applied.len() as u64),
        words::count(integrated.stale),
        words::count(integrated.waiting.len() as u64),
        words::count(integrated.agreed.len() as u64),
        words::counted(integrated.deletes_dropped.len() as u64, "delete", "deletes"),
    );
    output.summary(false, &said, || {
        object(json!({
            "applied": names(&integrated.applied), "stale": integrated.stale,
            "waiting": names(&integrated.waiting), "agreed": names(&integrated.agreed),
            "deletes_dropped": names(&integrated.deletes_dropped),
        }))
    })
}

fn names(keys: &[EntityKey]) -> Vec<String> {
    keys.iter().map(ToString::to_string).collect()
}

fn heard(heard: &Heard) -> String {
    let cursor = heard.cursor;
    if heard.gaps.is_empty() {
        return format!("heard up to {cursor}");
    }
    let gaps: Vec<String> = heard
        .gaps
        .iter()
        .map(|gap| match (gap.start(), gap.end()) {
            (start, end) if start == end => start.to_string(),
            (start, end) => format!("{start} to {end}"),
        })
        .collect();
    format!("heard up to {cursor}; missing: {}", gaps.join(", "))
}

fn gaps(heard: &Heard) -> Vec<[u64; 2]> {
    heard.gaps.iter().map(|gap| [*gap.start(), *gap.end()]).collect()
}
