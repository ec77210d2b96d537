//! What in a set of operations must go before what, and why. Only looks; decides nothing.
//!
//! | edge | from → to | certain |
//! |---|---|---|
//! | `Refers` | what creates an entity → what writes a reference to it | yes; not where an update may only have revived it |
//! | `Drops` | what referred to an entity and no longer does → what deletes that entity | yes |
//! | `Takes` | what frees a unique value → what takes it | yes |
//!
//! Only what is known counts: of an entity whose state at the authority is not known nothing is freed or
//! dropped, and of a patch on one only the fields that it names are there. An entity that refers to itself
//! waits for nobody. Invariant: there are at most two edges for each operation and each field or key that
//! is declared, whatever the values are.

use std::borrow::Cow;
use std::collections::HashMap;

use uuid::Uuid;

use super::super::fields::{Patch, State};
use super::super::names::{CollectionName, EntityKey, parse_id};
use super::super::operation::{Change, Update};
use super::super::plan::Draft;
use super::super::schema::{Collection, OnDelete, Reference, Schema};

/// One operation must go before another. Operations are named by their place in the list of drafts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge<'s> {
    /// What goes first.
    pub(super) from: usize,
    /// What waits for it.
    pub(super) to: usize,
    /// Why.
    pub(super) why: Why<'s>,
}

/// Why an operation waits for another.
#[derive(Clone, Copy, Debug)]
pub(super) enum Why<'s> {
    /// It writes a reference to what the other makes.
    Refers {
        /// The field.
        field: &'s str,
        /// What is declared about it.
        reference: &'s Reference,
        /// Whether the other surely makes it: an update of what is not known to be there may not.
        is_certain: bool,
    },
    /// It deletes what the other refers to until then.
    Drops,
    /// It takes a unique value that the other frees.
    Takes {
        /// The fields of the unique key.
        key: &'s [String],
    },
}

/// What keeping an edge is worth in a cycle; the least is given up first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Worth {
    /// There may be nothing to wait for.
    Uncertain,
    /// The reference may be absent, and becomes so when the other is deleted.
    SetNull,
    /// The reference may be absent.
    Optional,
    /// No order is valid without it.
    Needed,
}

impl<'s> Edge<'s> {
    /// What keeping it is worth.
    pub(super) fn worth(&self) -> Worth {
        match self.why {
            Why::Refers { is_certain: false, .. } => Worth::Uncertain,
            Why::Refers { reference: Reference { is_required: true, .. }, .. } => Worth::Needed,
            Why::Refers { reference, .. } => match reference.on_delete {
                OnDelete::SetNull => Worth::SetNull,
                OnDelete::Cascade | OnDelete::Restrict => Worth::Optional,
            },
            Why::Drops | Why::Takes { .. } => Worth::Needed,
        }
    }

    /// Whether there surely is something to wait for.
    pub(super) fn is_certain(&self) -> bool {
        self.worth() != Worth::Uncertain
    }

    /// The field that the later operation can leave out at first, to set it when the other is done.
    pub(super) fn cuttable(&self) -> Option<&'s str> {
        match self.why {
            Why::Refers { field, .. } if matches!(self.worth(), Worth::SetNull | Worth::Optional) => {
                Some(field)
            }
            Why::Refers { .. } | Why::Drops | Why::Takes { .. } => None,
        }
    }

    /// Whether there is nothing to wait for as long as the later operation leaves this field out.
    pub(super) fn concerns(&self, left_out: &str) -> bool {
        match self.why {
            Why::Refers { field, .. } => field == left_out,
            Why::Drops => false,
            Why::Takes { key } => key.iter().any(|field| field == left_out),
        }
    }
}

/// The edges between operations, at most one operation an entity.
pub(super) fn edges<'s>(drafts: &[Draft], schema: &'s Schema) -> Vec<Edge<'s>> {
    let views: Vec<View<'_, 's>> =
        drafts.iter().enumerate().filter_map(|(place, draft)| View::of(place, draft, schema)).collect();
    let mut edges = references(&views);
    edges.extend(takings(&views));
    edges
}

fn references<'s>(views: &[View<'_, 's>]) -> Vec<Edge<'s>> {
    let named: HashMap<(&CollectionName, Uuid), &View<'_, 's>> =
        views.iter().map(|view| ((view.key.collection(), view.key.id()), view)).collect();
    let mut edges = Vec::new();
    for view in views {
        let other = |target: Option<Target<'s>>| {
            let Target { collection, id } = target?;
            named.get(&(collection, id)).filter(|other| other.place != view.place)
        };
        for (field, reference) in view.rules.references() {
            let before = view.before.target(field, reference);
            let after = view.after.target(field, reference);
            if before == after {
                continue;
            }
            if let Some(made) = other(after.flatten())
                && let Some(is_certain) = made.makes
                && !sabotaged!(child_created_before_parent)
            {
                let why = Why::Refers { field, reference, is_certain };
                edges.push(Edge { from: made.place, to: view.place, why });
            }
            if let Some(deleted) = other(before.flatten())
                && matches!(deleted.after, Known::Gone)
                && !sabotaged!(parent_deleted_before_child)
            {
                edges.push(Edge { from: view.place, to: deleted.place, why: Why::Drops });
            }
        }
    }
    edges
}

