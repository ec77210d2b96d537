//! The authority: the half of the protocol that decides. Rules over a [`Store`]; the rules never keep anything
//! themselves, so the same ones hold in memory, on a file and on a database server.
//!
//! ```text
//! bunch ─→ answered before? ─→ yes: the recorded answer, or `forked`
//!              └─ no ─→ judge each operation ─→ whole units of deletes ─→ references, unique keys
//!                              ↑                                                │
//!                              └────── without what failed, until it holds ─────┘
//!                                                                               └─→ epochs, rows, triggers, answer
//! ```
//!
//! Invariant: of a bunch either everything that was not refused is written, together with the answer that says
//! so, or nothing.

mod account;
mod accounts;
mod answer;
mod attempt;
mod deliver;
mod ends;
mod file;
#[cfg(test)]
mod heavy;
mod index;
mod memory;
mod out;
#[cfg(feature = "postgres")]
pub mod postgres;
mod size;
mod store;
mod units;
mod world;

pub use account::{ACCOUNT_BYTES_MAX, Account, NoAccount};
pub use accounts::{Authority, DUPLICATES_MAX, Duplicates, Error, MemoryAuthority};
pub use answer::answer;
pub use deliver::{Delivery, FUTURE_MS_MAX, Rules, deliver};
#[cfg(feature = "testing")]
pub use file::SingleStore;
pub use file::{AUTHORITY_CACHE_BYTES_DEFAULT, FileAuthority, FileOptions, TRIGGERS_MAX_DEFAULT};
pub use memory::MemoryStore;
pub use store::{Store, Stored};
