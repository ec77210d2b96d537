//! One sync at a time, or one after the other.

use std::sync::{Arc, Mutex, PoisonError};

use super::connection::AsyncConnection;
use crate::client::course::Course;
use crate::client::desk::Desk;
use crate::client::error::Error;
use crate::client::handle::Handle;
use crate::client::synced::Synced;
use crate::replica::Replica;
use crate::sync::{self, Next, Want};

/// Syncs a replica when it is told to, or all the time while [`AsyncDriver::run`] is awaited. One replica has one driver
/// at a time. What reads and writes the replica's file is done on the runtime's threads for what blocks.
///
/// Every future here may be dropped at any await: the replica is then as after some answer that was taken whole, and
/// whoever syncs next goes on from there.
#[derive(Debug)]
pub struct AsyncDriver {
    pub(super) replica: Replica,
    pub(super) options: sync::Options,
    pub(super) connection: AsyncConnection,
    pub(super) desk: Arc<Desk>,
    course: Arc<Mutex<Course>>,
}

impl AsyncDriver {
    /// A driver of this replica. Nothing is asked yet.
    #[must_use]
    pub fn new(replica: Replica, options: sync::Options, connection: AsyncConnection) -> Self {
        let course = Course::new(replica.clone(), options, connection.options().clone());
        let desk = Desk::beside(&replica);
        AsyncDriver { replica, options, connection, desk, course: Arc::new(Mutex::new(course)) }
    }

    /// The replica.
    #[must_use]
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// A handle on what [`AsyncDriver::run`] does.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle { desk: Arc::clone(&self.desk), credentials: self.connection.credentials().clone() }
    }

    /// Fetches what changed elsewhere, sends what is pending, asks for the triggers that were not heard, until there is
    /// nothing more to ask. It waits for no later attempt: what fails is told at once, and tried again when it is called
    /// again.
    ///
    /// # Errors
    /// Nobody answers, not now, or not with these credentials; a request that is refused; what is no answer; or what the
    /// replica says. What was taken before that stays taken, and what is unsent is kept.
    pub async fn sync(&mut self) -> Result<Synced, Error> {
        self.sync_with(Want::SYNC, |_| ()).await
    }

    /// The same, and then compares what is live here with what is live there: [`Synced::compared`].
    ///
    /// # Errors
    /// As [`AsyncDriver::sync`].
    pub async fn compare(&mut self) -> Result<Synced, Error> {
        self.sync_with(Want { compare: true, ..Want::SYNC }, |_| ()).await
    }

    /// The same, where somebody wants to know how it goes: told after every answer what it came to so far.
    ///
    /// # Errors
    /// As [`AsyncDriver::sync`].
    pub async fn sync_with(&mut self, want: Want, mut told: impl FnMut(&Synced)) -> Result<Synced, Error> {
        let mut next = self
            .on_course(move |course| {
                course.anew();
                course.begin(want)?;
                course.next()
            })
            .await?;
        loop {
            match next {
                Next::Ask(request) => {
                    let carried = self.connection.carry(&request.ask).await;
                    let took = move |course: &mut Course| {
                        course.take(request.number, carried)?;
                        Ok((course.synced().clone(), course.next()?))
                    };
                    let (synced, then) = self.on_course(took).await?;
                    told(&synced);
                    next = then;
                }
                Next::Wait(_) => return self.on_course(|course| Ok(course.take_synced())).await,
                Next::Unauthorised => return Err(Error::Unauthorised),
            }
        }
    }

    async fn on_course<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut Course) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let course = Arc::clone(&self.course);
        blocking(move || call(&mut course.lock().unwrap_or_else(PoisonError::into_inner))).await
    }
}

/// Calls something that may wait for a disk or a person. It comes to its end even if nobody awaits it any more.
pub(super) async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(call).await {
        Ok(done) => done,
        Err(error) => Err(Error::Broken { why: error.to_string() }),
    }
}