/// What an operation does to a unique key of its entity.
struct Taking<'a, 's> {
    place: usize,
    /// The collection, and which of its keys.
    which: (&'a CollectionName, usize),
    key: &'s [String],
    frees: Option<String>,
    takes: Option<String>,
}

/// Who frees a unique value, and whether somebody takes it.
#[derive(Default)]
struct Value {
    freed_by: Vec<usize>,
    is_taken: bool,
}

fn takings<'s>(views: &[View<'_, 's>]) -> Vec<Edge<'s>> {
    let mut takings = Vec::new();
    for view in views {
        for (number, key) in view.rules.unique_keys().enumerate() {
            let (frees, takes) = (view.before.value(key), view.after.value(key));
            if frees != takes {
                let which = (view.key.collection(), number);
                takings.push(Taking { place: view.place, which, key, frees, takes });
            }
        }
    }
    let mut values: HashMap<(&CollectionName, usize, &str), Value> = HashMap::new();
    for Taking { place, which, frees, .. } in &takings {
        if let Some(value) = frees {
            values.entry((which.0, which.1, value)).or_default().freed_by.push(*place);
        }
    }
    let mut edges = Vec::new();
    for Taking { place, which, key, takes, .. } in &takings {
        let taken = takes.as_deref().and_then(|value| values.get_mut(&(which.0, which.1, value)));
        let Some(value) = taken else { continue };
        // A value has one holder. Where what is known contradicts that, no order is right, and all there
        // is to see to is that there are not holders times takers of edges.
        let waits_for = if value.is_taken { 1 } else { value.freed_by.len() };
        value.is_taken = true;
        let freed_by = value.freed_by.iter().take(waits_for);
        edges.extend(freed_by.map(|from| Edge { from: *from, to: *place, why: Why::Takes { key } }));
    }
    edges
}

/// What is known of an entity before and after its operation.
struct View<'a, 's> {
    place: usize,
    key: &'a EntityKey,
    rules: &'s Collection,
    before: Known<'a>,
    after: Known<'a>,
    /// Whether the operation makes the entity: surely, perhaps, or (nothing) not.
    makes: Option<bool>,
}

/// The entity that a field refers to.
#[derive(PartialEq, Eq)]
struct Target<'s> {
    collection: &'s CollectionName,
    id: Uuid,
}

/// What is known of an entity.
enum Known<'a> {
    /// Nothing.
    Nothing,
    /// The fields that the patch names.
    Named(&'a Patch),
    /// All of it.
    Live(Cow<'a, State>),
    /// That it is not there.
    Gone,
}

impl<'a, 's> View<'a, 's> {
    fn of(place: usize, draft: &'a Draft, schema: &'s Schema) -> Option<Self> {
        let operation = &draft.planned.operation;
        let rules = schema.collection(operation.key.collection())?;
        let before = match (&draft.before, &operation.change) {
            (Some(state), _) => Known::Live(Cow::Borrowed(state)),
            (None, Change::Create(_)) => Known::Gone,
            (None, Change::Update(_) | Change::Delete) => Known::Nothing,
        };
        let after = match (&operation.change, &draft.before) {
            (Change::Create(state) | Change::Update(Update::State(state)), _) => {
                Known::Live(Cow::Borrowed(state))
            }
            (Change::Update(Update::Patch(patch)), Some(state)) => Known::Live(Cow::Owned(state.with(patch))),
            (Change::Update(Update::Patch(patch)), None) => Known::Named(patch),
            (Change::Delete, _) => Known::Gone,
        };
        let makes = match (&operation.change, &draft.before) {
            (Change::Delete, _) | (_, Some(_)) => None,
            (Change::Create(_), None) => Some(true),
            (Change::Update(_), None) => Some(false),
        };
        Some(View { place, key: &operation.key, rules, before, after, makes })
    }
}

impl Known<'_> {
    /// A field's value as canonical JSON, if that is known: none for an absent field.
    fn field(&self, field: &str) -> Option<Option<&str>> {
        match self {
            Known::Nothing => None,
            Known::Named(patch) => patch.raw(field).map(|value| (value != "null").then_some(value)),
            Known::Live(state) => Some(state.raw(field)),
            Known::Gone => Some(None),
        }
    }

    /// The entity that a field refers to, if that is known: none for anything but an id.
    fn target<'s>(&self, field: &str, reference: &'s Reference) -> Option<Option<Target<'s>>> {
        let value = self.field(field)?;
        Some(value.and_then(id_of).map(|id| Target { collection: &reference.to, id }))
    }

    /// The value of a unique key, if all of it is known and there.
    fn value(&self, key: &[String]) -> Option<String> {
        let mut value = String::new();
        for field in key {
            value.push_str(self.field(field)??);
            value.push(',');
        }
        Some(value)
    }
}

/// The id that a JSON value is, in any case of its letters.
fn id_of(value: &str) -> Option<Uuid> {
    // Canonical JSON escapes nothing that stands in an id.
    let text = value.strip_prefix('"')?.strip_suffix('"')?;
    parse_id(text).ok()
}
