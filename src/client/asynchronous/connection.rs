//! A connection to an authority that waits for nothing but its own futures.

use std::fmt;
use std::sync::Arc;

use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response};

use super::driver::blocking;
use crate::algebra::{Answer, Ask};
use crate::client::address::Address;
use crate::client::credentials::{Credentials, Held};
use crate::client::error::Error;
use crate::client::listening::{Listening, ended, in_place, is_refused, is_stream, no_stream};
use crate::client::message::{Carried, Incoming, Outgoing, USER_AGENT, offline};
use crate::client::options::{Options, lasting};
use crate::client::tls;
use crate::codec::wire::{Event, EventId};

/// A connection to an authority, over HTTP. Cheap to clone; it keeps a socket open between two questions. It follows no
/// redirect: a token is for whom it was given for.
#[derive(Clone)]
pub struct AsyncConnection {
    shared: Arc<Shared>,
}

struct Shared {
    address: Address,
    credentials: Credentials,
    options: Options,
    client: Client,
    /// A stream may be silent for longer, and lasts for as long as it lasts.
    streaming: Client,
}

impl AsyncConnection {
    /// A connection to this address. Nothing is asked yet.
    ///
    /// # Errors
    /// An address with https where this build speaks none, or what the system says to making a client ready.
    pub fn new(address: Address, credentials: Credentials, options: Options) -> Result<Self, Error> {
        tls::require(&address)?;
        let setup = |error: reqwest::Error| Error::Setup { why: error.to_string() };
        let client = builder(&options)?
            .read_timeout(lasting(options.silence_ms_max))
            .timeout(lasting(options.request_ms_max))
            .build()
            .map_err(setup)?;
        let silence = lasting(options.stream_silence_ms_max);
        let streaming = builder(&options)?.read_timeout(silence).build().map_err(setup)?;
        Ok(AsyncConnection { shared: Arc::new(Shared { address, credentials, options, client, streaming }) })
    }

    /// Asks. Where nobody answers, that is [`Answer::Offline`]. A token that is refused is renewed once, where there is
    /// a way to. Dropped before it is done, nobody knows whether the question arrived; asked again, it is answered as
    /// if it had been asked once.
    ///
    /// # Errors
    /// A request that is refused, or what is no answer.
    pub async fn ask(&self, ask: &Ask) -> Result<Answer, Error> {
        match self.carry(ask).await.answer {
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

    pub(super) async fn carry(&self, ask: &Ask) -> Carried {
        let outgoing = Outgoing::of(ask, &self.shared.address);
        let held = self.credentials().held();
        let mut carried = self.send(&outgoing, &held).await;
        if matches!(carried.answer, Ok(Answer::Unauthorised)) && self.renewed(&held).await {
            let again = self.send(&outgoing, &self.credentials().held()).await;
            let (sent, received) = (carried.sent + again.sent, carried.received + again.received);
            carried = Carried { sent, received, ..again };
        }
        carried
    }

    async fn renewed(&self, held: &Held) -> bool {
        let (credentials, held) = (self.credentials().clone(), held.clone());
        blocking(move || Ok(credentials.renewed(&held))).await.unwrap_or(false)
    }

    async fn send(&self, outgoing: &Outgoing, held: &Held) -> Carried {
        let mut received = 0;
        let answer = self.answered(outgoing, held, &mut received).await;
        Carried { answer, sent: outgoing.sent(), received }
    }

    async fn answered(&self, outgoing: &Outgoing, held: &Held, received: &mut u64) -> Result<Answer, Error> {
        let response = run(&self.shared.client, outgoing, held).await?;
        let status = response.status().as_u16();
        let bytes_max = self.shared.options.answer_bytes_max;
        let incoming = Incoming::new(outgoing.route, status, |name| header(&response, name), bytes_max)?;
        read(response, incoming, received).await
    }

    /// Opens the stream of triggers behind what was heard.
    pub(super) async fn stream(&self, heard: &EventId) -> Result<Streaming, Error> {
        let outgoing = Outgoing::stream(heard, &self.shared.address);
        let held = self.credentials().held();
        let mut response = run(&self.shared.streaming, &outgoing, &held).await?;
        if is_refused(response.status().as_u16()) && self.renewed(&held).await {
            response = run(&self.shared.streaming, &outgoing, &self.credentials().held()).await?;
        }
        let status = response.status().as_u16();
        if is_stream(status, |name| header(&response, name)) {
            return Ok(Streaming { response, listening: Listening::default() });
        }
        let incoming = in_place(&outgoing, status, |name| header(&response, name))?;
        let answer = read(response, incoming, &mut 0).await;
        Err(no_stream(answer, self.options().now()))
    }
}

impl fmt::Debug for AsyncConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncConnection")
            .field("address", &self.shared.address)
            .field("credentials", &self.shared.credentials)
            .field("options", &self.shared.options)
            .finish_non_exhaustive()
    }
}

/// A stream that is open. Dropped, it is closed.
#[derive(Debug)]
pub(super) struct Streaming {
    response: Response,
    listening: Listening,
}

impl Streaming {
    /// What is told next.
    pub(super) async fn next(&mut self) -> Result<Vec<Event>, Error> {
        loop {
            let piece = self.response.chunk().await.map_err(|error| offline(&error))?.ok_or_else(ended)?;
            let events = self.listening.read(&piece)?;
            if !events.is_empty() {
                return Ok(events);
            }
        }
    }
}

/// Sends a request, and gives the response with its body still to come.
///
/// A socket that was kept open may have been closed by the other side just then. Nobody can tell that from a cut, but
/// whatever is asked may be asked twice, so it is asked once more at once.
async fn run(client: &Client, outgoing: &Outgoing, held: &Held) -> Result<Response, Error> {
    let sent = match send(client, outgoing, held).await {
        Err(error) if error.is_request() && !error.is_connect() && !error.is_timeout() => {
            send(client, outgoing, held).await
        }
        sent => sent,
    };
    // What goes wrong is told without the URL: a query may say more than logs should.
    sent.map_err(|error| offline(&error.without_url()))
}

async fn send(client: &Client, outgoing: &Outgoing, held: &Held) -> Result<Response, reqwest::Error> {
    let method = if outgoing.body.is_some() { Method::POST } else { Method::GET };
    let mut request = client.request(method, &outgoing.url);
    for (name, value) in &outgoing.headers {
        request = request.header(*name, value);
    }
    if let Some(token) = &held.token {
        request = request.bearer_auth(token);
    }
    if let Some(body) = &outgoing.body {
        request = request.body(body.clone());
    }
    request.send().await
}

fn header<'r>(response: &'r Response, name: &str) -> Option<&'r str> {
    response.headers().get(name).and_then(|value| value.to_str().ok())
}

async fn read(mut response: Response, mut incoming: Incoming, received: &mut u64) -> Result<Answer, Error> {
    while let Some(piece) = response.chunk().await.map_err(|error| offline(&error.without_url()))? {
        let goes_on = incoming.take(&piece);
        *received = incoming.received();
        if !goes_on? {
            break;
        }
    }
    incoming.answer()
}

fn builder(options: &Options) -> Result<reqwest::ClientBuilder, Error> {
    let client = Client::builder()
        .user_agent(USER_AGENT)
        .redirect(Policy::none())
        .connect_timeout(lasting(options.connect_ms_max));
    #[cfg(any(feature = "tls-webpki", feature = "tls-platform"))]
    let client = client.tls_backend_preconfigured(tls::asynchronous()?);
    Ok(client)
}
