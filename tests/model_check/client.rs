//! A client as an automaton: a real replica with its engine, and what each input makes of it.
//!
//! An engine cannot be copied in the middle of a conversation. So what one more input does to a client is seen by
//! starting its program on the file that it had when it last waited for nothing, and by playing again what happened
//! since. Two clients are one where nothing tells them apart:
//!
//! | what is told apart | why |
//! |---|---|
//! | every key and value of the file, as it is | all that a replica knows is in it |
//! | the same of what a crash would leave | what is not durable can be lost |
//! | the bunch that it waits to be answered | all that an engine keeps to itself, as each one here is told what it wants |
//! | the operations it carried out, the values that they wrote and replaced | by them is judged what is lost |

use std::collections::BTreeSet;
use std::sync::Arc;

use foldlog::Uuid;
use foldlog::algebra::{
    Answer, Ask, CollectionName, EntityKey, Millis, Operation, Patch, ReplicaId, Schema, State,
};
use foldlog::journal::{Durability, Options};
use foldlog::replica::{Lost, Replica, Side, Status};
use foldlog::sync::{self, Engine, Next, Want};
use foldlog::testing::values::{Token, VALUE, Values, kept};
use foldlog::testing::{FaultyStorage, Unsynced};
use redb::ReadableDatabase;

use super::table::{Memo, Table, digest};

/// One time for all: under these policies no clock decides anything.
pub(crate) const NOW: Millis = Millis(1_700_000_000_000);

/// What a program does to the entity. Every operation writes values of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum What {
    Create,
    UpdateA,
    UpdateB,
    Delete,
}

impl What {
    pub(crate) const ALL: [What; 4] = [What::Create, What::UpdateA, What::UpdateB, What::Delete];

    fn operation(self, by: &str) -> Operation {
        let value = |field: &str| format!("\"{field}\":\"{VALUE}{by}.{field}\"");
        match self {
            What::Create => {
                let state = format!("{{{},{}}}", value("a"), value("b"));
                Operation::create(entity(), State::from_json(&state).unwrap())
            }
            What::UpdateA => {
                Operation::patch(entity(), Patch::from_json(&format!("{{{}}}", value("a"))).unwrap())
            }
            What::UpdateB => {
                Operation::patch(entity(), Patch::from_json(&format!("{{{}}}", value("b"))).unwrap())
            }
            What::Delete => Operation::delete(entity()),
        }
    }
}

/// What happens to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Input {
    Operate(What),
    /// As [`Input::Operate`], before the model begins.
    Prepare(What),
    /// It asks what changed elsewhere, and the answer with this number comes.
    Pull(u32),
    /// It seals what is pending, unless a bunch is open, and sends that.
    Push,
    /// The answer with this number comes.
    Take(u32),
    /// No answer came.
    GiveUp,
    /// All that is not durable is gone.
    Crash,
}

/// A client at some moment, as far as it matters to others.
#[derive(Clone)]
pub(crate) struct Client {
    origin: Origin,
    pub(crate) which: usize,
    /// The bunch that it waits to be answered.
    pub(crate) asked: Option<u32>,
    /// Its question for what changed elsewhere; none before an open bunch is answered.
    pub(crate) pull: Option<u32>,
    pub(crate) done: Vec<What>,
    pub(crate) seen: Option<State>,
    pub(crate) status: Status,
    /// The number of the open bunch.
    pub(crate) open: Option<u64>,
    /// Whether anything waits to be sent, or for somebody's decision.
    pub(crate) is_unsent: bool,
    pub(crate) losers: Vec<Lost>,
    /// The values that it shows or keeps.
    pub(crate) kept: BTreeSet<Token>,
    pub(crate) values: Values,
    deletion: Deletion,
    /// What is not as it must be.
    pub(crate) wrong: Vec<String>,
}

/// Whether a client's last operation deleted what was not its own.
#[derive(Clone, Copy, Debug, Default)]
struct Deletion {
    is_last: bool,
    /// When nothing of it was unsent the last time, the entity was live.
    of_live: bool,
}

/// From where a client is played.
#[derive(Clone)]
enum Origin {
    /// Between two conversations: its file, on which its program is started.
    File(FaultyStorage),
    /// In the middle of one: what happened to which client.
    After(u32, Input),
}

/// All clients that came up.
pub(crate) struct Clients {
    schema: Schema,
    pub(crate) all: Table<Client>,
    steps: Memo<(u32, Input), u32>,
    pub(crate) asks: Table<Ask>,
    pub(crate) answers: Table<Answer>,
}

pub(crate) fn entity() -> EntityKey {
    EntityKey::new(CollectionName::new("notes").unwrap(), Uuid::from_u128(1 << 100 | 7)).unwrap()
}

pub(crate) fn replica_id(which: usize) -> ReplicaId {
    ReplicaId(Uuid::from_u128(1 << 100 | (which as u128 + 1)))
}

/// Which operation of which client.
pub(crate) fn name(which: usize, number: usize) -> String {
    format!("{which}.{number}")
}

