//! How long a running client rests.

use std::time::Duration;

use crate::algebra::Millis;

/// The longest rest: a minute. The clock may be set, and a machine that slept counts its sleep in one clock and not in
/// the other; whatever is due then is late by no more than this.
const REST_MS_MAX: u64 = 60_000;

/// How long to rest until a time.
pub(super) fn resting(until: Option<Millis>, now: Millis) -> Duration {
    let left = until.map_or(REST_MS_MAX, |until| until.0.saturating_sub(now.0));
    Duration::from_millis(left.min(REST_MS_MAX))
}
