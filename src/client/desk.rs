//! The desk of a running client: where orders, answers and what a stream tells are put, and where it says how it
//! stands. Whoever runs the client takes the mail, turn by turn.
//!
//! Invariant: no lock of the desk is held while anybody waits for a network or a disk.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::message::Carried;
use super::news::Listeners;
use super::status::{Event, Phase, Status};
use super::told::StreamNews;
use crate::replica::{Cause, Replica};

/// What was ordered since the mail was last taken.
#[derive(Debug, Default)]
pub(super) struct Orders {
    pub(super) stop: bool,
    /// Whether the file is to be free; stands until it is ordered otherwise.
    pub(super) suspended: bool,
    pub(super) sync: bool,
    pub(super) compare: bool,
    /// Whether there is a network, where somebody said so.
    pub(super) network: Option<bool>,
    pub(super) has_token: bool,
}

/// What came in.
#[derive(Debug, Default)]
pub(super) struct Mail {
    pub(super) orders: Orders,
    /// What came of a question, by its ticket.
    pub(super) answer: Option<(u64, Carried)>,
    /// What a stream tells, by its ticket.
    pub(super) stream: Option<(u64, StreamNews)>,
}

#[derive(Debug, Default)]
struct Inbox {
    mail: Mail,
    has_orders: bool,
    has_written: bool,
    /// Whether a local write is worth a turn: not while something else will bring one soon.
    heeds_writes: bool,
    /// The ticket of the stream that may tell something.
    streaming: Option<u64>,
    waker: Option<Waker>,
}

impl Inbox {
    fn is_worth_a_turn(&self) -> bool {
        self.has_orders
            || self.mail.answer.is_some()
            || self.mail.stream.is_some()
            || (self.has_written && self.heeds_writes)
    }

    fn take(&mut self) -> Mail {
        let suspended = self.mail.orders.suspended;
        let taken = std::mem::take(&mut self.mail);
        self.mail.orders.suspended = suspended;
        (self.has_orders, self.has_written) = (false, false);
        taken
    }
}

#[derive(Debug, Default)]
pub(super) struct Desk {
    inbox: Mutex<Inbox>,
    bell: Condvar,
    shown: Mutex<Shown>,
    shown_bell: Condvar,
    pub(super) listeners: Listeners,
}

#[derive(Debug, Default)]
struct Shown {
    status: Status,
    wakers: Vec<Waker>,
}

impl Desk {
    /// A desk that hears of local writes.
    pub(super) fn beside(replica: &Replica) -> Arc<Self> {
        let desk = Arc::new(Desk::default());
        let weak = Arc::downgrade(&desk);
        replica.watch_by(move |changed| {
            let Some(desk) = weak.upgrade() else { return false };
            match changed.cause {
                Cause::Local | Cause::Rebased | Cause::Conflict => desk.note_write(),
                Cause::Remote => {}
            }
            true
        });
        desk
    }

    fn note_write(&self) {
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::mem::replace(&mut inbox.has_written, true) && inbox.heeds_writes {
            self.ring(inbox);
        }
    }

    pub(super) fn heed_writes(&self, heeds: bool) {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner).heeds_writes = heeds;
    }

    pub(super) fn order(&self, order: impl FnOnce(&mut Orders)) {
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        order(&mut inbox.mail.orders);
        inbox.has_orders = true;
        self.ring(inbox);
    }

    /// Puts down what came of a question.
    pub(super) fn put_answer(&self, ticket: u64, carried: Carried) {
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        // A later question may have been answered already: tickets grow.
        if inbox.mail.answer.as_ref().is_none_or(|(held, _)| *held < ticket) {
            inbox.mail.answer = Some((ticket, carried));
            self.ring(inbox);
        }
    }

    /// Says which stream may tell something from now on, if any.
    pub(super) fn expect_stream(&self, ticket: Option<u64>) {
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        inbox.streaming = ticket;
        if inbox.mail.stream.as_ref().is_some_and(|(held, _)| Some(*held) != ticket) {
            inbox.mail.stream = None;
        }
        self.ring(inbox);
    }

    /// Puts down what a stream tells, once what it told before was taken. Whether it may go on.
    pub(super) fn put_stream(&self, ticket: u64, news: StreamNews) -> bool {
        let inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = |inbox: &mut Inbox| inbox.streaming == Some(ticket) && inbox.mail.stream.is_some();
        let mut inbox = self.bell.wait_while(inbox, is_full).unwrap_or_else(PoisonError::into_inner);
        if inbox.streaming != Some(ticket) {
            return false;
        }
        inbox.mail.stream = Some((ticket, news));
        self.ring(inbox);
        true
    }

    /// Waits until there is something worth a turn, or for so long.
    pub(super) fn wait(&self, longest: Duration) -> Mail {
        let inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        let is_quiet = |inbox: &mut Inbox| !inbox.is_worth_a_turn();
        let waited = self.bell.wait_timeout_while(inbox, longest, is_quiet);
        let (mut inbox, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let mail = inbox.take();
        // A stream may be waiting for its place.
        self.ring(inbox);
        mail
    }

    /// Whether there is something worth a turn; who asked is woken once there is.
    pub(super) fn poll(&self, context: &Context<'_>) -> Poll<()> {
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        if inbox.is_worth_a_turn() {
            return Poll::Ready(());
        }
        inbox.waker = Some(context.waker().clone());
        Poll::Pending
    }

    /// Takes what is there.
    pub(super) fn take(&self) -> Mail {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn ring(&self, mut inbox: std::sync::MutexGuard<'_, Inbox>) {
        let waker = inbox.waker.take();
        drop(inbox);
        self.bell.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn status(&self) -> Status {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).status.clone()
    }

    /// Changes what is shown, and tells of another phase.
    pub(super) fn show(&self, change: impl FnOnce(&mut Status)) {
        let (was, is, wakers) = {
            let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
            let was = shown.status.phase;
            change(&mut shown.status);
            (was, shown.status.phase, std::mem::take(&mut shown.wakers))
        };
        self.shown_bell.notify_all();
        wakers.into_iter().for_each(Waker::wake);
        if was != is {
            self.listeners.tell(&Event::Phase(is));
        }
    }

    pub(super) fn show_phase(&self, phase: Phase) {
        self.show(|status| status.phase = phase);
    }

    /// Waits until it stands like this, or for so long; whether it does.
    pub(super) fn wait_until(&self, longest: Option<Duration>, is: impl Fn(&Status) -> bool) -> bool {
        let deadline = longest.and_then(|longest| Instant::now().checked_add(longest));
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        while !is(&shown.status) {
            let left = match deadline {
                Some(deadline) => deadline.saturating_duration_since(Instant::now()),
                None => Duration::MAX,
            };
            if left.is_zero() {
                return false;
            }
            shown = self.shown_bell.wait_timeout(shown, left).unwrap_or_else(PoisonError::into_inner).0;
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

/// While it lives, somebody runs the client.
pub(super) struct Running(pub(super) Arc<Desk>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.expect_stream(None);
        self.0.show(|status| {
            status.phase = Phase::Stopped;
            status.is_streaming = false;
        });
    }
}
