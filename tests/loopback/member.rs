//! A client of a crowd: what its program does and how it syncs, while others do the same.

use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use foldlog::Uuid;
use foldlog::algebra::{Answer, Ask, EntityKey, Limits, Millis, Operation, Patch, Policy, ReplicaId, State};
use foldlog::client::Connection;
use foldlog::journal::{self, Durability};
use foldlog::replica::{Error, Replica, Resolution};
use foldlog::sync::{self, Engine, Next, Want};
use foldlog::testing::simulator::{Acknowledged, Given, entity};
use foldlog::testing::values::Values;
use foldlog::testing::{FaultyStorage, Unsynced};

use crate::actions;
use crate::schedule::Random;

/// How long a client waits when nobody answered.
const NAP: Duration = Duration::from_millis(15);

/// Longer than any of them lives.
const LIFE_MAX: Duration = Duration::from_secs(120);

/// What all of them have to say.
#[derive(Default)]
pub(crate) struct Noted {
    pub(crate) values: Values,
    pub(crate) acknowledged: Acknowledged,
    pub(crate) accepted: u64,
    pub(crate) unanswered: u64,
    pub(crate) crashes: u64,
    pub(crate) resolved: u64,
}

pub(crate) struct Member {
    id: u64,
    given: Given,
    storage: FaultyStorage,
    pub(crate) engine: Engine,
    connection: Connection,
    random: Random,
}

pub(crate) fn now() -> u64 {
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
    pub(crate) fn new(id: u64, given: &Given, connection: Connection) -> Self {
        let storage = FaultyStorage::new();
        let engine = opened(&storage, given, id);
        let random = Random(given.seed.wrapping_mul(1_000) + id);
        Member { id, given: given.clone(), storage, engine, connection, random }
    }

    /// What a client's program does, and how it syncs.
    pub(crate) fn live(&mut self, noted: &Mutex<Noted>) {
        let (begun, mut turns) = (Instant::now(), 0);
        while turns < actions() / 3 {
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
    pub(crate) fn sync(&mut self, want: Want, noted: &Mutex<Noted>) -> bool {
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
