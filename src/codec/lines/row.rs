//! Rows as lines: an entity as the authority holds it.

use super::Line;
use super::error::Problem;
use super::object::Object;
use super::write::Writer;
use crate::algebra::{Epoch, Row, State};

/// A row without a state is a tombstone: `"state":null`.
impl Line for Row {
    fn from_line(text: &str) -> Result<Self, Problem> {
        let object = Object::read(text, "a row", &["collection", "id", "state", "epoch"])?;
        let state = match object.need("state")? {
            "null" => None,
            state => Some(State::from_json(state)?),
        };
        Ok(Row { key: object.entity()?, state, epoch: object.optional_whole("epoch")?.map(Epoch) })
    }

    fn write_line(&self, out: &mut String) {
        let mut writer = Writer::new(out);
        writer.entity(&self.key);
        writer.raw("state", self.state.as_ref().map_or("null", State::as_json));
        if let Some(epoch) = self.epoch {
            writer.whole("epoch", epoch.0);
        }
        writer.end();
    }
}
