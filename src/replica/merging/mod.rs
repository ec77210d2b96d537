//! Merging other replicas into this one.
//!
//! ```text
//! crew 1 ──┐                   same ids, clashes,
//! crew 2 ──┼─ what differs ──▶ what was decided  ──▶ one transaction here: what is seen, what is pending,
//! crew 3 ──┘                   (crate::merge)        what lost, what deleters had seen
//! ```
//!
//! A source is read as it was last committed, and never written. Memory holds what differs; all else is looked up.

mod report;
mod side;
mod write;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use redb::{ReadOnlyTable, ReadableTable};
use uuid::Uuid;

use super::differ::{Failed, compare};
use super::error::Error;
use super::keep;
use super::view::View;
use super::{Bytes, Replica};
use crate::algebra::{EntityKey, Generation, Millis, ReplicaId, Schema};
use crate::journal;
use crate::journal::Durability;
use crate::journal::error::engine;
use crate::journal::tables::MERGED;
use crate::merge::{Board, Files, Known, Merging, Resolutions};

pub use report::{Checked, Merged, MergedEntity};
use side::{Side, Sides};

type ReadTable = ReadOnlyTable<Bytes, Bytes>;
/// The sources, opened.
type Opened<'v, 's> = Vec<Side<'v, 's, ReadTable>>;

impl Replica {
    /// Looks what merging these replicas into this one would come to, with these decisions; changes nothing. The sources
    /// are merged in the order in which they are given, of which two that clash with each other take notice.
    ///
    /// `on_read` is told now and then how many entities were looked at.
    ///
    /// # Errors
    /// A source that is this replica, or is given twice; one of another schema; otherwise what the journals say.
    pub fn check_merge(
        &self,
        sources: &[&Replica],
        resolutions: &Resolutions,
        on_read: &mut dyn FnMut(u64),
    ) -> Result<Checked, Error> {
        self.require_mergeable(sources)?;
        let editor = (self.id(), (self.journal.inner.options.clock)());
        let on_read = RefCell::new(on_read);
        nested(sources, Vec::new(), &mut |sources| {
            let mut checked = Ok(Checked::default());
            self.read(|snapshot, view| {
                let mut dest = read_side(self, snapshot, view)?;
                dest.generation = dest.generation.or(generation_of(&sources));
                let sides = Sides { dest, sources: &sources, last: RefCell::default() };
                checked = (|| {
                    let differing = differing(&sides, &mut **on_read.borrow_mut())?;
                    let (board, merging) = merged_on(&sides, &self.schema, editor, &differing, resolutions)?;
                    Ok(Checked::of(&board, merging))
                })();
                Ok(())
            })?;
            checked
        })
    }

    /// Merges these replicas into this one, in the order in which they are given, all in one transaction. What changed
    /// here is pending, as one group; a source is as it was.
    ///
    /// `on_read` is told now and then how many entities were looked at.
    ///
    /// # Errors
    /// [`Error::MergeRefused`] with every clash that nobody decided and every decision that cannot be carried out;
    /// otherwise as [`Replica::check_merge`].
    pub fn merge(
        &self,
        sources: &[&Replica],
        resolutions: &Resolutions,
        on_read: &mut dyn FnMut(u64),
    ) -> Result<Merged, Error> {
        self.require_mergeable(sources)?;
        let now = (self.journal.inner.options.clock)();
        let own = self.id();
        let on_read = RefCell::new(on_read);
        nested(sources, Vec::new(), &mut |sources| {
            self.append(Durability::Durable, |within, view| {
                let merged = within.txn.open_table(MERGED).map_err(engine)?;
                let mut record = keep::record_in(within.txn)?.unwrap_or_default();
                if record.generation.is_none()
                    && let Some(generation) = generation_of(&sources)
                {
                    // The rows that it may take over are of that one: should it meet another, it starts over.
                    record.generation = Some(generation.0.into_bytes());
                    keep::put_record(within.txn, &record)?;
                }
                let generation = record.generation.map(|id| Generation(Uuid::from_bytes(id)));
                let place = self.journal.inner.place();
                let dest = Side { view: &*view, merged: Some(merged), id: own, generation, place };
                let sides = Sides { dest, sources: &sources, last: RefCell::default() };
                let differing = differing(&sides, &mut **on_read.borrow_mut())?;
                let (board, merging) = merged_on(&sides, &self.schema, (own, now), &differing, resolutions)?;
                if !merging.refusals.is_empty() {
                    return Err(Error::MergeRefused { refusals: merging.refusals.into_iter().collect() });
                }
                // While a bunch is open, its answer comes before anything else that is known of the authority.
                let takes_bases = journal::tables::state_in(within.txn)?.open.is_none();
                let rows = write::rows(&sides, &board, &differing, takes_bases)?;
                let losers = rows.iter().map(|row| row.losers()).sum();
                let merged = Merged::of(&board, merging, losers);
                drop(board);
                drop(sides);
                let end = write::write(&within, view, (own, now), &rows, &sources)?;
                Ok((merged, end))
            })
        })
    }

    fn require_mergeable(&self, sources: &[&Replica]) -> Result<(), Error> {
        let own = Arc::as_ptr(&self.journal.inner);
        let mut seen = BTreeSet::from([own]);
        for source in sources {
            let place = source.journal.inner.place();
            let inner = Arc::as_ptr(&source.journal.inner);
            if !seen.insert(inner) {
                return Err(if inner == own {
                    Error::MergesItself { place }
                } else {
                    Error::MergesTwice { place }
                });
            }
            if let Some(difference) = difference(&self.schema, &source.schema) {
                return Err(Error::OtherSchema { place, difference });
            }
        }
        Ok(())
    }
}

