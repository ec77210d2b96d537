//! Collecting what is left of a journal in a database of its own, table by table, as it was stored.
//!
//! What a commit leads to goes in as it is, so that what does not open there is set aside like in any journal. Where
//! something is gone, copies that lie elsewhere are recalled, of such tables as do not change what was once stored at a
//! place. Two that differ are not recalled: nothing tells which one counts. What is parked comes and goes, so that is
//! [looked into](super::again).
//!
//! Of what gave way, of lost values and of what was set aside nothing tells whether it was forgotten on purpose. It is only kept
//! to be looked at, so it is rather there again than lost.

use redb::{ReadableTable, TableHandle, WriteTransaction};

use super::super::aside::Missing;
use super::super::error::{Error, engine};
use super::super::open;
use super::super::stored::{Place, TABLES, Table};
use super::super::tables::{
    BASE, BUNCH, ColumnTables, LOG, LOST, MERGED, META, PARKED, RUN, SET_ASIDE, SUPERSEDED,
};
use super::again::{Again, GoneParked};
use super::commit::{Commit, values};
use super::scan::Scan;
use crate::codec::records::JournalState;
use crate::storage::trees::Trees;

/// What was collected.
#[derive(Debug, Default)]
pub(super) struct Collected {
    /// How many values of each table are gone without a trace.
    pub(super) missing: Missing,
    /// How many were recalled.
    pub(super) recalled: u64,
    /// How many entities' effects were parked again that may be done with.
    pub(super) parked_again: u64,
    /// Whether two values of a list are about the same numbers: then they are not of one time.
    pub(super) is_mixed: bool,
}

/// Collects into a database, inside its transaction.
pub(super) struct Collecting<'c> {
    pub(super) trees: &'c Trees<'c>,
    pub(super) scan: &'c Scan,
    pub(super) txn: &'c WriteTransaction,
    /// Where the journal stood as far as that is known.
    pub(super) state: Option<&'c JournalState>,
    /// Whether that is where it stands, by a commit that is certain.
    pub(super) is_exact: bool,
}

impl Collecting<'_> {
    /// Collects everything but the identity and the state.
    pub(super) fn collect(&self, commit: Option<&Commit>) -> Result<Collected, Error> {
        open::open_all(self.txn)?;
        let mut collected = Collected::default();
        let mut has_gaps = false;
        for ((number, table), missing) in TABLES.iter().enumerate().zip(&mut collected.missing) {
            if table.is(META.name()) {
                continue;
            }
            let is_certain = commit.is_some_and(|commit| commit.is_certain);
            let mut damaged = Vec::new();
            if let Some((commit, listed)) = commit.and_then(|commit| Some((commit, commit.table(table)?))) {
                make(self.txn, table)?;
                *missing = listed.values;
                let is_known = is_certain && (commit.has_certain_bases || !table.is(BASE.name()));
                if !is_known && !stays(table) {
                    continue;
                }
                self.trees.walk(listed, |page| {
                    let values = values(table, page, listed.key_width);
                    for (place, value) in values.found {
                        *missing = missing.saturating_sub(u64::from(put(self.txn, table, &place, value)?));
                    }
                    damaged
                        .extend(values.damaged.into_iter().map(|(place, value)| (place, value.to_owned())));
                    Ok::<(), Error>(())
                })?;
            }
            // What was appended since.
            let is_behind = is_log(table) && commit.is_none_or(|commit| !commit.is_last);
            let is_recalled = *missing > 0 || is_behind || !is_certain;
            if is_recalled && table.is(PARKED.name()) {
                let gone = GoneParked { values: *missing, damaged: &damaged, has_gaps };
                let Again { values, doubted } = self.park_again(number, table, &gone)?;
                *missing = missing.saturating_sub(values);
                collected.recalled += values;
                collected.parked_again = doubted;
            } else if is_recalled {
                let (recalled, differing) = self.recall(number, table)?;
                *missing = missing.saturating_sub(recalled).max(differing);
                collected.recalled += recalled;
            }
            has_gaps |= (is_log(table) || is_run(table)) && *missing > 0;
            for (place, value) in damaged {
                // So that it is told where it was and set aside.
                *missing = missing.saturating_sub(u64::from(put(self.txn, table, &place, &value)?));
            }
        }
        collected.is_mixed = overlaps(self.txn, LOG)? || overlaps(self.txn, RUN)?;
        Ok(collected)
    }

    /// Puts in what lies elsewhere and may belong to a table; says how many values that are, and of how many places
    /// differing ones lie there.
    fn recall(&self, number: usize, table: &Table) -> Result<(u64, u64), Error> {
        let (mut recalled, mut differing) = (0, 0);
        for (place, copies) in self.scan.of_table(number) {
            if !self.may_belong(table, place) || is_there(self.txn, table, place)? {
                continue;
            }
            let [copy] = copies else {
                differing += 1;
                continue;
            };
            let value = copy.read(self.trees);
            if table.opened(place, &value).is_ok() {
                recalled += u64::from(put(self.txn, table, place, &value)?);
            }
        }
        Ok((recalled, differing))
    }

    /// Whether what was once stored at a place may still be of use.
    fn may_belong(&self, table: &Table, place: &Place) -> bool {
        let Some(number) = place.number() else { return false };
        let Some(state) = self.state else { return !table.is(BUNCH.name()) };
        if is_log(table) {
            // What is older is in the run.
            number >= state.log_begins
        } else if is_run(table) {
            let open = state.open.as_ref().map(|open| open.level);
            let mut levels = state.levels.iter().chain(open.as_ref());
            levels.any(|level| level.range().contains(&number))
                || !self.is_exact && number >= state.next_ordinal
        } else if table.is(SUPERSEDED.name()) {
            number < state.next_superseded || !self.is_exact
        } else if table.is(BUNCH.name()) {
            state.open.is_some() && self.is_exact
        } else {
            table.is(LOST.name()) || table.is(SET_ASIDE.name())
        }
    }
}

