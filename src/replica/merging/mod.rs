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
mod telling;
mod write;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread;

use redb::{ReadOnlyTable, ReadableTable, ReadableTableMetadata};
use uuid::Uuid;

use super::differ::{Failed, Found, Theirs, compare};
use super::error::Error;
use super::keep;
use super::view::View;
use super::walk::{Rows, Walked};
use super::{Bytes, Replica};
use crate::algebra::{EntityKey, Generation, Schema, Version};
use crate::journal;
use crate::journal::Durability;
use crate::journal::error::engine;
use crate::journal::tables::MERGED;
use crate::merge::{Board, Files, Resolutions};

pub use report::{Checked, Merged, MergedEntity};
use side::{Side, Sides};
use telling::Telling;

type ReadTable = ReadOnlyTable<Bytes, Bytes>;
/// The sources, opened.
type Opened<'v, 's> = Vec<Side<'v, 's, ReadTable>>;

impl Replica {
    /// Looks what merging these replicas into this one would come to, with these decisions; changes nothing. The sources
    /// are merged in the order in which they are given, of which two that clash with each other take notice.
    ///
    /// `on_read` is told now and then how many entities were looked at. It is called in the middle of that, and must not
    /// ask any of these replicas anything.
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
        let telling = Telling::new(on_read);
        let done = nested(sources, Vec::new(), &mut |sources| {
            let mut checked = Ok(Checked::default());
            self.read(|snapshot, view| {
                let mut dest = read_side(self, snapshot, view)?;
                dest.generation = dest.generation.or(generation_of(&sources));
                let sides = Sides { dest, sources: &sources, last: RefCell::default() };
                let mut board = Board::new(&sides, &self.schema, editor, resolutions);
                checked = (|| {
                    let mut taking = Taking::of(&mut board)?;
                    let mut take = |found| taking.take(found).map(ControlFlow::Continue);
                    let walked = thread::scope(|scope| {
                        let theirs = sources.iter().map(|one| one.read_ahead(scope));
                        let ours = sides.dest.read_ahead(scope);
                        compare(ours, theirs, false, &mut |read| telling.tell(read), &mut take)
                    });
                    taking.finish(walked)?;
                    telling.goes_on()?;
                    let merging = board.merge()?;
                    Ok(Checked::of(&board, merging))
                })();
                Ok(())
            })?;
            checked
        });
        telling.done(done)
    }

    /// Merges these replicas into this one, in the order in which they are given, all in one transaction. What changed
    /// here is pending, as one group; a source is as it was.
    ///
    /// `on_read` is told now and then how many entities were looked at. It is called in the middle of that, and must not
    /// ask any of these replicas anything.
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
        let telling = Telling::new(on_read);
        let done = nested(sources, Vec::new(), &mut |sources| {
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
                let inner = &*self.journal.inner;
                let merged = unless_empty(merged)?;
                let dest = Side { view: &*view, merged, id: own, generation, place, inner };
                let sides = Sides { dest, sources: &sources, last: RefCell::default() };
                let mut board = Board::new(&sides, &self.schema, (own, now), resolutions);
                let mut taking = Taking::of(&mut board)?;
                let mut take = |found| taking.take(found).map(ControlFlow::Continue);
                let walked = thread::scope(|scope| {
                    // A transaction that writes is read by its own thread; if the engine gives up over it, that ends it.
                    let ours = Rows::of(&Walked { tables: sides.dest.view.tables(), inner: None });
                    let theirs = sources.iter().map(|one| one.read_ahead(scope));
                    compare(ours, theirs, false, &mut |read| telling.tell(read), &mut take)
                });
                let later = taking.finish(walked)?;
                telling.goes_on()?;
                let merging = board.merge()?;
                if !merging.refusals.is_empty() {
                    return Err(Error::MergeRefused { refusals: merging.refusals.into_iter().collect() });
                }
                // While a bunch is open, its answer comes before anything else that is known of the authority.
                let takes_bases = journal::tables::state_in(within.txn)?.open.is_none();
                let rows = write::rows(&sides, &board, &later, takes_bases)?;
                let losers = rows.iter().map(|row| row.losers()).sum();
                let merged = Merged::of(&board, merging, losers);
                drop(board);
                drop(sides);
                let end = write::write(&within, view, (own, now), &rows, &sources)?;
                Ok((merged, end))
            })
        });
        telling.done(done)
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
    replica: &'v Replica,
    snapshot: &journal::tables::Snapshot,
    view: &'v View<'s, ReadTable>,
) -> Result<Side<'v, 's, ReadTable>, journal::Error> {
    let generation = keep::record(snapshot)?.generation.map(|id| Generation(Uuid::from_bytes(id)));
    let merged = snapshot.keyed_if_there(MERGED)?.map(unless_empty).transpose()?.flatten();
    let (inner, place) = (&*replica.journal.inner, replica.journal.inner.place());
    Ok(Side { view, merged, id: replica.id(), generation, place, inner })
}

