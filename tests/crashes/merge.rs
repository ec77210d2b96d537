//! A replica that others are merged into, while all are written to.

use foldlog::journal::Durability;
use foldlog::merge::{Children, Keep, Resolutions, With};
use foldlog::testing::FaultyStorage;

use crate::played;
use crate::replica::{commit, observed, opened};
use crate::walk::Life;

const ROUNDS: u64 = 8;

#[test]
fn a_merge_is_there_whole_or_not_at_all_wherever_the_power_goes() {
    let figures = played(4, |random, figures| {
        let disk = FaultyStorage::new();
        let desk = opened(&disk, 1);
        let crews = [2, 3].map(|id| opened(&FaultyStorage::new(), id));
        for crew in &crews {
            crew.merge(&[&desk], &Resolutions::default(), &mut |_| {}).unwrap();
        }
        let mut life = Life::new(disk, observed(&desk));
        let mut merged = 0;
        for round in 1..=ROUNDS {
            for (place, crew) in crews.iter().enumerate() {
                for _ in 0..random.below(4) {
                    commit(crew, random, 100 * round + place as u64, Durability::Durable);
                }
            }
            let seen = || observed(&desk);
            for _ in 0..random.below(3) {
                let is_durable = !random.one_in(4);
                let durability = if is_durable { Durability::Durable } else { Durability::Deferred };
                life.call("commit", is_durable, || commit(&desk, random, 100 * round + 50, durability), seen);
            }
            let with = if random.one_in(2) { With::Source } else { With::Dest };
            let children = if random.one_in(2) { Children::Both } else { Children::Winner };
            let resolutions =
                Resolutions { default: Some(Keep { with, children }), ..Resolutions::default() };
            let (first, second) = crews.split_at(1);
            let sources: Vec<&_> = match random.below(3) {
                0 => first.iter().collect(),
                1 => second.iter().collect(),
                _ => crews.iter().collect(),
            };
            let done = life.call("merge", true, || desk.merge(&sources, &resolutions, &mut |_| {}), seen);
            merged += u64::from(done.is_ok());
        }
        assert!(merged > 0, "seed {}: every merge was refused", figures.seed);
        drop(desk);
        life.crashed_everywhere(
            random,
            figures,
            |image| observed(&opened(image, 1)),
            |image, _, random| {
                // What did not get through goes through when it is asked for again.
                let merges = random.one_in(12);
                if merges {
                    let desk = opened(image, 1);
                    let resolutions = Resolutions {
                        default: Some(Keep { with: With::Source, children: Children::Both }),
                        ..Resolutions::default()
                    };
                    let sources: Vec<&_> = crews.iter().collect();
                    if desk.merge(&sources, &resolutions, &mut |_| {}).is_ok() {
                        let seen = observed(&desk);
                        drop(desk);
                        assert_eq!(observed(&opened(image, 1)), seen);
                    }
                }
                merges
            },
        );
    });
    assert!(figures.images > 100 && figures.recoveries > 10 && figures.went_on > 10, "{figures}");
}
