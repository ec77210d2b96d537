//! One file of a merge, as it is read; and all of them together.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::thread::Scope;

use redb::ReadableTable;
use uuid::Uuid;

use crate::algebra::{
    Base, CollectionName, EntityKey, Epoch, Generation, Held, Knowledge, Millis, ReplicaId, Stamp, Stamps,
    Version,
};
use crate::codec::frame::{self, FrameKind};
use crate::codec::kept::{MergedRecord, SeenRecord, VersionRecord};
use crate::journal::error::engine;
use crate::journal::tables::{damaged, entity_bytes, entity_of};
use crate::journal::{self, Inner};
use crate::merge::{Derived, Files, Known, Seen};
use crate::replica::Bytes;
use crate::replica::ahead::Ahead;
use crate::replica::error::Error;
use crate::replica::view::{View, version_of};
use crate::replica::walk::Walked;

/// One file of a merge.
pub(super) struct Side<'v, 's, R> {
    pub(super) view: &'v View<'s, R>,
    pub(super) merged: Option<R>,
    pub(super) id: ReplicaId,
    pub(super) generation: Option<Generation>,
    /// Its name for people.
    pub(super) place: String,
    /// Whose handle is told if its engine gives up.
    pub(super) inner: &'v Inner,
}

impl<R: ReadableTable<Bytes, Bytes>> Side<'_, '_, R> {
    /// All that it knows, read by a thread of its own; if the engine gives up over that, its handle is told.
    pub(super) fn read_ahead<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
    ) -> Result<Ahead, journal::Error>
    where
        R: Sync,
    {
        Ahead::of(scope, Walked { tables: self.view.tables(), inner: Some(self.inner) })
    }

    /// What merges left of an entity.
    pub(super) fn record(&self, key: &EntityKey) -> Result<MergedRecord, journal::Error> {
        let Some(table) = &self.merged else { return Ok(MergedRecord::default()) };
        let place = entity_bytes(key);
        let found = table.get(place.as_slice()).map_err(engine)?;
        found.map_or_else(|| Ok(MergedRecord::default()), |found| merged_of(&place, found.value()))
    }

    /// The entities of which more is known than what is seen: by their deleters, or of whom they are a part.
    fn marked(&self) -> Result<Vec<EntityKey>, journal::Error> {
        let mut found = Vec::new();
        let Some(table) = &self.merged else { return Ok(found) };
        for row in table.iter().map_err(engine)? {
            let (place, value) = row.map_err(engine)?;
            let record = merged_of(place.value(), value.value())?;
            let is_derived =
                record.returned.is_some() || !record.dropped.is_empty() || !record.redirected.is_empty();
            if record.seen.is_some() || record.heir.is_some() || record.is_alone || is_derived {
                found.push(entity_of(place.value()).map_err(damaged("what merges left"))?);
            }
        }
        Ok(found)
    }

    pub(super) fn known(&self, key: &EntityKey) -> Result<Known, journal::Error> {
        Ok(known_as(self.view.visible(key)?, self.record(key)?))
    }
}

/// What a file knows of what it sees so.
fn known_as(version: Version, record: MergedRecord) -> Known {
    let MergedRecord { seen, returned, dropped, redirected, .. } = record;
    let derived = Derived { returned: returned.map(stamp_of), dropped, redirected };
    Known { version, seen: seen.map(seen_of), derived }
}

/// All files of a merge.
pub(super) struct Sides<'v, 's, R, S> {
    pub(super) dest: Side<'v, 's, R>,
    pub(super) sources: &'v [Side<'v, 's, S>],
    /// The record that was read last: several things are asked of one entity in a row.
    pub(super) last: RefCell<BTreeMap<usize, (EntityKey, MergedRecord)>>,
}

impl<R: ReadableTable<Bytes, Bytes>, S: ReadableTable<Bytes, Bytes>> Sides<'_, '_, R, S> {
    fn source(&self, file: usize) -> Option<&Side<'_, '_, S>> {
        file.checked_sub(1).and_then(|place| self.sources.get(place))
    }

    /// An error of one of the files.
    pub(super) fn of_source(&self, file: usize, error: journal::Error) -> Error {
        match self.source(file) {
            Some(source) => super::of_source(source.place.clone(), error.into()),
            None => error.into(),
        }
    }

