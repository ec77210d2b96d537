//! What comes from the authority: pages of changes, rows that were read, everything anew.
//!
//! Nothing is taken while a bunch is open: its answer comes first, so that what is known of the authority's side
//! is never older than what was sent on top of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::Ordering;

use super::error::Error;
use super::keep::{put_cursors, put_record, record_in, record_of_cursor};
use super::taking::{Taking, Told};
use super::view::View;
use super::{Replica, Tables};
use crate::algebra::{Base, EntityKey, Epoch, FullRow, Generation, Held, Index, Knowledge, Page, ReplicaId};
use crate::codec::kept::ReplicaRecord;
use crate::journal::Work;
use crate::journal::error::engine;
use crate::journal::tables::{FETCHED, entity_bytes, forget_what_was_read};

/// So many pages are taken without waiting for the disk, at most, one after another: the space that each frees is
/// free for others only after the next that is waited for.
const DEFERRED_MAX: u32 = 16;

/// What taking rows came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Entities of which something newer is known now.
    pub applied: Vec<EntityKey>,
    /// How many rows were not newer than what was known.
    pub stale: u64,
    /// Entities on which what is unsent gave way, or was reduced.
    pub overridden: Vec<EntityKey>,
    /// Entities with a conflict that was opened.
    pub conflicting: Vec<EntityKey>,
    /// Nothing was taken: everything has to be fetched anew, and will be asked for.
    pub starts_over: bool,
}

impl Replica {
    /// Takes a page of changes, all of it or nothing.
    ///
    /// # Errors
    /// A page while a bunch is open, of another generation, or with cursors that go back; otherwise what the
    /// journal says.
    pub fn take_page(&self, page: &Page) -> Result<Applied, Error> {
        let applied = self.incoming(|taking, work, view| {
            let mut record = record_in(work.txn)?.unwrap_or_default();
            let generation = page.generation.0.into_bytes();
            if record.generation.is_some_and(|known| known != generation) {
                return Err(wrong("it is of another generation"));
            }
            (taking.fetches_all, taking.is_restored) = (record.is_fetching_all, record.is_restored);
            record.generation = Some(generation);
            if !record.is_fetching_all && may_have_missed(work, view, page)? {
                // What was learnt by an answer, before the collection was read, may be gone without a trace.
                anew(work, record, Some(page.generation))?;
                return Ok(Applied { starts_over: true, ..Applied::default() });
            }
            if record.is_fetching_all {
                let mut fetched = work.txn.open_table(FETCHED).map_err(engine)?;
                for row in &page.rows {
                    fetched.insert(entity_bytes(&row.key).as_slice(), [].as_slice()).map_err(engine)?;
                }
            }
            put_record(work.txn, &record)?;
            put_cursors(work.txn, page)?;
            work.has_written = true;
            // What a crash takes with it is fetched again: the cursors are lost with the rows.
            work.is_deferred =
                page.has_more && !self.deferred.fetch_add(1, Ordering::Relaxed).is_multiple_of(DEFERRED_MAX);
            let told = page.rows.iter().map(|row| (row.key.clone(), Told::of(row.clone(), taking.own)));
            let mut applied = taking.take(work, view, told.collect())?;
            if !page.has_more {
                work.state.is_complete = true;
                view.complete();
                if taking.fetches_all {
                    taking.forget_the_rest(work, view, &mut applied)?;
                    record = record_in(work.txn)?.unwrap_or_default();
                    (record.is_fetching_all, record.is_restored) = (false, false);
                    put_record(work.txn, &record)?;
                }
                // What the triggers up to here hint at is known now.
                if page.triggers_until.0 > work.state.cursor {
                    work.heard_until(page.triggers_until)?;
                }
            }
            Ok(applied)
        })?;
        if !page.has_more && !applied.starts_over {
            self.carry_decisions()?;
        }
        Ok(applied)
    }

    /// Takes rows that were read because of triggers, and what the triggers say themselves; what was asked for
    /// and is not among the rows is gone. A row that is older than what was hinted at is what there is: nothing more is
    /// read for that hint.
    ///
    /// # Errors
    /// Rows while a bunch is open; otherwise what the journal says.
    pub fn take_reads(&self, asked: &[(EntityKey, Epoch)], rows: &[FullRow]) -> Result<Applied, Error> {
        self.incoming(|taking, work, view| {
            let read: BTreeSet<&EntityKey> = rows.iter().map(|row| &row.key).collect();
            let mut told: Vec<(EntityKey, Told)> =
                rows.iter().map(|row| (row.key.clone(), Told::of(row.clone(), taking.own))).collect();
            let missing = asked.iter().filter(|(key, _)| !read.contains(key));
            for (key, epoch) in missing {
                // Whoever deleted it had seen what was known here, and came after it; more is not told.
                let (_, mut stamps) = view.base(key)?;
                stamps.turned = stamps.latest();
                let base = Base::Dead(Held { epoch: Some(*epoch), state: Knowledge::Nothing });
                told.push((key.clone(), Told { base, stamps, is_own: false }));
            }
            let applied = taking.take(work, view, told)?;
            let hinted: HashMap<&EntityKey, Epoch> = asked.iter().map(|(key, epoch)| (key, *epoch)).collect();
            work.clear_heard(&|key| Ok(view.base(key)?.0.epoch().max(hinted.get(key).copied())))?;
            Ok(applied)
        })
    }

