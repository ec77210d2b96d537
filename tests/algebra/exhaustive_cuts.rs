//! Law 1 across bunches by exhaustion: every log of up to five operations out of ten on one entity, cut into
//! bunches in every way, on every kind of base and every authority that this may be, each bunch delivered
//! once and again.
//!
//! All that a journal carries over a cut is what it knows of the authority's side. So the walk goes from cut to
//! cut, and cases that meet in the same knowledge and the same two sides go on together: what they have in
//! common is worked out once, and how many cases that were is counted, so that none can be missing.
#![expect(clippy::indexing_slicing, reason = "a test that panics has failed")]

use std::collections::{BTreeMap, HashMap};

use crate::short_logs::{LENGTH, bases, operations_on_one, truths};
use foldlog::algebra::{Base, Change, Effect, Existence, Fold, Operation, draft};
use foldlog::testing::oracle::Thing;
use foldlog::testing::strategies;

/// What a log does, whatever it is done to.
struct Part {
    operations: Vec<usize>,
    effect: Effect,
    /// It creates the entity and deletes it again.
    presumes: bool,
}

/// The things that come up, each once, and what changes make of them by the oracle.
#[derive(Default)]
struct Things {
    all: Vec<Thing>,
    numbers: HashMap<String, usize>,
    after: HashMap<(usize, Change), usize>,
}

/// A journal and an authority between two bunches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Cut {
    /// In each world what the program sees and what the authority holds; none where the program created an
    /// id that the authority had all along.
    sides: Vec<Option<(usize, usize)>>,
    /// The place of what is known of the authority's side.
    known: usize,
}

impl Things {
    fn number(&mut self, thing: Thing) -> usize {
        let name = format!("{thing:?}");
        if let Some(number) = self.numbers.get(&name) {
            return *number;
        }
        self.all.push(thing);
        self.numbers.insert(name, self.all.len() - 1);
        self.all.len() - 1
    }

    fn after(&mut self, number: usize, change: &Change) -> usize {
        let key = (number, change.clone());
        if let Some(after) = self.after.get(&key) {
            return *after;
        }
        let after = self.number(self.all[number].clone().after(change));
        self.after.insert(key, after);
        after
    }
}

struct Walk<'w> {
    operations: &'w [Operation],
    /// The parts of each length.
    parts: &'w [Vec<Part>],
    things: Things,
    known: Vec<Base>,
    steps: u64,
}

impl Walk<'_> {
    fn known(&mut self, base: Base) -> usize {
        self.known.iter().position(|known| *known == base).unwrap_or_else(|| {
            self.known.push(base);
            self.known.len() - 1
        })
    }

    /// Seals a part, delivers it, and settles it: the next cut.
    fn seal(&mut self, cut: &Cut, part: &Part) -> Cut {
        self.steps += 1;
        let base = self.known[cut.known].clone();
        let sent = draft(&strategies::entity(0), &part.effect, &base).ok();
        let change = sent.as_ref().map(|draft| &draft.planned.operation.change);
        let known = match change {
            Some(change) => self.known(base.after(change, None)),
            None => cut.known,
        };
        let mut sides = cut.sides.clone();
        for side in &mut sides {
            let Some((mut here, mut there)) = *side else { continue };
            if part.presumes && base == Base::Unknown && self.things.all[there].live().is_some() {
                *side = None;
                continue;
            }
            for operation in &part.operations {
                here = self.things.after(here, &self.operations[*operation].change);
            }
            if let Some(change) = change {
                there = self.things.after(there, change);
                assert_eq!(there, self.things.after(there, change), "delivered again it does something else");
            }
            let (local, remote) = (&self.things.all[here], &self.things.all[there]);
            assert!(
                local.looks_like(remote),
                "{local:?} here, {remote:?} there: {change:?} was sent of {:?} on {base:?}",
                part.operations.iter().map(|place| &self.operations[*place].change).collect::<Vec<_>>(),
            );
            // What is gone is forgotten here, fields and all: it goes on from what is there.
            *side = Some(if local.live().is_some() { (here, there) } else { (there, there) });
        }
        Cut { sides, known }
    }
}

/// Plays every log in every way of cutting it on one base; gives how many that were.
fn walk(parts: &[Vec<Part>], operations: &[Operation], base: Base, truths: &[Existence]) -> (u64, u64) {
    let mut walk = Walk { operations, parts, things: Things::default(), known: Vec::new(), steps: 0 };
    let sides = truths
        .iter()
        .map(|truth| {
            let thing = walk.things.number(truth.into());
            Some((thing, thing))
        })
        .collect();
    let start = Cut { sides, known: walk.known(base) };
    // The cuts after so many operations, with the number of ways that lead there.
    let mut cuts: Vec<BTreeMap<Cut, u64>> = vec![BTreeMap::new(); LENGTH + 1];
    cuts[0].insert(start, 1);
    for done in 0..LENGTH {
        for (cut, ways) in cuts[done].clone() {
            for length in 1..=LENGTH - done {
                for part in &walk.parts[length] {
                    let next = walk.seal(&cut, part);
                    *cuts[done + length].entry(next).or_default() += ways;
                }
            }
        }
    }
    (cuts.iter().flat_map(BTreeMap::values).sum(), walk.steps)
}

fn parts(operations: &[Operation]) -> Vec<Vec<Part>> {
    let mut parts = vec![vec![part(operations, &[])]];
    for length in 1..=LENGTH {
        let longer: Vec<Part> = parts[length - 1]
            .iter()
            .flat_map(|shorter| {
                (0..operations.len()).map(|next| [shorter.operations.as_slice(), &[next]].concat())
            })
            .map(|places| part(operations, &places))
            .collect();
        parts.push(longer);
    }
    parts
}

fn part(operations: &[Operation], places: &[usize]) -> Part {
    let log: Vec<Operation> = places.iter().map(|place| operations[*place].clone()).collect();
    let mut fold = Fold::new();
    fold.extend(&log);
    let effect = fold.effects().next().map_or_else(Effect::identity, |(_, effect)| effect);
    let ends = (log.first().map(|first| &first.change), log.last().map(|last| &last.change));
    let presumes = matches!(ends, (Some(Change::Create(_)), Some(Change::Delete)));
    Part { operations: places.to_vec(), effect, presumes }
}

#[test]
fn every_way_to_cut_every_short_log_into_bunches() {
    let operations = operations_on_one();
    let parts = parts(&operations);
    let bases = bases();
    let (first, second) = bases.split_at(bases.len() / 2);
    let (mut cases, mut steps) = (0, 0);
    std::thread::scope(|scope| {
        let halves = [first, second].map(|half| {
            let (parts, operations) = (&parts, &operations);
            scope.spawn(move || -> Vec<(u64, u64)> {
                half.iter().map(|base| walk(parts, operations, base.clone(), &truths(base))).collect()
            })
        });
        for (ways, worked) in halves.into_iter().flat_map(|half| half.join().unwrap()) {
            let expected: u64 = 1 + (1..=5).map(|length| 10_u64.pow(length) << (length - 1)).sum::<u64>();
            assert_eq!(ways, expected, "every log, cut in every way");
            cases += ways;
            steps += worked;
        }
    });
    println!("{cases} ways to cut logs on {} bases, by {steps} bunches", bases.len());
}
