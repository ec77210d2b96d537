//! The lines of a scenario.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::algebra::{CollectionName, Patch, Schema};
use crate::merge::{Written, WrittenDefault, WrittenOne};

/// A scenario, read and checked.
#[derive(Debug)]
pub struct Scenario {
    /// What it shows.
    pub title: String,
    pub(super) schema: Schema,
    /// The steps with the numbers and texts of their lines.
    pub(super) steps: Vec<(u64, String, Step)>,
}

/// A line that is no step.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct Malformed {
    /// The line's number, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub why: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    scenario: String,
    schema: Option<Value>,
}

type Fields = Map<String, Value>;

#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Step {
    Create {
        client: String,
        entity: String,
        state: Fields,
        at: Option<u64>,
        group: Option<String>,
    },
    Update {
        client: String,
        entity: String,
        state: Option<Fields>,
        patch: Option<Fields>,
        at: Option<u64>,
        group: Option<String>,
    },
    Delete {
        client: String,
        entity: String,
        at: Option<u64>,
        group: Option<String>,
    },
    Seal {
        client: String,
    },
    Deliver {
        client: String,
    },
    Answer {
        client: String,
    },
    Push {
        client: String,
    },
    Pull {
        client: String,
    },
    Sync {
        client: String,
    },
    Init {
        client: String,
    },
    Hear {
        client: String,
        #[serde(default)]
        lose: Vec<u64>,
        #[serde(default)]
        twice: bool,
        #[serde(default)]
        reverse: bool,
    },
    Integrate {
        client: String,
    },
    Refuse {
        entity: String,
        reason: String,
    },
    Crash {
        client: String,
    },
    Resolve {
        client: String,
        entity: String,
        with: With,
    },
    Check(Merging),
    Merge(Merging),
    Expect(Box<Expect>),
}

impl Step {
    /// The clients that take it, and the group that it is in.
    pub(super) fn taken_by(&self) -> (Vec<&str>, Option<&str>) {
        match self {
            Step::Create { client, group, .. }
            | Step::Update { client, group, .. }
            | Step::Delete { client, group, .. } => (vec![client], group.as_deref()),
            Step::Seal { client }
            | Step::Deliver { client }
            | Step::Answer { client }
            | Step::Push { client }
            | Step::Pull { client }
            | Step::Sync { client }
            | Step::Init { client }
            | Step::Hear { client, .. }
            | Step::Integrate { client }
            | Step::Crash { client }
            | Step::Resolve { client, .. } => (vec![client], None),
            Step::Check(merging) | Step::Merge(merging) => {
                (merging.from.iter().chain([&merging.into]).map(String::as_str).collect(), None)
            }
            Step::Refuse { .. } | Step::Expect(_) => (Vec::new(), None),
        }
    }

    /// The entities that it names.
    fn entities(&self) -> Vec<&str> {
        match self {
            Step::Create { entity, .. }
            | Step::Update { entity, .. }
            | Step::Delete { entity, .. }
            | Step::Refuse { entity, .. }
            | Step::Resolve { entity, .. } => vec![entity],
            Step::Check(merging) | Step::Merge(merging) => {
                merging.resolve.iter().flat_map(|one| [one.source.as_str(), &one.dest]).collect()
            }
            Step::Expect(expect) => expect.entities(),
            Step::Seal { .. }
            | Step::Deliver { .. }
            | Step::Answer { .. }
            | Step::Push { .. }
            | Step::Pull { .. }
            | Step::Sync { .. }
            | Step::Init { .. }
            | Step::Hear { .. }
            | Step::Integrate { .. }
            | Step::Crash { .. } => Vec::new(),
        }
    }
}

/// A step of merging files.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Merging {
    pub(super) from: Vec<String>,
    pub(super) into: String,
    #[serde(default)]
    resolve: Vec<WrittenOne>,
    default: Option<WrittenDefault>,
}

