//! Clashes: one unique key under two ids that live.
//!
//! ```text
//! units   us ══ ud                  one code: a clash
//!          │     │
//! plots   ps ── pd                  number 1 of each: the same plot, once us and ud count as one; downstream of it
//!          │     │
//! trees   ts ── td                  and so on, at any depth
//! ```
//!
//! What clashes counts as one, and so may make keys of its children equal, which then count as one themselves. Nothing
//! but what was looked up is held: who holds a key and who refers to what are the caller's to say.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::algebra::{Collection, CollectionName, EntityKey, Schema, State, key_values, referred};

/// Two entities that cannot both live with their keys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pair {
    /// The one whose key came later.
    pub source: EntityKey,
    /// The one whose key was there before: the destination's, or an earlier file's.
    pub dest: EntityKey,
}

/// All clashes there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clashes {
    /// Those with one key as it stands.
    pub top: BTreeSet<Pair>,
    /// Those below, whose keys are one once the entities they refer to are.
    pub downstream: BTreeSet<Pair>,
}

impl Clashes {
    /// Whether it is one of them.
    #[must_use]
    pub fn has(&self, pair: &Pair) -> bool {
        self.top.contains(pair) || self.downstream.contains(pair)
    }
}

/// The joint state of all files, as far as it is asked for.
pub trait World {
    /// What can go wrong.
    type Error;

    /// The state of an entity that lives.
    ///
    /// # Errors
    /// What the files say.
    fn live(&self, key: &EntityKey) -> Result<Option<State>, Self::Error>;

    /// Who of a collection lives with these values, as canonical JSON, in these fields.
    ///
    /// # Errors
    /// What the files say.
    fn holders(
        &self,
        collection: &CollectionName,
        fields: &[String],
        values: &[String],
    ) -> Result<Vec<Uuid>, Self::Error>;

    /// Who of a collection lives and refers to an entity by a field.
    ///
    /// # Errors
    /// What the files say.
    fn referrers(&self, to: &EntityKey, from: &CollectionName, field: &str)
    -> Result<Vec<Uuid>, Self::Error>;

    /// Whether an entity has these values in these fields in the destination, too: whoever else has them there does not
    /// clash with it by a merge.
    ///
    /// # Errors
    /// What the files say.
    fn had(&self, key: &EntityKey, fields: &[String], values: &[String]) -> Result<bool, Self::Error>;

    /// With which file an entity came to have these values in these fields: 0 is the destination.
    ///
    /// # Errors
    /// What the files say.
    fn file(&self, key: &EntityKey, fields: &[String], values: &[String]) -> Result<usize, Self::Error>;
}

/// Finds all clashes of entities with keys that they do not have in the destination, and all that follows from these.
///
/// # Errors
/// What the files say.
pub fn clashes<W: World>(
    world: &W,
    schema: &Schema,
    changed: impl IntoIterator<Item = EntityKey>,
) -> Result<Clashes, W::Error> {
    let mut search =
        Search { world, schema, found: Clashes::default(), one: BTreeMap::new(), open: Vec::new() };
    for key in changed {
        search.look(&key)?;
    }
    while let Some(of) = search.open.pop() {
        for all in search.same_below(&of)?.into_iter().flat_map(|(_, same)| same) {
            if !sabotaged!(clashes_not_followed) {
                search.unite(all.into_iter().map(|(key, _)| key));
            }
        }
    }
    // Only now is it known who had a key first.
    let firsts: BTreeSet<EntityKey> = search.one.values().filter_map(|one| one.first().cloned()).collect();
    for first in firsts {
        for (fields, same) in search.same_below(&first)? {
            for all in same {
                let below =
                    search.pairs(fields, all)?.into_iter().filter(|pair| !search.found.top.contains(pair));
                let below: Vec<Pair> = below.collect();
                search.found.downstream.extend(below);
            }
        }
    }
    Ok(search.found)
}

/// An entity's key as it stands, with who has it.
type Keyed = (EntityKey, Vec<String>);

/// The fields of a key, and who has one value of it: some with one, some with another.
type Same<'w> = (&'w [String], Vec<Vec<Keyed>>);

