//! What the program sees of an entity, read and written inside one transaction.
//!
//! | entity | stored |
//! |---|---|
//! | with nothing unsent | its base, which is what the program sees |
//! | with something unsent | its base, and beside it what the program sees |
//! | deleted here, never known to the authority | its last state, for a revival |
//!
//! Invariant: the indexes hold just the entities that the program sees live.

use std::cell::RefCell;
use std::collections::BTreeSet;

use redb::{AccessGuard, ReadOnlyTable, ReadableTable, ReadableTableMetadata, Table, WriteTransaction};
use uuid::Uuid;

use super::index::{Index, ranged, reference_prefix, unique_prefix, with_id};
use super::walk::require_order;
use crate::algebra::{
    Base, CollectionName, Effect, EntityKey, Existence, ReplicaId, Schema, Stamps, State, Version,
};
use crate::codec::frame::{self, FrameKind};
use crate::codec::kept::LocalRecord;
use crate::codec::records::BaseRecord;
use crate::journal::Error;
use crate::journal::error::engine;
use crate::journal::tables::{BASE, LOCAL, REFERENCES, Snapshot, UNIQUE, damaged, entity_bytes, entity_of};

type Bytes = &'static [u8];

/// Why an entity looks different now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The program changed it.
    Local,
    /// It was changed elsewhere.
    Remote,
    /// It was changed elsewhere, and what is unsent here was laid on top of that.
    Rebased,
    /// A conflict was opened, decided or resolved.
    Conflict,
}

/// What the program sees of an entity where something of it is stored beside its base.
#[derive(Clone, Debug)]
pub(super) struct Local {
    pub(super) version: Version,
    pub(super) is_kept: bool,
}

/// The tables, for reading.
pub(super) struct View<'s, R> {
    base: R,
    local: R,
    unique: Index<R>,
    references: Index<R>,
    pub(super) schema: &'s Schema,
    /// Whether an entity without a base is absent rather than unknown.
    is_complete: bool,
    /// What changed, and why.
    pub(super) changed: Vec<(EntityKey, Cause)>,
    pub(super) has_written: bool,
    /// Whether something is stored beside the bases: mostly nothing is, and then nothing need be looked for.
    has_local: bool,
    /// Where nothing is stored beside a base any more, once this is written: all at once is cheaper than one by one.
    dropped: BTreeSet<Vec<u8>>,
    /// The base that was read last: one entity is looked at several times in a row.
    last: RefCell<Option<(EntityKey, (Base, Stamps))>>,
}

impl<'s> View<'s, ReadOnlyTable<Bytes, Bytes>> {
    pub(super) fn of(snapshot: &Snapshot, schema: &'s Schema, is_complete: bool) -> Result<Self, Error> {
        let tables = [BASE, LOCAL, UNIQUE, REFERENCES];
        let [base, local, unique, references] = tables.map(|table| snapshot.keyed(table));
        View::new([base?, local?, unique?, references?], schema, is_complete)
    }
}

impl<'s, R: ReadableTable<Bytes, Bytes>> View<'s, R> {
    fn new(
        [base, local, unique, references]: [R; 4],
        schema: &'s Schema,
        is_complete: bool,
    ) -> Result<Self, Error> {
        Ok(View {
            has_local: !local.is_empty().map_err(engine)?,
            dropped: BTreeSet::new(),
            base,
            local,
            unique: Index::new(unique),
            references: Index::new(references),
            schema,
            is_complete,
            changed: Vec::new(),
            has_written: false,
            last: RefCell::default(),
        })
    }

    /// What the authority is known to hold, with its fields' times.
    pub(super) fn base(&self, key: &EntityKey) -> Result<(Base, Stamps), Error> {
        if let Some((_, known)) = self.last.borrow().as_ref().filter(|(last, _)| last == key) {
            return Ok(known.clone());
        }
        let known = self.read_base(key)?;
        self.last.replace(Some((key.clone(), known.clone())));
        Ok(known)
    }

    fn read_base(&self, key: &EntityKey) -> Result<(Base, Stamps), Error> {
        let place = entity_bytes(key);
        match self.base.get(place.as_slice()).map_err(engine)? {
            None if self.is_complete => Ok((Base::Absent, Stamps::default())),
            None => Ok((Base::Unknown, Stamps::default())),
            Some(guard) => base_of(&place, guard.value()),
        }
    }

    /// Whether anything may be unsent, or remembered beside its base.
    pub(super) fn has_local(&self) -> bool {
        self.has_local
    }

