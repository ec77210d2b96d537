//! What every simulation has: its collections, its nine entities, clients on faulty storage.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use uuid::Uuid;

use crate::algebra::{
    Collection, CollectionName, EntityKey, Limits, OnDelete, Policy, Reference, ReplicaId, Schema,
};
use crate::journal::Options;
use crate::replica::{self, Replica};
use crate::sync::{self, Engine};
use crate::testing::FaultyStorage;
use crate::testing::laws::Violation;

pub(super) fn name(text: &str) -> CollectionName {
    CollectionName::new(text).expect("a name of the simulation's is valid")
}

/// Folders in folders, notes in folders with a unique title, tags that may be loose.
pub(super) fn schema(policies: [Policy; 3]) -> Schema {
    let [folders, notes, tags] = policies;
    let to = |collection: &str, on_delete| Reference::to(name(collection)).on_delete(on_delete);
    let declared = [
        (
            name("folders"),
            Collection::new().with_policy(folders).reference("in", to("folders", OnDelete::Cascade)),
        ),
        (
            name("notes"),
            Collection::new()
                .with_policy(notes)
                .unique(["title"])
                .reference("in", to("folders", OnDelete::Cascade)),
        ),
        (
            name("tags"),
            Collection::new()
                .with_policy(tags)
                .reference("on", to("notes", OnDelete::SetNull))
                .reference("at", to("folders", OnDelete::Restrict)),
        ),
    ];
    Schema::new(declared).expect("the simulation's schema is valid")
}

/// The n-th of the nine entities, counted round and round: three folders, four notes, two tags.
#[must_use]
#[expect(clippy::missing_panics_doc, reason = "no name or id of the simulation's is refused")]
pub fn entity(number: u64) -> EntityKey {
    let number = number % 9;
    let (collection, id) = match number {
        0..=2 => ("folders", number),
        3..=6 => ("notes", number - 3),
        _ => ("tags", number - 7),
    };
    EntityKey::new(
        name(collection),
        Uuid::from_u128(0x5eed_0000_0000_4000_8000_0000_0000_0000 + u128::from(id)),
    )
    .expect("no id of the simulation's is nil")
}

pub(super) fn id_text(number: u64) -> serde_json::Value {
    serde_json::Value::String(entity(number).id().to_string())
}

pub(super) fn opened(
    storage: &FaultyStorage,
    schema: &Schema,
    clock: &Arc<AtomicU64>,
    id: u64,
) -> Result<Engine, Violation> {
    let clock = Arc::clone(clock);
    let options = Options::new()
        .cache_bytes(1 << 20)
        .pass_bytes(1_000)
        .schema(schema.clone())
        .replica(ReplicaId(Uuid::from_u128(0xc11e_0000_0000_4000_8000_0000_0000_0000 + u128::from(id))))
        .clock(move || clock.load(Ordering::Relaxed));
    let replica = options.on(storage.clone()).map_err(replica::Error::from).and_then(Replica::of);
    let replica = replica.map_err(|error| Violation { law: "opening", found: error.to_string() })?;
    let options = sync::Options {
        limits: Limits { operations: 4, ..Limits::default() },
        rows_max: 3,
        ..sync::Options::default()
    };
    Ok(Engine::new(replica, options))
}
