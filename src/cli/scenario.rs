//! `scenario`: plays files of what happens and what is expected.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::args::ScenarioArgs;
use super::failure::Failure;
use super::fold::object;
use super::input::{Source, require_one_standard};
use super::output::Output;
use crate::scenario::{Medium, Played, Scenario, play};

pub(super) fn scenario(args: &ScenarioArgs, output: &mut Output) -> Result<(), Failure> {
    require_one_standard(args.files.iter().map(|file| ("FILE", file)))?;
    let mut failed: Vec<Value> = Vec::new();
    let mut sum = Played::default();
    for file in &args.files {
        let name = file.to_string();
        let played = read(file).and_then(|scenario| {
            let played = play_all(&scenario, args.seeds)?;
            Ok((scenario.title, played))
        });
        match played {
            Ok((title, played)) => {
                sum.steps += played.steps;
                sum.expectations += played.expectations;
                sum.crashes += played.crashes;
                if !output.is_json() {
                    output.text(&format!("ok      {name}  {title}"))?;
                }
            }
            Err(why) => {
                if !output.is_json() {
                    output.text(&format!("FAILED  {name}\n{why}"))?;
                }
                failed.push(json!({ "file": name, "why": why }));
            }
        }
    }
    let (count, bad) = (args.files.len(), failed.len());
    let words = format!(
        "{} of {count} scenarios went as expected: {} steps, {} expectations, {} crashes",
        count - bad,
        sum.steps,
        sum.expectations,
        sum.crashes
    );
    output.summary(false, &words, || {
        object(json!({
            "scenarios": count, "passed": count - bad, "failed": failed, "steps": sum.steps,
            "expectations": sum.expectations, "crashes": sum.crashes,
        }))
    })?;
    if bad == 0 { Ok(()) } else { Err(Failure::Failed(format!("{bad} of {count} scenarios failed"))) }
}

fn read(file: &Source) -> Result<Scenario, String> {
    let text = file.read().map_err(|why| format!("it cannot be read: {why}"))?;
    Scenario::read(&text).map_err(|error| error.to_string())
}

/// Plays a scenario in memory and on files, then once more for each seed.
fn play_all(scenario: &Scenario, seeds: u64) -> Result<Played, String> {
    let mut sum = Played::default();
    for seed in std::iter::once(None).chain((1..=seeds).map(Some)) {
        let folder = Folder::new()?;
        for (medium, name) in [(Medium::Memory, "in memory"), (Medium::Files(&folder.0), "on files")] {
            let how = match seed {
                Some(seed) => format!("{name}, with crashes of seed {seed}"),
                None => name.to_owned(),
            };
            let played = play(scenario, medium, seed).map_err(|failure| format!("{how}, {failure}"))?;
            sum.steps += played.steps;
            sum.expectations += played.expectations;
            sum.crashes += played.crashes;
        }
    }
    Ok(sum)
}

/// A folder of its own, gone when it is no longer used.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, String> {
        let path = std::env::temp_dir().join(format!("foldlog-scenario-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&path).map_err(|error| format!("{} cannot be made: {error}", path.display()))?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left behind is in the system's folder for such things.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
