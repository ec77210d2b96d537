//! Operations as lines: those that were made, and those that were folded.

use super::Line;
use super::error::Problem;
use super::list::each;
use super::object::{Object, string, whole, wrong};
use super::plain::{Nulls, Plain};
use super::write::{Writer, quote, write_list};
use crate::algebra::{
    Change, CollectionName, EntityKey, Epoch, Error, Group, Millis, Operation, Patch, Planned, Seq, State,
    Update, parse_id,
};

const KEYS: [&str; 11] =
    ["op", "collection", "id", "state", "patch", "at", "group", "groups", "stamps", "base", "touched"];

impl Line for Operation {
    fn from_line(text: &str) -> Result<Self, Problem> {
        match plain(text) {
            Some(operation) => Ok(operation),
            None => parsed(text),
        }
    }

    fn write_line(&self, out: &mut String) {
        write(self, None, None, out);
    }
}

/// A planned operation says the base it was made on. Where it came from is not on the line: read back,
/// it counts as one operation with places 0.
impl Line for Planned {
    fn from_line(text: &str) -> Result<Self, Problem> {
        planned(text, change)
    }

    fn write_line(&self, out: &mut String) {
        write(&self.operation, self.base, self.touched.as_deref(), out);
    }
}

/// Reads an operation that was folded here of what was taken, and may be larger than what is.
pub(super) fn folded(text: &str) -> Result<Planned, Problem> {
    planned(text, |object| change_by(object, State::composed, Patch::composed))
}

