//! Playing a scenario.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::client::{Client, Refused};
use super::link::Link;
use super::names::Names;
use super::step::{Merging, Scenario, Step, With};
use crate::algebra::{Millis, Operation};
use crate::merge::Clashes;
use crate::replica::{self, Replica, Resolution};
use crate::sync::Want;
use crate::workload::random::Random;

/// What the clients live on.
#[derive(Clone, Copy, Debug)]
pub enum Medium<'p> {
    /// Memory; what is not synced is lost in a crash.
    Memory,
    /// Files in this folder.
    Files(&'p Path),
}

/// What playing came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Played {
    /// Steps.
    pub steps: u64,
    /// What was expected, and was so.
    pub expectations: u64,
    /// Crashes that nobody wrote down.
    pub crashes: u64,
}

/// A scenario that did not go as expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The line's number.
    pub line: u64,
    /// The line.
    pub step: String,
    /// What was expected.
    pub expected: String,
    /// What was found instead.
    pub found: String,
    /// What happened until then, a line a step.
    pub account: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "line {}: {}", self.line, self.step)?;
        writeln!(f, "  expected  {}", self.expected)?;
        writeln!(f, "  found     {}", self.found)?;
        writeln!(f, "  what happened until then:")?;
        self.account.iter().try_for_each(|line| writeln!(f, "    {line}"))
    }
}

pub(super) struct Player<'s> {
    scenario: &'s Scenario,
    folder: Option<PathBuf>,
    clock: Arc<AtomicU64>,
    pub(super) names: Names,
    pub(super) link: Link,
    pub(super) clients: BTreeMap<String, Client>,
    /// Why the last step was refused, or the group that it ended, if one was.
    pub(super) refused: Option<String>,
    /// What the last check or merge found.
    pub(super) clashes: Option<Clashes>,
    pub(super) account: Vec<String>,
}

/// Plays a scenario; with a seed, clients crash between steps as well.
///
/// # Errors
/// The first thing that is not as expected.
pub fn play(scenario: &Scenario, medium: Medium<'_>, seed: Option<u64>) -> Result<Played, Box<Failure>> {
    let mut player = Player {
        scenario,
        folder: match medium {
            Medium::Memory => None,
            Medium::Files(folder) => Some(folder.to_owned()),
        },
        clock: Arc::new(AtomicU64::new(0)),
        names: Names::new(scenario.schema.clone()),
        link: Link::new(scenario.schema.clone()),
        clients: BTreeMap::new(),
        refused: None,
        clashes: None,
        account: Vec::new(),
    };
    let mut random = seed.map(Random::new);
    let mut played = Played::default();
    for (line, text, step) in &scenario.steps {
        player.clock.store(*line, Ordering::Relaxed);
        if let Some(random) = &mut random {
            played.crashes += player.crash_some(random, *line, text)?;
        }
        match step {
            Step::Expect(expect) => {
                player.end_groups(*line, text)?;
                let found = player.expect(expect);
                let found =
                    found.map_err(|error| player.failure(*line, text, "an answer", &error.to_string()))?;
                if let Some((expected, found)) = found {
                    return Err(player.failure(*line, text, &expected, &found));
                }
                played.expectations += 1;
            }
            step => {
                player.refused = None;
                player.end_groups_before(step);
                let done = player.step(*line, step);
                let how = match &done {
                    Ok(said) if said.is_empty() => String::new(),
                    Ok(said) => format!("  → {said}"),
                    Err(error) => format!("  → refused: {error}"),
                };
                player.account.push(format!("{line:>4} {text}{how}"));
                match done {
                    Ok(_) => {}
                    Err(StepError::Refused(why)) => player.refused = Some(why),
                    Err(StepError::Broken(why)) => {
                        return Err(player.failure(*line, text, "a step that can be taken", &why));
                    }
                }
            }
        }
        played.steps += 1;
    }
    player.end_groups(0, "the end")?;
    Ok(played)
}

