//! The client on a runtime.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use foldlog::Journal;
use foldlog::algebra::Schema;
use foldlog::client::{AsyncConnection, AsyncDriver, Credentials, Event, Phase, Status};
use foldlog::journal;
use foldlog::replica::Replica;
use foldlog::sync;

use super::devices::*;
use super::server::{Fault, Server};

fn is_streaming(status: &Status) -> bool {
    is_idle(status) && status.is_streaming
}

async fn soon(what: &str, is: impl Fn() -> bool) -> Duration {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < SOON, "it never happened: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    begun.elapsed()
}

#[test]
fn it_keeps_two_devices_in_step_over_streams_that_are_cut_and_fall_silent() {
    let server = Server::new();
    runtime().block_on(async {
        let mut drivers = [0, 1].map(|_| async_driver(&server, options().stream_silence_ms_max(600)));
        server.alive_every(60);
        let replicas = [0, 1].map(|n: usize| drivers[n].replica().clone());
        let handles = [0, 1].map(|n: usize| drivers[n].handle());
        let running = drivers.each_mut().map(AsyncDriver::run);
        let [one, other] = running;
        let days = async {
            for handle in &handles {
                handle.until(is_streaming).await;
            }
            let changes = server.asked("/v1/changes");
            // Longer than between two bunches, so that it is the way that is measured.
            tokio::time::sleep(Duration::from_millis(1_050)).await;
            commit(&replicas[0], &[create(1)]);
            let took = soon("it arrives", || replicas[1].get(&key(1)).unwrap().is_some()).await;
            println!("from device to device: {took:?}");
            assert!(took < Duration::from_millis(700), "{took:?}");
            assert_eq!(server.asked("/v1/changes"), changes, "nobody polled");
            server.cut_streams();
            handles[1].until(|status| !status.is_streaming).await;
            commit(&replicas[0], &[create(2)]);
            soon("it arrives", || replicas[1].get(&key(2)).unwrap().is_some()).await;
            server.mute_streams(true);
            handles[1].until(|status| !status.is_streaming).await;
            server.mute_streams(false);
            commit(&replicas[0], &[create(3)]);
            soon("it arrives", || replicas[1].get(&key(3)).unwrap().is_some()).await;
            handles.iter().for_each(foldlog::client::Handle::stop);
        };
        let (one, other, ()) = tokio::join!(one, other, days);
        one.and(other).unwrap();
        assert!(handles.iter().all(|handle| handle.status().phase == Phase::Stopped));
    });
}

#[test]
fn dropped_at_any_await_it_leaves_the_replica_right() {
    let server = Server::new();
    let runtime = runtime();
    let mut driver = async_driver(&server, options());
    let mut writer = super::devices::driver(&server, options());
    for n in 1..=40 {
        commit(driver.replica(), &[create(n)]);
        commit(writer.replica(), &[create(n + 100)]);
        if n % 5 == 0 {
            writer.sync().unwrap();
        }
        // Polled so many times, and then nobody awaits it any more.
        let polls = n % 20;
        runtime.block_on(async {
            let mut left = polls;
            // One that is idle is not polled any more.
            let long = Duration::from_millis(40);
            drop(if n % 2 == 0 {
                tokio::time::timeout(long, give_up(&mut left, driver.run())).await
            } else {
                tokio::time::timeout(long, give_up(&mut left, driver.sync())).await
            });
        });
    }
    server.cut_streams();
    writer.sync().unwrap();
    let synced = runtime.block_on(driver.compare()).unwrap();
    assert_eq!(synced.is_same(), Some(true));
    assert_eq!((server.count(), driver.replica().check().unwrap().len()), (80, 0));
}

/// Polls a future so many times, whenever it wants to be polled, and drops it.
async fn give_up(left: &mut u128, future: impl Future) {
    let mut future = pin!(future);
    std::future::poll_fn(|context| {
        let Some(less) = left.checked_sub(1) else { return Poll::Ready(()) };
        *left = less;
        match future.as_mut().poll(context) {
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending if *left == 0 => Poll::Ready(()),
            Poll::Pending => Poll::Pending,
        }
    })
    .await;
}

#[test]
fn it_stops_and_lets_go_of_the_file_at_once_while_the_server_hangs() {
    let server = Server::new();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.replica");
    let replica = Replica::create(&path, journal::Options::new().schema(Schema::default())).unwrap();
    commit(&replica, &[create(1)]);
    server.fails(|path| if path == "/v1/bunches" { Fault::Hang } else { Fault::None });
    let connection = async_connection(&server, options());
    let mut driver = AsyncDriver::new(replica.clone(), sync::Options::default(), connection);
    let handle = driver.handle();
    let running = thread::spawn(move || runtime().block_on(driver.run()));
    until("it hangs", || server.asked("/v1/bunches") == 1);
    let begun = Instant::now();
    handle.suspend();
    assert!(handle.wait(SOON, |status| status.phase == Phase::Suspended));
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
    drop(Journal::open(&path).unwrap());
    handle.resume();
    until("it hangs again", || server.asked("/v1/bunches") == 2);
    let begun = Instant::now();
    handle.stop();
    running.join().unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
    assert_eq!(handle.status().phase, Phase::Stopped);
}

#[test]
fn a_token_that_is_refused_is_renewed_or_waited_for() {
    let server = Server::new();
    server.wants_token("new");
    let credentials = Credentials::token("old").unwrap().renewed_by(|| Some("new".to_owned()));
    let connection = AsyncConnection::new(server.url.parse().unwrap(), credentials, options()).unwrap();
    let mut driver = AsyncDriver::new(replica(), sync::Options::default(), connection);
    commit(driver.replica(), &[create(1)]);
    let handle = driver.handle();
    runtime().block_on(async {
        let day = async {
            handle.until(is_streaming).await;
            assert_eq!(server.count(), 1);
            server.wants_token("newest");
            handle.sync_now();
            handle.until(|status| status.phase == Phase::Unauthorised).await;
            handle.set_token("newest").unwrap();
            handle.until(is_idle).await;
            handle.stop();
        };
        let (ran, ()) = tokio::join!(driver.run(), day);
        ran.unwrap();
    });
}

#[test]
fn nobody_who_waits_for_a_future_is_forgotten() {
    // An event that comes between two looks wakes whoever awaits it.
    let server = Server::new();
    let mut driver = async_driver(&server, options().without_stream());
    let events = driver.handle().events();
    assert!(matches!(pin!(events.next()).poll(&mut Context::from_waker(Waker::noop())), Poll::Pending));
    runtime().block_on(async {
        let handle = driver.handle();
        let heard = async {
            let mut count = 0;
            while let Some(event) = events.next().await {
                count += 1;
                if matches!(event, Event::Phase(Phase::Idle)) {
                    break;
                }
            }
            handle.stop();
            count
        };
        let (ran, count) = tokio::join!(driver.run(), heard);
        ran.unwrap();
        assert!(count >= 2);
    });
}
