//! The laws of joining, and that it comes to what the history says.

use std::collections::BTreeMap;

use foldlog::algebra::{Existence, Policy, Version};
use foldlog::merge::Joint;
use foldlog::testing::cases;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::history::{Event, Expected, Side, played};

fn events() -> impl Strategy<Value = Vec<(usize, Event, u64)>> {
    let value = || prop::option::of(0..3_u8);
    let event = prop_oneof![
        2 => [value(), value(), value()].prop_map(Event::Create),
        5 => [prop::option::of(value()), prop::option::of(value()), prop::option::of(value())]
            .prop_map(Event::Patch),
        3 => Just(Event::Delete),
        3 => (0..3_usize).prop_map(Event::Copy),
    ];
    // Times from a small range, so that those of different sides are the same or run backwards.
    vec((0..3_usize, event, 0..12_u64), 0..16)
}

fn joint(sides: &[&Side]) -> Joint {
    sides.iter().map(|side| Joint::of(&side.version)).fold(Joint::default(), |all, one| all.join(&one))
}

proptest! {
    #![proptest_config(cases(20_000))]

    #[test]
    fn the_order_and_number_of_the_sides_do_not_matter(events in events()) {
        let [one, two, three] = &played(&events).map(|side| Joint::of(&side.version));
        prop_assert_eq!(one.join(two), two.join(one));
        prop_assert_eq!(one.join(two).join(three), one.join(&two.join(three)));
        prop_assert_eq!(&one.join(one), one);
        prop_assert_eq!(one.join(two).join(one), one.join(two));
        prop_assert_eq!(&one.join(&Joint::default()), one);
    }

    #[test]
    fn one_side_alone_stays_what_it_was(events in events()) {
        for side in played(&events) {
            for policy in [Policy::LastOperation, Policy::Newest] {
                prop_assert_eq!(Joint::of(&side.version).version(policy).unwrap(), side.version.clone());
            }
        }
    }

    #[test]
    fn each_field_is_what_was_said_last_and_what_no_deleter_had_seen_lives(events in events()) {
        let sides = played(&events);
        let [one, two, three] = [&sides[0], &sides[1], &sides[2]];
        for some in [vec![one, two], vec![two, three], vec![one, two, three]] {
            let (joint, expected) = (joint(&some), Expected::of(&some));
            for (policy, lives) in
                [(Policy::LastOperation, expected.has_unseen()), (Policy::Newest, expected.is_newer_than_deleted())]
            {
                let version = joint.version(policy).unwrap();
                let found = version.existence.state().map(|state| {
                    state.iter().map(|(name, value)| (name, value.to_owned())).collect::<BTreeMap<_, _>>()
                });
                prop_assert_eq!(found.unwrap_or_default(), expected.values());
                prop_assert_eq!(version.existence.is_live(), lives, "{:?}: {:?}", policy, version);
            }
        }
    }
}

#[test]
fn nothing_is_known_of_what_nobody_knows() {
    let nothing = Joint::of(&Version::default());
    assert_eq!(nothing, Joint::default());
    for policy in [Policy::LastOperation, Policy::Newest, Policy::FirstToAuthority, Policy::Manual] {
        assert_eq!(nothing.version(policy).unwrap().existence, Existence::Absent);
        assert!(!nothing.lives(policy));
    }
}
