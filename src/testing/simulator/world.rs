//! The world that actions happen to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::acknowledged::Acknowledged;
use super::action::{Action, Given};
use super::brief::{brief_answer, brief_ask, brief_taken, shown};
use super::end::Lived;
use super::remote::{InMemory, Remote};
use super::setting::{entity, id_text, opened, schema};
use crate::algebra::{
    Answer, Ask, EntityKey, Existence, FullRow, Index, Millis, Operation, Outcome, Patch, Policy, Schema,
    State,
};
use crate::journal::Durability;
use crate::replica::{self, Replica, Resolution};
use crate::sync::{self, Engine, Next, Want};
use crate::testing::laws::{Violation, require};
use crate::testing::values::Values;
use crate::testing::{FaultyStorage, Unsynced};

/// How many actions came up that show something, and the end of it all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Simulated {
    /// Actions.
    pub actions: u64,
    /// Local operations that were taken.
    pub operations: u64,
    /// Messages that arrived.
    pub arrived: u64,
    /// Questions that nobody answered, or not now.
    pub unanswered: u64,
    /// Bunches that the authority answered.
    pub bunches: u64,
    /// Operations that a client was told are accepted.
    pub acknowledged: u64,
    /// Crashes.
    pub crashes: u64,
    /// Files that were copied.
    pub copies: u64,
    /// Backups that were restored.
    pub restores: u64,
    /// Conflicts that were resolved.
    pub resolved: u64,
    /// Entities whose unsent changes were taken back.
    pub undone: u64,
    /// Values that lost and were kept.
    pub lost: u64,
    /// Names that were changed because of a copy.
    pub renamed: u64,
    /// Times everything was fetched anew.
    pub anew: u64,
    /// The hash of what the authority holds at the end.
    pub digest: u64,
}

impl std::ops::AddAssign for Simulated {
    fn add_assign(&mut self, more: Simulated) {
        self.actions += more.actions;
        self.operations += more.operations;
        self.arrived += more.arrived;
        self.unanswered += more.unanswered;
        self.bunches += more.bunches;
        self.acknowledged += more.acknowledged;
        self.crashes += more.crashes;
        self.copies += more.copies;
        self.restores += more.restores;
        self.resolved += more.resolved;
        self.undone += more.undone;
        self.lost += more.lost;
        self.renamed += more.renamed;
        self.anew += more.anew;
        self.digest = self.digest.rotate_left(1) ^ more.digest;
    }
}

pub(super) struct Client {
    pub(super) name: String,
    pub(super) storage: FaultyStorage,
    pub(super) engine: Engine,
    pub(super) clock: Arc<AtomicU64>,
    /// What the clock is off by, in ms.
    pub(super) skew: i64,
    pub(super) heard: Index,
    /// What was held or parked at some time while all came to rest: a clash may dissolve with the last sync.
    pub(super) was_aside: BTreeSet<EntityKey>,
    /// Counts lives, so that what was said to an earlier one is not heard by a later one.
    pub(super) life: u64,
}

impl Client {
    fn new(name: String, storage: FaultyStorage, engine: Engine, clock: Arc<AtomicU64>) -> Self {
        let (skew, heard, life, was_aside) = (0, Index(0), 0, BTreeSet::new());
        Client { name, storage, engine, clock, skew, heard, was_aside, life }
    }
}

/// A message on its way.
#[derive(Clone, Debug)]
pub(super) enum Message {
    Ask {
        client: usize,
        life: u64,
        number: u64,
        ask: Ask,
    },
    /// With what was restored when it was given: what it says is of that life of the authority's.
    Answer {
        client: usize,
        life: u64,
        number: u64,
        answer: Answer,
        restores: u64,
    },
}

pub(super) struct World<'r> {
    pub(super) schema: Schema,
    pub(super) clients: Vec<Client>,
    pub(super) remote: &'r mut dyn Remote,
    /// What was live at the authority when it was last looked at.
    pub(super) there: BTreeMap<EntityKey, State>,
    pub(super) acknowledged: Acknowledged,
    /// What had been acknowledged when the authority's data were copied.
    pub(super) backed_up: Acknowledged,
    pub(super) is_pruned: bool,
    pub(super) messages: Vec<Message>,
    pub(super) now: u64,
    pub(super) values: Values,
    pub(super) done: Simulated,
    /// What happened, in words.
    pub(super) account: Vec<String>,
}

