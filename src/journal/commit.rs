//! Group commit: appenders that come while another one commits share the next commit.
//!
//! ```text
//! append ── nobody leads? ── yes ── lead: take all who wait, commit, answer them, hand over
//!                  └── no ── wait ── answered, or handed the lead
//! ```
//!
//! Invariant: whoever waits is answered or handed the lead, whatever happens to the leader, a panic of
//! its own included. The lead is never held by somebody who sleeps.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, Thread};

use super::append::Appended;
use super::error::Error;
use crate::algebra::{Millis, Operation};

/// What one appender wants, while another one leads.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) operations: Vec<Operation>,
    pub(crate) now: Millis,
    pub(crate) is_durable: bool,
    answer: OnceLock<Result<Appended, Error>>,
    waker: Thread,
}

/// Who waits, and whether somebody leads.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: VecDeque<Arc<Request>>,
    is_led: bool,
}

/// The lead. Dropping it hands over, and answers those who were taken but not answered.
pub(crate) struct Lead<'q> {
    queue: &'q Queue,
    pub(crate) taken: Vec<Arc<Request>>,
}

/// What to do with one's own operations.
pub(crate) enum Turn<'q> {
    /// Commit them, and those of all who were taken.
    Lead(Lead<'q>),
    /// Wait.
    Follow(Arc<Request>),
}

impl Queue {
    /// Takes the lead if nobody has it, or joins those who wait.
    pub(crate) fn join(&self, operations: &[Operation], now: Millis, is_durable: bool) -> Turn<'_> {
        let mut inner = self.lock();
        if inner.is_led {
            let request = Arc::new(Request {
                operations: operations.to_vec(),
                now,
                is_durable,
                answer: OnceLock::new(),
                waker: thread::current(),
            });
            inner.waiting.push_back(Arc::clone(&request));
            Turn::Follow(request)
        } else {
            inner.is_led = true;
            Turn::Lead(Lead { queue: self, taken: inner.waiting.drain(..).collect() })
        }
    }

    /// Waits until the request is answered, or the lead is free: then everybody who waits is taken, this
    /// request among them.
    pub(crate) fn follow(&self, request: &Arc<Request>) -> Option<Lead<'_>> {
        loop {
            if request.answer.get().is_some() {
                return None;
            }
            {
                let mut inner = self.lock();
                // Once more under the lock: the answer may have come meanwhile.
                if request.answer.get().is_none() && !inner.is_led {
                    inner.is_led = true;
                    return Some(Lead { queue: self, taken: inner.waiting.drain(..).collect() });
                }
            }
            thread::park();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // The lock is held for a few moves of pointers; a panic elsewhere poisons nothing of it.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Request {
    /// The answer, once there is one.
    pub(crate) fn into_answer(self: Arc<Self>) -> Result<Appended, Error> {
        match Arc::try_unwrap(self).map(|request| request.answer.into_inner()) {
            Ok(Some(answer)) => answer,
            // The leader still holds it for a moment; what it said can be told again.
            Err(request) => match request.answer.get() {
                Some(Ok(appended)) => Ok(*appended),
                Some(Err(_)) | None => Err(Error::Failed),
            },
            Ok(None) => Err(Error::Failed),
        }
    }

    /// Answers the one who waits and wakes it.
    pub(crate) fn answer(&self, answer: Result<Appended, Error>) {
        // A second answer is only the drop's, for a request that has one already.
        let _already = self.answer.set(answer);
        self.waker.unpark();
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        for request in self.taken.drain(..) {
            if request.answer.get().is_none() {
                request.answer(Err(Error::Failed));
            }
        }
        let next = {
            let mut inner = self.queue.lock();
            inner.is_led = false;
            inner.waiting.front().map(|request| request.waker.clone())
        };
        if let Some(next) = next {
            next.unpark();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_that_panics_leaves_nobody_waiting() {
        let queue = Arc::new(Queue::default());
        let Turn::Lead(lead) = queue.join(&[], Millis(0), true) else { panic!("nobody leads yet") };
        let follower = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || match queue.join(&[], Millis(0), true) {
                Turn::Lead(_) => panic!("somebody leads"),
                Turn::Follow(request) => queue.follow(&request).is_some(),
            })
        };
        while queue.lock().waiting.is_empty() {
            thread::yield_now();
        }
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _lead = lead;
            std::panic::resume_unwind(Box::new("the leader dies"));
        }));
        assert!(panicked.is_err());
        assert!(follower.join().unwrap(), "the follower was handed the lead");
    }

    #[test]
    fn everybody_is_answered_once() {
        let queue = Queue::default();
        let answered = std::sync::atomic::AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..32 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let lead = |lead: Lead<'_>| {
                            for request in &lead.taken {
                                request.answer(Ok(Appended::default()));
                            }
                        };
                        match queue.join(&[], Millis(0), true) {
                            Turn::Lead(mine) => lead(mine),
                            Turn::Follow(request) => {
                                if let Some(mine) = queue.follow(&request) {
                                    lead(mine);
                                }
                                request.into_answer().unwrap();
                            }
                        }
                        answered.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(answered.into_inner(), 32 * 200);
    }
}
