//! How much a server takes at once.

/// How often a stream says that it is alive, in ms: often enough for proxies that close what is silent for half a
/// minute.
pub const STREAM_ALIVE_MS: u64 = 15_000;

/// What a server takes at once. What is more is refused with a problem that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The most bytes of a body, unpacked. By default 80 MiB: the largest bunch that a client seals unless told
    /// otherwise is 32 MiB, and one operation of 16 MiB may go with escapes.
    pub body_bytes_max: usize,
    /// The most operations in a bunch; by default 250,000, more than fit into 32 MiB.
    pub operations_max: usize,
    /// The most requests that are answered at once, of all accounts; by default 256.
    pub requests_max: usize,
    /// The most requests that are answered at once, of one account; by default 16.
    pub account_requests_max: usize,
    /// The most streams that are open, of all accounts; by default 10,000.
    pub streams_max: usize,
    /// The most streams that are open, of one account; by default 1,000.
    pub account_streams_max: usize,
    /// How long a body may take to come, in ms; by default a minute.
    pub body_ms_max: u64,
    /// How long the head of a request may take to come, and how long a connection may be silent between requests, in
    /// ms; by default half a minute.
    pub head_ms_max: u64,
    /// How long whoever is answered, or hears a stream, may take nothing of what is written to it, in ms; then the
    /// connection ends. By default a minute.
    pub unread_ms_max: u64,
    /// How often a stream says that it is alive, in ms; [`STREAM_ALIVE_MS`] by default.
    pub stream_alive_ms: u64,
    /// How long requests may go on when the server is to end, in ms; by default ten seconds. Streams end at once.
    pub ending_ms_max: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            body_bytes_max: 80 * 1024 * 1024,
            operations_max: 250_000,
            requests_max: 256,
            account_requests_max: 16,
            streams_max: 10_000,
            account_streams_max: 1_000,
            body_ms_max: 60_000,
            head_ms_max: 30_000,
            unread_ms_max: 60_000,
            stream_alive_ms: STREAM_ALIVE_MS,
            ending_ms_max: 10_000,
        }
    }
}
