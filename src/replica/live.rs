//! What is live by the authority's word, in a few bytes: to be held against what the authority itself says.

use std::collections::BTreeMap;

use super::Replica;
use super::error::Error;
use super::view::version_of;
use crate::algebra::{CollectionName, LiveSet};

impl Replica {
    /// The live set of each collection as the authority is known to hold it; what is unsent does not count. Reads every
    /// entity there is.
    ///
    /// # Errors
    /// What the journal says.
    pub fn live_sets(&self) -> Result<BTreeMap<CollectionName, LiveSet>, Error> {
        self.read(|_, view| {
            let mut sets: BTreeMap<CollectionName, LiveSet> = BTreeMap::new();
            for key in view.keys(None)? {
                let (base, stamps) = view.base(&key)?;
                if let Some(state) = version_of(&base, stamps).existence.live() {
                    sets.entry(key.collection().clone()).or_default().add(key.id(), state);
                }
            }
            Ok(sets)
        })
    }
}