struct Search<'w, W> {
    world: &'w W,
    schema: &'w Schema,
    found: Clashes,
    /// Of whatever counts as one with others: all of them.
    one: BTreeMap<EntityKey, BTreeSet<EntityKey>>,
    /// Of whom the children are to be looked at.
    open: Vec<EntityKey>,
}

impl<'w, W: World> Search<'w, W> {
    /// Looks whether others have one of an entity's keys.
    fn look(&mut self, key: &EntityKey) -> Result<(), W::Error> {
        let Some(state) = self.world.live(key)? else { return Ok(()) };
        for (_, fields, values) in self.schema.keys(key, &state) {
            if self.world.had(key, fields, &values)? {
                continue;
            }
            let ids = self.world.holders(key.collection(), fields, &values)?;
            let named = |id| EntityKey::new(key.collection().clone(), id).ok();
            let all = ids.into_iter().filter_map(named).map(|holder| (holder, values.clone())).collect();
            for pair in self.pairs(fields, all)? {
                self.unite([pair.source.clone(), pair.dest.clone()]);
                self.found.top.insert(pair);
            }
        }
        Ok(())
    }

    /// What refers to an entity, or to what counts as one with it, with keys that are one: by the fields of the keys.
    fn same_below(&self, of: &EntityKey) -> Result<Vec<Same<'w>>, W::Error> {
        let parents = self.one.get(of).into_iter().flatten();
        let mut found = Vec::new();
        for (from, field, _) in self.schema.referrers(of.collection()) {
            let mut children = Vec::new();
            for parent in parents.clone() {
                let ids = self.world.referrers(parent, from, field)?;
                for child in ids.into_iter().filter_map(|id| EntityKey::new(from.clone(), id).ok()) {
                    let state = self.world.live(&child)?;
                    children.extend(state.map(|state| (child, state)));
                }
            }
            let keys = self.schema.collection(from).into_iter().flat_map(Collection::unique_keys);
            for fields in keys.filter(|fields| fields.iter().any(|name| name == field)) {
                let mut same: BTreeMap<Vec<String>, Vec<Keyed>> = BTreeMap::new();
                for (child, state) in &children {
                    let Some(values) = key_values(state, fields) else { continue };
                    let as_one = self.as_one(child, fields, state, &values);
                    same.entry(as_one).or_default().push((child.clone(), values));
                }
                found.push((fields, same.into_values().filter(|all| all.len() > 1).collect()));
            }
        }
        Ok(found)
    }

    /// A key's values, each reference to something that counts as one with others replaced by the first of these.
    fn as_one(&self, of: &EntityKey, fields: &[String], state: &State, values: &[String]) -> Vec<String> {
        let declared = self.schema.collection(of.collection());
        let replaced = |(field, value): (&String, &String)| {
            let reference = declared.and_then(|declared| declared.reference_of(field));
            let target = reference.and_then(|reference| referred(state, field, reference).ok().flatten());
            let first = target.and_then(|target| self.one.get(&target)?.first().cloned());
            first.map_or_else(|| value.clone(), |first| first.id().to_string())
        };
        fields.iter().zip(values).map(replaced).collect()
    }

    /// Of some with one key: the one that had it first, with each of the others.
    fn pairs(&self, fields: &[String], all: Vec<Keyed>) -> Result<Vec<Pair>, W::Error> {
        if all.len() < 2 {
            return Ok(Vec::new());
        }
        let mut ranked = BTreeSet::new();
        for (key, values) in all {
            ranked.insert((self.world.file(&key, fields, &values)?, key));
        }
        let mut ranked = ranked.into_iter().map(|(_, key)| key);
        let first = ranked.next();
        let against_first = |source| first.clone().map(|dest| Pair { source, dest });
        Ok(ranked.filter_map(against_first).collect())
    }

    /// From now on these count as one, with all that any of them does.
    fn unite(&mut self, these: impl IntoIterator<Item = EntityKey>) {
        let mut all = BTreeSet::new();
        let mut classes = 0;
        for key in these {
            if !all.contains(&key) {
                classes += 1;
                all.extend(self.one.get(&key).cloned().unwrap_or_else(|| BTreeSet::from([key])));
            }
        }
        if classes > 1 {
            self.open.extend(all.first().cloned());
            for key in &all {
                self.one.insert(key.clone(), all.clone());
            }
        }
    }
}
