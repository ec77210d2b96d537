//! One sync at a time.

use super::connection::Connection;
use crate::client::course::Course;
use crate::client::error::Error;
use crate::client::synced::Synced;
use crate::replica::Replica;
use crate::sync::{self, Next, Want};

/// Syncs a replica when it is told to, and waits until that is done. One replica has one driver at a time.
///
/// ```no_run
/// use foldlog::client::{Connection, Credentials, Driver, Options};
/// use foldlog::replica::Replica;
/// use foldlog::{journal, sync};
///
/// let replica = Replica::create("notes.replica", journal::Options::new())?;
/// let connection = Connection::new("http://127.0.0.1:8080".parse()?, Credentials::none(), Options::new())?;
/// let mut driver = Driver::new(replica, sync::Options::default(), connection);
/// let synced = driver.compare()?;
/// println!("{} rows came, {} operations went", synced.rows_taken, synced.operations_sent);
/// assert_eq!(synced.is_same(), Some(true));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Driver {
    course: Course,
    connection: Connection,
}

impl Driver {
    /// A driver of this replica. Nothing is asked yet.
    #[must_use]
    pub fn new(replica: Replica, options: sync::Options, connection: Connection) -> Self {
        Driver { course: Course::new(replica, options, connection.options().clone()), connection }
    }

    /// The replica.
    #[must_use]
    pub fn replica(&self) -> &Replica {
        self.course.replica()
    }

    /// Fetches what changed elsewhere, sends what is pending, asks for the triggers that were not heard, until there is
    /// nothing more to ask. It waits for no later attempt: what fails is told at once, and tried again when it is called
    /// again.
    ///
    /// # Errors
    /// Nobody answers, not now, or not with these credentials; a request that is refused; what is no answer; or what the
    /// replica says. What was taken before that stays taken, and what is unsent is kept.
    pub fn sync(&mut self) -> Result<Synced, Error> {
        self.sync_with(Want::SYNC, |_| ())
    }

    /// The same, and then compares what is live here with what is live there: [`Synced::compared`].
    ///
    /// # Errors
    /// As [`Driver::sync`].
    pub fn compare(&mut self) -> Result<Synced, Error> {
        self.sync_with(Want { compare: true, ..Want::SYNC }, |_| ())
    }

    /// The same, where somebody wants to know how it goes: told after every answer what it came to so far.
    ///
    /// # Errors
    /// As [`Driver::sync`].
    pub fn sync_with(&mut self, want: Want, mut told: impl FnMut(&Synced)) -> Result<Synced, Error> {
        self.course.anew();
        self.course.begin(want)?;
        loop {
            match self.course.next()? {
                Next::Ask(request) => {
                    let carried = self.connection.carry(&request.ask);
                    self.course.take(request.number, carried)?;
                    told(self.course.synced());
                }
                Next::Wait(_) => return Ok(self.course.take_synced()),
                Next::Unauthorised => return Err(Error::Unauthorised),
            }
        }
    }
}