const START: u64 = 1_700_000_000_000;
const TEN_YEARS_MS: i64 = 315_360_000_000;

/// Plays what is given.
///
/// # Errors
/// The first law that does not hold.
pub fn simulate(given: &Given) -> Result<Simulated, Violation> {
    simulate_on(given, &mut InMemory::new(given.schema()))
}

/// Plays what is given on another authority, or another way to it. That one serves [`Given::schema`].
///
/// # Errors
/// The first law that does not hold.
pub fn simulate_on(given: &Given, remote: &mut dyn Remote) -> Result<Simulated, Violation> {
    let mut world = World::new(given, remote)?;
    let mut actions = given.actions.iter().enumerate();
    let played = actions
        .try_for_each(|(number, action)| {
            world.done.actions += 1;
            world.act(action).map_err(|violation| Violation {
                found: format!("at action {number}, {action:?}: {}", violation.found),
                ..violation
            })
        })
        .and_then(|()| world.settle_down())
        .and_then(|()| world.finish());
    played.map_err(|violation| Violation {
        found: format!("{}\nwhat happened:\n  {}", violation.found, world.account.join("\n  ")),
        ..violation
    })
}

pub(super) fn failed(doing: &'static str) -> impl FnOnce(sync::Error) -> Violation {
    move |error| Violation { law: doing, found: error.to_string() }
}

impl<'r> World<'r> {
    fn new(given: &Given, remote: &'r mut dyn Remote) -> Result<Self, Violation> {
        let mut world = World::empty(given.schema(), remote, START)?;
        for number in 0..given.clients as u64 {
            let (storage, clock) = (FaultyStorage::new(), Arc::new(AtomicU64::new(START)));
            let engine = opened(&storage, &world.schema, &clock, number)?;
            world.clients.push(Client::new(format!("client {number}"), storage, engine, clock));
        }
        for place in 0..world.clients.len() {
            // Who knows nothing claims nothing: a change of what was never read is no conflict, and replaces
            // without a word. What is lost is looked for among those who know what they change.
            world.sync(place, Want::DOWN)?;
        }
        world.remote.be_calm(false)?;
        Ok(world)
    }

    /// A world with clients that are there already.
    pub(super) fn of(lived: Lived, remote: &'r mut dyn Remote) -> Result<Self, Violation> {
        let Lived { policies, clients, values, acknowledged, now } = lived;
        let mut world = World { values, acknowledged, ..World::empty(schema(policies), remote, now)? };
        for (number, engine) in clients.into_iter().enumerate() {
            let (storage, clock) = (FaultyStorage::new(), Arc::new(AtomicU64::new(now)));
            world.clients.push(Client::new(format!("client {number}"), storage, engine, clock));
        }
        Ok(world)
    }

    fn empty(schema: Schema, remote: &'r mut dyn Remote, now: u64) -> Result<Self, Violation> {
        Ok(World {
            schema,
            clients: Vec::new(),
            there: live(remote.rows()?),
            remote,
            acknowledged: Acknowledged::default(),
            backed_up: Acknowledged::default(),
            is_pruned: false,
            messages: Vec::new(),
            now,
            values: Values::default(),
            done: Simulated::default(),
            account: Vec::new(),
        })
    }

    fn pick(&self, client: u64) -> usize {
        usize::try_from(client % self.clients.len() as u64).unwrap_or(0)
    }

    pub(super) fn client(&mut self, place: usize) -> Result<&mut Client, Violation> {
        let now = self.now;
        let client = self.clients.get_mut(place);
        let client =
            client.ok_or_else(|| Violation { law: "the simulation", found: "no such client".to_owned() })?;
        let clock = now.saturating_add_signed(client.skew);
        client.clock.store(clock, Ordering::Relaxed);
        Ok(client)
    }

