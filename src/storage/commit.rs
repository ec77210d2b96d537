//! Group commit: those who come while another one commits share the next commit.
//!
//! ```text
//! ask ── nobody leads? ── yes ── lead: take all who wait, commit, answer them, hand over
//!               └── no ── wait ── answered, or handed the lead
//! ```
//!
//! Invariant: whoever waits is answered or handed the lead, whatever happens to the leader, a panic of
//! its own included. The lead is never held by somebody who sleeps.
//!
//! What waking costs is most of what many small commits cost. All who were taken together sleep in one place and are woken
//! by one call, when all of them are answered; those who came meanwhile sleep in another one.
//!
//! `tests/group_commit.rs` compiles this module once more, with locks of a scheduler that tries one order after the other.

use super::locks::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// What one caller wants, while another one leads.
#[derive(Debug)]
pub(crate) struct Request<W, A> {
    /// What is to be done.
    pub(crate) work: W,
    answer: Mutex<Option<A>>,
    /// Which of those who are taken together it belongs to.
    batch: usize,
}

/// Who waits, and whether somebody leads.
#[derive(Debug)]
pub(crate) struct Queue<W, A> {
    inner: Mutex<Inner<W, A>>,
    /// Where those of a batch sleep: no more than two are there at a time, one under way and one that waits.
    beds: [Condvar; 2],
    /// What those are answered whose leader died.
    abandoned: fn() -> A,
}

#[derive(Debug)]
struct Inner<W, A> {
    waiting: Vec<Arc<Request<W, A>>>,
    /// The number of the batch that waits.
    batch: usize,
    is_led: bool,
}

/// The lead. Dropping it hands over, and answers those who were taken but not answered.
pub(crate) struct Lead<'q, W, A> {
    queue: &'q Queue<W, A>,
    batch: usize,
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
        let inner = Inner { waiting: Vec::new(), batch: 0, is_led: false };
        Queue { inner: Mutex::new(inner), beds: Default::default(), abandoned }
    }

    /// Takes the lead if nobody has it, or joins those who wait.
    pub(crate) fn join(&self, work: impl FnOnce() -> W) -> Turn<'_, W, A> {
        let mut inner = self.lock();
        if inner.is_led {
            let (work, answer, batch) = (work(), Mutex::new(None), inner.batch);
            let request = Arc::new(Request { work, answer, batch });
            inner.waiting.push(Arc::clone(&request));
            Turn::Follow(request)
        } else {
            Turn::Lead(self.lead(&mut inner))
        }
    }

    /// Takes the lead, and all who wait.
    fn lead(&self, inner: &mut Inner<W, A>) -> Lead<'_, W, A> {
        let lead = Lead { queue: self, batch: inner.batch, taken: std::mem::take(&mut inner.waiting) };
        inner.batch = inner.batch.wrapping_add(1);
        inner.is_led = true;
        lead
    }

    fn bed(&self, batch: usize) -> &Condvar {
        let [even, odd] = &self.beds;
        if batch.is_multiple_of(2) { even } else { odd }
    }

    /// Waits until the request is answered, or the lead is free: then everybody who waits is taken, this
    /// request among them.
    pub(crate) fn follow(&self, request: &Request<W, A>) -> Option<Lead<'_, W, A>> {
        let mut inner = self.lock();
        loop {
            if request.is_answered() {
                return None;
            }
            if !inner.is_led {
                return Some(self.lead(&mut inner));
            }
            inner = self.bed(request.batch).wait(inner).unwrap_or_else(PoisonError::into_inner);
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
    /// Answers the one who waits. It is woken with all others, when the lead ends.
    pub(crate) fn answer(&self, answer: A) {
        self.lock().get_or_insert(answer);
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
        let is_anybody_next = {
            let mut inner = self.queue.lock();
            inner.is_led = false;
            !inner.waiting.is_empty()
        };
        // All of them first: one of them mostly comes again before anybody of the next batch is awake.
        self.queue.bed(self.batch).notify_all();
        if is_anybody_next {
            self.queue.bed(self.batch.wrapping_add(1)).notify_one();
        }
    }
}
