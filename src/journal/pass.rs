//! A pass: what is new is folded in commits so short that nobody who appends waits long for one.
//!
//! ```text
//! room in the run ─→ a slice of the new level ─→ … ─→ the level is known, in place of what it was folded from
//!                                                            └─→ a slice of that is removed ─→ …
//! ```
//!
//! It folds what one snapshot shows; whatever is appended meanwhile is the next pass's. A crash on the way leaves rows
//! that no level has, or that are older than the log: nobody reads them, and whoever folds next removes them first.

use std::ops::Range;

use redb::{ReadableTable, ReadableTableMetadata, WriteTransaction};

use super::Inner;
use super::columns::{ColumnWriter, Values};
use super::error::{Error, engine};
use super::folding::Folding;
use super::rewrite::{Due, Overrides, fold_into, levels_kept, rows_at_once};
use super::tables::{ColumnTables, LOG, Numbered, RUN, Snapshot, put_state, state_in};
use crate::codec::columns::{Layout, ROWS_MAX};
use crate::codec::records::{JournalState, Level};

/// What one commit writes: it takes about a millisecond.
const SLICE_BYTES: u64 = 256 * 1024;

/// How many values one commit removes, each of up to 64 KiB: the engine reads them first.
const SLICE_VALUES: u64 = 16;

impl Inner {
    /// Folds what is new if that takes more than one short commit; its cost follows what is new. Whoever calls it keeps
    /// everybody else from folding.
    pub(super) fn pass(&self) -> Result<(), Error> {
        let rows_max = rows_at_once(self.options.pass_bytes);
        let (is_clean, are_few) = self.read(|snapshot| {
            let state = snapshot.state()?;
            Ok((leftovers(snapshot, &state, 1)?.is_none(), are_few(snapshot, &state, rows_max)?))
        })?;
        if !is_clean {
            self.remove_leftovers()?;
        }
        if are_few {
            return Ok(());
        }
        self.fold_in_slices(|folding, state| Due::of(folding, state, 0, u64::MAX))
    }

    /// Folds all levels into one, so that nothing stays of what was done with.
    pub(super) fn pass_over_all(&self) -> Result<(), Error> {
        self.fold_in_slices(Due::everything)
    }

    fn fold_in_slices(
        &self,
        due: impl FnOnce(&Folding, &JournalState) -> Result<Option<Due>, Error>,
    ) -> Result<(), Error> {
        self.shielded(|| {
            let snapshot = self.snapshot()?;
            let mut folding = Folding::new(&snapshot)?;
            match due(&folding, &snapshot.state()?)? {
                Some(due) => self.fold_due(snapshot, &mut folding, &due),
                None => Ok(()),
            }
        })?;
        self.remove_leftovers()
    }

    fn fold_due(&self, snapshot: Snapshot, folding: &mut Folding, due: &Due) -> Result<(), Error> {
        let pass_bytes = self.options.pass_bytes;
        // A log whose last value is damaged may seem to have no end.
        let values_of = |tables: ColumnTables| snapshot.numbered(tables.rows)?.len().map_err(engine);
        let values = values_of(LOG)? + values_of(RUN)?;
        let rows_max = due.sources.rows().min(values.saturating_mul(ROWS_MAX));
        // Room is taken first, for an append may bring back what was parked: that becomes a level, too.
        let first = self.slice(false, |txn| {
            let mut state = state_in(txn)?;
            let first = state.next_ordinal;
            state.next_ordinal += rows_max;
            put_state(txn, &state).map(|()| first)
        })?;
        let bytes_max = SLICE_BYTES.min(pass_bytes / 8);
        let mut slices = Slices { inner: self, values: Vec::new(), bytes: 0, bytes_max };
        let mut writer = ColumnWriter::new(&mut slices, RUN, Layout::Run, first);
        fold_into(folding, due, &Overrides::new(), pass_bytes, &mut writer)?;
        let rows = writer.finish()? - first;
        let rest = slices.values;
        drop(snapshot);
        self.slice(false, |txn| {
            put_all(txn, rest)?;
            let mut state = state_in(txn)?;
            due.done(&mut state, Level { first, rows });
            put_state(txn, &state)
        })?;
        tracing::debug!(of = rows_max, rows, "folded in slices");
        Ok(())
    }

