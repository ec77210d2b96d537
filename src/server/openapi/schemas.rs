//! What is asked and answered, as JSON schemas. Each is as strict as the decoder in `codec`.

use serde_json::json;
use utoipa::openapi::ComponentsBuilder;
use utoipa::openapi::schema::{AdditionalProperties, ArrayBuilder, ObjectBuilder, OneOfBuilder, Type};

use super::shapes::{Closed, boolean, by_collection, closed, id, list, map, name, not, refer, text, whole};
use crate::algebra::{
    COLLECTION_NAME_BYTES_MAX, FIELDS_BYTES_MAX, GROUP_NAME_BYTES_MAX, Millis, NESTING_MAX,
};
use crate::codec::wire::COUNT_DEFAULT;

/// A blake3 hash.
const HASH: &str = "^[0-9a-f]{64}$";

/// Adds all of them.
pub(super) fn add(components: ComponentsBuilder) -> ComponentsBuilder {
    let components = components
        .schema("Id", id())
        .schema("Collection", name(COLLECTION_NAME_BYTES_MAX))
        .schema("Group", name(GROUP_NAME_BYTES_MAX))
        .schema("Fields", fields())
        .schema("Epoch", whole(0, u64::MAX).description(Some("a collection's counter; 0 says absent")))
        .schema("Time", whole(0, Millis::MAX.0).description(Some("ms since the Unix epoch")))
        .schema("Stamp", stamp())
        .schema("Stamps", map("when fields were written", None, refer("Stamp")))
        .schema("Cursors", by_collection("how far each collection was read", refer("Epoch")));
    outcome(row(bunch(operation(components))))
        .schema("Outcomes", outcomes())
        .schema("ChangesAsked", changes_asked())
        .schema("Page", page())
        .schema("ReadsAsked", reads_asked())
        .schema("Rows", closed("entities").needs("rows", list(refer("Row"))).0)
        .schema("Trigger", trigger())
        .schema("Triggers", closed("triggers, in their order").needs("triggers", list(refer("Trigger"))).0)
        .schema("Digests", digests())
}

fn fields() -> ObjectBuilder {
    let rules = format!(
        "an entity's fields. Rules: every number is one that a double or 64 bits carry exactly; arrays and objects are \
         nested at most {NESTING_MAX} deep; it has at most {FIELDS_BYTES_MAX} bytes as canonical JSON"
    );
    ObjectBuilder::new()
        .additional_properties(Some(AdditionalProperties::FreeForm(true)))
        .description(Some(rules))
}

fn stamp() -> OneOfBuilder {
    OneOfBuilder::new()
        .item(refer("Time"))
        .item(closed("").needs("at", refer("Time")).may("replica", refer("Id")).0)
}

fn operation(components: ComponentsBuilder) -> ComponentsBuilder {
    let of = |op: &str, description: &str| {
        let not_both = not(json!({"required": ["group", "groups"]}));
        let all = closed(description).needs("op", text().enum_values(Some([op])));
        let all = all.needs("collection", refer("Collection")).needs("id", refer("Id"));
        let all = all.may("at", refer("Time")).may("base", refer("Epoch"));
        let all = all.may("group", refer("Group")).may("groups", list(refer("Group")));
        Closed(all.0.extensions(Some(not_both)))
    };
    let create = of("create", "an entity that is new, or lives again")
        .needs("state", refer("Fields"))
        .may("stamps", refer("Stamps"))
        .may("touched", list(text()));
    let patch =
        of("update", "some fields, null where one is removed. Rule: `stamps` names fields of the `patch`")
            .needs("patch", refer("Fields"))
            .may("stamps", refer("Stamps"));
    let state = of("update", "all fields").needs("state", refer("Fields")).may("stamps", refer("Stamps"));
    let none = ObjectBuilder::new().max_properties(Some(0)).description(Some("a delete writes no fields"));
    let delete = of("delete", "").may("stamps", none);
    let kinds = ["Create", "Patch", "Replace", "Delete"];
    let any = kinds.iter().fold(OneOfBuilder::new(), |any, kind| any.item(refer(kind)));
    let each = kinds.iter().zip([create, patch, state, delete]);
    each.fold(components, |components, (name, schema)| components.schema(*name, schema.0))
        .schema("Operation", any)
}

fn bunch(components: ComponentsBuilder) -> ComponentsBuilder {
    let bunch = closed("operations that travel together")
        .needs("bunch", whole(1, u64::MAX))
        .needs(
            "id",
            text().pattern(Some(HASH)).description(Some(
                "Rule: it is the blake3 hash of the bunch without its id, written as foldlog writes it (keys in the \
                 documented order, states and patches canonical, no spaces)",
            )),
        )
        .needs("operations", list(refer("Operation")));
    let asked = closed("a bunch of a replica")
        .needs("replica", refer("Id"))
        .may("generation", refer("Id"))
        .needs("bunch", refer("Bunch"));
    components.schema("Bunch", bunch.0).schema("BunchAsked", asked.0)
}

