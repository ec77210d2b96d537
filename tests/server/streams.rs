//! Streams: what happens is heard at once, by all, and nothing is missed.

use std::time::{Duration, Instant};

use foldlog::Uuid;
use foldlog::algebra::{Generation, Index};
use foldlog::codec::wire::{Event, EventId};
use foldlog::journal::Durability;
use foldlog::server::Options;

use super::Server;
use super::sync::{create, engine, sync};

/// Little enough for a system that lets a process have 1,024 files.
const STREAMS: usize = 300;

fn told(event: Option<Event>) -> (EventId, u128) {
    match event {
        Some(Event::Trigger { generation, trigger }) => {
            (EventId { generation, index: trigger.index }, trigger.key.id().as_u128())
        }
        other => panic!("no trigger: {other:?}"),
    }
}

#[test]
fn what_happens_is_heard_by_all_who_listen_and_by_who_comes_back() {
    let server = Server::new();
    let client = server.client("anna");
    let mut device = engine();
    sync(&mut device, &client);
    let mut first = client.listen(None);
    let mut second = client.listen(None);
    let mut of_ben = server.client("ben").listen(None);
    for n in 1..=3 {
        device.replica().commit(&[create(n)], Durability::Durable).unwrap();
        sync(&mut device, &client);
    }
    let (id, _) = told(first.next_told());
    assert_eq!([told(first.next_told()).1, told(first.next_told()).1], [2, 3]);
    assert_eq!([1, 2, 3].map(|_| told(second.next_told()).1), [1, 2, 3]);
    // Who comes back hears what it missed, by the header and by the query.
    drop((first, second));
    let mut again = client.listen(Some(&id.to_string()));
    assert_eq!([told(again.next_told()).1, told(again.next_told()).1], [2, 3]);
    let mut late = client.listen(None);
    assert_eq!(late.next(), Some(Event::Alive));
    device.replica().commit(&[create(4)], Durability::Durable).unwrap();
    sync(&mut device, &client);
    assert_eq!(told(again.next_told()).1, 4);
    assert_eq!(told(late.next_told()).1, 4, "without an id a stream begins now");
    // What happens in one account is not heard in another.
    let mut of_ben_device = engine();
    of_ben_device.replica().commit(&[create(9)], Durability::Durable).unwrap();
    sync(&mut of_ben_device, &server.client("ben"));
    assert_eq!(told(of_ben.next_told()).1, 9);
}

#[test]
fn who_heard_of_another_life_of_the_data_is_told_to_sync() {
    let server = Server::new();
    let client = server.client("anna");
    let mut device = engine();
    device.replica().commit(&[create(1), create(2)], Durability::Durable).unwrap();
    sync(&mut device, &client);
    let generation = device.replica().standing().unwrap().generation.unwrap();
    let other = EventId { generation: Generation(Uuid::from_u128(5)), index: Index(1) };
    let future = EventId { generation, index: Index(99) };
    let mut streams = [other, future].map(|heard| client.listen(Some(&heard.to_string())));
    for stream in &mut streams {
        let until = EventId { generation, index: Index(2) };
        assert_eq!(stream.next_told(), Some(Event::Resync { until }));
    }
    // And then hears what comes.
    device.replica().commit(&[create(3)], Durability::Durable).unwrap();
    sync(&mut device, &client);
    for stream in &mut streams {
        assert_eq!(told(stream.next_told()).1, 3);
    }
    assert_eq!(client.listen(Some("no id")).status, 400);
}

#[test]
fn a_silent_stream_shows_that_it_is_alive_and_ends_with_its_token() {
    let server = Server::with(Options { stream_alive_ms: 50, ..Options::default() });
    let client = server.client("anna");
    let mut stream = client.listen(None);
    for _ in 0..3 {
        assert_eq!(stream.next(), Some(Event::Alive));
    }
    let [token] = &server.tokens.list().unwrap()[..] else { panic!("one token") };
    server.tokens.revoke(&token.id).unwrap();
    let begun = Instant::now();
    while stream.next().is_some() {
        assert!(begun.elapsed() < Duration::from_secs(5), "a revoked token goes on listening");
    }
}

#[test]
fn many_streams_hear_of_a_change_at_once() {
    let server = Server::new();
    let client = server.client("anna");
    let mut device = engine();
    sync(&mut device, &client);
    let mut streams: Vec<_> = (0..STREAMS).map(|_| client.listen(None)).collect();
    assert!(streams.iter_mut().all(|stream| stream.next() == Some(Event::Alive)));
    device.replica().commit(&[create(1)], Durability::Durable).unwrap();
    let begun = Instant::now();
    sync(&mut device, &client);
    for stream in &mut streams {
        assert_eq!(told(stream.next_told()).1, 1);
    }
    let took = begun.elapsed();
    println!("a trigger reached {STREAMS} streams in {took:?}");
    // In a debug build on a busy machine.
    assert!(took < Duration::from_secs(5), "{took:?}");
}
