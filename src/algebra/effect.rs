//! Effects: the net change of a run of operations on one entity.
//!
//! An effect is content × liveness. Each half is a "last writer" monoid, so composition is total and
//! associative: a run may be folded in any grouping, and nothing is undefined.
//!
//! | content: first, then → | `Keep` | `Merge(q)` | `Replace(t)` |
//! |---|---|---|---|
//! | `Keep` | `Keep` | `Merge(q)` | `Replace(t)` |
//! | `Merge(p)` | `Merge(p)` | `Merge(p then q)` | `Replace(t)` |
//! | `Replace(s)` | `Replace(s)` | `Replace(s ⊕ q)` | `Replace(t)` |
//!
//! Liveness: the later one that is not `Keep`.

use super::fields::{Patch, State};
use super::members::Entries;
use super::names::{Group, Seq};
use super::operation::{Change, Existence, Operation, Update};
use super::run::{Composed, Composer, Exceptions, Fields, Part};
use super::stamp::{Clock, FieldStamp, Stamp};

/// What a run of operations does to an entity's fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Nothing.
    Keep,
    /// Lays a patch over them.
    Merge(Patch),
    /// Replaces them.
    Replace(State),
}

impl Content {
    /// What a change does to the fields.
    pub(super) fn of(change: &Change) -> Self {
        match change {
            Change::Create(state) | Change::Update(Update::State(state)) => Content::Replace(state.clone()),
            Change::Update(Update::Patch(patch)) => Content::Merge(patch.clone()),
            Change::Delete => Content::Keep,
        }
    }
}

/// What a run of operations does to an entity's being there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Liveness {
    /// Nothing.
    #[default]
    Keep,
    /// It is there.
    Live,
    /// It is gone.
    Dead,
}

/// Everything of an effect but its content: what can be folded without reading a payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Whether the entity is there afterwards.
    pub liveness: Liveness,
    /// Whether the first operation was a create.
    pub is_born: bool,
    /// Whether liveness turned within the run: some operation revived or deleted what an earlier one
    /// had deleted or revived.
    pub(crate) has_turned: bool,
    /// When the last stretch of equal liveness began: the stamp of a deletion or a revival.
    pub(crate) since: Clock,
    /// The time after the last operation.
    pub(crate) clock: Clock,
    /// The first operation's place; 0 in the identity.
    pub first: Seq,
    /// The last operation's place; 0 in the identity.
    pub last: Seq,
    /// How many operations were folded into it.
    pub operations: u32,
}

impl Shape {
    /// The shape of one operation.
    #[must_use]
    pub fn of(seq: Seq, kind: Kind, clock: Clock) -> Self {
        let liveness = match kind {
            Kind::Create | Kind::State | Kind::Patch => Liveness::Live,
            Kind::Delete => Liveness::Dead,
        };
        Shape {
            liveness,
            is_born: kind == Kind::Create,
            has_turned: false,
            since: clock,
            clock,
            first: seq,
            last: seq,
            operations: 1,
        }
    }

    /// The shape of this run and then a later one.
    #[must_use]
    pub fn then(self, later: Shape) -> Shape {
        if self.operations == 0 {
            return later;
        }
        if later.operations == 0 {
            return self;
        }
        let turns_here = self.liveness != Liveness::Keep
            && later.liveness != Liveness::Keep
            && self.liveness != later.liveness;
        let (since, has_turned) = if later.liveness == Liveness::Keep {
            (self.since, self.has_turned)
        } else if later.has_turned {
            (later.since.after(self.clock), true)
        } else if self.liveness == later.liveness {
            (self.since, self.has_turned)
        } else {
            (later.since.after(self.clock), turns_here)
        };
        Shape {
            liveness: if later.liveness == Liveness::Keep { self.liveness } else { later.liveness },
            is_born: self.is_born,
            has_turned,
            since,
            clock: later.clock.after(self.clock),
            first: self.first,
            last: later.last,
            operations: self.operations.saturating_add(later.operations),
        }
    }
}

/// A shape without its times.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count {
    pub(crate) first: Seq,
    pub(crate) last: Seq,
    pub(crate) operations: u32,
    liveness: Liveness,
    is_born: bool,
    has_turned: bool,
}

