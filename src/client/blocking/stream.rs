//! The stream of triggers, on a thread of its own.

use std::convert::Infallible;
use std::io::Read;
use std::sync::Arc;
use std::thread;

use ureq::Agent;

use super::connection::{Connection, PIECE_BYTES, read, run};
use crate::client::desk::Desk;
use crate::client::error::Error;
use crate::client::listening::{Listening, ended, in_place, is_refused, is_stream, no_stream};
use crate::client::message::{Outgoing, offline};
use crate::client::told::StreamNews;
use crate::codec::wire::EventId;

/// A stream that is open, or being opened. Dropped, it is closed: its thread ends, and tells nothing any more.
#[derive(Debug)]
pub(super) struct Streaming {
    agent: Agent,
}

impl Streaming {
    /// Opens a stream behind what was heard, and lets it tell the desk.
    pub(super) fn open(
        connection: &Connection,
        desk: &Arc<Desk>,
        ticket: u64,
        heard: &EventId,
    ) -> Result<Self, Error> {
        let (agent, outgoing) = connection.stream(heard);
        let (desk, connection, mine) = (Arc::clone(desk), connection.clone(), agent.clone());
        desk.expect_stream(Some(ticket));
        let listening = move || {
            let Err(error) = listen(&connection, &mine, &outgoing, &desk, ticket);
            desk.put_stream(ticket, StreamNews::Ended(error));
        };
        let started = thread::Builder::new().name("foldlog-stream".to_owned()).spawn(listening);
        started.map_err(|source| Error::Thread { source })?;
        Ok(Streaming { agent })
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        self.agent.clone().shutdown();
    }
}

/// Tells what comes until nothing comes any more, and gives the reason.
fn listen(
    connection: &Connection,
    agent: &Agent,
    outgoing: &Outgoing,
    desk: &Desk,
    ticket: u64,
) -> Result<Infallible, Error> {
    let credentials = connection.credentials();
    let held = credentials.held();
    let mut response = run(agent, outgoing, &held)?;
    if is_refused(response.status().as_u16()) && credentials.renewed(&held) {
        response = run(agent, outgoing, &credentials.held())?;
    }
    let (parts, body) = response.into_parts();
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let status = parts.status.as_u16();
    if !is_stream(status, header) {
        let mut incoming = in_place(outgoing, status, header)?;
        read(body, &mut incoming)?;
        return Err(no_stream(incoming.answer(), connection.options().now()));
    }
    let mut goes_on = desk.put_stream(ticket, StreamNews::Opened);
    let mut reader = body.into_with_config().limit(u64::MAX).reader();
    let (mut piece, mut listening) = (vec![0; PIECE_BYTES], Listening::default());
    while goes_on {
        let count = reader.read(&mut piece).map_err(|error| offline(&error))?;
        let Some(bytes) = piece.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
        let events = listening.read(bytes)?;
        if !events.is_empty() {
            goes_on = desk.put_stream(ticket, StreamNews::Told(events));
        }
    }
    Err(ended())
}
