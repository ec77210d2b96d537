//! Walking through all that a replica knows of its entities, row by row in the order of their keys.
//!
//! A row is either what the authority has, or what is seen beside that, which stands over it. Whoever walks may read
//! them itself, or have them read ahead.

use std::cmp::Ordering;
use std::ops::ControlFlow;

use redb::{AccessGuard, Range, ReadableTable};

use super::Bytes;
use super::view::{base_of, local_of, version_of};
use crate::algebra::Version;
use crate::journal::error::engine;
use crate::journal::{Error, Inner};

/// A replica that is walked through.
pub(super) struct Walked<'o, R> {
    /// What the authority has, and what is seen beside that.
    pub(super) tables: (&'o R, &'o R),
    /// Whose handle is told if its engine gives up; none where a transaction is to be dropped by that.
    pub(super) inner: Option<&'o Inner>,
}

/// What is known of one entity, as it is stored.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Row<'r> {
    pub(super) place: &'r [u8],
    pub(super) value: &'r [u8],
    /// Whether it is what the authority has.
    pub(super) is_base: bool,
}

impl Row<'_> {
    pub(super) fn version(&self) -> Result<Version, Error> {
        if !self.is_base {
            return Ok(local_of(self.place, self.value)?.version);
        }
        base_of(self.place, self.value).map(|(base, stamps)| version_of(&base, stamps))
    }
}

/// Rows in the order of their places, each looked at before it is passed.
pub(super) trait Sorted {
    /// The row that is next.
    fn first(&self) -> Option<Row<'_>>;

    /// Goes on behind it.
    fn pass(&mut self) -> Result<(), Error>;
}

/// The rows of one replica, one an entity.
pub(super) struct Rows<'r> {
    base: Walk<'r>,
    local: Walk<'r>,
    inner: Option<&'r Inner>,
}

impl<'r> Rows<'r> {
    pub(super) fn of<R: ReadableTable<Bytes, Bytes>>(walked: &Walked<'r, R>) -> Result<Self, Error> {
        let (inner, (base, local)) = (walked.inner, walked.tables);
        shielded(inner, || Ok(Rows { base: Walk::of(base)?, local: Walk::of(local)?, inner }))
    }

    fn order(&self) -> Ordering {
        match (&self.base.next, &self.local.next) {
            (Some((base, _)), Some((local, _))) => base.value().cmp(local.value()),
            (_, None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
        }
    }

    /// Takes all of them.
    pub(super) fn all<R: ReadableTable<Bytes, Bytes>>(
        walked: &Walked<'r, R>,
        take: &mut impl FnMut(Row<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Error> {
        // The wall stands around all of them at once.
        let within = Walked { inner: None, ..*walked };
        shielded(walked.inner, || Rows::of(&within)?.each(take))
    }

    fn each(mut self, take: &mut impl FnMut(Row<'_>) -> ControlFlow<()>) -> Result<ControlFlow<()>, Error> {
        while self.base.next.is_some() && self.local.next.is_some() {
            if self.first().is_some_and(|row| take(row).is_break()) {
                return Ok(ControlFlow::Break(()));
            }
            self.pass()?;
        }
        // From here on only one of the two has any, which need not be held against the other.
        for (mut walk, is_base) in [(self.base, true), (self.local, false)] {
            while let Some((place, value)) = &walk.next {
                if take(Row { place: place.value(), value: value.value(), is_base }).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                walk.pass()?;
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

impl Sorted for Rows<'_> {
    fn first(&self) -> Option<Row<'_>> {
        let is_base = self.order().is_lt();
        let (place, value) = if is_base { &self.base } else { &self.local }.next.as_ref()?;
        Some(Row { place: place.value(), value: value.value(), is_base })
    }

    fn pass(&mut self) -> Result<(), Error> {
        let order = self.order();
        let (base, local) = (&mut self.base, &mut self.local);
        shielded(self.inner, || {
            if order.is_le() {
                base.pass()?;
            }
            if order.is_ge() { local.pass() } else { Ok(()) }
        })
    }
}

fn shielded<T>(inner: Option<&Inner>, call: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    match inner {
        Some(inner) => inner.shielded(call),
        None => call(),
    }
}

/// A table's rows, the next one at hand.
struct Walk<'r> {
    rows: Range<'r, Bytes, Bytes>,
    next: Option<(AccessGuard<'r, Bytes>, AccessGuard<'r, Bytes>)>,
}

impl<'r> Walk<'r> {
    fn of<R: ReadableTable<Bytes, Bytes>>(table: &'r R) -> Result<Self, Error> {
        let mut walk = Walk { rows: table.iter().map_err(engine)?, next: None };
        walk.pass()?;
        Ok(walk)
    }

    fn pass(&mut self) -> Result<(), Error> {
        let next = self.rows.next().transpose().map_err(engine)?;
        if let Some((place, value)) = &next {
            // What it comes by may reach beyond its page.
            require_order(self.next.as_ref().map(|(before, _)| before), place)?;
            value.value();
        }
        self.next = next;
        Ok(())
    }
}

/// Where a page is damaged, a walk may come by rows twice, or by one that is not where its key belongs.
pub(super) fn require_order(
    before: Option<&AccessGuard<'_, Bytes>>,
    now: &AccessGuard<'_, Bytes>,
) -> Result<(), Error> {
    if before.is_some_and(|before| before.value() >= now.value()) {
        return Err(Error::Corrupted { why: "what is known of entities is out of order".to_owned() });
    }
    Ok(())
}
