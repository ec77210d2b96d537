//! What the program knows of the authority's side of one entity: [`Base`] over plain JSON values, and moved by
//! rules of its own, so that it can judge the journal's.

use crate::algebra::{Base, Change, Epoch, Held, Knowledge, Operation, Update};
use crate::testing::oracle::{PlainFields, Thing, are_same_fields, plain_fields};

/// What is known of one entity.
#[derive(Clone, Debug, Default)]
pub(super) enum Known {
    #[default]
    Unknown,
    Absent,
    Live(Version),
    Dead(Version),
}

/// A version that the authority holds or held; its fields where they are known.
#[derive(Clone, Debug, Default)]
pub(super) struct Version {
    pub(super) epoch: Option<Epoch>,
    pub(super) fields: Option<PlainFields>,
}

impl Known {
    /// What a row says: fields, or a tombstone whose fields it does not tell.
    pub(super) fn told(fields: Option<PlainFields>, epoch: Epoch) -> Self {
        match fields {
            Some(fields) => Known::Live(Version { epoch: Some(epoch), fields: Some(fields) }),
            None => Known::gone(Some(epoch)),
        }
    }

    /// A tombstone whose fields are not told.
    pub(super) fn gone(epoch: Option<Epoch>) -> Self {
        Known::Dead(Version { epoch, fields: None })
    }

    pub(super) fn epoch(&self) -> Option<Epoch> {
        match self {
            Known::Unknown => None,
            Known::Absent => Some(Epoch(0)),
            Known::Live(version) | Known::Dead(version) => version.epoch,
        }
    }

    /// The entity itself, where all of it is known.
    pub(super) fn thing(&self) -> Option<Thing> {
        match self {
            Known::Unknown => None,
            Known::Absent => Some(Thing::Absent),
            Known::Live(version) => version.fields.clone().map(Thing::Live),
            Known::Dead(version) => version.fields.clone().map(Thing::Dead),
        }
    }

    /// What is known once the authority took these changes, and gave the last of them this epoch.
    pub(super) fn after<'c>(
        &self,
        changes: impl IntoIterator<Item = &'c Change>,
        epoch: Option<Epoch>,
    ) -> Known {
        changes.into_iter().fold(self.clone(), |known, change| known.after_one(change, epoch))
    }

    fn after_one(&self, change: &Change, epoch: Option<Epoch>) -> Known {
        match (change, self.thing()) {
            (Change::Delete, _) if matches!(self, Known::Absent) => Known::Absent,
            // Where it was gone already, nothing happened and no epoch was given.
            (Change::Delete, thing) => {
                let fields = thing.and_then(fields_of);
                Known::Dead(Version { epoch: epoch.or(self.epoch()), fields })
            }
            (Change::Update(Update::Patch(_)), None) => Known::Live(Version { epoch, fields: None }),
            (Change::Create(_) | Change::Update(_), thing) => {
                let fields = fields_of(thing.unwrap_or_default().after(change));
                Known::Live(Version { epoch, fields })
            }
        }
    }

    /// Whether the journal knows just this.
    pub(super) fn is(&self, base: &Base) -> bool {
        let same = |version: &Version, held: &Held| {
            version.epoch == held.epoch
                && match (&version.fields, &held.state) {
                    (None, Knowledge::Nothing) => true,
                    (Some(fields), Knowledge::State(state)) => are_same_fields(fields, &plain_fields(state)),
                    (None | Some(_), _) => false,
                }
        };
        match (self, base) {
            (Known::Unknown, Base::Unknown) | (Known::Absent, Base::Absent) => true,
            (Known::Live(version), Base::Live(held)) | (Known::Dead(version), Base::Dead(held)) => {
                same(version, held)
            }
            (Known::Unknown | Known::Absent | Known::Live(_) | Known::Dead(_), _) => false,
        }
    }

    /// Whether both are the same version with the same fields.
    pub(super) fn is_same(&self, other: &Known) -> bool {
        let things = match (self.thing(), other.thing()) {
            (Some(a), Some(b)) => a.is_same(&b),
            (None, None) => self.is_live() == other.is_live(),
            (Some(_), None) | (None, Some(_)) => false,
        };
        things && self.epoch() == other.epoch()
    }

    pub(super) fn is_live(&self) -> bool {
        matches!(self, Known::Live(_))
    }
}

/// The last fields of what is, or was, there.
pub(super) fn fields_of(thing: Thing) -> Option<PlainFields> {
    match thing {
        Thing::Absent => None,
        Thing::Live(fields) | Thing::Dead(fields) => Some(fields),
    }
}

/// Whether an operation does just this.
pub(super) fn is_change(operation: &Operation, expected: &Change) -> bool {
    use crate::testing::oracle::object;
    match (&operation.change, expected) {
        (Change::Create(a), Change::Create(b))
        | (Change::Update(Update::State(a)), Change::Update(Update::State(b))) => {
            are_same_fields(&plain_fields(a), &plain_fields(b))
        }
        (Change::Update(Update::Patch(a)), Change::Update(Update::Patch(b))) => {
            are_same_fields(&object(a.as_json()), &object(b.as_json()))
        }
        (Change::Delete, Change::Delete) => true,
        (Change::Create(_) | Change::Update(_) | Change::Delete, _) => false,
    }
}
