//! Streams of triggers: server-sent events, from where the client has heard, for as long as it listens.
//!
//! A stream keeps nothing but how far it is: a client that reads slowly is told later, not from a queue of its own; what
//! is no longer kept by then is told by `resync`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Response, header};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

use super::hub::{Channel, joined};
use super::media;
use super::state::{Place, State, bearer};
use crate::algebra::{Answer, Ask, Cursors, Index, Trigger};
use crate::authority::Account;
use crate::clock::now;
use crate::codec::wire::{self, Details, Event, EventId, Kind, Route};

/// How many triggers are read at once.
const TRIGGERS_MAX: usize = 1_000;

/// A client that takes nothing for as long as so many signs of life is gone: nothing more is read for it, and its place
/// among the streams is another one's. Its connection ends as any that is not read.
const SIGNS_MISSED_MAX: u64 = 3;

type Chunks = mpsc::Sender<Result<Bytes, Infallible>>;

/// Answers with a stream.
pub(super) async fn stream(
    state: &Arc<State>,
    headers: &HeaderMap,
    query: &str,
) -> Result<Response<Body>, Details> {
    let bearer = bearer(headers)?.to_owned();
    let account = state.account_of(&bearer)?;
    let place = state.enter(&state.streams, &account, &bearer)?;
    let heard = heard(headers, query)?;
    let channel = state.hub.channel(&account);
    let listener = Listener { state: Arc::clone(state), account, bearer };
    // From here on nothing is missed, so where to begin may be read.
    let woken = channel.waken();
    let begun = match heard {
        Some(heard) => Begun { at: heard, is_cut: listener.is_cut(heard).await? },
        None => Begun { at: listener.position().await?, is_cut: false },
    };
    // One chunk waits while another is on its way.
    let (chunks, body) = mpsc::channel(1);
    let stream = Stream { listener, channel, chunks, _place: place };
    tokio::spawn(stream.run(woken, begun));
    let mut response = Response::new(Body::from_stream(ReceiverStream::new(body)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media::EVENTS));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that collect answers are asked not to.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// Up to where the client says that it has heard: by the header that browsers send, or by the query.
fn heard(headers: &HeaderMap, query: &str) -> Result<Option<EventId>, Details> {
    if let Some(id) = last_event(headers)? {
        return Ok(Some(id));
    }
    let request = wire::Request { route: Route::Triggers, text: query.to_owned() };
    match request.ask().map_err(|problem| Details::new(Kind::Malformed, problem.to_string()))? {
        Ask::Triggers { above, generation: Some(generation), .. } => {
            Ok(Some(EventId { generation, index: above }))
        }
        _ => Ok(None),
    }
}

/// The last event that a client says it heard, by the header that browsers send.
pub(super) fn last_event(headers: &HeaderMap) -> Result<Option<EventId>, Details> {
    let malformed = |why: String| Details::new(Kind::Malformed, why);
    let Some(said) = headers.get("last-event-id") else { return Ok(None) };
    let said = said.to_str().map_err(|_| malformed("last-event-id is not text".to_owned()))?;
    if said.is_empty() {
        return Ok(None);
    }
    said.parse().map(Some).map_err(|problem: crate::codec::lines::Problem| malformed(problem.to_string()))
}

/// Where a stream begins, and whether what lies before is not kept.
struct Begun {
    at: EventId,
    is_cut: bool,
}

/// Who hears a stream.
struct Listener {
    state: Arc<State>,
    account: Account,
    /// Looked at again and again: it may be revoked.
    bearer: String,
}

impl Listener {
    /// Where the account stands now.
    async fn position(&self) -> Result<EventId, Details> {
        let ask =
            Ask::Changes { cursors: Cursors::new(), floors: Cursors::new(), generation: None, rows_max: 0 };
        match self.asked(ask).await? {
            Answer::Changes(page) => Ok(EventId { generation: page.generation, index: page.triggers_until }),
            _ => Err(unavailable()),
        }
    }

    /// Whether something above this was there and is not kept, or is of another life of the data.
    async fn is_cut(&self, heard: EventId) -> Result<bool, Details> {
        let EventId { generation, index } = heard;
        let ask = Ask::Triggers { above: index, generation: Some(generation), triggers_max: 0 };
        Ok(!matches!(self.asked(ask).await?, Answer::Triggers(_)))
    }

    /// What the authority says. As it makes an account that is not there, whoever erases one waits for this.
    async fn asked(&self, ask: Ask) -> Result<Answer, Details> {
        let place = self.state.enter(&self.state.readings, &self.account, &self.bearer)?;
        let (state, account) = (Arc::clone(&self.state), self.account.clone());
        let answered = tokio::task::spawn_blocking(move || {
            let _place = place;
            state.authority.answer(&account, now(), &ask)
        });
        match answered.await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                tracing::error!(%error, "the authority does not answer a stream");
                Err(unavailable())
            }
            Err(_) => Err(unavailable()),
        }
    }
}