/// What is empty need not be looked into.
fn unless_empty<T: ReadableTableMetadata>(table: T) -> Result<Option<T>, journal::Error> {
    Ok((!table.is_empty().map_err(engine)?).then_some(table))
}

/// The first generation of an authority's data that a source knows.
fn generation_of(sources: &[Side<'_, '_, ReadTable>]) -> Option<Generation> {
    sources.iter().find_map(|source| source.generation)
}

/// An error of a source's.
fn of_source(place: String, error: Error) -> Error {
    Error::MergeSource { place, source: Box::new(error) }
}

/// What not all files know alike, on its way to the board.
struct Taking<'a, 'b, 'v, 's, R> {
    board: &'a mut Board<'b, Sides<'v, 's, R, ReadTable>>,
    /// Of which entities files know more than what is seen, as far as they were not met with yet.
    marked: BTreeMap<EntityKey, BTreeSet<usize>>,
    /// What all see alike, and a source may have a later row of the authority's of.
    later: BTreeSet<EntityKey>,
}

impl<'a, 'b, 'v, 's, R: ReadableTable<Bytes, Bytes>> Taking<'a, 'b, 'v, 's, R> {
    fn of(board: &'a mut Board<'b, Sides<'v, 's, R, ReadTable>>) -> Result<Self, Error> {
        let marked = board.files().marked()?;
        Ok(Taking { board, marked, later: BTreeSet::new() })
    }

    fn take(&mut self, found: Found) -> Result<(), Failed> {
        let sides = self.board.files();
        let marked = self.marked.remove(&found.key);
        let of_marked = |file: &usize| (*file, found.theirs(file.saturating_sub(1)));
        let mut sources: BTreeMap<usize, Version> = marked.iter().flatten().map(of_marked).collect();
        let mut is_later = false;
        let Found { key, ours, others } = found;
        for (file, theirs) in (1..).zip(others) {
            let Theirs::Other(theirs) = theirs else { continue };
            if theirs == ours {
                is_later |= sides.is_of_one_authority(file);
            } else if theirs != Version::default() {
                sources.insert(file, theirs);
            }
        }
        if sources.is_empty() && marked.is_none() {
            self.later.extend(is_later.then_some(key));
            return Ok(());
        }
        let known = |(file, version)| Ok((file, sides.known_as(file, &key, version)?));
        let sources = sources.into_iter().map(known).collect::<Result<Vec<_>, Error>>();
        let dest = sides.known_as(0, &key, ours);
        sources.and_then(|sources| self.board.take(key, dest?, sources)).map_err(Failed::Each)
    }

    /// Takes what is known alike, but for what merges left of it. Gives what a source may have a later row of the
    /// authority's of.
    fn finish(self, walked: Result<(), Failed>) -> Result<BTreeSet<EntityKey>, Error> {
        let sides = self.board.files();
        walked.map_err(|failed| match failed {
            Failed::Ours(error) => error.into(),
            Failed::Theirs(source, error) => sides.of_source(source + 1, error),
            Failed::Each(error) => error,
        })?;
        for (key, files) in self.marked {
            let known = |file: usize| Ok((file, sides.known(file, &key)?));
            let sources = files.into_iter().map(known).collect::<Result<Vec<_>, Error>>()?;
            let dest = sides.known(0, &key)?;
            self.board.take(key, dest, sources)?;
        }
        Ok(self.later)
    }
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
