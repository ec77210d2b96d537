//! The authority on PostgreSQL, on a real server: one that these tests start and stop themselves, or the one that
//! `FOLDLOG_TEST_POSTGRES` names. Where there is neither, each says that it was skipped.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]
#![expect(clippy::indexing_slicing, reason = "a test that panics has failed")]

mod asks;
mod namespace;

mod concurrent;
mod differential;
mod migrations;
mod restarts;
mod suite;
mod tables;
mod upkeep;
