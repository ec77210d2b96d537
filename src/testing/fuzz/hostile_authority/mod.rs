//! A client that talks with an authority which answers whatever it likes, until an honest one takes its place.
//!
//! | looked at | when |
//! |---|---|
//! | what is refused has changed nothing, and nothing is refused for a fault of the client's own | at every step |
//! | visible = base ⊕ sealed ⊕ parked or held ⊕ pending | after every step |
//! | the file, as it lies there, verifies | when the hostile one has gone |
//! | every value that was written and that no authority took is seen, parked, held or in the conflict record | then, and at the end |
//! | what the client sees is what the honest authority holds, parked and held entities aside | at the end |
//!
//! What an authority says that it took is its own from then on: nobody can hold a liar to it.

mod bent;
mod decided;
mod made;
mod rest;

use uuid::Uuid;

use super::build::{Bytes, mark};
use super::scratch::Scratch;
use super::seen::in_hand;
use crate::algebra::{Answer, Ask, Generation, Limits, Millis, Operation, ReplicaId, Schema, Trigger};
use crate::authority::{MemoryStore, Rules, answer};
use crate::codec::wire::Route;
use crate::journal::{self, Durability, Options, verify};
use crate::replica::{self, Replica, Resolution};
use crate::sync::{self, Engine, Next, Want};
use crate::testing::FaultyStorage;
use crate::testing::strategies::{ENTITIES, entity};
use crate::testing::values::{Values, kept};

const STEPS_MAX: usize = 24;
/// So many honest answers are remembered, to be given again.
const TOLD_MAX: usize = 8;
const NOW: Millis = Millis(1_000_000);
const OWN: ReplicaId = ReplicaId(Uuid::from_u128(7));

/// The session that these bytes mean: whatever is answered is taken whole or refused with nothing changed, nothing that
/// was written is lost, and with an honest authority all comes to rest.
///
/// # Panics
/// If something is not as it must be.
pub fn hostile_authority(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let schema = bytes.schema_with_policies();
    let storage = FaultyStorage::new();
    let options = Options::new().cache_bytes(1 << 20).clock(|| NOW.0).replica(OWN).schema(schema.clone());
    let replica = options.on(storage.clone()).map_err(replica::Error::from).and_then(Replica::of);
    let options = sync::Options {
        rows_max: 4,
        limits: Limits { operations: 4, ..Limits::default() },
        ..sync::Options::default()
    };
    let mut session = Session {
        engine: Engine::new(replica.expect("a replica in memory"), options),
        store: MemoryStore::new(schema.clone(), generation(0)),
        schema,
        now: NOW,
        values: Values::default(),
        told: Vec::new(),
        account: Vec::new(),
    };
    for _ in 0..STEPS_MAX {
        if bytes.is_empty() {
            break;
        }
        session.step(&mut bytes);
        session.look();
    }
    session.nothing_is_lost("the hostile authority has gone");
    let file = Scratch::new(&storage.bytes());
    let report = verify(file.path()).expect("a file that can be verified");
    assert!(report.findings.is_empty(), "{report:#?}\n{:#?}", session.account);
    drop(file);
    session.come_to_rest(&mut bytes);
}

struct Session {
    engine: Engine,
    store: MemoryStore,
    schema: Schema,
    now: Millis,
    /// What the client's program wrote.
    values: Values,
    /// What an honest authority answered before.
    told: Vec<Answer>,
    account: Vec<String>,
}

impl Session {
    /// What must hold at every step.
    fn look(&self) {
        let found = self.engine.replica().check().expect("a replica that can be read");
        assert!(found.is_empty(), "{found:#?}\n{:#?}", self.account);
    }

