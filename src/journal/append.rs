//! Appending: operations become durable, in the order in which they came.

use std::sync::atomic::Ordering;

use redb::{Durability as EngineDurability, WriteTransaction};

use super::columns::ColumnWriter;
use super::entry::parts_of_operation;
use super::error::{Error, engine};
use super::tables::{LOG, damaged};
use super::{Inner, Journal};
use crate::algebra::{EntityKey, Group, Millis, Operation, Seq};
use crate::codec::columns::Layout;
use crate::storage::commit::{self, Turn};
use crate::storage::guard;

/// The most operations in one call of [`Journal::append`]: what is appended at once stands in memory at
/// once. [`Journal::append_streamed`] has no such limit.
pub const APPEND_OPERATIONS_MAX: usize = 1_000_000;

/// From so many operations on, waiting for the disk a second time is a small part of a commit: then it is one after
/// which a crash is recovered from without a walk over the whole file.
const MANY: u64 = 100_000;

/// When an append counts as done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// When it survives a crash of the machine.
    #[default]
    Durable,
    /// At once: it is seen by everything that follows, and survives a crash after the next durable call
    /// or [`Journal::flush`]. A crash before that loses it, together with all that came after.
    Deferred,
}

/// The sequence numbers that an append was given: `first..=last`, contiguous. Both are 0 if nothing was
/// appended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// The first operation's.
    pub first: Seq,
    /// The last operation's.
    pub last: Seq,
}

impl Journal {
    /// Appends operations, all of them or none; when it returns they are as durable as was asked for.
    ///
    /// Callers of many threads share commits: those who come while another one commits go together.
    ///
    /// # Errors
    /// Too many operations at once, a journal that is suspended or failed, or what the storage says.
    pub fn append(&self, operations: &[Operation], durability: Durability) -> Result<Appended, Error> {
        if operations.len() > APPEND_OPERATIONS_MAX {
            let max = APPEND_OPERATIONS_MAX as u64;
            return Err(Error::TooMany { given: operations.len() as u64, max });
        }
        if operations.is_empty() {
            return Ok(Appended::default());
        }
        self.inner.require_bare()?;
        // Before it is queued: one caller's bad operation must not refuse what others append with it.
        operations.iter().try_for_each(Operation::require_valid)?;
        let inner = &self.inner;
        let now = (inner.options.clock)();
        let is_durable = durability == Durability::Durable;
        let work = || Waiting { operations: operations.to_vec(), now, is_durable };
        match inner.queue.join(work) {
            Turn::Lead(lead) => {
                let own = Batch { operations, now };
                inner.append_led(lead, Some(own), is_durable).unwrap_or(Err(Error::Failed))
            }
            Turn::Follow(request) => {
                if let Some(lead) = inner.queue.follow(&request) {
                    inner.append_led(lead, None, false);
                }
                inner.queue.answer_of(&request)
            }
        }
    }

    /// Appends a stream of operations in one commit: all of them, or none if the stream ends in an error.
    /// Memory is bounded by the cache, however long the stream is.
    ///
    /// The stream must not call the journal: its writer is taken meanwhile.
    ///
    /// # Errors
    /// The stream's own error, or as [`Journal::append`].
    pub fn append_streamed<E: From<Error>>(
        &self,
        operations: impl IntoIterator<Item = Result<Operation, E>>,
        durability: Durability,
    ) -> Result<Appended, E> {
        self.inner.require_bare()?;
        let now = (self.inner.options.clock)();
        let mut operations = operations.into_iter();
        let mut refusal = None;
        let mut panicked = None;
        let appended = self.inner.append_txn(durability == Durability::Durable, |inner, txn, first| {
            let mut log = LogWriter::new(inner, txn, first);
            loop {
                match guard::outside(|| operations.next()) {
                    Ok(Some(Ok(operation))) => {
                        log.push(&operation, now)?;
                    }
                    Ok(Some(Err(error))) => {
                        refusal = Some(error);
                        return Err(Error::Failed);
                    }
                    Ok(None) => break,
                    Err(theirs) => {
                        panicked = Some(theirs);
                        return Err(Error::Failed);
                    }
                }
            }
            log.finish()
        });
        if let Some(theirs) = panicked {
            std::panic::resume_unwind(theirs);
        }
        match (refusal, appended) {
            (Some(refusal), _) => Err(refusal),
            (None, appended) => Ok(appended?),
        }
    }

    /// Makes everything durable that was appended with [`Durability::Deferred`], and has a crash before the next
    /// append recovered from at once when the journal is opened again: an append alone leaves a walk over the whole
    /// file, which waiting for the disk twice each time would save. Call it when a program goes idle or to the background.
    ///
    /// # Errors
    /// A journal that is suspended or failed, or what the storage says.
    pub fn flush(&self) -> Result<(), Error> {
        self.inner.with_writer(|inner, db, _| {
            let mut txn = db.begin_write().map_err(engine)?;
            txn.set_quick_repair(true);
            inner.commit(txn)
        })
    }
}

/// What one appender wants, while another one leads.
pub(super) struct Waiting {
    operations: Vec<Operation>,
    now: Millis,
    is_durable: bool,
}

/// Those who wait to append.
pub(super) type Queue = commit::Queue<Waiting, Result<Appended, Error>>;

type Lead<'q> = commit::Lead<'q, Waiting, Result<Appended, Error>>;

struct Batch<'o> {
    operations: &'o [Operation],
    now: Millis,
}

