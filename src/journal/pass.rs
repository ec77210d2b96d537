//! A pass: what is new is folded in commits so short that nobody who appends waits long for one.
//!
//! ```text
//! room in the run ─→ a part of the new level ─→ … ─→ the level is known, in place of what it was folded from
//!                                                            └─→ a part of that is removed ─→ …
//! ```
//!
//! What went into slices is folded with what is there already, one slice after the other, in the same way.
//!
//! It folds what one snapshot shows; whatever is appended meanwhile is the next pass's. A crash on the way leaves rows
//! that no level has, or that are older than the log: nobody reads them, and whoever folds next removes them first.

use std::cell::RefCell;
use std::ops::Range;

use redb::{ReadableTable, ReadableTableMetadata, WriteTransaction};

use super::Inner;
use super::columns::Values;
use super::error::{Error, engine};
use super::folding::Folding;
use super::levels::{Joined, LevelWriter, Sizes, all_newest, all_of_slice, newest, of_slice};
use super::rewrite::{Due, Overrides, fold_into};
use super::tables::{ColumnTables, LOG, Numbered, RUN, Snapshot, put_state, state_in};
use crate::codec::columns::ROWS_MAX;
use crate::codec::records::{JournalState, Level};
use crate::codec::slice::Slice;

/// What one commit writes: it takes about a millisecond.
const STEP_BYTES: u64 = 256 * 1024;

/// How many values one commit removes, each of up to 64 KiB: the engine reads them first.
const STEP_VALUES: u64 = 16;

impl Inner {
    /// Folds what is new if that takes more than one short commit; its cost follows what is new. Whoever calls it keeps
    /// everybody else from folding.
    pub(super) fn pass(&self) -> Result<(), Error> {
        let sizes = self.sizes();
        let (is_clean, are_few) = self.read(|snapshot| {
            let state = snapshot.state()?;
            Ok((leftovers(snapshot, &state, 1)?.is_none(), are_few(snapshot, &state, sizes)?))
        })?;
        let mut has_removed = !is_clean && self.remove_leftovers()?;
        if !are_few {
            has_removed |= self.fold_all(|levels, rows| newest(levels, rows, sizes), of_slice)?;
        }
        if has_removed { self.checkpoint() } else { Ok(()) }
    }

    /// Folds all levels into one, or one a slice, so that nothing stays of what was done with.
    pub(super) fn pass_over_all(&self) -> Result<(), Error> {
        let sizes = self.sizes();
        if self.fold_all(|levels, rows| all_newest(levels, rows, sizes), all_of_slice)? {
            self.checkpoint()?;
        }
        Ok(())
    }

    fn sizes(&self) -> Sizes {
        Sizes::of(self.options.pass_bytes)
    }

    /// Folds the newest levels with the log, then those of each slice in turn; says whether anything was removed.
    fn fold_all(
        &self,
        choose: impl Fn(&[Level], u64) -> Joined,
        choose_of: impl Fn(&[Level], Slice) -> Option<Joined>,
    ) -> Result<bool, Error> {
        let mut has_removed =
            self.fold_in_steps(|folding, state| Due::with_log(folding, state, choose).map(Some))?;
        for slice in Slice::each() {
            has_removed |=
                self.fold_in_steps(|_, state| Ok(choose_of(&state.levels, slice).map(Due::of_levels)))?;
        }
        Ok(has_removed)
    }

    /// Folds what is due, if anything is, and removes what it was folded from; says whether it did.
    fn fold_in_steps(
        &self,
        due: impl FnOnce(&Folding, &JournalState) -> Result<Option<Due>, Error>,
    ) -> Result<bool, Error> {
        let has_folded = self.shielded(|| {
            let snapshot = self.snapshot()?;
            let mut folding = Folding::new(&snapshot)?;
            match due(&folding, &snapshot.state()?)?.filter(Due::is_any) {
                Some(due) => self.fold_due(snapshot, &mut folding, &due).map(|()| true),
                None => Ok(false),
            }
        });
        self.discard_what_panicked();
        Ok(has_folded? && self.remove_leftovers()?)
    }

    fn fold_due(&self, snapshot: Snapshot, folding: &mut Folding, due: &Due) -> Result<(), Error> {
        let pass_bytes = self.options.pass_bytes;
        // A log whose last value is damaged may seem to have no end.
        let values_of = |tables: ColumnTables| snapshot.numbered(tables.rows)?.len().map_err(engine);
        let values = values_of(LOG)? + values_of(RUN)?;
        let rows_max = due.sources().rows().min(values.saturating_mul(ROWS_MAX));
        // Room is taken first, for an append may bring back what was parked: that becomes a level, too.
        let first = self.step(false, |txn| {
            let mut state = state_in(txn)?;
            let first = state.next_ordinal;
            state.next_ordinal += rows_max * due.joined.into.slices().len() as u64;
            put_state(txn, &state).map(|()| first)
        })?;
        let bytes_max = STEP_BYTES.min(pass_bytes / 8);
        let steps = RefCell::new(Steps { inner: self, values: Vec::new(), bytes: 0, bytes_max });
        let mut writer = LevelWriter::new(&steps, due.joined.into, first, rows_max);
        fold_into(folding, due, &Overrides::new(), pass_bytes, &mut writer)?;
        let levels = writer.finish()?;
        let rest = steps.into_inner().values;
        drop(snapshot);
        tracing::debug!(of = rows_max, ?levels, "folded in steps");
        self.step(false, |txn| {
            put_all(txn, rest)?;
            let mut state = state_in(txn)?;
            due.done(&mut state, levels);
            put_state(txn, &state)
        })
    }

