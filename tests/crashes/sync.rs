//! A replica that syncs with an authority where somebody else writes, too.

use foldlog::Uuid;
use foldlog::algebra::{Answer, Ask, EntityKey, Generation, Millis, State};
use foldlog::authority::{MemoryStore, Rules, answer};
use foldlog::journal::Durability;
use foldlog::replica::{Replica, Resolution};
use foldlog::sync::{self, Engine, Next, Want};
use foldlog::testing::FaultyStorage;

use crate::played;
use crate::random::Random;
use crate::replica::{NOW, commit, observed, opened, schema};
use crate::walk::Life;

const ROUNDS: u64 = 6;
const AT: Millis = Millis(NOW);

fn asked(store: &mut MemoryStore, ask: &Ask) -> Answer {
    let schema = schema();
    answer(store, &Rules { schema: &schema, now: AT, refuses: &|_| None }, ask).unwrap()
}

fn synced(store: &mut MemoryStore, replica: &Replica) {
    let mut engine = Engine::new(replica.clone(), sync::Options::default());
    engine.want_only(Want::SYNC);
    while let Next::Ask(request) = engine.next(AT).unwrap() {
        let answer = asked(store, &request.ask);
        engine.answer(request.number, answer, AT, 0).unwrap();
    }
}

/// A replica's life, with the authority as it was when each call began.
struct Synced {
    life: Life,
    stores: Vec<MemoryStore>,
}

impl Synced {
    fn call<T>(
        &mut self,
        name: &'static str,
        is_durable: bool,
        store: &MemoryStore,
        replica: &Replica,
        call: impl FnOnce() -> T,
    ) -> T {
        self.stores.push(store.clone());
        self.life.call(name, is_durable, call, || observed(replica))
    }

    /// Syncs, a call for each step; some answers never come.
    fn sync(&mut self, store: &mut MemoryStore, replica: &Replica, random: &mut Random) {
        let mut engine = Engine::new(replica.clone(), sync::Options::default());
        engine.want_only(Want::SYNC);
        loop {
            let next = self.call("next", true, store, replica, || engine.next(AT).unwrap());
            let Next::Ask(request) = next else { return };
            let answer = asked(store, &request.ask);
            if random.one_in(10) {
                return;
            }
            let (number, id) = (request.number, u128::from(random.next()));
            self.call("answer", true, store, replica, || engine.answer(number, answer, AT, id).unwrap());
        }
    }
}

fn live(replica: &Replica) -> Vec<(EntityKey, Option<State>)> {
    let known = replica.known().unwrap();
    known
        .into_iter()
        .map(|key| (key.clone(), replica.get(&key).unwrap()))
        .filter(|(_, state)| state.is_some())
        .collect()
}

/// Syncs with the authority until nothing is left to do; then a new replica sees what this one does.
fn goes_on(replica: &Replica, mut store: MemoryStore) {
    for _ in 0..4 {
        synced(&mut store, replica);
        for conflict in replica.conflicts().unwrap() {
            let _ = replica.resolve(&conflict.key, &Resolution::Remote);
        }
        for parked in replica.journal().parked().unwrap() {
            let _ = replica.resolve(&parked.key, &Resolution::Remote);
        }
    }
    let fresh = opened(&FaultyStorage::new(), 9);
    synced(&mut store, &fresh);
    if replica.unsent().unwrap().is_empty() {
        assert_eq!(live(replica), live(&fresh));
    }
}

#[test]
fn a_replica_that_syncs_loses_nothing_that_was_acknowledged_wherever_the_power_goes() {
    let figures = played(4, |random, figures| {
        let disk = FaultyStorage::new();
        let replica = opened(&disk, 1);
        let other = opened(&FaultyStorage::new(), 2);
        let mut store = MemoryStore::new(schema(), Generation(Uuid::from_u128(1)));
        let life = Life::new(disk, observed(&replica));
        let mut synced_life = Synced { life, stores: vec![store.clone()] };
        for round in 1..=ROUNDS {
            for _ in 0..random.below(3) {
                commit(&other, random, 100 * round, Durability::Durable);
            }
            synced(&mut store, &other);
            for _ in 0..random.below(4) {
                let is_durable = !random.one_in(4);
                let durability = if is_durable { Durability::Durable } else { Durability::Deferred };
                let commit = || commit(&replica, random, 100 * round + 1, durability);
                synced_life.call("commit", is_durable, &store, &replica, commit);
            }
            if let Some(conflict) = replica.conflicts().unwrap().first() {
                let how =
                    [Resolution::Local, Resolution::Remote, Resolution::Newest][random.index(3)].clone();
                let resolve = || drop(replica.resolve(&conflict.key, &how));
                synced_life.call("resolve", true, &store, &replica, resolve);
            }
            synced_life.sync(&mut store, &replica, random);
        }
        drop(replica);
        let Synced { life, stores } = synced_life;
        life.crashed_everywhere(
            random,
            figures,
            |image| observed(&opened(image, 1)),
            |image, last, random| {
                let syncs = random.one_in(12);
                if syncs {
                    goes_on(&opened(image, 1), stores[last].clone());
                }
                syncs
            },
        );
    });
    assert!(figures.images > 100 && figures.recoveries > 10 && figures.went_on > 10, "{figures}");
}
