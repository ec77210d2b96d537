//! The sync engine: what to ask next, and what to do with what comes. No I/O, no clock, no randomness of its own.
//!
//! ```text
//! an open bunch? ─→ deliver it ─→ settle
//! then: down (pages above the cursors) ─→ up (seal, deliver, settle, again) ─→ triggers ─→ reads
//! ```
//!
//! Invariant: at most one question is open, and where it stands is in the replica: an engine that is dropped at any
//! point is replaced by a new one.
//!
//! Two devices and an authority in memory; who carries questions and answers is the program's affair:
//!
//! ```
//! use foldlog::algebra::{CollectionName, EntityKey, Generation, Millis, Schema};
//! use foldlog::authority::{MemoryStore, Rules, answer};
//! use foldlog::journal::Options;
//! use foldlog::replica::Replica;
//! use foldlog::sync::{self, Engine, Next, Want};
//! use foldlog::Uuid;
//!
//! let schema = Schema::from_json(r#"{"collections":{"notes":{"policy":"last_operation"}}}"#)?;
//! let mut store = MemoryStore::new(schema.clone(), Generation(Uuid::new_v4()));
//! let device = || -> Result<Engine, foldlog::replica::Error> {
//!     Ok(Engine::new(Replica::in_memory(Options::new().schema(schema.clone()))?, sync::Options::default()))
//! };
//! let mut sync = |engine: &mut Engine, now: u64| -> Result<(), Box<dyn std::error::Error>> {
//!     engine.want(Want::SYNC);
//!     while let Next::Ask(request) = engine.next(Millis(now))? {
//!         let rules = Rules { schema: &schema, now: Millis(now), refuses: &|_| None };
//!         let answer = answer(&mut store, &rules, &request.ask)?; // or over a network, with whatever it does
//!         engine.answer(request.number, answer, Millis(now), Uuid::new_v4().as_u128())?;
//!     }
//!     Ok(())
//! };
//!
//! let (mut phone, mut laptop) = (device()?, device()?);
//! let id = Uuid::now_v7();
//! let notes = |engine: &Engine| engine.replica().collection::<serde_json::Value>("notes");
//! notes(&phone)?.create(id, &serde_json::json!({"title": "milk", "done": false}))?;
//! sync(&mut phone, 1)?;
//! sync(&mut laptop, 2)?;
//! // Both without a network: one deletes, the other changes. Construction prevails on demolition.
//! notes(&phone)?.delete(id)?;
//! notes(&laptop)?.patch(id, &serde_json::json!({"done": true}))?;
//! for now in 3..=4 {
//!     sync(&mut phone, now)?;
//!     sync(&mut laptop, now)?;
//! }
//! let expected = Some(serde_json::json!({"title": "milk", "done": true}));
//! assert_eq!(notes(&phone)?.get(id)?, expected);
//! assert_eq!(notes(&laptop)?.get(id)?, expected);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod asking;
mod backoff;
mod engine;
mod fitting;
mod taking;

pub use asking::{Next, Request, Want};
#[cfg(any(feature = "client", feature = "client-async"))]
pub(crate) use backoff::delay_ms;
pub use backoff::{ATTEMPT_DELAY_MS_MAX, ATTEMPT_DELAY_MS_MIN};
pub use engine::{Engine, Error, Options};
pub use taking::{Compared, Taken};