    /// Every value that was written is still there, or was taken by an authority, or replaced by who saw it.
    fn nothing_is_lost(&self, when: &str) {
        let replica = self.engine.replica();
        let all: Vec<_> = (0..ENTITIES).map(entity).collect();
        let missing = self.values.missing(&kept(replica, &all).expect("a replica that can be read"));
        assert!(missing.is_empty(), "{when}, and {missing:?} are nowhere\n{:#?}", self.account);
    }

    fn step(&mut self, bytes: &mut Bytes<'_>) {
        match bytes.below(8) {
            0 | 1 => {
                let most = 1 + bytes.below(3);
                let operations: Vec<Operation> =
                    bytes.log(most).into_iter().map(|operation| self.with_a_value(operation)).collect();
                self.by_the_program(format!("{operations:?}"), |replica| {
                    replica.commit(&operations, Durability::Durable).map(drop)
                });
            }
            2 => {
                let key = entity(bytes.below(12) % ENTITIES);
                self.by_the_program(format!("undo {key}"), |replica| replica.undo(&[key]).map(drop));
            }
            3 => self.decide(bytes),
            4 => self.turn(bytes),
            _ => self.ask(bytes),
        }
    }

    /// An operation that writes a value which was never written before.
    fn with_a_value(&mut self, mut operation: Operation) -> Operation {
        mark(&mut operation.change, &self.values.fresh());
        operation
    }

    /// The program does something, and sees what becomes of its values.
    fn by_the_program(&mut self, what: String, act: impl FnOnce(&Replica) -> Result<(), replica::Error>) {
        self.account.push(what);
        let replica = self.engine.replica().clone();
        let looked = || (0..ENTITIES).map(entity).map(|key| (replica.get(&key).expect("an entity"), key));
        let before: Vec<_> = looked().collect();
        self.unchanged_if_refused(|engine| act(engine.replica()));
        for ((was, key), (is, _)) in before.iter().zip(looked()) {
            self.values.note(key, was.as_ref(), is.as_ref(), "the program");
        }
    }

    /// Decides about what is in conflict or parked.
    fn decide(&mut self, bytes: &mut Bytes<'_>) {
        let replica = self.engine.replica().clone();
        let place = bytes.below(4);
        if bytes.below(4) == 0 {
            let parked = replica.journal().parked().expect("what is parked");
            let Some(parked) = parked.get(place) else { return };
            self.account.push(format!("{} goes out again", parked.key));
            let wrong = |source| replica::Error::Journal { source };
            return self.unchanged_if_refused(|_| replica.journal().retry(&parked.key).map_err(wrong));
        }
        let open = replica.conflicts().expect("conflicts");
        let Some(conflict) = open.get(place) else { return };
        let resolution = match bytes.below(5) {
            0 => Resolution::Local,
            1 => Resolution::Remote,
            2 => Resolution::Newest,
            3 => Resolution::Delete,
            _ => Resolution::Modify(bytes.state()),
        };
        let what = format!("{} is resolved by {resolution:?}", conflict.key);
        match resolution {
            // Who deletes or modifies sees what goes by it; what another way takes, is kept as lost.
            Resolution::Delete | Resolution::Modify(_) => {
                self.values.replace(&conflict.key, &decided::own(conflict), "a resolution");
                self.by_the_program(what, |replica| replica.resolve(&conflict.key, &resolution));
            }
            Resolution::Local | Resolution::Remote | Resolution::Newest => {
                self.account.push(what);
                self.unchanged_if_refused(|engine| engine.replica().resolve(&conflict.key, &resolution));
            }
        }
    }

    /// Whatever else makes an engine ask another question next.
    fn turn(&mut self, bytes: &mut Bytes<'_>) {
        let what = bytes.below(8);
        self.account.push(format!("turn {what}"));
        match what {
            0 => {
                let of = generation(bytes.below(3));
                let heard: Vec<Trigger> = (0..bytes.below(6)).map(|_| made::trigger(bytes)).collect();
                self.account.push(format!("heard {heard:?} of {of:?}"));
                self.unchanged_if_refused(|engine| engine.hear(of, &heard).map(drop).map_err(refused));
            }
            1 => self.engine.online().expect("a replica that can be written"),
            2 => self.engine.start_over().expect("a replica that can be written"),
            3 => self.engine.up_is_enough(),
            4 => self.engine.is_told(bytes.below(2) == 0, self.now),
            _ => self.engine.want(Want { triggers: true, compare: true, ..Want::READS }),
        }
    }

