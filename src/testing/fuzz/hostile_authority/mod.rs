//! A client that talks with an authority which answers whatever it likes.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::build::Bytes;
use crate::algebra::{
    Action, Answer, Ask, CollectionName, Cursors, Digest, EntityKey, Epoch, FullRow, Generation, Index,
    Limits, LiveSet, LiveSets, Millis, Outcome, Outcomes, Page, Policy, ReplicaId, Resulting, Schema, Stamp,
    Stamps, Trigger, Version, Writer,
};
use crate::authority::{MemoryStore, Rules, answer};
use crate::journal::{self, Durability, Options};
use crate::replica::{self, Replica, Resolution};
use crate::sync::{self, Engine, Next, Want};
use crate::testing::strategies::{ENTITIES, entity};

const STEPS_MAX: usize = 24;
const NOW: Millis = Millis(1_000_000);
const OWN: ReplicaId = ReplicaId(Uuid::from_u128(7));

/// The session that these bytes mean: whatever is answered is taken whole or refused with nothing changed, and what is
/// seen stays what is known with what is unsent on top of it.
///
/// # Panics
/// If something is not as it must be.
pub fn sessions(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let schema = schema(&mut bytes);
    let options = Options::new().cache_bytes(1 << 20).clock(|| NOW.0).replica(OWN).schema(schema.clone());
    let replica = Replica::in_memory(options).expect("a replica in memory");
    let options = sync::Options {
        rows_max: 4,
        limits: Limits { operations: 4, ..Limits::default() },
        ..sync::Options::default()
    };
    let mut session = Session {
        engine: Engine::new(replica, options),
        store: MemoryStore::new(schema.clone(), generation(0)),
        schema,
        now: NOW,
        account: Vec::new(),
    };
    for _ in 0..STEPS_MAX {
        if bytes.is_empty() {
            break;
        }
        session.step(&mut bytes);
        let found = session.engine.replica().check().expect("a replica that can be read");
        assert!(found.is_empty(), "{found:#?}\n{:#?}", session.account);
    }
}

/// A schema, with a policy for each collection.
fn schema(bytes: &mut Bytes<'_>) -> Schema {
    let schema = bytes.schema().unwrap_or_default();
    let declared = ["folders", "notes"].map(|name| {
        let policy = match bytes.below(4) {
            0 => Policy::LastOperation,
            1 => Policy::FirstToAuthority,
            2 => Policy::Newest,
            _ => Policy::Manual,
        };
        let name = CollectionName::new(name).expect("a plain name");
        let collection = schema.collection(&name).cloned().unwrap_or_default().with_policy(policy);
        (name, collection)
    });
    Schema::new(declared).expect("only policies are other ones")
}

struct Session {
    engine: Engine,
    store: MemoryStore,
    schema: Schema,
    now: Millis,
    account: Vec<String>,
}

impl Session {
    fn step(&mut self, bytes: &mut Bytes<'_>) {
        match bytes.below(8) {
            0 | 1 => {
                let most = 1 + bytes.below(3);
                let operations = bytes.log(most);
                self.account.push(format!("{operations:?}"));
                let replica = self.engine.replica().clone();
                self.unchanged_if_refused(|_| replica.commit(&operations, Durability::Durable).map(drop));
            }
            2 => {
                let replica = self.engine.replica().clone();
                let key = entity(bytes.below(12) % ENTITIES);
                self.account.push(format!("undo {key}"));
                self.unchanged_if_refused(|_| replica.undo(&[key]).map(drop));
            }
            3 => {
                let replica = self.engine.replica().clone();
                let open = replica.conflicts().expect("conflicts");
                let Some(conflict) = open.get(bytes.below(4)) else { return };
                let resolution = match bytes.below(5) {
                    0 => Resolution::Local,
                    1 => Resolution::Remote,
                    2 => Resolution::Newest,
                    3 => Resolution::Delete,
                    _ => Resolution::Modify(bytes.state()),
                };
                self.account.push(format!("{} is resolved by {resolution:?}", conflict.key));
                self.unchanged_if_refused(|_| replica.resolve(&conflict.key, &resolution));
            }
            4 => self.engine.want(Want { triggers: true, compare: true, ..Want::READS }),
            _ => self.ask(bytes),
        }
    }

