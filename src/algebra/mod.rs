//! The algebra: fields, operations, effects, plans, triggers, conflicts and the shapes of the protocol. Pure: no I/O, no clock, no randomness,
//! no threads.

mod base;
mod conflict;
mod effect;
mod effects;
mod error;
mod fields;
mod finite;
mod fold;
mod head;
mod keys;
mod live;
mod members;
mod names;
mod operation;
mod order;
mod outcome;
mod plan;
mod protocol;
mod rebase;
pub(crate) mod run;
mod schema;
mod select;
mod send;
pub(crate) mod slots;
mod stamp;
mod text;
mod trigger;
mod version;
mod waiting;

pub use base::{Base, BaseMap, Bases, Held, Knowledge};
pub use conflict::{Decision, Other, decide, overwritten, written};
pub(crate) use effect::joined;
pub use effect::{Content, Effect, Kind, Liveness, Shape};
pub use error::Error;
pub(crate) use error::shortened;
pub use fields::{Digest, FIELDS_BYTES_MAX, Patch, State};
pub use fold::Fold;
pub(crate) use keys::has_values;
pub use keys::{key_values, live_key_values, referred};
pub use live::{LiveSet, LiveSets};
pub use names::{
    BunchNumber, COLLECTION_NAME_BYTES_MAX, CollectionName, EntityKey, Epoch, GROUP_NAME_BYTES_MAX, Group,
    Index, Millis, ReplicaId, Seq, parse_id,
};
pub use operation::{Change, Existence, Operation, Update};
pub use order::{Arranged, arranged};
pub use outcome::{Bunch, FullRow, Outcome, Outcomes, Resulting, Row, Writer};
pub use plan::{Draft, Fate, Nothing, Plan, Planned, draft, plan, rank};
pub use protocol::{Answer, Ask, Cursors, Generation, Page, ROWS_MAX};
pub use rebase::{Rebased, changing, rebased};
pub use schema::{Collection, OnDelete, Policy, Reference, Schema};
pub use select::{Limits, selected};
pub(crate) use send::known_to;
pub use send::sent;
pub use stamp::{Clock, FieldStamp, Stamp};
pub use text::NESTING_MAX;
pub(crate) use text::{Name as TextName, members as text_members};
pub use trigger::{Action, Heard, ReadPlan, Trigger, coalesce, heard};
pub use version::{Stamps, Version};
pub(crate) use version::{marked_bytes, set_each};
pub use waiting::waiting;
