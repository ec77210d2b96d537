//! Answers as responses.

use super::ask::Route;
use super::details::{Details, Kind};
use super::map::{by_collection, cursors, write_cursors};
use crate::algebra::{
    Answer, Digest, Epoch, FullRow, Generation, Index, LiveSet, LiveSets, Outcomes, Page, Trigger, shortened,
};
use crate::codec::lines::list::each_named;
use crate::codec::lines::object::{Object, wrong};
use crate::codec::lines::write::{Writer, write_list};
use crate::codec::lines::{Line, Problem};

/// How long a client waits that is told to come again, but not when: a second.
const RETRY_AFTER_MS_DEFAULT: u64 = 1_000;

/// A response as it travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The body: an answer, or a problem's details.
    pub body: String,
    /// `Retry-After`, in seconds.
    pub retry_after_s: Option<u64>,
}

/// A response that answers nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unanswered {
    /// The request itself is refused, and would be again.
    #[error("the authority refuses the request with status {}: {}", details.status, details.words())]
    Refused {
        /// What it says.
        details: Box<Details>,
    },
    /// What came is no answer.
    #[error("what came is not an authority's answer: {source}; is this its address?")]
    Shape {
        /// How that shows.
        #[from]
        source: Problem,
    },
}

impl Reply {
    /// The response that answers this.
    #[must_use]
    pub fn of(answer: &Answer) -> Self {
        let mut body = String::new();
        match answer {
            Answer::Delivered(outcomes) => outcomes.write_line(&mut body),
            Answer::Changes(page) => write_page(page, &mut body),
            Answer::Rows(rows) => {
                let mut writer = Writer::new(&mut body);
                write_list(writer.member("rows"), rows, FullRow::write_line);
                writer.end();
            }
            Answer::Triggers(triggers) => {
                let mut writer = Writer::new(&mut body);
                write_list(writer.member("triggers"), triggers, Trigger::write_line);
                writer.end();
            }
            Answer::LiveSets(sets) => write_live_sets(sets, &mut body),
            Answer::Forked => return Reply::problem(&Details::new(Kind::Forked, "take a new replica id")),
            Answer::StartOver { generation } => {
                let detail = "what was read before does not count any more; what is unsent is kept";
                let details = Details::new(Kind::StartOver, detail);
                return Reply::problem(&Details { generation: Some(*generation), ..details });
            }
            Answer::TriggersTooOld => {
                return Reply::problem(&Details::new(Kind::TriggersTooOld, "sync down"));
            }
            Answer::TooLarge => return Reply::problem(&Details::new(Kind::TooLarge, "send less at once")),
            Answer::Unauthorised => return Reply::problem(&Details::new(Kind::Unauthorised, "")),
            Answer::Busy { retry_after_ms } => {
                let reply = Reply::problem(&Details::new(Kind::Busy, ""));
                return Reply { retry_after_s: Some(retry_after_ms.div_ceil(1_000)), ..reply };
            }
            Answer::Offline => return Reply::problem(&Details::new(Kind::Unavailable, "")),
        }
        Reply { status: 200, body, retry_after_s: None }
    }

    /// The response that tells of a problem.
    #[must_use]
    pub fn problem(details: &Details) -> Self {
        Reply { status: details.status, body: details.to_json(), retry_after_s: None }
    }

