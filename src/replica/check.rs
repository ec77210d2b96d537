//! Whether a replica is what it must be: what is seen is what is known with what is unsent on top of it, and the
//! indexes hold just that.

use std::collections::{BTreeMap, BTreeSet};

use super::Replica;
use super::error::Error;
use super::rebase::unsent_effects;
use super::view::{Local, version_of};
use crate::algebra::{Base, Effect, EntityKey, Existence};

impl Replica {
    /// Looks at every entity, and says in words what is not as it must be; nothing, if all is well.
    ///
    /// # Errors
    /// What the journal says.
    pub fn check(&self) -> Result<Vec<String>, Error> {
        let own = self.id();
        let mut found = Vec::new();
        self.read(|snapshot, view| {
            let state = snapshot.state()?;
            let unsent: BTreeMap<EntityKey, Effect> = unsent_effects(snapshot, &state)?.into_iter().collect();
            let known: BTreeSet<EntityKey> =
                view.keys(None)?.into_iter().chain(unsent.keys().cloned()).collect();
            for key in &known {
                let (base, stamps) = view.base(key)?;
                let local = view.local(key)?;
                let visible = view.visible(key)?;
                let mut under = version_of(&base, stamps);
                let tells_last = matches!(&base, Base::Dead(held) if held.state.state().is_some());
                let effect = unsent.get(key);
                if effect.is_some() != matches!(local, Some(Local { is_kept: false, .. })) {
                    found.push(format!("{key}: unsent is {effect:?}, beside its base there is {local:?}"));
                }
                if let (Base::Dead(_), false) = (&base, tells_last) {
                    // What its last state was is only known where it was seen.
                    continue;
                }
                if let (None, Some(kept)) = (effect, &local) {
                    under.existence = kept.version.existence.clone();
                }
                let is_born_anew = matches!(base, Base::Absent | Base::Unknown);
                let expected = effect.map_or_else(|| under.clone(), |effect| under.after(effect, own));
                let is_same = match (&expected.existence, &visible.existence) {
                    (Existence::Live(a), Existence::Live(b)) => a == b,
                    // Of what was never sent, only whether it is there can be told from what is unsent.
                    (Existence::Live(_), _) | (_, Existence::Live(_)) => false,
                    (a, b) => is_born_anew || a == b,
                };
                if !is_same {
                    found.push(format!(
                        "{key}: {:?} is seen, but {base:?} with {effect:?} is {:?}",
                        visible.existence, expected.existence
                    ));
                }
                let Existence::Live(state) = &visible.existence else { continue };
                for (number, fields, values) in view.schema.keys(key, state) {
                    if !view.holders(key.collection(), number, &values)?.contains(key) {
                        found.push(format!("{key}: it is not found by {fields:?}"));
                    }
                }
                for (field, _, to) in view.schema.targets(key, state) {
                    if !view.children(&to, key.collection(), field)?.contains(key) {
                        found.push(format!("{key}: it is not found by what {field:?} refers to"));
                    }
                }
            }
            let indexed = view.indexed()?;
            let mut expected = 0;
            for key in &known {
                if let Existence::Live(state) = &view.visible(key)?.existence {
                    expected += view.places(key, state);
                }
            }
            if indexed != expected {
                found.push(format!("{indexed} places are indexed, {expected} should be"));
            }
            Ok(())
        })?;
        Ok(found)
    }
}
