//! Triggers as lines.

use super::Line;
use super::error::Problem;
use super::object::{Object, wrong};
use super::write::Writer;
use crate::algebra::{Action, Epoch, Index, Trigger};

impl Line for Trigger {
    fn from_line(text: &str) -> Result<Self, Problem> {
        let keys = ["index", "collection", "id", "action", "epoch", "sender"];
        let object = Object::read(text, "a trigger", &keys)?;
        let action = match object.string("action")?.as_ref() {
            "upsert" => Action::Upsert,
            "delete" => Action::Delete,
            _ => return Err(wrong("action", "\"upsert\" or \"delete\"", object.need("action")?)),
        };
        let index = object.whole("index")?;
        if index == 0 || index == u64::MAX {
            return Err(wrong(
                "index",
                "a whole number from 1 to 18446744073709551614",
                object.need("index")?,
            ));
        }
        Ok(Trigger {
            index: Index(index),
            key: object.entity()?,
            action,
            epoch: Epoch(object.whole("epoch")?),
            sender: object.optional_id("sender")?,
        })
    }

    fn write_line(&self, out: &mut String) {
        let mut writer = Writer::new(out);
        writer.whole("index", self.index.0);
        writer.entity(&self.key);
        writer.string(
            "action",
            match self.action {
                Action::Upsert => "upsert",
                Action::Delete => "delete",
            },
        );
        writer.whole("epoch", self.epoch.0);
        if let Some(sender) = self.sender {
            writer.id("sender", sender);
        }
        writer.end();
    }
}
