//! What a [`Store`] must do for the authority's rules, as one suite for every store.
//!
//! ```
//! use foldlog::authority::MemoryStore;
//! use foldlog::testing::conformance::{GENERATION, conforms};
//! let held = conforms(|schema| MemoryStore::new(schema.clone(), GENERATION), 20)?;
//! assert!(held.claims >= 10);
//! # Ok::<(), foldlog::testing::laws::Violation>(())
//! ```
//!
//! First claims about single calls, each on a store of its own; then seeded sessions in which the rules work on
//! the store and on [`MemoryStore`](crate::authority::MemoryStore) in turn, and whatever is asked is answered alike.
//! For whole authorities there are [`answers_alike`] and [`nothing_is_missed`].

mod alike;
mod claims;
mod concurrent;
mod sessions;

use uuid::Uuid;

use super::laws::Violation;
use crate::algebra::{CollectionName, Generation, Schema};
use crate::authority::Store;

pub use alike::answers_alike;
pub(in crate::testing) use alike::without_generation;
pub use concurrent::{Seen, nothing_is_missed};
pub(in crate::testing) use sessions::comparable;

/// The generation that a store of the suite has.
pub const GENERATION: Generation = Generation(Uuid::from_u128(1));

/// What a store held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Claims about single calls.
    pub claims: usize,
    /// Questions of the sessions that were answered alike.
    pub answers: u64,
}

/// Holds a store to the suite. `empty` makes an empty one for a schema, of the generation [`GENERATION`]; it is called
/// once a claim and once a session, and what it made before is not used again.
///
/// # Errors
/// The first claim that does not hold, with what was found instead.
pub fn conforms<S: Store>(mut empty: impl FnMut(&Schema) -> S, sessions: u64) -> Result<Held, Violation> {
    let schema = schema();
    let claims = claims::all::<S>();
    for (claim, check) in &claims {
        check(&mut empty(&schema)).map_err(|found| Violation { law: claim, found })?;
    }
    let mut answers = 0;
    for seed in 0..sessions {
        let store = empty(&schema);
        answers += sessions::play(store, &schema, seed)
            .map_err(|found| Violation { law: "a session", found: format!("seed {seed}: {found}") })?;
    }
    Ok(Held { claims: claims.len(), answers })
}

/// The suite's schema: folders in folders; notes with two unique keys, one of them scoped; tags that may be loose.
#[must_use]
#[expect(clippy::missing_panics_doc, reason = "it is valid")]
pub fn schema() -> Schema {
    let json = r#"{"collections":{
        "folders":{"references":{"in":{"to":"folders","on_delete":"cascade"}}},
        "notes":{"policy":"newest","unique":[["title"],["in","number"]],
            "references":{"in":{"to":"folders","on_delete":"cascade"}}},
        "tags":{"policy":"first_to_authority",
            "references":{"on":{"to":"notes","on_delete":"set_null"},"at":{"to":"folders","on_delete":"restrict"}}}}}"#;
    Schema::from_json(json).expect("the suite's schema is valid")
}

fn name(text: &str) -> CollectionName {
    CollectionName::new(text).expect("a name of the suite's is valid")
}
