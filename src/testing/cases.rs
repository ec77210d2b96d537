//! How many cases a property is tried on.

use std::num::NonZeroU32;

use proptest::test_runner::Config;

/// How a property is tried: on so many cases, or on as many times that as the environment variable
/// `FOLDLOG_ROUNDS` says, or on one in as many as `FOLDLOG_CASES_ONE_IN` says. What fails is told, and written to no
/// file.
///
/// # Panics
/// Where one of the variables is no number above 0, and where there would be more cases than proptest counts.
#[must_use]
pub fn cases(cases: u32) -> Config {
    let number = |name| match std::env::var(name) {
        Ok(text) => {
            text.parse::<NonZeroU32>().unwrap_or_else(|_| panic!("{name} is a number above 0, not {text}"))
        }
        Err(_) => NonZeroU32::MIN,
    };
    let rounds = number("FOLDLOG_ROUNDS");
    let cases = cases
        .checked_mul(rounds.get())
        .unwrap_or_else(|| panic!("{rounds} times {cases} cases are too many"));
    let cases = (cases / number("FOLDLOG_CASES_ONE_IN")).max(1);
    Config { cases, failure_persistence: None, ..Config::default() }
}