/// Whether a table is of use even as it was some time ago: what only says how the authority's side was seen is not.
fn stays(table: &Table) -> bool {
    let kept = [PARKED.name(), BUNCH.name(), SUPERSEDED.name(), LOST.name(), MERGED.name(), SET_ASIDE.name()];
    is_log(table) || is_run(table) || kept.into_iter().any(|name| table.is(name))
}

fn is_log(table: &Table) -> bool {
    table.is(LOG.rows.name()) || table.is(LOG.payload.name())
}

fn is_run(table: &Table) -> bool {
    table.is(RUN.rows.name()) || table.is(RUN.payload.name())
}

/// Whether two values of rows are about the same numbers.
fn overlaps(txn: &WriteTransaction, tables: ColumnTables) -> Result<bool, Error> {
    let rows = Table::Rows(tables);
    let mut end = 0;
    for value in txn.open_table(tables.rows).map_err(engine)?.iter().map_err(engine)? {
        let (first, value) = value.map_err(engine)?;
        let first = first.value();
        if first < end {
            return Ok(true);
        }
        let count = rows.opened(&Place::Number(first), value.value()).unwrap_or(0);
        end = first.saturating_add(count);
    }
    Ok(false)
}

/// Makes a table, so that what is gone of it is told even where nothing is left.
fn make(txn: &WriteTransaction, table: &Table) -> Result<(), Error> {
    if let Some(table) = table.numbered() {
        txn.open_table(table).map_err(engine)?;
    }
    if let Some(table) = table.keyed() {
        txn.open_table(table).map_err(engine)?;
    }
    Ok(())
}

/// Puts a value into a table unless one is there already; says whether it did.
pub(super) fn put(txn: &WriteTransaction, table: &Table, place: &Place, value: &[u8]) -> Result<bool, Error> {
    if is_there(txn, table, place)? {
        return Ok(false);
    }
    if let (Some(table), Some(number)) = (table.numbered(), place.number()) {
        txn.open_table(table).map_err(engine)?.insert(number, value).map_err(engine)?;
    }
    if let (Some(table), Some(key)) = (table.keyed(), place.key()) {
        txn.open_table(table).map_err(engine)?.insert(key, value).map_err(engine)?;
    }
    Ok(true)
}

/// Whether a value is in a table.
pub(super) fn is_there(txn: &WriteTransaction, table: &Table, place: &Place) -> Result<bool, Error> {
    if let (Some(table), Some(number)) = (table.numbered(), place.number()) {
        return Ok(txn.open_table(table).map_err(engine)?.get(number).map_err(engine)?.is_some());
    }
    if let (Some(table), Some(key)) = (table.keyed(), place.key()) {
        return Ok(txn.open_table(table).map_err(engine)?.get(key).map_err(engine)?.is_some());
    }
    Ok(false)
}
