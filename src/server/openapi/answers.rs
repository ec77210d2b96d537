//! Answers: of each kind of problem a schema and a response, and what goes with a status.

use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::schema::{Object, ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::openapi::{ComponentsBuilder, Header, Ref, RefOr, Response, ResponseBuilder};

use super::shapes::{refer, text, whole};
use crate::codec::wire::Kind;
use crate::server::media;

/// Adds what problems are made of.
pub(super) fn add(components: ComponentsBuilder) -> ComponentsBuilder {
    let with_schemas =
        Kind::ALL.iter().fold(components, |components, kind| components.schema(name(*kind), problem(*kind)));
    Kind::ALL
        .iter()
        .fold(with_schemas, |components, kind| components.response(name(*kind), refused(&[*kind])))
}

/// The responses that tell of these kinds: one a status.
pub(super) fn problems(kinds: &[Kind]) -> Vec<(String, RefOr<Response>)> {
    let mut statuses: Vec<u16> = kinds.iter().map(|kind| kind.said().1).collect();
    statuses.dedup();
    let response = |status: u16| {
        let of: Vec<Kind> = kinds.iter().copied().filter(|kind| kind.said().1 == status).collect();
        let response = match of.as_slice() {
            [one] => RefOr::Ref(Ref::from_response_name(name(*one))),
            several => RefOr::T(refused(several)),
        };
        (status.to_string(), response)
    };
    statuses.into_iter().map(response).collect()
}

/// The response that carries an answer of this schema.
pub(super) fn answer(description: &str, kind: &str, schema: impl Into<RefOr<Schema>>) -> ResponseBuilder {
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new().description(description).content(kind, content)
}

fn refused(kinds: &[Kind]) -> Response {
    let titles: Vec<&str> = kinds.iter().map(|kind| kind.said().2).collect();
    let schema: RefOr<Schema> = match kinds {
        [one] => refer(&name(*one)).into(),
        several => {
            let add = |all: OneOfBuilder, kind: &Kind| all.item(refer(&name(*kind)));
            several.iter().fold(OneOfBuilder::new(), add).into()
        }
    };
    let response = answer(&titles.join("; or "), media::PROBLEM, schema);
    kinds
        .iter()
        .flat_map(|kind| headers(*kind))
        .fold(response, |response, (name, header)| response.header(name, header))
        .build()
}

/// The headers that a problem's response has.
fn headers(kind: Kind) -> Vec<(&'static str, Header)> {
    let header = |schema: Object, description| {
        HeaderBuilder::new().schema(Some(schema)).description(Some(description)).build()
    };
    match kind {
        Kind::Busy | Kind::Unavailable => {
            vec![("Retry-After", header(whole(0, u64::MAX).build(), "when to come again, in seconds"))]
        }
        Kind::Unauthorised => {
            vec![("WWW-Authenticate", header(text().enum_values(Some(["Bearer"])).build(), "how to ask"))]
        }
        Kind::Method => vec![("Allow", header(text().build(), "the methods that this path takes"))],
        Kind::Malformed
        | Kind::NotFound
        | Kind::Forked
        | Kind::StartOver
        | Kind::TriggersTooOld
        | Kind::TooLarge
        | Kind::MediaType => Vec::new(),
    }
}

/// A problem's schema. Others may say more than is known here, so it is open.
fn problem(kind: Kind) -> ObjectBuilder {
    let (_, status, title) = kind.said();
    let problem = ObjectBuilder::new()
        .description(Some(title))
        .property("type", text().enum_values(Some([kind.urn()])))
        .required("type")
        .property("title", text().enum_values(Some([title])))
        .required("title")
        .property("status", ObjectBuilder::new().schema_type(Type::Integer).enum_values(Some([status])))
        .required("status")
        .property("detail", text().description(Some("what is wrong this time and what to do about it")));
    match kind {
        Kind::StartOver => problem.property("generation", refer("Id")).required("generation"),
        Kind::Malformed
        | Kind::Unauthorised
        | Kind::NotFound
        | Kind::Method
        | Kind::Forked
        | Kind::TriggersTooOld
        | Kind::TooLarge
        | Kind::MediaType
        | Kind::Busy
        | Kind::Unavailable => problem,
    }
}

/// A kind's name among the components: `start-over` is `StartOver`.
fn name(kind: Kind) -> String {
    let part = |part: &str| {
        let mut letters = part.chars();
        letters
            .next()
            .map(|first| first.to_uppercase().chain(letters).collect::<String>())
            .unwrap_or_default()
    };
    kind.said().0.split('-').map(part).collect()
}
