//! Group commit: those who come while another one commits share the next commit.
//!
//! ```text
//! ask ── nobody leads? ── yes ── lead: take all who wait, commit, answer them, hand over
//!               └── no ── wait ── answered, or handed the lead
//! ```
//!
//! Invariant: whoever waits is answered or handed the lead, whatever happens to the leader, a panic of
//! its own included. The lead is never held by somebody who sleeps.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};

/// What one caller wants, while another one leads.
#[derive(Debug)]
pub(crate) struct Request<W, A> {
    /// What is to be done.
    pub(crate) work: W,
    answer: Mutex<Option<A>>,
    waker: Thread,
}

/// Who waits, and whether somebody leads.
#[derive(Debug)]
pub(crate) struct Queue<W, A> {
    inner: Mutex<Inner<W, A>>,
    /// What those are answered whose leader died.
    abandoned: fn() -> A,
}

#[derive(Debug)]
struct Inner<W, A> {
    waiting: VecDeque<Arc<Request<W, A>>>,
    is_led: bool,
}

/// The lead. Dropping it hands over, and answers those who were taken but not answered.
pub(crate) struct Lead<'q, W, A> {
    queue: &'q Queue<W, A>,
    pub(crate) taken: Vec<Arc<Request<W, A>>>,
}

/// What to do with one's own work.
pub(crate) enum Turn<'q, W, A> {
    /// Do it, and that of all who were taken.
    Lead(Lead<'q, W, A>),
    /// Wait.
    Follow(Arc<Request<W, A>>),
}

impl<W, A> Queue<W, A> {
    /// A queue with nobody in it, and what those are answered whose leader died.
    pub(crate) fn new(abandoned: fn() -> A) -> Self {
        Queue { inner: Mutex::new(Inner { waiting: VecDeque::new(), is_led: false }), abandoned }
    }

    /// Takes the lead if nobody has it, or joins those who wait.
    pub(crate) fn join(&self, work: impl FnOnce() -> W) -> Turn<'_, W, A> {
        let mut inner = self.lock();
        if inner.is_led {
            let (work, answer, waker) = (work(), Mutex::new(None), thread::current());
            let request = Arc::new(Request { work, answer, waker });
            inner.waiting.push_back(Arc::clone(&request));
            Turn::Follow(request)
        } else {
            inner.is_led = true;
            Turn::Lead(Lead { queue: self, taken: inner.waiting.drain(..).collect() })
        }
    }

    /// Waits until the request is answered, or the lead is free: then everybody who waits is taken, this
    /// request among them.
    pub(crate) fn follow(&self, request: &Request<W, A>) -> Option<Lead<'_, W, A>> {
        loop {
            if request.is_answered() {
                return None;
            }
            {
                let mut inner = self.lock();
                // Once more under the lock: the answer may have come meanwhile.
                if !request.is_answered() && !inner.is_led {
                    inner.is_led = true;
                    return Some(Lead { queue: self, taken: inner.waiting.drain(..).collect() });
                }
            }
            thread::park();
        }
    }

    /// Takes the answer of a request that [`follow`](Queue::follow) has ended for.
    pub(crate) fn answer_of(&self, request: &Request<W, A>) -> A {
        request.lock().take().unwrap_or_else(self.abandoned)
    }

    fn lock(&self) -> MutexGuard<'_, Inner<W, A>> {
        // The lock is held for a few moves of pointers; a panic elsewhere poisons nothing of it.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W, A> Request<W, A> {
    /// Answers the one who waits and wakes it.
    pub(crate) fn answer(&self, answer: A) {
        self.lock().get_or_insert(answer);
        self.waker.unpark();
    }

    fn is_answered(&self) -> bool {
        self.lock().is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Option<A>> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W, A> Drop for Lead<'_, W, A> {
    fn drop(&mut self) {
        for request in self.taken.drain(..) {
            if !request.is_answered() {
                request.answer((self.queue.abandoned)());
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

    type Answer = Result<(), &'static str>;

    fn queue() -> Queue<(), Answer> {
        Queue::new(|| Err("the leader died"))
    }

    #[test]
    fn a_leader_that_panics_leaves_nobody_waiting() {
        let queue = Arc::new(queue());
        let Turn::Lead(lead) = queue.join(|| ()) else { panic!("nobody leads yet") };
        let follower = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || match queue.join(|| ()) {
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
        let queue = queue();
        let answered = std::sync::atomic::AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..32 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let lead = |lead: Lead<'_, (), Answer>| {
                            for request in &lead.taken {
                                request.answer(Ok(()));
                            }
                        };
                        match queue.join(|| ()) {
                            Turn::Lead(mine) => lead(mine),
                            Turn::Follow(request) => {
                                if let Some(mine) = queue.follow(&request) {
                                    lead(mine);
                                }
                                queue.answer_of(&request).unwrap();
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
