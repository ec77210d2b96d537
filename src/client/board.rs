//! Where a running client shows how it stands, for whoever looks, waits or awaits.

use std::sync::{Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::status::Status;

#[derive(Debug, Default)]
pub(super) struct Board {
    shown: Mutex<Shown>,
    bell: Condvar,
}

#[derive(Debug, Default)]
struct Shown {
    status: Status,
    wakers: Vec<Waker>,
}

impl Board {
    pub(super) fn status(&self) -> Status {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).status.clone()
    }

    pub(super) fn show(&self, status: Status) {
        let wakers = {
            let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
            shown.status = status;
            std::mem::take(&mut shown.wakers)
        };
        self.bell.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Waits until it stands like this, or for so long; whether it does.
    pub(super) fn wait_until(&self, longest: Duration, is: impl Fn(&Status) -> bool) -> bool {
        let deadline = Instant::now().checked_add(longest);
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        while !is(&shown.status) {
            let left = match deadline {
                Some(deadline) => deadline.saturating_duration_since(Instant::now()),
                None => Duration::MAX,
            };
            if left.is_zero() {
                return false;
            }
            shown = self.bell.wait_timeout(shown, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Whether it stands like this; who asked is woken when it stands otherwise than now.
    pub(super) fn poll_until(&self, context: &Context<'_>, is: impl Fn(&Status) -> bool) -> Poll<()> {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if is(&shown.status) {
            return Poll::Ready(());
        }
        if !shown.wakers.iter().any(|waker| waker.will_wake(context.waker())) {
            shown.wakers.push(context.waker().clone());
        }
        Poll::Pending
    }
}
