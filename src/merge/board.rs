//! The joint state of all files, as a layer over the destination: what differs is held here, the rest is looked up.

use std::borrow::Cow;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;

use uuid::Uuid;

use super::clashes::World;
use super::joint::{Derived, Known, Seen};
use super::losing::Loss;
use super::resolution::{How, Resolutions};
use super::same::{Same, Sides};
use crate::algebra::{
    self, Collection, CollectionName, EntityKey, Existence, Millis, Policy, ReplicaId, Schema, State,
    Version, has_values, live_key_values,
};

/// The files of a merge: the destination is number 0, the sources follow in the order in which they were named.
pub trait Files {
    /// What can go wrong.
    type Error: From<algebra::Error>;

    /// How many sources there are.
    fn sources(&self) -> usize;

    /// Whether no two of the files write under one name.
    fn are_apart(&self) -> bool;

    /// What a file knows of an entity.
    ///
    /// # Errors
    /// What the file says.
    fn known(&self, file: usize, key: &EntityKey) -> Result<Known, Self::Error>;

    /// Of whom an entity that lost a clash is a part now, as far as a file knows.
    ///
    /// # Errors
    /// What the files say.
    fn heir(&self, key: &EntityKey) -> Result<Option<EntityKey>, Self::Error>;

    /// The versions of an entity that both the destination and a source are known to have had.
    ///
    /// # Errors
    /// What the files say.
    fn commons(&self, file: usize, key: &EntityKey) -> Result<Vec<Version>, Self::Error>;

    /// Who lives in the destination with these values in the unique key of this number.
    ///
    /// # Errors
    /// What the destination says.
    fn holders(
        &self,
        collection: &CollectionName,
        number: usize,
        values: &[String],
    ) -> Result<Vec<Uuid>, Self::Error>;

    /// Who lives in the destination and refers to an entity by a field.
    ///
    /// # Errors
    /// What the destination says.
    fn referrers(&self, to: &EntityKey, from: &CollectionName, field: &str)
    -> Result<Vec<Uuid>, Self::Error>;
}

/// Why an entity is not as the destination had it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The sources know something of it that the destination did not.
    Joined,
    /// Somebody decided what becomes of what both sides had done to it.
    Decided,
    /// It had been deleted, and something that lives refers to it.
    Returned {
        /// What refers to it.
        child: EntityKey,
    },
    /// It no longer refers to what is deleted.
    Dropped {
        /// By which field it did.
        field: String,
        /// To what.
        to: EntityKey,
    },
    /// It refers to the winner of a clash from now on.
    Redirected {
        /// By which field.
        field: String,
        /// To what it had referred.
        from: EntityKey,
        /// To what it refers.
        to: EntityKey,
    },
    /// It lost a clash.
    Lost {
        /// To whom.
        to: EntityKey,
    },
    /// It went with something that lost a clash.
    Gone {
        /// With what.
        with: EntityKey,
    },
    /// It was given another key.
    Modified,
}

/// An entity that is not looked up in the destination any more.
#[derive(Clone, Debug)]
pub struct Slot {
    /// As the destination knows it.
    pub was: Known,
    /// What it comes to.
    pub version: Version,
    /// Of what lives: what those who once deleted it had seen.
    pub seen: Option<Seen>,
    /// What of that follows from other entities.
    pub derived: Derived,
    /// Of whom it is a part now, if it lost.
    pub heir: Option<EntityKey>,
    /// Whether it lost and nothing that refers to it follows anybody.
    pub is_alone: bool,
    /// What lost.
    pub losses: Vec<Loss>,
    /// Why it is as it is.
    pub why: Vec<Why>,
    /// With which file it came to have each of its unique keys.
    firsts: Vec<usize>,
    pub(super) is_self_clash: bool,
    /// Whether it returned because something refers to it.
    pub(super) returned_for_children: bool,
}

