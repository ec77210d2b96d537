//! The system's clock: read here, and nowhere else. What must not read one is given the time.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::algebra::Millis;

/// The time in ms since the Unix epoch.
pub(crate) fn now() -> Millis {
    // A clock before 1970 is a broken clock; stamps only need to move on, which they do without it.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)).min(Millis::MAX)
}
