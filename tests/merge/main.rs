//! Merging: what several sides together make of one entity.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test that panics has failed")]

mod clashes;
mod decided;
mod faults;
mod history;
mod joint;
mod replicas;
mod synced;
mod world;
