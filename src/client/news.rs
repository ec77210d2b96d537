//! Events for whoever wants to hear them: by waiting, by looking, or by awaiting.
//!
//! Invariant: a listener that takes nothing costs bounded memory, and is told how much it missed.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use super::status::Event;

/// How many events wait for a listener; of more the oldest are dropped.
const EVENTS_MAX: usize = 1_024;

/// The events of a running client from the moment on at which they were asked for.
#[derive(Debug)]
pub struct News {
    queue: Arc<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    bell: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    events: VecDeque<Event>,
    missed: u64,
    waker: Option<Waker>,
    /// Nobody will tell any more.
    is_over: bool,
}

impl Waiting {
    fn take(&mut self) -> Option<Event> {
        match std::mem::take(&mut self.missed) {
            0 => self.events.pop_front(),
            missed => Some(Event::Missed(missed)),
        }
    }
}

impl News {
    /// The next event, if there is one.
    #[must_use]
    pub fn look(&self) -> Option<Event> {
        self.queue.waiting.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Waits for the next event; none when the time is over, or nobody is left who could tell anything.
    #[must_use]
    pub fn wait(&self, timeout: Duration) -> Option<Event> {
        let deadline = Instant::now().checked_add(timeout);
        let mut waiting = self.queue.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let event = waiting.take();
            if event.is_some() || waiting.is_over {
                return event;
            }
            let left = match deadline {
                Some(deadline) => deadline.saturating_duration_since(Instant::now()),
                None => Duration::MAX,
            };
            if left.is_zero() {
                return None;
            }
            waiting = self.queue.bell.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Awaits the next event; none when nobody is left who could tell anything. Dropping the future loses nothing.
    pub async fn next(&self) -> Option<Event> {
        poll_fn(|context| {
            let mut waiting = self.queue.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let event = waiting.take();
            if event.is_some() || waiting.is_over {
                return Poll::Ready(event);
            }
            waiting.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }
}

/// Those who listen.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    queues: Mutex<Vec<Weak<Queue>>>,
}

impl Listeners {
    pub(super) fn listen(&self) -> News {
        let queue = Arc::default();
        self.queues.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&queue));
        News { queue }
    }

    pub(super) fn tell(&self, event: &Event) {
        self.each(|waiting| {
            if waiting.events.len() >= EVENTS_MAX {
                waiting.events.pop_front();
                waiting.missed += 1;
            }
            waiting.events.push_back(event.clone());
        });
    }

    fn each(&self, change: impl Fn(&mut Waiting)) {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        queues.retain(|queue| {
            let Some(queue) = queue.upgrade() else { return false };
            let waker = {
                let mut waiting = queue.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                change(&mut waiting);
                waiting.waker.take()
            };
            queue.bell.notify_all();
            if let Some(waker) = waker {
                waker.wake();
            }
            true
        });
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        self.each(|waiting| waiting.is_over = true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_takes_nothing_misses_the_oldest_and_is_told_how_many() {
        let listeners = Listeners::default();
        let (idle, late) = (listeners.listen(), listeners.listen());
        (0..EVENTS_MAX as u64 + 3).for_each(|n| listeners.tell(&Event::Heard(n)));
        assert!(matches!(idle.look(), Some(Event::Missed(3))));
        assert!(matches!(idle.look(), Some(Event::Heard(3))));
        assert!(matches!(idle.wait(Duration::ZERO), Some(Event::Heard(4))));
        drop(idle);
        drop(listeners);
        let left = std::iter::from_fn(|| late.wait(Duration::from_secs(9))).count();
        assert_eq!(left, EVENTS_MAX + 1, "what was told before the end is there, and then it is over");
    }
}
