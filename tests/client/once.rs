//! One sync at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use foldlog::Uuid;
use foldlog::algebra::{Answer, Ask, Operation};
use foldlog::client::{Address, Connection, Credentials, Driver, Error};
use foldlog::sync::{self, Want};

use super::devices::*;
use super::server::{Fault, Server};

/// Numbers that look random and are the same each time.
struct Drawn(u64);

impl Drawn {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }
}

#[test]
fn two_devices_end_up_equal_whatever_the_network_does_to_their_messages() {
    let runtime = runtime();
    let (mut failures, mut syncs) = (0, 0);
    for seed in 1..=8 {
        let server = Server::new();
        let clock = Clock::default();
        let options = || clock.of(options()).random(|| Uuid::new_v4().as_u128());
        // One of each kind, which share what decides and not what carries.
        let mut one = driver(&server, options());
        let mut other = async_driver(&server, options());
        let mut drawn = Drawn(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let mut faults = Drawn(0x51_7cc1_b727_220a_u64.wrapping_mul(seed));
        server.fails(move |_| match faults.below(10) {
            0 => Fault::CutBefore,
            1 | 2 => Fault::CutAfter,
            3 => Fault::Twice,
            4 => Fault::Delay(Duration::from_millis(3)),
            5 => Fault::Raw(b"HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n".to_vec()),
            _ => Fault::None,
        });
        for step in 0..24 {
            let device = if drawn.below(2) == 0 { one.replica() } else { other.replica() };
            let n = 1 + u128::from(drawn.below(5));
            let operation = match drawn.below(4) {
                0 => create(n),
                1 => Operation::delete(key(n)),
                _ => patch(n, &format!(r#"{{"f{}":"{seed}.{step}"}}"#, drawn.below(3))),
            };
            commit(device, &[operation]);
            let synced = match drawn.below(4) {
                0 => one.sync(),
                1 => runtime.block_on(other.sync()),
                _ => continue,
            };
            syncs += 1;
            match synced {
                Ok(_) => {}
                Err(Error::Offline { .. } | Error::Busy { .. }) => failures += 1,
                Err(error) => panic!("seed {seed}: {error}"),
            }
            clock.pass(1_500);
        }
        server.works();
        clock.pass(3_600_000);
        one.sync().unwrap();
        runtime.block_on(other.sync()).unwrap();
        let same = [one.compare().unwrap().is_same(), runtime.block_on(other.compare()).unwrap().is_same()];
        assert_eq!(same, [Some(true); 2], "seed {seed}");
        assert_eq!(live(one.replica()), live(other.replica()), "seed {seed}");
        for replica in [one.replica(), other.replica()] {
            assert_eq!(replica.check().unwrap(), [""; 0]);
            assert_eq!(replica.journal().plan().unwrap().operations.len(), 0, "nothing is left to send");
        }
    }
    assert!(failures * 5 > syncs && failures < syncs, "{failures} of {syncs} failed: the faults are at work");
}

#[test]
fn a_sync_tells_what_it_comes_to_and_goes_packed_both_ways() {
    let server = Server::new();
    let mut one = Driver::new(
        replica(),
        sync::Options { rows_max: 100, ..sync::Options::default() },
        connection(&server, options()),
    );
    commit(one.replica(), &(1..=450).map(create).collect::<Vec<_>>());
    let mut told = Vec::new();
    let synced =
        one.sync_with(Want { compare: true, ..Want::SYNC }, |so_far| told.push(so_far.clone())).unwrap();
    assert_eq!((synced.operations_sent, synced.accepted, synced.bunches), (450, 450, told[1].bunches));
    assert_eq!(synced.is_same(), Some(true));
    assert_eq!(told.len() as u64, synced.questions);
    assert!(told.is_sorted_by_key(|so_far| (so_far.questions, so_far.bytes_sent, so_far.bytes_received)));
    let mut other = driver(&server, options());
    let fetched = other.sync().unwrap();
    assert_eq!((fetched.rows_taken, fetched.operations_sent, fetched.is_same()), (450, 0, None));
    let as_text = 450 * create(1).key.to_string().len() as u64;
    assert!(synced.bytes_sent < as_text && fetched.bytes_received < as_text, "{synced:?} {fetched:?}");
    let seen = server.seen();
    assert!(seen.iter().any(|seen| seen.is_packed) && seen.iter().any(|seen| !seen.is_packed));
    // Nothing more to say.
    let again = other.sync().unwrap();
    assert_eq!((again.rows_taken, again.triggers_heard), (0, 0));
}

#[test]
fn a_refused_token_is_renewed_once_and_what_was_asked_is_asked_again() {
    let server = Server::new();
    server.wants_token("new");
    let renewals = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&renewals);
    let credentials = Credentials::token("old").unwrap().renewed_by(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        Some("new".to_owned())
    });
    let connection = Connection::new(server.url.parse().unwrap(), credentials, options()).unwrap();
    let mut driver = Driver::new(replica(), sync::Options::default(), connection);
    commit(driver.replica(), &[create(1)]);
    driver.sync().unwrap();
    assert_eq!((renewals.load(Ordering::Relaxed), server.count()), (1, 1));
    let tokens: Vec<_> = server.seen().into_iter().map(|seen| seen.token.unwrap()).collect();
    assert_eq!(tokens[..2], ["old", "new"]);
    assert!(tokens[1..].iter().all(|token| token == "new"));
    // What it gives is refused as well: then it is not asked for ever.
    server.wants_token("newer");
    assert!(matches!(driver.sync(), Err(Error::Unauthorised)));
    assert_eq!(renewals.load(Ordering::Relaxed), 2);
}

#[test]
fn without_a_token_that_counts_nothing_is_lost_and_a_new_one_goes_on() {
    let server = Server::new();
    server.wants_token("right");
    let credentials = Credentials::token("wrong").unwrap();
    let connection = Connection::new(server.url.parse().unwrap(), credentials.clone(), options()).unwrap();
    let mut driver = Driver::new(replica(), sync::Options::default(), connection);
    commit(driver.replica(), &[create(1)]);
    let before = observed(driver.replica());
    assert!(matches!(driver.sync(), Err(Error::Unauthorised)));
    assert_eq!((observed(driver.replica()), server.count()), (before, 0));
    credentials.set_token("right").unwrap();
    assert_eq!(driver.sync().unwrap().accepted, 1);
}

#[test]
fn who_is_asked_to_come_later_comes_later() {
    let server = Server::new();
    let clock = Clock::default();
    let mut driver = driver(&server, clock.of(options()));
    commit(driver.replica(), &[create(1)]);
    server.fails(|_| Fault::Raw(b"HTTP/1.1 429 X\r\nretry-after: 900\r\ncontent-length: 0\r\n\r\n".to_vec()));
    assert!(matches!(driver.sync(), Err(Error::Busy { .. })));
    server.works();
    let asked = server.seen().len();
    for _ in 0..3 {
        clock.pass(299_000);
        assert!(
            matches!(driver.sync(), Err(Error::Busy { .. })),
            "however often somebody presses the button"
        );
    }
    assert_eq!(server.seen().len(), asked);
    clock.pass(4_000);
    assert_eq!(driver.sync().unwrap().accepted, 1);
}

#[test]
fn silence_is_an_answer_and_what_failed_is_tried_when_asked_to() {
    let gone = Server::new().url.clone();
    std::thread::sleep(Duration::from_millis(20));
    let connection = Connection::new(gone.parse().unwrap(), Credentials::none(), options()).unwrap();
    let ask = Ask::LiveSets { generation: None };
    // The listener may take a moment to be gone.
    until("nobody listens", || matches!(connection.ask(&ask), Ok(Answer::Offline)));
    let mut driver = Driver::new(replica(), sync::Options::default(), connection);
    for failures in 1..=2 {
        let error = driver.sync().unwrap_err();
        assert!(matches!(&error, Error::Offline { why } if !why.is_empty()), "{error}");
        assert_eq!(driver.replica().standing().unwrap().failures, failures);
    }
}

#[cfg(any(feature = "tls-webpki", feature = "tls-platform"))]
#[test]
fn https_is_spoken() {
    // Nobody there, but the way there is ready.
    let address: Address = "https://127.0.0.1:9".parse().unwrap();
    let connection = Connection::new(address.clone(), Credentials::none(), options()).unwrap();
    let ask = Ask::LiveSets { generation: None };
    assert_eq!(connection.ask(&ask).unwrap(), Answer::Offline);
    let connection = foldlog::client::AsyncConnection::new(address, Credentials::none(), options()).unwrap();
    assert_eq!(runtime().block_on(connection.ask(&ask)).unwrap(), Answer::Offline);
}
