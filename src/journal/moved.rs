//! A base that moves under pending effects.

use super::Work;
use super::bases;
use super::entry::Entry;
use super::error::Error;
use crate::algebra::{Base, EntityKey, Rebased, rebased};

/// What became of what was pending on an entity whose base moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pended {
    /// Nothing was pending, or it stays.
    Stays,
    /// Both sides agree: nothing is pending any more.
    Agreed,
    /// A delete gave way to a change it had not seen.
    DeleteDropped,
}

impl Work<'_> {
    /// Notes what the authority holds now, and moves what is pending from the base it was made on.
    pub(crate) fn move_base(
        &mut self,
        key: &EntityKey,
        pending: Option<&Entry>,
        from: &Base,
        to: &Base,
    ) -> Result<Pended, Error> {
        self.has_written = true;
        bases::put(self.txn, key, to)?;
        let Some(pending) = pending else { return Ok(Pended::Stays) };
        let operations = u64::from(pending.effect.shape.operations);
        match rebased(&pending.effect, from, to) {
            Rebased::Stays(effect) => {
                if effect != pending.effect {
                    self.overrides.insert(key.clone(), Some(Entry { effect, ..pending.clone() }));
                }
                Ok(Pended::Stays)
            }
            Rebased::Agreed => {
                self.overrides.insert(key.clone(), None);
                self.state.folded_away += operations;
                self.state.settled += operations;
                Ok(Pended::Agreed)
            }
            Rebased::DeleteDropped => {
                self.overrides.insert(key.clone(), None);
                self.state.settled += operations;
                Ok(Pended::DeleteDropped)
            }
        }
    }
}
