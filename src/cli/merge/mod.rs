//! `merge`: replica files that were edited apart go into one of them, in one transaction.
//!
//! ```text
//! read all ── check ── undecided? ── ask, or refuse ── copy the destination ── merge
//! ```
//!
//! The destination is opened to be written last: whatever is refused before has changed no byte of any file.

mod args;
mod backup;
mod counts;
mod decided;
mod dialog;
mod files;
mod told;

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

pub(super) use args::MergeArgs;

use super::failure::Failure;
use super::fold::object;
use super::output::{Output, say, width};
use super::progress::Progress;
use super::{replica, words};
use crate::merge::{Refusal, Resolutions};
use crate::replica::{Checked, Merged, Replica};
use counts::Counts;
use decided::undecided;
use dialog::Dialog;
use files::Files;

pub(super) fn merge(args: &MergeArgs, output: &mut Output) -> Result<(), Failure> {
    let decided = args.decided()?;
    let files = Files::open(&args.into, &args.sources)?;
    let checked = files.check(&decided)?;
    if args.check {
        return report(&files, &checked, &decided, output);
    }
    require_writable(&args.into)?;
    let decided = if checked.is_clean() { decided } else { asked(args, &files, &checked, decided)? };
    let Files { dest, sources, .. } = files;
    // From here on it may be written.
    drop(dest);
    let copy = if args.no_backup { None } else { Some(backup::keep(&args.into)?) };
    let merged = carried_out(&args.into, &sources, &decided).map_err(|error| match (error, &copy) {
        (Failure::Failed(why), Some(copy)) => {
            Failure::Failed(format!("{why}; {} is the destination as it was", copy.display()))
        }
        (error, _) => error,
    })?;
    let changes = merged.losers > 0 || merged.entities.iter().any(|entity| entity.was != entity.now);
    let copy = copy.filter(|copy| changes || std::fs::remove_file(copy).is_err());
    done(&args.into, &merged, copy, output)
}

/// Says what merging would come to; that something is in the way is a failure.
fn report(
    files: &Files,
    checked: &Checked,
    decided: &Resolutions,
    output: &mut Output,
) -> Result<(), Failure> {
    if output.is_json() {
        // In lines: it is for somebody to edit as well.
        let json = Value::Object(told::json(files, checked, decided)?);
        output.text(&format!("{json:#}"))?;
    } else {
        for line in told::lines(files, checked)? {
            output.text(&line)?;
        }
        output.flush()?;
        say(&told::summary(checked));
    }
    let number = checked.refusals.len();
    if number == 0 {
        return Ok(());
    }
    let is = if number == undecided(checked).len() {
        words::counted(number as u64, "clash is undecided", "clashes are undecided")
    } else {
        words::counted(number as u64, "thing is in the way", "things are in the way")
    };
    Err(Failure::Failed(if output.is_json() {
        format!("{is}; edit \"resolutions\" in that and give it back with --resolutions")
    } else {
        format!("{is}; `--check --json` writes a template of decisions for --resolutions")
    }))
}

/// Lets a person decide what is undecided; where there is none, or something else is in the way, it is refused.
fn asked(
    args: &MergeArgs,
    files: &Files,
    checked: &Checked,
    decided: Resolutions,
) -> Result<Resolutions, Failure> {
    let is_somebody_there =
        io::stdin().is_terminal() && io::stderr().is_terminal() && !args.is_standard_taken();
    if undecided(checked).len() < checked.refusals.len() || !is_somebody_there {
        for refusal in &checked.refusals {
            say(&refusal.to_string());
        }
        return Err(Failure::Failed(refused(args, checked)));
    }
    let mut dialog = Dialog {
        files,
        input: io::stdin().lock(),
        out: io::stderr(),
        width: width(&console::Term::stderr()),
    };
    dialog.talk(decided)?.ok_or_else(|| Failure::Failed("nothing was merged".to_owned()))
}

/// What to do about what is in the way.
fn refused(args: &MergeArgs, checked: &Checked) -> String {
    let into = args.into.display();
    let must_be_listed = checked.refusals.iter().any(|one| matches!(one, Refusal::MustBeListed { .. }));
    let mut said = format!(
        "nothing was merged; `foldlog merge --into {into} … --check --json > decisions.json` writes what is to be \
         decided, and `--resolutions decisions.json` takes it once it is edited"
    );
    if must_be_listed {
        said.push_str("; what both files have is deleted only where it is listed there");
    } else if args.prefer.is_none() && !undecided(checked).is_empty() {
        said.push_str("; or `--prefer source`, `dest` or `newest` decides all of it");
    }
    said
}

/// A file that may not be written is not worth a copy. Whoever may write anything is held to what the file says.
fn require_writable(path: &Path) -> Result<(), Failure> {
    match std::fs::metadata(path) {
        Ok(found) if found.permissions().readonly() => Err(Failure::Failed(format!(
            "{} is read-only; make it writable, or only look with --check; nothing was merged",
            path.display()
        ))),
        // Opening it says what is wrong.
        Ok(_) | Err(_) => Ok(()),
    }
}

fn carried_out(into: &Path, sources: &[Replica], decided: &Resolutions) -> Result<Merged, Failure> {
    let dest = replica::open(into)?;
    let mut progress = Progress::new("entities merged");
    let sources: Vec<&Replica> = sources.iter().collect();
    Ok(dest.merge(&sources, decided, &mut |read| progress.at(read))?)
}

fn done(into: &Path, merged: &Merged, copy: Option<PathBuf>, output: &mut Output) -> Result<(), Failure> {
    let counts = Counts::of(&merged.entities);
    let name = into.display();
    let clashes = (merged.clashes.top.len() + merged.clashes.downstream.len()) as u64;
    let mut said = vec![format!("merged into {name}: {}", counts.words())];
    if clashes > 0 {
        said.push(format!("{} decided", words::counted(clashes, "clash was", "clashes were")));
    }
    if merged.losers > 0 {
        let lost = words::counted(merged.losers, "value lost and is kept", "values lost and are kept");
        said.push(format!("{lost}: `foldlog conflicts {name} losers`"));
    }
    if let Some(copy) = &copy {
        said.push(format!("as it was: {}", copy.display()));
    }
    output.summary(false, &said.join("\n"), || {
        let entities: Vec<Value> = merged.entities.iter().map(counts::entity).collect();
        object(json!({
            "entities": entities,
            "counts": counts.json(),
            "clashes": clashes,
            "losers": merged.losers,
            "backup": copy.as_ref().map(|copy| copy.display().to_string()),
        }))
    })
}
