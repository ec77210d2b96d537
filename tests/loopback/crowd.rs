//! Clients of one account that write and sync at once, each on a thread of its own, while the server dies and comes back:
//! what a simulation does one after the other happens at the same time here. The end is a simulation's.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use foldlog::Uuid;
use foldlog::algebra::{Answer, Ask, EntityKey, Limits, Millis, Operation, Patch, Policy, ReplicaId, State};
use foldlog::client::Connection;
use foldlog::journal::{self, Durability};
use foldlog::replica::{Error, Replica, Resolution};
use foldlog::sync::{self, Engine, Next, Want};
use foldlog::testing::simulator::{Acknowledged, Given, Lived, come_to_rest, entity};
use foldlog::testing::values::Values;
use foldlog::testing::{FaultyStorage, Unsynced};

use crate::file::FileHost;
use crate::host::Host;
use crate::network::{Network, connection};
use crate::panics;
use crate::process::ProcessHost;
use crate::schedule::{Random, Weather};
use crate::seeds;

const CLIENTS: u64 = 4;

/// What each of them does.
const TURNS: u64 = 80;

/// How long a client waits when nobody answered.
const NAP: Duration = Duration::from_millis(15);

/// Longer than any of them lives.
const LIFE_MAX: Duration = Duration::from_secs(120);

/// What all of them have to say.
#[derive(Default)]
struct Noted {
    values: Values,
    acknowledged: Acknowledged,
    accepted: u64,
    unanswered: u64,
    crashes: u64,
    resolved: u64,
}

struct Member {
    id: u64,
    given: Given,
    storage: FaultyStorage,
    engine: Engine,
    connection: Connection,
    random: Random,
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

fn opened(storage: &FaultyStorage, given: &Given, id: u64) -> Engine {
    let id = ReplicaId(Uuid::from_u128(0xc40d_0000_0000_4000_8000_0000_0000_0000 + u128::from(id)));
    let options = journal::Options::new().cache_bytes(1 << 20).schema(given.schema()).replica(id);
    let replica = options.on(storage.clone()).map_err(Error::from).and_then(Replica::of).unwrap();
    let limits = Limits { operations: 4, ..Limits::default() };
    Engine::new(replica, sync::Options { limits, rows_max: 3, ..sync::Options::default() })
}

impl Member {
    fn new(id: u64, given: &Given, connection: Connection) -> Self {
        let storage = FaultyStorage::new();
        let engine = opened(&storage, given, id);
        let random = Random(given.seed * CLIENTS + id);
        Member { id, given: given.clone(), storage, engine, connection, random }
    }

    /// What a client's program does, and how it syncs.
    fn live(&mut self, noted: &Mutex<Noted>) {
        let (begun, mut turns) = (Instant::now(), 0);
        while turns < TURNS {
            assert!(begun.elapsed() < LIFE_MAX, "client {} gets no answers any more", self.id);
            turns += 1;
            match self.random.below(20) {
                0 => self.crash(noted),
                1 | 2 => self.resolve(noted),
                3..=11 => self.operate(noted),
                _ => {
                    // Who is not answered tries again.
                    while self.random.below(4) > 0 && !self.sync(Want::SYNC, noted) {
                        thread::sleep(NAP);
                    }
                }
            }
            let found = self.engine.replica().check().unwrap();
            assert!(found.is_empty(), "client {}: {}", self.id, found.join("; "));
        }
    }

    fn operate(&mut self, noted: &Mutex<Noted>) {
        let key = entity(self.random.next());
        let operation = self.operation(&key, noted);
        let replica = self.engine.replica().clone();
        let before = seen(&replica);
        match replica.commit(&[operation], Durability::Durable) {
            Ok(_) => {}
            Err(Error::Taken { .. } | Error::Restricted { .. } | Error::DeadReference { .. }) => return,
            Err(error) => panic!("client {}: {error}", self.id),
        }
        let by = format!("client {}", self.id);
        let noted = &mut noted.lock().unwrap().values;
        for ((key, was), (_, is)) in before.iter().zip(seen(&replica)) {
            noted.note(key, was.as_ref(), is.as_ref(), &by);
        }
    }

