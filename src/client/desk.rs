//! The desk of a running client: where orders, answers and what a stream tells are put, and where it says how it
//! stands. Whoever runs the client takes the mail, turn by turn.
//!
//! Invariant: no lock of the desk is held while anybody waits for a network or a disk.

#[cfg(feature = "client")]
use std::sync::Condvar;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
#[cfg(feature = "client-async")]
use std::task::{Context, Poll};
#[cfg(feature = "client")]
use std::time::Duration;

use super::board::Board;
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
    #[cfg(feature = "client")]
    bell: Condvar,
    /// How the client stands.
    pub(super) board: Board,
    /// Whom it tells what happens.
    pub(super) listeners: Listeners,
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

    /// Shows another phase, and tells of it.
    pub(super) fn show_phase(&self, phase: Phase) {
        self.show(|status| status.phase = phase);
    }

    /// Shows how it stands now, and tells of another phase before that: who sees it was told. Only whoever runs the
    /// client calls this.
    pub(super) fn show(&self, change: impl FnOnce(&mut Status)) {
        let mut status = self.board.status();
        let was = status.phase;
        change(&mut status);
        if status.phase != was {
            self.listeners.tell(&Event::Phase(status.phase));
        }
        self.board.show(status);
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

    /// Whether the file is to be free.
    #[cfg(feature = "client")]
    pub(super) fn is_to_be_suspended(&self) -> bool {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner).mail.orders.suspended
    }

    /// Puts down what came of a question.
    #[cfg(feature = "client")]
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
    #[cfg(feature = "client")]
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
    #[cfg(feature = "client")]
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
    #[cfg(feature = "client-async")]
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
        #[cfg(feature = "client")]
        self.bell.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// While it lives, somebody runs the client.
pub(super) struct Running(pub(super) Arc<Desk>);

impl Running {
    pub(super) fn at(desk: Arc<Desk>) -> Self {
        desk.show_phase(Phase::Syncing);
        Running(desk)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.expect_stream(None);
        self.0.show(|status| {
            status.phase = Phase::Stopped;
            status.is_streaming = false;
        });
    }
}
