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
use crate::panics;
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
        carry(seed, false);
    }
}

#[test]
fn couriers_go_on_by_themselves_when_the_authority_is_restored_from_a_backup() {
    for seed in seeds(1).map(|seed| seed + 70_000) {
        carry(seed, true);
    }
}

fn carry(seed: u64, is_restored: bool) {
    panics::watch();
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
        if is_restored && note == NOTES / 3 {
            host.back_up();
        } else if is_restored && note == NOTES / 3 * 2 {
            host.restore();
        } else if note % 10 == 5 {
            host.die();
            thread::sleep(Duration::from_millis(20));
            host.live();
        }
        thread::sleep(Duration::from_millis(10));
    }
    proxy.be_calm(true);
    let begun = Instant::now();
    // Nobody waits for the time of a later attempt: there is a network again.
    couriers.iter().for_each(|(_, courier)| courier.online());
    let all: BTreeSet<Uuid> = (1..=NOTES * COURIERS).map(|n| Uuid::from_u128(n.into())).collect();
    loop {
        let lists: Vec<_> = couriers.iter().map(|(replica, _)| replica.list(&notes).unwrap()).collect();
        let mut found: BTreeSet<Uuid> = lists.iter().flatten().map(|(id, _)| *id).collect();
        let is_sent = couriers.iter().all(|(replica, _)| replica.unsent().unwrap().is_empty());
        let is_same = lists.iter().all(|list| Some(list) == lists.first());
        for (replica, _) in couriers.iter().filter(|_| is_restored) {
            // What was acknowledged after the backup was made is kept by those who knew it.
            found.extend(replica.losers().unwrap().into_iter().map(|lost| lost.key.id()));
        }
        if is_sent && is_same && found == all {
            break;
        }
        let statuses: Vec<_> = couriers.iter().map(|(_, courier)| courier.status()).collect();
        assert!(begun.elapsed() < REST_MAX, "seed {seed}: {} of {} in {statuses:?}", found.len(), all.len());
        thread::sleep(Duration::from_millis(5));
    }
    // What they hear by themselves from now on, they hear over streams.
    for (number, (_, courier)) in couriers.iter().enumerate() {
        let is_told = courier.wait(REST_MAX, |status| status.phase == Phase::Idle && status.is_streaming);
        assert!(is_told, "seed {seed}: courier {number} is {:?}", courier.status());
    }
    panics::require_none();
    let counts = proxy.counts();
    println!("seed {seed}: at rest after {:?}, {counts:?}", begun.elapsed());
    let streams = counts.streams.load(Ordering::Relaxed);
    assert!(streams >= COURIERS, "seed {seed}: {counts:?}");
}
