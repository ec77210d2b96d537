//! What is pending: folded, ranked, and drafted for sending.

use std::collections::{HashMap, HashSet};

use super::bases::Bases;
use super::entry::{Entry, require_valid};
use super::error::Error;
use super::folding::{Folding, Part, PendingSlot};
use super::tables::{Snapshot, damaged};
use super::{Journal, held, rewrite, seal};
use crate::algebra::{
    Base, Content, Draft, Effect, Group, Held, Knowledge, Limits, Nothing, Patch, Plan, Schema, Seq, State,
    arranged, draft, rank, sent,
};
use crate::codec::records::JournalState;
use crate::codec::row::ContentKind;

impl Journal {
    /// What would be sent if everything that is not held were sealed now. Read-only: the journal is as it
    /// was. While a bunch is open, what it will make of the authority's side counts as done.
    ///
    /// # Errors
    /// A journal that is suspended or damaged, or what the storage says.
    pub fn plan(&self) -> Result<Plan, Error> {
        self.plan_with(self.inner.options.schema.as_ref())
    }

    /// As [`Journal::plan`], with another schema than the journal was opened with.
    ///
    /// # Errors
    /// As [`Journal::plan`].
    pub fn plan_with(&self, schema: Option<&Schema>) -> Result<Plan, Error> {
        self.inner.read(|snapshot| {
            let state = snapshot.state()?;
            let pending = Pending::load(snapshot, &state)?.with_held(snapshot, schema)?;
            let ranked = pending.ranked()?;
            let chosen: HashSet<usize> = ranked.iter().map(|candidate| candidate.slot).collect();
            let mut drafted = pending.drafted(&chosen)?;
            drafted.nothing.extend(pending.surely_nothing(&ranked)?);
            drafted.nothing.sort_by_key(|nothing| nothing.last);
            let drafts = drafted.drafts.into_iter().map(|(draft, _)| draft).collect();
            Ok(Plan { operations: arranged(drafts, schema).operations, nothing: drafted.nothing })
        })
    }
}

/// All pending effects, folded by their rows.
pub(crate) struct Pending {
    pub(crate) folding: Folding,
    pub(crate) bases: Bases,
    held: HashSet<(u32, uuid::Uuid)>,
    is_of_replica: bool,
}

/// An effect that will probably be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) slot: usize,
    pub(crate) rank: (u8, Seq),
    pub(crate) bytes: usize,
    pub(crate) groups: u32,
}

/// Effects with their payloads: what is sent of them, and what comes to nothing.
#[derive(Default)]
pub(crate) struct Drafted {
    pub(crate) drafts: Vec<(Draft, Entry)>,
    pub(crate) nothing: Vec<Nothing>,
}

impl Pending {
    /// Folds everything that is pending, what is held included.
    pub(crate) fn load(snapshot: &Snapshot, state: &JournalState) -> Result<Self, Error> {
        let mut folding = Folding::new(snapshot)?;
        let sources = rewrite::all(&folding, state)?;
        folding.fold(&sources, Part::All)?;
        let mut bases = Bases::new(snapshot, state)?;
        bases.expected = seal::expected(snapshot, state, &bases)?;
        Ok(Pending { folding, bases, held: HashSet::new(), is_of_replica: snapshot.is_of_replica()? })
    }

    /// Finds out what is held.
    pub(crate) fn with_held(mut self, snapshot: &Snapshot, schema: Option<&Schema>) -> Result<Self, Error> {
        for key in held::entities(snapshot, &self, schema)?.into_iter().chain(held::conflicting(snapshot)?) {
            let name =
                self.folding.interned.name(key.collection().as_str()).map_err(damaged("a held effect"))?;
            self.held.insert((name, key.id()));
        }
        Ok(self)
    }

    /// The slots that hold an effect.
    pub(crate) fn slots(&self) -> impl Iterator<Item = (usize, &PendingSlot)> {
        self.folding.slots.slots.iter().enumerate().filter(|(_, slot)| slot.shape.operations > 0)
    }

    pub(crate) fn is_held(&self, slot: &PendingSlot) -> bool {
        self.held.contains(&(slot.collection, slot.id))
    }

    /// The effects that may be sent, by rank, judged without their payloads.
    pub(crate) fn ranked(&self) -> Result<Vec<Candidate>, Error> {
        let stand_in = StandIn::new();
        let mut ranked = Vec::new();
        for (place, slot) in self.slots().filter(|(_, slot)| !self.is_held(slot)) {
            let base = self.bases.outline(&self.folding.key(slot)?)?;
            if let Some(change) = sent(&stand_in.effect(slot), &StandIn::base(base)) {
                ranked.push(Candidate {
                    slot: place,
                    rank: rank(&change, slot.shape.first, slot.shape.last),
                    bytes: slot.extra.fields_bytes as usize,
                    groups: slot.extra.groups,
                });
            }
        }
        ranked.sort_unstable_by_key(|candidate| candidate.rank);
        Ok(ranked)
    }

