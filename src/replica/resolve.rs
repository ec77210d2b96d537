//! Resolving an open conflict. What is decided for this side takes in what goes with it: what refers to a deletion, the
//! deleted parents of what is there. Where that is not seen here yet, the decision waits for it.

use redb::WriteTransaction;

use super::conflicts::{self, Conflict, ConflictKind, Resolution, put, remove};
use super::down::Applied;
use super::error::Error;
use super::lost::{self, Loss, Side, Why};
use super::rebase::{losses, lost_to};
use super::taking::Taking;
use super::transact::{Edit, Touched};
use super::view::{Cause, View};
use super::{Replica, Tables};
use crate::algebra::{
    Base, Decision, Effect, EntityKey, Existence, Liveness, Millis, OnDelete, Operation, Other, Patch,
    Policy, Schema, State, Version, decide, live_key_values, overwritten, written,
};
use crate::codec::kept::{ClashRecord, ConflictRecord, VersionRecord};
use crate::journal::entry::Entry;
use crate::journal::{self, Durability};

impl Replica {
    /// Resolves an open conflict; the values that lose by it are kept.
    ///
    /// # Errors
    /// An entity without an open conflict; otherwise as [`Replica::commit`].
    pub fn resolve(&self, key: &EntityKey, resolution: &Resolution) -> Result<(), Error> {
        loop {
            let conflict = self.conflict(key)?;
            let conflict = conflict.ok_or_else(|| Error::NoConflict { key: key.clone() })?;
            match self.resolve_as(&conflict, resolution) {
                // One of its sides moved meanwhile: decided is what it is now.
                Err(Error::NoConflict { .. }) if self.conflict(key)?.is_some_and(|now| now != conflict) => {}
                done => return done,
            }
        }
    }

    fn resolve_as(&self, conflict: &Conflict, resolution: &Resolution) -> Result<(), Error> {
        let key = &conflict.key;
        if let (
            ConflictKind::Clash { unique, values, holder, before },
            Resolution::Local | Resolution::Newest,
        ) = (&conflict.kind, resolution)
            && !self.is_seen(holder)?
        {
            let (unique, values) = (unique.clone(), values.clone());
            let before = before.as_ref().map(VersionRecord::of);
            let clash = ClashRecord { unique, values, holder: holder.id().into_bytes(), before };
            let is_newest = *resolution == Resolution::Newest;
            return self.decide_unseen(conflict, &ConflictRecord::DecidedClash { clash, is_newest });
        }
        match resolution {
            Resolution::Delete => self.resolve_by(conflict, Operation::delete(key.clone())),
            Resolution::Modify(state) => {
                self.resolve_by(conflict, Operation::update(key.clone(), state.clone()))
            }
            Resolution::Local => self.keep_local(conflict),
            Resolution::Remote => self.settle_conflict(conflict, Keeps::Remote),
            Resolution::Newest => match &conflict.kind {
                ConflictKind::Concurrent { .. } => match self.is_later_than_family(conflict)? {
                    Some(true) => self.keep_local(conflict),
                    Some(false) => self.settle_conflict(conflict, Keeps::Remote),
                    None => self.settle_conflict(conflict, Keeps::Newest),
                },
                ConflictKind::Clash { holder, .. } => {
                    let theirs = self.read(|_, view| view.visible(holder))?;
                    if conflict.local.stamps.latest() > theirs.stamps.latest() {
                        self.keep_local(conflict)
                    } else {
                        self.settle_conflict(conflict, Keeps::Remote)
                    }
                }
            },
        }
    }

    /// Whether anything is known of an entity here.
    fn is_seen(&self, key: &EntityKey) -> Result<bool, Error> {
        self.read(|_, view| {
            let is_unknown = matches!(view.base(key)?.0, Base::Unknown | Base::Absent);
            Ok(!is_unknown || view.visible(key)?.existence != Existence::Absent)
        })
    }

    /// Decides a clash for this side, or for the later one, before who has the key is seen here.
    fn decide_unseen(&self, conflict: &Conflict, decided: &ConflictRecord) -> Result<(), Error> {
        let key = &conflict.key;
        self.maintain(|work, view| {
            conflicts::require_same(work.txn, view, conflict, &view.visible(key)?)?;
            put(work.txn, key, decided)?;
            work.has_written = true;
            view.changed.push((key.clone(), Cause::Conflict));
            Ok(())
        })
    }

