//! What two replicas do not know alike: both are walked through side by side, in the order of their keys.
//!
//! Rows that are the same bytes are passed over unopened, so that comparing costs little more than reading. Memory holds
//! one row of each at a time.

use std::cmp::Ordering;
use std::ops::ControlFlow;
use std::sync::Arc;

use redb::{AccessGuard, Range, ReadableTable};

use super::error::Error;
use super::view::{View, base_of, local_of, version_of};
use super::{Bytes, Replica};
use crate::algebra::{EntityKey, Version};
use crate::journal;
use crate::journal::error::engine;
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
                Ok(compare(
                    ours,
                    theirs,
                    &mut |key, ours, theirs| {
                        if ours == theirs { ControlFlow::Continue(()) } else { each(key, ours, theirs) }
                    },
                    &mut || {},
                ))
            });
            Ok(())
        })?;
        // Told by the replica that it is of, which mends what is damaged.
        match compared? {
            Ok(()) => Ok(()),
            Err(Failed::Ours(error)) => self.read(|_, _| Err(error)),
            Err(Failed::Theirs(error)) => other.read(|_, _| Err(error)),
        }
    }
}

/// Which of the two could not be read.
pub(super) enum Failed {
    Ours(journal::Error),
    Theirs(journal::Error),
}

/// Calls `each` for every entity whose rows are not the same bytes, and `step` for every one there is.
pub(super) fn compare<R: ReadableTable<Bytes, Bytes>, S: ReadableTable<Bytes, Bytes>>(
    ours: &View<'_, R>,
    theirs: &View<'_, S>,
    each: &mut impl FnMut(EntityKey, Version, Version) -> ControlFlow<()>,
    step: &mut impl FnMut(),
) -> Result<(), Failed> {
    use Failed::{Ours, Theirs};
    let (mut ours, mut theirs) = (Rows::of(ours).map_err(Ours)?, Rows::of(theirs).map_err(Theirs)?);
    let (mut one, mut other) = (ours.next().map_err(Ours)?, theirs.next().map_err(Theirs)?);
    loop {
        let order = match (&one, &other) {
            (Some(one), Some(other)) => one.place().cmp(other.place()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return Ok(()),
        };
        step();
        let (mut left, mut right) = (None, None);
        if order.is_le() {
            left = std::mem::replace(&mut one, ours.next().map_err(Ours)?);
        }
        if order.is_ge() {
            right = std::mem::replace(&mut other, theirs.next().map_err(Theirs)?);
        }
        if let (Some(left), Some(right)) = (&left, &right)
            && left.is_same(right)
        {
            continue;
        }
        let version = |row: &Option<Row<'_>>| row.as_ref().map_or(Ok(Version::default()), Row::version);
        let (ours, theirs) = (version(&left).map_err(Ours)?, version(&right).map_err(Theirs)?);
        let key = match (&left, &right) {
            (Some(row), _) => row.key().map_err(Ours)?,
            (None, Some(row)) => row.key().map_err(Theirs)?,
            (None, None) => continue,
        };
        if each(key, ours, theirs).is_break() {
            return Ok(());
        }
    }
}

/// A row of what is known of entities: as the authority has it, or what is seen beside that.
struct Row<'r> {
    place: AccessGuard<'r, Bytes>,
    value: AccessGuard<'r, Bytes>,
    is_base: bool,
}

impl Row<'_> {
    fn place(&self) -> &[u8] {
        self.place.value()
    }

    fn is_same(&self, other: &Row<'_>) -> bool {
        self.is_base == other.is_base && self.value.value() == other.value.value()
    }

    fn key(&self) -> Result<EntityKey, journal::Error> {
        entity_of(self.place()).map_err(damaged("an entity"))
    }

    fn version(&self) -> Result<Version, journal::Error> {
        if !self.is_base {
            return Ok(local_of(self.place(), self.value.value())?.version);
        }
        base_of(self.place(), self.value.value()).map(|(base, stamps)| version_of(&base, stamps))
    }
}

/// The rows of one replica, one an entity.
struct Rows<'r> {
    base: Walk<'r>,
    local: Walk<'r>,
}

/// A table's rows, the next one looked at before it is taken.
struct Walk<'r> {
    rows: Range<'r, Bytes, Bytes>,
    next: Option<Row<'r>>,
    is_base: bool,
}

impl<'r> Rows<'r> {
    fn of<R: ReadableTable<Bytes, Bytes>>(view: &'r View<'_, R>) -> Result<Self, journal::Error> {
        let (base, local) = view.tables();
        Ok(Rows { base: Walk::of(base, true)?, local: Walk::of(local, false)? })
    }

    /// The next row: what is seen stands over what the authority has.
    fn next(&mut self) -> Result<Option<Row<'r>>, journal::Error> {
        let order = match (&self.base.next, &self.local.next) {
            (Some(base), Some(local)) => base.place().cmp(local.place()),
            (_, None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
        };
        if order == Ordering::Equal {
            self.base.take()?;
        }
        if order.is_lt() { self.base.take() } else { self.local.take() }
    }
}

impl<'r> Walk<'r> {
    fn of<R: ReadableTable<Bytes, Bytes>>(table: &'r R, is_base: bool) -> Result<Self, journal::Error> {
        let mut walk = Walk { rows: table.iter().map_err(engine)?, next: None, is_base };
        walk.take()?;
        Ok(walk)
    }

    fn take(&mut self) -> Result<Option<Row<'r>>, journal::Error> {
        let is_base = self.is_base;
        let next = self.rows.next().transpose().map_err(engine)?;
        let next = next.map(|(place, value)| Row { place, value, is_base });
        Ok(std::mem::replace(&mut self.next, next))
    }
}
