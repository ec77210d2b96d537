//! Bunches as lines. A bunch's id is the blake3 hash of its line without the id.

use super::Line;
use super::error::Problem;
use super::list::each_named;
use super::object::{Object, wrong};
use super::operation::folded;
use super::read::BUNCH_BYTES_MAX;
use super::write::{Writer, write_list};
use crate::algebra::{Bunch, BunchNumber, Digest, Planned};

impl Line for Bunch {
    const BYTES_MAX: usize = BUNCH_BYTES_MAX;

    fn from_line(text: &str) -> Result<Self, Problem> {
        let object = Object::read(text, "a bunch", &["bunch", "id", "operations"])?;
        let id = object.string("id")?;
        if id.len() != 64 || !id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            let expected = "a blake3 hash in 64 lower-case hexadecimal digits";
            return Err(wrong("id", expected, object.need("id")?));
        }
        let read = bunch(object.bunch()?, operations(&object, Planned::from_line)?);
        if *id == read.id.to_string() { Ok(read) } else { Err(Problem::BunchId) }
    }

    fn write_line(&self, out: &mut String) {
        write(self.number, Some(self.id), &self.operations, out);
    }
}

/// Makes a bunch of its number and operations.
pub(crate) fn bunch(number: BunchNumber, operations: Vec<Planned>) -> Bunch {
    bunch_with_text(number, operations).0
}

/// Makes a bunch, and gives the text that its id is the hash of.
pub(crate) fn bunch_with_text(number: BunchNumber, operations: Vec<Planned>) -> (Bunch, String) {
    let mut bunch = Bunch { number, id: Digest([0; 32]), operations };
    let text = bunch_text(&bunch);
    bunch.id = Digest(*blake3::hash(text.as_bytes()).as_bytes());
    (bunch, text)
}

/// The text that a bunch's id is the hash of: its line without the id.
pub(crate) fn bunch_text(bunch: &Bunch) -> String {
    let mut out = String::new();
    write(bunch.number, None, &bunch.operations, &mut out);
    out
}

/// Reads the text that a bunch's id is the hash of. It was sealed here, so its operations may be larger than any that is
/// taken: they were folded of several.
pub(crate) fn parse_bunch_text(text: &str) -> Result<Bunch, Problem> {
    let object = Object::read(text, "a bunch", &["bunch", "operations"])?;
    let number = object.bunch()?;
    let id = Digest(*blake3::hash(text.as_bytes()).as_bytes());
    Ok(Bunch { number, id, operations: operations(&object, folded)? })
}

/// How many bytes an operation takes in a bunch, its comma included.
pub(crate) fn planned_bytes(planned: &Planned) -> usize {
    planned.to_line().len() + 1
}

fn operations(
    object: &Object<'_>,
    read: impl FnMut(&str) -> Result<Planned, Problem>,
) -> Result<Vec<Planned>, Problem> {
    each_named("operations", "operation", object.need("operations")?, read)
}

fn write(number: BunchNumber, id: Option<Digest>, operations: &[Planned], out: &mut String) {
    let mut writer = Writer::new(out);
    writer.whole("bunch", number.0);
    if let Some(id) = id {
        writer.string("id", &id.to_string());
    }
    write_list(writer.member("operations"), operations, Planned::write_line);
    writer.end();
}
