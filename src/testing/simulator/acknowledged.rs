//! What the authority acknowledged, and whether it still holds it.
//!
//! Invariant that is looked at: an entity is as the last operation on it left it that a client was told is accepted, or
//! was changed by somebody after that, which its epoch says.

use std::collections::BTreeMap;

use crate::algebra::{
    Bunch, Change, EntityKey, Epoch, Existence, FullRow, Outcome, Outcomes, Planned, Resulting, Update,
};
use crate::testing::laws::{Violation, require};

/// What clients were told, an entity: the last epoch, and what the authority held then.
#[derive(Clone, Debug, Default)]
pub struct Acknowledged {
    told: BTreeMap<EntityKey, (Epoch, Change, Resulting)>,
}

impl Acknowledged {
    /// Notes what a client was told of its bunch; gives how many operations were acknowledged.
    pub fn note(&mut self, bunch: &Bunch, outcomes: &Outcomes) -> u64 {
        let mut noted = 0;
        for (Planned { operation, .. }, outcome) in bunch.operations.iter().zip(&outcomes.outcomes) {
            let Outcome::Accepted { epoch: Some(epoch), result, .. } = outcome else { continue };
            noted += 1;
            if self.told.get(&operation.key).is_none_or(|(known, ..)| known < epoch) {
                let told = (*epoch, operation.change.clone(), result.clone());
                self.told.insert(operation.key.clone(), told);
            }
        }
        noted
    }

    /// Looks for all of it among what the authority holds. Where tombstones were pruned, one may be gone.
    ///
    /// # Errors
    /// The first that is not there.
    pub fn check(&self, rows: &[FullRow], is_pruned: bool) -> Result<(), Violation> {
        let law = "nothing acknowledged is lost";
        let held: BTreeMap<&EntityKey, &FullRow> = rows.iter().map(|row| (&row.key, row)).collect();
        for (key, (epoch, change, result)) in &self.told {
            let Some(row) = held.get(key) else {
                require(law, is_pruned, || format!("{key} was accepted at {epoch} and is not there"))?;
                continue;
            };
            let is_there = row.epoch > *epoch
                || row.epoch == *epoch && is_what_came_of_it(&row.version.existence, change, result);
            require(law, is_there, || {
                format!("{key} was accepted at {epoch}, {change:?} as {result:?}, and is {row:?}")
            })?;
        }
        Ok(())
    }
}

/// Whether this is what an operation left that nothing followed.
fn is_what_came_of_it(held: &Existence, change: &Change, result: &Resulting) -> bool {
    match (result, change) {
        (Resulting::Gone(_), _) | (Resulting::AsSent, Change::Delete) => held.live().is_none(),
        (Resulting::Live(state, _), _)
        | (Resulting::AsSent, Change::Create(state) | Change::Update(Update::State(state))) => {
            held.live() == Some(state)
        }
        (Resulting::AsSent, Change::Update(Update::Patch(patch))) => {
            held.live().is_some_and(|state| state.with(patch) == *state)
        }
    }
}