impl Count {
    pub(crate) fn of(shape: &Shape) -> Self {
        let Shape { liveness, is_born, has_turned, first, last, operations, .. } = *shape;
        Count { first, last, operations, liveness, is_born, has_turned }
    }

    /// The shape that has these times.
    pub(crate) fn shape(self, since: Clock, clock: Clock) -> Shape {
        let Count { first, last, operations, liveness, is_born, has_turned } = self;
        Shape { liveness, is_born, has_turned, since, clock, first, last, operations }
    }
}

/// The kind of an operation, without its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// [`Change::Create`].
    Create,
    /// [`Update::Patch`].
    Patch,
    /// [`Update::State`].
    State,
    /// [`Change::Delete`].
    Delete,
}

impl Change {
    /// The kind of the change.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Change::Create(_) => Kind::Create,
            Change::Update(Update::Patch(_)) => Kind::Patch,
            Change::Update(Update::State(_)) => Kind::State,
            Change::Delete => Kind::Delete,
        }
    }
}

/// The net change of a run of operations on one entity.
///
/// ```
/// use foldlog::algebra::{CollectionName, Effect, EntityKey, Operation, Patch, Seq, State};
/// let id = "8d56e5d3-d4f3-583e-9955-4d898ddc04c9".parse()?;
/// let note = EntityKey::new(CollectionName::new("notes")?, id)?;
/// let create = Operation::create(note.clone(), State::from_json(r#"{"title":"a"}"#)?);
/// let patch = Operation::patch(note, Patch::from_json(r#"{"done":true}"#)?);
/// let both = Effect::of(Seq(1), &create).then(&Effect::of(Seq(2), &patch));
/// assert_eq!(both.shape.operations, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// What happens to the fields.
    pub content: Content,
    /// Everything else.
    pub shape: Shape,
    /// The groups of its operations, each once, in order.
    pub groups: Vec<Group>,
    /// When the fields of the content were written…
    pub(crate) written: Clock,
    /// …except for these, in the order of their names.
    pub(crate) exceptions: Vec<(String, FieldStamp)>,
}

impl Effect {
    /// The effect of no operation.
    #[must_use]
    pub fn identity() -> Self {
        Effect {
            content: Content::Keep,
            shape: Shape::default(),
            groups: Vec::new(),
            written: Clock::default(),
            exceptions: Vec::new(),
        }
    }

    /// The effect of one operation.
    #[must_use]
    pub fn of(seq: Seq, operation: &Operation) -> Self {
        let shape = Shape::of(seq, operation.change.kind(), Clock::of(operation.at));
        Self::of_only(operation, shape, operation.groups.clone())
    }

    /// The effect of a run whose only content is this operation's, and before which no time counts.
    pub(super) fn of_only(operation: &Operation, shape: Shape, groups: Vec<Group>) -> Self {
        let content = Content::of(&operation.change);
        let (written, exceptions) = match content {
            Content::Keep => (Clock::default(), Vec::new()),
            Content::Merge(_) | Content::Replace(_) => {
                let stated = operation.stamps.iter();
                let stated = stated.map(|(name, stamp)| (name.clone(), FieldStamp::Stated(*stamp)));
                (Clock::of(operation.at), stated.collect())
            }
        };
        Effect { content, shape, groups, written, exceptions }
    }

    /// The effect of this run and then a later one. Total and associative; the identity is neutral.
    #[must_use]
    pub fn then(&self, later: &Effect) -> Effect {
        let shape = self.shape.then(later.shape);
        let groups = joined(&self.groups, &later.groups);
        let parts = [self.part(Clock::default()), later.part(self.shape.clock)];
        let content = |place| if place == 0 { self.content.clone() } else { later.content.clone() };
        Composer::default().compose(&parts, |run| Effect::of_run(shape, groups, run, content))
    }

