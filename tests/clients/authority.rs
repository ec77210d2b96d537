//! An authority in memory, and engines that ask it.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use foldlog::Uuid;
use foldlog::algebra::{
    Answer, Ask, CollectionName, EntityKey, Generation, Millis, Operation, Schema, State,
};
use foldlog::authority::{MemoryStore, Rules, answer};
use foldlog::journal::Options;
use foldlog::replica::Replica;
use foldlog::sync::{self, Engine, Next, Want};
use foldlog::testing::FaultyStorage;

pub(crate) const NOW: Millis = Millis(1_000_000);

pub(crate) fn key(n: u128) -> EntityKey {
    EntityKey::new(CollectionName::new("notes").unwrap(), Uuid::from_u128(n)).unwrap()
}

pub(crate) fn state(json: &str) -> State {
    State::from_json(json).unwrap()
}

pub(crate) fn create(n: u128) -> Operation {
    Operation::create(key(n), state(&format!(r#"{{"n":{n}}}"#)))
}

pub(crate) fn opened(storage: &FaultyStorage) -> Engine {
    let replica = Replica::of(Options::new().clock(|| NOW.0).on(storage.clone()).unwrap()).unwrap();
    Engine::new(replica, sync::Options { rows_max: 10, ..sync::Options::default() })
}

pub(crate) fn engine() -> Engine {
    opened(&FaultyStorage::new())
}

pub(crate) fn asked(engine: &mut Engine) -> (u64, Ask) {
    match engine.next(NOW).unwrap() {
        Next::Ask(request) => (request.number, request.ask),
        other => panic!("nothing is asked: {other:?}"),
    }
}

pub(crate) struct Authority {
    pub(crate) store: MemoryStore,
    pub(crate) schema: Schema,
}

impl Authority {
    pub(crate) fn new() -> Self {
        Authority::of(Schema::default())
    }

    pub(crate) fn of(schema: Schema) -> Self {
        Authority { store: MemoryStore::new(schema.clone(), Generation(Uuid::from_u128(1))), schema }
    }

    pub(crate) fn answer(&mut self, ask: &Ask) -> Answer {
        let rules = Rules { schema: &self.schema, now: NOW, refuses: &|_| None };
        answer(&mut self.store, &rules, ask).unwrap()
    }

    /// Syncs, and gives how many questions that took.
    pub(crate) fn sync(&mut self, engine: &mut Engine) -> usize {
        self.answer_all(engine, Want::SYNC)
    }

    /// Answers what is asked for this, and gives how many questions that took.
    pub(crate) fn answer_all(&mut self, engine: &mut Engine, want: Want) -> usize {
        engine.online().unwrap();
        engine.want_only(want);
        let mut questions = 0;
        while let Next::Ask(request) = engine.next(NOW).unwrap() {
            let answer = self.answer(&request.ask);
            engine.answer(request.number, answer, NOW, u128::from(NOW.0)).unwrap();
            questions += 1;
        }
        questions
    }
}
