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
                    if !view.is_holder(key, number, &values)? {
                        found.push(format!("{key}: it is not found by {fields:?}"));
                    }
                }
                for (field, _, to) in view.schema.targets(key, state) {
                    if !view.is_child(key, field, &to)? {
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

#[cfg(test)]
mod tests {
    use redb::TableDefinition;
    use uuid::Uuid;

    use crate::algebra::{CollectionName, EntityKey, Operation, Schema, State};
    use crate::journal::error::engine;
    use crate::journal::tables::{REFERENCES, UNIQUE};
    use crate::journal::{Durability, Options};
    use crate::replica::Replica;

    const SCHEMA: &str = r#"{"collections":{"folders":{},
        "notes":{"unique":[["title"]],"references":{"in":{"to":"folders","on_delete":"cascade"}}}}}"#;

    #[test]
    fn what_an_index_has_lost_is_told() {
        let replica = Replica::in_memory(Options::new().schema(Schema::from_json(SCHEMA).unwrap())).unwrap();
        let key = |name, n| EntityKey::new(CollectionName::new(name).unwrap(), Uuid::from_u128(n)).unwrap();
        let note = format!(r#"{{"title":"a","in":"{}"}}"#, Uuid::from_u128(1));
        let create = |key, json: &str| Operation::create(key, State::from_json(json).unwrap());
        let all = [create(key("folders", 1), "{}"), create(key("notes", 2), &note)];
        replica.commit(&all, Durability::Durable).unwrap();
        assert_eq!(replica.check().unwrap(), [""; 0]);
        let lose = |index: TableDefinition<'static, &'static [u8], &'static [u8]>| {
            let lost = replica.journal.inner.maintain(|work| {
                work.has_written = true;
                work.txn.open_table(index).map_err(engine)?.retain(|_, _| false).map_err(engine)
            });
            lost.unwrap();
            replica.check().unwrap()
        };
        let of = key("notes", 2);
        let refers = format!("{of}: it is not found by what \"in\" refers to");
        assert_eq!(lose(REFERENCES), [refers.clone(), "1 places are indexed, 2 should be".to_owned()]);
        let unique = format!("{of}: it is not found by [\"title\"]");
        assert_eq!(lose(UNIQUE), [unique, refers, "0 places are indexed, 2 should be".to_owned()]);
    }
}