impl Inner {
    /// Commits the leader's own operations and those of all who wait; gives the answer for the own ones.
    fn append_led(
        &self,
        lead: Lead<'_>,
        own: Option<Batch<'_>>,
        is_durable: bool,
    ) -> Option<Result<Appended, Error>> {
        let is_durable = is_durable || lead.taken.iter().any(|request| request.work.is_durable);
        let batches: Vec<Batch<'_>> = own
            .iter()
            .map(|own| Batch { operations: own.operations, now: own.now })
            .chain(
                lead.taken
                    .iter()
                    .map(|request| Batch { operations: &request.work.operations, now: request.work.now }),
            )
            .collect();
        let spans = self.append_txn(is_durable, |inner, txn, first| {
            let mut log = LogWriter::new(inner, txn, first);
            let mut spans = Vec::with_capacity(batches.len());
            for batch in &batches {
                let begin = log.writer.next();
                for operation in batch.operations {
                    log.push_valid(operation, batch.now)?;
                }
                spans.push(span(begin, log.writer.next()));
            }
            let (_, end) = log.finish()?;
            Ok((spans, end))
        });
        let mut spans = match spans {
            Ok(spans) => spans.into_iter().map(Ok).collect::<Vec<_>>().into_iter(),
            Err(error) => {
                // One error, told to each: the first in full, the others as what it means for them.
                let mut errors: Vec<_> = batches.iter().skip(1).map(|_| Err(shared(&error))).collect();
                errors.insert(0, Err(error));
                errors.into_iter()
            }
        };
        let answer = own.and_then(|_| spans.next());
        for (request, answer) in lead.taken.iter().zip(spans) {
            request.answer(answer);
        }
        drop(lead);
        answer
    }

    /// One write transaction that only appends. `work` is given the next sequence number and gives back
    /// the one behind what it wrote.
    pub(crate) fn append_txn<T>(
        &self,
        is_durable: bool,
        work: impl FnOnce(&Inner, &WriteTransaction, u64) -> Result<(T, u64), Error>,
    ) -> Result<T, Error> {
        self.with_writer(|inner, db, writer| {
            let mut txn = db.begin_write().map_err(engine)?;
            let is_durable = is_durable && !sabotaged!(acknowledge_before_commit);
            let wanted = if is_durable { EngineDurability::Immediate } else { EngineDurability::None };
            txn.set_durability(wanted).map_err(|error| Error::Corrupted { why: error.to_string() })?;
            let (done, end) = work(inner, &txn, writer.next_seq)?;
            txn.set_quick_repair(is_durable && end - writer.next_seq >= MANY);
            inner.commit(txn)?;
            writer.next_seq = end;
            if inner.has_parked.load(Ordering::Acquire) {
                inner.note_parked_keys(db)?;
            }
            Ok(done)
        })
    }
}

/// Writes operations to the log, inside a transaction that may do more. What is parked of their entities goes on with
/// them.
pub(crate) struct LogWriter<'t> {
    inner: &'t Inner,
    txn: &'t WriteTransaction,
    first: u64,
    writer: ColumnWriter<&'t WriteTransaction>,
    unparked: Vec<EntityKey>,
}

impl<'t> LogWriter<'t> {
    /// Writes from a sequence number on.
    pub(crate) fn new(inner: &'t Inner, txn: &'t WriteTransaction, first: u64) -> Self {
        let writer = ColumnWriter::new(txn, LOG, Layout::Log, first);
        LogWriter { inner, txn, first, writer, unparked: Vec::new() }
    }

    pub(crate) fn push(&mut self, operation: &Operation, now: Millis) -> Result<(), Error> {
        operation.require_valid()?;
        self.push_valid(operation, now)
    }

    /// As [`push`](Self::push), of an operation that was looked at already.
    fn push_valid(&mut self, operation: &Operation, now: Millis) -> Result<(), Error> {
        let key = &operation.key;
        if self.inner.is_parked(key) && !self.unparked.contains(key) {
            self.unparked.push(key.clone());
        }
        let parts = parts_of_operation(operation, now).map_err(damaged("an operation"))?;
        let groups: Vec<&str> = operation.groups.iter().map(Group::as_str).collect();
        self.writer.push(parts.row, key.collection().as_str(), &groups, parts.fields.as_bytes(), &parts.extra)
    }

    /// Gives the numbers that were given out, and the one behind them.
    pub(crate) fn finish(self) -> Result<(Appended, u64), Error> {
        let end = self.writer.finish()?;
        self.inner.unpark(self.txn, &self.unparked)?;
        Ok((span(self.first, end), end))
    }
}

/// What an error means for those who went with the one who is told it. A suspended journal is resumed, a failed one opened
/// again.
fn shared(error: &Error) -> Error {
    if matches!(error, Error::Suspended) { Error::Suspended } else { Error::Failed }
}

fn span(first: u64, end: u64) -> Appended {
    if end > first { Appended { first: Seq(first), last: Seq(end - 1) } } else { Appended::default() }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::algebra::State;

    #[test]
    fn all_who_append_together_to_a_suspended_journal_are_told_that_it_is() {
        const CALLERS: u128 = 8;
        let journal = Journal::in_memory().unwrap();
        journal.suspend().unwrap();
        let append = |number| {
            let key = EntityKey::new("notes".parse().unwrap(), uuid::Uuid::from_u128(number)).unwrap();
            journal.append(&[Operation::create(key, State::empty())], Durability::Durable)
        };
        let refused: Vec<Error> = thread::scope(|scope| {
            // Nobody goes on until all have come.
            let writer = journal.inner.writer.lock();
            let callers: Vec<_> =
                (1..=CALLERS).map(|number| scope.spawn(move || append(number).unwrap_err())).collect();
            thread::sleep(Duration::from_millis(200));
            drop(writer);
            callers.into_iter().map(|caller| caller.join().unwrap()).collect()
        });
        assert!(refused.iter().all(|error| matches!(error, Error::Suspended)), "{refused:?}");
        journal.resume().unwrap();
        append(1).unwrap();
    }
}
