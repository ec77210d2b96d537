//! Taking back what was not sent.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Replica;
use super::conflicts;
use super::constraints;
use super::error::Error;
use super::lost;
use super::lost::Why;
use super::rebase::lost_local;
use super::view::Cause;
use crate::algebra::{EntityKey, Group};
use crate::journal::entry::Entry;
use crate::journal::{parked, seal};

impl Replica {
    /// Takes back all that was done to these entities and is neither sent nor on its way, and to those that share a
    /// group with them: they are again what the authority holds, or will hold once it has taken the open bunch. Gives
    /// the entities that were undone, in the order of their keys; one with nothing unsent is none of them.
    ///
    /// What was refused and parked is taken back too, and an open conflict ends for the other side, its values kept as
    /// [`Replica::losers`]. A single operation is taken back by one that does the opposite: what cancels out is
    /// not sent.
    ///
    /// # Errors
    /// A unique key that somebody else has by now, something deleted or never made that another entity refers to:
    /// undo both together. Otherwise what the journal says.
    pub fn undo(&self, keys: &[EntityKey]) -> Result<Vec<EntityKey>, Error> {
        let (own, now) = (self.id(), (self.journal.inner.options.clock)());
        self.maintain(|work, view| {
            let unsent = view.unsent()?;
            let mut entries: HashMap<EntityKey, Vec<Entry>> = HashMap::new();
            for (key, entry) in work.pending(&unsent)? {
                entries.entry(key).or_default().push(entry);
            }
            for key in &unsent {
                if let Some((entry, _)) = parked::get(work.txn, key)? {
                    entries.entry(key.clone()).or_default().push(entry);
                }
            }
            let sealed = match &work.state.open {
                Some(open) => seal::load(work.snapshot, open)?.1,
                None => HashMap::new(),
            };
            let mut touched = BTreeMap::new();
            for key in together(keys, &entries) {
                touched.insert(key.clone(), view.visible(key)?);
                let is_open = conflicts::remove(work.txn, key)?;
                work.take_parked(key)?;
                work.stop_waiting(key)?;
                for entry in entries.get(key).into_iter().flatten() {
                    work.state.settled += u64::from(entry.effect.shape.operations);
                    if is_open {
                        lost::keep(work.txn, key, &[lost_local(&entry.effect, Why::Resolved)], now)?;
                    }
                }
                work.overrides.insert(key.clone(), None);
                let (base, stamps) = view.base(key)?;
                let on_its_way = sealed.get(key).map(|entry| (&entry.effect, own));
                view.lay(key, &base, &stamps, on_its_way, Cause::Local)?;
            }
            constraints::require(view, &touched)?;
            constraints::require_unneeded(view, &touched)?;
            let undone: BTreeSet<&EntityKey> = touched.keys().collect();
            conflicts::end_clashes(work.txn, view, &|holder| undone.contains(holder))?;
            conflicts::end_unneeded(work.txn, view)?;
            Ok(touched.into_keys().collect())
        })
    }
}

/// Those of the keys with something unsent, and whoever shares a group with one of them.
fn together<'e>(keys: &[EntityKey], entries: &'e HashMap<EntityKey, Vec<Entry>>) -> BTreeSet<&'e EntityKey> {
    let groups_of =
        |key: &EntityKey| entries.get(key).into_iter().flatten().flat_map(|entry| entry.effect.groups.iter());
    let mut by_group: HashMap<&Group, Vec<&EntityKey>> = HashMap::new();
    for key in entries.keys() {
        for group in groups_of(key) {
            by_group.entry(group).or_default().push(key);
        }
    }
    let mut found: BTreeSet<&EntityKey> = BTreeSet::new();
    let mut open: Vec<&EntityKey> =
        keys.iter().filter_map(|key| entries.get_key_value(key)).map(|(key, _)| key).collect();
    while let Some(key) = open.pop() {
        if found.insert(key) {
            for group in groups_of(key) {
                open.extend(by_group.remove(group).into_iter().flatten());
            }
        }
    }
    found
}
