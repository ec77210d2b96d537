//! One entity as several sides know it.
//!
//! What a side knows are marks that only ever grow: for each field the latest stamp with its value, the latest revival,
//! and what deleters had seen. Two marks of one kind join to the later one, and a joint is a product of such marks; so
//! the order of the sides does not matter, nor does how often one comes, nor who joined them before. Whether the entity
//! lives follows from the marks and is never one itself.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::algebra::{Error, Existence, Millis, Patch, Policy, Stamp, Stamps, State, Version};

/// What several sides together know of an entity. The empty one knows nothing of it.
///
/// ```
/// use foldlog::algebra::{Existence, Millis, Policy, Stamp, Stamps, State, Version};
/// use foldlog::merge::Joint;
///
/// let stamp = |at| Some(Stamp { at: Millis(at), replica: None });
/// let version = |json: &str, field: &str, at| Version {
///     existence: Existence::Live(State::from_json(json).unwrap()),
///     stamps: Stamps { created: stamp(1), turned: None, fields: vec![(field.to_owned(), stamp(at).unwrap())] },
/// };
/// // Each side changed another field.
/// let crew = Joint::of(&version(r#"{"note":"crew","size":1}"#, "note", 5));
/// let desk = Joint::of(&version(r#"{"note":"n","size":2}"#, "size", 7));
/// let both = crew.join(&desk).version(Policy::LastOperation)?;
/// assert_eq!(both.existence.live().unwrap().as_json(), r#"{"note":"crew","size":2}"#);
/// # Ok::<(), foldlog::algebra::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Joint {
    pub(super) content: Option<Content>,
    pub(super) seen: Option<Seen>,
}

/// What one file knows of an entity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// How it sees it.
    pub version: Version,
    /// Of what lives: what those who once deleted it had seen.
    pub seen: Option<Seen>,
    /// What follows from other entities.
    pub derived: Derived,
}

/// What follows from other entities, so that a merge looks at it anew: had they been otherwise, it would be, too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Derived {
    /// With which stamp it returned, for something that lives refers to it.
    pub returned: Option<Stamp>,
    /// The fields that it lost because what they referred to was deleted, with their values.
    pub dropped: Vec<(String, String)>,
    /// The fields that follow what lost a clash, with the value that they would have, and the one that they have.
    pub redirected: Vec<(String, String, String)>,
}

impl Known {
    /// How it would be seen if its references did not follow what lost a clash.
    ///
    /// # Errors
    /// Fields that together are more than a state may hold.
    pub fn unredirected(mut self) -> Result<Known, Error> {
        for (field, from, to) in std::mem::take(&mut self.derived.redirected) {
            if self.version.existence.state().and_then(|state| state.raw(&field)) == Some(&to) {
                self.version.set(&field, &from)?;
            }
        }
        Ok(self)
    }

    /// Of a tombstone whose state is not known: what its stamps say is what its deleter had seen, and not that the
    /// fields have no values. Whoever deleted it had seen these earlier rows, too.
    pub(crate) fn of_unknown_state(mut self, earlier: &[Version]) -> Known {
        let own = std::iter::once(Joint::of(&self.version).seen);
        let rows = earlier.iter().map(|row| Joint::of(row).content.map(|content| Seen::all_of(&content)));
        let seen = own.chain(rows).fold(self.seen.take(), |seen, other| joined(&seen, &other, Seen::join));
        self.version.stamps.fields.clear();
        Known { seen, ..self }
    }

    /// How it would be seen if nothing followed from other entities.
    pub(super) fn underived(self) -> Result<Known, Error> {
        let mut known = self.unredirected()?;
        let Derived { returned, dropped, .. } = std::mem::take(&mut known.derived);
        if known.version.existence.is_live() {
            if returned.is_some() && known.version.stamps.turned == returned {
                known.version.stamps.turned = None;
            }
            for (field, value) in dropped {
                if known.version.existence.live().is_some_and(|state| state.raw(&field).is_none()) {
                    known.version.set(&field, &value)?;
                }
            }
        }
        Ok(known)
    }
}

impl Version {
    /// Gives a field of what is or was there another value, as canonical JSON; its stamp stays.
    pub(super) fn set(&mut self, field: &str, value: &str) -> Result<(), Error> {
        let patch = Patch::from_json(&format!("{{{}:{value}}}", Value::from(field)))?;
        match &mut self.existence {
            Existence::Live(state) | Existence::Dead(state) => *state = state.with(&patch),
            Existence::Absent => {}
        }
        Ok(())
    }
}

/// What an entity is, deleted or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Content {
    /// The stamp of whatever is not listed; that has no value.
    pub(super) created: Option<Stamp>,
    pub(super) fields: BTreeMap<String, Mark>,
    pub(super) revived: Option<Stamp>,
}

/// When a field was last changed, and to what; `None` where it was removed, or was never there. The later one is the
/// larger one; of one stamp that came with two values, which only clocks and copied files can bring about, the one
/// with a value.
pub(super) type Mark = (Option<Stamp>, Option<String>);

/// The same, where it is looked at.
pub(super) type At<'a> = (Option<Stamp>, Option<&'a str>);

/// What those who deleted an entity had seen of it, together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// When the last of them did it.
    pub at: Option<Stamp>,
    /// Up to when they had seen whatever field is not listed.
    pub created: Option<Millis>,
    /// Up to when they had seen these fields.
    pub fields: BTreeMap<String, Option<Millis>>,
}