impl Clients {
    pub(crate) fn new(schema: Schema) -> Self {
        Clients { schema, all: Table::new(), steps: Memo::new(), asks: Table::new(), answers: Table::new() }
    }

    pub(crate) fn get(&self, client: u32) -> Arc<Client> {
        self.all.get(client)
    }

    /// A client whose file is new.
    pub(crate) fn first(&self, which: usize) -> u32 {
        self.put(Played::open(&self.schema, which, FaultyStorage::new()), None)
    }

    /// What an input makes of a client.
    pub(crate) fn after(&self, client: u32, input: Input) -> u32 {
        self.steps.get((client, input), |_| {
            let mut played = self.played(client);
            played.play(input, &self.answers);
            played.look();
            self.put(played, Some((client, input)))
        })
    }

    /// The client itself, played from its last pause.
    fn played(&self, client: u32) -> Played {
        let client = self.get(client);
        match &client.origin {
            Origin::File(storage) => {
                let client = (*client).clone();
                let Client { which, done, values, deletion, wrong, .. } = client;
                let opened = Played::open(&self.schema, which, storage.snapshot());
                Played { done, values, deletion, wrong, ..opened }
            }
            Origin::After(before, input) => {
                let mut played = self.played(*before);
                played.play(*input, &self.answers);
                played
            }
        }
    }

    fn put(&self, mut played: Played, after: Option<(u32, Input)>) -> u32 {
        let origin = match after.filter(|_| played.asked.is_some()) {
            Some((before, input)) => Origin::After(before, input),
            None => Origin::File(played.storage.snapshot()),
        };
        let replica = played.engine.replica();
        let asked = played.asked.as_ref().map(|(_, ask)| self.asks.put(digest(ask), ask.clone()));
        let journal = replica.journal();
        let status = journal.status().unwrap();
        let open = journal.open_bunch().unwrap().map(|bunch| bunch.number.0);
        let is_unsent =
            status.pending.entities > 0 || open.is_some() || !replica.undecided().unwrap().is_empty();
        let mut client = Client {
            origin,
            which: played.which,
            asked,
            pull: None,
            done: played.done.clone(),
            seen: replica.get(&entity()).unwrap(),
            status: replica.entity(&entity()).unwrap().status,
            open,
            is_unsent,
            losers: replica.losers().unwrap(),
            kept: kept(replica, [&entity()]).unwrap(),
            values: played.values.clone(),
            deletion: played.deletion,
            wrong: played.wrong.clone(),
        };
        // Almost always all is durable: then a crash leaves the same.
        let crashed =
            Some(played.storage.after_crash(Unsynced::Lost)).filter(|_| played.storage.unsynced() > 0);
        let crashed = crashed.map(|crashed| content(&crashed.bytes()));
        let told_apart = (
            (content(&played.storage.bytes()), crashed, asked, played.which),
            (&played.done, &played.values, played.deletion, &played.wrong),
        );
        let digest_now = digest(&told_apart);
        if asked.is_none() && open.is_none() {
            played.ask(Want::DOWN);
            client.pull = played.asked.map(|(_, ask)| self.asks.put(digest(&ask), ask));
        }
        self.all.put(digest_now, client)
    }
}

impl Client {
    /// Whether its last operation deleted what the authority held, as far as it knew.
    pub(crate) fn has_deleted(&self) -> bool {
        !self.done.is_empty() && self.deletion.is_last && self.deletion.of_live
    }

    /// Whether what replaced a value stands: the operation of this client's that did, or a later one that wrote to the
    /// same field, or deleted.
    pub(crate) fn stands(&self, token: &Token, by: &str) -> bool {
        let first = (0..self.done.len()).find(|number| name(self.which, *number) == by);
        // What was done before the model began was accepted then.
        let Some(first) = first else { return true };
        (first..self.done.len()).any(|number| self.stands_by(&token.1, number))
    }

    /// Whether an operation wrote to a field, or deleted, and did not lose by the policy.
    fn stands_by(&self, field: &str, number: usize) -> bool {
        let mut lost = self.losers.iter().filter(|lost| lost.side == Side::Local);
        match self.done[number] {
            // Records of deletes do not say which: of two at least one was not there before the other had lost.
            What::Delete => {
                let is_only = self.done.iter().filter(|what| **what == What::Delete).count() == 1;
                !(is_only && lost.any(|lost| lost.was_delete))
            }
            What::Create | What::UpdateA | What::UpdateB => {
                let own = format!("{VALUE}{}.{field}", name(self.which, number));
                let wrote = self.values.written().any(|(_, of, text)| of == field && *text == own);
                let own = format!("\"{own}\"");
                wrote && !lost.any(|lost| lost.fields.raw(field) == Some(own.as_str()))
            }
        }
    }
}

/// A client that runs.
struct Played {
    schema: Schema,
    which: usize,
    storage: FaultyStorage,
    engine: Engine,
    asked: Option<(u64, Ask)>,
    done: Vec<What>,
    values: Values,
    deletion: Deletion,
    wrong: Vec<String>,
}