    pub(super) fn local(&self, key: &EntityKey) -> Result<Option<Local>, Error> {
        if !self.has_local {
            return Ok(None);
        }
        let place = entity_bytes(key);
        if self.dropped.contains(&place) {
            return Ok(None);
        }
        let Some(guard) = self.local.get(place.as_slice()).map_err(engine)? else { return Ok(None) };
        local_of(&place, guard.value()).map(Some)
    }

    /// From now on what has no base is absent.
    pub(super) fn complete(&mut self) {
        self.is_complete = true;
        self.last.replace(None);
    }

    /// What the program sees.
    pub(super) fn visible(&self, key: &EntityKey) -> Result<Version, Error> {
        match self.local(key)? {
            Some(local) => Ok(local.version),
            None => self.base(key).map(|(base, stamps)| version_of(&base, stamps)),
        }
    }

    /// The entities with something unsent.
    pub(super) fn unsent(&self) -> Result<Vec<EntityKey>, Error> {
        let mut found = Vec::new();
        for row in self.local.iter().map_err(engine)? {
            let (place, value) = row.map_err(engine)?;
            let is_dropped = self.dropped.contains(place.value());
            if !is_dropped && !local_of(place.value(), value.value())?.is_kept {
                found.push(entity_of(place.value()).map_err(damaged("what is unsent"))?);
            }
        }
        Ok(found)
    }

    /// Every entity of which anything is stored, each once, in the order of their keys; of one collection, or of
    /// all.
    pub(super) fn keys(&self, collection: Option<&CollectionName>) -> Result<Vec<EntityKey>, Error> {
        let mut found = BTreeSet::new();
        for (table, dropped) in [(&self.base, None), (&self.local, Some(&self.dropped))] {
            let prefix = collection.map_or_else(Vec::new, |name| {
                let mut prefix = name.as_str().as_bytes().to_vec();
                prefix.push(0);
                prefix
            });
            let mut before: Option<AccessGuard<'_, Bytes>> = None;
            for row in ranged(table, &prefix)? {
                let (place, _) = row.map_err(engine)?;
                // The key of an entity may be damaged so that nobody finds it by what it was.
                require_order(before.as_ref(), &place)?;
                if !dropped.is_some_and(|dropped| dropped.contains(place.value())) {
                    found.insert(entity_of(place.value()).map_err(damaged("an entity"))?);
                }
                before = Some(place);
            }
        }
        Ok(found.into_iter().collect())
    }

    /// Where what is known of entities stands: as the authority has it, and what is seen beside that.
    pub(super) fn tables(&self) -> (&R, &R) {
        (&self.base, &self.local)
    }

    /// How many places the indexes have.
    pub(super) fn indexed(&self) -> Result<u64, Error> {
        Ok(self.unique.len()? + self.references.len()?)
    }

    /// How many places of the indexes an entity with this state has.
    pub(super) fn places(&self, key: &EntityKey, state: &State) -> u64 {
        (self.schema.keys(key, state).count() + self.schema.targets(key, state).count()) as u64
    }

    /// The live entities of a collection that have these values in its unique key of this number.
    pub(super) fn holders(
        &self,
        collection: &CollectionName,
        number: usize,
        values: &[String],
    ) -> Result<Vec<EntityKey>, Error> {
        named(collection, self.unique.found(&unique_prefix(collection, number, values))?)
    }

    /// The live entities of a collection that refer to another one by a field.
    pub(super) fn children(
        &self,
        to: &EntityKey,
        from: &CollectionName,
        field: &str,
    ) -> Result<Vec<EntityKey>, Error> {
        named(from, self.references.found(&reference_prefix(to, from, field))?)
    }

    /// Whether an entity is found by its values in a unique key of this number.
    pub(super) fn is_holder(&self, key: &EntityKey, number: usize, values: &[String]) -> Result<bool, Error> {
        self.unique.has(&with_id(unique_prefix(key.collection(), number, values), key.id()))
    }

    /// Whether an entity is found by what it refers to by a field.
    pub(super) fn is_child(&self, key: &EntityKey, field: &str, to: &EntityKey) -> Result<bool, Error> {
        self.references.has(&with_id(reference_prefix(to, key.collection(), field), key.id()))
    }
}

impl<'t, 's> View<'s, Table<'t, Bytes, Bytes>> {
    pub(super) fn within(
        txn: &'t WriteTransaction,
        schema: &'s Schema,
        is_complete: bool,
    ) -> Result<Self, Error> {
        let tables = [BASE, LOCAL, UNIQUE, REFERENCES];
        let [base, local, unique, references] = tables.map(|table| txn.open_table(table).map_err(engine));
        View::new([base?, local?, unique?, references?], schema, is_complete)
    }

