//! The stream of triggers: server-sent events, each known by the life of the data and its index in it.
//!
//! ```text
//! id: <generation>.<index>        what `Last-Event-ID` says when the client comes back
//! event: trigger                  data: {"index":7,…}
//! event: alive                    data: {}      nothing happened, but somebody is there
//! event: resync                   data: {}      what happened is not kept or too much: sync down, go on from this id
//! ```

use std::fmt;
use std::str::FromStr;

use crate::algebra::{Generation, Index, Trigger, parse_id};
use crate::codec::lines::{LINE_BYTES_MAX, Line, Problem};

/// The most bytes of one event: what comes without an end is no event.
pub const EVENT_BYTES_MAX: usize = 64 * 1024;

const _: () = assert!(EVENT_BYTES_MAX < LINE_BYTES_MAX);

/// Up to where a client has heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventId {
    /// Of which life of the data.
    pub generation: Generation,
    /// The last trigger that was heard.
    pub index: Index,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.generation.0, self.index)
    }
}

impl FromStr for EventId {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let shape = || Problem::Shape { why: "an event's id is a generation (a UUID), a dot and an index" };
        let (generation, index) = text.split_once('.').ok_or_else(shape)?;
        let is_plain = !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit());
        let index = is_plain.then(|| index.parse().ok()).flatten().ok_or_else(shape)?;
        Ok(EventId { generation: Generation(parse_id(generation)?), index: Index(index) })
    }
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An entity changed.
    Trigger {
        /// Of which life of the data.
        generation: Generation,
        /// The trigger.
        trigger: Trigger,
    },
    /// Nothing happened.
    Alive,
    /// What happened up to here cannot be told one by one: sync down.
    Resync {
        /// Up to where.
        until: EventId,
    },
}

impl Event {
    /// Appends its text.
    pub fn write(&self, out: &mut String) {
        match self {
            Event::Trigger { generation, trigger } => {
                let id = EventId { generation: *generation, index: trigger.index };
                out.push_str(&format!("id: {id}\nevent: trigger\ndata: "));
                trigger.write_line(out);
                out.push_str("\n\n");
            }
            Event::Alive => out.push_str("event: alive\ndata: {}\n\n"),
            Event::Resync { until } => out.push_str(&format!("id: {until}\nevent: resync\ndata: {{}}\n\n")),
        }
    }
}

/// Reads events from bytes as they come, in whatever pieces. Memory is bounded by one event.
#[derive(Debug, Default)]
pub struct Events {
    line: Vec<u8>,
    /// A carriage return ended the last line; a line feed behind it ends none.
    was_return: bool,
    id: String,
    name: String,
    data: String,
    has_data: bool,
}

impl Events {
    /// Takes bytes, and appends the events that they end.
    ///
    /// # Errors
    /// What is no event; then the stream is to be closed.
    pub fn read(&mut self, bytes: &[u8], events: &mut Vec<Event>) -> Result<(), Problem> {
        for byte in bytes {
            match byte {
                b'\n' if self.was_return => self.was_return = false,
                b'\n' | b'\r' => {
                    self.was_return = *byte == b'\r';
                    let line = std::mem::take(&mut self.line);
                    self.end_line(&line, events)?;
                }
                byte => {
                    self.was_return = false;
                    self.line.push(*byte);
                    if self.line.len() + self.data.len() > EVENT_BYTES_MAX {
                        return Err(Problem::TooLong { max: EVENT_BYTES_MAX });
                    }
                }
            }
        }
        Ok(())
    }

    fn end_line(&mut self, line: &[u8], events: &mut Vec<Event>) -> Result<(), Problem> {
        let line =
            std::str::from_utf8(line).map_err(|error| Problem::NotUtf8 { at: error.valid_up_to() + 1 })?;
        if line.is_empty() {
            let event = if self.has_data { self.event()? } else { None };
            events.extend(event);
            // The id stays, as the standard says; here every event that means something has its own.
            (self.has_data, self.name, self.data) = (false, String::new(), String::new());
            return Ok(());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => value.clone_into(&mut self.id),
            "event" => value.clone_into(&mut self.name),
            "data" => {
                if self.has_data {
                    self.data.push('\n');
                }
                self.has_data = true;
                self.data.push_str(value);
            }
            // Comments, and what is not known here.
            _ => {}
        }
        Ok(())
    }

    fn event(&self) -> Result<Option<Event>, Problem> {
        Ok(match self.name.as_str() {
            "trigger" => {
                let trigger = Trigger::from_line(&self.data)?;
                let id: EventId = self.id.parse()?;
                if id.index != trigger.index {
                    return Err(Problem::Shape { why: "an event's id is not that of its trigger" });
                }
                Some(Event::Trigger { generation: id.generation, trigger })
            }
            "resync" => Some(Event::Resync { until: self.id.parse()? }),
            "alive" => Some(Event::Alive),
            _ => None,
        })
    }
}