impl Played {
    fn open(schema: &Schema, which: usize, storage: FaultyStorage) -> Self {
        let engine = engine(schema, which, &storage);
        let (done, values, wrong) = (Vec::new(), Values::default(), Vec::new());
        Played {
            schema: schema.clone(),
            which,
            storage,
            engine,
            asked: None,
            done,
            values,
            deletion: Deletion::default(),
            wrong,
        }
    }

    fn play(&mut self, input: Input, answers: &Table<Answer>) {
        match input {
            Input::Operate(what) => {
                let by = name(self.which, self.done.len());
                self.done.push(what);
                self.operate(what, &by);
            }
            Input::Prepare(what) => self.operate(what, "start"),
            Input::Pull(answer) => {
                self.ask(Want::DOWN);
                self.take((*answers.get(answer)).clone());
            }
            Input::Push => self.ask(Want::UP),
            Input::Take(answer) => self.take((*answers.get(answer)).clone()),
            Input::GiveUp => self.take(Answer::Offline),
            Input::Crash => {
                let before = self.engine.replica().entity(&entity()).unwrap();
                self.storage = self.storage.after_crash(Unsynced::Lost);
                self.engine = engine(&self.schema, self.which, &self.storage);
                self.asked = None;
                let after = self.engine.replica().entity(&entity()).unwrap();
                if before != after {
                    self.wrong.push(format!("{before:?} became {after:?} by a crash"));
                }
            }
        }
    }

    fn ask(&mut self, want: Want) {
        self.engine.online().unwrap();
        self.engine.want_only(want);
        self.asked = match self.engine.next(NOW).unwrap() {
            Next::Ask(request) => Some((request.number, request.ask)),
            Next::Wait(_) | Next::Unauthorised => None,
        };
    }

    fn operate(&mut self, what: What, by: &str) {
        let replica = self.engine.replica();
        let before = replica.entity(&entity()).unwrap();
        let live = before.version.existence.live();
        if before.status == Status::Synchronised {
            self.deletion.of_live = live.is_some();
        }
        self.deletion.is_last = what == What::Delete && live.is_some();
        // Who writes over a tombstone saw what it remembers.
        let seen = match what {
            What::Create | What::UpdateA | What::UpdateB => before.version.existence.state(),
            What::Delete => live,
        };
        replica.commit(&[what.operation(by)], Durability::Durable).unwrap();
        let after = replica.get(&entity()).unwrap();
        self.values.note(&entity(), seen, after.as_ref(), by);
    }

    fn take(&mut self, answer: Answer) {
        let Some((number, ask)) = self.asked.take() else { return };
        let shown = format!("{answer:?} to {ask:?}");
        match self.engine.answer(number, answer, NOW, 7) {
            Ok(sync::Taken::Stale | sync::Taken::Renamed(_) | sync::Taken::StartsOver) => {
                self.wrong.push(format!("no reason for such an answer: {shown}"));
            }
            Ok(_) => {}
            Err(error) => self.wrong.push(format!("{error}: {shown}")),
        }
    }

    /// What must hold of it by itself.
    fn look(&mut self) {
        self.wrong.extend(self.engine.replica().check().unwrap());
    }
}

fn engine(schema: &Schema, which: usize, storage: &FaultyStorage) -> Engine {
    let options =
        Options::new().cache_bytes(1 << 20).schema(schema.clone()).replica(replica_id(which)).clock(|| NOW.0);
    let replica = Replica::of(options.on(storage.clone()).unwrap()).unwrap();
    Engine::new(replica, sync::Options::default())
}

/// Every key and value of a file, whatever they mean: what is forgotten here could not be told apart.
fn content(bytes: &[u8]) -> blake3::Hash {
    let backend = redb::backends::InMemoryBackend::new();
    redb::StorageBackend::set_len(&backend, bytes.len() as u64).unwrap();
    redb::StorageBackend::write(&backend, 0, bytes).unwrap();
    let db = redb::Builder::new().set_cache_size(1 << 20).create_with_backend(backend).unwrap();
    let txn = db.begin_read().unwrap();
    let mut tables: Vec<String> =
        txn.list_tables().unwrap().map(|table| redb::TableHandle::name(&table).to_owned()).collect();
    tables.sort();
    let mut hasher = blake3::Hasher::new();
    for name in tables {
        rows(&txn, &name, &mut hasher);
    }
    hasher.finalize()
}

fn rows(txn: &redb::ReadTransaction, name: &str, hasher: &mut blake3::Hasher) {
    use redb::{ReadableTable, TableDefinition};
    let mut put = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    put(name.as_bytes());
    match txn.open_table(TableDefinition::<u64, &[u8]>::new(name)) {
        Ok(table) => {
            for row in table.iter().unwrap() {
                let (key, value) = row.unwrap();
                put(&key.value().to_le_bytes());
                put(value.value());
            }
        }
        Err(_) => {
            let table = txn.open_table(TableDefinition::<&[u8], &[u8]>::new(name)).unwrap();
            for row in table.iter().unwrap() {
                let (key, value) = row.unwrap();
                put(key.value());
                put(value.value());
            }
        }
    }
}
