//! Lines: what comes in and goes out as NDJSON, one JSON object a line, UTF-8.
//!
//! | line | type |
//! |---|---|
//! | `{"op":"create","collection":"notes","id":"<uuid>","state":{…}}` | [`Operation`] |
//! | `{"op":"update",…,"patch":{…}}`, `{"op":"update",…,"state":{…}}`, `{"op":"delete",…}` | [`Operation`] |
//! | `{"collection":"notes","id":"<uuid>","state":{…}}`, optional `"epoch"`; a null state is a tombstone | [`Row`] |
//! | `{"collection":"notes","id":"<uuid>","state":{…},"epoch":9}`, optional `"dead":true` (a tombstone with its last state), `"created"`, `"turned"`, `"stamps"`, `"writer":{"replica":"<uuid>","bunch":3}` | [`FullRow`] |
//! | `{"index":7,"collection":…,"id":…,"action":"upsert"\|"delete","epoch":12}`, optional `"sender"` | [`Trigger`] |
//! | `{"bunch":3,"id":"<blake3 hex>","operations":[…]}` | [`Bunch`] |
//! | `{"bunch":3,"outcomes":[{"accepted":{"epoch":9}},…]}` | [`Outcomes`] |
//! | `{"collection":"notes","ids":["<uuid>",…]}` | [`ReadList`] |
//!
//! An operation may say `"at"` (ms since the Unix epoch) and `"group"` (a name). One that was folded says
//! more: `"groups"` (several names), `"stamps"` (field → when it was written, where that is not `at`: a
//! time, or `{"at":…,"replica":"<uuid>"}`), `"base"` (the epoch it was made on, 0 for absent). So the plan
//! of one fold is the input of another.
//!
//! Reading is strict: what is misspelt, doubled, out of range or too long is refused with its line's
//! number, never guessed at. Blank lines, a carriage return before the line feed, and one byte order mark
//! at the very beginning pass. Memory is bounded by one line.

mod bunch;
mod error;
mod full_row;
pub(super) mod list;
pub(super) mod object;
mod operation;
mod outcome;
mod plain;
mod read;
mod reads;
mod row;
#[cfg(test)]
mod tests;
mod trigger;
pub(super) mod write;

#[cfg(doc)]
use crate::algebra::{Bunch, FullRow, Operation, Outcomes, Row, Trigger};

#[cfg(any(test, feature = "testing"))]
pub(crate) use bunch::{bunch, bunch_text};
pub(crate) use bunch::{bunch_with_text, parse_bunch_text, planned_bytes};
pub use error::{LineError, Problem};
pub use read::{BUNCH_BYTES_MAX, LINE_BYTES_MAX, Reader, read, read_all};
pub use reads::ReadList;

/// What is one line of NDJSON.
pub trait Line: Sized + sealed::Sealed {
    /// The longest line that is read, in bytes.
    const BYTES_MAX: usize = LINE_BYTES_MAX;

    /// Reads it from the text of a line.
    ///
    /// # Errors
    /// What the text is refused for.
    fn from_line(text: &str) -> Result<Self, Problem>;

    /// Appends the text of its line to `out`, without a line feed.
    fn write_line(&self, out: &mut String);

    /// The text of its line, without a line feed.
    fn to_line(&self) -> String {
        let mut out = String::new();
        self.write_line(&mut out);
        out
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for crate::algebra::Operation {}
    impl Sealed for crate::algebra::Planned {}
    impl Sealed for crate::algebra::Row {}
    impl Sealed for crate::algebra::FullRow {}
    impl Sealed for crate::algebra::Trigger {}
    impl Sealed for crate::algebra::Bunch {}
    impl Sealed for crate::algebra::Outcomes {}
    impl Sealed for super::ReadList {}
}
