//! What a sync came to, in numbers.

use crate::algebra::{EntityKey, ReplicaId};
use crate::sync::{Compared, Taken};

/// What a sync came to, or has come to so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Synced {
    /// Questions that were answered.
    pub questions: u64,
    /// Rows that told something new.
    pub rows_taken: u64,
    /// Rows that told what was known.
    pub rows_known: u64,
    /// Triggers that were heard for the first time.
    pub triggers_heard: u64,
    /// Bunches whose outcomes came.
    pub bunches: u64,
    /// Operations in them.
    pub operations_sent: u64,
    /// How many of those were accepted.
    pub accepted: u64,
    /// How many gave way to the authority's side.
    pub superseded: u64,
    /// How many were refused for good, and are parked.
    pub parked: u64,
    /// Entities with a conflict that was opened.
    pub conflicts: Vec<EntityKey>,
    /// How often everything had to be fetched anew.
    pub starts_over: u32,
    /// The new name of the replica, where its file turned out to be a copy.
    pub renamed: Option<ReplicaId>,
    /// Bytes of bodies that were sent, packed as they went.
    pub bytes_sent: u64,
    /// Bytes of bodies that came, packed as they came.
    pub bytes_received: u64,
    /// What a comparison came to, where one was asked for: the last one.
    pub compared: Option<Compared>,
}

impl Synced {
    /// Whether it was found that both sides hold the same; none where nothing was compared.
    #[must_use]
    pub fn is_same(&self) -> Option<bool> {
        self.compared.as_ref().map(|compared| compared.differing.is_empty() && compared.behind.is_empty())
    }

    /// Adds what an answer came to.
    pub(super) fn add(&mut self, operations: u64, taken: &Taken) {
        self.questions += 1;
        match taken {
            Taken::Settled(settled) => {
                self.bunches += 1;
                self.operations_sent += operations;
                self.accepted += settled.accepted;
                self.superseded += settled.superseded.len() as u64;
                self.parked += settled.parked.len() as u64;
                self.conflicts.extend(settled.conflicting.iter().cloned());
            }
            Taken::TooLarge(settled) => self.parked += settled.parked.len() as u64,
            Taken::Rows(applied) => {
                self.rows_taken += applied.applied.len() as u64;
                self.rows_known += applied.stale;
                self.conflicts.extend(applied.conflicting.iter().cloned());
            }
            Taken::Heard(new) => self.triggers_heard += new,
            Taken::Compared(compared) => self.compared = Some(compared.clone()),
            Taken::Renamed(name) => self.renamed = Some(*name),
            Taken::StartsOver => self.starts_over += 1,
            Taken::Later | Taken::Unauthorised | Taken::Stale => {}
        }
    }
}