impl Joint {
    /// What one side knows.
    #[must_use]
    pub fn of(version: &Version) -> Self {
        let Version { existence, stamps } = version;
        let (state, is_dead) = match existence {
            Existence::Absent => return Joint::default(),
            Existence::Live(state) => (state, false),
            Existence::Dead(state) => (state, true),
        };
        let values = state.iter().map(|(name, value)| (name, Some(value.to_owned())));
        let removed = stamps.fields.iter().map(|(name, _)| (name.clone(), None));
        let mut fields: BTreeMap<String, Mark> = BTreeMap::new();
        for (name, value) in removed.chain(values) {
            let stamp = stamps.of(&name);
            fields.insert(name, (stamp, value));
        }
        let seen = is_dead.then(|| Seen {
            at: stamps.turned,
            created: time(stamps.created),
            fields: fields.iter().map(|(name, (stamp, _))| (name.clone(), time(*stamp))).collect(),
        });
        let revived = stamps.turned.filter(|_| !is_dead);
        Joint { content: Some(Content { created: stamps.created, fields, revived }), seen }
    }

    /// What one file knows.
    #[must_use]
    pub fn known(known: &Known) -> Self {
        let Joint { content, seen } = Joint::of(&known.version);
        Joint { content, seen: joined(&seen, &known.seen, Seen::join) }
    }

    /// What both know.
    #[must_use]
    pub fn join(&self, other: &Joint) -> Joint {
        Joint {
            content: joined(&self.content, &other.content, Content::join),
            seen: joined(&self.seen, &other.seen, Seen::join),
        }
    }

    /// Whether the entity lives, under a policy: under [`Policy::Newest`] a change that is later than the deletion does
    /// it, otherwise one that the deleters had not seen. Only times are compared.
    #[must_use]
    pub fn lives(&self, policy: Policy) -> bool {
        let Some(content) = &self.content else { return false };
        let Some(seen) = &self.seen else { return true };
        match policy {
            Policy::Newest => content.latest() > time(seen.at),
            Policy::LastOperation | Policy::FirstToAuthority | Policy::Manual => !seen.covers(content),
        }
    }

    /// What the entity is, under a policy, with the stamps of whoever changed its fields last.
    ///
    /// # Errors
    /// Fields of several sides that together are more than a state may hold.
    pub fn version(&self, policy: Policy) -> Result<Version, Error> {
        let Some(content) = &self.content else { return Ok(Version::default()) };
        let deleted = self.seen.as_ref().filter(|_| !self.lives(policy));
        content.version(deleted.map(|seen| seen.at))
    }
}

impl Content {
    /// It as a version: live, or deleted at a time.
    pub(super) fn version(&self, deleted: Option<Option<Stamp>>) -> Result<Version, Error> {
        let listed = self.fields.iter().filter(|(_, (stamp, _))| *stamp != self.created);
        let fields = listed.filter_map(|(name, (stamp, _))| Some((name.clone(), (*stamp)?))).collect();
        let state = self.state()?;
        let (existence, turned) = match deleted {
            None => (Existence::Live(state), self.revived),
            Some(at) => (Existence::Dead(state), at),
        };
        Ok(Version { existence, stamps: Stamps { created: self.created, turned, fields } })
    }

    /// The latest of a field.
    pub(super) fn mark(&self, name: &str) -> At<'_> {
        self.fields.get(name).map_or((self.created, None), |(stamp, value)| (*stamp, value.as_deref()))
    }

    pub(super) fn join(&self, other: &Content) -> Content {
        let names = self.fields.keys().chain(other.fields.keys());
        let later = |name: &String| {
            let (stamp, value) = self.mark(name).max(other.mark(name));
            (name.clone(), (stamp, value.map(str::to_owned)))
        };
        Content {
            created: self.created.max(other.created),
            fields: names.map(later).collect(),
            revived: self.revived.max(other.revived),
        }
    }

    pub(super) fn latest(&self) -> Option<Millis> {
        let stamps = self.fields.values().map(|(stamp, _)| *stamp);
        stamps.chain([self.created, self.revived]).map(time).max().flatten()
    }

    fn state(&self) -> Result<State, Error> {
        let values = self.fields.iter().filter_map(|(name, (_, value))| Some((name, value.as_ref()?)));
        let members = values.map(|(name, value)| format!("{}:{value}", Value::from(name.as_str())));
        State::from_json(&format!("{{{}}}", members.collect::<Vec<_>>().join(",")))
    }
}

impl Seen {
    /// Up to when they had seen a field.
    pub(super) fn of(&self, name: &str) -> Option<Millis> {
        self.fields.get(name).copied().unwrap_or(self.created)
    }

    pub(super) fn join(&self, other: &Seen) -> Seen {
        if sabotaged!(deleters_not_joined) {
            return self.clone();
        }
        let names = self.fields.keys().chain(other.fields.keys());
        let later = |name: &String| (name.clone(), self.of(name).max(other.of(name)));
        Seen {
            at: self.at.max(other.at),
            created: self.created.max(other.created),
            fields: names.map(later).collect(),
        }
    }

    /// Whether the deleters, together, had seen all of it.
    pub(super) fn covers(&self, content: &Content) -> bool {
        let mut names = content.fields.keys().chain(self.fields.keys());
        time(content.created) <= self.created
            && (time(content.revived) <= time(self.at) || sabotaged!(revival_taken_as_seen))
            && names.all(|name| time(content.mark(name).0) <= self.of(name))
    }
}

pub(super) fn joined<T: Clone>(
    one: &Option<T>,
    other: &Option<T>,
    join: impl FnOnce(&T, &T) -> T,
) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(join(one, other)),
        (one, other) => one.as_ref().or(other.as_ref()).cloned(),
    }
}

pub(super) fn time(stamp: Option<Stamp>) -> Option<Millis> {
    stamp.map(|stamp| stamp.at)
}
