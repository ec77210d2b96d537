//! What somebody decided about clashes.

use serde::{Deserialize, Serialize};

use super::clashes::Pair;
use crate::algebra::Patch;

/// Decisions about the clashes of a merge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolutions {
    /// Of these, each.
    pub listed: Vec<Resolution>,
    /// Of all the rest. It never deletes what both the destination and a source have.
    pub default: Option<Keep>,
}

/// The decision about one clash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// Which one, as a check names it.
    pub pair: Pair,
    /// What becomes of it.
    pub how: How,
}

/// What becomes of a clash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// One of the two goes on.
    Keep(Keep),
    /// Both go on, one with another key.
    Modify {
        /// Which one.
        side: Side,
        /// What is changed of it.
        to: Patch,
    },
}

/// Which of two goes on, and what becomes of what refers to the other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Keep {
    /// Which one.
    pub with: With,
    /// What becomes of the other one's children.
    pub children: Children,
}

/// Which of two goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum With {
    /// The source's.
    Source,
    /// The destination's.
    Dest,
    /// The one that was changed last; the destination's, if both were at one time.
    Newest,
}

/// What becomes of what refers to the one that goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Children {
    /// It refers to the other one from now on.
    #[default]
    Both,
    /// It goes as well, as the schema says of a delete.
    Winner,
}

/// One of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The one whose key came later.
    Source,
    /// The one whose key was there before.
    Dest,
}
