//! Lines that are read and parsed on a thread of their own, ahead of whoever takes them.
//!
//! They come in batches, as handing one line over would cost more than parsing it. What is on its way is bounded.
//! Invariant: whoever takes them meets the same lines, and then the same error, as one who reads them in order.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};

use super::failure::Failure;
use super::input::Lines;
use crate::codec::lines::Line;

/// A batch is full with so many bytes of lines: to wake a thread for it is little beside parsing it.
const BATCH_BYTES: u64 = 1 << 20;

/// So many batches wait to be taken, beside the one that is being made and the one that is being used.
const BATCHES_WAITING: usize = 2;

/// Reads lines ahead of whoever takes them from what it gives.
///
/// The thread is not waited for where nobody wants more: it may be waiting for a line that never comes.
pub(super) fn ahead<T: Line + Send + 'static>(mut lines: Lines<T>) -> Result<Ahead<T>, Failure> {
    batches_of(move || batch(&mut lines))
}

fn batches_of<T: Send + 'static>(
    mut next: impl FnMut() -> Option<Batch<T>> + Send + 'static,
) -> Result<Ahead<T>, Failure> {
    let (sender, batches) = sync_channel(BATCHES_WAITING);
    let thread = thread::Builder::new().name("lines".to_owned()).spawn(move || {
        // Whoever wants no more has let go of the other end.
        while let Some(batch) = next()
            && sender.send(batch).is_ok()
        {}
    });
    let thread = thread.map_err(|error| Failure::Failed(format!("no thread to read lines with: {error}")))?;
    Ok(Ahead { batches, thread: Some(thread), failure: None })
}

/// Lines that stand one behind another, and the error behind them.
struct Batch<T> {
    lines: Vec<T>,
    failure: Option<Failure>,
}

fn batch<T: Line>(lines: &mut Lines<T>) -> Option<Batch<T>> {
    let mut batch = Batch { lines: Vec::new(), failure: None };
    let full = lines.bytes().saturating_add(BATCH_BYTES);
    while lines.bytes() < full {
        match lines.next() {
            Some(Ok(line)) => batch.lines.push(line),
            Some(Err(failure)) => {
                batch.failure = Some(failure);
                break;
            }
            None => break,
        }
    }
    (!batch.lines.is_empty() || batch.failure.is_some()).then_some(batch)
}

/// Batches of lines, none of them empty; an error is the last.
pub(super) struct Ahead<T> {
    batches: Receiver<Batch<T>>,
    thread: Option<JoinHandle<()>>,
    failure: Option<Failure>,
}

impl<T> Ahead<T> {
    /// Its lines, one by one.
    pub(super) fn lines(self) -> impl Iterator<Item = Result<T, Failure>> {
        self.flat_map(|batch| {
            let (lines, failure) = match batch {
                Ok(lines) => (lines, None),
                Err(failure) => (Vec::new(), Some(failure)),
            };
            lines.into_iter().map(Ok).chain(failure.into_iter().map(Err))
        })
    }
}

impl<T> Iterator for Ahead<T> {
    type Item = Result<Vec<T>, Failure>;

    /// # Panics
    /// Where the thread that reads panicked, once what it read before is taken.
    fn next(&mut self) -> Option<Self::Item> {
        if let Some(failure) = self.failure.take() {
            return Some(Err(failure));
        }
        match self.batches.recv() {
            Ok(Batch { lines, failure: Some(failure) }) if lines.is_empty() => Some(Err(failure)),
            Ok(Batch { lines, failure }) => {
                self.failure = failure;
                Some(Ok(lines))
            }
            Err(_) => {
                // It is over only if the thread came to its end: what is read so far is not all there is otherwise.
                if let Some(Err(panicked)) = self.thread.take().map(JoinHandle::join) {
                    std::panic::resume_unwind(panicked);
                }
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