impl Merging {
    pub(super) fn decided(&self) -> Written {
        Written { resolve: self.resolve.clone(), default: self.default }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum With {
    Local,
    Remote,
    Newest,
    Delete,
    Modify(Fields),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Losers {
    Count(usize),
    List(Vec<(String, Fields)>),
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Expect {
    pub(super) client: Option<String>,
    pub(super) authority: bool,
    pub(super) entity: Option<String>,
    /// The outer one: whether it is named at all.
    #[serde(deserialize_with = "named")]
    pub(super) state: Option<Option<Fields>>,
    pub(super) status: Option<u8>,
    pub(super) sent: Option<Vec<Value>>,
    pub(super) sent_set: Option<Vec<Value>>,
    pub(super) pending: Option<usize>,
    pub(super) parked: Option<usize>,
    pub(super) conflicts: Option<usize>,
    pub(super) losers: Option<Losers>,
    pub(super) reads: Option<Vec<String>>,
    pub(super) converged: Option<bool>,
    pub(super) live: Option<Vec<String>>,
    pub(super) collection: Option<String>,
    pub(super) clashes: Option<Vec<(String, String)>>,
    pub(super) downstream: Option<Vec<(String, String)>>,
    pub(super) refused: Option<bool>,
}

impl Expect {
    fn entities(&self) -> Vec<&str> {
        let sent = self.sent.iter().chain(&self.sent_set).flatten();
        let losers = match &self.losers {
            Some(Losers::List(list)) => list.as_slice(),
            Some(Losers::Count(_)) | None => &[],
        };
        let pairs = self.clashes.iter().chain(&self.downstream).flatten();
        let read = self.entity.iter().chain(self.reads.iter().flatten()).map(String::as_str);
        read.chain(sent.filter_map(|operation| operation.get("entity")?.as_str()))
            .chain(losers.iter().map(|(entity, _)| entity.as_str()))
            .chain(pairs.flat_map(|(source, dest)| [source.as_str(), dest]))
            .collect()
    }

    /// What is missing for something that is expected to be looked at.
    fn lacks(&self) -> Option<&'static str> {
        let of_client = self.sent.is_some()
            || self.sent_set.is_some()
            || self.pending.is_some()
            || self.parked.is_some()
            || self.conflicts.is_some()
            || self.losers.is_some()
            || self.reads.is_some()
            || self.status.is_some();
        let of_entity = self.state.is_some() || self.status.is_some();
        let of_all = self.converged.is_some() || self.clashes.is_some() || self.downstream.is_some();
        if of_client && self.client.is_none() {
            Some("`client` is missing: whose it is")
        } else if of_entity != self.entity.is_some() {
            Some("`entity` and its `state` or `status` belong together")
        } else if self.live.is_some() != self.collection.is_some() {
            Some("`live` and `collection` belong together")
        } else if self.state.is_some() && self.client.is_none() && !self.authority {
            Some("`client` or `authority` is missing: where the `state` is looked for")
        } else if !(of_client || of_entity || of_all || self.live.is_some() || self.refused.is_some()) {
            Some("nothing is expected")
        } else {
            None
        }
    }
}

/// Tells a field that is null from one that is not there.
fn named<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Option<Fields>>, D::Error> {
    Option::<Fields>::deserialize(from).map(Some)
}

/// Refuses what is no COLLECTION/ID; an id may be any name.
fn require_entity(entity: &str) -> Result<(), String> {
    match entity.split_once('/') {
        Some((collection, id)) if !id.is_empty() => {
            CollectionName::new(collection).map(|_| ()).map_err(|error| error.to_string())
        }
        Some(_) | None => {
            Err(format!("{entity:?} is no entity; write it as COLLECTION/ID, like \"notes/x\""))
        }
    }
}

/// Refuses what no state may have either, wherever it stands in a line: a parser of JSON takes the last of two members of
/// one name, and rounds the numbers that it cannot hold.
fn require_exact(line: &str) -> Result<(), String> {
    Patch::from_json(line).map(|_| ()).map_err(|error| error.to_string())
}

impl Scenario {
    /// Reads a scenario from its lines.
    ///
    /// # Errors
    /// The first line that is not as it must be.
    pub fn read(text: &str) -> Result<Self, Malformed> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
        let mut lines = lines.map(|(number, line): (u64, &str)| (number, line));
        let bad = |line: u64| move |why: String| Malformed { line, why };
        let Some((number, head)) = lines.next() else {
            return Err(Malformed {
                line: 1,
                why: "an empty file; the first line names the scenario".to_owned(),
            });
        };
        let text = head;
        let head: Head = serde_json::from_str(text).map_err(|error| bad(number)(error.to_string()))?;
        require_exact(text).map_err(bad(number))?;
        let schema = match head.schema {
            Some(schema) => {
                Schema::from_json(&schema.to_string()).map_err(|error| bad(number)(error.to_string()))?
            }
            None => Schema::default(),
        };
        let mut steps = Vec::new();
        for (number, line) in lines {
            let step: Step = serde_json::from_str(line).map_err(|error| bad(number)(error.to_string()))?;
            require_exact(line).map_err(bad(number))?;
            step.entities().into_iter().try_for_each(require_entity).map_err(bad(number))?;
            if let Step::Update { state, patch, .. } = &step
                && state.is_some() == patch.is_some()
            {
                return Err(Malformed {
                    line: number,
                    why: "an update has a `state` or a `patch`".to_owned(),
                });
            }
            if let Step::Expect(expect) = &step
                && let Some(lacks) = expect.lacks()
            {
                return Err(bad(number)(lacks.to_owned()));
            }
            steps.push((number, line.to_owned(), step));
        }
        Ok(Scenario { title: head.scenario, schema, steps })
    }
}
