//! Outcomes as lines: the authority's answer to a bunch.

use super::Line;
use super::error::Problem;
use super::list::{each, each_named};
use super::object::{Object, string, wrong};
use super::read::BUNCH_BYTES_MAX;
use super::write::{Writer, quote, write_list};
use crate::algebra::{Epoch, Outcome, Outcomes, ReplicaId, Resulting, State};

impl Line for Outcomes {
    const BYTES_MAX: usize = BUNCH_BYTES_MAX;

    fn from_line(text: &str) -> Result<Self, Problem> {
        let object = Object::read(text, "an answer", &["bunch", "outcomes"])?;
        let bunch = object.bunch()?;
        let outcomes = each_named("outcomes", "outcome", object.need("outcomes")?, outcome)?;
        Ok(Outcomes { bunch, outcomes })
    }

    fn write_line(&self, out: &mut String) {
        let mut writer = Writer::new(out);
        writer.whole("bunch", self.bunch.0);
        write_list(writer.member("outcomes"), &self.outcomes, write);
        writer.end();
    }
}

fn outcome(text: &str) -> Result<Outcome, Problem> {
    let kinds = ["accepted", "superseded", "clash", "refused", "waits", "retry"];
    let object = Object::read(text, "an outcome", &kinds)?;
    let mut members = object.members();
    let (Some((kind, body)), None) = (members.next(), members.next()) else {
        return Err(Problem::Shape {
            why: "an outcome has one key: accepted, superseded, clash, refused, waits or retry",
        });
    };
    let body = body.get();
    match kind {
        "accepted" => accepted(body),
        "superseded" => superseded(body),
        "clash" => clash(body),
        "refused" => {
            let object = Object::read(body, "\"refused\"", &["reason"])?;
            Ok(Outcome::Refused { reason: object.string("reason")?.into_owned() })
        }
        "waits" => {
            let object = Object::read(body, "\"waits\"", &["for"])?;
            let on = Object::read(object.need("for")?, "\"for\"", &["collection", "id"])?;
            Ok(Outcome::Waits { on: on.entity()? })
        }
        _ => Object::read(body, "\"retry\"", &[]).map(|_| Outcome::Retry),
    }
}

fn accepted(body: &str) -> Result<Outcome, Problem> {
    let object =
        Object::read(body, "\"accepted\"", &["epoch", "state", "created", "turned", "stamps", "overwrote"])?;
    let result = match object.get("state") {
        None if ["created", "turned", "stamps"].iter().any(|key| object.get(key).is_some()) => {
            return Err(Problem::Shape {
                why: "\"accepted\" says when its fields were changed, but not what they are; add \"state\"",
            });
        }
        None => Resulting::AsSent,
        Some("null") => Resulting::Gone(object.all_stamps()?),
        Some(state) => Resulting::Live(State::from_json(state)?, object.all_stamps()?),
    };
    let overwrote = object.get("overwrote").map(State::from_json).transpose()?;
    Ok(Outcome::Accepted { epoch: object.optional_whole("epoch")?.map(Epoch), result, overwrote })
}

fn superseded(body: &str) -> Result<Outcome, Problem> {
    let object =
        Object::read(body, "\"superseded\"", &["epoch", "state", "created", "turned", "stamps", "writer"])?;
    let state = match object.need("state")? {
        "null" => None,
        state => Some(State::from_json(state)?),
    };
    Ok(Outcome::Superseded {
        epoch: Epoch(object.whole("epoch")?),
        state,
        stamps: object.all_stamps()?,
        writer: object.optional_id("writer")?.map(ReplicaId),
    })
}

fn clash(body: &str) -> Result<Outcome, Problem> {
    let object = Object::read(body, "\"clash\"", &["unique", "holder", "of"])?;
    let unique = each("unique", object.need("unique")?, |raw| {
        Ok(string("unique", "a list of strings", raw)?.into_owned())
    })?;
    if unique.is_empty() {
        return Err(wrong("unique", "the list of the key's fields", "[]"));
    }
    let of =
        object.get("of").map(|of| Object::read(of, "\"of\"", &["collection", "id"])?.entity()).transpose()?;
    Ok(Outcome::Clash { unique, holder: object.id("holder")?, of })
}

fn write(outcome: &Outcome, out: &mut String) {
    let mut writer = Writer::new(out);
    match outcome {
        Outcome::Accepted { epoch, result, overwrote } => {
            let mut body = Writer::new(writer.member("accepted"));
            if let Some(epoch) = epoch {
                body.whole("epoch", epoch.0);
            }
            match result {
                Resulting::AsSent => {}
                Resulting::Live(state, stamps) => {
                    body.raw("state", state.as_json());
                    body.all_stamps(stamps);
                }
                Resulting::Gone(stamps) => {
                    body.raw("state", "null");
                    body.all_stamps(stamps);
                }
            }
            if let Some(overwrote) = overwrote {
                body.raw("overwrote", overwrote.as_json());
            }
            body.end();
        }
        Outcome::Superseded { epoch, state, stamps, writer: by } => {
            let mut body = Writer::new(writer.member("superseded"));
            body.whole("epoch", epoch.0);
            body.raw("state", state.as_ref().map_or("null", State::as_json));
            body.all_stamps(stamps);
            if let Some(by) = by {
                body.id("writer", by.0);
            }
            body.end();
        }
        Outcome::Clash { unique, holder, of } => {
            let mut body = Writer::new(writer.member("clash"));
            write_list(body.member("unique"), unique, |name, out| quote(name, out));
            body.id("holder", *holder);
            if let Some(of) = of {
                let mut entity = Writer::new(body.member("of"));
                entity.entity(of);
                entity.end();
            }
            body.end();
        }
        Outcome::Refused { reason } => {
            let mut body = Writer::new(writer.member("refused"));
            body.string("reason", reason);
            body.end();
        }
        Outcome::Waits { on } => {
            let mut body = Writer::new(writer.member("waits"));
            let mut entity = Writer::new(body.member("for"));
            entity.entity(on);
            entity.end();
            body.end();
        }
        Outcome::Retry => writer.raw("retry", "{}"),
    }
    writer.end();
}
