//! What a check found, told: clashes with those below them, what is refused, what would become of the entities.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::counts::Counts;
use super::decided::{template, undecided};
use super::files::{Files, Found};
use crate::algebra::{EntityKey, Existence, State};
use crate::cli::failure::Failure;
use crate::cli::fold::object;
use crate::cli::words;
use crate::merge::{Pair, Refusal, Resolutions};
use crate::replica::Checked;

/// Deeper than this nothing is indented further.
const DEPTH_MAX: usize = 32;

/// A clash in a line: who, in which file, by which key.
pub(super) fn clash(files: &Files, pair: &Pair) -> Result<String, Failure> {
    let (source, dest) = files.sides(pair)?;
    let of = |found: &Option<Found>| found.as_ref().map_or("", |found| files.name_of(found)).to_owned();
    if pair.source == pair.dest {
        return Ok(format!(
            "{}  both {} and {} changed it, each in its way",
            pair.dest,
            words::shown(&of(&dest)),
            words::shown(&of(&source))
        ));
    }
    let state =
        |found: &Option<Found>| found.as_ref().and_then(|found| found.version.existence.live().cloned());
    let by = match (state(&source), state(&dest)) {
        (Some(source), Some(dest)) => files.key_of(pair, &source, &dest).map(|fields| key(fields, &dest)),
        _ => None,
    };
    let by = by.map_or_else(String::new, |by| format!("  {}", words::shown(&by)));
    let named = |key: &EntityKey, found: &Option<Found>| format!("{key} ({})", words::shown(&of(found)));
    Ok(format!("{} against {}{by}", named(&pair.source, &source), named(&pair.dest, &dest)))
}

/// A key and its values: (code) = ("oak").
fn key(fields: &[String], state: &State) -> String {
    let values: Vec<&str> = fields.iter().map(|field| state.raw(field).unwrap_or("null")).collect();
    format!("({}) = ({})", fields.join(", "), values.join(", "))
}

/// All clashes in lines, those below others indented under them; then what else is in the way.
pub(super) fn lines(files: &Files, checked: &Checked) -> Result<Vec<String>, Failure> {
    let below = Below::of(files, checked)?;
    let open = undecided(checked);
    let mut lines = Vec::new();
    let mut told = BTreeSet::new();
    for pair in checked.clashes.top.iter().chain(&checked.clashes.downstream) {
        let mut stack = vec![(pair, 0, false)];
        while let Some((pair, depth, waits)) = stack.pop() {
            if !told.insert(pair) {
                continue;
            }
            let children = below.0.get(pair).map_or(&[][..], Vec::as_slice);
            let mut line = "  ".repeat(depth.min(DEPTH_MAX));
            line.push_str(&clash(files, pair)?);
            if !children.is_empty() {
                line.push_str(&format!("; {} below", words::count(children.len() as u64)));
            }
            if checked.must_be_listed.contains(pair) {
                line.push_str("; must be listed");
            }
            // What is below follows from what is above, unless it is decided by itself.
            let waits = waits || open.contains(pair);
            if !waits {
                line.push_str("; decided");
            }
            lines.push(line);
            stack.extend(children.iter().rev().map(|child| (*child, depth + 1, waits)));
        }
    }
    // Of whom nobody decided stands above already.
    let is_told = |refusal: &&Refusal| !matches!(refusal, Refusal::Undecided { .. });
    lines.extend(checked.refusals.iter().filter(is_told).map(|refusal| format!("refused: {refusal}")));
    Ok(lines)
}

/// Of each clash, those right below it: of what refers to its two.
struct Below<'c>(BTreeMap<&'c Pair, Vec<&'c Pair>>);

impl<'c> Below<'c> {
    fn of(files: &Files, checked: &'c Checked) -> Result<Self, Failure> {
        let all = || checked.clashes.top.iter().chain(&checked.clashes.downstream);
        let mut of: BTreeMap<&EntityKey, Vec<&'c Pair>> = BTreeMap::new();
        for pair in all() {
            for key in BTreeSet::from([&pair.source, &pair.dest]) {
                of.entry(key).or_default().push(pair);
            }
        }
        let mut below: BTreeMap<&Pair, Vec<&Pair>> = BTreeMap::new();
        for pair in &checked.clashes.downstream {
            let (source, dest) = files.sides(pair)?;
            let mut parents = Vec::new();
            for (key, found) in [(&pair.source, source), (&pair.dest, dest)] {
                if let Some(Existence::Live(state)) = found.map(|found| found.version.existence) {
                    parents.push(files.parents(key, &state).collect::<BTreeSet<_>>());
                }
            }
            let [source, dest] = parents.as_slice() else { continue };
            // The two refer to the two of one clash, not both to the same.
            let parent = source.iter().flat_map(|key| of.get(key).into_iter().flatten()).find(|parent| {
                **parent != pair
                    && [(&parent.source, &parent.dest), (&parent.dest, &parent.source)]
                        .iter()
                        .any(|(one, other)| source.contains(*one) && dest.contains(*other))
            });
            if let Some(parent) = parent {
                below.entry(parent).or_default().push(pair);
            }
        }
        Ok(Below(below))
    }
}

/// How a check ended, in a line.
pub(super) fn summary(checked: &Checked) -> String {
    let (top, below) = (checked.clashes.top.len() as u64, checked.clashes.downstream.len() as u64);
    let counts = Counts::of(&checked.entities).words();
    if top + below == 0 {
        return format!("nothing clashes; {counts}");
    }
    let open = undecided(checked).len() as u64;
    let below = if below > 0 { format!(" and {} below", words::count(below)) } else { String::new() };
    let clashes = words::counted(top, "clash", "clashes");
    format!("{clashes}{below}, {} undecided; so far: {counts}", words::count(open))
}

/// All that a check found, for a machine; its "resolutions" are to be edited and given back.
pub(super) fn json(
    files: &Files,
    checked: &Checked,
    decided: &Resolutions,
) -> Result<Map<String, Value>, Failure> {
    let pair = |pair: &Pair| -> Result<Value, Failure> {
        let (source, dest) = (pair.source.to_string(), pair.dest.to_string());
        Ok(json!({"source": source, "dest": dest, "said": clash(files, pair)?}))
    };
    let pairs = |pairs: &BTreeSet<Pair>| pairs.iter().map(pair).collect::<Result<Vec<_>, _>>();
    let refusals: Vec<Value> = checked.refusals.iter().map(refusal).collect();
    // What was just written as JSON is read as such.
    let template: Value = serde_json::from_str(&template(checked, decided).to_json()).unwrap_or_default();
    Ok(object(json!({
        "clashes": pairs(&checked.clashes.top)?,
        "downstream": pairs(&checked.clashes.downstream)?,
        "must_be_listed": pairs(&checked.must_be_listed)?,
        "refusals": refusals,
        "entities": Counts::of(&checked.entities).json(),
        "resolutions": template,
    })))
}

fn refusal(refusal: &Refusal) -> Value {
    let kind = match refusal {
        Refusal::Undecided { .. } => "undecided",
        Refusal::MustBeListed { .. } => "must_be_listed",
        Refusal::NoClash { .. } => "no_clash",
        Refusal::NamedTwice { .. } => "named_twice",
        Refusal::Contradicted { .. } => "contradicted",
        Refusal::BadModify { .. } => "bad_modify",
        Refusal::Restricted { .. } => "restricted",
    };
    let Pair { source, dest } = refusal.pair();
    json!({
        "refused": kind, "source": source.to_string(), "dest": dest.to_string(), "said": refusal.to_string(),
    })
}
