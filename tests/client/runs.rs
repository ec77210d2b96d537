//! A client that runs by itself, with threads.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use foldlog::Journal;
use foldlog::algebra::Schema;
use foldlog::client::{Connection, Courier, Credentials, Error, Event, Options, Phase};
use foldlog::journal;
use foldlog::replica::Replica;
use foldlog::sync;

use super::devices::*;
use super::server::{Fault, STREAM, Server};

fn started(server: &Server, replica: &Replica, options: Options) -> Courier {
    Courier::start(replica.clone(), sync::Options::default(), &connection(server, options)).unwrap()
}

#[test]
fn what_is_written_goes_up_by_itself_and_much_at_once_in_few_bunches() {
    let server = Server::new();
    let replica = replica();
    let courier = started(&server, &replica, options().without_stream());
    assert!(courier.wait(SOON, is_idle));
    commit(&replica, &[create(1)]);
    let first = until("the first one is there", || server.count() == 1);
    assert!(first < Duration::from_millis(1_500), "{first:?}");
    // Somebody types, one change every 20 ms, and the way there and back takes longer than that.
    server.fails(|_| Fault::Delay(Duration::from_millis(30)));
    for n in 2..=40 {
        commit(&replica, &[create(n)]);
        thread::sleep(Duration::from_millis(20));
    }
    let rest = until("all are there", || server.count() == 40);
    assert!(rest < Duration::from_millis(1_900), "{rest:?}");
    let bunches = server.asked("/v1/bunches");
    assert!((2..=4).contains(&bunches), "{bunches} bunches");
    assert_eq!(server.asked("/v1/changes"), 1, "nobody asks for what nobody changed");
}

#[test]
fn events_say_what_happens_and_the_status_how_it_stands() {
    let server = Server::new();
    let mut other = driver(&server, options());
    commit(other.replica(), &[create(1)]);
    other.sync().unwrap();
    let replica = replica();
    server.fails(|_| Fault::Delay(Duration::from_millis(50)));
    let courier = started(&server, &replica, options());
    let events = courier.events();
    assert!(courier.wait(SOON, |status| is_idle(status) && status.is_streaming));
    let status = courier.status();
    assert_eq!(status.phase, Phase::Idle);
    assert!(status.synced_at.is_some() && status.failure.is_none());
    let mut told = Vec::new();
    while let Some(event) = events.look() {
        told.push(event);
    }
    assert!(told.iter().any(|event| matches!(event, Event::Phase(Phase::Idle))), "{told:?}");
    assert!(told.iter().any(|event| matches!(event, Event::Synced(synced) if synced.rows_taken == 1)));
    assert!(told.iter().any(|event| matches!(event, Event::Streaming(true))), "{told:?}");
    courier.compare_now();
    let is_same = std::iter::from_fn(|| events.wait(SOON)).find_map(|event| match event {
        Event::Synced(synced) => synced.is_same(),
        _ => None,
    });
    assert_eq!(is_same, Some(true));
    courier.stop();
    let last = std::iter::from_fn(|| events.wait(SOON)).last();
    assert!(matches!(last, Some(Event::Phase(Phase::Stopped))), "{last:?}");
}

#[test]
fn without_a_token_that_counts_it_waits_for_one_and_then_goes_on() {
    let server = Server::new();
    server.wants_token("right");
    let credentials = Credentials::token("wrong").unwrap();
    let connection = Connection::new(server.url.parse().unwrap(), credentials, options()).unwrap();
    let replica = replica();
    let courier = Courier::start(replica.clone(), sync::Options::default(), &connection).unwrap();
    assert!(courier.wait(SOON, |status| status.phase == Phase::Unauthorised));
    commit(&replica, &[create(1)]);
    let asked = server.seen().len();
    thread::sleep(Duration::from_millis(300));
    assert_eq!(server.seen().len(), asked, "nothing is asked with what was refused");
    let failure = courier.status().failure.unwrap();
    assert!(matches!(*failure, Error::Unauthorised), "{failure}");
    courier.set_token("right").unwrap();
    until("it is there", || server.count() == 1);
    assert!(courier.wait(SOON, |status| is_idle(status) && status.is_streaming && status.failure.is_none()));
    // Logged out everywhere: the next write finds out, and the next token mends it.
    server.wants_token("newer");
    commit(&replica, &[create(2)]);
    assert!(courier.wait(SOON, |status| status.phase == Phase::Unauthorised));
    courier.set_token("newer").unwrap();
    until("both are there", || server.count() == 2);
}

#[test]
fn it_asks_nothing_while_there_is_no_network_and_at_once_when_there_is() {
    let server = Server::new();
    let replica = replica();
    let courier = started(&server, &replica, options());
    assert!(courier.wait(SOON, |status| is_idle(status) && status.is_streaming));
    courier.offline();
    assert!(courier.wait(SOON, |status| status.phase == Phase::Offline && !status.is_streaming));
    commit(&replica, &[create(1)]);
    courier.sync_now();
    let asked = server.seen().len();
    thread::sleep(Duration::from_millis(200));
    assert_eq!(server.seen().len(), asked);
    courier.online();
    until("it is there", || server.count() == 1);
    assert!(courier.wait(SOON, |status| is_idle(status) && status.is_streaming));
}

