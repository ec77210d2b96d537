//! Triggers: which are heard, and what is read for them.

use foldlog::algebra::{Epoch, Index};
use foldlog::testing::{cases, reading, strategies};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;

proptest! {
    #![proptest_config(cases(10_000))]

    #[test]
    fn every_entity_is_read_once_at_its_latest_or_not_at_all(
        triggers in vec(strategies::trigger(), 0..16),
        held in btree_map(strategies::key(), (0..9_u64).prop_map(Epoch), 0..4),
        open in btree_set(strategies::key(), 0..2),
    ) {
        reading::coalescing(&triggers, &held, &open)?;
    }

    #[test]
    fn the_cursor_stops_before_the_first_gap_and_every_gap_is_named(
        cursor in (0..8_u64).prop_map(Index),
        indexes in btree_set((1..24_u64).prop_map(Index), 0..16),
    ) {
        reading::hearing(cursor, &indexes)?;
    }
}
