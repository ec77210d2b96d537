//! Law 2 for what lies apart in a journal.

use foldlog::algebra::Millis;
use foldlog::testing::{cases, gathering, strategies};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

proptest! {
    #![proptest_config(cases(10_000))]

    #[test]
    fn law_2_gathering_is_composing(
        run in vec(strategies::stating_operation_on(Just(strategies::entity(0))), 0..12),
        cuts in vec(0..12_usize, 0..8),
        before in option::of((0..20_u64).prop_map(Millis)),
        gathered_bytes in select(vec![0, 100, 300, 4096]),
    ) {
        gathering::gathering_is_composition(&run, &cuts, before, gathered_bytes)?;
    }
}
