//! What this project tests itself with, for property tests of yours: generators, an oracle, the laws.
//!
//! | module | what is in it |
//! |---|---|
//! | [`strategies`] | proptest strategies: keys, states, patches, operations, logs, bases, schedules |
//! | [`oracle`] | the meaning of operations, played one by one over plain JSON values |
//! | [`baseline`] | what is known of the authority, with every authority that it may be |
//! | [`laws`] | each law of a fold as a function that returns the [`Violation`](laws::Violation) it found |
//! | [`schedule`] | what happens to a journal, as data: appends, seals, outcomes, crashes |
//!
//! Nothing in here reads a clock or draws a random number of its own: proptest does, from its seed.
//!
//! A property test of a program that keeps its own operations looks like this:
//!
//! ```
//! use foldlog::testing::{laws, strategies};
//! use proptest::test_runner::{Config, TestRunner};
//!
//! let mut runner = TestRunner::new(Config { cases: 64, ..Config::default() });
//! runner
//!     .run(&(strategies::logs(0..=8), strategies::baselines()), |(log, baseline)| {
//!         laws::equivalence(&log, &baseline)?;
//!         laws::smallest(&log, &baseline)?;
//!         laws::accounting(&log, &baseline)?;
//!         Ok(())
//!     })
//!     .unwrap();
//! ```

pub mod baseline;
pub mod laws;
pub mod oracle;
pub mod schedule;
pub mod strategies;