#[test]
fn what_fails_is_tried_again_later_and_ever_later_or_when_somebody_says_so() {
    let server = Server::new();
    let replica = replica();
    commit(&replica, &[create(1)]);
    server.fails(|_| Fault::CutBefore);
    let courier = started(&server, &replica, options());
    assert!(courier.wait(SOON, |status| matches!(status.phase, Phase::Waiting { .. })));
    thread::sleep(Duration::from_millis(1_500));
    let asked = server.seen().len();
    assert!((1..=8).contains(&asked), "{asked} times in a second and a half");
    server.works();
    courier.sync_now();
    let took = until("it is there", || server.count() == 1);
    assert!(took < Duration::from_millis(700), "{took:?}");
}

#[test]
fn it_stops_at_once_while_the_server_hangs() {
    for path in ["/v1/changes", STREAM, "/v1/bunches"] {
        let server = Server::new();
        server.fails(move |asked| if asked == path { Fault::Hang } else { Fault::None });
        let replica = replica();
        commit(&replica, &[create(1)]);
        let courier = started(&server, &replica, Options::new());
        until("it hangs", || server.asked(path) == 1);
        let begun = Instant::now();
        courier.stop();
        assert!(begun.elapsed() < Duration::from_millis(500), "{path}: {:?}", begun.elapsed());
        // And nobody else has a hold on the replica: its journal could be closed and opened again.
        replica.journal().suspend().unwrap();
        replica.journal().resume().unwrap();
        assert_eq!(replica.list(key(1).collection()).unwrap().len(), 1);
    }
}

#[test]
fn while_it_is_suspended_the_file_is_free_and_nothing_is_asked() {
    let server = Server::new();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.replica");
    let replica = Replica::create(&path, journal::Options::new().schema(Schema::default())).unwrap();
    commit(&replica, &[create(1)]);
    server.fails(|path| if path == "/v1/bunches" { Fault::Hang } else { Fault::None });
    let courier = started(&server, &replica, options());
    until("it hangs", || server.asked("/v1/bunches") == 1);
    let begun = Instant::now();
    courier.suspend();
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
    assert_eq!(courier.status().phase, Phase::Suspended);
    // Another program takes the file, and sends what was on its way.
    server.works();
    let other = Replica::of(Journal::open(&path).unwrap()).unwrap();
    commit(&other, &[create(2)]);
    let connected = connection(&server, options());
    foldlog::client::Driver::new(other, sync::Options::default(), connected).sync().unwrap();
    assert_eq!(server.count(), 2);
    let asked = server.seen().len();
    courier.sync_now();
    thread::sleep(Duration::from_millis(200));
    assert_eq!(server.seen().len(), asked);
    courier.resume();
    assert!(courier.wait(SOON, |status| is_idle(status) && status.is_streaming));
    commit(&replica, &[create(3)]);
    until("all are there", || server.count() == 3);
    assert_eq!(replica.list(key(1).collection()).unwrap().len(), 3);
    assert!(courier.status().failure.is_none(), "{:?}", courier.status());
}

#[test]
fn it_can_be_suspended_before_it_did_anything() {
    let server = Server::new();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.replica");
    let replica = Replica::create(&path, journal::Options::new().schema(Schema::default())).unwrap();
    let courier = started(&server, &replica, options());
    courier.suspend();
    drop(Journal::open(&path).unwrap());
    courier.stop();
    assert!(matches!(replica.journal().status(), Err(journal::Error::Suspended)), "it stays as it was left");
}

#[test]
fn a_file_that_somebody_keeps_is_tried_again_until_it_is_free() {
    let server = Server::new();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.replica");
    let replica = Replica::create(&path, journal::Options::new().schema(Schema::default())).unwrap();
    let courier = started(&server, &replica, options().without_stream());
    assert!(courier.wait(SOON, is_idle));
    courier.suspend();
    let other = Journal::open(&path).unwrap();
    courier.resume();
    assert!(courier.wait(SOON, |status| status.failure.is_some()));
    assert_eq!(courier.status().phase, Phase::Suspended);
    drop(other);
    // By itself, a second later at the latest.
    assert!(courier.wait(SOON, is_idle));
}

#[test]
fn a_replica_that_says_no_is_left_alone_for_a_while_and_the_authority_too() {
    let server = Server::new();
    let replica = replica();
    let courier = started(&server, &replica, options().without_stream());
    assert!(courier.wait(SOON, is_idle));
    let events = courier.events();
    // Closed behind its back.
    replica.journal().suspend().unwrap();
    courier.sync_now();
    assert!(courier.wait(SOON, |status| matches!(status.phase, Phase::Waiting { .. })));
    thread::sleep(Duration::from_millis(400));
    let failed =
        std::iter::from_fn(|| events.look()).filter(|event| matches!(event, Event::Failed(_))).count();
    assert!((1..=2).contains(&failed), "{failed} failures");
    assert_eq!(server.seen().len(), 2, "what was asked before");
    replica.journal().resume().unwrap();
    courier.sync_now();
    assert!(courier.wait(SOON, is_idle));
}

#[test]
fn who_asks_how_it_stands_is_answered_while_a_token_is_renewed_and_a_server_hangs() {
    let server = Server::new();
    server.wants_token("new");
    let may = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&may);
    let credentials = Credentials::none().renewed_by(move || {
        while !asked.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(5));
        }
        Some("new".to_owned())
    });
    let connection = Connection::new(server.url.parse().unwrap(), credentials, options()).unwrap();
    let courier = Courier::start(replica(), sync::Options::default(), &connection).unwrap();
    until("it was refused", || server.seen().len() == 1);
    for _ in 0..100 {
        let begun = Instant::now();
        assert_eq!(courier.status().phase, Phase::Syncing);
        courier.sync_now();
        assert!(begun.elapsed() < Duration::from_millis(100));
    }
    may.store(true, Ordering::Relaxed);
    assert!(courier.wait(SOON, is_idle));
}