    /// One short commit; those who append come before the next one.
    fn slice<T>(
        &self,
        is_last: bool,
        work: impl FnOnce(&WriteTransaction) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.with_writer(|inner, db, _| {
            let mut txn = db.begin_write().map_err(engine)?;
            txn.set_quick_repair(is_last);
            let done = work(&txn)?;
            inner.commit(txn).map(|()| done)
        })
    }

    /// Removes what is in no list any more, or never was.
    fn remove_leftovers(&self) -> Result<(), Error> {
        let values_max = SLICE_VALUES.min(self.options.pass_bytes / 1024).max(1);
        let mut were_any = false;
        let next = |snapshot: &Snapshot| leftovers(snapshot, &snapshot.state()?, values_max);
        while let Some((table, range)) = self.read(next)? {
            were_any = true;
            self.slice(false, |txn| {
                let mut table = txn.open_table(table).map_err(engine)?;
                table.retain_in(range, |_, _| false).map_err(engine)
            })?;
        }
        if were_any {
            // So that reopening after a crash needs no walk over the whole file.
            self.slice(true, |_| Ok(()))?;
        }
        Ok(())
    }
}

/// Writes values a slice at a time.
struct Slices<'i> {
    inner: &'i Inner,
    values: Vec<(Numbered, u64, Vec<u8>)>,
    bytes: u64,
    bytes_max: u64,
}

impl Values for &mut Slices<'_> {
    fn put(&mut self, table: Numbered, first: u64, value: Vec<u8>) -> Result<(), Error> {
        self.bytes += value.len() as u64;
        self.values.push((table, first, value));
        if self.bytes >= self.bytes_max {
            self.bytes = 0;
            let values = std::mem::take(&mut self.values);
            self.inner.slice(false, |txn| put_all(txn, values))?;
        }
        Ok(())
    }
}

fn put_all(mut txn: &WriteTransaction, values: Vec<(Numbered, u64, Vec<u8>)>) -> Result<(), Error> {
    values.into_iter().try_for_each(|(table, first, value)| txn.put(table, first, value))
}

/// Whether what is to be folded is at most so many rows, and those of the log's last value.
fn are_few(snapshot: &Snapshot, state: &JournalState, rows_max: u64) -> Result<bool, Error> {
    let last = snapshot.numbered(LOG.rows)?.last().map_err(engine)?.map_or(0, |(first, _)| first.value());
    let log_rows = last.saturating_sub(state.log_begins);
    let joined = state.levels.get(levels_kept(&state.levels, log_rows, u64::MAX)..).unwrap_or(&[]);
    Ok(joined.iter().fold(log_rows, |rows, level| rows.saturating_add(level.rows)) <= rows_max)
}

/// Where the columns of the log and of the run hold nothing that counts.
pub(crate) fn unused(state: &JournalState) -> Vec<(ColumnTables, Range<u64>)> {
    let mut levels = state.levels.clone();
    levels.extend(state.open.as_ref().map(|open| open.level));
    levels.sort_unstable_by_key(|level| level.first);
    let mut unused = vec![(LOG, 0..state.log_begins)];
    let mut from = 0;
    let end = Level { first: state.next_ordinal, rows: 0 };
    for level in levels.into_iter().chain([end]) {
        let Range { start, end } = level.range();
        if from < start {
            unused.push((RUN, from..start));
        }
        from = end;
    }
    unused
}

/// Some values that do not count, by their numbers, if there are any.
fn leftovers(
    snapshot: &Snapshot,
    state: &JournalState,
    values_max: u64,
) -> Result<Option<(Numbered, Range<u64>)>, Error> {
    for (tables, range) in unused(state) {
        for table in [tables.rows, tables.payload] {
            let opened = snapshot.numbered(table)?;
            let mut last = None;
            for (_, value) in (0..values_max).zip(opened.range(range.clone()).map_err(engine)?) {
                last = Some(value.map_err(engine)?.0.value());
            }
            if let Some(last) = last {
                return Ok(Some((table, range.start..last + 1)));
            }
        }
    }
    Ok(None)
}
