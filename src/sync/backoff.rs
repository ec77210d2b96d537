//! How long to wait after an attempt that failed.

/// The delay after the first failure, at most: one second, which nobody notices.
pub const ATTEMPT_DELAY_MS_MIN: u64 = 1_000;

/// The longest delay: five minutes, as long as between two down syncs.
pub const ATTEMPT_DELAY_MS_MAX: u64 = 300_000;

/// The delay before the next attempt, in ms: doubled with every failure, and somewhere in its upper half, so that
/// many clients do not come back at once.
pub(crate) fn delay_ms(failures: u32, random: u64) -> u64 {
    let doublings = failures.saturating_sub(1).min(32);
    let longest = ATTEMPT_DELAY_MS_MIN.saturating_mul(1 << doublings).min(ATTEMPT_DELAY_MS_MAX);
    let half = longest / 2;
    half + random % (longest - half + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_their_bound_and_differ() {
        for random in [0, 1, u64::MAX / 3, u64::MAX] {
            let delays: Vec<u64> = (1..40).map(|failures| delay_ms(failures, random)).collect();
            assert!(delays.iter().all(|delay| (500..=ATTEMPT_DELAY_MS_MAX).contains(delay)), "{delays:?}");
            assert!(delays.is_sorted(), "{delays:?}");
        }
        // Anything from half of it to all of it.
        assert_eq!([0, 1, 499, 500, 501].map(|random| delay_ms(1, random)), [500, 501, 999, 1_000, 500]);
        assert!(delay_ms(u32::MAX, 7) >= ATTEMPT_DELAY_MS_MAX / 2);
    }
}