    fn ask(&mut self, bytes: &mut Bytes<'_>) {
        self.now.0 += 400_000;
        let Next::Ask(request) = self.engine.next(self.now).expect("something to do") else {
            let renewed = self.engine.authorised();
            return renewed.expect("new credentials");
        };
        let rules = Rules { schema: &self.schema, now: self.now, refuses: &|_| None };
        let is_honest = bytes.below(3) == 0;
        let honest = match answer(&mut self.store, &rules, &request.ask) {
            Ok(honest) => honest,
            Err(never) => match never {},
        };
        let answered = if is_honest { honest } else { hostile(bytes, &request.ask, honest) };
        self.account.push(format!("asked {:?}, answered {answered:?}", request.ask));
        let now = self.now;
        self.unchanged_if_refused(|engine| match engine.answer(request.number, answered, now, 1) {
            Ok(taken) => {
                drop(taken);
                Ok(())
            }
            Err(sync::Error::WrongAnswer { why }) => Err(replica::Error::WrongAnswer { why }),
            Err(sync::Error::Replica { source }) => Err(source),
        });
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

/// Everything but when the next attempt is.
fn seen(replica: &Replica) -> String {
    let standing = replica.standing().expect("a standing");
    let known = replica.known().expect("keys");
    let entities: Vec<_> = known.iter().map(|key| replica.entity(key).expect("an entity")).collect();
    let journal = replica.journal();
    format!(
        "{entities:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        (standing.cursors, standing.floors, standing.generation, standing.is_fetching_all),
        replica.conflicts().expect("conflicts"),
        replica.losers().expect("losers"),
        journal.plan().expect("a plan"),
        journal.parked().expect("what is parked"),
        journal.held().expect("what is held"),
        journal.open_bunch().expect("a bunch"),
        journal.reads().expect("reads"),
    )
}

fn generation(number: usize) -> Generation {
    Generation(Uuid::from_u128(1 + number as u128))
}

/// An answer that has the shape of one, and may have nothing to do with the question; or the honest one, changed.
fn hostile(bytes: &mut Bytes<'_>, ask: &Ask, honest: Answer) -> Answer {
    match bytes.below(16) {
        0 => Answer::Forked,
        1 => Answer::StartOver { generation: generation(bytes.below(3)) },
        2 => Answer::TriggersTooOld,
        3 => Answer::Busy { retry_after_ms: u64::from(bytes.next()) << (8 * bytes.below(8)) },
        4 => Answer::Unauthorised,
        5 => Answer::Offline,
        6 => Answer::Rows((0..bytes.below(6)).map(|_| row(bytes)).collect()),
        7 => Answer::Triggers((0..bytes.below(6)).map(|_| trigger(bytes)).collect()),
        8 => Answer::Changes(page(bytes, &Cursors::new())),
        9 => {
            let number = bytes.below(4) as u64;
            Answer::Delivered(outcomes(bytes, number, 3))
        }
        10 => match honest {
            Answer::Changes(mut page) => {
                for row in &mut page.rows {
                    if bytes.below(2) == 0 {
                        row.version.existence = bytes.existence();
                    }
                }
                Answer::Changes(page)
            }
            honest => honest,
        },
        _ => match ask {
            Ask::Deliver { bunch, .. } => {
                Answer::Delivered(outcomes(bytes, bunch.number.0, bunch.operations.len()))
            }
            Ask::Changes { cursors, .. } => Answer::Changes(page(bytes, cursors)),
            Ask::Triggers { above, .. } => {
                let count = bytes.below(4) as u64;
                Answer::Triggers(
                    (1..=count).map(|n| Trigger { index: Index(above.0 + n), ..trigger(bytes) }).collect(),
                )
            }
            Ask::Reads { keys } => {
                let keys = keys.iter().filter(|_| bytes.below(4) > 0).cloned().collect::<Vec<_>>();
                Answer::Rows(keys.into_iter().map(|key| FullRow { key, ..row(bytes) }).collect())
            }
            Ask::LiveSets { .. } => Answer::LiveSets(live_sets(bytes)),
        },
    }
}

fn live_sets(bytes: &mut Bytes<'_>) -> LiveSets {
    let one = |bytes: &mut Bytes<'_>| {
        let set = LiveSet { count: u64::from(bytes.next()), sum: Digest([bytes.next(); 32]) };
        (key(bytes).collection().clone(), (set, epoch(bytes)))
    };
    (0..bytes.below(3)).map(|_| one(bytes)).collect()
}

fn epoch(bytes: &mut Bytes<'_>) -> Epoch {
    match bytes.next() {
        255 => Epoch(u64::MAX),
        small => Epoch(u64::from(small % 16)),
    }
}

fn stamp(bytes: &mut Bytes<'_>) -> Option<Stamp> {
    let at = match bytes.next() {
        0 => return None,
        255 => Millis::MAX,
        small => Millis(NOW.0 - 100 + u64::from(small)),
    };
    Some(Stamp { at, replica: (bytes.below(2) == 0).then_some(OWN) })
}

fn row(bytes: &mut Bytes<'_>) -> FullRow {
    let stamps = Stamps { created: stamp(bytes), turned: stamp(bytes), fields: Vec::new() };
    let writer = (bytes.below(2) == 0).then(|| Writer {
        replica: if bytes.below(2) == 0 { OWN } else { ReplicaId(Uuid::from_u128(8)) },
        bunch: crate::algebra::BunchNumber(bytes.below(4) as u64),
    });
    FullRow {
        key: key(bytes),
        version: Version { existence: bytes.existence(), stamps },
        epoch: epoch(bytes),
        writer,
    }
}

fn key(bytes: &mut Bytes<'_>) -> EntityKey {
    match bytes.below(12) {
        // Of a collection that nobody knows.
        11 => {
            let name = crate::algebra::CollectionName::new("unheard of").expect("a plain name");
            EntityKey::new(name, Uuid::from_u128(1)).expect("an id that is not nil")
        }
        place => entity(place % ENTITIES),
    }
}

fn trigger(bytes: &mut Bytes<'_>) -> Trigger {
    Trigger {
        index: Index(epoch(bytes).0),
        key: key(bytes),
        action: if bytes.below(2) == 0 { Action::Upsert } else { Action::Delete },
        epoch: epoch(bytes),
        sender: (bytes.below(2) == 0).then_some(OWN.0),
    }
}

fn page(bytes: &mut Bytes<'_>, cursors: &Cursors) -> Page {
    let rows: Vec<FullRow> = (0..bytes.below(6)).map(|_| row(bytes)).collect();
    let mut now = cursors.clone();
    let is_plausible = bytes.below(4) > 0;
    let mut last: BTreeMap<_, u64> = BTreeMap::new();
    let rows = rows.into_iter().map(|mut row| {
        if is_plausible {
            let from = cursors.get(row.key.collection()).map_or(0, |epoch| epoch.0);
            let before = last.entry(row.key.collection().clone()).or_insert(from);
            *before = before.saturating_add(1 + row.epoch.0 % 4);
            row.epoch = Epoch(*before);
        }
        row
    });
    let rows: Vec<FullRow> = rows.collect();
    for row in &rows {
        let cursor = now.entry(row.key.collection().clone()).or_default();
        *cursor = (*cursor).max(row.epoch);
    }
    Page {
        generation: generation(usize::from(bytes.below(8) == 0)),
        rows,
        cursors: now,
        floors: cursors.keys().map(|name| (name.clone(), epoch(bytes))).collect(),
        has_more: bytes.below(3) == 0,
        triggers_until: Index(epoch(bytes).0),
    }
}

fn outcomes(bytes: &mut Bytes<'_>, number: u64, count: usize) -> Outcomes {
    let count = if bytes.below(8) == 0 { bytes.below(6) } else { count };
    Outcomes {
        bunch: crate::algebra::BunchNumber(number),
        outcomes: (0..count).map(|_| outcome(bytes)).collect(),
    }
}

fn outcome(bytes: &mut Bytes<'_>) -> Outcome {
    match bytes.below(12) {
        0 => Outcome::Superseded {
            epoch: epoch(bytes),
            state: (bytes.below(2) == 0).then(|| bytes.state()),
            stamps: stamp(bytes).map(|stamp| ("a".to_owned(), stamp)).into_iter().collect(),
            writer: None,
        },
        1 => Outcome::Clash {
            unique: vec!["a".to_owned()],
            holder: Uuid::from_u128(bytes.below(4) as u128),
            of: (bytes.below(2) == 0).then(|| key(bytes)),
        },
        2 => Outcome::Refused { reason: "no".to_owned() },
        3 => Outcome::Waits { on: key(bytes) },
        4 => Outcome::Retry,
        kind => Outcome::Accepted {
            epoch: (bytes.below(8) > 0).then(|| epoch(bytes)),
            result: match kind {
                5 => Resulting::Gone,
                6 | 7 => Resulting::Live(bytes.state()),
                _ => Resulting::AsSent,
            },
            overwrote: (bytes.below(4) == 0).then(|| bytes.state()),
        },
    }
}