    /// Asks one of the files; if the engine gives up over a source, the handle of that is told.
    fn ask<T>(
        &self,
        file: usize,
        of_dest: impl FnOnce(&Side<'_, '_, R>) -> Result<T, journal::Error>,
        of_source: impl FnOnce(&Side<'_, '_, S>) -> Result<T, journal::Error>,
    ) -> Result<T, Error> {
        let asked = match self.source(file) {
            Some(source) => source.inner.shielded(|| of_source(source)),
            None => of_dest(&self.dest),
        };
        asked.map_err(|error| self.of_source(file, error))
    }

    /// Of which entities files know more than what is seen: which ones.
    pub(super) fn marked(&self) -> Result<BTreeMap<EntityKey, BTreeSet<usize>>, Error> {
        let mut found: BTreeMap<EntityKey, BTreeSet<usize>> = BTreeMap::new();
        for key in self.dest.marked()? {
            found.entry(key).or_default();
        }
        for file in 1..=self.sources.len() {
            for key in self.ask(file, |dest| dest.marked(), |source| source.marked())? {
                found.entry(key).or_default().insert(file);
            }
        }
        Ok(found)
    }

    /// What a file knows of an entity that it sees so.
    pub(super) fn known_as(&self, file: usize, key: &EntityKey, version: Version) -> Result<Known, Error> {
        let is_live = version.existence.is_live();
        let known = known_as(version, self.record(file, key)?);
        if is_live {
            return Ok(known);
        }
        match self.base(file, key)?.0 {
            Base::Dead(Held { epoch: Some(epoch), state: Knowledge::Nothing }) => {
                Ok(known.of_unknown_state(&self.rows_until(epoch, key)?))
            }
            Base::Dead(_) | Base::Live(_) | Base::Absent | Base::Unknown => Ok(known),
        }
    }

    /// The earlier of two files' rows of one authority: whoever has the later one had it. Where both have one row, it is as
    /// whoever knows more has it.
    fn earlier(&self, key: &EntityKey, rows: &[(usize, (Base, Stamps))]) -> Result<Option<Version>, Error> {
        let first = rows.iter().map(|(_, (base, _))| base.epoch()).min();
        let mut found = None;
        for (file, (base, stamps)) in rows.iter().filter(|(_, (base, _))| base.epoch() == first.flatten()) {
            let mut row = version_of(base, stamps.clone());
            if !matches!(base, Base::Dead(held) if held.state == Knowledge::Nothing) {
                return Ok(Some(row));
            }
            // A tombstone whose state is not known: who has not brought it back perhaps sees the state that it had before.
            let seen = self.known(*file, key)?.version;
            if seen.existence.is_live() {
                row.stamps.fields.clear();
                found = found.or(Some(row));
            } else {
                found = Some(seen);
            }
        }
        Ok(found)
    }

    /// The rows of one authority that the files have of an entity, up to an epoch.
    fn rows_until(&self, epoch: Epoch, key: &EntityKey) -> Result<Vec<Version>, Error> {
        let mut rows = Vec::new();
        for file in (0..=self.sources.len()).filter(|file| *file == 0 || self.is_of_one_authority(*file)) {
            let (base, stamps) = self.base(file, key)?;
            if base.epoch().is_some_and(|held| held <= epoch) {
                rows.push(version_of(&base, stamps));
            }
        }
        Ok(rows)
    }

    /// What the authority is known to have had, with its epoch, of one file.
    pub(super) fn base(&self, file: usize, key: &EntityKey) -> Result<(Base, Stamps), Error> {
        self.ask(file, |dest| dest.view.base(key), |source| source.view.base(key))
    }

    /// Whether a source and the destination have rows of one life of one authority's data, as far as is known: who only
    /// ever sent something has not been told which one it is.
    pub(super) fn is_of_one_authority(&self, file: usize) -> bool {
        let there = self.source(file).and_then(|source| source.generation);
        there.is_none() || there == self.dest.generation
    }

    pub(super) fn record(&self, file: usize, key: &EntityKey) -> Result<MergedRecord, Error> {
        if let Some((_, record)) = self.last.borrow().get(&file).filter(|(last, _)| last == key) {
            return Ok(record.clone());
        }
        let record = self.ask(file, |dest| dest.record(key), |source| source.record(key))?;
        self.last.borrow_mut().insert(file, (key.clone(), record.clone()));
        Ok(record)
    }
}

impl<R: ReadableTable<Bytes, Bytes>, S: ReadableTable<Bytes, Bytes>> Files for Sides<'_, '_, R, S> {
    type Error = Error;

