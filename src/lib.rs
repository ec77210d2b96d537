//! A durable outbox for programs that go on working without a network.
//!
//! Local operations go durably into a [`Journal`], one file. Before anything is sent they are folded to at most
//! one operation an entity; the next *bunch* is frozen durably before a byte of it leaves, so a retry after a lost
//! answer is the same bunch; what the authority made of it is recorded operation by operation. What comes
//! back as *triggers* ("this entity changed") is coalesced so that each entity is read at most once.
//!
//! ```
//! use foldlog::algebra::Limits;
//! use foldlog::{Journal, Uuid};
//!
//! let journal = Journal::in_memory()?; // or Journal::create("my.journal")
//! let notes = journal.collection::<serde_json::Value>("notes")?;
//! let id = Uuid::new_v4();
//! notes.create(id, &serde_json::json!({"title": "milk"}))?;
//! notes.patch(id, &serde_json::json!({"done": true}))?; // durable when it returns
//! let bunch = journal.seal(Limits::default())?.expect("something to send");
//! assert_eq!(bunch.operations.len(), 1); // one create, with the final state
//! # Ok::<(), foldlog::journal::Error>(())
//! ```
//!
//! Where to begin: [`Journal`] and its typed face [`Collection`](journal::Collection);
//! [`Replica`](replica::Replica) where a program also reads; [`sync`] to keep one in step; [`algebra`] for operations
//! and outcomes; [`codec::lines`] for NDJSON; the `testing` feature for property tests of your own.
//!
//! | word | meaning |
//! |---|---|
//! | collection, entity | a named set; one thing in it, named by collection and UUID |
//! | fields, state, patch | name → JSON value; the whole of an entity; a change of the fields it names, null removes |
//! | operation | one journal entry: create (state), update (patch or state), delete |
//! | effect | the net change of a run of operations on one entity |
//! | base | what the authority is known to hold of an entity: unknown, absent, live or dead |
//! | bunch | the folded operations frozen for one send, numbered, known by the blake3 of their bytes |
//! | seal, settle | freeze the next bunch; record the authority's outcome for each operation in it |
//! | parked | refused by the authority, kept until somebody decides |
//! | held | waits for an open conflict, or for something that is parked or held |
//! | authority | the half that decides; it gives every accepted change an epoch |
//! | cursor | how far a client has read |
//! | conflict, policy | both sides changed the same thing; how that is decided, a collection |
//! | trigger | a hint that an entity changed; it carries no state |
//!
//! # The layers
//!
//! ```text
//! algebra   fields, operations, effects, plans, triggers     pure: no I/O, clock, randomness, threads
//! codec     frames and columns on disk, lines in and out     knows the algebra
//! journal   durable: append, fold, seal, settle              knows algebra and codec
//! merge     what several files make of each entity           pure; knows the algebra
//! replica   what a program sees; conflicts; merging files    knows journal, merge and algebra
//! sync      what to ask next, what to do with an answer      knows replica
//! authority the deciding half: rules over a store            knows algebra
//! client    carries questions and answers over HTTP          feature; knows sync and codec
//! cli, scenario, workload, testing                           features
//! ```
//!
//! A lower one never names a higher one; a test reads the sources and says so.
//!
//! # What an operation does
//!
//! | operation | absent | live `x` | dead `x` |
//! |---|---|---|---|
//! | create `s` | live `s` | live `s` | live `s` |
//! | update, whole `s` | live `s` | live `s` | live `s` |
//! | update, patch `p` | live `{} ⊕ p` | live `x ⊕ p` | live `x ⊕ p` |
//! | delete | absent | dead `x` | dead `x` |
//!
//! # What is sent
//!
//! The effect of all pending operations on an entity, seen from what the authority is known to hold, what an open
//! bunch will make of that included:
//!
//! | effect | absent, or unknown and created here | live | dead | unknown |
//! |---|---|---|---|---|
//! | patch `p`, live | create `{} ⊕ p` | update, patch `p` | create of the whole revived state (patch `p` where the tombstone's state is not known) | update, patch `p` |
//! | state `s`, live | create `s` | update, whole `s` | create `s` | update, whole `s` |
//! | any, dead | nothing | delete | nothing | delete |
//!
//! Where the base's state is known, what does not change it is not sent. "Create then delete is nothing" holds
//! while the create was never sealed: nothing is ever folded into a sealed operation, whose outcome is unknown.
//!
//! # The phases
//!
//! ```text
//! append ─→ log ─ compact ─→ run ─ seal ─→ open bunch ─ settle ─→ base knowledge
//!                             ↑                            │
//!                             └── retry, waits, edited ────┴─→ parked, superseded
//! ```
//!
//! Each step is one transaction: killed at any instruction, the journal is the old or the new one.

#![forbid(unsafe_code)]

#[macro_use]
mod sabotage;

pub mod algebra;
pub mod authority;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(any(feature = "client", feature = "client-async"))]
pub mod client;
mod clock;
pub mod codec;
pub mod journal;
pub mod merge;
pub mod replica;
#[cfg(any(feature = "cli", feature = "testing"))]
pub mod scenario;
#[cfg(feature = "server")]
pub mod server;
mod storage;
pub mod sync;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "workload")]
pub mod workload;

pub use journal::Journal;
pub use uuid::Uuid;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