fn row(components: ComponentsBuilder) -> ComponentsBuilder {
    let writer = closed("who wrote it last").needs("replica", refer("Id")).needs("bunch", whole(0, u64::MAX));
    let row = closed("an entity with all that is told of it")
        .needs("collection", refer("Collection"))
        .needs("id", refer("Id"))
        .needs("state", refer("Fields"))
        .may("dead", boolean().description(Some("a tombstone with its last state")))
        .needs("epoch", refer("Epoch"))
        .may("created", refer("Stamp"))
        .may("turned", refer("Stamp"))
        .may("stamps", refer("Stamps"))
        .may("writer", refer("Writer"));
    components.schema("Writer", writer.0).schema("Row", row.0)
}

fn outcome(components: ComponentsBuilder) -> ComponentsBuilder {
    let entity = closed("").needs("collection", refer("Collection")).needs("id", refer("Id"));
    let or_none =
        || OneOfBuilder::new().item(refer("Fields")).item(ObjectBuilder::new().schema_type(Type::Null));
    let accepted = closed("it was applied")
        .may("epoch", refer("Epoch"))
        .may("state", or_none())
        .may("created", refer("Stamp"))
        .may("turned", refer("Stamp"))
        .may("stamps", refer("Stamps"))
        .may("overwrote", refer("Fields"));
    let superseded = closed("what somebody else did counts")
        .needs("epoch", refer("Epoch"))
        .needs("state", or_none())
        .may("created", refer("Stamp"))
        .may("turned", refer("Stamp"))
        .may("stamps", refer("Stamps"))
        .may("writer", refer("Id"));
    let clash = closed("another entity holds a unique key")
        .needs("unique", ArrayBuilder::new().items(text()).min_items(Some(1)))
        .needs("holder", refer("Id"))
        .may("of", refer("Entity"));
    let refused = closed("it breaks the schema of the data").needs("reason", text());
    let waits = closed("it hangs on an operation that failed").needs("for", refer("Entity"));
    let retry = closed("send it again");
    let kinds = [
        ("accepted", accepted),
        ("superseded", superseded),
        ("clash", clash),
        ("refused", refused),
        ("waits", waits),
        ("retry", retry),
    ];
    let any = kinds
        .into_iter()
        .fold(OneOfBuilder::new(), |any, (key, body)| any.item(closed("").needs(key, body.0).0));
    components.schema("Entity", entity.0).schema("Outcome", any)
}

fn outcomes() -> ObjectBuilder {
    closed("an outcome for each operation, in their order")
        .needs("bunch", whole(1, u64::MAX))
        .needs("outcomes", list(refer("Outcome")))
        .0
}

fn changes_asked() -> ObjectBuilder {
    closed("what was read so far")
        .needs("cursors", refer("Cursors"))
        .may("floors", refer("Cursors"))
        .may("generation", refer("Id"))
        .may(
            "rows",
            whole(0, u64::MAX).description(Some(format!("the most rows; {COUNT_DEFAULT} unless said"))),
        )
        .0
}

fn page() -> ObjectBuilder {
    closed("what changed, and how far that goes")
        .needs("generation", refer("Id"))
        .needs("rows", list(refer("Row")))
        .needs("cursors", refer("Cursors"))
        .needs("floors", refer("Cursors"))
        .needs("has_more", boolean())
        .needs("triggers_until", whole(0, u64::MAX))
        .0
}

fn reads_asked() -> ObjectBuilder {
    let ids = ArrayBuilder::new().items(refer("Id")).unique_items(true);
    let list_of = closed("Rule: ids that differ in case alone are the same one")
        .needs("collection", refer("Collection"))
        .needs("ids", ids);
    closed("what is read. Rule: each collection has one list").needs("reads", list(list_of.0)).0
}

fn trigger() -> ObjectBuilder {
    closed("something changed")
        .needs("index", whole(1, u64::MAX - 1))
        .needs("collection", refer("Collection"))
        .needs("id", refer("Id"))
        .needs("action", text().enum_values(Some(["upsert", "delete"])))
        .needs("epoch", refer("Epoch"))
        .may("sender", refer("Id"))
        .0
}

fn digests() -> ObjectBuilder {
    let one = closed("what is live in a collection")
        .needs("count", whole(0, u64::MAX))
        .needs("sum", text().pattern(Some(HASH)))
        .needs("epoch", refer("Epoch"));
    closed("what is live").needs("collections", by_collection("each collection", one.0)).0
}