    fn part(&self, before: Clock) -> Part<'_> {
        let fields = match &self.content {
            Content::Keep => Fields::Keep,
            Content::Merge(patch) => Fields::Merge(patch.as_json()),
            Content::Replace(state) => Fields::Replace(state.as_json()),
        };
        Part { fields, written: self.written, exceptions: Exceptions::OfEffect(&self.exceptions), before }
    }

    /// The effect of a run; the content of one of its parts is asked for where that is the content of all.
    pub(super) fn of_run(
        shape: Shape,
        groups: Vec<Group>,
        run: Composed<'_>,
        content_at: impl FnOnce(usize) -> Content,
    ) -> Effect {
        let content = match (run.only, run.fields) {
            (Some(only), _) => content_at(only),
            (None, Fields::Keep) => Content::Keep,
            (None, Fields::Merge(text)) => Content::Merge(Patch::built(text.into())),
            (None, Fields::Replace(text)) => Content::Replace(State::built(text.into())),
        };
        let exceptions = run.exceptions.iter().map(|(name, stamp)| (name.to_string(), *stamp)).collect();
        Effect { content, shape, groups, written: run.written, exceptions }
    }

    /// What the run makes of an entity.
    #[must_use]
    pub fn apply(&self, before: &Existence) -> Existence {
        let empty = State::empty();
        let (base, was_there) = match before {
            Existence::Absent => (&empty, false),
            Existence::Live(state) | Existence::Dead(state) => (state, true),
        };
        let has_written = !matches!(self.content, Content::Keep);
        let state = match &self.content {
            Content::Keep => base.clone(),
            Content::Merge(patch) => base.with(patch),
            Content::Replace(state) => state.clone(),
        };
        match self.shape.liveness {
            Liveness::Keep => before.clone(),
            Liveness::Live => Existence::Live(state),
            Liveness::Dead if was_there || has_written => Existence::Dead(state),
            Liveness::Dead => Existence::Absent,
        }
    }

    /// The effect with only this patch as its content; the fields of it keep their stamps.
    #[must_use]
    pub(crate) fn with_patch(&self, patch: Patch) -> Effect {
        let mut effect = self.clone();
        effect.exceptions.retain(|(name, _)| patch.raw(name).is_some());
        effect.content = Content::Merge(patch);
        effect
    }

    /// The effect with only these fields of its content: those that are not there afterwards are removed.
    #[must_use]
    pub(crate) fn touching(&self, fields: &[String]) -> Effect {
        let after = self.apply(&Existence::Absent);
        let empty = State::empty();
        let state = after.state().unwrap_or(&empty);
        let patch = fields.iter().fold(empty.changes_to(state), |patch, field| match state.raw(field) {
            Some(_) => patch,
            None => patch.then(&Patch::removing(field)),
        });
        self.with_patch(patch.only(|name| fields.iter().any(|field| field == name)))
    }

    /// When a field of the content was written.
    #[must_use]
    pub fn stamp_of(&self, field: &str) -> FieldStamp {
        match self.exceptions.binary_search_by(|(name, _)| name.as_str().cmp(field)) {
            Ok(place) => {
                self.exceptions.get(place).map_or(FieldStamp::Clock(self.written), |(_, stamp)| *stamp)
            }
            Err(_) => FieldStamp::Clock(self.written),
        }
    }

    /// The stamps that an operation with these fields must state beside its own time: the effect's exceptions are
    /// taken for it.
    pub(super) fn stated(&mut self, change: &Change) -> Vec<(String, Stamp)> {
        if self.exceptions.is_empty() && self.written == self.shape.clock {
            return Vec::new();
        }
        let (fields, is_whole) = match change {
            Change::Create(state) | Change::Update(Update::State(state)) => (state.as_json(), true),
            Change::Update(Update::Patch(patch)) => (patch.as_json(), false),
            Change::Delete => return Vec::new(),
        };
        let own = self.shape.clock.time().map(Stamp::own);
        let stated = |stamp: FieldStamp| stamp.stamp().filter(|stamp| Some(*stamp) != own);
        let exceptions = std::mem::take(&mut self.exceptions);
        let mut all = Vec::with_capacity(exceptions.len());
        // Mostly all of it was written at the operation's own time, and no other name needs to be looked at.
        if let Some(stamp) = stated(FieldStamp::Clock(self.written)) {
            let is_excepted =
                |name: &str| exceptions.binary_search_by(|(other, _)| (**other).cmp(name)).is_ok();
            let named = Entries::new(fields).map(|entry| entry.name()).filter(|name| !is_excepted(name));
            all.extend(named.map(|name| (name.into_owned(), stamp)));
        }
        let are_one_by_one = all.is_empty();
        let mut named = Entries::new(fields).peekable();
        for (name, stamp) in exceptions {
            // Both are in the order of names. Removed fields have stamps too, though a state does not show them.
            let is_said = is_whole || {
                while named.next_if(|entry| *entry.name() < *name).is_some() {}
                named.peek().is_some_and(|entry| entry.is_named(&name))
            };
            all.extend(stated(stamp).filter(|_| is_said).map(|stamp| (name, stamp)));
        }
        if !are_one_by_one {
            all.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        }
        all
    }
}