/// Opens a snapshot of each of the sources, one inside the other.
fn nested<T>(
    left: &[&Replica],
    opened: Opened<'_, '_>,
    then: &mut dyn FnMut(Opened<'_, '_>) -> Result<T, Error>,
) -> Result<T, Error> {
    let Some((first, rest)) = left.split_first() else { return then(opened) };
    let mut done = None;
    let read = first.read(|snapshot, view| {
        let mut opened = opened;
        opened.push(read_side(first, snapshot, view)?);
        done = Some(nested(rest, opened, then));
        Ok(())
    });
    read.map_err(|error| of_source(first.journal.inner.place(), error))?;
    done.unwrap_or(Err(Error::Journal { source: journal::Error::Failed }))
}

fn read_side<'v, 's>(
    replica: &Replica,
    snapshot: &journal::tables::Snapshot,
    view: &'v View<'s, ReadTable>,
) -> Result<Side<'v, 's, ReadTable>, journal::Error> {
    let generation = keep::record(snapshot)?.generation.map(|id| Generation(Uuid::from_bytes(id)));
    let merged = snapshot.keyed_if_there(MERGED)?;
    Ok(Side { view, merged, id: replica.id(), generation, place: replica.journal.inner.place() })
}

/// The first generation of an authority's data that a source knows.
fn generation_of(sources: &[Side<'_, '_, ReadTable>]) -> Option<Generation> {
    sources.iter().find_map(|source| source.generation)
}

/// An error of a source's.
fn of_source(place: String, error: Error) -> Error {
    match error {
        error @ Error::MergeSource { .. } => error,
        error => Error::MergeSource { place, source: Box::new(error) },
    }
}

/// What not all files know alike.
#[derive(Debug, Default)]
struct Differing {
    /// With the sources that do not know it as the destination does.
    keys: BTreeMap<EntityKey, BTreeSet<usize>>,
    /// What all see alike, of which a source may have a later row of the authority's.
    bases: BTreeSet<EntityKey>,
}

/// So often somebody is told how far it is.
const TOLD_EVERY: u64 = 4_096;

fn differing<R: ReadableTable<Bytes, Bytes>, S: ReadableTable<Bytes, Bytes>>(
    sides: &Sides<'_, '_, R, S>,
    on_read: &mut dyn FnMut(u64),
) -> Result<Differing, Error> {
    let mut found = Differing::default();
    let mut read = 0_u64;
    for (file, source) in (1..).zip(sides.sources) {
        let has_bases = sides.is_of_one_authority(file);
        let compared = compare(
            sides.dest.view,
            source.view,
            &mut |key, ours, theirs| {
                if ours != theirs && theirs != crate::algebra::Version::default() {
                    found.keys.entry(key).or_default().insert(file);
                } else if has_bases && ours == theirs {
                    found.bases.insert(key);
                }
                ControlFlow::Continue(())
            },
            &mut || {
                read += 1;
                if read.is_multiple_of(TOLD_EVERY) {
                    on_read(read);
                }
            },
        );
        compared.map_err(|failed| match failed {
            Failed::Ours(error) => error.into(),
            Failed::Theirs(error) => of_source(source.place.clone(), error.into()),
        })?;
        for key in source.marked()? {
            found.keys.entry(key).or_default().insert(file);
        }
    }
    for key in sides.dest.marked()? {
        found.keys.entry(key).or_default();
    }
    on_read(read);
    found.bases.retain(|key| !found.keys.contains_key(key));
    Ok(found)
}

/// Merges what differs, on a board.
fn merged_on<'b, F: Files<Error = Error>>(
    files: &'b F,
    schema: &'b Schema,
    editor: (ReplicaId, Millis),
    differing: &Differing,
    resolutions: &Resolutions,
) -> Result<(Board<'b, F>, Merging), Error> {
    let mut board = Board::new(files, schema, editor);
    let all = differing.keys.iter().map(|(key, sources)| {
        let known = |file: &usize| Ok((*file, files.known(*file, key)?));
        let sources = sources.iter().map(known).collect::<Result<Vec<(usize, Known)>, Error>>()?;
        Ok((key.clone(), files.known(0, key)?, sources))
    });
    let merging = board.merge(all, resolutions)?;
    Ok((board, merging))
}

/// What two schemas say differently of what both declare; what only one of them declares is no difference.
fn difference(ours: &Schema, theirs: &Schema) -> Option<String> {
    for (name, one) in ours.collections() {
        let Some(other) = theirs.collection(name) else { continue };
        if one.policy() != other.policy() {
            let (here, there) = (one.policy(), other.policy());
            return Some(format!("the policy of {name} is {here:?} here and {there:?} there"));
        }
        for (field, reference) in one.references() {
            if other.reference_of(field).is_some_and(|there| there != reference) {
                return Some(format!("what {field:?} of {name} refers to, or how, is another there"));
            }
        }
        let [here, there] = [one, other].map(|of| of.unique_keys().collect::<BTreeSet<_>>());
        if !here.is_subset(&there) && !there.is_subset(&here) {
            return Some(format!("the unique keys of {name} are {here:?} here and {there:?} there"));
        }
    }
    None
}
