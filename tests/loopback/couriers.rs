//! Couriers: clients that run by themselves, with streams, while connections are cut and the server is killed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use foldlog::Uuid;
use foldlog::algebra::{CollectionName, EntityKey, Operation, Schema, State};
use foldlog::client::{Courier, Phase};
use foldlog::journal::{self, Durability};
use foldlog::replica::Replica;
use foldlog::sync;

use crate::host::Host;
use crate::network::connection;
use crate::process::ProcessHost;
use crate::proxy::Proxy;
use crate::schedule::{Schedule, Weather};
use crate::seeds;

const COURIERS: u64 = 3;

/// What each of them is given to carry.
const NOTES: u64 = 40;

/// How long all of them may take to come to rest.
const REST_MAX: Duration = Duration::from_secs(60);

#[test]
fn couriers_over_streams_that_are_cut_bring_everything_to_everybody() {
    for seed in seeds(1).map(|seed| seed + 60_000) {
        carry(seed);
    }
}

fn carry(seed: u64) {
    let host: Arc<dyn Host> = Arc::new(ProcessHost::new(&Schema::default()));
    // Whoever is cut off waits, and ever longer: not every time.
    let weather = Weather { faults: 150, ..Weather::BAD };
    let proxy = Proxy::new(Arc::clone(&host), Schedule::new(seed, weather));
    let notes = CollectionName::new("notes").unwrap();
    let couriers: Vec<(Replica, Courier)> = (0..COURIERS)
        .map(|_| {
            let replica = Replica::in_memory(journal::Options::new().schema(Schema::default())).unwrap();
            let options = sync::Options { up_interval_ms: 20, ..sync::Options::default() };
            let connection = connection(&proxy.url(), host.token());
            (replica.clone(), Courier::start(replica, options, &connection).unwrap())
        })
        .collect();
    proxy.be_calm(false);
    for note in 0..NOTES {
        for (courier, (replica, _)) in (0..).zip(&couriers) {
            let id = Uuid::from_u128(u128::from(note * COURIERS + courier + 1));
            let state = State::from_json(&format!(r#"{{"note":{note},"by":{courier}}}"#)).unwrap();
            let key = EntityKey::new(notes.clone(), id).unwrap();
            replica.commit(&[Operation::create(key, state)], Durability::Durable).unwrap();
        }
        if note % 10 == 5 {
            host.die();
            thread::sleep(Duration::from_millis(20));
            host.live();
        }
        thread::sleep(Duration::from_millis(10));
    }
    proxy.be_calm(true);
    let begun = Instant::now();
    let all = usize::try_from(NOTES * COURIERS).unwrap();
    // Nobody waits for the time of a later attempt: there is a network again.
    couriers.iter().for_each(|(_, courier)| courier.online());
    for (number, (replica, courier)) in couriers.iter().enumerate() {
        while replica.list(&notes).unwrap().len() < all || !replica.unsent().unwrap().is_empty() {
            let status = courier.status();
            assert!(begun.elapsed() < REST_MAX, "seed {seed}: courier {number} is {status:?}");
            thread::sleep(Duration::from_millis(5));
        }
    }
    let lists: BTreeSet<String> =
        couriers.iter().map(|(replica, _)| format!("{:?}", replica.list(&notes).unwrap())).collect();
    assert_eq!(lists.len(), 1, "seed {seed}");
    // What they hear by themselves from now on, they hear over streams.
    for (number, (_, courier)) in couriers.iter().enumerate() {
        let is_told = courier.wait(REST_MAX, |status| status.phase == Phase::Idle && status.is_streaming);
        assert!(is_told, "seed {seed}: courier {number} is {:?}", courier.status());
    }
    let counts = proxy.counts();
    println!("seed {seed}: at rest after {:?}, {counts:?}", begun.elapsed());
    let streams = counts.streams.load(Ordering::Relaxed);
    assert!(streams > COURIERS && counts.cut.load(Ordering::Relaxed) > 0, "{counts:?}");
}