/// Why a step was not taken.
enum StepError {
    /// The client refused it, which a scenario may expect.
    Refused(String),
    /// It cannot be taken at all.
    Broken(String),
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StepError::Refused(why) | StepError::Broken(why) => f.write_str(why),
        }
    }
}

fn broken(error: impl fmt::Display) -> StepError {
    StepError::Broken(error.to_string())
}

impl Player<'_> {
    fn failure(&self, line: u64, step: &str, expected: &str, found: &str) -> Box<Failure> {
        Box::new(Failure {
            line,
            step: step.to_owned(),
            expected: self.names.shown(expected),
            found: self.names.shown(found),
            account: self.account.clone(),
        })
    }

    pub(super) fn client(&mut self, name: &str) -> Result<&mut Client, Refused> {
        if !self.clients.contains_key(name) {
            let client = Client::new(name, self.folder.clone(), &self.scenario.schema, &self.clock)?;
            self.clients.insert(name.to_owned(), client);
        }
        Ok(self.clients.get_mut(name).expect("it was just put there"))
    }

    /// Ends the groups that are open.
    fn end_groups(&mut self, line: u64, text: &str) -> Result<(), Box<Failure>> {
        for client in self.clients.values_mut() {
            match client.end_group(None) {
                Ok(()) => {}
                Err(error @ Refused::Replica { .. }) => self.refused = Some(error.to_string()),
                Err(error) => {
                    let found = error.to_string();
                    return Err(self.failure(line, text, "a group that can end", &found));
                }
            }
        }
        Ok(())
    }

    /// Ends the groups that a step is outside of. What is refused is the group: the step is taken all the same.
    fn end_groups_before(&mut self, step: &Step) {
        let (clients, group) = step.taken_by();
        for name in clients {
            let ended = self.clients.get_mut(name).map(|client| client.end_group(group));
            if let Some(Err(error)) = ended {
                self.account.push(format!("     {name}'s group  → refused: {error}"));
                self.refused = Some(error.to_string());
            }
        }
    }

    fn crash_some(&mut self, random: &mut Random, line: u64, text: &str) -> Result<u64, Box<Failure>> {
        let names: Vec<String> = self.clients.keys().cloned().collect();
        let mut crashes = 0;
        for name in names {
            let crashed = match self.clients.get_mut(&name) {
                Some(client) if !client.is_in_group() && random.below(3) == 0 => client.crash(),
                Some(_) | None => continue,
            };
            crashes += 1;
            self.account.push(format!("     {name} crashes"));
            crashed
                .map_err(|error| self.failure(line, text, "a file that opens again", &error.to_string()))?;
        }
        Ok(crashes)
    }

    /// Takes a step; says what there is to say of it.
    fn step(&mut self, line: u64, step: &Step) -> Result<String, StepError> {
        match step {
            Step::Create { client, entity, state, at, group } => {
                let key = self.names.key(entity).map_err(broken)?;
                let state = self.names.state(&key, state).map_err(broken)?;
                self.operate(client, Operation::create(key, state), at.unwrap_or(line), group.clone())
            }
            Step::Update { client, entity, state, patch, at, group } => {
                let key = self.names.key(entity).map_err(broken)?;
                let operation = match (state, patch) {
                    (Some(state), _) => {
                        Operation::update(key.clone(), self.names.state(&key, state).map_err(broken)?)
                    }
                    (None, Some(patch)) => {
                        Operation::patch(key.clone(), self.names.patch(&key, patch).map_err(broken)?)
                    }
                    (None, None) => return Err(broken("an update has a `state` or a `patch`")),
                };
                self.operate(client, operation, at.unwrap_or(line), group.clone())
            }
            Step::Delete { client, entity, at, group } => {
                let key = self.names.key(entity).map_err(broken)?;
                self.operate(client, Operation::delete(key), at.unwrap_or(line), group.clone())
            }
            Step::Refuse { entity, reason } => {
                let key = self.names.key(entity).map_err(broken)?;
                self.link.refuse(key, reason.clone());
                Ok(String::new())
            }
            Step::Resolve { client, entity, with } => {
                let key = self.names.key(entity).map_err(broken)?;
                let resolution = match with {
                    With::Local => Resolution::Local,
                    With::Remote => Resolution::Remote,
                    With::Newest => Resolution::Newest,
                    With::Delete => Resolution::Delete,
                    With::Modify(state) => Resolution::Modify(self.names.state(&key, state).map_err(broken)?),
                };
                let client = self.client(client).map_err(broken)?;
                let resolved = client.replica().resolve(&key, &resolution);
                resolved.map_err(|error| StepError::Refused(error.to_string()))?;
                Ok(String::new())
            }
            Step::Check(merging) => self.merge(merging, true),
            Step::Merge(merging) => self.merge(merging, false),
            Step::Seal { client }
            | Step::Deliver { client }
            | Step::Answer { client }
            | Step::Push { client }
            | Step::Pull { client }
            | Step::Sync { client }
            | Step::Init { client }
            | Step::Hear { client, .. }
            | Step::Integrate { client }
            | Step::Crash { client } => {
                self.client(client).map_err(broken)?;
                let Player { link, clients, .. } = self;
                let Some(client) = clients.get_mut(client) else { return Ok(String::new()) };
                let before = client.sent.clone();
                match step {
                    Step::Seal { .. } => client.seal(),
                    Step::Deliver { .. } => client.deliver(link),
                    Step::Answer { .. } => client.answer(),
                    Step::Push { .. } => client.run(link, Want::UP),
                    Step::Pull { .. } => client.run(link, Want::DOWN),
                    Step::Sync { .. } => client.run(link, Want::SYNC),
                    Step::Init { .. } => client.init(link),
                    Step::Hear { lose, twice, reverse, .. } => client.hear(link, lose, *twice, *reverse),
                    Step::Integrate { .. } => client.run(link, Want::READS),
                    Step::Crash { .. } => client.crash(),
                    Step::Create { .. }
                    | Step::Update { .. }
                    | Step::Delete { .. }
                    | Step::Refuse { .. }
                    | Step::Resolve { .. }
                    | Step::Check(_)
                    | Step::Merge(_)
                    | Step::Expect(_) => Ok(()),
                }
                .map_err(broken)?;
                Ok(match &client.sent {
                    Some(sent) if client.sent != before => {
                        format!("bunch {} with {} operations", sent.number, sent.operations.len())
                    }
                    Some(_) | None => String::new(),
                })
            }
            Step::Expect(_) => Ok(String::new()),
        }
    }

    /// Merges files of clients, or only looks.
    fn merge(&mut self, merging: &Merging, only_looks: bool) -> Result<String, StepError> {
        let resolutions = merging.decided().read(&mut self.names).map_err(broken)?;
        let refused = |error: replica::Error| StepError::Refused(error.to_string());
        let mut replicas = Vec::new();
        for name in merging.from.iter().chain([&merging.into]) {
            replicas.push(self.client(name).map_err(broken)?.replica().clone());
        }
        let Some((into, from)) = replicas.split_last() else { return Ok(String::new()) };
        let from: Vec<&Replica> = from.iter().collect();
        let checked = into.check_merge(&from, &resolutions, &mut |_| {}).map_err(refused)?;
        let said =
            format!("{} clashes, {} below", checked.clashes.top.len(), checked.clashes.downstream.len());
        self.clashes = Some(checked.clashes);
        if !only_looks {
            into.merge(&from, &resolutions, &mut |_| {}).map_err(refused)?;
        }
        Ok(said)
    }

    fn operate(
        &mut self,
        client: &str,
        operation: Operation,
        at: u64,
        group: Option<String>,
    ) -> Result<String, StepError> {
        let operation = Operation { at: Some(Millis::new(at).map_err(broken)?), ..operation };
        let client = self.client(client).map_err(broken)?;
        client.operate(operation, group).map_err(|error| StepError::Refused(error.to_string()))?;
        Ok(String::new())
    }
}