impl Slot {
    /// What is as the destination has it.
    #[must_use]
    pub fn unchanged(was: Known) -> Self {
        Slot {
            version: was.version.clone(),
            seen: was.seen.clone(),
            derived: was.derived.clone(),
            was,
            heir: None,
            is_alone: false,
            losses: Vec::new(),
            why: Vec::new(),
            firsts: Vec::new(),
            is_self_clash: false,
            returned_for_children: false,
        }
    }
}

/// The joint state.
#[derive(Debug)]
pub struct Board<'f, F> {
    pub(super) files: &'f F,
    pub(super) schema: &'f Schema,
    pub(super) editor: (ReplicaId, Millis),
    pub(super) resolutions: &'f Resolutions,
    /// What is decided about what both sides did to one id.
    of_itself: BTreeMap<&'f EntityKey, &'f How>,
    pub(super) slots: BTreeMap<EntityKey, Slot>,
    unique: HashMap<(CollectionName, usize, Vec<String>), BTreeSet<Uuid>>,
    references: HashMap<(EntityKey, CollectionName, String), BTreeSet<Uuid>>,
}

impl<'f, F: Files> Board<'f, F> {
    /// A board on which nothing differs yet, for what somebody decided. Edits are made by this replica, at this time.
    #[must_use]
    pub fn new(
        files: &'f F,
        schema: &'f Schema,
        editor: (ReplicaId, Millis),
        resolutions: &'f Resolutions,
    ) -> Self {
        let of_itself = resolutions.listed.iter().filter(|one| one.pair.source == one.pair.dest);
        Board {
            files,
            schema,
            editor,
            resolutions,
            of_itself: of_itself.map(|one| (&one.pair.source, &one.how)).collect(),
            slots: BTreeMap::new(),
            unique: HashMap::new(),
            references: HashMap::new(),
        }
    }

