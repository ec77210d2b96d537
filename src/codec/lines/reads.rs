//! Read plans as lines: per collection one list of ids.

use uuid::Uuid;

use super::Line;
use super::error::Problem;
use super::list::each;
use super::object::{Object, string};
use super::read::BUNCH_BYTES_MAX;
use super::write::{Writer, write_list};
use crate::algebra::{CollectionName, ReadPlan, parse_id};

/// The entities of one collection that are to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadList {
    /// The collection.
    pub collection: CollectionName,
    /// The entities' ids, each once, in their order.
    pub ids: Vec<Uuid>,
}

impl ReadList {
    /// The lines of a read plan, in the order of the collections' names.
    pub fn of(plan: &ReadPlan) -> impl Iterator<Item = ReadList> + '_ {
        plan.reads
            .iter()
            .map(|(collection, ids)| ReadList { collection: collection.clone(), ids: ids.clone() })
    }
}

impl Line for ReadList {
    const BYTES_MAX: usize = BUNCH_BYTES_MAX;

    /// Ids in any order; one that stands twice is refused.
    fn from_line(text: &str) -> Result<Self, Problem> {
        let object = Object::read(text, "a list of reads", &["collection", "ids"])?;
        let collection = CollectionName::new(&object.string("collection")?)?;
        let mut ids = each("ids", object.need("ids")?, |raw| {
            Ok(parse_id(&string("ids", "a list of UUIDs in strings", raw)?)?)
        })?;
        let given = ids.len();
        ids.sort_unstable();
        ids.dedup();
        if ids.len() < given {
            return Err(Problem::Shape { why: "an id stands twice in \"ids\"; each is read once" });
        }
        Ok(ReadList { collection, ids })
    }

    fn write_line(&self, out: &mut String) {
        let mut writer = Writer::new(out);
        writer.string("collection", self.collection.as_str());
        write_list(writer.member("ids"), &self.ids, |id, out| {
            out.push('"');
            out.push_str(id.hyphenated().encode_lower(&mut Uuid::encode_buffer()));
            out.push('"');
        });
        writer.end();
    }
}
