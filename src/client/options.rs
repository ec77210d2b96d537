//! How an authority is reached: how long is waited, how much is taken, whether there is a stream.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::algebra::Millis;

/// How long making a connection takes at most: ten seconds, after which a person has tried again.
pub const CONNECT_MS_MAX: u64 = 10_000;

/// How long nothing may come or go within a request: half a minute. Whoever thinks longer about one page or bunch is
/// as good as gone; asked again, an authority answers a bunch from its record.
pub const SILENCE_MS_MAX: u64 = 30_000;

/// How long a request takes at most: ten minutes, in which the largest page comes over the slowest line that anybody
/// works on (30 KiB a second).
pub const REQUEST_MS_MAX: u64 = 600_000;

/// The most bytes of an answer, unpacked: 64 MiB. A page has at most 16 MiB of states unless its first row alone has
/// more; stamps, names and what JSON escapes come on top of that.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How long a stream may be silent: 45 seconds. Somebody who is there says so every 15, so that two may be lost.
pub const STREAM_SILENCE_MS_MAX: u64 = 45_000;

/// How a client reaches its authority.
#[derive(Clone)]
pub struct Options {
    pub(super) connect_ms_max: u64,
    pub(super) silence_ms_max: u64,
    pub(super) request_ms_max: u64,
    pub(super) answer_bytes_max: usize,
    pub(super) stream_silence_ms_max: u64,
    pub(super) has_stream: bool,
    clock: Arc<dyn Fn() -> u64 + Send + Sync>,
    random: Arc<dyn Fn() -> u128 + Send + Sync>,
}

impl Options {
    /// The defaults: the constants of this module, a stream, the system's clock and randomness.
    #[must_use]
    pub fn new() -> Self {
        Options {
            connect_ms_max: CONNECT_MS_MAX,
            silence_ms_max: SILENCE_MS_MAX,
            request_ms_max: REQUEST_MS_MAX,
            answer_bytes_max: ANSWER_BYTES_MAX,
            stream_silence_ms_max: STREAM_SILENCE_MS_MAX,
            has_stream: true,
            clock: Arc::new(|| crate::clock::now().0),
            random: Arc::new(|| Uuid::new_v4().as_u128()),
        }
    }

    /// How long making a connection takes at most.
    #[must_use]
    pub fn connect_ms_max(mut self, ms: u64) -> Self {
        self.connect_ms_max = ms;
        self
    }

    /// How long nothing may come or go within a request.
    #[must_use]
    pub fn silence_ms_max(mut self, ms: u64) -> Self {
        self.silence_ms_max = ms;
        self
    }

    /// How long a request takes at most.
    #[must_use]
    pub fn request_ms_max(mut self, ms: u64) -> Self {
        self.request_ms_max = ms;
        self
    }

    /// The most bytes of an answer, unpacked.
    #[must_use]
    pub fn answer_bytes_max(mut self, bytes: usize) -> Self {
        self.answer_bytes_max = bytes;
        self
    }

    /// How long a stream may be silent before it counts as dead.
    #[must_use]
    pub fn stream_silence_ms_max(mut self, ms: u64) -> Self {
        self.stream_silence_ms_max = ms;
        self
    }

    /// Holds no stream of triggers open: what changes elsewhere is asked for at an interval alone.
    #[must_use]
    pub fn without_stream(mut self) -> Self {
        self.has_stream = false;
        self
    }

    /// The clock by which attempts are spaced, in ms since the Unix epoch.
    #[must_use]
    pub fn clock(mut self, clock: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// What spreads attempts and names a replica anew. No two clients may draw the same.
    #[must_use]
    pub fn random(mut self, random: impl Fn() -> u128 + Send + Sync + 'static) -> Self {
        self.random = Arc::new(random);
        self
    }

    pub(super) fn now(&self) -> Millis {
        Millis((self.clock)()).min(Millis::MAX)
    }

    pub(super) fn drawn(&self) -> u128 {
        (self.random)()
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("connect_ms_max", &self.connect_ms_max)
            .field("silence_ms_max", &self.silence_ms_max)
            .field("request_ms_max", &self.request_ms_max)
            .field("answer_bytes_max", &self.answer_bytes_max)
            .field("stream_silence_ms_max", &self.stream_silence_ms_max)
            .field("has_stream", &self.has_stream)
            .finish_non_exhaustive()
    }
}

/// A timeout; none at all would be one of zero.
pub(super) fn lasting(ms: u64) -> Duration {
    Duration::from_millis(ms.max(1))
}
