//! The stream of triggers.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::thread;
use std::time::Duration;

use foldlog::algebra::{Generation, Index};
use foldlog::client::{Courier, Options, Status};
use foldlog::codec::wire;
use foldlog::replica::Replica;
use foldlog::sync;

use super::devices::*;
use super::server::{Fault, STREAM, Server};

fn streaming(server: &Server, options: Options) -> (Replica, Courier) {
    let replica = replica();
    let courier =
        Courier::start(replica.clone(), sync::Options::default(), &connection(server, options)).unwrap();
    assert!(courier.wait(SOON, is_streaming));
    (replica, courier)
}

fn is_streaming(status: &Status) -> bool {
    is_idle(status) && status.is_streaming
}

fn has(replica: &Replica, n: u128) -> bool {
    replica.get(&key(n)).unwrap().is_some()
}

/// Some other device, which writes and syncs at once.
fn wrote(server: &Server, n: u128) {
    let mut other = driver(server, options());
    commit(other.replica(), &[create(n)]);
    other.sync().unwrap();
}

#[test]
fn a_change_on_one_device_arrives_at_the_other_at_once_without_polling() {
    let server = Server::new();
    let (one, _one) = streaming(&server, options());
    let (other, _other) = streaming(&server, options());
    let changes = server.asked("/v1/changes");
    let mut slowest = Duration::ZERO;
    for n in 1..=3 {
        // Longer than between two bunches, so that it is the way that is measured.
        thread::sleep(Duration::from_millis(1_050));
        let (from, to) = if n % 2 == 0 { (&other, &one) } else { (&one, &other) };
        commit(from, &[create(n)]);
        slowest = slowest.max(until("it arrives", || has(to, n)));
    }
    println!("from device to device: {slowest:?} at the slowest");
    assert!(slowest < Duration::from_millis(700), "{slowest:?}");
    assert_eq!(server.asked("/v1/changes"), changes, "nobody polled");
}

#[test]
fn a_stream_that_is_cut_goes_on_behind_what_was_heard() {
    let server = Server::new();
    let (replica, courier) = streaming(&server, options());
    wrote(&server, 1);
    until("it arrives", || has(&replica, 1));
    let changes = server.asked("/v1/changes");
    server.cut_streams();
    assert!(courier.wait(SOON, |status| !status.is_streaming));
    wrote(&server, 2);
    wrote(&server, 3);
    until("both arrive", || has(&replica, 2) && has(&replica, 3));
    let streams = server.streams();
    assert_eq!(streams.len(), 2, "{streams:?}");
    assert!(streams[0].ends_with(".0") && streams[1].ends_with(".1"), "{streams:?}");
    // Each of the others asked for changes once.
    assert_eq!(server.asked("/v1/changes"), changes + 2, "nothing was fetched but what was told");
}

#[test]
fn a_stream_that_is_silent_for_too_long_is_opened_again_and_one_that_is_not_stays() {
    let server = Server::new();
    server.alive_every(60);
    let (replica, courier) = streaming(&server, options().stream_silence_ms_max(400));
    thread::sleep(Duration::from_millis(900));
    assert_eq!((server.streams().len(), courier.status().is_streaming), (1, true), "somebody is there");
    server.mute_streams(true);
    assert!(courier.wait(SOON, |status| !status.is_streaming));
    server.mute_streams(false);
    wrote(&server, 1);
    until("it arrives", || has(&replica, 1));
    assert_eq!(server.streams().len(), 2);
}

#[test]
fn what_cannot_be_told_one_by_one_is_fetched() {
    let server = Server::new();
    let (_replica, courier) = streaming(&server, options());
    let changes = server.asked("/v1/changes");
    let until_there = wire::EventId { generation: Generation(foldlog::Uuid::from_u128(9)), index: Index(9) };
    server.says(wire::Event::Resync { until: until_there });
    until("it asks", || server.asked("/v1/changes") > changes);
    assert!(courier.wait(SOON, is_streaming));
}

#[test]
fn where_there_is_no_stream_it_syncs_at_an_interval_and_does_not_insist() {
    let server = Server::new();
    server.fails(|path| match path {
        STREAM => Fault::Raw(b"HTTP/1.1 404 X\r\ncontent-length: 0\r\n\r\n".to_vec()),
        _ => Fault::None,
    });
    let replica = replica();
    let interval = sync::Options { down_interval_ms: 200, ..sync::Options::default() };
    let options = options();
    let courier = Courier::start(replica.clone(), interval, &connection(&server, options)).unwrap();
    until("it asked for a stream", || server.streams().len() == 1);
    thread::sleep(Duration::from_millis(700));
    assert_eq!(server.streams().len(), 1);
    drop(courier);
    server.works();
    let courier = Courier::start(
        replica.clone(),
        interval,
        &connection(&server, super::devices::options().without_stream()),
    );
    wrote(&server, 1);
    let took = until("it is fetched", || has(&replica, 1));
    assert!(took < Duration::from_millis(1_000), "{took:?}");
    drop(courier);
}

#[test]
fn a_stream_of_something_else_is_closed_and_changes_nothing() {
    let server = Server::new();
    let (replica, courier) = streaming(&server, options());
    let before = observed(&replica);
    server.fails(|path| match path {
        STREAM => {
            let head =
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
            Fault::Endless(head.to_vec(), [b"1000\r\n".as_slice(), &[b'x'; 4096], b"\r\n"].concat())
        }
        _ => Fault::None,
    });
    server.cut_streams();
    let events = courier.events();
    until("it tried again", || server.streams().len() == 2);
    let mut turns = 0;
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_millis(700) {
        turns += usize::from(events.wait(Duration::from_millis(100)).is_some());
    }
    assert!(turns < 10 && server.streams().len() <= 3, "{turns} events, {:?}", server.streams());
    assert_eq!(observed(&replica), before);
    server.works();
    courier.sync_now();
    assert!(courier.wait(SOON, is_streaming));
}
