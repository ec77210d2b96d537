//! A real history: 2,128 changes of files in ripgrep's repository, from one release to a later one, and what
//! git says the difference between the two is.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::collections::BTreeMap;

use foldlog::algebra::{
    Base, BaseMap, Bunch, Change, EntityKey, Epoch, Existence, Fold, Kind, Limits, Operation, Outcome,
    Outcomes, Planned, Resulting, Row, State, plan,
};
use foldlog::codec::lines::{Line, read_all};
use foldlog::journal::{Durability, Journal, Listing};

const OPERATIONS: &[u8] = include_bytes!("../data/ripgrep.ops.ndjson");
const BASELINE: &[u8] = include_bytes!("../data/ripgrep.base.ndjson");
const EXPECTED: &[u8] = include_bytes!("../data/ripgrep.expect.ndjson");

fn lines<T: Line>(input: &[u8]) -> Vec<T> {
    read_all(input).unwrap()
}

/// What an authority holds: the meaning of every operation, one after another.
#[derive(Clone, Debug, PartialEq)]
struct Holds(BTreeMap<EntityKey, Existence>);

impl Holds {
    fn baseline() -> Self {
        let rows = lines::<Row>(BASELINE).into_iter();
        Holds(rows.map(|row| (row.key, Existence::Live(row.state.unwrap()))).collect())
    }

    fn apply(&mut self, key: &EntityKey, change: &Change) -> Existence {
        let held = self.0.entry(key.clone()).or_default();
        *held = held.after(change);
        held.clone()
    }

    fn live(&self) -> BTreeMap<&EntityKey, &State> {
        self.0.iter().filter_map(|(key, held)| Some((key, held.live()?))).collect()
    }
}

/// The entities of a plan, what is done to each, and what that makes of it on the baseline.
fn net<'a>(operations: impl IntoIterator<Item = &'a Operation>) -> BTreeMap<EntityKey, (Kind, Existence)> {
    let mut holds = Holds::baseline();
    let mut net = BTreeMap::new();
    for operation in operations {
        let after = holds.apply(&operation.key, &operation.change);
        let twice = net.insert(operation.key.clone(), (operation.change.kind(), after));
        assert!(twice.is_none(), "{} stands twice in the plan", operation.key);
    }
    net
}

fn counted(net: &BTreeMap<EntityKey, (Kind, Existence)>) -> [usize; 3] {
    let count = |wanted: &[Kind]| net.values().filter(|(kind, _)| wanted.contains(kind)).count();
    [count(&[Kind::Create]), count(&[Kind::Patch, Kind::State]), count(&[Kind::Delete])]
}

fn replayed() -> Holds {
    let mut holds = Holds::baseline();
    for operation in lines::<Operation>(OPERATIONS) {
        holds.apply(&operation.key, &operation.change);
    }
    holds
}

#[test]
fn a_real_history_folds_to_what_git_says_the_difference_is() {
    let log: Vec<Operation> = lines(OPERATIONS);
    assert_eq!(log.len(), 2_128);
    let mut bases = BaseMap::new(true);
    for row in lines::<Row>(BASELINE) {
        bases.insert(row.key, Base::live(row.state.unwrap(), row.epoch));
    }
    let mut fold = Fold::new();
    fold.extend(&log);
    let planned = plan(fold.effects(), &bases, None);
    let found = net(planned.operations.iter().map(|planned| &planned.operation));
    assert_eq!(found, net(&lines::<Operation>(EXPECTED)));
    assert_eq!(counted(&found), [71, 104, 33]);
    // Written and read, the plan folds to itself.
    let written: Vec<String> = planned.operations.iter().map(Planned::to_line).collect();
    let again: Vec<Operation> = lines(written.join("\n").as_bytes());
    let mut fold = Fold::new();
    fold.extend(&again);
    let refolded: Vec<String> =
        plan(fold.effects(), &bases, None).operations.iter().map(Planned::to_line).collect();
    assert_eq!(refolded, written);
}

/// Seals one bunch, lets the authority have it as a line, and settles it by the line of its answer.
fn exchanged(journal: &Journal, holds: &mut Holds, limits: Limits) -> Option<Bunch> {
    let sealed = journal.seal(limits).unwrap()?;
    let bunch = Bunch::from_line(&sealed.to_line()).unwrap();
    let accepted = |planned: &Planned| {
        holds.apply(&planned.operation.key, &planned.operation.change);
        let epoch = Some(Epoch(bunch.number.0));
        Outcome::Accepted { epoch, result: Resulting::AsSent, overwrote: None }
    };
    let outcomes = bunch.operations.iter().map(accepted).collect();
    let answer = Outcomes { bunch: bunch.number, outcomes };
    journal.settle(&Outcomes::from_line(&answer.to_line()).unwrap()).unwrap();
    Some(bunch)
}

fn journal() -> Journal {
    let journal = Journal::in_memory().unwrap();
    journal.baseline(&lines::<Row>(BASELINE), Listing::Complete).unwrap();
    journal
}

#[test]
fn several_bunches_add_up_to_the_same_difference() {
    let journal = journal();
    journal.append(&lines::<Operation>(OPERATIONS), Durability::Deferred).unwrap();
    let mut holds = Holds::baseline();
    let limits = Limits { operations: 50, ..Limits::default() };
    let mut bunches = Vec::new();
    while let Some(bunch) = exchanged(&journal, &mut holds, limits) {
        bunches.push(bunch);
    }
    assert_eq!(bunches.iter().map(|bunch| bunch.operations.len()).collect::<Vec<_>>(), [50, 50, 50, 50, 8]);
    let sent = bunches.iter().flat_map(|bunch| &bunch.operations).map(|planned| &planned.operation);
    assert_eq!(net(sent), net(&lines::<Operation>(EXPECTED)));
    assert_eq!(holds.live(), replayed().live());
}

#[test]
fn bunches_sent_while_the_work_goes_on_end_at_the_same_live_set() {
    for every in [1, 7, 100, 1_000] {
        let journal = journal();
        let mut holds = Holds::baseline();
        let mut sent = 0;
        for some in lines::<Operation>(OPERATIONS).chunks(every) {
            journal.append(some, Durability::Deferred).unwrap();
            let bunch = exchanged(&journal, &mut holds, Limits::default());
            sent += bunch.map_or(0, |bunch| bunch.operations.len());
        }
        assert!((208..=2_128).contains(&sent), "{sent} operations, sealed every {every}");
        assert_eq!(holds.live(), replayed().live(), "sealed every {every}");
        assert!(journal.plan().unwrap().operations.is_empty());
    }
}