    /// Where the other side did nothing to the entity itself: whether this side's is later than what the other did to
    /// what goes with it.
    fn is_later_than_family(&self, conflict: &Conflict) -> Result<Option<bool>, Error> {
        if conflict.remote.existence.state() != Some(&before_of(conflict))
            && conflict.remote.existence != Existence::Absent
        {
            return Ok(None);
        }
        let theirs = self.read(|_, view| {
            let mut latest = None;
            match conflict.local.existence.live() {
                None => {
                    for (from, field, _) in view.schema.referrers(conflict.key.collection()) {
                        for child in view.children(&conflict.key, from, field)? {
                            latest = latest.max(view.visible(&child)?.stamps.latest());
                        }
                    }
                }
                Some(state) => {
                    for (_, _, parent) in view.schema.targets(&conflict.key, state) {
                        let parent = view.visible(&parent)?;
                        if !parent.existence.is_live() {
                            latest = latest.max(parent.stamps.turned);
                        }
                    }
                }
            }
            Ok(latest)
        })?;
        Ok(theirs.map(|theirs| conflict.local.stamps.latest() > Some(theirs)))
    }

    /// Keeps this side's, on top of the other, with what goes with it. Where another entity is in its way, that goes.
    fn keep_local(&self, conflict: &Conflict) -> Result<(), Error> {
        let lost = against_remote(conflict, |other| overwritten(&conflict.local.existence, other));
        let losses = losses(&lost, Patch::empty(), Why::Resolved, Why::Resolved);
        let keeps = |edit: &mut Edit<'_, '_, '_>| match &conflict.kind {
            ConflictKind::Concurrent { .. } => edit.stand_by(&conflict.key),
            ConflictKind::Clash { unique, values, holder, .. } => {
                let there = edit.view.visible(holder)?;
                if live_key_values(&there.existence, unique).as_ref() == Some(values) {
                    edit.carry_out(&Operation::delete(holder.clone()))?;
                }
                Ok(())
            }
        };
        self.close(conflict, keeps, |_| losses)
    }

    /// Resolves by an operation of now, in one transaction with it.
    fn resolve_by(&self, conflict: &Conflict, operation: Operation) -> Result<(), Error> {
        operation.require_valid()?;
        let carries_out = |edit: &mut Edit<'_, '_, '_>| {
            edit.carry_out(&operation)?;
            edit.stand_by(&conflict.key)?;
            require_other_key(conflict, &edit.view.visible(&conflict.key)?.existence)
        };
        self.close(conflict, carries_out, |after| {
            let kept = after.existence.live().cloned().unwrap_or_else(State::empty);
            let differs = |state: &State| state.only(|field| kept.raw(field) != state.raw(field));
            let before = before_of(conflict);
            let mut losses = Vec::new();
            for (side, version) in [(Side::Local, &conflict.local), (Side::Remote, &conflict.remote)] {
                let Existence::Live(state) = &version.existence else { continue };
                let changed = before.changes_to(state);
                let theirs = conflict.remote.existence.live().filter(|_| side == Side::Local);
                // What this side merely took over from the other is not its own.
                let is_own = |field: &str| theirs.is_none_or(|theirs| theirs.raw(field) != state.raw(field));
                let lost = differs(&state.only(|field| changed.raw(field).is_some() && is_own(field)));
                if !lost.is_empty() {
                    losses.push(Loss::of(side, Why::Resolved, State::empty().changes_to(&lost)));
                }
            }
            losses
        })
    }

    /// Closes a conflict for this side with these edits, which take in what goes with it. What the other side did need
    /// not be seen here yet: then that is waited for.
    fn close(
        &self,
        conflict: &Conflict,
        edits: impl Fn(&mut Edit<'_, '_, '_>) -> Result<(), Error>,
        losses: impl FnOnce(&Version) -> Vec<Loss>,
    ) -> Result<(), Error> {
        let key = &conflict.key;
        let now = (self.journal.inner.options.clock)();
        self.commit_with(Durability::Durable, edits, |txn, view, touched| {
            let after = view.visible(key)?;
            conflicts::require_same(txn, view, conflict, touched.get(key).unwrap_or(&after))?;
            remove(txn, key)?;
            lost::keep(txn, key, &losses(&after), now)?;
            let was_deleted = !conflict.local.existence.is_live();
            let gave_way =
                matches!(&conflict.kind, ConflictKind::Clash { holder, .. } if touched.contains_key(holder));
            if was_deleted || gave_way {
                keep_taken(txn, view, key, touched, now)?;
            }
            let is_same_side = after.existence.is_live() == conflict.local.existence.is_live();
            let took_nothing = touched.keys().all(|touched| touched == key);
            if let ConflictKind::Concurrent { before } = &conflict.kind
                && is_same_side
                && took_nothing
                && is_about_unseen(conflict, before, view.schema)
            {
                put(txn, key, &ConflictRecord::Decided { before: VersionRecord::of(before) })?;
            }
            view.changed.push((key.clone(), Cause::Conflict));
            Ok(())
        })?;
        Ok(())
    }

    fn settle_conflict(&self, conflict: &Conflict, keeps: Keeps) -> Result<(), Error> {
        let (key, own) = (&conflict.key, self.id());
        let now = (self.journal.inner.options.clock)();
        self.maintain(|work, view| {
            conflicts::require_same(work.txn, view, conflict, &view.visible(key)?)?;
            remove(work.txn, key)?;
            work.has_written = true;
            let taking = Taking::of(own, now);
            let pending = work.pending(std::slice::from_ref(key))?.remove(key);
            let Some(pending) = pending else { return taking.drop_waiting(work, view, key) };
            let remote = || (None, vec![lost_to(&conflict.remote.existence, &pending.effect, Why::Resolved)]);
            let (left, losses) = match keeps {
                Keeps::Remote => remote(),
                Keeps::Newest => match against_remote(conflict, |other| {
                    decide(Policy::Newest, &pending.effect, own, other)
                }) {
                    Decision::Agreed => (None, Vec::new()),
                    Decision::Held | Decision::Other => remote(),
                    Decision::Local { effect, overwrites, loses } => {
                        (Some(effect), losses(&overwrites, loses, Why::Resolved, Why::Resolved))
                    }
                },
            };
            lost::keep(work.txn, key, &losses, now)?;
            let (base, stamps) = view.base(key)?;
            view.lay(key, &base, &stamps, left.as_ref().map(|effect| (effect, own)), Cause::Conflict)?;
            if left.is_none() {
                work.state.settled += u64::from(pending.effect.shape.operations);
            }
            let is_given_up = left.is_none();
            let left = left.map(|effect| Entry { effect, ..pending.clone() });
            work.overrides.insert(key.clone(), left);
            // What went only with it comes back too.
            if is_given_up && is_of_unit(view, key, &pending.effect, &conflict.remote.existence)? {
                taking.drop_unit(work, view, key, &mut Applied::default())?;
            }
            Ok(())
        })
    }

    /// Carries out what was decided, now that it is seen what the other side did.
    pub(super) fn carry_decisions(&self) -> Result<(), Error> {
        let now = (self.journal.inner.options.clock)();
        for key in self.decided()? {
            let carry = self.maintain(|work, view| {
                if conflicts::is_decided(work.txn, &key)? {
                    return Ok(Carry::Out);
                }
                work.has_written = true;
                let decided = conflicts::decided_clash(work.txn, view, &key)?;
                Ok(decided.map_or(Carry::Nothing, |(conflict, how)| Carry::As(Box::new(conflict), how)))
            })?;
            let done = match carry {
                Carry::Nothing => Ok(()),
                Carry::As(conflict, resolution) => self.resolve_as(&conflict, &resolution),
                Carry::Out => {
                    let stands_by = |edit: &mut Edit<'_, '_, '_>| edit.stand_by(&key);
                    let closes =
                        |txn: &WriteTransaction, view: &mut View<'_, Tables<'_>>, touched: &Touched| {
                            remove(txn, &key)?;
                            keep_taken(txn, view, &key, touched, now)
                        };
                    self.commit_with(Durability::Durable, stands_by, closes).map(drop)
                }
            };
            match done {
                // Or it is another one by now, which is looked at when more has come.
                Ok(()) | Err(Error::NoConflict { .. }) => {}
                // Not as it was decided, so it is asked again.
                Err(
                    Error::Restricted { .. }
                    | Error::Taken { .. }
                    | Error::DeadReference { .. }
                    | Error::NotAReference { .. },
                ) => self.ask_again(&key)?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn ask_again(&self, key: &EntityKey) -> Result<(), Error> {
        self.maintain(|work, view| {
            conflicts::reopen(work.txn, key)?;
            work.has_written = true;
            view.changed.push((key.clone(), Cause::Conflict));
            Ok(())
        })
    }
}

/// Refuses to resolve a clash by what has the same key: the authority could only refuse it once more.
fn require_other_key(conflict: &Conflict, now: &Existence) -> Result<(), Error> {
    let ConflictKind::Clash { unique, values, holder, .. } = &conflict.kind else { return Ok(()) };
    if live_key_values(now, unique).as_ref() != Some(values) {
        return Ok(());
    }
    Err(Error::Taken { key: conflict.key.clone(), unique: unique.clone(), holder: holder.clone() })
}

/// Whether an effect is a deletion, or what a deletion did to what referred to it.
fn is_of_unit(
    view: &View<'_, Tables<'_>>,
    key: &EntityKey,
    effect: &Effect,
    there: &Existence,
) -> Result<bool, journal::Error> {
    let (Liveness::Live, Some(state)) = (effect.shape.liveness, there.live()) else {
        return Ok(effect.shape.liveness == Liveness::Dead);
    };
    let written = written(effect);
    for (field, reference, to) in view.schema.targets(key, state) {
        if reference.on_delete == OnDelete::SetNull
            && written.raw(field) == Some("null")
            && matches!(view.visible(&to)?.existence, Existence::Dead(_))
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a conflict may be about something that is not seen here: the other side did nothing to the entity itself,
/// or deleted it, perhaps together with what it refers to.
fn is_about_unseen(conflict: &Conflict, before: &Version, schema: &Schema) -> bool {
    let key = &conflict.key;
    match conflict.local.existence.live() {
        None => {
            conflict.remote.existence == before.existence
                && schema.referrers(key.collection()).next().is_some()
        }
        Some(state) => {
            !conflict.remote.existence.is_live()
                && schema
                    .targets(key, state)
                    .any(|(_, reference, _)| reference.on_delete != OnDelete::SetNull)
        }
    }
}

/// Keeps the values of what goes with a deletion that its maker had not seen.
fn keep_taken(
    txn: &WriteTransaction,
    view: &View<'_, Tables<'_>>,
    root: &EntityKey,
    touched: &Touched,
    now: Millis,
) -> Result<(), Error> {
    for (key, before) in touched.iter().filter(|(key, _)| *key != root) {
        let Existence::Live(state) = &before.existence else { continue };
        let after = view.visible(key)?;
        let left = |field: &str| after.existence.live().and_then(|after| after.raw(field));
        let taken = state.only(|field| left(field) != state.raw(field));
        let fields = State::empty().changes_to(&taken);
        lost::keep(txn, key, &[Loss::of(Side::Remote, Why::Resolved, fields)], now)?;
    }
    Ok(())
}

/// Judges against what the authority holds, of which the other side's are the changes since both sides began.
fn against_remote<T>(conflict: &Conflict, judge: impl FnOnce(&Other<'_>) -> T) -> T {
    let before = before_of(conflict);
    let changes = before.changes_to(conflict.remote.existence.state().unwrap_or(&State::empty()));
    judge(&Other {
        version: &conflict.remote,
        has_changed: &|field| changes.raw(field).is_some(),
        was_absent: before.is_empty(),
    })
}

/// What is to be done about a decision, now that the other side is seen.
enum Carry {
    /// A clash that came to nothing.
    Nothing,
    /// A clash, as it was decided.
    As(Box<Conflict>, Resolution),
    /// What was decided for this side.
    Out,
}

/// What is kept of two sides without a new operation.
#[derive(Clone, Copy)]
enum Keeps {
    Remote,
    Newest,
}

/// The state that both sides began from; no field where nothing was there.
fn before_of(conflict: &Conflict) -> State {
    match &conflict.kind {
        ConflictKind::Concurrent { before } | ConflictKind::Clash { before: Some(before), .. } => {
            before.existence.state().cloned().unwrap_or_else(State::empty)
        }
        // Nothing of the entity itself is in conflict but what this side would send.
        ConflictKind::Clash { before: None, .. } => {
            conflict.remote.existence.state().cloned().unwrap_or_else(State::empty)
        }
    }
}
