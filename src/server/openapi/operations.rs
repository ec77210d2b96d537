//! What can be asked at each path, and by what it is answered.

use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn, PathsBuilder};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::ObjectBuilder;
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{PathItem, Paths, RefOr, Required, ResponseBuilder, Schema};

use super::BEARER;
use super::answers::{answer, problems};
use super::shapes::{closed, event_id, refer, text, whole};
use crate::codec::wire::{COUNT_DEFAULT, Kind, Route};
use crate::server::{media, path};

/// What cannot be erased.
const SIGNED: &str = "A token that was signed elsewhere (JWT) stays good until its `exp`, for an account that begins anew, empty.";

/// All paths.
pub(super) fn all() -> Paths {
    let mut paths = PathsBuilder::new();
    for route in Route::ALL {
        let method = if route.has_body() { HttpMethod::Post } else { HttpMethod::Get };
        paths = paths.path(route.path(), PathItem::new(method, operation(route)));
    }
    let erase = asked("eraseAccount", "Erase every trace of the account, its tokens too", SIGNED)
        .response("204", ResponseBuilder::new().description("it is gone"));
    let erase = answered(erase, &[Kind::Unauthorised, Kind::Busy, Kind::Unavailable]);
    let health = closed("").needs("status", text().enum_values(Some(["ok"]))).0;
    let health = open("isAlive", "Whether the server takes requests")
        .response("200", answer("it does", media::JSON, health));
    let metrics = open("readMetrics", "What Prometheus reads; it names no account")
        .response("200", answer("counters", media::METRICS, text()));
    let document = open("readDocument", "This document")
        .response("200", answer("an OpenAPI document", media::JSON, ObjectBuilder::new()));
    paths
        .path(path::ACCOUNT, PathItem::new(HttpMethod::Delete, erase))
        .path(path::HEALTH, PathItem::new(HttpMethod::Get, answered(health, &[Kind::Unavailable])))
        .path(path::METRICS, PathItem::new(HttpMethod::Get, metrics))
        .path(path::OPENAPI, PathItem::new(HttpMethod::Get, document))
        .build()
}

fn operation(route: Route) -> OperationBuilder {
    let operation = match route {
        Route::Bunches => {
            asked("deliverBunch", "Deliver a bunch", "The same bunch again gets the same answer.")
                .response("200", answer("what became of it", media::JSON, refer("Outcomes")))
        }
        Route::Changes => asked("readChanges", "Read what changed above cursors", "")
            .response("200", answer("a page of rows", media::JSON, refer("Page"))),
        Route::Reads => asked("readEntities", "Read entities", "What is not there is not listed.")
            .response("200", answer("those that are there", media::JSON, refer("Rows"))),
        Route::Triggers => triggers(),
        Route::Digests => asked("readDigests", "Read what is live, in a few bytes", "")
            .parameter(query("generation", refer("Id"), "the life of the data that is meant"))
            .response("200", answer("a digest a collection", media::JSON, refer("Digests"))),
    };
    let body = match route {
        Route::Bunches => Some("BunchAsked"),
        Route::Changes => Some("ChangesAsked"),
        Route::Reads => Some("ReadsAsked"),
        Route::Triggers | Route::Digests => None,
    };
    let operation = match body {
        Some(body) => {
            let content = ContentBuilder::new().schema(Some(refer(body))).build();
            let body = RequestBodyBuilder::new().content(media::JSON, content).required(Some(Required::True));
            operation.request_body(Some(body.build()))
        }
        None => operation,
    };
    answered(operation, kinds(route))
}

/// What a route can be answered with in place of an answer, in the order of statuses.
fn kinds(route: Route) -> &'static [Kind] {
    match route {
        Route::Bunches => &[
            Kind::Malformed,
            Kind::Unauthorised,
            Kind::Forked,
            Kind::StartOver,
            Kind::TooLarge,
            Kind::MediaType,
            Kind::Busy,
            Kind::Unavailable,
        ],
        Route::Changes => &[
            Kind::Malformed,
            Kind::Unauthorised,
            Kind::StartOver,
            Kind::TooLarge,
            Kind::MediaType,
            Kind::Busy,
            Kind::Unavailable,
        ],
        Route::Reads => &[
            Kind::Malformed,
            Kind::Unauthorised,
            Kind::TooLarge,
            Kind::MediaType,
            Kind::Busy,
            Kind::Unavailable,
        ],
        Route::Triggers => &[
            Kind::Malformed,
            Kind::Unauthorised,
            Kind::StartOver,
            Kind::TriggersTooOld,
            Kind::Busy,
            Kind::Unavailable,
        ],
        Route::Digests => {
            &[Kind::Malformed, Kind::Unauthorised, Kind::StartOver, Kind::Busy, Kind::Unavailable]
        }
    }
}

fn triggers() -> OperationBuilder {
    let heard = ParameterBuilder::new()
        .name("Last-Event-ID")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .schema(Some(event_id()))
        .description(Some("the last event that was heard; of streams alone, and before the query"));
    let events = ContentBuilder::new()
        .schema(Some(text().description(Some(
            "server-sent events: `trigger` (its data is a Trigger, its id a generation, a dot and the index), `resync` \
             (what happened up to its id is not told one by one: sync down) and `alive`; data is `{}` in both",
        ))))
        .build();
    let page = answer("a page, or a stream", media::JSON, refer("Triggers")).content(media::EVENTS, events);
    asked(
        "readTriggers",
        "Read or hear what changes",
        "With `accept: text/event-stream` a stream that goes on until one side ends it; it begins now unless \
         `generation` (with `above`) or `Last-Event-ID` says where. Otherwise a page.",
    )
    .parameter(query("above", whole(0, u64::MAX), "the last trigger that is known; 0 unless said"))
    .parameter(query("generation", refer("Id"), "the life of the data that it is one of"))
    .parameter(query("limit", whole(0, u64::MAX), &format!("the most triggers; {COUNT_DEFAULT} unless said")))
    .parameter(heard)
    .response("200", page)
}

fn query(name: &str, schema: impl Into<RefOr<Schema>>, description: &str) -> ParameterBuilder {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .schema(Some(schema))
        .description(Some(format!("{description}. Rule: nothing in it is percent-encoded")))
}

/// Something that an account asks.
fn asked(id: &str, summary: &str, description: &str) -> OperationBuilder {
    open(id, summary)
        .description((!description.is_empty()).then_some(description))
        .security(SecurityRequirement::new::<_, [&str; 0], _>(BEARER, []))
}

/// Something that anybody may ask.
fn open(id: &str, summary: &str) -> OperationBuilder {
    OperationBuilder::new().operation_id(Some(id)).summary(Some(summary))
}

fn answered(operation: OperationBuilder, kinds: &[Kind]) -> OperationBuilder {
    problems(kinds)
        .into_iter()
        .fold(operation, |operation, (status, response)| operation.response(status, response))
}
