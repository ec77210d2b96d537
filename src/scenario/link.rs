//! The authority of a scenario or a simulation, and the way to it: a call.

use std::cell::RefCell;
use std::collections::HashMap;

use uuid::Uuid;

use crate::algebra::{Answer, Ask, EntityKey, Generation, Index, Millis, Planned, Schema, State, Trigger};
use crate::authority::{MemoryStore, Rules, Store, answer};

/// The one authority.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) store: MemoryStore,
    schema: Schema,
    /// What will be refused the next time it is written, and why.
    refusals: RefCell<HashMap<EntityKey, String>>,
}

impl Link {
    pub(crate) fn new(schema: Schema) -> Self {
        let store = MemoryStore::new(schema.clone(), Generation(Uuid::from_u128(1)));
        Link { store, schema, refusals: RefCell::default() }
    }

    /// One that holds something already.
    #[cfg(feature = "testing")]
    pub(crate) fn of(store: MemoryStore, schema: Schema) -> Self {
        Link { store, schema, refusals: RefCell::default() }
    }

    pub(crate) fn refuse(&mut self, key: EntityKey, reason: String) {
        self.refusals.borrow_mut().insert(key, reason);
    }

    #[cfg(feature = "testing")]
    pub(crate) fn forget_refusals(&mut self) {
        self.refusals.get_mut().clear();
    }

    pub(crate) fn answer(&mut self, ask: &Ask, now: Millis) -> Answer {
        let refusals = &self.refusals;
        let refuses = |planned: &Planned| refusals.borrow_mut().remove(&planned.operation.key);
        let rules = Rules { schema: &self.schema, now, refuses: &refuses };
        match answer(&mut self.store, &rules, ask) {
            Ok(answer) => answer,
            Err(never) => match never {},
        }
    }

    pub(crate) fn triggers_above(&self, above: Index) -> Vec<Trigger> {
        match self.store.triggers(above, usize::MAX) {
            Ok(found) => found.unwrap_or_default(),
            Err(never) => match never {},
        }
    }

    /// What is live, in no order.
    pub(crate) fn live(&self) -> impl Iterator<Item = (&EntityKey, &State)> {
        self.store.entities().filter_map(|(key, stored)| Some((key, stored.version.existence.live()?)))
    }
}
