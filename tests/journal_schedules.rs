//! Whole lives of a journal, beside a model of it and an authority: laws 1, 3, 5, 7 and 10 after every step.
//! What is compared stands in [`foldlog::testing::player`].

use foldlog::testing::{player, strategies};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(10_000) })]

    #[test]
    fn nothing_sealed_changes_nothing_is_lost_and_what_is_sent_is_what_was_done(
        schedule in strategies::schedule(16),
        seed in any::<u64>(),
    ) {
        player::play(&schedule, seed)?;
    }

    #[test]
    fn nor_is_anything_lost_where_a_schema_orders_and_cuts(
        schema in strategies::schema(),
        schedule in strategies::schedule(16),
        seed in any::<u64>(),
    ) {
        player::play_with(&schema, &schedule, seed)?;
    }
}
