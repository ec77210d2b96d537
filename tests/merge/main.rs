//! Merging: what several sides together make of one entity.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod history;
mod joint;