    /// Notes what the program sees of an entity with something unsent.
    pub(super) fn show(
        &mut self,
        key: &EntityKey,
        before: &Version,
        now: &Version,
        cause: Cause,
    ) -> Result<(), Error> {
        self.put_local(key, Some(&Local { version: now.clone(), is_kept: false }))?;
        self.moved(key, &before.existence, &now.existence, cause)
    }

    /// Notes what the authority holds of an entity and what is unsent on top of it.
    pub(super) fn lay(
        &mut self,
        key: &EntityKey,
        base: &Base,
        stamps: &Stamps,
        unsent: Option<(&Effect, ReplicaId)>,
        cause: Cause,
    ) -> Result<(), Error> {
        self.lay_with(key, base, stamps, unsent, cause, false)
    }

    /// As [`View::lay`], after a delete of this replica's was taken, perhaps: then what is remembered of the entity is
    /// what was seen here, which need not be what the authority had.
    pub(super) fn lay_with(
        &mut self,
        key: &EntityKey,
        base: &Base,
        stamps: &Stamps,
        unsent: Option<(&Effect, ReplicaId)>,
        cause: Cause,
        is_own_delete: bool,
    ) -> Result<(), Error> {
        let before = self.visible(key)?;
        let mut under = version_of(base, stamps.clone());
        let tells_tombstone = matches!(base, Base::Dead(held) if held.state.state().is_some());
        if matches!(under.existence, Existence::Dead(_)) && !tells_tombstone {
            // What was known of it there is nearer to what was deleted than what gave way to the deletion.
            let held = self.base(key)?.0;
            let known = match &held {
                Base::Live(held) | Base::Dead(held) if !is_own_delete => held.state.state(),
                Base::Live(_) | Base::Dead(_) | Base::Absent | Base::Unknown => None,
            };
            if let Some(last) = known.or_else(|| before.existence.state()) {
                under.existence = Existence::Dead(last.clone());
            }
        }
        let now = unsent.map_or_else(|| under.clone(), |(effect, writer)| under.after(effect, writer));
        self.put_base(key, base, stamps)?;
        let local = match (unsent, &before.existence) {
            (Some(_), _) => Some(Local { version: now.clone(), is_kept: false }),
            // Its last state is known nowhere else.
            (None, Existence::Dead(_)) if matches!(base, Base::Absent | Base::Unknown) => {
                Some(Local { version: before.clone(), is_kept: true })
            }
            (None, Existence::Dead(_)) if is_own_delete && matches!(base, Base::Dead(_)) => {
                (before.existence != now.existence).then(|| Local { version: before.clone(), is_kept: true })
            }
            (None, _) if matches!(base, Base::Dead(_)) && !tells_tombstone => {
                Some(Local { version: now.clone(), is_kept: true })
            }
            (None, _) => None,
        };
        let now = local.as_ref().map_or(&now, |local| &local.version).existence.clone();
        self.put_local(key, local.as_ref())?;
        self.moved(key, &before.existence, &now, cause)
    }

    /// As [`View::lay`], of what became just what is seen: nothing moves.
    pub(super) fn lay_as_seen(&mut self, key: &EntityKey, base: &Base, stamps: &Stamps) -> Result<(), Error> {
        self.put_base(key, base, stamps)?;
        self.put_local(key, None)
    }

    /// Notes what a merge came to, of which something is unsent or not.
    pub(super) fn merged(
        &mut self,
        key: &EntityKey,
        before: &Version,
        now: &Version,
        is_unsent: bool,
    ) -> Result<(), Error> {
        let (base, stamps) = self.base(key)?;
        let is_known = !is_unsent && version_of(&base, stamps) == *now;
        let local = Local { version: now.clone(), is_kept: !is_unsent };
        self.put_local(key, (!is_known).then_some(&local))?;
        self.moved(key, &before.existence, &now.existence, Cause::Local)
    }

    pub(super) fn put_base(&mut self, key: &EntityKey, base: &Base, stamps: &Stamps) -> Result<(), Error> {
        self.has_written = true;
        self.last.replace(None);
        let place = entity_bytes(key);
        match BaseRecord::of(base, Some(stamps)) {
            Some(record) if !(self.is_complete && *base == Base::Absent) => {
                let framed = frame::record(FrameKind::Base, &place, &record)
                    .map_err(|error| damaged(format!("the base of {key}"))(error))?;
                self.base.insert(place.as_slice(), framed.as_slice()).map_err(engine)?;
            }
            Some(_) | None => drop(self.base.remove(place.as_slice()).map_err(engine)?),
        }
        Ok(())
    }

