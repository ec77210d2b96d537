//! What is pending: folded, ranked, and drafted for sending.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::bases::Bases;
use super::effects::{Effects, Outline, Who};
use super::entry::{Entry, Interned, require_valid};
use super::error::Error;
use super::tables::{Snapshot, damaged};
use super::{Journal, held, seal};
use crate::algebra::{
    Base, Content, Draft, Effect, Group, Held, Knowledge, Limits, Nothing, Patch, Plan, Schema, Seq, Shape,
    State, arranged, draft, known_to, rank, sent,
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
            let pass_bytes = self.inner.options.pass_bytes;
            let mut pending = Pending::load(snapshot, &state, pass_bytes)?.with_held(snapshot, schema)?;
            let (mut chosen, mut nothing) = (HashSet::new(), Vec::new());
            pending.judge(|_, candidate, _| chosen.extend([candidate.who]), |each| nothing.push(each))?;
            let mut drafted = pending.drafted(&chosen)?;
            drafted.nothing.extend(nothing);
            drafted.nothing.sort_by_key(|nothing| nothing.last);
            let drafts = drafted.drafts.into_iter().map(|(draft, _)| draft).collect();
            Ok(Plan { operations: arranged(drafts, schema).operations, nothing: drafted.nothing })
        })
    }
}

/// All pending effects, what is held of them, and what the authority is known to hold.
pub(crate) struct Pending {
    pub(crate) effects: Effects,
    pub(crate) bases: Bases,
    pub(crate) held: HashSet<Who>,
    is_of_replica: bool,
}

/// An effect that will probably be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Candidate {
    rank: (u8, Seq),
    pub(crate) who: Who,
    bytes: usize,
}

/// Effects with their payloads: what is sent of them, and what comes to nothing.
#[derive(Default)]
pub(crate) struct Drafted {
    pub(crate) drafts: Vec<(Draft, Entry)>,
    pub(crate) nothing: Vec<Nothing>,
}

impl Pending {
    /// Everything that is pending, what is held included; looking at it takes about so many bytes.
    pub(crate) fn load(snapshot: &Snapshot, state: &JournalState, pass_bytes: u64) -> Result<Self, Error> {
        let effects = Effects::new(snapshot, state, pass_bytes)?;
        let mut bases = Bases::new(snapshot, state)?;
        bases.expected = seal::expected(snapshot, state, &bases)?;
        Ok(Pending { effects, bases, held: HashSet::new(), is_of_replica: snapshot.is_of_replica()? })
    }

    /// Finds out what is held.
    pub(crate) fn with_held(mut self, snapshot: &Snapshot, schema: Option<&Schema>) -> Result<Self, Error> {
        let held = held::entities(snapshot, &mut self, schema)?;
        for key in held.into_iter().chain(held::conflicting(snapshot)?) {
            let interned = &mut self.effects.folding.interned;
            let name = interned.name(key.collection().as_str()).map_err(damaged("a held effect"))?;
            self.held.insert((name, key.id()));
        }
        Ok(self)
    }

    /// Judges every effect that is not held without its payload: it may be sent, with a set of groups as it is interned by
    /// then, or it comes to nothing whatever its payload says. In no order.
    pub(crate) fn judge(
        &mut self,
        mut may_be_sent: impl FnMut(&Interned, Candidate, u32),
        mut nothing: impl FnMut(Nothing),
    ) -> Result<(), Error> {
        let stand_in = StandIn::new();
        let Pending { effects, bases, held, .. } = self;
        effects.each(|interned, outline| {
            let Outline { who, shape, kept } = outline;
            if held.contains(&who) {
                return Ok(());
            }
            let key = interned.key(who)?;
            let base = bases.outline(&key)?;
            match sent(&stand_in.effect(&outline), &StandIn::base(base)) {
                Some(change) => may_be_sent(
                    interned,
                    Candidate {
                        who,
                        rank: rank(&change, shape.first, shape.last),
                        bytes: (kept.fields_bytes as usize).max(PLANNED_BYTES_MIN),
                    },
                    kept.groups,
                ),
                None => {
                    let Shape { first, last, operations, .. } = shape;
                    nothing(Nothing { key, first, last, operations });
                }
            }
            Ok(())
        })
    }

