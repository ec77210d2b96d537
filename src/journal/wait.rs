//! Waiting until an operation is settled, and taking one back before it is sent.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::columns::ColumnReader;
use super::effects::{Effects, Outline};
use super::entry::{Entry, entry_of, key_of};
use super::error::Error;
use super::tables::{LOG, Snapshot};
use super::{Journal, Work, lifecycle, rewrite, seal};
use crate::algebra::{EntityKey, Seq, Shape};

/// Whether an operation could be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// It is as if it had never been appended.
    Done,
    /// It was folded together with others; [`Journal::discard`] gives up all of them. Of what was folded only
    /// the span of sequence numbers is known, so this may also be the answer where it is in the open bunch or
    /// settled and lies between those of another entity.
    Folded,
    /// It is in the open bunch, or was settled.
    TooLate,
}

impl Journal {
    /// Waits until an operation is settled: accepted, superseded, parked, or come to nothing; says whether
    /// it was in time. Of an operation that was compacted before the call, only the span of sequence
    /// numbers of each effect is known, so the answer may come later than it could, never earlier.
    ///
    /// # Errors
    /// A sequence number that was never given out, a journal that is suspended or damaged, or what the
    /// storage says.
    pub fn wait_settled(&self, seq: Seq, timeout: Duration) -> Result<bool, Error> {
        let deadline = Instant::now().checked_add(timeout);
        let key = self.inner.read(|snapshot| key_of_appended(snapshot, seq))?;
        loop {
            let seen = *self.inner.changes.lock().unwrap_or_else(PoisonError::into_inner);
            let pass_bytes = self.inner.options.pass_bytes;
            if self.inner.read(|snapshot| is_settled(snapshot, seq, key.as_ref(), pass_bytes))? {
                return Ok(true);
            }
            let left = match deadline {
                Some(deadline) => deadline.saturating_duration_since(Instant::now()),
                None => Duration::MAX,
            };
            if left.is_zero() {
                return Ok(false);
            }
            let changes = self.inner.changes.lock().unwrap_or_else(PoisonError::into_inner);
            // Woken or timed out, the standing is looked at again.
            let _woken = self
                .inner
                .changed
                .wait_timeout_while(changes, left, |changes| *changes == seen)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes back a pending operation, if it was not folded or sealed yet. All that was appended since the last pass is
    /// folded with that, in one commit.
    ///
    /// # Errors
    /// A sequence number that was never given out; otherwise as [`Journal::append`].
    pub fn cancel(&self, seq: Seq) -> Result<Cancelled, Error> {
        self.inner.require_bare()?;
        self.inner.maintain_by(|inner| {
            // A pass would fold it with others of its entity first.
            if inner.read(|snapshot| key_of_appended(snapshot, seq))?.is_none() {
                inner.pass()?;
            }
            inner.in_one_commit(|work| work.cancel(seq))
        })
    }
}

impl Work<'_> {
    fn cancel(&mut self, seq: Seq) -> Result<Cancelled, Error> {
        match key_of_appended(self.snapshot, seq)? {
            Some(key) => self.cancel_in_log(&key, seq).map(|()| Cancelled::Done),
            None => self.cancel_in_run(seq),
        }
    }

    /// Lays over the entity's effect what it would be without one operation of the log. An effect that was parked before
    /// is so again, once nothing is left of what brought it back.
    fn cancel_in_log(&mut self, key: &EntityKey, cancelled: Seq) -> Result<(), Error> {
        let keys = std::slice::from_ref(key);
        let compacted = rewrite::compacted_effects_of(self.snapshot, &self.state, keys)?.remove(key);
        let left: Vec<(Seq, Entry)> = log_entries(self.snapshot, self.state.log_begins, key)?
            .into_iter()
            .filter(|(seq, _)| *seq != cancelled)
            .collect();
        let mut entry = compacted;
        if left.is_empty()
            && let Some(before) = &entry
            && self.park_again(before)?
        {
            entry = None;
        }
        for (_, operation) in left {
            entry = Some(match entry {
                Some(entry) => entry.then(&operation),
                None => operation,
            });
        }
        self.state.settled += 1;
        self.overrides.insert(key.clone(), entry);
        Ok(())
    }

    fn cancel_in_run(&mut self, seq: Seq) -> Result<Cancelled, Error> {
        let mut effects = Effects::new(self.snapshot, &self.state, self.pass_bytes)?;
        let (mut alone, mut is_folded) = (None, false);
        effects.each(|interned, Outline { who, shape, .. }| {
            if spans(shape, seq) {
                is_folded |= shape.operations > 1;
                if shape.operations == 1 {
                    alone = Some(interned.key(who)?);
                }
            }
            Ok(())
        })?;
        if let Some(key) = alone {
            self.state.settled += 1;
            self.overrides.insert(key, None);
            return Ok(Cancelled::Done);
        }
        self.folds = false;
        Ok(if is_folded { Cancelled::Folded } else { Cancelled::TooLate })
    }
}

/// The entity of an operation that was appended, if it is still in the log.
fn key_of_appended(snapshot: &Snapshot, seq: Seq) -> Result<Option<EntityKey>, Error> {
    if seq.0 == 0 || seq.0 >= lifecycle::next_seq(snapshot)? {
        return Err(Error::NeverAppended { seq });
    }
    if seq.0 < snapshot.state()?.log_begins {
        return Ok(None);
    }
    let reader = ColumnReader::new(snapshot, LOG)?;
    let mut found = None;
    reader.read([seq.0], |ordinal, row, preamble, _| {
        found = Some(key_of(row, preamble).map_err(reader.damaged_rows(ordinal))?);
        Ok(())
    })?;
    Ok(found)
}

/// The operations of one entity in the log.
fn log_entries(snapshot: &Snapshot, begins: u64, key: &EntityKey) -> Result<Vec<(Seq, Entry)>, Error> {
    let reader = ColumnReader::new(snapshot, LOG)?;
    let end = reader.end(begins)?;
    let mut places = Vec::new();
    reader.scan(begins..end, |first, rows| {
        for (ordinal, row) in (first..).zip(rows.iter()) {
            let row = row.map_err(reader.damaged_rows(first))?;
            if row.id == key.id() && key_of(&row, &rows.preamble).map_err(reader.damaged_rows(first))? == *key
            {
                places.push(ordinal);
            }
        }
        Ok(())
    })?;
    let mut entries = Vec::new();
    reader.read(places, |ordinal, row, preamble, payload| {
        let entry = entry_of(row, preamble, payload).map_err(reader.damaged_rows(ordinal))?;
        entries.push((Seq(ordinal), entry));
        Ok(())
    })?;
    Ok(entries)
}

/// Whether nothing pending or sealed can hold an operation any more.
fn is_settled(
    snapshot: &Snapshot,
    seq: Seq,
    key: Option<&EntityKey>,
    pass_bytes: u64,
) -> Result<bool, Error> {
    let state = snapshot.state()?;
    if let Some(open) = &state.open {
        let (_, entries) = seal::load(snapshot, open)?;
        let in_bunch = match key {
            Some(key) => entries.get(key).is_some_and(|entry| spans(entry.effect.shape, seq)),
            None => entries.values().any(|entry| spans(entry.effect.shape, seq)),
        };
        if in_bunch {
            return Ok(false);
        }
    }
    let mut is_settled = true;
    Effects::new(snapshot, &state, pass_bytes)?.each(|interned, Outline { who, shape, .. }| {
        if is_settled && spans(shape, seq) {
            is_settled = match key {
                None => false,
                Some(key) => interned.key(who)? != *key,
            };
        }
        Ok(())
    })?;
    Ok(is_settled)
}

/// Whether an operation may be one of those that were folded.
fn spans(shape: Shape, seq: Seq) -> bool {
    shape.first <= seq && seq <= shape.last
}