    fn sources(&self) -> usize {
        self.sources.len()
    }

    fn are_apart(&self) -> bool {
        let mut ids: Vec<ReplicaId> = self.sources.iter().map(|source| source.id).collect();
        ids.push(self.dest.id);
        ids.sort();
        ids.windows(2).all(|pair| !matches!(pair, [one, other] if one == other))
    }

    fn known(&self, file: usize, key: &EntityKey) -> Result<Known, Error> {
        let version = self.ask(file, |dest| dest.view.visible(key), |source| source.view.visible(key))?;
        self.known_as(file, key, version)
    }

    fn heir(&self, key: &EntityKey) -> Result<Option<EntityKey>, Error> {
        for file in 0..=self.sources.len() {
            let record = self.record(file, key)?;
            if record.is_alone {
                return Ok(None);
            }
            if let Some(id) = record.heir {
                return Ok(EntityKey::new(key.collection().clone(), Uuid::from_bytes(id)).ok());
            }
        }
        Ok(None)
    }

    fn commons(&self, file: usize, key: &EntityKey) -> Result<Vec<Version>, Error> {
        let Some(source) = self.source(file) else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        if self.is_of_one_authority(file) {
            let rows = [(0, self.base(0, key)?), (file, self.base(file, key)?)];
            let with_epoch =
                rows.into_iter().filter(|(_, (base, _))| base.epoch().is_some_and(|epoch| epoch.0 > 0));
            let rows: Vec<(usize, (Base, Stamps))> = with_epoch.collect();
            if rows.len() == 2 {
                found.extend(self.earlier(key, &rows)?);
            }
        }
        for (record, whose) in [(self.record(0, key)?, source.id), (self.record(file, key)?, self.dest.id)] {
            let given = record.given.into_iter().find(|(by, _)| *by == whose.0.into_bytes());
            found.extend(given.map(|(_, version)| version_in(key, version)).transpose()?);
        }
        Ok(found)
    }

    fn holders(
        &self,
        collection: &CollectionName,
        number: usize,
        values: &[String],
    ) -> Result<Vec<Uuid>, Error> {
        let found = self.dest.view.holders(collection, number, values)?;
        Ok(found.iter().map(EntityKey::id).collect())
    }

    fn referrers(&self, to: &EntityKey, from: &CollectionName, field: &str) -> Result<Vec<Uuid>, Error> {
        let found = self.dest.view.children(to, from, field)?;
        Ok(found.iter().map(EntityKey::id).collect())
    }
}

/// What is known of an entity's deleters, as it is stored.
pub(super) fn seen_record(seen: &Seen) -> SeenRecord {
    SeenRecord {
        at: seen.at.map(stamp_parts),
        created: seen.created.map(|at| at.0),
        fields: seen.fields.iter().map(|(name, at)| (name.clone(), at.map(|at| at.0))).collect(),
    }
}

/// A stamp as it is stored; the nil replica stands for none.
pub(super) fn stamp_parts(stamp: Stamp) -> (u64, [u8; 16]) {
    (stamp.at.0, stamp.replica.map_or([0; 16], |replica| replica.0.into_bytes()))
}

fn stamp_of((at, replica): (u64, [u8; 16])) -> Stamp {
    let replica = Uuid::from_bytes(replica);
    Stamp { at: Millis(at).min(Millis::MAX), replica: (!replica.is_nil()).then_some(ReplicaId(replica)) }
}

fn seen_of(record: SeenRecord) -> Seen {
    let millis = |at: u64| Millis(at).min(Millis::MAX);
    Seen {
        at: record.at.map(stamp_of),
        created: record.created.map(millis),
        fields: record.fields.into_iter().map(|(name, at)| (name, at.map(millis))).collect(),
    }
}

/// What merges left of an entity, as it stands in its place.
pub(super) fn merged_of(place: &[u8], bytes: &[u8]) -> Result<MergedRecord, journal::Error> {
    let name = || entity_of(place).map_or_else(|_| "an entity".to_owned(), |key| key.to_string());
    frame::open_record(FrameKind::Merged, place, bytes)
        .map_err(|error| damaged(format!("what merges left of {}", name()))(error))
}

pub(super) fn version_in(key: &EntityKey, record: VersionRecord) -> Result<Version, Error> {
    Ok(record.version().map_err(damaged(format!("what was given of {key}")))?)
}
