//! Problem details (RFC 9457): what is answered in place of an answer.

use uuid::Uuid;

use crate::algebra::Generation;
use crate::codec::lines::Problem;
use crate::codec::lines::object::{Object, whole};
use crate::codec::lines::write::Writer;

/// What kind of problem it is: its `type` but for `urn:foldlog:`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request is not of the shape that is documented.
    Malformed,
    /// The credentials are missing, expired or revoked.
    Unauthorised,
    /// There is nothing at this path.
    NotFound,
    /// The path takes another method.
    Method,
    /// Another bunch came under this number.
    Forked,
    /// Everything has to be fetched anew.
    StartOver,
    /// The triggers asked for are not kept.
    TriggersTooOld,
    /// More than is taken at once.
    TooLarge,
    /// A content type or encoding that is not spoken.
    MediaType,
    /// Too much at once.
    Busy,
    /// The store does not answer.
    Unavailable,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 11] = [
        Kind::Malformed,
        Kind::Unauthorised,
        Kind::NotFound,
        Kind::Method,
        Kind::Forked,
        Kind::StartOver,
        Kind::TriggersTooOld,
        Kind::TooLarge,
        Kind::MediaType,
        Kind::Busy,
        Kind::Unavailable,
    ];

    /// Its name, the status it goes with, and its title.
    #[must_use]
    pub fn said(self) -> (&'static str, u16, &'static str) {
        match self {
            Kind::Malformed => ("malformed", 400, "the request is not of the documented shape"),
            Kind::Unauthorised => ("unauthorised", 401, "the credentials are missing, expired or revoked"),
            Kind::NotFound => ("not-found", 404, "there is nothing at this path"),
            Kind::Method => ("method", 405, "this path takes another method"),
            Kind::Forked => ("forked", 409, "another bunch came under this number"),
            Kind::StartOver => ("start-over", 410, "everything has to be fetched anew"),
            Kind::TriggersTooOld => ("triggers-too-old", 410, "these triggers are not kept"),
            Kind::TooLarge => ("too-large", 413, "this is more than is taken at once"),
            Kind::MediaType => ("media-type", 415, "bodies are application/json, as they are or gzip"),
            Kind::Busy => ("busy", 429, "too much at once"),
            Kind::Unavailable => ("unavailable", 503, "the store does not answer"),
        }
    }

    /// What `type` says of it.
    #[must_use]
    pub fn urn(self) -> String {
        format!("{PREFIX}{}", self.said().0)
    }

    fn of(status: u16, name: &str) -> Option<Self> {
        Kind::ALL.into_iter().find(|kind| {
            let (known, its, _) = kind.said();
            known == name && its == status
        })
    }
}

/// A problem in detail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// What kind; none where the other side speaks of something else.
    pub kind: Option<Kind>,
    /// The status of the response.
    pub status: u16,
    /// What kind, in words.
    pub title: String,
    /// What is wrong this time and what to do about it, in words; may be empty.
    pub detail: String,
    /// With [`Kind::StartOver`]: which life of the data there is now.
    pub generation: Option<Generation>,
}

/// How `type` begins.
const PREFIX: &str = "urn:foldlog:";

impl Details {
    /// A problem of a kind.
    #[must_use]
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let (_, status, title) = kind.said();
        Details { kind: Some(kind), status, title: title.to_owned(), detail: detail.into(), generation: None }
    }

    /// Why a request cannot be read.
    #[must_use]
    pub fn unread(problem: &Problem) -> Self {
        let kind = if problem.is_too_large() { Kind::TooLarge } else { Kind::Malformed };
        Details::new(kind, problem.to_string())
    }

    /// Title and detail in one line, as far as there are any.
    #[must_use]
    pub fn words(&self) -> String {
        match (self.title.as_str(), self.detail.as_str()) {
            ("", detail) => detail.to_owned(),
            (title, "") => title.to_owned(),
            (title, detail) => format!("{title}: {detail}"),
        }
    }

    /// Its body.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        let mut writer = Writer::new(&mut out);
        let name = self.kind.map(Kind::urn);
        writer.string("type", name.as_deref().unwrap_or("about:blank"));
        writer.string("title", &self.title);
        writer.whole("status", u64::from(self.status));
        if !self.detail.is_empty() {
            writer.string("detail", &self.detail);
        }
        if let Some(Generation(id)) = self.generation {
            writer.id("generation", id);
        }
        writer.end();
        out
    }

    /// Reads the body of a response with this status. A body that says less, or is no problem's at all (a proxy's,
    /// say), gives what can be told by the status alone; it is never an error.
    #[must_use]
    pub fn read(status: u16, body: &str) -> Self {
        let blank =
            Details { kind: None, status, title: String::new(), detail: String::new(), generation: None };
        Details::told(status, body).unwrap_or(blank)
    }

    fn told(status: u16, body: &str) -> Result<Self, Problem> {
        // Others may say more than is known here.
        let object = Object::open(body, "a problem")?;
        object.get("status").map(|raw| whole("status", raw)).transpose()?;
        let text = |key| Ok::<_, Problem>(object.optional_string(key)?.map(|text| text.into_owned()));
        let kind = text("type")?.and_then(|name| Kind::of(status, name.strip_prefix(PREFIX)?));
        let generation: Option<Uuid> = object.optional_id("generation")?;
        Ok(Details {
            kind,
            status,
            title: text("title")?.unwrap_or_default(),
            detail: text("detail")?.unwrap_or_default(),
            generation: generation.map(Generation),
        })
    }
}
