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
        // Where nothing was known of the base, nothing was claimed: it is judged as made on this one.
        (Liveness::Dead, Base::Live(_)) if from == to || *from == Base::Unknown => Rebased::Stays(effect),
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

#[cfg(test)]
mod tests {
    use super::super::fields::State;
    use super::super::names::{CollectionName, EntityKey, Epoch, Seq};
    use super::super::operation::Operation;
    use super::*;

    #[test]
    fn a_delete_gives_way_only_to_a_change_that_it_had_not_seen() {
        let id = uuid::Uuid::from_u128(7);
        let key = EntityKey::new(CollectionName::new("notes").unwrap(), id).unwrap();
        let delete = Effect::of(Seq(1), &Operation::delete(key));
        let live = |json, epoch| Base::live(State::from_json(json).unwrap(), Some(Epoch(epoch)));
        let seen = live(r#"{"a":1}"#, 3);
        assert_eq!(rebased(&delete, &seen, &seen), Rebased::Stays(delete.clone()));
        assert_eq!(rebased(&delete, &Base::Unknown, &seen), Rebased::Stays(delete.clone()));
        assert_eq!(rebased(&delete, &seen, &live(r#"{"a":2}"#, 4)), Rebased::DeleteDropped);
        assert_eq!(rebased(&delete, &seen, &Base::Dead(Default::default())), Rebased::Agreed);
        assert_eq!(rebased(&delete, &seen, &Base::Unknown), Rebased::Stays(delete.clone()));
        assert_eq!(rebased(&Effect::identity(), &seen, &seen), Rebased::Agreed);
    }
}
