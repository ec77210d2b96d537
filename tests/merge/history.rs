//! Sides that change one entity apart and take it over from one another, with a record of every change, which knows
//! by itself what must come of it.

use std::collections::{BTreeMap, BTreeSet};

use foldlog::Uuid;
use foldlog::algebra::{Effect, Existence, Millis, Operation, Patch, ReplicaId, Seq, Stamp, State, Version};
use foldlog::testing::strategies;

pub(crate) const FIELDS: [&str; 3] = ["a", "b", "c"];

/// What happens on a side.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Create([Option<u8>; 3]),
    /// Of each field nothing, its removal, or a value.
    Patch([Option<Option<u8>>; 3]),
    Delete,
    /// It is taken over from another side, as if that were the whole of it.
    Copy(usize),
}

/// One change that somebody made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Made {
    stamp: Stamp,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// All fields, those with a value and those without.
    Created(Vec<Option<String>>),
    Field(usize, Option<String>),
    Revived,
    Deleted,
}

/// A side: what it holds, and all it knows of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Side {
    pub(crate) version: Version,
    known: BTreeSet<Made>,
    last: u64,
}

/// Plays events on sides; each has a time at least, as clocks go as they like.
pub(crate) fn played(events: &[(usize, Event, u64)]) -> [Side; 3] {
    let mut sides: [Side; 3] = Default::default();
    for (side, event, at) in events {
        if let Event::Copy(from) = event {
            let from = sides.get(*from).cloned().unwrap();
            let to = sides.get_mut(*side).unwrap();
            // Only who knows nothing that the other does not: joining is what is tested.
            if to.known.is_subset(&from.known) {
                *to = from;
            }
        } else {
            sides.get_mut(*side).unwrap().does(*side, event, *at);
        }
    }
    sides
}

impl Side {
    fn does(&mut self, number: usize, event: &Event, at: u64) {
        let replica = ReplicaId(Uuid::from_u128(1 + number as u128));
        let key = strategies::entity(0);
        // Later than every stamp that was seen of it.
        let at = at.max(self.last + 1);
        let stamp = Stamp { at: Millis(at), replica: Some(replica) };
        let was = self.version.existence.clone();
        let before = was.state().cloned().unwrap_or_else(State::empty);
        let operation = match event {
            Event::Create(values) if was.state().is_none() => {
                let json = object(&values.map(|value| value.map(Some)));
                self.made(stamp, What::Created(values.map(|value| value.map(text)).to_vec()));
                Operation::create(key, State::from_json(&json).unwrap())
            }
            Event::Patch(values) if was.state().is_some() => {
                let patch = Patch::from_json(&object(values)).unwrap();
                for (field, value) in values.iter().enumerate() {
                    let value = value.map(|value| value.map(text));
                    if let Some(value) = value.filter(|value| value.as_deref() != before.raw(FIELDS[field])) {
                        self.made(stamp, What::Field(field, value));
                    }
                }
                if !was.is_live() {
                    self.made(stamp, What::Revived);
                }
                Operation::patch(key, patch)
            }
            Event::Delete if was.is_live() => {
                self.made(stamp, What::Deleted);
                Operation::delete(key)
            }
            Event::Create(_) | Event::Patch(_) | Event::Delete | Event::Copy(_) => return,
        };
        let effect = Effect::of(Seq(1), &operation.at(at).unwrap());
        self.version = self.version.after(&effect, replica);
        self.last = at;
    }

    fn made(&mut self, stamp: Stamp, what: What) {
        self.known.insert(Made { stamp, what });
    }

    fn created(&self) -> Option<Stamp> {
        let created = |made: &&Made| matches!(made.what, What::Created(_));
        self.known.iter().filter(created).map(|made| made.stamp).max()
    }

    /// Who changed a field last, and to what.
    fn latest(&self, field: usize) -> Option<(Stamp, Option<String>)> {
        let change = |made: &Made| match &made.what {
            What::Created(values) => Some((made.stamp, values.get(field).cloned().flatten())),
            What::Field(of, value) if *of == field => Some((made.stamp, value.clone())),
            What::Field(..) | What::Revived | What::Deleted => None,
        };
        self.known.iter().filter_map(change).max()
    }

    /// When it was last deleted or last revived, whichever is asked for, as far as this side knows.
    fn turned(&self, is_it: impl Fn(&What) -> bool) -> Option<Millis> {
        self.known.iter().filter(|made| is_it(&made.what)).map(|made| made.stamp.at).max()
    }

    fn deleted(&self) -> Option<Millis> {
        self.turned(|what| *what == What::Deleted)
    }

    fn is_dead(&self) -> bool {
        matches!(self.version.existence, Existence::Dead(_))
    }
}

/// What several sides must come to.
pub(crate) struct Expected {
    all: Side,
    dead: Vec<Side>,
    live: Vec<Side>,
}

impl Expected {
    pub(crate) fn of(sides: &[&Side]) -> Self {
        let known = sides.iter().flat_map(|side| side.known.iter().cloned()).collect();
        let (dead, live) = sides.iter().copied().cloned().partition(Side::is_dead);
        Expected { all: Side { known, ..Side::default() }, dead, live }
    }

    /// The values that it must have, by whoever changed them last.
    pub(crate) fn values(&self) -> BTreeMap<String, String> {
        let latest = |(field, name): (usize, &&str)| Some(((*name).to_owned(), self.all.latest(field)?.1?));
        FIELDS.iter().enumerate().filter_map(latest).collect()
    }

    /// Whether there is something that none of those who have it deleted had seen.
    pub(crate) fn has_unseen(&self) -> bool {
        let seen = |of: &dyn Fn(&Side) -> Option<Millis>| self.dead.iter().map(of).max().flatten();
        let of_field = |side: &Side, field| time(side.latest(field).map(|(stamp, _)| stamp));
        let created = |side: &Side| time(side.created());
        let is_known = self.all.created().is_some();
        is_known && self.dead.is_empty()
            || (0..FIELDS.len()).any(|field| of_field(&self.all, field) > seen(&|side| of_field(side, field)))
            || created(&self.all) > seen(&created)
            || self.revived() > seen(&Side::deleted)
    }

    /// Whether the last thing that was done to it was not a deletion.
    pub(crate) fn is_newer_than_deleted(&self) -> bool {
        let changed = self.all.turned(|what| matches!(what, What::Created(_) | What::Field(..)));
        let deleted = self.dead.iter().map(Side::deleted).max().flatten();
        changed.max(self.revived()) > deleted
    }

    /// When it was last revived, as far as it still is.
    fn revived(&self) -> Option<Millis> {
        self.live.iter().map(|side| side.turned(|what| *what == What::Revived)).max().flatten()
    }
}

fn text(value: u8) -> String {
    value.to_string()
}

fn object(values: &[Option<Option<u8>>; 3]) -> String {
    let member = |(name, value): (&&str, &Option<Option<u8>>)| {
        let value = (*value)?.map_or_else(|| "null".to_owned(), text);
        Some(format!("\"{name}\":{value}"))
    };
    format!("{{{}}}", FIELDS.iter().zip(values).filter_map(member).collect::<Vec<_>>().join(","))
}

fn time(stamp: Option<Stamp>) -> Option<Millis> {
    stamp.map(|stamp| stamp.at)
}
