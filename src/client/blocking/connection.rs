//! A connection to an authority, blocking.

use std::fmt;
use std::io::Read;
use std::sync::Arc;

use ureq::http::{self, Request};
use ureq::{Agent, Body};

use crate::algebra::{Answer, Ask};
use crate::client::address::Address;
use crate::client::credentials::{Credentials, Held};
use crate::client::error::Error;
use crate::client::message::{Carried, Incoming, Outgoing, USER_AGENT, offline};
use crate::client::options::{Options, lasting};
use crate::client::tls;

/// How much of a body is read at once.
pub(super) const PIECE_BYTES: usize = 16 * 1024;

/// A connection to an authority, over HTTP. Cheap to clone, usable from any thread; it keeps a socket open between two
/// questions. It follows no redirect: a token is for whom it was given for.
#[derive(Clone)]
pub struct Connection {
    shared: Arc<Shared>,
    agent: Agent,
}

struct Shared {
    address: Address,
    credentials: Credentials,
    options: Options,
}

impl Connection {
    /// A connection to this address. Nothing is asked yet.
    ///
    /// # Errors
    /// An address with https where this build speaks none.
    pub fn new(address: Address, credentials: Credentials, options: Options) -> Result<Self, Error> {
        tls::require(&address)?;
        let agent = agent(&options);
        Ok(Connection { shared: Arc::new(Shared { address, credentials, options }), agent })
    }

    /// Asks, and waits for the answer. Where nobody answers, that is [`Answer::Offline`]. A token that is refused is
    /// renewed once, where there is a way to.
    ///
    /// # Errors
    /// A request that is refused, or what is no answer.
    pub fn ask(&self, ask: &Ask) -> Result<Answer, Error> {
        match self.carry(ask).answer {
            Err(Error::Offline { .. }) => Ok(Answer::Offline),
            answer => answer,
        }
    }

    /// Who asks.
    #[must_use]
    pub fn credentials(&self) -> &Credentials {
        &self.shared.credentials
    }

    pub(in crate::client) fn options(&self) -> &Options {
        &self.shared.options
    }

    /// The same with sockets of its own.
    pub(super) fn apart(&self) -> Self {
        Connection { shared: Arc::clone(&self.shared), agent: agent(&self.shared.options) }
    }

    /// Ends whatever is under way, on whichever thread, and asks nothing any more.
    pub(super) fn hang_up(self) {
        self.agent.shutdown();
    }

    pub(super) fn carry(&self, ask: &Ask) -> Carried {
        let outgoing = Outgoing::of(ask, &self.shared.address);
        let held = self.shared.credentials.held();
        let mut carried = self.send(&outgoing, &held);
        if matches!(carried.answer, Ok(Answer::Unauthorised)) && self.shared.credentials.renewed(&held) {
            let again = self.send(&outgoing, &self.shared.credentials.held());
            let (sent, received) = (carried.sent + again.sent, carried.received + again.received);
            carried = Carried { sent, received, ..again };
        }
        carried
    }

    fn send(&self, outgoing: &Outgoing, held: &Held) -> Carried {
        let mut received = 0;
        let answer = run(&self.agent, outgoing, held).and_then(|response| {
            let (parts, body) = response.into_parts();
            let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
            let bytes_max = self.shared.options.answer_bytes_max;
            let mut incoming = Incoming::new(outgoing.route, parts.status.as_u16(), header, bytes_max)?;
            let read = read(body, &mut incoming);
            received = incoming.received();
            read.and_then(|()| incoming.answer())
        });
        Carried { answer, sent: outgoing.sent(), received }
    }

    /// Opens the stream that an outgoing request asks for, with sockets of its own.
    pub(super) fn stream(&self, heard: &crate::codec::wire::EventId) -> (Agent, Outgoing) {
        let Options { connect_ms_max, stream_silence_ms_max, .. } = self.shared.options;
        let config = config(&self.shared.options)
            .timeout_global(None)
            .timeout_recv_response(Some(lasting(connect_ms_max.max(stream_silence_ms_max))))
            .timeout_per_read(Some(lasting(stream_silence_ms_max)));
        (config.build().into(), Outgoing::stream(heard, &self.shared.address))
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("address", &self.shared.address)
            .field("credentials", &self.shared.credentials)
            .field("options", &self.shared.options)
            .finish_non_exhaustive()
    }
}

/// Sends a request, and gives the response with its body still to come.
///
/// A socket that was kept open may have been closed by the other side just then. Nobody can tell that from a cut, but
/// whatever is asked may be asked twice, so it is asked once more at once.
pub(super) fn run(agent: &Agent, outgoing: &Outgoing, held: &Held) -> Result<http::Response<Body>, Error> {
    let sent = match send(agent, outgoing, held)? {
        Err(ureq::Error::Io(error)) if is_cut(&error) => send(agent, outgoing, held)?,
        sent => sent,
    };
    sent.map_err(|error| offline(&error))
}

fn send(
    agent: &Agent,
    outgoing: &Outgoing,
    held: &Held,
) -> Result<Result<http::Response<Body>, ureq::Error>, Error> {
    let mut request = Request::builder().uri(&outgoing.url);
    for (name, value) in &outgoing.headers {
        request = request.header(*name, value);
    }
    if let Some(token) = &held.token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let invalid = |error: http::Error| Error::Setup { why: error.to_string() };
    Ok(match &outgoing.body {
        Some(body) => agent.run(request.method("POST").body(body.as_slice()).map_err(invalid)?),
        None => agent.run(request.method("GET").body(()).map_err(invalid)?),
    })
}

fn is_cut(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

pub(super) fn read(body: Body, incoming: &mut Incoming) -> Result<(), Error> {
    let mut reader = body.into_with_config().limit(u64::MAX).reader();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let count = reader.read(&mut piece).map_err(|error| offline(&error))?;
        match piece.get(..count) {
            Some(bytes) if !bytes.is_empty() => {
                if !incoming.take(bytes)? {
                    return Ok(());
                }
            }
            Some(_) | None => return Ok(()),
        }
    }
}

fn agent(options: &Options) -> Agent {
    config(options).build().into()
}

fn config(options: &Options) -> ureq::config::ConfigBuilder<ureq::typestate::AgentScope> {
    let silence = Some(lasting(options.silence_ms_max));
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(USER_AGENT)
        .timeout_resolve(Some(lasting(options.connect_ms_max)))
        .timeout_connect(Some(lasting(options.connect_ms_max)))
        .timeout_per_read(silence)
        .timeout_per_write(silence)
        .timeout_global(Some(lasting(options.request_ms_max)));
    #[cfg(any(feature = "tls-webpki", feature = "tls-platform"))]
    let config = config.tls_config(tls::blocking());
    config
}
