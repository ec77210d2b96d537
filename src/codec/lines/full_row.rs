//! Full rows as lines: an entity with all that the authority tells of it.

use super::Line;
use super::error::Problem;
use super::object::Object;
use super::write::Writer;
use crate::algebra::{BunchNumber, Epoch, Existence, FullRow, ReplicaId, State, Version, Writer as By};

const KEYS: [&str; 9] =
    ["collection", "id", "state", "dead", "epoch", "created", "turned", "stamps", "writer"];

/// A tombstone says its last state, and `"dead":true`.
impl Line for FullRow {
    fn from_line(text: &str) -> Result<Self, Problem> {
        let object = Object::read(text, "a row", &KEYS)?;
        let state = State::from_json(object.need("state")?)?;
        let existence = if object.is("dead")? { Existence::Dead(state) } else { Existence::Live(state) };
        let stamps = object.all_stamps()?;
        let writer = object.get("writer").map(writer).transpose()?;
        let version = Version { existence, stamps };
        Ok(FullRow { key: object.entity()?, version, epoch: Epoch(object.whole("epoch")?), writer })
    }

    fn write_line(&self, out: &mut String) {
        let mut row = Writer::new(out);
        row.entity(&self.key);
        row.raw("state", self.version.existence.state().map_or("{}", State::as_json));
        if !self.version.existence.is_live() {
            row.boolean("dead", true);
        }
        row.whole("epoch", self.epoch.0);
        row.all_stamps(&self.version.stamps);
        if let Some(by) = self.writer {
            let mut writer = Writer::new(row.member("writer"));
            writer.id("replica", by.replica.0);
            writer.whole("bunch", by.bunch.0);
            writer.end();
        }
        row.end();
    }
}

fn writer(raw: &str) -> Result<By, Problem> {
    let object = Object::read(raw, "\"writer\"", &["replica", "bunch"])?;
    Ok(By { replica: ReplicaId(object.id("replica")?), bunch: BunchNumber(object.whole("bunch")?) })
}
