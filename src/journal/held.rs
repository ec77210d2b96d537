//! Which pending effects are held: those that depend on something parked.
//!
//! Held is derived, never stored: an effect is held while the entity it waits for is parked or held, or
//! while it shares a group with one that is. So what is unparked frees what waited for it without a word.

use std::collections::HashSet;

use uuid::Uuid;

use super::error::Error;
use super::folding::Folding;
use super::parked::{self, HeldEffect};
use super::tables::{Snapshot, damaged};
use super::{Journal, pending::Pending};
use crate::algebra::{EntityKey, Group};

impl Journal {
    /// The pending effects that are held, by entity.
    ///
    /// # Errors
    /// A journal that is suspended or damaged, or what the storage says.
    pub fn held(&self) -> Result<Vec<HeldEffect>, Error> {
        self.inner.read(|snapshot| {
            let pending = Pending::load(snapshot, &snapshot.state()?)?;
            let waits = parked::waits(snapshot)?;
            let mut held = Vec::new();
            for (_, slot) in pending.slots().filter(|(_, slot)| pending.is_held(slot)) {
                let key = pending.folding.key(slot)?;
                held.push(HeldEffect { waits_for: waits.get(&key).cloned(), key });
            }
            held.sort_by(|a, b| a.key.cmp(&b.key));
            Ok(held)
        })
    }
}

/// The held ones among the folded slots.
pub(crate) fn slots(snapshot: &Snapshot, folding: &mut Folding) -> Result<HashSet<(u32, Uuid)>, Error> {
    let parked = parked::all(snapshot)?;
    let waits = parked::waits(snapshot)?;
    if parked.is_empty() {
        // Nothing to depend on; who waits for something that is not parked need not wait.
        return Ok(HashSet::new());
    }
    let mut stuck: HashSet<EntityKey> = parked.keys().cloned().collect();
    let mut groups: HashSet<Group> =
        parked.values().flat_map(|(entry, _)| entry.effect.groups.iter().cloned()).collect();
    loop {
        let before = (stuck.len(), groups.len());
        for (key, on) in &waits {
            if stuck.contains(on) {
                stuck.insert(key.clone());
            }
        }
        for slot in &folding.slots.slots {
            if slot.shape.operations == 0 {
                continue;
            }
            let own = folding.interned.groups(slot.extra.groups);
            let is_grouped = own.iter().any(|group| groups.contains(group));
            if own.is_empty() && waits.is_empty() {
                continue;
            }
            let key = folding.key(slot)?;
            if is_grouped || stuck.contains(&key) {
                groups.extend(own.iter().cloned());
                stuck.insert(key);
            }
        }
        if (stuck.len(), groups.len()) == before {
            break;
        }
    }
    let mut held = HashSet::new();
    for key in stuck {
        if !parked.contains_key(&key) {
            let name = folding.interned.name(key.collection().as_str()).map_err(damaged("a wait"))?;
            held.insert((name, key.id()));
        }
    }
    Ok(held)
}
