//! Moving a pending effect from one base to another, under the default policy `LastOperation`.
//!
//! What an effect changes is decided against the base its operations were made on, before it moves: a
//! field that said what the old base said already was no change, and must not become one.

use super::base::{Base, Knowledge};
use super::effect::{Content, Effect, Liveness};

/// What becomes of a pending effect when its base moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rebased {
    /// It stays, without what changed nothing.
    Stays(Effect),
    /// It changes nothing, or both sides did the same.
    Agreed,
    /// It was a delete, and the authority holds a change the deleter had not seen: construction
    /// prevails on demolition, and the delete is dropped.
    DeleteDropped,
}

/// Decides what becomes of a pending effect when the authority's side moved from one base to another.
#[must_use]
pub fn rebased(effect: &Effect, from: &Base, to: &Base) -> Rebased {
    let Some(effect) = changing(effect, from) else {
        return Rebased::Agreed;
    };
    match (effect.shape.liveness, to) {
        (Liveness::Dead, Base::Live(_)) => Rebased::DeleteDropped,
        (Liveness::Dead, Base::Dead(_) | Base::Absent) | (Liveness::Keep, _) => Rebased::Agreed,
        (Liveness::Dead, Base::Unknown) => Rebased::Stays(effect),
        (Liveness::Live, _) => match super::send::sent(&effect, to) {
            None => Rebased::Agreed,
            Some(_) => Rebased::Stays(effect),
        },
    }
}

/// The effect without what changes nothing on its base; nothing if that is all of it.
#[must_use]
pub fn changing(effect: &Effect, base: &Base) -> Option<Effect> {
    super::send::sent(effect, base)?;
    let mut effect = effect.clone();
    if let (Content::Merge(patch), Base::Live(held)) = (&effect.content, base)
        && let Knowledge::State(state) = &held.state
    {
        let patch = patch.changing(state);
        effect.exceptions.retain(|(name, _)| patch.raw(name).is_some());
        effect.content = Content::Merge(patch);
    }
    Some(effect)
}