    /// The effects that come to nothing whatever their payloads say: those that are neither ranked nor
    /// held.
    pub(crate) fn surely_nothing(&self, ranked: &[Candidate]) -> Result<Vec<Nothing>, Error> {
        let is_ranked: HashSet<usize> = ranked.iter().map(|candidate| candidate.slot).collect();
        self.slots()
            .filter(|(place, slot)| !is_ranked.contains(place) && !self.is_held(slot))
            .map(|(_, slot)| {
                let shape = slot.shape;
                Ok(Nothing {
                    key: self.folding.key(slot)?,
                    first: shape.first,
                    last: shape.last,
                    operations: shape.operations,
                })
            })
            .collect()
    }

    /// Reads the payloads of the chosen slots and drafts what is sent of them.
    pub(crate) fn drafted(&self, chosen: &HashSet<usize>) -> Result<Drafted, Error> {
        let mut drafted = Drafted::default();
        self.folding.survivors(
            |place, _| chosen.contains(&place),
            |_, slot, row, payload| {
                let entry = self.folding.entry(slot, row, payload)?;
                require_valid(&entry.effect)
                    .map_err(|error| damaged(format!("the effect of {}", entry.key))(error))?;
                match draft(&entry.key, &entry.effect, &self.bases.get(&entry.key)?) {
                    Ok(mut draft) => {
                        if !self.is_of_replica {
                            // Only a replica keeps the stamps by which it tells what a revival left alone.
                            draft.planned.touched = None;
                        }
                        drafted.drafts.push((draft, entry));
                    }
                    Err(nothing) => drafted.nothing.push(nothing),
                }
                Ok(())
            },
        )?;
        Ok(drafted)
    }

    /// The groups of a slot.
    pub(crate) fn groups(&self, candidate: &Candidate) -> &[Group] {
        self.folding.interned.groups(candidate.groups)
    }
}

/// Stands in for payloads that are not read yet: a patch and a state that change something.
struct StandIn {
    patch: Content,
    state: Content,
}

impl StandIn {
    fn new() -> Self {
        const CHANGES: &str = r#"{"":0}"#;
        StandIn {
            patch: Content::Merge(Patch::trusted(CHANGES)),
            state: Content::Replace(State::trusted(CHANGES)),
        }
    }

    fn effect(&self, slot: &PendingSlot) -> Effect {
        let content = match slot.extra.content {
            Some(ContentKind::Merge) => self.patch.clone(),
            Some(ContentKind::Replace) => self.state.clone(),
            Some(ContentKind::Keep) | None => Content::Keep,
        };
        Effect { content, shape: slot.shape, ..Effect::identity() }
    }

    /// A base that no payload equals.
    fn base(base: Base) -> Base {
        match base {
            Base::Live(held) => Base::Live(Held { epoch: held.epoch, state: Knowledge::Nothing }),
            Base::Unknown | Base::Absent | Base::Dead(_) => base,
        }
    }
}

/// The prefix of the ranked candidates that holds the next bunch for certain: as many as the limits could
/// take, and whatever shares a group with one of them.
pub(crate) fn prefix(pending: &Pending, ranked: &[Candidate], limits: Limits) -> HashSet<usize> {
    let mut chosen = HashSet::new();
    let mut bytes = 0_usize;
    for candidate in ranked {
        chosen.insert(candidate.slot);
        bytes = bytes.saturating_add(candidate.bytes);
        if chosen.len() > limits.operations || bytes > limits.bytes {
            break;
        }
    }
    if chosen.len() == ranked.len() {
        return chosen;
    }
    // Groups that meet in one entity travel together: grow until nothing new is reached.
    let mut reached: HashSet<&Group> = HashSet::new();
    loop {
        let before = chosen.len();
        for candidate in ranked {
            if chosen.contains(&candidate.slot) {
                reached.extend(pending.groups(candidate));
            } else if pending.groups(candidate).iter().any(|group| reached.contains(group)) {
                chosen.insert(candidate.slot);
                reached.extend(pending.groups(candidate));
            }
        }
        if chosen.len() == before {
            return chosen;
        }
    }
}

/// The entries of a map of drafts, by entity.
pub(crate) fn by_key(drafts: Vec<(Draft, Entry)>) -> (Vec<Draft>, HashMap<crate::algebra::EntityKey, Entry>) {
    let mut entries = HashMap::with_capacity(drafts.len());
    let drafts = drafts
        .into_iter()
        .map(|(draft, entry)| {
            entries.insert(entry.key.clone(), entry);
            draft
        })
        .collect();
    (drafts, entries)
}
