//! Why a merge was refused.

use std::fmt;

use super::clashes::Pair;
use crate::algebra::EntityKey;

/// One reason why a merge is refused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// Nobody decided about a clash.
    Undecided {
        /// Which one.
        pair: Pair,
    },
    /// The default would delete what both the destination and a source have.
    MustBeListed {
        /// The clash that it would do so in.
        pair: Pair,
        /// What would be deleted.
        deletes: EntityKey,
    },
    /// A resolution of what is no clash.
    NoClash {
        /// What it names.
        pair: Pair,
    },
    /// Two resolutions of one clash.
    NamedTwice {
        /// Which one.
        pair: Pair,
    },
    /// A resolution that others contradict.
    Contradicted {
        /// Which clash it is of.
        pair: Pair,
    },
    /// A patch that does not do what it is for.
    BadModify {
        /// Which clash it is to solve.
        pair: Pair,
        /// What is wrong with it.
        why: String,
    },
    /// What goes is still referred to by what does not.
    Restricted {
        /// The clash.
        pair: Pair,
        /// What would go.
        key: EntityKey,
        /// What refers to it.
        by: EntityKey,
        /// By which field.
        field: String,
    },
}

impl Refusal {
    /// The clash that it is about.
    #[must_use]
    pub fn pair(&self) -> &Pair {
        match self {
            Refusal::Undecided { pair }
            | Refusal::MustBeListed { pair, .. }
            | Refusal::NoClash { pair }
            | Refusal::NamedTwice { pair }
            | Refusal::Contradicted { pair }
            | Refusal::BadModify { pair, .. }
            | Refusal::Restricted { pair, .. } => pair,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Pair { source, dest } = self.pair();
        match self {
            Refusal::Undecided { .. } => write!(f, "nobody decided about {source} against {dest}"),
            Refusal::MustBeListed { deletes, .. } => write!(
                f,
                "{source} against {dest} must be listed: the default would delete {deletes}, which both sides have"
            ),
            Refusal::NoClash { .. } => write!(f, "{source} against {dest} is no clash; a check lists those"),
            Refusal::NamedTwice { .. } => write!(f, "{source} against {dest} is named twice"),
            Refusal::Contradicted { .. } => {
                write!(f, "what was decided about {source} against {dest} contradicts another resolution")
            }
            Refusal::BadModify { why, .. } => {
                write!(f, "{source} against {dest} cannot be modified like that: {why}")
            }
            Refusal::Restricted { key, by, field, .. } => write!(
                f,
                "{source} against {dest}: {key} cannot go while {by} refers to it by {field:?}; keep the children"
            ),
        }
    }
}
