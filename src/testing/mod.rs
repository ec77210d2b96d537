//! What this project tests itself with, for property tests of yours: generators, an oracle, the laws.
//!
//! | module | what is in it |
//! |---|---|
//! | [`oracle`] | the meaning of operations, played one by one over plain JSON values |
//! | [`baseline`] | what is known of the authority, with every authority that it may be |
//! | [`schedule`] | what happens to a journal, as data: appends, seals, outcomes, crashes |

pub mod baseline;
mod crash;
mod image;
pub mod oracle;
mod random;
pub mod schedule;
mod storage;

pub use crash::{CrashPoint, Crashes, Unsynced};
pub use image::SECTOR_BYTES;
pub use storage::{Fault, FaultyStorage, Times, UNSYNCED_BYTES_MAX};
