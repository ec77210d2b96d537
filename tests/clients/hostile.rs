//! An authority that answers whatever it likes.

use foldlog::testing::{cases, fuzz};
use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn whatever_is_answered_is_taken_whole_or_changes_nothing(data in vec(any::<u8>(), 0..400)) {
        fuzz::hostile_authority(&data);
    }
}