    fn act(&mut self, action: &Action) -> Result<(), Violation> {
        let looked_at = match *action {
            Action::Operate { client, entity, what } => self.operate(self.pick(client), entity, what)?,
            Action::Tick { client, want } => self.tick(self.pick(client), want)?,
            Action::Arrive { message } => match self.take(message) {
                Some(message) => self.arrive(message)?,
                None => return Ok(()),
            },
            Action::Lose { message } => {
                drop(self.take(message));
                return Ok(());
            }
            Action::Double { message } => {
                let count = self.messages.len() as u64;
                let place = message.checked_rem(count).and_then(|place| usize::try_from(place).ok());
                let doubled = place.and_then(|place| self.messages.get(place)).cloned();
                self.messages.extend(doubled);
                return Ok(());
            }
            Action::GiveUp { client } => self.give_up(self.pick(client))?,
            Action::Hear { client, lost } => self.hear(self.pick(client), lost)?,
            Action::Crash { client, seed } => self.crash(self.pick(client), seed)?,
            Action::Copy { client } => self.copy(self.pick(client))?,
            Action::Backup => {
                self.remote.back_up()?;
                self.backed_up = self.acknowledged.clone();
                return Ok(());
            }
            Action::Restore => {
                if self.remote.has_backup() {
                    self.forget_overwritten()?;
                    self.remote.restore()?;
                    self.there = live(self.remote.rows()?);
                    self.acknowledged = self.backed_up.clone();
                    self.done.restores += 1;
                }
                return Ok(());
            }
            Action::Prune => {
                self.is_pruned = true;
                return self.remote.prune();
            }
            Action::Refuse { entity: number } => {
                self.remote.refuse(entity(number));
                return Ok(());
            }
            Action::Resolve { client, conflict, how } => self.resolve(self.pick(client), conflict, how)?,
            Action::Retry { client, parked } => self.retry(self.pick(client), parked)?,
            Action::Undo { client, entity } => self.undo(self.pick(client), entity)?,
            Action::Wait { ms } => {
                self.now += ms;
                return Ok(());
            }
            Action::SetClock { client, to } => {
                let place = self.pick(client);
                let share = i64::try_from(to >> 1).unwrap_or(0) / 2;
                let skew = share / (i64::MAX / 4 / TEN_YEARS_MS) - TEN_YEARS_MS;
                self.client(place)?.skew = skew;
                return Ok(());
            }
        };
        self.now += 50;
        self.look_at(looked_at)
    }

    /// What must hold of a client at every step.
    pub(super) fn look_at(&mut self, place: usize) -> Result<(), Violation> {
        let client = self.client(place)?;
        let found = client.engine.replica().check();
        let found = found.map_err(|error| Violation { law: "reading", found: error.to_string() })?;
        require("what is seen", found.is_empty(), || format!("{}: {}", client.name, found.join("; ")))
    }

