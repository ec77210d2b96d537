//! The simulator's worlds, with a real server and a bad network in the authority's place.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use foldlog::algebra::Schema;
use foldlog::testing::simulator::{Action, Given, Simulated, given, simulate_on};

use crate::file::FileHost;
use crate::host::Host;
use crate::network::Network;
use crate::panics;
use crate::process::ProcessHost;
use crate::schedule::Weather;
use crate::{actions, seeds};

/// What came of worlds.
#[derive(Debug, Default)]
struct Played {
    worlds: u64,
    simulated: Simulated,
    requests: u64,
    cut: u64,
    cut_when_done: u64,
    doubled: u64,
    late: u64,
    deaths: u64,
    took: Duration,
}

/// The world of a seed. Losing messages is for the network; in every other one the authority is restored from a backup
/// in the middle of it all.
fn world(seed: u64) -> Given {
    let clients = 3 + usize::try_from(seed % 3).unwrap();
    let actions = usize::try_from(actions()).unwrap();
    let mut world = given(seed, clients, actions);
    for action in &mut world.actions {
        match *action {
            Action::Lose { message } | Action::GiveUp { client: message } => {
                *action = Action::Arrive { message }
            }
            Action::SetClock { client, to } if to.is_multiple_of(2) => {
                *action = Action::Resolve { client, conflict: to, how: to / 2 };
            }
            _ => {}
        }
    }
    if seed.is_multiple_of(2) {
        world.actions.insert(actions / 3, Action::Backup);
        world.actions.insert(actions / 3 * 2, Action::Restore);
    }
    world
}

fn play<H: Host + 'static>(
    seeds: impl Iterator<Item = u64>,
    weather: Weather,
    host: impl Fn(Schema) -> H,
) -> Played {
    panics::watch();
    let (begun, mut played) = (Instant::now(), Played::default());
    for seed in seeds {
        let world = world(seed);
        let mut network = Network::new(Arc::new(host(world.schema())), seed, weather);
        match simulate_on(&world, &mut network) {
            Ok(simulated) => played.simulated += simulated,
            Err(violation) => panic!("seed {seed}: {violation}\n{:?}", network.proxy().counts()),
        }
        let counts = network.proxy().counts();
        played.worlds += 1;
        for (sum, count) in [
            (&mut played.requests, &counts.requests),
            (&mut played.cut, &counts.cut),
            (&mut played.cut_when_done, &counts.cut_when_done),
            (&mut played.doubled, &counts.doubled),
            (&mut played.late, &counts.late),
            (&mut played.deaths, &counts.deaths),
        ] {
            *sum += count.load(Ordering::Relaxed);
        }
    }
    played.took = begun.elapsed();
    println!("{played:?}");
    panics::require_none();
    played
}

/// That nothing of what is tested for never came up.
fn require_all(played: &Played) {
    let Simulated { acknowledged, bunches, crashes, restores, unanswered, .. } = played.simulated;
    let Played { cut_when_done, doubled, late, .. } = *played;
    for reached in [acknowledged, bunches, crashes, restores, unanswered, cut_when_done, doubled, late] {
        assert!(reached > 0, "something never came up: {played:?}");
    }
}

#[test]
fn whatever_a_network_does_all_agree_in_the_end_and_nothing_is_lost() {
    let played = play(seeds(10), Weather::BAD, FileHost::new);
    require_all(&played);
}

#[test]
fn a_server_that_ends_and_begins_again_all_the_time_changes_nothing() {
    let played = play(seeds(4).map(|seed| seed + 10_000), Weather::BAD.deadly(60, 10), FileHost::new);
    assert!(played.deaths > 0, "{played:?}");
}

#[test]
fn a_server_that_is_killed_between_commit_and_answer_loses_nothing() {
    let weather = Weather::BAD.deadly(100, 15);
    let played = play(seeds(6).map(|seed| seed + 20_000), weather, |schema| ProcessHost::new(&schema));
    require_all(&played);
    assert!(played.deaths > 0, "{played:?}");
}

#[cfg(feature = "postgres")]
#[test]
fn a_postgres_that_is_stopped_without_a_warning_loses_nothing() {
    use crate::postgres::{PostgresHost, postgres};
    let Some((postgres, _turn)) = postgres("a_postgres_that_is_stopped_without_a_warning_loses_nothing")
    else {
        return;
    };
    let weather = Weather::BAD.deadly(60, 2);
    let played =
        play(seeds(2).map(|seed| seed + 30_000), weather, |schema| PostgresHost::new(postgres, schema));
    assert!(played.simulated.restores > 0 && played.simulated.acknowledged > 0, "{played:?}");
    assert!(played.deaths > 0, "{played:?}");
}
