//! The handle of a running client.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use super::credentials::Credentials;
use super::desk::Desk;
use super::error::Error;
use super::news::News;
use super::status::Status;

/// A handle on a running client. Cheap to clone, usable from any thread; nothing here waits unless it says so.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(super) desk: Arc<Desk>,
    pub(super) credentials: Credentials,
}

impl Handle {
    /// Ends it. What is unsent is kept, and an answer that is still on its way is asked for again by whoever runs next.
    /// Said while nothing runs, it ends the next run at once.
    pub fn stop(&self) {
        self.desk.order(|orders| orders.stop = true);
    }

    /// Lets go of the replica's file, so that another program may open it. It is free once the status says
    /// [`Phase::Suspended`](super::Phase::Suspended).
    pub fn suspend(&self) {
        self.desk.order(|orders| orders.suspended = true);
    }

    /// Opens the file again and goes on, with a sync.
    pub fn resume(&self) {
        self.desk.order(|orders| orders.suspended = false);
    }

    /// Syncs without waiting for anything but the authority's own wish to be left alone.
    pub fn sync_now(&self) {
        self.desk.order(|orders| orders.sync = true);
    }

    /// Syncs, and then compares what is live here with what is live there: the next
    /// [`Synced`](super::Synced) tells what that came to.
    pub fn compare_now(&self) {
        self.desk.order(|orders| (orders.sync, orders.compare) = (true, true));
    }

    /// The system says that there is a network again: it syncs at once.
    pub fn online(&self) {
        self.desk.order(|orders| orders.network = Some(true));
    }

    /// The system says that there is no network: nothing is asked until [`Handle::online`].
    pub fn offline(&self) {
        self.desk.order(|orders| orders.network = Some(false));
    }

    /// There is another token; what waited for it goes on.
    ///
    /// # Errors
    /// A token that cannot stand in a header.
    pub fn set_token(&self, token: &str) -> Result<(), Error> {
        self.credentials.set_token(token)?;
        self.desk.order(|orders| orders.has_token = true);
        Ok(())
    }

    /// How it stands.
    #[must_use]
    pub fn status(&self) -> Status {
        self.desk.board.status()
    }

    /// What happens from now on.
    #[must_use]
    pub fn events(&self) -> News {
        self.desk.listeners.listen()
    }

    /// Waits until it stands like this, or the time is over; whether it does.
    pub fn wait(&self, timeout: Duration, is: impl Fn(&Status) -> bool) -> bool {
        self.desk.board.wait_until(timeout, is)
    }

    /// Awaits that it stands like this.
    pub async fn until(&self, is: impl Fn(&Status) -> bool) {
        poll_fn(|context| self.desk.board.poll_until(context, &is)).await;
    }
}