    /// What an open bunch overwrote is told in its answer alone: where that has not come, and is gone with the rest of
    /// what was not in the backup, the bunch's own operation is all that can be named.
    fn forget_overwritten(&mut self) -> Result<(), Violation> {
        for client in &self.clients {
            let replica = client.engine.replica();
            let bunch = replica.journal().open_bunch();
            let bunch = bunch.map_err(|error| Violation { law: "reading", found: error.to_string() })?;
            let Some(bunch) = bunch else { continue };
            let generation = replica.standing();
            let generation = generation
                .map_err(|error| Violation { law: "reading", found: error.to_string() })?
                .generation;
            let answered = self.remote.recorded(replica.id(), &bunch, generation)?;
            let outcomes = answered.map(|answered| answered.outcomes).unwrap_or_default();
            for (planned, outcome) in bunch.operations.iter().zip(&outcomes) {
                if let Outcome::Accepted { overwrote: Some(fields), .. } = outcome {
                    let by = format!("bunch {} of {}, in what was not restored", bunch.number, client.name);
                    self.values.replace(&planned.operation.key, fields, &by);
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, message: u64) -> Option<Message> {
        let place = usize::try_from(message.checked_rem(self.messages.len() as u64)?).ok()?;
        Some(self.messages.remove(place))
    }

    fn operate(&mut self, place: usize, number: u64, what: u64) -> Result<usize, Violation> {
        let key = entity(number);
        let mut operations = vec![self.operation(&key, what)];
        if what.is_multiple_of(7) {
            operations.push(self.operation(&entity(number / 9), what / 7));
        }
        let by = format!("action {}", self.done.actions);
        let client = self.client(place)?;
        let replica = client.engine.replica().clone();
        let before = seen(&replica)?;
        match replica.commit(&operations, Durability::Durable) {
            Ok(_) => {}
            Err(
                replica::Error::Taken { .. }
                | replica::Error::Restricted { .. }
                | replica::Error::DeadReference { .. },
            ) => {
                let unchanged = seen(&replica)? == before;
                require("refusing", unchanged, || {
                    format!("{operations:?} were refused and changed something")
                })?;
                return Ok(place);
            }
            Err(error) => return Err(Violation { law: "operating", found: error.to_string() }),
        }
        let after = seen(&replica)?;
        let client = self.clients.get(place).map_or("", |client| client.name.as_str());
        self.account.push(format!("{client}: {}", shown(&operations)));
        self.done.operations += 1;
        for (key, was) in &before {
            self.values.note(key, was.as_ref(), after.get(key).and_then(Option::as_ref), &by);
        }
        Ok(place)
    }

    /// An operation on an entity; its values were never written before.
    fn operation(&mut self, key: &EntityKey, what: u64) -> Operation {
        let mut fields = serde_json::Map::new();
        for (bit, field) in ["a", "b", "c"].into_iter().enumerate() {
            match (what >> (8 + 2 * bit)) % 4 {
                0 | 1 => {
                    drop(fields.insert(field.to_owned(), serde_json::Value::String(self.values.fresh())))
                }
                2 if what.is_multiple_of(3) => drop(fields.insert(field.to_owned(), serde_json::Value::Null)),
                _ => {}
            }
        }
        let target = what >> 20;
        match key.collection().as_str() {
            "folders" if target.is_multiple_of(3) => {
                drop(fields.insert("in".to_owned(), id_text(target % 3)))
            }
            "notes" => {
                if target.is_multiple_of(2) {
                    fields.insert("in".to_owned(), id_text(target % 3));
                }
                if (what >> 30).is_multiple_of(3) {
                    fields
                        .insert("title".to_owned(), serde_json::json!(format!("title {}", (what >> 32) % 3)));
                }
            }
            "tags" => {
                if target.is_multiple_of(2) {
                    fields.insert("on".to_owned(), id_text(3 + target % 4));
                }
                if (what >> 30).is_multiple_of(4) {
                    fields.insert("at".to_owned(), id_text(target % 3));
                }
            }
            _ => {}
        }
        let state = || State::from_serialize(&fields).expect("the simulation's fields are valid");
        match what % 10 {
            0 | 1 => Operation::create(key.clone(), state()),
            2 | 3 => Operation::delete(key.clone()),
            4 => Operation::update(key.clone(), state()),
            _ => {
                let patch = Patch::from_serialize(&fields).expect("the simulation's fields are valid");
                Operation::patch(key.clone(), patch)
            }
        }
    }

    fn tick(&mut self, place: usize, want: u64) -> Result<usize, Violation> {
        let now = Millis(self.now);
        let client = self.client(place)?;
        match want % 8 {
            0 => client.engine.want(Want::SYNC),
            1 => client.engine.want(Want::UP),
            2 => client.engine.want(Want { triggers: true, ..Want::READS }),
            3 => client.engine.want(Want::READS),
            4 => client.engine.online().map_err(failed("coming online"))?,
            _ => {}
        }
        let next = client.engine.next(now).map_err(failed("going on"))?;
        if let Next::Ask(request) = next {
            let (client, life) = (place, client.life);
            self.messages.push(Message::Ask { client, life, number: request.number, ask: request.ask });
        }
        Ok(place)
    }

    /// What the authority answers.
    pub(super) fn answered(&mut self, client: usize, ask: &Ask) -> Result<Answer, Violation> {
        let answered = self.remote.answer(client, ask, Millis(self.now))?;
        self.done.unanswered += u64::from(matches!(answered, Answer::Offline | Answer::Busy { .. }));
        self.look_there()?;
        Ok(answered)
    }

    /// Looks at what the authority holds: nothing acknowledged is lost at any time. Where the later one counts, a later
    /// delete takes what it reaches, seen or not: that is its name.
    fn look_there(&mut self) -> Result<(), Violation> {
        let rows = self.remote.rows()?;
        self.acknowledged.check(&rows, self.is_pruned)?;
        let after = live(rows);
        for (key, state) in std::mem::take(&mut self.there) {
            if self.schema.policy(key.collection()) == Policy::Newest && !after.contains_key(&key) {
                self.values.note(&key, Some(&state), None, "a later delete");
            }
        }
        self.there = after;
        Ok(())
    }

    /// Notes what a client is about to be told of its open bunch.
    pub(super) fn acknowledge(&mut self, place: usize, answer: &Answer) -> Result<(), Violation> {
        let Answer::Delivered(outcomes) = answer else { return Ok(()) };
        let open = self.client(place)?.engine.replica().journal().open_bunch();
        let open = open.map_err(|error| Violation { law: "reading", found: error.to_string() })?;
        if let Some(bunch) = open.filter(|bunch| bunch.number == outcomes.bunch) {
            self.done.acknowledged += self.acknowledged.note(&bunch, outcomes);
        }
        Ok(())
    }

    fn arrive(&mut self, message: Message) -> Result<usize, Violation> {
        self.done.arrived += 1;
        match message {
            Message::Ask { client, life, number, ask } => {
                let answer = self.answered(client, &ask)?;
                let (asked, answered) = (brief_ask(&ask), brief_answer(&answer));
                self.account.push(format!("client {client} asked {asked}; answered {answered}"));
                self.done.bunches += u64::from(matches!(answer, Answer::Delivered(_)));
                let restores = self.done.restores;
                self.messages.push(Message::Answer { client, life, number, answer, restores });
                Ok(client)
            }
            Message::Answer { client: place, life, number, answer, restores } => {
                let now = Millis(self.now);
                let random = u128::from(self.now).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
                let client = self.client(place)?;
                if client.life != life {
                    return Ok(place);
                }
                let shown = format!("{answer:?}");
                // What was given before a restore may be gone with it.
                if restores == self.done.restores {
                    self.acknowledge(place, &answer)?;
                }
                let taken = self.client(place)?.engine.answer(number, answer, now, random);
                self.account.push(format!("client {place} took: {}", brief_taken(&taken)));
                match taken {
                    Ok(sync::Taken::Renamed(_)) => self.done.renamed += 1,
                    Ok(sync::Taken::StartsOver) => self.done.anew += 1,
                    Ok(_) => {}
                    Err(error) => {
                        return Err(Violation {
                            law: "taking an answer",
                            found: format!("{error}: {shown}"),
                        });
                    }
                }
                Ok(place)
            }
        }
    }

    fn give_up(&mut self, place: usize) -> Result<usize, Violation> {
        let now = Millis(self.now);
        let client = self.client(place)?;
        if let Next::Ask(request) = client.engine.next(now).map_err(failed("going on"))? {
            client.engine.answer(request.number, Answer::Offline, now, 7).map_err(failed("giving up"))?;
        }
        Ok(place)
    }

    fn hear(&mut self, place: usize, lost: u64) -> Result<usize, Violation> {
        let heard = self.client(place)?.heard;
        let new = self.remote.triggers_above(heard)?;
        let client = self.client(place)?;
        client.heard = new.last().map_or(heard, |trigger| trigger.index);
        let left: Vec<_> =
            new.into_iter().filter(|trigger| lost & (1 << (trigger.index.0 % 8)) == 0).collect();
        let received = client.engine.replica().journal().receive(&left);
        received.map_err(|error| Violation { law: "hearing", found: error.to_string() })?;
        Ok(place)
    }

    fn crash(&mut self, place: usize, seed: u64) -> Result<usize, Violation> {
        let schema = self.schema.clone();
        let client = self.client(place)?;
        let image = client.storage.after_crash(Unsynced::Sampled { seed });
        client.engine = opened(&image, &schema, &client.clock, 0)?;
        client.storage = image;
        client.life += 1;
        self.done.crashes += 1;
        Ok(place)
    }

    fn copy(&mut self, place: usize) -> Result<usize, Violation> {
        if self.clients.len() >= 6 {
            return Ok(place);
        }
        let schema = self.schema.clone();
        let now = self.now;
        let client = self.client(place)?;
        let storage = client.storage.after_crash(Unsynced::Sampled { seed: now });
        let clock = Arc::new(AtomicU64::new(now));
        let engine = opened(&storage, &schema, &clock, 0)?;
        let (name, heard) = (format!("a copy of {}", client.name), client.heard);
        self.clients.push(Client { heard, ..Client::new(name, storage, engine, clock) });
        self.done.copies += 1;
        Ok(self.clients.len() - 1)
    }

    fn resolve(&mut self, place: usize, conflict: u64, how: u64) -> Result<usize, Violation> {
        let wrong = |error: replica::Error| Violation { law: "resolving", found: error.to_string() };
        let replica = self.client(place)?.engine.replica().clone();
        let open = replica.conflicts().map_err(wrong)?;
        let Some(number) =
            conflict.checked_rem(open.len() as u64).and_then(|number| usize::try_from(number).ok())
        else {
            return Ok(place);
        };
        let Some(conflict) = open.get(number) else { return Ok(place) };
        let key = conflict.key.clone();
        let before = seen(&replica)?;
        let resolution = match how % 5 {
            0 => Resolution::Local,
            1 => Resolution::Remote,
            2 => Resolution::Newest,
            3 => Resolution::Delete,
            _ => {
                let value = self.values.fresh();
                let state = State::from_serialize(&serde_json::json!({ "a": value }));
                Resolution::Modify(state.expect("the simulation's fields are valid"))
            }
        };
        match replica.resolve(&key, &resolution) {
            Ok(()) => self.done.resolved += 1,
            Err(
                replica::Error::Taken { .. }
                | replica::Error::Restricted { .. }
                | replica::Error::DeadReference { .. },
            ) => return Ok(place),
            Err(error) => return Err(wrong(error)),
        }
        // Who deletes or modifies sees what goes by it; what another way takes, is kept as lost.
        if matches!(resolution, Resolution::Modify(_) | Resolution::Delete) {
            let after = seen(&replica)?;
            for (key, was) in &before {
                let now = after.get(key).and_then(Option::as_ref);
                self.values.note(key, was.as_ref(), now, "a resolution");
            }
        }
        Ok(place)
    }

    fn retry(&mut self, place: usize, parked: u64) -> Result<usize, Violation> {
        let wrong = |error: crate::journal::Error| Violation { law: "retrying", found: error.to_string() };
        let replica = self.client(place)?.engine.replica().clone();
        let all = replica.journal().parked().map_err(wrong)?;
        let number = parked.checked_rem(all.len() as u64).and_then(|number| usize::try_from(number).ok());
        if let Some(parked) = number.and_then(|number| all.get(number)) {
            replica.journal().retry(&parked.key).map_err(wrong)?;
        }
        Ok(place)
    }

    fn undo(&mut self, place: usize, number: u64) -> Result<usize, Violation> {
        let replica = self.client(place)?.engine.replica().clone();
        let before = seen(&replica)?;
        match replica.undo(&[entity(number)]) {
            Ok(undone) => {
                self.account.push(format!("client {place} undid {undone:?}"));
                self.done.undone += undone.len() as u64;
            }
            Err(
                replica::Error::Taken { .. }
                | replica::Error::Restricted { .. }
                | replica::Error::DeadReference { .. }
                | replica::Error::Needed { .. },
            ) => {
                let unchanged = seen(&replica)? == before;
                require("refusing", unchanged, || "an undo was refused and changed something".to_owned())?;
            }
            Err(error) => return Err(Violation { law: "undoing", found: error.to_string() }),
        }
        let after = seen(&replica)?;
        for (key, was) in &before {
            self.values.note(key, was.as_ref(), after.get(key).and_then(Option::as_ref), "an undo");
        }
        Ok(place)
    }
}

/// What is live of what the authority holds.
pub(super) fn live(rows: Vec<FullRow>) -> BTreeMap<EntityKey, State> {
    let live = |row: FullRow| match row.version.existence {
        Existence::Live(state) => Some((row.key, state)),
        Existence::Dead(_) | Existence::Absent => None,
    };
    rows.into_iter().filter_map(live).collect()
}

/// What a client's program sees.
fn seen(replica: &Replica) -> Result<BTreeMap<EntityKey, Option<State>>, Violation> {
    let all = (0..9).map(|number| {
        let key = entity(number);
        let state = replica.get(&key);
        let state = state.map_err(|error| Violation { law: "reading", found: error.to_string() })?;
        Ok((key, state))
    });
    all.collect()
}
