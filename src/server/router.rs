//! Paths, and what is done at each.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::State as Extract;
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use axum::routing::{delete, get, post};

use super::body;
use super::events;
use super::state::{State, bearer};
use super::{media, openapi, path};
use crate::algebra::{Answer, Ask};
use crate::authority::Account;
use crate::clock::now;
use crate::codec::wire::{self, Details, Kind, Reply, Route};

/// How long whoever came at a bad time is asked to wait, in seconds.
const RETRY_AFTER_S: u64 = 1;

pub(super) fn router(state: Arc<State>) -> Router {
    Router::new()
        .route(Route::Bunches.path(), post(bunches))
        .route(Route::Changes.path(), post(changes))
        .route(Route::Reads.path(), post(reads))
        .route(Route::Triggers.path(), get(triggers))
        .route(Route::Digests.path(), get(digests))
        .route(path::ACCOUNT, delete(erase))
        .route(path::HEALTH, get(healthz))
        .route(path::METRICS, get(metrics))
        .route(path::OPENAPI, get(document))
        .fallback(|| async {
            refused(Details::new(Kind::NotFound, "the paths are those of protocol version 1: /v1/…"))
        })
        .method_not_allowed_fallback(|| async { refused(Details::new(Kind::Method, "")) })
        .with_state(state)
}

async fn bunches(Extract(state): Extract<Arc<State>>, request: Request<Body>) -> Response<Body> {
    counted(state, Route::Bunches, request).await
}

async fn changes(Extract(state): Extract<Arc<State>>, request: Request<Body>) -> Response<Body> {
    counted(state, Route::Changes, request).await
}

async fn reads(Extract(state): Extract<Arc<State>>, request: Request<Body>) -> Response<Body> {
    counted(state, Route::Reads, request).await
}

async fn digests(Extract(state): Extract<Arc<State>>, request: Request<Body>) -> Response<Body> {
    counted(state, Route::Digests, request).await
}

/// A page of triggers, or a stream of them for whoever accepts one.
async fn triggers(Extract(state): Extract<Arc<State>>, request: Request<Body>) -> Response<Body> {
    let accepted = request.headers().get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let wants_stream = accepted
        .flat_map(|value| value.split(','))
        .any(|one| one.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(media::EVENTS)));
    if !wants_stream {
        return counted(state, Route::Triggers, request).await;
    }
    let began = Instant::now();
    let (headers, query) = (request.headers().clone(), request.uri().query().unwrap_or("").to_owned());
    drop(request);
    let response = events::stream(&state, &headers, &query).await.unwrap_or_else(refused);
    state.metrics.answered("/v1/triggers (stream)", response.status().as_u16(), began.elapsed());
    response
}

async fn counted(state: Arc<State>, route: Route, request: Request<Body>) -> Response<Body> {
    let began = Instant::now();
    let (head, mut body) = request.into_parts();
    let headers = head.headers;
    let query = head.uri.query().unwrap_or("");
    let response = answered(&state, route, &headers, query, &mut body).await.unwrap_or_else(refused);
    body::pass(&headers, body, began, &state.options).await;
    state.metrics.answered(route.path(), response.status().as_u16(), began.elapsed());
    response
}

async fn answered(
    state: &Arc<State>,
    route: Route,
    headers: &HeaderMap,
    query: &str,
    body: &mut Body,
) -> Result<Response<Body>, Details> {
    let bearer = bearer(headers)?;
    let account = state.account_of(bearer)?;
    let place = state.enter(&state.requests, &account, bearer)?;
    if route == Route::Triggers {
        // A page begins where its query says, but what is wrong is never passed over.
        events::last_event(headers)?;
    }
    let body = match route.has_body() {
        true => Some(body::read(headers, body, &state.options).await?),
        false => None,
    };
    let (state, headers, query) = (Arc::clone(state), headers.clone(), query.to_owned());
    // The authority blocks, and a connection that breaks off must not keep it from finishing.
    let answered = tokio::task::spawn_blocking(move || {
        let _place = place;
        let text = match body {
            Some(body) => body::text(&headers, body, &state.options)?,
            None => query,
        };
        let request = wire::Request { route, text };
        let ask = request.ask().map_err(|problem| Details::unread(&problem))?;
        drop(request);
        let reply = answer(&state, &account, &ask)?;
        Ok(body::response(reply, body::accepts_gzip(&headers)))
    });
    answered.await.unwrap_or_else(|_| Err(Details::new(Kind::Unavailable, "this was not to be; ask again")))
}