    /// One short commit; those who append come before the next one.
    fn step<T>(
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

    /// Removes what is in no list any more, or never was; says whether there was any.
    fn remove_leftovers(&self) -> Result<bool, Error> {
        let values_max = STEP_VALUES.min(self.options.pass_bytes / 1024).max(1);
        let mut were_any = false;
        let next = |snapshot: &Snapshot| leftovers(snapshot, &snapshot.state()?, values_max);
        while let Some((table, range)) = self.read(next)? {
            were_any = true;
            self.step(false, |txn| {
                let mut table = txn.open_table(table).map_err(engine)?;
                table.retain_in(range, |_, _| false).map_err(engine)
            })?;
        }
        Ok(were_any)
    }

    /// Sees to it that reopening after a crash needs no walk over the whole file.
    fn checkpoint(&self) -> Result<(), Error> {
        self.step(true, |_| Ok(()))
    }
}

/// Writes values, many in one short commit.
struct Steps<'i> {
    inner: &'i Inner,
    values: Vec<(Numbered, u64, Vec<u8>)>,
    bytes: u64,
    bytes_max: u64,
}

impl Values for &RefCell<Steps<'_>> {
    fn put(&mut self, table: Numbered, first: u64, value: Vec<u8>) -> Result<(), Error> {
        let mut steps = self.borrow_mut();
        steps.bytes += value.len() as u64;
        steps.values.push((table, first, value));
        if steps.bytes >= steps.bytes_max {
            steps.bytes = 0;
            let values = std::mem::take(&mut steps.values);
            steps.inner.step(false, |txn| put_all(txn, values))?;
        }
        Ok(())
    }
}

fn put_all(mut txn: &WriteTransaction, values: Vec<(Numbered, u64, Vec<u8>)>) -> Result<(), Error> {
    values.into_iter().try_for_each(|(table, first, value)| txn.put(table, first, value))
}

/// Whether what is to be folded goes into one short commit, with those of the log's last value.
fn are_few(snapshot: &Snapshot, state: &JournalState, sizes: Sizes) -> Result<bool, Error> {
    let last = snapshot.numbered(LOG.rows)?.last().map_err(engine)?.map_or(0, |(first, _)| first.value());
    let log_rows = last.saturating_sub(state.log_begins);
    Ok(newest(&state.levels, log_rows, sizes).is_at_once(log_rows, sizes))
}

/// Where the columns of the log and of the run hold nothing that counts.
pub(crate) fn unused(state: &JournalState) -> Vec<(ColumnTables, Range<u64>)> {
    let mut levels = state.levels.clone();
    levels.extend(state.open.as_ref().map(|open| open.level));
    levels.sort_unstable_by_key(|level| level.first);
    let mut unused = vec![(LOG, 0..state.log_begins)];
    let mut from = 0;
    let end = Level::between(state.next_ordinal, state.next_ordinal);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algebra::{EntityKey, Limits, Operation, Outcome, Outcomes, Resulting, State};
    use crate::journal::{Durability, Journal, Options};
    use uuid::Uuid;

    fn levels(journal: &Journal) -> Vec<Level> {
        journal.compact().unwrap();
        journal.inner.read(|snapshot| Ok(snapshot.state()?.levels)).unwrap()
    }

    fn append(journal: &Journal, numbers: std::ops::Range<u128>) {
        let operations: Vec<Operation> = numbers
            .map(|number| {
                let key = EntityKey::new("tasks".parse().unwrap(), Uuid::from_u128(number)).unwrap();
                Operation::create(key, State::from_json("{}").unwrap())
            })
            .collect();
        journal.append(&operations, Durability::Durable).unwrap();
    }

    #[test]
    fn what_is_long_stands_in_slices_until_it_is_short_again() {
        let journal = Options::new().pass_bytes(20_000).in_memory().unwrap();
        let sizes = journal.inner.sizes();
        append(&journal, 1..1 + u128::from(sizes.short));
        assert_eq!(levels(&journal).iter().map(|level| level.slice).collect::<Vec<_>>(), [Slice::ALL]);
        append(&journal, 1_000..1_000 + u128::from(sizes.short));
        let sliced = levels(&journal);
        assert_eq!(
            sliced.iter().map(|level| level.slice).collect::<Vec<_>>(),
            Slice::each().collect::<Vec<_>>()
        );
        assert_eq!(sliced.iter().map(|level| level.rows).sum::<u64>(), 2 * sizes.short);
        append(&journal, 1..11);
        assert_eq!(levels(&journal).len(), sliced.len() + 1);
        let accepted = Outcome::Accepted { epoch: None, result: Resulting::AsSent, overwrote: None };
        while let Some(bunch) = journal.seal(Limits { operations: 50, ..Limits::default() }).unwrap() {
            let outcomes = bunch.operations.iter().map(|_| accepted.clone()).collect();
            journal.settle(&Outcomes { bunch: bunch.number, outcomes }).unwrap();
        }
        assert_eq!(levels(&journal), []);
    }
}