    /// The latest epochs that the triggers heard so far hint at.
    ///
    /// # Errors
    /// What the journal says.
    pub(crate) fn hinted(&self, keys: &[EntityKey]) -> Result<Vec<(EntityKey, Epoch)>, Error> {
        let wanted: BTreeSet<&EntityKey> = keys.iter().collect();
        self.read(|snapshot, _| {
            let mut latest: BTreeMap<EntityKey, Epoch> = BTreeMap::new();
            for trigger in crate::journal::inbox::triggers(snapshot)? {
                if wanted.contains(&trigger.key) {
                    let epoch = latest.entry(trigger.key).or_default();
                    *epoch = (*epoch).max(trigger.epoch);
                }
            }
            Ok(latest.into_iter().collect())
        })
    }

    /// Begins to fetch everything anew, from a generation of the authority's data; what is unsent stays, and what
    /// was known stays until it is fetched or found to be gone.
    ///
    /// # Errors
    /// What the journal says.
    pub fn begin_anew(&self, generation: Option<Generation>) -> Result<(), Error> {
        self.maintain(|work, view| {
            if sabotaged!(start_over_drops_pending) {
                work.overrides.extend(view.unsent()?.into_iter().map(|key| (key, None)));
            }
            let record = record_in(work.txn)?.unwrap_or_default();
            anew(work, record, generation)
        })
    }

    /// Gives the open bunch up: it is known that the authority never took it under this replica's name. What is in
    /// it is pending again; under a new name, if one is given.
    ///
    /// # Errors
    /// What the journal says.
    pub fn take_back_bunch(&self, new_name: Option<ReplicaId>) -> Result<(), Error> {
        use crate::codec::frame::FrameKind;
        use crate::journal::tables::{IDENTITY_KEY, META, put_record};
        self.maintain(|work, _| {
            work.unseal()?;
            if let Some(name) = new_name {
                let mut identity = work.snapshot.identity()?;
                identity.replica = name.0.into_bytes();
                put_record(work.txn, META, FrameKind::Identity, IDENTITY_KEY, &identity)?;
                work.has_written = true;
            }
            Ok(())
        })?;
        if let Some(name) = new_name {
            *self.journal.inner.replica.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = name;
        }
        Ok(())
    }

    fn incoming<T>(
        &self,
        body: impl Fn(&mut Taking, &mut Work<'_>, &mut View<'_, Tables<'_>>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let (own, now) = (self.id(), (self.journal.inner.options.clock)());
        self.maintain(|work, view| {
            if work.state.open.is_some() {
                return Err(wrong("a bunch is open, whose answer comes first"));
            }
            body(&mut Taking::of(own, now), work, view)
        })
    }
}

fn wrong(why: &str) -> Error {
    Error::WrongAnswer { why: why.to_owned() }
}

/// Begins to fetch everything anew.
fn anew(work: &mut Work<'_>, mut record: ReplicaRecord, generation: Option<Generation>) -> Result<(), Error> {
    let generation_bytes = generation.map(|generation| generation.0.into_bytes());
    let is_another = record.generation != generation_bytes;
    record.is_restored |= record.generation.is_some() && is_another;
    record.is_fetching_all = true;
    record.generation = generation_bytes;
    put_record(work.txn, &record)?;
    forget_what_was_read(work.txn)?;
    if is_another {
        // What was heard of other data says nothing of these, and its numbers are given out once more.
        work.forget_heard()?;
    }
    work.heard_until(Index(0))?;
    work.has_written = true;
    Ok(())
}

/// Whether something that is known here may have been deleted and forgotten below the floor of a collection that is
/// read for the first time.
fn may_have_missed(work: &Work<'_>, view: &View<'_, Tables<'_>>, page: &Page) -> Result<bool, Error> {
    for (collection, floor) in &page.floors {
        let place = collection.as_str().as_bytes();
        if floor.0 == 0 || record_of_cursor(work.txn, place)?.is_some() {
            continue;
        }
        for key in view.keys(Some(collection))? {
            if view.base(&key)?.0.epoch().is_some_and(|epoch| epoch.0 > 0 && epoch < *floor) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