fn answer(state: &State, account: &Account, ask: &Ask) -> Result<Reply, Details> {
    if let Ask::Deliver { bunch, .. } = ask
        && bunch.operations.len() > state.options.operations_max
    {
        let most = state.options.operations_max;
        return Err(Details::new(
            Kind::TooLarge,
            format!("a bunch has at most {most} operations; seal smaller ones"),
        ));
    }
    let answer = state.authority.answer(account, now(), ask).map_err(|error| {
        tracing::error!(%error, "the authority does not answer");
        Details::new(Kind::Unavailable, "nothing is known to be done; ask again")
    })?;
    if let Answer::Delivered(outcomes) = &answer {
        state.metrics.operations.inc_by(u64::try_from(outcomes.outcomes.len()).unwrap_or(u64::MAX));
        state.hub.wake(Some(account));
    }
    Ok(Reply::of(&answer))
}

/// Erases the account of whoever asks, with its tokens.
async fn erase(Extract(state): Extract<Arc<State>>, headers: HeaderMap) -> Response<Body> {
    let began = Instant::now();
    let response = erased(&state, &headers).await.unwrap_or_else(refused);
    state.metrics.answered(path::ACCOUNT, response.status().as_u16(), began.elapsed());
    response
}

async fn erased(state: &Arc<State>, headers: &HeaderMap) -> Result<Response<Body>, Details> {
    let bearer = bearer(headers)?;
    let account = state.account_of(bearer)?;
    // Nobody else of the account comes in from now on, and those inside are waited for: what they write would be a
    // trace.
    let leaving = state.leave(&account, bearer)?;
    let until = Instant::now() + Duration::from_millis(state.options.ending_ms_max);
    while state.inside(&account) > 0 {
        if Instant::now() > until {
            return Err(Details::new(Kind::Busy, "requests of this account are still being answered"));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let erasing = Arc::clone(state);
    let done = tokio::task::spawn_blocking(move || {
        let unavailable = |error: &dyn std::error::Error| {
            tracing::error!(%error, "an account cannot be erased");
            Details::new(Kind::Unavailable, "the account may not be erased yet; ask again")
        };
        erasing.authority.erase(&account).map_err(|error| unavailable(&error))?;
        // Behind the data: where either fails there is a token to ask again with.
        erasing.tokens.revoke_all(&account).map_err(|error| unavailable(&error))?;
        // Not before all is done, also where nobody waits for the answer any more.
        drop(leaving);
        // Its streams notice that their token is gone, or begin anew.
        erasing.hub.wake(Some(&account));
        Ok(())
    });
    done.await.unwrap_or_else(|_| Err(Details::new(Kind::Unavailable, "ask again")))?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

async fn healthz(Extract(state): Extract<Arc<State>>) -> Response<Body> {
    if *state.is_ending.borrow() {
        return refused(Details::new(Kind::Unavailable, "the server ends"));
    }
    plain(media::JSON, r#"{"status":"ok"}"#)
}

async fn metrics(Extract(state): Extract<Arc<State>>) -> Response<Body> {
    plain(media::METRICS, state.metrics.text())
}

async fn document() -> Response<Body> {
    plain(media::JSON, openapi::text())
}

fn plain(kind: &'static str, text: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(text.into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn refused(details: Details) -> Response<Body> {
    let retry_after_s = matches!(details.kind, Some(Kind::Busy | Kind::Unavailable)).then_some(RETRY_AFTER_S);
    body::response(Reply { retry_after_s, ..Reply::problem(&details) }, false)
}