    fn operation(&mut self, key: &EntityKey, noted: &Mutex<Noted>) -> Operation {
        let collection = key.collection();
        // What is deleted later than it was changed elsewhere is gone by name, but whose name that is nobody here knows.
        let may_delete = self.given.schema().policy(collection) != Policy::Newest;
        let what = self.random.below(10);
        if may_delete && what < 2 {
            return Operation::delete(key.clone());
        }
        let mut fields = serde_json::Map::new();
        for field in ["a", "b", "c"] {
            if self.random.below(3) > 0 {
                fields.insert(field.to_owned(), noted.lock().unwrap().values.fresh().into());
            }
        }
        let folder = entity(self.random.below(3)).id().to_string();
        match collection.as_str() {
            "notes" => {
                fields.insert("in".to_owned(), folder.into());
                fields.insert("title".to_owned(), format!("title {}", self.random.below(4)).into());
            }
            "tags" if self.random.below(2) == 0 => {
                fields.insert("on".to_owned(), entity(3 + self.random.below(4)).id().to_string().into());
            }
            _ => {}
        }
        let json = serde_json::Value::Object(fields).to_string();
        match what < 5 {
            true => Operation::create(key.clone(), State::from_json(&json).unwrap()),
            false => Operation::patch(key.clone(), Patch::from_json(&json).unwrap()),
        }
    }

    fn resolve(&mut self, noted: &Mutex<Noted>) {
        let replica = self.engine.replica();
        let Some(conflict) = replica.conflicts().unwrap().into_iter().next() else { return };
        let how = if self.random.below(2) == 0 { Resolution::Local } else { Resolution::Remote };
        match replica.resolve(&conflict.key, &how) {
            Ok(()) => noted.lock().unwrap().resolved += 1,
            Err(Error::Taken { .. } | Error::Restricted { .. } | Error::DeadReference { .. }) => {}
            Err(error) => panic!("client {}: {error}", self.id),
        }
    }

    /// The client's process dies.
    fn crash(&mut self, noted: &Mutex<Noted>) {
        self.storage = self.storage.after_crash(Unsynced::Sampled { seed: self.random.next() });
        self.engine = opened(&self.storage, &self.given, self.id);
        noted.lock().unwrap().crashes += 1;
    }

    /// Syncs until nothing is left, or nobody answers; whether nothing is left.
    fn sync(&mut self, want: Want, noted: &Mutex<Noted>) -> bool {
        self.engine.online().unwrap();
        self.engine.want_only(want);
        while let Next::Ask(request) = self.engine.next(Millis(now())).unwrap() {
            let answer = self.connection.ask(&request.ask).unwrap();
            if let (Ask::Deliver { bunch, .. }, Answer::Delivered(outcomes)) = (&request.ask, &answer) {
                let mut noted = noted.lock().unwrap();
                noted.accepted += noted.acknowledged.note(bunch, outcomes);
            }
            let is_answered = !matches!(answer, Answer::Offline | Answer::Busy { .. });
            let random = Uuid::new_v4().as_u128();
            self.engine.answer(request.number, answer, Millis(now()), random).unwrap();
            if !is_answered {
                noted.lock().unwrap().unanswered += 1;
                return false;
            }
        }
        true
    }
}

fn seen(replica: &Replica) -> Vec<(EntityKey, Option<State>)> {
    (0..9).map(entity).map(|key| (key.clone(), replica.get(&key).unwrap())).collect()
}

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
    for seed in seeds(3).map(|seed| seed + 40_000) {
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
    for seed in seeds(2).map(|seed| seed + 50_000) {
        let given = given(seed);
        let host: Arc<dyn Host> = Arc::new(PostgresHost::new(postgres, given.schema()));
        crowd(seed, host, &given, Weather::BAD, Some(300));
    }
}
