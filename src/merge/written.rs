//! Decisions as people write them: a file of resolutions, a step of a scenario.
//!
//! ```json
//! {"resolve":[
//!    {"source":"units/…","dest":"units/…","with":"dest","children":"both"},
//!    {"source":"plots/…","dest":"plots/…","modify":"source","to":{"number":3}}],
//!  "default":{"with":"newest","children":"winner"}}
//! ```

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::clashes::Pair;
use super::resolution::{Children, How, Keep, Resolution, Resolutions, Side, With};
use crate::algebra::{CollectionName, EntityKey, Error, Patch, State, parse_id};

/// Decisions as they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Written {
    pub(crate) resolve: Vec<WrittenOne>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) default: Option<WrittenDefault>,
}

/// One decision as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrittenOne {
    pub(crate) source: String,
    pub(crate) dest: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) with: Option<With>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) children: Option<Children>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) modify: Option<Side>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) to: Option<Map<String, Value>>,
}

/// The decision about all the rest, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrittenDefault {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) with: Option<With>,
    #[serde(default)]
    pub(crate) children: Children,
}

/// Decisions that cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unread {
    /// They are not of the documented shape.
    #[error(
        "the resolutions are not as they must be: {source}; `foldlog merge --check --json` writes a template"
    )]
    Shape {
        /// What is wrong with them.
        source: serde_json::Error,
    },
    /// They hold what no state may: a member named twice, or a number that cannot be carried exactly.
    #[error("the resolutions are not as they must be: {source}")]
    Inexact {
        /// What is wrong with them.
        source: Error,
    },
    /// One of them is not.
    #[error("resolution {number}, of {source_key} against {dest}: {why}")]
    One {
        /// Which one, from 1.
        number: usize,
        /// What it names as the source's.
        source_key: String,
        /// What it names as the destination's.
        dest: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Resolutions {
    /// Reads decisions from their JSON text.
    ///
    /// # Errors
    /// What is not of the documented shape.
    pub fn from_json(json: &str) -> Result<Self, Unread> {
        let written: Written = serde_json::from_str(json).map_err(|source| Unread::Shape { source })?;
        State::composed(json).map_err(|source| Unread::Inexact { source })?;
        written.read(&mut Plain)
    }

    /// Writes decisions as JSON that [`Resolutions::from_json`] reads.
    #[must_use]
    pub fn to_json(&self) -> String {
        let one = |one: &Resolution| {
            let (source, dest) = (one.pair.source.to_string(), one.pair.dest.to_string());
            match &one.how {
                How::Keep(Keep { with, children }) => WrittenOne {
                    source,
                    dest,
                    with: Some(*with),
                    children: Some(*children),
                    modify: None,
                    to: None,
                },
                How::Modify { side, to } => WrittenOne {
                    source,
                    dest,
                    with: None,
                    children: None,
                    modify: Some(*side),
                    to: serde_json::from_str(to.as_json()).ok(),
                },
            }
        };
        let default =
            self.default.map(|Keep { with, children }| WrittenDefault { with: Some(with), children });
        let written = Written { resolve: self.listed.iter().map(one).collect(), default };
        serde_json::to_string_pretty(&written).unwrap_or_default()
    }
}

/// What names stand for.
pub(crate) trait Naming {
    fn key(&mut self, entity: &str) -> Result<EntityKey, Error>;
    fn patch(&mut self, key: &EntityKey, fields: &Map<String, Value>) -> Result<Patch, Error>;
}

/// Names as they are.
struct Plain;

impl Naming for Plain {
    fn key(&mut self, entity: &str) -> Result<EntityKey, Error> {
        let (collection, id) = entity.split_once('/').unwrap_or((entity, ""));
        EntityKey::new(CollectionName::new(collection)?, parse_id(id)?)
    }

    fn patch(&mut self, _: &EntityKey, fields: &Map<String, Value>) -> Result<Patch, Error> {
        Patch::from_serialize(fields)
    }
}

impl Written {
    /// What is meant by it.
    pub(crate) fn read(&self, naming: &mut impl Naming) -> Result<Resolutions, Unread> {
        let mut listed = Vec::with_capacity(self.resolve.len());
        for (number, one) in (1..).zip(&self.resolve) {
            // One that says nothing of who wins is about the children of those that are listed.
            let children =
                self.default.filter(|default| default.with.is_none()).map(|default| default.children);
            listed.push(one.read(naming, children.unwrap_or_default()).map_err(|why| Unread::One {
                number,
                source_key: one.source.clone(),
                dest: one.dest.clone(),
                why,
            })?);
        }
        let keep = |WrittenDefault { with, children }| with.map(|with| Keep { with, children });
        let default = self.default.and_then(keep);
        Ok(Resolutions { listed, default })
    }
}

impl WrittenOne {
    fn read(&self, naming: &mut impl Naming, children: Children) -> Result<Resolution, String> {
        let said = |error: Error| error.to_string();
        let source = naming.key(&self.source).map_err(said)?;
        let dest = naming.key(&self.dest).map_err(said)?;
        let how = match (self.with, self.modify, &self.to) {
            (Some(with), None, None) => How::Keep(Keep { with, children: self.children.unwrap_or(children) }),
            (None, Some(side), Some(to)) if self.children.is_none() => {
                let key = if side == Side::Source { &source } else { &dest };
                How::Modify { side, to: naming.patch(key, to).map_err(said)? }
            }
            _ => {
                return Err(
                    "it has either `with` (source, dest or newest) and perhaps `children` (both or winner), \
                     or `modify` (source or dest) and `to`"
                        .to_owned(),
                );
            }
        };
        Ok(Resolution { pair: Pair { source, dest }, how })
    }
}
