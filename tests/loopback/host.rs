//! What an authority runs on.

use std::net::SocketAddr;

/// A server with its data. Usable from any thread.
pub(crate) trait Host: Send + Sync {
    /// Where it listens; none while it is dead.
    fn address(&self) -> Option<SocketAddr>;

    /// Ends without a warning, or what its data are on does.
    fn die(&self);

    /// Lives again, if it died; where it listens then.
    fn live(&self) -> SocketAddr;

    /// Copies its data, at rest.
    fn back_up(&self);

    /// Goes on with the copy, as another generation.
    fn restore(&self);

    /// Forgets all tombstones, where there is a way to.
    fn prune(&self);

    /// A token of the one account.
    fn token(&self) -> &str;
}

/// The one account.
pub(crate) const ACCOUNT: &str = "anna";
