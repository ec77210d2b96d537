//! Decisions in a file: read as a check wrote them, and written for somebody to edit.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::cli::failure::Failure;
use crate::cli::input::Source;
use crate::merge::{Children, How, Keep, Pair, Refusal, Resolution, Resolutions, With};
use crate::replica::Checked;

/// What `--check --json` writes, as far as it is read again.
#[derive(Deserialize)]
struct Report<'t> {
    #[serde(borrow)]
    resolutions: &'t RawValue,
}

/// Reads decisions: by themselves, or in what a check wrote.
pub(super) fn read(source: &Source) -> Result<Resolutions, Failure> {
    let text = source.text()?;
    let text = text.trim_start_matches('\u{feff}');
    let decisions = serde_json::from_str::<Report<'_>>(text).map_or(text, |report| report.resolutions.get());
    Resolutions::from_json(decisions).map_err(|error| Failure::Failed(format!("{source}: {error}")))
}

/// Decisions for somebody to edit: about all clashes that do not follow from others, as they were decided so far.
pub(super) fn template(checked: &Checked, decided: &Resolutions) -> Resolutions {
    let none: BTreeSet<&Pair> = checked
        .refusals
        .iter()
        .filter(|refusal| matches!(refusal, Refusal::NoClash { .. }))
        .map(Refusal::pair)
        .collect();
    let mut listed: Vec<Resolution> =
        decided.listed.iter().filter(|one| !none.contains(&one.pair)).cloned().collect();
    let had: BTreeSet<Pair> = listed.iter().map(|one| one.pair.clone()).collect();
    let keep = decided.default.unwrap_or(Keep { with: With::Dest, children: Children::Both });
    let all: BTreeSet<&Pair> = checked.clashes.top.iter().chain(&checked.must_be_listed).collect();
    let new = all.into_iter().filter(|pair| !had.contains(pair));
    listed.extend(new.map(|pair| Resolution { pair: pair.clone(), how: How::Keep(keep) }));
    Resolutions { listed, default: decided.default }
}

/// The clashes that somebody has to decide.
pub(super) fn undecided(checked: &Checked) -> BTreeSet<&Pair> {
    let is_open =
        |refusal: &&Refusal| matches!(refusal, Refusal::Undecided { .. } | Refusal::MustBeListed { .. });
    checked.refusals.iter().filter(is_open).map(Refusal::pair).collect()
}
