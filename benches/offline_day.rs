//! A day without a network, until another device has all of it: folded, and the same operations one by one.
//!
//! Both go through real files, a real authority and HTTP on loopback, on the same machine, in turn. Folded is what a
//! replica does: the pass, down, up, settle. One by one is an outbox that folds nothing and whose own storage costs
//! nothing (it is in memory): each operation is a request of its own, in its order. Both end when the other device has
//! fetched everything, and both devices hold what the authority holds.
//!
//! `cargo bench --features cli --bench offline_day [-- OPERATIONS ENTITIES ROUNDS]`

use std::sync::Arc;
use std::time::{Duration, Instant};

use foldlog::algebra::{Answer, Ask, Limits, Millis, Operation, Schema};
use foldlog::authority::{Account, FileAuthority};
use foldlog::client::{Connection, Credentials, Driver, Options};
use foldlog::journal::{self, Durability, Journal};
use foldlog::replica::Replica;
use foldlog::server::{self, Running, TokenFile};
use foldlog::sync;
use foldlog::workload::Workload;

fn main() {
    let mut numbers = std::env::args().filter_map(|text| text.parse().ok());
    let operations: u64 = numbers.next().unwrap_or(10_000);
    let entities: u64 = numbers.next().unwrap_or(300);
    let rounds: u64 = numbers.next().unwrap_or(3);
    let mut totals = [Duration::ZERO; 2];
    for round in 1..=rounds {
        let workload = Workload { seed: round, operations, entities, ..Workload::default() };
        let day: Vec<Operation> = workload.iter().expect("a workload").collect();
        let place = Place::new();
        let [folded, unfolded] = [place.folded(&day), place.one_by_one(&day)];
        totals = [totals[0] + folded.took, totals[1] + unfolded.took];
        println!("round {round}, {operations} operations on {entities} entities");
        for (name, sent) in [("folded", &folded), ("one by one", &unfolded)] {
            println!(
                "  {name:<10} {:>6} requests {:>9} bytes {:>9.1?}",
                sent.requests, sent.bytes, sent.took
            );
        }
    }
    println!("sooner by {:.1} times", totals[1].as_secs_f64() / totals[0].as_secs_f64());
}

struct Sent {
    requests: u64,
    bytes: u64,
    took: Duration,
}

/// An authority that is served, and a folder for everything.
struct Place {
    running: Running,
    tokens: Arc<TokenFile>,
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = FileAuthority::create(folder.path().join("authority.redb"), Schema::default());
        let tokens = Arc::new(TokenFile::new(folder.path().join("tokens")));
        let authority = Arc::new(authority.expect("an authority"));
        let running =
            server::serve("127.0.0.1:0", authority, tokens.clone(), server::Options::default(), None);
        Place { running: running.expect("a server"), tokens, folder }
    }

    fn connection(&self, account: &str) -> Connection {
        let account = Account::new(account).expect("an account");
        let token = self.tokens.issue(&account, Millis(0), None).expect("a token").bearer;
        let address = format!("http://{}", self.running.address()).parse().expect("an address");
        let credentials = Credentials::token(&token).expect("a token");
        Connection::new(address, credentials, Options::new()).expect("a connection")
    }

    fn device(&self, name: &str, account: &str) -> Driver {
        let path = self.folder.path().join(format!("{account}-{name}.replica"));
        let replica = Replica::create(path, journal::Options::new()).expect("a replica");
        Driver::new(replica, sync::Options::default(), self.connection(account))
    }

    fn folded(&self, day: &[Operation]) -> Sent {
        let (mut here, mut there) = (self.device("here", "folded"), self.device("there", "folded"));
        there.sync().expect("a first sync");
        // The day itself: what is journalled when it happens is not waited for when the network is back.
        for part in day.chunks(10) {
            here.replica().commit(part, Durability::Durable).expect("a transaction");
        }
        let began = Instant::now();
        let synced = here.sync().expect("a sync");
        there.sync().expect("a sync");
        let took = began.elapsed();
        require_same(&mut here);
        require_same(&mut there);
        Sent { requests: synced.bunches, bytes: synced.bytes_sent, took }
    }

    fn one_by_one(&self, day: &[Operation]) -> Sent {
        let mut there = self.device("there", "one-by-one");
        let connection = self.connection("one-by-one");
        there.sync().expect("a first sync");
        // Only gives operations their form: nothing of it is on a disk.
        let outbox = Journal::in_memory().expect("a journal");
        let (mut bytes, mut took) = (0, Duration::ZERO);
        for operation in day {
            outbox.append(std::slice::from_ref(operation), Durability::Deferred).expect("an operation");
            // What makes nothing of what is there is nothing to a journal, and not sent by either.
            let Some(bunch) = outbox.seal(Limits::default()).expect("a bunch") else { continue };
            let ask = Ask::Deliver { replica: outbox.replica(), bunch, generation: None };
            bytes += foldlog::codec::wire::Request::of(&ask).text.len() as u64;
            let began = Instant::now();
            let answer = connection.ask(&ask).expect("an answer");
            took += began.elapsed();
            let Answer::Delivered(outcomes) = answer else { panic!("{answer:?}") };
            outbox.settle(&outcomes).expect("outcomes");
        }
        let began = Instant::now();
        there.sync().expect("a sync");
        took += began.elapsed();
        require_same(&mut there);
        Sent { requests: day.len() as u64, bytes, took }
    }
}

fn require_same(device: &mut Driver) {
    assert_eq!(device.compare().expect("a comparison").is_same(), Some(true));
}
