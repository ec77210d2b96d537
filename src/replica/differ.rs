//! What replicas do not know alike: all are walked through side by side, in the order of their keys.
//!
//! Rows that are the same bytes are passed over unopened, so that comparing costs little more than reading. Memory holds
//! one row of each at a time, or what was read ahead.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::Replica;
use super::error::Error;
use super::walk::{Row, Rows, Sorted, Walked};
use crate::algebra::{EntityKey, Version};
use crate::journal;
use crate::journal::tables::{damaged, entity_of};

impl Replica {
    /// Calls `each` for every entity that this replica and another one do not know alike, in the order of their keys, with
    /// how this one and how the other one sees it: what is unsent included, tombstones with their last state, absent where
    /// nothing is known. Both are seen as they were last committed, until `each` breaks off.
    ///
    /// # Errors
    /// What either journal says.
    pub fn differing(
        &self,
        other: &Replica,
        mut each: impl FnMut(EntityKey, Version, Version) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let [one, two] = [self, other].map(|replica| Arc::as_ptr(&replica.journal.inner));
        if one == two {
            return Ok(());
        }
        // Whoever compares the two holds one of them first, so that no two wait for each other.
        let (first, second) = if one < two { (self, other) } else { (other, self) };
        second.make_whole()?;
        let mut compared = Ok(Ok(()));
        first.read(|_, one| {
            compared = second.read(|_, two| {
                let (ours, theirs) = if std::ptr::eq(first, self) { (one, two) } else { (two, one) };
                let [ours, theirs] = [(self, ours), (other, theirs)]
                    .map(|(of, view)| Walked { tables: view.tables(), inner: Some(&of.journal.inner) });
                let mut each = |found: Found| {
                    let theirs = found.theirs(0);
                    if found.ours == theirs {
                        return Ok(ControlFlow::Continue(()));
                    }
                    Ok(each(found.key, found.ours, theirs))
                };
                Ok(compare(Rows::of(&ours), [Rows::of(&theirs)], true, &mut |_| {}, &mut each))
            });
            Ok(())
        })?;
        let (of, error) = match compared? {
            Ok(()) => return Ok(()),
            Err(Failed::Each(error)) => return Err(error),
            Err(Failed::Ours(error)) => (self, error),
            Err(Failed::Theirs(_, error)) => (other, error),
        };
        match error {
            // Told by the replica that it is of, which mends that.
            error @ journal::Error::Damaged { .. } => of.read(|_, _| Err(error)),
            error => Err(error.into()),
        }
    }
}

/// Which of them could not be read, the others by their numbers; or what was to be done failed.
pub(super) enum Failed {
    Ours(journal::Error),
    Theirs(usize, journal::Error),
    Each(Error),
}

/// An entity that is not stored as the same bytes here and in all of the others.
pub(super) struct Found {
    pub(super) key: EntityKey,
    /// How it is seen here.
    pub(super) ours: Version,
    pub(super) others: Vec<Theirs>,
}

/// What another one has stored of it.
pub(super) enum Theirs {
    Nothing,
    Same,
    Other(Version),
}

impl Found {
    fn of(place: &[u8], own: Option<Row<'_>>, theirs: &[impl Sorted]) -> Result<Self, Failed> {
        let rows = || theirs.iter().map(|rows| rows.first().filter(|row| row.place == place)).enumerate();
        let key = entity_of(place).map_err(|error| {
            let error = damaged("an entity")(error);
            match rows().find(|(_, row)| row.is_some()) {
                Some((of, _)) if own.is_none() => Failed::Theirs(of, error),
                Some(_) | None => Failed::Ours(error),
            }
        })?;
        let other = |(of, row): (usize, Option<Row<'_>>)| match row {
            None => Ok(Theirs::Nothing),
            same if same == own => Ok(Theirs::Same),
            Some(row) => row.version().map(Theirs::Other).map_err(|error| Failed::Theirs(of, error)),
        };
        let others = rows().map(other).collect::<Result<Vec<_>, Failed>>()?;
        let ours = own.map_or(Ok(Version::default()), |row| row.version()).map_err(Failed::Ours)?;
        Ok(Found { key, ours, others })
    }

    /// How one of the others sees it.
    pub(super) fn theirs(&self, of: usize) -> Version {
        match self.others.get(of) {
            Some(Theirs::Other(version)) => version.clone(),
            Some(Theirs::Same) => self.ours.clone(),
            Some(Theirs::Nothing) | None => Version::default(),
        }
    }
}

/// So often somebody is told how far it is.
const TOLD_EVERY: u64 = 4_096;

/// Calls `each` for every entity that is not stored as the same bytes here and in all of the others, or in all of those
/// that have it; and `on_read` now and then with how many there were.
pub(super) fn compare<O: Sorted, T: Sorted>(
    ours: Result<O, journal::Error>,
    theirs: impl IntoIterator<Item = Result<T, journal::Error>>,
    also_missing: bool,
    on_read: &mut dyn FnMut(u64),
    each: &mut dyn FnMut(Found) -> Result<ControlFlow<()>, Failed>,
) -> Result<(), Failed> {
    let mut ours = ours.map_err(Failed::Ours)?;
    let theirs = theirs.into_iter().enumerate();
    let theirs = theirs.map(|(of, rows)| rows.map_err(|error| Failed::Theirs(of, error)));
    let mut theirs = theirs.collect::<Result<Vec<_>, Failed>>()?;
    let (mut place, mut read) = (Vec::new(), 0_u64);
    loop {
        let own = ours.first();
        // Mostly all are at one place, with the same bytes.
        let is_same = own.is_some() && theirs.iter().all(|rows| rows.first() == own);
        if !is_same {
            let firsts = own.into_iter().chain(theirs.iter().filter_map(T::first));
            let Some(least) = firsts.map(|row| row.place).min() else { break };
            place.clear();
            place.extend_from_slice(least);
            let own = own.filter(|row| row.place == place);
            let differs = |rows: &T| match rows.first().filter(|row| row.place == place) {
                None => also_missing && own.is_some(),
                theirs => theirs != own,
            };
            if theirs.iter().any(differs) && each(Found::of(&place, own, &theirs)?)?.is_break() {
                return Ok(());
            }
        }
        let is_at = |row: Option<Row<'_>>| is_same || row.is_some_and(|row| row.place == place);
        if is_at(own) {
            ours.pass().map_err(Failed::Ours)?;
        }
        for (of, rows) in theirs.iter_mut().enumerate() {
            if is_at(rows.first()) {
                rows.pass().map_err(|error| Failed::Theirs(of, error))?;
            }
        }
        read += 1;
        if read.is_multiple_of(TOLD_EVERY) {
            on_read(read);
        }
    }
    on_read(read);
    Ok(())
}
