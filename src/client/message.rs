//! Requests and responses as whichever connection carries them: what stands in their headers, and what is made of
//! what comes. No I/O.

use super::address::Address;
use super::error::Error;
use super::gzip::{Arriving, packed};
use crate::algebra::{Answer, Ask};
use crate::codec::lines::Problem;
use crate::codec::wire::{EventId, Reply, Request, Route, Unanswered};

/// Who speaks, as servers' logs name it.
pub(super) const USER_AGENT: &str = concat!("foldlog/", env!("CARGO_PKG_VERSION"));

/// The most bytes of what is answered in place of an answer: a few sentences. Of what is longer the status counts.
const PROBLEM_BYTES_MAX: usize = 64 * 1024;

/// The longest time that a client lets itself be sent away for: an hour. Whoever says more may have meant something else
/// than seconds.
pub(super) const RETRY_AFTER_S_MAX: u64 = 3_600;

/// A request ready to be sent.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub(super) route: Route,
    pub(super) url: String,
    /// Names and values; the token is not among them.
    pub(super) headers: Vec<(&'static str, String)>,
    /// What is posted; none where it is got.
    pub(super) body: Option<Vec<u8>>,
}

impl Outgoing {
    pub(super) fn of(ask: &Ask, address: &Address) -> Self {
        let Request { route, text } = Request::of(ask);
        let mut headers = vec![
            ("accept", "application/json, application/problem+json".to_owned()),
            ("accept-encoding", "gzip".to_owned()),
        ];
        if !route.has_body() {
            let query = if text.is_empty() { text } else { format!("?{text}") };
            let url = address.at(&format!("{}{query}", route.path()));
            return Outgoing { route, url, headers, body: None };
        }
        headers.push(("content-type", "application/json".to_owned()));
        let (body, is_packed) = packed(&text);
        if is_packed {
            headers.push(("content-encoding", "gzip".to_owned()));
        }
        Outgoing { route, url: address.at(route.path()), headers, body: Some(body) }
    }

    /// The request for the stream of triggers behind what was heard.
    pub(super) fn stream(heard: &EventId, address: &Address) -> Self {
        let route = Route::Triggers;
        let headers = vec![
            ("accept", "text/event-stream".to_owned()),
            ("cache-control", "no-cache".to_owned()),
            ("last-event-id", heard.to_string()),
        ];
        Outgoing { route, url: address.at(route.path()), headers, body: None }
    }

    pub(super) fn sent(&self) -> u64 {
        self.body.as_ref().map_or(0, |body| body.len() as u64)
    }
}

/// What came of a request.
#[derive(Debug)]
pub(super) struct Carried {
    /// The answer; [`Error::Offline`] where there is none.
    pub(super) answer: Result<Answer, Error>,
    /// Bytes of bodies that went, as they went.
    pub(super) sent: u64,
    /// Bytes of bodies that came, as they came.
    pub(super) received: u64,
}

/// A response whose body is still to come.
#[derive(Debug)]
pub(super) struct Incoming {
    route: Route,
    status: u16,
    retry_after_s: Option<u64>,
    body: Arriving,
    /// Whether the rest of the body says nothing that is wanted.
    is_blank: bool,
}

impl Incoming {
    /// A response, by its status and what a header says.
    pub(super) fn new<'h>(
        route: Route,
        status: u16,
        header: impl Fn(&str) -> Option<&'h str>,
        bytes_max: usize,
    ) -> Result<Self, Error> {
        let max = if status == 200 { bytes_max } else { bytes_max.min(PROBLEM_BYTES_MAX) };
        let retry_after_s = header("retry-after").and_then(|text| text.trim().parse().ok());
        let retry_after_s = retry_after_s.map(|seconds: u64| seconds.min(RETRY_AFTER_S_MAX));
        let (body, is_blank) = match Arriving::new(header("content-encoding"), max) {
            Ok(body) => (body, false),
            // What stands in the way of an answer need not be readable.
            Err(_) if status != 200 => (Arriving::new(None, max)?, true),
            Err(error) => return Err(error),
        };
        Ok(Incoming { route, status, retry_after_s, body, is_blank })
    }

    /// Takes a piece of the body, and says whether more of it is wanted.
    pub(super) fn take(&mut self, piece: &[u8]) -> Result<bool, Error> {
        match self.body.take(piece) {
            Ok(()) => Ok(!self.is_blank),
            Err(_) if self.status != 200 => {
                self.is_blank = true;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn received(&self) -> u64 {
        self.body.received()
    }

    /// What it answers.
    pub(super) fn answer(self) -> Result<Answer, Error> {
        let Incoming { route, status, retry_after_s, body, is_blank } = self;
        let bytes = match (is_blank, body.end()) {
            (false, Ok(bytes)) => bytes,
            (true, _) | (_, Err(_)) if status != 200 => Vec::new(),
            (true, Ok(_)) => Vec::new(),
            (_, Err(error)) => return Err(error),
        };
        let body = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(_) if status != 200 => String::new(),
            Err(error) => {
                let source = Problem::NotUtf8 { at: error.utf8_error().valid_up_to() + 1 };
                return Err(Unanswered::Shape { source }.into());
            }
        };
        let answer = Reply { status, body, retry_after_s }.answer(route)?;
        match answer {
            Answer::Offline => {
                Err(Error::Offline { why: format!("what stands before it says status {status}") })
            }
            answer => Ok(answer),
        }
    }
}

/// Why nothing more came, in one line.
pub(super) fn offline(error: &dyn std::error::Error) -> Error {
    let mut why = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let more = inner.to_string();
        if !why.contains(&more) {
            why.push_str(": ");
            why.push_str(&more);
        }
        source = inner.source();
    }
    Error::Offline { why }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: u16, headers: &[(&str, &'static str)], body: &[u8]) -> Result<Answer, Error> {
        let header = |name: &str| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let mut incoming = Incoming::new(Route::Reads, status, header, 100_000)?;
        for piece in body.chunks(50_000) {
            if !incoming.take(piece)? {
                break;
            }
        }
        incoming.answer()
    }

    #[test]
    fn what_is_no_answer_counts_by_its_status_however_long_or_strange_it_is() {
        let long = vec![0xff; 90_000];
        assert!(matches!(told(200, &[], &long), Err(Error::Unanswered { .. })));
        assert!(matches!(told(200, &[], &vec![b'x'; 100_001]), Err(Error::TooLong { .. })));
        assert!(matches!(told(200, &[("content-encoding", "br")], b"{}"), Err(Error::Packed { .. })));
        for headers in [&[][..], &[("content-encoding", "br")], &[("content-encoding", "gzip")]] {
            assert!(matches!(told(401, headers, &long), Ok(Answer::Unauthorised)));
            assert!(matches!(told(502, headers, &long), Err(Error::Offline { .. })));
            assert!(matches!(told(404, headers, &long), Err(Error::Unanswered { .. })));
        }
    }

    #[test]
    fn nobody_is_sent_away_for_longer_than_an_hour() {
        let busy = |text| told(429, &[("retry-after", text)], b"").unwrap();
        assert_eq!(busy("7"), Answer::Busy { retry_after_ms: 7_000 });
        assert_eq!(busy("99999999999"), Answer::Busy { retry_after_ms: 3_600_000 });
        assert_eq!(busy("Wed, 21 Oct 2026 07:28:00 GMT"), Answer::Busy { retry_after_ms: 1_000 });
    }
}