/// The union of two sorted lists of groups.
pub(crate) fn joined(a: &[Group], b: &[Group]) -> Vec<Group> {
    if a.is_empty() {
        return b.to_vec();
    }
    if b.is_empty() {
        return a.to_vec();
    }
    let mut all: Vec<Group> = a.iter().chain(b).cloned().collect();
    all.sort();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::names::{CollectionName, EntityKey, Millis};
    use super::*;

    fn effect(seq: u64, change: Change) -> Effect {
        let key = EntityKey::new(CollectionName::new("notes").unwrap(), Uuid::from_u128(1)).unwrap();
        Effect::of(Seq(seq), &Operation::new(key, change).at(seq * 10).unwrap())
    }

    /// A shape of something that leaves alone whether the entity is there.
    fn keeping(seq: u64) -> Shape {
        Shape { first: Seq(seq), last: Seq(seq), operations: 1, ..Shape::default() }
    }

    #[test]
    fn nothing_before_or_after_an_effect_is_that_effect() {
        let state = State::from_json(r#"{"a":1}"#).unwrap();
        let patch = Patch::from_json(r#"{"a":2}"#).unwrap();
        for change in [Change::Create(state.clone()), Change::Update(Update::Patch(patch)), Change::Delete] {
            let effect = effect(1, change);
            assert_eq!(Effect::identity().then(&effect), effect);
            assert_eq!(effect.then(&Effect::identity()), effect);
        }
        for before in [Existence::Absent, Existence::Live(state.clone()), Existence::Dead(state)] {
            assert_eq!(Effect::identity().apply(&before), before);
        }
    }

    #[test]
    fn what_is_deleted_before_it_was_ever_there_leaves_what_was_written_and_else_nothing() {
        let state = State::from_json(r#"{"a":1}"#).unwrap();
        let delete = effect(2, Change::Delete);
        assert_eq!(delete.apply(&Existence::Absent), Existence::Absent);
        let both = effect(1, Change::Create(state.clone())).then(&delete);
        assert_eq!(both.apply(&Existence::Absent), Existence::Dead(state.clone()));
        assert_eq!(delete.apply(&Existence::Live(state.clone())), Existence::Dead(state));
    }

    #[test]
    fn an_effect_that_touches_some_fields_sets_what_it_has_of_them_and_removes_the_others() {
        let state = State::from_json(r#"{"a":1,"b":2,"c":3}"#).unwrap();
        let touching = effect(1, Change::Create(state)).touching(&["b".to_owned(), "x".to_owned()]);
        let patch = Patch::from_json(r#"{"b":2,"x":null}"#).unwrap();
        assert_eq!(touching.content, Content::Merge(patch));
    }

    /// The later one that is not `Keep`; what keeps it neither turns it nor says when it turned.
    #[test]
    fn what_keeps_liveness_leaves_when_and_whether_it_turned() {
        let created = effect(1, Change::Create(State::empty())).shape;
        let deleted = effect(4, Change::Delete).shape;
        for (first, second, liveness, turned) in [
            (created, keeping(2), Liveness::Live, false),
            (keeping(0), created, Liveness::Live, false),
            (created.then(deleted), keeping(5), Liveness::Dead, true),
            (created, keeping(2).then(deleted), Liveness::Dead, true),
            (keeping(1), keeping(2), Liveness::Keep, false),
        ] {
            let both = first.then(second);
            assert_eq!((both.liveness, both.has_turned), (liveness, turned), "{first:?} {second:?}");
            assert_eq!(both.operations, first.operations + second.operations);
        }
        let since = created.then(deleted).since;
        assert_eq!(created.then(deleted).then(keeping(5)).since, since);
        assert_eq!(since.time(), Some(Millis(40)));
    }
}
