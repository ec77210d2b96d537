//! The client that runs by itself, on threads of its own.

use std::ops::Deref;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::connection::Connection;
use super::stream::Streaming;
use crate::algebra::Ask;
use crate::client::desk::{Desk, Running};
use crate::client::duty::{Acts, Duty};
use crate::client::error::Error;
use crate::client::handle::Handle;
use crate::client::message::Carried;
use crate::client::rest::resting;
use crate::client::status::Phase;
use crate::client::told::{StreamAct, StreamNews};
use crate::replica::Replica;
use crate::sync;

/// Keeps a replica in step with its authority until it is stopped: what is written goes up within a second, what changes
/// elsewhere comes down over a stream as it happens, or at an interval where there is none. Everything that a [`Handle`]
/// does it does too.
///
/// It runs on one thread, beside one for the question that is on its way and one for the stream; neither of these two
/// touches the replica, so they are left to themselves once nobody wants to hear them: their sockets are shut down, and
/// they end at once, or where a name is being looked up or a connection made, after
/// [`Options::connect_ms_max`](crate::client::Options::connect_ms_max).
///
/// ```no_run
/// use foldlog::client::{Connection, Courier, Credentials, Event, Options, Phase};
/// use foldlog::replica::Replica;
/// use foldlog::{journal, sync};
///
/// let replica = Replica::create("notes.replica", journal::Options::new())?;
/// let credentials = Credentials::token("…")?.renewed_by(|| None); // or ask whoever gives out tokens
/// let connection = Connection::new("https://sync.example.org".parse()?, credentials, Options::new())?;
/// let courier = Courier::start(replica.clone(), sync::Options::default(), &connection)?;
/// let events = courier.events();
/// while let Some(event) = events.wait(std::time::Duration::from_secs(60)) {
///     match event {
///         Event::Conflicts(keys) => println!("decide about {keys:?}"),
///         Event::Phase(Phase::Unauthorised) => println!("log in, and then `courier.set_token`"),
///         _ => {}
///     }
/// }
/// courier.suspend(); // the system puts the program to sleep: the file is free
/// courier.resume();
/// courier.stop();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Courier {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl Courier {
    /// Starts it, with a sync.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(replica: Replica, options: sync::Options, connection: &Connection) -> Result<Self, Error> {
        let desk = Desk::beside(&replica);
        let handle = Handle { desk: Arc::clone(&desk), credentials: connection.credentials().clone() };
        let duty = Duty::new(replica, options, connection.options().clone(), Arc::clone(&desk));
        let connection = connection.apart();
        // Before it does anything: whoever waits for what it does must not take it for stopped.
        let running = Running::at(desk);
        let run = move || run(duty, connection, &running.0);
        let started = thread::Builder::new().name("foldlog-sync".to_owned()).spawn(run);
        let thread = Some(started.map_err(|source| Error::Thread { source })?);
        Ok(Courier { handle, thread })
    }

    /// A handle on it that can be given away.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Stops it, and waits until it touches the replica no more: as long as one bunch or page takes to be written down,
    /// whatever the network does. Dropping it does the same.
    pub fn stop(mut self) {
        self.end();
    }

    /// Lets go of the replica's file and waits until it is free: as long as one bunch or page takes to be written down.
    /// Until [`Courier::resume`](Handle::resume) everything that the replica is asked answers that it is suspended.
    pub fn suspend(&self) {
        self.handle.suspend();
        let is_free = |phase| matches!(phase, Phase::Suspended | Phase::Stopped);
        // Somebody else may want it back meanwhile, so now and then that is looked at.
        while self.handle.desk.is_to_be_suspended()
            && !self.handle.wait(Duration::from_millis(100), |status| is_free(status.phase))
        {}
    }

    fn end(&mut self) {
        self.handle.stop();
        if let Some(thread) = self.thread.take() {
            // What it panicked with was said on its own thread.
            drop(thread.join());
        }
    }
}

impl Deref for Courier {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Courier {
    fn drop(&mut self) {
        self.end();
    }
}

fn run(mut duty: Duty, mut connection: Connection, desk: &Arc<Desk>) {
    let mut streaming: Option<Streaming> = None;
    let mut mail = desk.take();
    loop {
        let Acts { hang_up, ask, stream, until, is_over } = duty.turn(mail);
        if hang_up || is_over {
            let fresh = connection.apart();
            std::mem::replace(&mut connection, fresh).hang_up();
        }
        match stream {
            StreamAct::Keep => {}
            StreamAct::Close => {
                desk.expect_stream(None);
                streaming = None;
            }
            StreamAct::Open { ticket, heard } => match Streaming::open(&connection, desk, ticket, &heard) {
                Ok(open) => streaming = Some(open),
                Err(error) => drop(desk.put_stream(ticket, StreamNews::Ended(error))),
            },
        }
        if is_over {
            return drop(streaming);
        }
        if let Some((ticket, ask)) = ask {
            carry(&connection, desk, ticket, ask);
        }
        mail = desk.wait(resting(until, duty.now()));
    }
}

/// Asks on a thread of its own, so that whoever waits for the answer can be told other things meanwhile.
fn carry(connection: &Connection, desk: &Arc<Desk>, ticket: u64, ask: Ask) {
    let (mine, its) = (connection.clone(), Arc::clone(desk));
    let carrying = move || its.put_answer(ticket, mine.carry(&ask));
    if let Err(source) = thread::Builder::new().name("foldlog-ask".to_owned()).spawn(carrying) {
        let answer = Err(Error::Thread { source });
        desk.put_answer(ticket, Carried { answer, sent: 0, received: 0 });
    }
}