fn unavailable() -> Details {
    Details::new(Kind::Unavailable, "ask again")
}

struct Stream {
    listener: Listener,
    channel: Arc<Channel>,
    chunks: Chunks,
    _place: Place,
}

/// The end of a stream.
struct Over;

impl Stream {
    async fn run(self, mut woken: watch::Receiver<u64>, begun: Begun) {
        let metrics = &self.listener.state.metrics;
        metrics.streams.inc();
        let mut ending = self.listener.state.is_ending.subscribe();
        tokio::select! {
            _ = ending.wait_for(|is_ending| *is_ending) => {}
            () = self.chunks.closed() => {}
            _ = self.tell(&mut woken, begun) => {}
        }
        metrics.streams.dec();
    }

    /// Tells all there is, and then what comes.
    async fn tell(&self, woken: &mut watch::Receiver<u64>, begun: Begun) -> Result<(), Over> {
        let mut at = begun.at;
        // Whoever listens learns at once that somebody is there.
        self.send(Event::Alive).await?;
        if begun.is_cut {
            at = self.resync().await?.unwrap_or(at);
        }
        let alive = Duration::from_millis(self.listener.state.options.stream_alive_ms);
        loop {
            woken.mark_unchanged();
            // A store that does not answer now is asked again with the next sign of life.
            while let Ok(Some(until)) = self.tell_above(at).await? {
                at = until;
            }
            match tokio::time::timeout(alive, woken.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(Over),
                Err(_) => self.send(Event::Alive).await?,
            }
            let Listener { state, account, bearer } = &self.listener;
            if state.account_of(bearer).ok().as_ref() != Some(account) {
                return Err(Over);
            }
        }
    }

    /// Tells some of what is above; up to where that is, if there was something.
    async fn tell_above(&self, at: EventId) -> Result<Result<Option<EventId>, Details>, Over> {
        let EventId { generation, index } = at;
        if let Some((text, until)) = self.channel.above(generation, index) {
            return self
                .send_text(text, index, until)
                .await
                .map(|()| Ok(Some(EventId { index: until, ..at })));
        }
        let reading = self.channel.reading.lock().await;
        // Somebody else may have read it in the meantime.
        if let Some((text, until)) = self.channel.above(generation, index) {
            drop(reading);
            return self
                .send_text(text, index, until)
                .await
                .map(|()| Ok(Some(EventId { index: until, ..at })));
        }
        let ask = Ask::Triggers { above: index, generation: Some(generation), triggers_max: TRIGGERS_MAX };
        let answer = match self.listener.asked(ask).await {
            Ok(answer) => answer,
            Err(details) => return Ok(Err(details)),
        };
        let Answer::Triggers(triggers) = answer else {
            drop(reading);
            return Ok(Ok(self.resync().await?));
        };
        let event = |trigger: Trigger| {
            let (index, mut text) = (trigger.index, String::new());
            Event::Trigger { generation, trigger }.write(&mut text);
            (index, Bytes::from(text))
        };
        let events: Vec<(Index, Bytes)> = triggers.into_iter().map(event).collect();
        let Some((until, _)) = events.last() else { return Ok(Ok(None)) };
        let until = *until;
        self.channel.keep(generation, &events);
        drop(reading);
        self.send_text(joined(events.iter()), index, until).await?;
        Ok(Ok(Some(EventId { index: until, ..at })))
    }

    /// Says that what lies before cannot be told, and where the stream goes on.
    async fn resync(&self) -> Result<Option<EventId>, Over> {
        let Ok(until) = self.listener.position().await else { return Ok(None) };
        self.send(Event::Resync { until }).await?;
        Ok(Some(until))
    }

    async fn send(&self, event: Event) -> Result<(), Over> {
        let mut text = String::new();
        event.write(&mut text);
        self.chunk(Bytes::from(text)).await
    }

    async fn send_text(&self, text: Bytes, above: Index, until: Index) -> Result<(), Over> {
        self.chunk(text).await?;
        self.listener.state.metrics.events.inc_by(until.0.saturating_sub(above.0));
        Ok(())
    }

    async fn chunk(&self, text: Bytes) -> Result<(), Over> {
        let patience = Duration::from_millis(
            self.listener.state.options.stream_alive_ms.saturating_mul(SIGNS_MISSED_MAX),
        );
        match tokio::time::timeout(patience, self.chunks.send(Ok(text))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Over),
        }
    }
}