    /// The files.
    #[must_use]
    pub fn files(&self) -> &'f F {
        self.files
    }

    /// What becomes of each entity, in the order of their keys.
    #[must_use]
    pub fn slots(&self) -> &BTreeMap<EntityKey, Slot> {
        &self.slots
    }

    /// Takes an entity that these sources do not know as the destination does, once.
    ///
    /// # Errors
    /// What the files say, or fields of several files that together are more than a state may hold.
    pub fn take(
        &mut self,
        key: EntityKey,
        was: Known,
        mut sources: Vec<(usize, Known)>,
    ) -> Result<(), F::Error> {
        let default = self.resolutions.default.map(How::Keep);
        let how = self.of_itself.get(&key).copied().or(default.as_ref());
        let policy = self.schema.policy(key.collection());
        let by_marks = matches!(policy, Policy::LastOperation | Policy::Newest);
        let looked_at = |known: Known| if by_marks { known.underived() } else { known.unredirected() };
        let underived = match was.derived == Derived::default() {
            true => None,
            false => Some(looked_at(was.clone())?),
        };
        let dest = underived.as_ref().unwrap_or(&was);
        for (_, known) in &mut sources {
            *known = looked_at(std::mem::take(known))?;
        }
        let mut commons = Vec::with_capacity(sources.len());
        for (file, _) in &sources {
            commons.push(self.files.commons(*file, &key)?);
        }
        let sources = sources.as_slice();
        let are_apart = self.files.are_apart();
        let sides = Sides { dest, sources, commons: &commons, how, editor: self.editor, are_apart };
        let Same { steps, seen, is_clash, losses } = sides.joined(policy)?;
        let version = steps.last().map_or_else(|| dest.version.clone(), |(_, version)| version.clone());
        let firsts = self.firsts(&key, dest, &steps, &version);
        let seen = seen.filter(|_| version.existence.is_live());
        let is_alike = version.is_as_merged(&was.version);
        let version = if is_alike { was.version.clone() } else { version };
        let why = match (is_alike && seen == was.seen, is_clash && how.is_some()) {
            (_, true) => vec![Why::Decided],
            (false, false) => vec![Why::Joined],
            (true, false) => Vec::new(),
        };
        let derived = Derived::default();
        let slot = Slot { version, seen, losses, why, firsts, derived, ..Slot::unchanged(was) };
        self.slots.insert(key.clone(), Slot { is_self_clash: is_clash, ..slot });
        self.index(&key, true);
        Ok(())
    }

    fn firsts(
        &self,
        key: &EntityKey,
        dest: &Known,
        steps: &[(usize, Version)],
        version: &Version,
    ) -> Vec<usize> {
        let keys = self.schema.collection(key.collection()).into_iter().flat_map(Collection::unique_keys);
        let first = |fields: &[String]| {
            let values = live_key_values(&version.existence, fields);
            let all = std::iter::once((0, &dest.version)).chain(steps.iter().map(|(file, one)| (*file, one)));
            let mut had = all.filter(|(_, one)| live_key_values(&one.existence, fields) == values);
            had.next().map_or(0, |(file, _)| file)
        };
        keys.map(first).collect()
    }

    /// The version of an entity.
    pub(super) fn version(&self, key: &EntityKey) -> Result<Cow<'_, Version>, F::Error> {
        match self.slots.get(key) {
            Some(slot) => Ok(Cow::Borrowed(&slot.version)),
            None => Ok(Cow::Owned(self.files.known(0, key)?.version)),
        }
    }

    /// Whether an entity has these values of a key in the destination, too: then it takes them from nobody.
    pub(super) fn had(&self, key: &EntityKey, fields: &[String], values: &[String]) -> bool {
        let was = |slot: &Slot| {
            slot.was.version.existence.live().is_some_and(|was| has_values(was, fields, values))
        };
        self.slots.get(key).is_none_or(was)
    }

    /// Whether an entity refers by a field to what it refers to in the destination.
    pub(super) fn referred(&self, key: &EntityKey, field: &str) -> bool {
        let Some(Slot { was, version, .. }) = self.slots.get(key) else { return true };
        match (was.version.existence.live(), version.existence.live()) {
            (Some(was), Some(now)) => was.raw(field) == now.raw(field),
            (None, _) | (_, None) => false,
        }
    }

    /// The version of an entity as it would be if nothing followed from other entities.
    pub(super) fn underived(&self, key: &EntityKey) -> Result<Version, F::Error> {
        let known = match self.slots.get(key) {
            Some(Slot { version, derived, .. }) => {
                Known { version: version.clone(), seen: None, derived: derived.clone() }
            }
            None => self.files.known(0, key)?,
        };
        Ok(known.underived()?.version)
    }

    /// Changes an entity.
    pub(super) fn put(&mut self, key: &EntityKey, change: impl FnOnce(&mut Slot)) -> Result<(), F::Error> {
        self.index(key, false);
        change(match self.slots.entry(key.clone()) {
            Entry::Occupied(slot) => slot.into_mut(),
            Entry::Vacant(place) => place.insert(Slot::unchanged(self.files.known(0, key)?)),
        });
        self.index(key, true);
        Ok(())
    }

    /// Puts an entity of a slot into the layer's own indexes, or takes it out. Where it stands in those of the
    /// destination, it is found there.
    fn index(&mut self, key: &EntityKey, is_in: bool) {
        let Some(Existence::Live(state)) = self.slots.get(key).map(|slot| &slot.version.existence) else {
            return;
        };
        let keys = self.schema.keys(key, state).filter(|(_, fields, values)| !self.had(key, fields, values));
        let keys: Vec<_> =
            keys.map(|(number, _, values)| (key.collection().clone(), number, values)).collect();
        let targets = self.schema.targets(key, state).filter(|(field, ..)| !self.referred(key, field));
        let targets: Vec<_> =
            targets.map(|(field, _, to)| (to, key.collection().clone(), field.to_owned())).collect();
        for place in keys {
            moved(&mut self.unique, place, key.id(), is_in);
        }
        for place in targets {
            moved(&mut self.references, place, key.id(), is_in);
        }
    }

    /// Who lives with these values in the unique key of this number.
    pub(super) fn holding(
        &self,
        collection: &CollectionName,
        number: usize,
        values: &[String],
    ) -> Result<Vec<EntityKey>, F::Error> {
        let place = (collection.clone(), number, values.to_vec());
        let fields =
            self.schema.collection(collection).and_then(|declared| declared.unique_keys().nth(number));
        let has = |slot: &Slot| {
            let live = slot.version.existence.live();
            live.zip(fields).is_some_and(|(state, fields)| has_values(state, fields, values))
        };
        let there = named(collection, self.files.holders(collection, number, values)?);
        let there = there.filter(|key| self.slots.get(key).is_none_or(has));
        Ok(both(there, named(collection, self.unique.get(&place).into_iter().flatten().copied())))
    }

    /// Who lives and refers to an entity by a field.
    pub(super) fn referring(
        &self,
        to: &EntityKey,
        from: &CollectionName,
        field: &str,
    ) -> Result<Vec<EntityKey>, F::Error> {
        let place = (to.clone(), from.clone(), field.to_owned());
        let there = named(from, self.files.referrers(to, from, field)?);
        let there = there.filter(|key| self.referred(key, field));
        Ok(both(there, named(from, self.references.get(&place).into_iter().flatten().copied())))
    }

    /// With which file an entity came to have its unique key of this number.
    pub(super) fn first(&self, key: &EntityKey, number: usize) -> usize {
        self.slots.get(key).and_then(|slot| slot.firsts.get(number)).copied().unwrap_or(0)
    }

    /// Whether both the destination and a source have it.
    pub(super) fn is_shared(&self, key: &EntityKey) -> Result<bool, F::Error> {
        let was_live = match self.slots.get(key) {
            Some(slot) => slot.was.version.existence.is_live(),
            None => self.files.known(0, key)?.version.existence.is_live(),
        };
        for file in 1..=self.files.sources() {
            if was_live && self.files.known(file, key)?.version.existence.is_live() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn named(
    collection: &CollectionName,
    ids: impl IntoIterator<Item = Uuid>,
) -> impl Iterator<Item = EntityKey> {
    ids.into_iter().filter_map(|id| EntityKey::new(collection.clone(), id).ok())
}

/// Those of the destination, and those that are held here, in their order.
fn both(there: impl Iterator<Item = EntityKey>, here: impl Iterator<Item = EntityKey>) -> Vec<EntityKey> {
    there.chain(here).collect::<BTreeSet<_>>().into_iter().collect()
}

fn moved<K: Eq + Hash>(index: &mut HashMap<K, BTreeSet<Uuid>>, place: K, id: Uuid, is_in: bool) {
    let ids = index.entry(place).or_default();
    if is_in {
        ids.insert(id);
    } else {
        ids.remove(&id);
    }
}

impl<F: Files> World for Board<'_, F> {
    type Error = F::Error;

    fn live(&self, key: &EntityKey) -> Result<Option<State>, F::Error> {
        Ok(self.version(key)?.existence.live().cloned())
    }

    fn holders(
        &self,
        collection: &CollectionName,
        fields: &[String],
        values: &[String],
    ) -> Result<Vec<Uuid>, F::Error> {
        match number_of(self.schema, collection, fields) {
            Some(number) => Ok(self.holding(collection, number, values)?.iter().map(EntityKey::id).collect()),
            None => Ok(Vec::new()),
        }
    }

    fn referrers(&self, to: &EntityKey, from: &CollectionName, field: &str) -> Result<Vec<Uuid>, F::Error> {
        Ok(self.referring(to, from, field)?.iter().map(EntityKey::id).collect())
    }

    fn had(&self, key: &EntityKey, fields: &[String], values: &[String]) -> Result<bool, F::Error> {
        Ok(self.had(key, fields, values))
    }

    fn file(&self, key: &EntityKey, fields: &[String], _: &[String]) -> Result<usize, F::Error> {
        let number = number_of(self.schema, key.collection(), fields);
        Ok(number.map_or(0, |number| self.first(key, number)))
    }
}

fn number_of(schema: &Schema, collection: &CollectionName, fields: &[String]) -> Option<usize> {
    schema.collection(collection)?.unique_keys().position(|key| key == fields)
}
