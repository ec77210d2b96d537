//! Clients of one account that write and sync at once, each on a thread of its own, while the server dies and comes back:
//! what a simulation does one after the other happens at the same time here. The end is a simulation's.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use foldlog::algebra::Policy;
use foldlog::sync::Want;
use foldlog::testing::simulator::{Given, Lived, come_to_rest};

use crate::file::FileHost;
use crate::host::Host;
use crate::member::{Member, Noted, now};
use crate::network::{Network, connection};
use crate::panics;
use crate::process::ProcessHost;
use crate::schedule::{Random, Weather};
use crate::seeds;

const CLIENTS: u64 = 4;

/// Lets a crowd live, and the server die beside it about every so many ms, until they are through.
fn crowd(seed: u64, host: Arc<dyn Host>, given: &Given, weather: Weather, dies_every_ms: Option<u64>) {
    panics::watch();
    let mut network = Network::new(host.clone(), seed, weather);
    let noted = Mutex::default();
    let url = network.proxy().url();
    let members: Vec<Member> = (0..CLIENTS)
        .map(|id| {
            let mut member = Member::new(id, given, connection(&url, host.token()));
            // Who knows nothing claims nothing.
            assert!(member.sync(Want::DOWN, &noted));
            member
        })
        .collect();
    network.proxy().be_calm(false);
    let (is_over, host) = (&AtomicBool::new(false), &*host);
    let (engines, deaths) = thread::scope(|scope| {
        let tormenting =
            dies_every_ms.map(|every_ms| scope.spawn(move || torment(host, seed, every_ms, is_over)));
        let living: Vec<_> = members
            .into_iter()
            .map(|mut member| {
                let noted = &noted;
                scope.spawn(move || {
                    member.live(noted);
                    member.engine
                })
            })
            .collect();
        let lived: Vec<_> = living.into_iter().map(thread::ScopedJoinHandle::join).collect();
        is_over.store(true, Ordering::SeqCst);
        let deaths = tormenting.map(|tormenting| tormenting.join().unwrap());
        (lived.into_iter().map(|engine| engine.unwrap()).collect(), deaths)
    });
    let Noted { values, acknowledged, accepted, unanswered, crashes, resolved } = noted.into_inner().unwrap();
    let lived = Lived { policies: given.policies, clients: engines, values, acknowledged, now: now() };
    let ended = come_to_rest(lived, &mut network);
    let counts = network.proxy().counts();
    println!(
        "seed {seed}: {accepted} accepted, {unanswered} unanswered, {crashes} crashes, {resolved} resolved, {deaths:?} \
         deaths, {counts:?}"
    );
    if let Err(violation) = ended {
        panic!("seed {seed}: {violation}");
    }
    panics::require_none();
    assert!(
        deaths.is_none_or(|deaths| deaths > 0) && accepted > 10 && unanswered > 0,
        "seed {seed}: too little happened"
    );
}

/// Half of the crowds decide alike everywhere. Where the later one counts, only the leaves have it: see [`Member`].
fn given(seed: u64) -> Given {
    let all = [Policy::LastOperation, Policy::FirstToAuthority, Policy::Manual];
    let mut random = Random(seed);
    let mut drawn = || *all.get(usize::try_from(random.below(3)).unwrap()).unwrap();
    let policies = match seed % 3 {
        0 => [drawn(); 3],
        1 => [drawn(), drawn(), drawn()],
        _ => [drawn(), drawn(), Policy::Newest],
    };
    Given { seed, clients: 0, policies, actions: Vec::new() }
}

/// Kills the server now and then, lets it be dead for a while, and live again; gives how often.
fn torment(host: &dyn Host, seed: u64, every_ms: u64, is_over: &AtomicBool) -> u64 {
    let (mut random, mut deaths) = (Random(seed), 0);
    while !is_over.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_millis(random.below(every_ms)));
        host.die();
        thread::sleep(Duration::from_millis(random.below(40)));
        host.live();
        deaths += 1;
    }
    deaths
}

#[test]
fn what_clients_do_at_once_over_a_bad_network_is_not_lost() {
    for seed in seeds(3) {
        let given = given(seed);
        crowd(seed, Arc::new(FileHost::new(given.schema())), &given, Weather::BAD, None);
    }
}

#[test]
fn a_server_that_is_killed_under_load_loses_nothing() {
    for seed in seeds(2).map(|seed| seed + 40_000) {
        let given = given(seed);
        let host: Arc<dyn Host> = Arc::new(ProcessHost::new(&given.schema()));
        let weather = Weather::BAD.deadly(30, 20);
        crowd(seed, host, &given, weather, Some(120));
    }
}

#[cfg(feature = "postgres")]
#[test]
fn a_postgres_that_is_stopped_under_load_loses_nothing_and_its_server_goes_on_by_itself() {
    use crate::postgres::{PostgresHost, postgres};
    let name = "a_postgres_that_is_stopped_under_load_loses_nothing_and_its_server_goes_on_by_itself";
    let Some((postgres, _turn)) = postgres(name) else { return };
    for seed in seeds(1).map(|seed| seed + 50_000) {
        let given = given(seed);
        let host: Arc<dyn Host> = Arc::new(PostgresHost::new(postgres, given.schema()));
        crowd(seed, host, &given, Weather::BAD, Some(400));
    }
}