fn planned(
    text: &str,
    change: impl FnOnce(&Object<'_>) -> Result<Change, Problem>,
) -> Result<Planned, Problem> {
    let object = Object::read(text, "an operation", &KEYS)?;
    let base = object.optional_whole("base")?.map(Epoch);
    let (first, last, operations) = (Seq(0), Seq(0), 1);
    let (operation, touched) = (operation(&object, change)?, touched(&object)?);
    Ok(Planned { operation, base, first, last, operations, touched })
}

/// Reads an operation however it is written.
pub(super) fn parsed(text: &str) -> Result<Operation, Problem> {
    let object = Object::read(text, "an operation", &KEYS)?;
    operation(&object, change)
}

/// Reads an operation that is written plainly, as most are: several times as quick as with the parser.
pub(super) fn plain(text: &str) -> Option<Operation> {
    let (mut op, mut collection, mut id) = (None, None, None);
    let (mut state, mut patch, mut at, mut group) = (None, None, None, None);
    let mut line = Plain::new(text);
    line.eat(b'{')?;
    loop {
        let name = line.string()?;
        line.eat(b':')?;
        let is_second = match name {
            "op" => op.replace(line.string()?).is_some(),
            "collection" => collection.replace(line.string()?).is_some(),
            "id" => id.replace(line.string()?).is_some(),
            "state" => state.replace(line.fields(Nulls::Removed)?).is_some(),
            "patch" => patch.replace(line.fields(Nulls::Kept)?).is_some(),
            "at" => at.replace(line.whole()?).is_some(),
            "group" => group.replace(line.string()?).is_some(),
            _ => return None,
        };
        if is_second {
            return None;
        }
        if !line.has(b',') {
            break;
        }
    }
    line.eat(b'}')?;
    if !line.is_over() {
        return None;
    }
    let change = match (op?, state, patch) {
        ("create", Some(state), None) => Change::Create(State::trusted(state)),
        ("update", Some(state), None) => Change::Update(Update::State(State::trusted(state))),
        ("update", None, Some(patch)) => Change::Update(Update::Patch(Patch::trusted(patch))),
        ("delete", None, None) => Change::Delete,
        _ => return None,
    };
    let key = EntityKey::new(CollectionName::new(collection?).ok()?, parse_id(id?).ok()?).ok()?;
    let mut operation = Operation::new(key, change);
    if let Some(at) = at {
        operation.at = Some(Millis::new(at).ok()?);
    }
    if let Some(group) = group {
        operation.groups.push(Group::new(group).ok()?);
    }
    Some(operation)
}

fn operation(
    object: &Object<'_>,
    change: impl FnOnce(&Object<'_>) -> Result<Change, Problem>,
) -> Result<Operation, Problem> {
    let key = object.entity()?;
    let change = change(object)?;
    let at = object.optional_whole("at")?.map(Millis::new).transpose()?;
    // Its shape is checked, though only a planned operation keeps it.
    object.get("base").map(|raw| whole("base", raw)).transpose()?;
    if touched(object)?.is_some() && !matches!(change, Change::Create(_)) {
        return Err(Problem::Shape { why: "only a create that revives says what it \"touched\"" });
    }
    let stamps = object.stamps()?;
    if !stamps.is_empty() && change == Change::Delete {
        return Err(Problem::Shape { why: "a delete writes no fields, so it has no \"stamps\"" });
    }
    if !change.writes_all(stamps.iter().map(|(name, _)| name)) {
        return Err(Problem::Shape { why: "\"stamps\" names a field that \"patch\" does not" });
    }
    Ok(Operation { key, change, at, stamps, groups: groups(object)? })
}

fn change(object: &Object<'_>) -> Result<Change, Problem> {
    change_by(object, State::from_json, Patch::from_json)
}

fn change_by(
    object: &Object<'_>,
    state_of: fn(&str) -> Result<State, Error>,
    patch_of: fn(&str) -> Result<Patch, Error>,
) -> Result<Change, Problem> {
    let op = object.string("op")?;
    let shape = |why| Err(Problem::Shape { why });
    match (op.as_ref(), object.get("state"), object.get("patch")) {
        ("create", Some(state), None) => Ok(Change::Create(state_of(state)?)),
        ("create", _, Some(_)) => shape("a create has no \"patch\"; say the whole entity in \"state\""),
        ("create", None, None) => shape("a create needs the whole entity in \"state\""),
        ("update", Some(state), None) => Ok(Change::Update(Update::State(state_of(state)?))),
        ("update", None, Some(patch)) => Ok(Change::Update(Update::Patch(patch_of(patch)?))),
        ("update", Some(_), Some(_)) => {
            shape("an update has a \"patch\" or a \"state\", not both; keep one of them")
        }
        ("update", None, None) => {
            shape("an update needs a \"patch\" (some fields) or a \"state\" (all of them)")
        }
        ("delete", None, None) => Ok(Change::Delete),
        ("delete", _, _) => shape("a delete has neither \"state\" nor \"patch\"; leave them out"),
        (_, _, _) => Err(wrong("op", "\"create\", \"update\" or \"delete\"", object.need("op")?)),
    }
}

fn groups(object: &Object<'_>) -> Result<Vec<Group>, Problem> {
    match (object.optional_string("group")?, object.get("groups")) {
        (Some(_), Some(_)) => Err(Problem::Shape {
            why: "an operation has a \"group\" or \"groups\", not both; keep one of them",
        }),
        (Some(group), None) => Ok(vec![Group::new(&group)?]),
        (None, Some(raw)) => {
            let mut groups =
                each("groups", raw, |raw| Ok(Group::new(&string("groups", "a list of strings", raw)?)?))?;
            groups.sort();
            groups.dedup();
            Ok(groups)
        }
        (None, None) => Ok(Vec::new()),
    }
}

fn touched(object: &Object<'_>) -> Result<Option<Vec<String>>, Problem> {
    let name = |raw: &str| Ok(string("touched", "a list of strings", raw)?.into_owned());
    object.get("touched").map(|raw| each("touched", raw, name)).transpose()
}

fn write(operation: &Operation, base: Option<Epoch>, touched: Option<&[String]>, out: &mut String) {
    let (op, fields) = match &operation.change {
        Change::Create(state) => ("create", Some(("state", state.as_json()))),
        Change::Update(Update::State(state)) => ("update", Some(("state", state.as_json()))),
        Change::Update(Update::Patch(patch)) => ("update", Some(("patch", patch.as_json()))),
        Change::Delete => ("delete", None),
    };
    let mut writer = Writer::new(out);
    writer.string("op", op);
    writer.entity(&operation.key);
    if let Some((key, json)) = fields {
        writer.raw(key, json);
    }
    if let Some(at) = operation.at {
        writer.whole("at", at.0);
    }
    writer.stamps(&operation.stamps);
    match operation.groups.as_slice() {
        [] => {}
        [group] => writer.string("group", group.as_str()),
        groups => {
            write_list(writer.member("groups"), groups, |group, out| quote(group.as_str(), out));
        }
    }
    if let Some(base) = base {
        writer.whole("base", base.0);
    }
    if let Some(touched) = touched {
        write_list(writer.member("touched"), touched, |name, out| quote(name, out));
    }
    writer.end();
}