    /// What it answers to what was asked on this route.
    ///
    /// # Errors
    /// A request that is refused, or what is no answer.
    pub fn answer(&self, route: Route) -> Result<Answer, Unanswered> {
        if self.status == 200 {
            return Ok(answer(route, &self.body)?);
        }
        let details = Details::read(self.status, &self.body);
        match (self.status, details.kind, details.generation) {
            (_, Some(Kind::Forked), _) => Ok(Answer::Forked),
            (_, Some(Kind::StartOver), Some(generation)) => Ok(Answer::StartOver { generation }),
            (_, Some(Kind::TriggersTooOld), _) => Ok(Answer::TriggersTooOld),
            // Whoever stands in between may say so too.
            (401 | 403, ..) => Ok(Answer::Unauthorised),
            (413, ..) if matches!(route, Route::Bunches | Route::Reads) => Ok(Answer::TooLarge),
            (429 | 503, ..) => {
                let told_ms = self.retry_after_s.map(|seconds| seconds.saturating_mul(1_000));
                Ok(Answer::Busy { retry_after_ms: told_ms.unwrap_or(RETRY_AFTER_MS_DEFAULT) })
            }
            (500..=599, ..) => Ok(Answer::Offline),
            _ => {
                let details = Details {
                    title: shortened(&details.title),
                    detail: shortened(&details.detail),
                    ..details
                };
                Err(Unanswered::Refused { details: Box::new(details) })
            }
        }
    }
}

fn answer(route: Route, body: &str) -> Result<Answer, Problem> {
    match route {
        Route::Bunches => Outcomes::from_line(body).map(Answer::Delivered),
        Route::Changes => page(body).map(Answer::Changes),
        Route::Reads => {
            let object = Object::read(body, "the answer", &["rows"])?;
            Ok(Answer::Rows(each_named("rows", "row", object.need("rows")?, FullRow::from_line)?))
        }
        Route::Triggers => {
            let object = Object::read(body, "the answer", &["triggers"])?;
            let triggers = each_named("triggers", "trigger", object.need("triggers")?, Trigger::from_line)?;
            Ok(Answer::Triggers(triggers))
        }
        Route::Digests => live_sets(body).map(Answer::LiveSets),
    }
}

fn page(body: &str) -> Result<Page, Problem> {
    let keys = ["generation", "rows", "cursors", "floors", "has_more", "triggers_until"];
    let object = Object::read(body, "the answer", &keys)?;
    Ok(Page {
        generation: Generation(object.id("generation")?),
        rows: each_named("rows", "row", object.need("rows")?, FullRow::from_line)?,
        cursors: cursors(&object, "cursors")?,
        floors: cursors(&object, "floors")?,
        has_more: object.is("has_more")?,
        triggers_until: Index(object.whole("triggers_until")?),
    })
}

fn write_page(page: &Page, out: &mut String) {
    let mut writer = Writer::new(out);
    writer.id("generation", page.generation.0);
    write_list(writer.member("rows"), &page.rows, FullRow::write_line);
    write_cursors(&mut writer, "cursors", &page.cursors);
    write_cursors(&mut writer, "floors", &page.floors);
    writer.boolean("has_more", page.has_more);
    writer.whole("triggers_until", page.triggers_until.0);
    writer.end();
}

fn live_sets(body: &str) -> Result<LiveSets, Problem> {
    let object = Object::read(body, "the answer", &["collections"])?;
    by_collection("collections", object.need("collections")?, |raw| {
        let object = Object::read(raw, "a collection", &["count", "sum", "epoch"])?;
        let sum = hex(&object.string("sum")?).ok_or_else(|| {
            wrong("sum", "64 lower-case hexadecimal digits", object.get("sum").unwrap_or(""))
        })?;
        let set = LiveSet { count: object.whole("count")?, sum };
        Ok((set, Epoch(object.whole("epoch")?)))
    })
}

fn write_live_sets(sets: &LiveSets, out: &mut String) {
    let mut writer = Writer::new(out);
    let mut collections = Writer::new(writer.member("collections"));
    for (name, (set, epoch)) in sets {
        let mut collection = Writer::new(collections.member(name.as_str()));
        collection.whole("count", set.count);
        collection.string("sum", &set.sum.to_string());
        collection.whole("epoch", epoch.0);
        collection.end();
    }
    collections.end();
    writer.end();
}

fn hex(text: &str) -> Option<Digest> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?));
    let bytes: Option<Vec<u8>> = bytes.collect();
    rest.is_empty().then_some(Digest(bytes?.try_into().ok()?))
}
