//! The records of a replica, as they lie in their frames.

use serde::{Deserialize, Serialize};

use super::frame::FrameError;
use super::records::{StampsRecord, key_of, state_of};
use crate::algebra::{EntityKey, Existence, Patch, Version};

/// An entity as a program sees it, where that is not just what the authority holds.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LocalRecord {
    version: VersionRecord,
    /// Nothing of it is unsent: only its last state is remembered, for a revival.
    pub(crate) is_kept: bool,
}

impl LocalRecord {
    pub(crate) fn of(version: &Version, is_kept: bool) -> Self {
        LocalRecord { version: VersionRecord::of(version), is_kept }
    }

    pub(crate) fn version(self) -> Result<Version, FrameError> {
        self.version.version()
    }
}

/// A version as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VersionRecord {
    /// 0 absent, 1 live, 2 dead.
    existence: u8,
    state: Option<String>,
    stamps: StampsRecord,
}

impl VersionRecord {
    pub(crate) fn of(version: &Version) -> Self {
        let existence = match version.existence {
            Existence::Absent => 0,
            Existence::Live(_) => 1,
            Existence::Dead(_) => 2,
        };
        let state = version.existence.state().map(|state| state.as_json().to_owned());
        VersionRecord { existence, state, stamps: StampsRecord::of(&version.stamps) }
    }

    pub(crate) fn version(self) -> Result<Version, FrameError> {
        let state = self.state.as_deref().map(state_of).transpose()?;
        let existence = match (self.existence, state) {
            (0, None) => Existence::Absent,
            (1, Some(state)) => Existence::Live(state),
            (2, Some(state)) => Existence::Dead(state),
            (other, _) => {
                return Err(FrameError::Body { why: format!("a version is of no known kind ({other})") });
            }
        };
        Ok(Version { existence, stamps: self.stamps.stamps() })
    }
}

/// An open conflict.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ConflictRecord {
    /// Both sides changed the entity since this version of it.
    Concurrent { before: VersionRecord },
    /// Another entity holds these values of a unique key; perhaps both sides changed this one as well.
    Clash(ClashRecord),
    /// Decided for this side, but what the other did is not seen here yet: it waits for that. As it was before both.
    Decided { before: VersionRecord },
    /// A clash decided for this side, or for the later one, before who has the key was seen here: it waits for that.
    DecidedClash { clash: ClashRecord, is_newest: bool },
}

/// Who has which values of a unique key; and what the entity was before both sides changed it, if that is open as well.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ClashRecord {
    pub(crate) unique: Vec<String>,
    pub(crate) values: Vec<String>,
    pub(crate) holder: [u8; 16],
    pub(crate) before: Option<VersionRecord>,
}

/// What merges left of an entity, beside what is seen of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MergedRecord {
    /// Of what lives: when its deleters deleted it, and up to when they had seen its fields.
    pub(crate) seen: Option<SeenRecord>,
    /// Of what lost a clash: the id of the one that it is a part of now.
    pub(crate) heir: Option<[u8; 16]>,
    /// Of what lost a clash: that nothing which refers to it follows anybody.
    pub(crate) is_alone: bool,
    /// With which stamp it returned, for something that lives refers to it.
    pub(crate) returned: Option<(u64, [u8; 16])>,
    /// The fields that it lost because what they referred to was deleted, with their values.
    pub(crate) dropped: Vec<(String, String)>,
    /// The fields that follow what lost a clash, with the value that they would have, and the one that they have.
    pub(crate) redirected: Vec<(String, String, String)>,
    /// What each source last gave, by its replica.
    pub(crate) given: Vec<([u8; 16], VersionRecord)>,
}

/// Up to when deleters had seen an entity's fields, in ms; the nil replica stands for none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SeenRecord {
    pub(crate) at: Option<(u64, [u8; 16])>,
    pub(crate) created: Option<u64>,
    pub(crate) fields: Vec<(String, Option<u64>)>,
}

/// A value that lost.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LostRecord {
    pub(crate) collection: String,
    pub(crate) id: [u8; 16],
    /// Which record of which decision: values of one decision share it.
    pub(crate) decision: u64,
    /// 0 this side's, 1 the authority's.
    pub(crate) side: u8,
    /// Whether what lost was a delete.
    pub(crate) was_delete: bool,
    pub(crate) fields: String,
    /// When it lost, in ms.
    pub(crate) at: u64,
    /// Why, as a small number.
    pub(crate) why: u8,
}

/// For so many reasons something loses; each is a number below.
pub(crate) const LOST_WHYS: usize = 5;

impl LostRecord {
    /// The entity that had it; an error too where it lost for no reason that is known.
    pub(crate) fn key(&self) -> Result<EntityKey, FrameError> {
        if usize::from(self.why) >= LOST_WHYS {
            return Err(FrameError::Body { why: "it lost for no known reason".to_owned() });
        }
        key_of(&self.collection, self.id)
    }

    pub(crate) fn patch(&self) -> Result<Patch, FrameError> {
        Patch::composed(&self.fields).map_err(|error| FrameError::Body { why: error.to_string() })
    }
}

/// Where a replica stands beside its journal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReplicaRecord {
    pub(crate) schema: String,
    pub(crate) generation: Option<[u8; 16]>,
    pub(crate) next_lost: u64,
    pub(crate) next_decision: u64,
    /// Everything is being fetched anew.
    pub(crate) is_fetching_all: bool,
    /// Because the authority was restored from an older copy.
    pub(crate) is_restored: bool,
    /// Failed attempts since the last one that succeeded.
    pub(crate) failures: u32,
    /// When the next attempt may be made, in ms; 0 for at once.
    pub(crate) next_attempt_at: u64,
    pub(crate) is_unauthorised: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algebra::{FIELDS_BYTES_MAX, Stamps, State};

    #[test]
    fn what_is_seen_of_an_entity_is_read_however_large_patches_made_it() {
        let large = |name| format!(r#"{{"{name}":"{}"}}"#, "x".repeat(FIELDS_BYTES_MAX / 3 * 2));
        let [one, other] = ["a", "b"].map(|name| Patch::from_json(&large(name)).unwrap());
        let existence = Existence::Live(State::empty().with(&one).with(&other));
        let version = Version { existence, stamps: Stamps::default() };
        assert_eq!(LocalRecord::of(&version, false).version().unwrap(), version);
        let lost = LostRecord {
            collection: "notes".to_owned(),
            id: [1; 16],
            decision: 0,
            side: 0,
            was_delete: false,
            fields: one.then(&other).as_json().to_owned(),
            at: 0,
            why: 0,
        };
        assert_eq!(lost.patch().unwrap(), one.then(&other));
    }
}
