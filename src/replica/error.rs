//! The one error of the replica.

use crate::algebra::{self, EntityKey};
use crate::codec::lines::LineError;
use crate::journal;
use crate::merge::Refusal;

/// The error of everything that a replica does. Whatever is refused has changed nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// What the journal beneath says.
    #[error(transparent)]
    Journal {
        /// Its error.
        #[from]
        source: journal::Error,
    },
    /// What was handed in is not valid.
    #[error(transparent)]
    Invalid {
        /// What is wrong with it.
        #[from]
        source: algebra::Error,
    },
    /// A journal that nobody made a replica of.
    #[error("{place} is a journal, but no replica; make a replica of it first")]
    NotAReplica {
        /// Which journal.
        place: String,
    },
    /// A file that was to be read alone, and in which something is damaged.
    #[error("{place} is damaged: {why}; copy it, then `foldlog compact {place} --mend` sets that aside")]
    Damaged {
        /// Which file.
        place: String,
        /// In what way.
        why: String,
    },
    /// A unique key is taken.
    #[error("{key} cannot have the key ({}), which {holder} holds; change one of the two first", unique.join(", "))]
    Taken {
        /// The entity that would have it too.
        key: EntityKey,
        /// The fields of the key.
        unique: Vec<String>,
        /// The entity that has it.
        holder: EntityKey,
    },
    /// Something still refers to what would be deleted.
    #[error("{key} cannot be deleted while {by} refers to it by {field:?}; delete or change that first")]
    Restricted {
        /// The entity that would be deleted.
        key: EntityKey,
        /// The one that refers to it.
        by: EntityKey,
        /// By which field.
        field: String,
    },
    /// Something refers to what would be as if it had never been made.
    #[error("{key} cannot be undone while {by} refers to it by {field:?}; undo or change that too")]
    Needed {
        /// The entity that would be gone.
        key: EntityKey,
        /// The one that refers to it.
        by: EntityKey,
        /// By which field.
        field: String,
    },
    /// What is stored of an entity is no value of the type that was asked for.
    #[error("{key} is no {type_name}: {source}")]
    OtherType {
        /// The entity.
        key: EntityKey,
        /// The type.
        type_name: &'static str,
        /// What does not fit.
        source: algebra::Error,
    },
    /// A line of what is imported is refused; nothing of it was taken.
    #[error("{source}; nothing was imported")]
    Line {
        /// Which line, and what is wrong with it.
        #[from]
        source: LineError,
    },
    /// What is exported could not be written.
    #[error("cannot write what is exported: {source}")]
    Export {
        /// What the writer says.
        #[from]
        source: std::io::Error,
    },
    /// A reference to something that is deleted.
    #[error("{key} cannot refer by {field:?} to {to}, which is deleted; bring that back first")]
    DeadReference {
        /// The entity that would refer.
        key: EntityKey,
        /// By which field.
        field: String,
        /// The entity that is deleted.
        to: EntityKey,
    },
    /// A field that must hold the id of an entity holds something else, or nothing.
    #[error("{key} needs the id of an entity in {field:?}: {why}")]
    NotAReference {
        /// The entity.
        key: EntityKey,
        /// The field.
        field: String,
        /// What it holds instead.
        why: String,
    },
    /// An entity without an open conflict.
    #[error("{key} has no open conflict; `conflicts` lists those that are open")]
    NoConflict {
        /// The entity.
        key: EntityKey,
    },
    /// No such value in the conflict record.
    #[error("no value {number} lost here; `losers` lists those that did")]
    NothingLost {
        /// Its number.
        number: u64,
    },
    /// A new unique key over entities that share its values.
    #[error(
        "{collection} cannot have the unique key ({}): {} have the same; change all but one first",
        unique.join(", "),
        holders.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    )]
    Duplicates {
        /// The collection.
        collection: String,
        /// The fields of the key.
        unique: Vec<String>,
        /// The entities that share their values, at least two.
        holders: Vec<EntityKey>,
    },
    /// An answer that cannot be one to what was asked.
    #[error("the answer is not one to what was asked: {why}; nothing of it was taken")]
    WrongAnswer {
        /// What is wrong with it.
        why: String,
    },
    /// A merge that cannot be carried out as it was decided.
    #[error("{}", shown(refusals))]
    MergeRefused {
        /// Why: all reasons, at least one.
        refusals: Vec<Refusal>,
    },
    /// A merge of a replica into itself.
    #[error("{place} is named as a source and as the destination; name the files that go into it")]
    MergesItself {
        /// Which file.
        place: String,
    },
    /// A merge that names a source twice.
    #[error("{place} is named twice; once is enough")]
    MergesTwice {
        /// Which file.
        place: String,
    },
    /// A source with another schema.
    #[error("{place} has another schema: {difference}; open it once with the schema of the destination")]
    OtherSchema {
        /// Which file.
        place: String,
        /// What is different.
        difference: String,
    },
    /// A source that cannot be read.
    #[error("{place}: {source}; nothing was merged")]
    MergeSource {
        /// Which file.
        place: String,
        /// What is wrong with it.
        source: Box<Error>,
    },
}

/// So many reasons are said at once.
const REFUSALS_SHOWN: usize = 20;

fn shown(refusals: &[Refusal]) -> String {
    let mut said: Vec<String> = refusals.iter().take(REFUSALS_SHOWN).map(ToString::to_string).collect();
    if let Some(more) = refusals.len().checked_sub(REFUSALS_SHOWN).filter(|more| *more > 0) {
        said.push(format!("and {more} more"));
    }
    format!("nothing was merged: {}", said.join("; "))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::algebra::CollectionName;
    use crate::merge::Pair;

    #[test]
    fn of_many_reasons_some_are_said_and_how_many_more_there_are() {
        let key = |n| EntityKey::new(CollectionName::new("units").unwrap(), Uuid::from_u128(n)).unwrap();
        let refusal = |n| Refusal::NoClash { pair: Pair { source: key(n), dest: key(n + 100) } };
        let all: Vec<Refusal> = (1..=22).map(refusal).collect();
        let said = |count: usize| shown(all.get(..count).unwrap());
        assert_eq!(said(20).matches("units").count(), 40);
        assert!(!said(20).contains("more"), "{}", said(20));
        for (count, more) in [(21, "; and 1 more"), (22, "; and 2 more")] {
            assert!(said(count).ends_with(more), "{}", said(count));
            assert_eq!(said(count).matches("units").count(), 40);
        }
    }
}