    fn put_local(&mut self, key: &EntityKey, local: Option<&Local>) -> Result<(), Error> {
        if local.is_none() && !self.has_local {
            return Ok(());
        }
        self.has_written = true;
        self.has_local = true;
        let place = entity_bytes(key);
        match local {
            Some(local) => {
                let record = LocalRecord::of(&local.version, local.is_kept);
                let framed = frame::record(FrameKind::Local, &place, &record)
                    .map_err(|error| damaged(format!("what is seen of {key}"))(error))?;
                self.local.insert(place.as_slice(), framed.as_slice()).map_err(engine)?;
                self.dropped.remove(&place);
            }
            None => drop(self.dropped.insert(place)),
        }
        Ok(())
    }

    /// Empties the indexes.
    pub(super) fn clear_indexes(&mut self) -> Result<(), Error> {
        self.has_written = true;
        self.unique.clear()?;
        self.references.clear()
    }

    /// Writes what the transaction moved in the indexes, and drops what nobody sees any more.
    pub(super) fn write(&mut self) -> Result<(), Error> {
        let dropped = std::mem::take(&mut self.dropped);
        if dropped.len() as u64 * 2 > self.local.len().map_err(engine)? {
            self.local.retain(|place, _| !dropped.contains(place)).map_err(engine)?;
        } else {
            for place in &dropped {
                self.local.remove(place.as_slice()).map_err(engine)?;
            }
        }
        self.unique.write()?;
        self.references.write()
    }

    /// Moves an entity in the indexes, and tells of it.
    fn moved(
        &mut self,
        key: &EntityKey,
        before: &Existence,
        now: &Existence,
        cause: Cause,
    ) -> Result<(), Error> {
        if before == now {
            return Ok(());
        }
        self.changed.push((key.clone(), cause));
        if cause != Cause::Local && sabotaged!(index_not_moved) {
            return Ok(());
        }
        self.index(key, before, false)?;
        self.index(key, now, true)
    }

    /// Puts an entity into the indexes, or takes it out.
    pub(super) fn index(&mut self, key: &EntityKey, existence: &Existence, is_in: bool) -> Result<(), Error> {
        let Existence::Live(state) = existence else { return Ok(()) };
        for (number, _, values) in self.schema.keys(key, state) {
            let place = with_id(unique_prefix(key.collection(), number, &values), key.id());
            self.unique.put(place, is_in)?;
        }
        for (field, _, to) in self.schema.targets(key, state) {
            let place = with_id(reference_prefix(&to, key.collection(), field), key.id());
            self.references.put(place, is_in)?;
        }
        Ok(())
    }
}

/// What the authority is known to hold, as it stands in its place.
pub(super) fn base_of(place: &[u8], bytes: &[u8]) -> Result<(Base, Stamps), Error> {
    let name = || entity_of(place).map_or_else(|_| "a base".to_owned(), |key| format!("the base of {key}"));
    frame::open_record::<BaseRecord>(FrameKind::Base, place, bytes)
        .and_then(BaseRecord::base_and_stamps)
        .map_err(|error| damaged(name())(error))
}

/// What is seen beside that, as it stands in its place.
pub(super) fn local_of(place: &[u8], bytes: &[u8]) -> Result<Local, Error> {
    let name = || entity_of(place).map_or_else(|_| "an entity".to_owned(), |key| key.to_string());
    let name = || format!("what is seen of {}", name());
    let record: LocalRecord =
        frame::open_record(FrameKind::Local, place, bytes).map_err(|error| damaged(name())(error))?;
    let is_kept = record.is_kept;
    Ok(Local { version: record.version().map_err(|error| damaged(name())(error))?, is_kept })
}

fn named(collection: &CollectionName, ids: Vec<Uuid>) -> Result<Vec<EntityKey>, Error> {
    let keys = ids.into_iter().map(|id| EntityKey::new(collection.clone(), id));
    keys.collect::<Result<_, _>>().map_err(|source| Error::Invalid { source })
}

/// A base as a version.
pub(super) fn version_of(base: &Base, stamps: Stamps) -> Version {
    let existence = match base {
        Base::Unknown | Base::Absent => Existence::Absent,
        Base::Live(held) => Existence::Live(held.state.state().cloned().unwrap_or_else(State::empty)),
        Base::Dead(held) => Existence::Dead(held.state.state().cloned().unwrap_or_else(State::empty)),
    };
    Version { existence, stamps }
}