    /// Adds to those that were chosen whatever shares a group with one of them.
    pub(crate) fn with_groups(
        &mut self,
        chosen: &mut HashSet<Who>,
        groups: HashSet<Group>,
    ) -> Result<(), Error> {
        // Groups that meet in one entity travel together: grow until nothing new is reached.
        let mut reached = groups;
        let mut is_growing = !reached.is_empty();
        while is_growing {
            is_growing = false;
            self.judge(
                |interned, candidate, set| {
                    let groups = interned.groups(set);
                    if groups.iter().any(|group| reached.contains(group)) && chosen.insert(candidate.who) {
                        reached.extend(groups.iter().cloned());
                        is_growing = true;
                    }
                },
                |_| (),
            )?;
        }
        Ok(())
    }

    /// Reads the payloads of the chosen effects and drafts what is sent of them.
    pub(crate) fn drafted(&mut self, chosen: &HashSet<Who>) -> Result<Drafted, Error> {
        let mut drafted = Drafted::default();
        let Pending { effects, bases, is_of_replica, .. } = self;
        effects.read(chosen, |folding, slot, row, payload| {
            let entry = folding.entry(slot, row, payload)?;
            require_valid(&entry.effect)
                .map_err(|error| damaged(format!("the effect of {}", entry.key))(error))?;
            let base = bases.get(&entry.key)?;
            // A bare journal is told of few bases, and claims none that it was not told of.
            let base = if *is_of_replica { known_to(&entry.effect, &base) } else { &base };
            match draft(&entry.key, &entry.effect, base) {
                Ok(mut draft) => {
                    if !*is_of_replica {
                        // Only a replica keeps the stamps by which it tells what a revival left alone.
                        draft.planned.touched = None;
                    }
                    drafted.drafts.push((draft, entry));
                }
                Err(nothing) => drafted.nothing.push(nothing),
            }
            Ok(())
        })?;
        Ok(drafted)
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

    fn effect(&self, outline: &Outline) -> Effect {
        let content = match outline.kept.content {
            Some(ContentKind::Merge) => self.patch.clone(),
            Some(ContentKind::Replace) => self.state.clone(),
            Some(ContentKind::Keep) | None => Content::Keep,
        };
        Effect { content, shape: outline.shape, ..Effect::identity() }
    }

    /// A base that no payload equals.
    fn base(base: Base) -> Base {
        match base {
            Base::Live(held) => Base::Live(Held { epoch: held.epoch, state: Knowledge::Nothing }),
            Base::Unknown | Base::Absent | Base::Dead(_) => base,
        }
    }
}

/// No line of an operation is shorter.
const PLANNED_BYTES_MIN: usize = 64;

/// Of candidates that come in no order those that are sent first, as many as the limits could take, and one more: they
/// hold the next bunch for certain.
pub(crate) struct Prefix {
    limits: Limits,
    candidates: BTreeMap<Candidate, Vec<Group>>,
    bytes: usize,
    is_whole: bool,
}

impl Prefix {
    pub(crate) fn of(limits: Limits) -> Self {
        Prefix { limits, candidates: BTreeMap::new(), bytes: 0, is_whole: true }
    }

    pub(crate) fn add(&mut self, candidate: Candidate, groups: Vec<Group>) {
        self.bytes = self.bytes.saturating_add(candidate.bytes);
        self.candidates.insert(candidate, groups);
        while let Some((last, _)) = self.candidates.last_key_value() {
            let bytes = self.bytes.saturating_sub(last.bytes);
            if self.candidates.len() - 1 <= self.limits.operations && bytes <= self.limits.bytes {
                return;
            }
            self.bytes = bytes;
            self.is_whole = false;
            self.candidates.pop_last();
        }
    }

    /// Who they are, and the groups that they may share with others.
    pub(crate) fn chosen(self) -> (HashSet<Who>, HashSet<Group>) {
        let chosen = self.candidates.keys().map(|candidate| candidate.who).collect();
        let groups = self.candidates.into_values().filter(|_| !self.is_whole).flatten().collect();
        (chosen, groups)
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
