//! Where a client stands, and what it tells while it runs.

use std::sync::Arc;

use super::error::Error;
use super::synced::Synced;
use crate::algebra::{EntityKey, Millis};

/// What a running client is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// It does not run.
    #[default]
    Stopped,
    /// There is something to ask, and it is being asked.
    Syncing,
    /// There is nothing to ask.
    Idle,
    /// An attempt failed; there is a next one.
    Waiting {
        /// When, in ms since the Unix epoch.
        until: Millis,
    },
    /// It was told that there is no network, and asks nothing until it is told otherwise.
    Offline,
    /// The credentials are refused: nothing is asked until there are new ones.
    Unauthorised,
    /// The replica's file is closed, and free for others.
    Suspended,
}

/// A running client at one moment.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// What it is about.
    pub phase: Phase,
    /// Whether what changes elsewhere is told by a stream as it happens.
    pub is_streaming: bool,
    /// When there was last nothing left to ask, in ms since the Unix epoch.
    pub synced_at: Option<Millis>,
    /// What the sync that is under way has come to so far, or what the last one came to.
    pub synced: Synced,
    /// What went wrong last; none once an attempt succeeded.
    pub failure: Option<Arc<Error>>,
}

/// What a running client tells.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// It is about something else now.
    Phase(Phase),
    /// The stream of triggers opened, or ended.
    Streaming(bool),
    /// Triggers came over the stream; so many were new.
    Heard(u64),
    /// There is nothing left to ask.
    Synced(Synced),
    /// Conflicts were opened.
    Conflicts(Vec<EntityKey>),
    /// Something went wrong. There is a next attempt, or [`Phase::Unauthorised`].
    Failed(Arc<Error>),
    /// So many events were dropped because nobody took them.
    Missed(u64),
}