    fn ask(&mut self, bytes: &mut Bytes<'_>) {
        self.now.0 += 400_000;
        let Next::Ask(request) = self.engine.next(self.now).expect("something to do") else {
            let renewed = self.engine.authorised();
            return renewed.expect("new credentials");
        };
        let honest = self.honest(&request.ask);
        let answered = self.answered(bytes, &request.ask, honest);
        self.account.push(format!("asked {:?}, answered {answered:?}", request.ask));
        let open = self.engine.replica().journal().open_bunch().expect("a bunch");
        let now = self.now;
        let mut is_taken = false;
        self.unchanged_if_refused(|engine| {
            let taken = engine.answer(request.number, answered.clone(), now, 1);
            is_taken = taken.is_ok();
            taken.map(drop).map_err(refused)
        });
        if is_taken {
            decided::note(&mut self.values, self.engine.replica().id(), open.as_ref(), &answered);
        }
    }

    fn honest(&mut self, ask: &Ask) -> Answer {
        let rules = Rules { schema: &self.schema, now: self.now, refuses: &|_| None };
        match answer(&mut self.store, &rules, ask) {
            Ok(honest) => honest,
            Err(never) => match never {},
        }
    }

    /// What is answered: the truth, the truth bent, what was true before, or anything.
    fn answered(&mut self, bytes: &mut Bytes<'_>, ask: &Ask, honest: Answer) -> Answer {
        if self.told.len() < TOLD_MAX {
            self.told.push(honest.clone());
        }
        match bytes.below(12) {
            0..=2 => honest,
            3..=5 => bent::answer(bytes, honest),
            6 => self.told.get(bytes.below(8)).cloned().unwrap_or(honest),
            7 => {
                let given = if bytes.below(2) == 0 { honest } else { made::answer(bytes, ask) };
                bent::on_its_way(bytes, &given, Route::of(ask)).unwrap_or(Answer::Offline)
            }
            _ => made::answer(bytes, ask),
        }
    }

    /// Does something; what it refuses has changed nothing, and it refuses for no reason of its own.
    fn unchanged_if_refused(&mut self, act: impl FnOnce(&mut Engine) -> Result<(), replica::Error>) {
        let before = seen(self.engine.replica());
        if let Err(error) = act(&mut self.engine) {
            let is_own = matches!(
                &error,
                replica::Error::Journal { source }
                    if source.is_damage() || matches!(source, journal::Error::Failed | journal::Error::Io { .. })
            );
            assert!(!is_own, "{error}\n{:#?}", self.account);
            let after = seen(self.engine.replica());
            assert!(before == after, "{error}, and yet {before}\nbecame {after}\n{:#?}", self.account);
        }
    }
}

fn refused(error: sync::Error) -> replica::Error {
    match error {
        sync::Error::WrongAnswer { why } => replica::Error::WrongAnswer { why },
        sync::Error::Replica { source } => source,
    }
}

/// Everything but when the next attempt is.
fn seen(replica: &Replica) -> String {
    let standing = replica.standing().expect("a standing");
    let known = replica.known().expect("keys");
    let entities: Vec<_> = known.iter().map(|key| replica.entity(key).expect("an entity")).collect();
    let standing = (standing.cursors, standing.floors, standing.generation, standing.is_fetching_all);
    format!("{entities:?} {standing:?} {}", in_hand(replica))
}

fn generation(number: usize) -> Generation {
    Generation(Uuid::from_u128(1 + number as u128))
}
