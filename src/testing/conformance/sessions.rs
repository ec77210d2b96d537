//! Sessions: the rules work on a store and on the one in memory in turn, and answer alike.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::{GENERATION, name};
use crate::algebra::{
    Answer, Ask, BunchNumber, Change, Cursors, EntityKey, Epoch, Group, Index, Millis, Operation, Patch,
    Planned, ReplicaId, Schema, Seq, State,
};
use crate::authority::{MemoryStore, Rules, Store, answer};
use crate::codec::lines;
use crate::workload::random::Random;

const STEPS: usize = 40;
const COLLECTIONS: [(&str, u64); 3] = [("folders", 3), ("notes", 4), ("tags", 2)];

/// Plays one session; how many questions were answered alike.
pub(super) fn play<S: Store>(mut store: S, schema: &Schema, seed: u64) -> Result<u64, String> {
    let mut session = Session::new(seed);
    let mut memory = MemoryStore::new(schema.clone(), GENERATION);
    let mut answers = 0;
    for step in 0..STEPS {
        let ask = session.ask();
        let now = Millis(1_000_000 + step as u64 * 1_000);
        let refuses = |planned: &Planned| {
            // By what it is, so that both are refused the same.
            (planned.base == Some(Epoch(11))).then(|| "refused by the suite".to_owned())
        };
        let rules = Rules { schema, now, refuses: &refuses };
        let expected = match answer(&mut memory, &rules, &ask) {
            Ok(expected) => expected,
            Err(never) => match never {},
        };
        let found = answer(&mut store, &rules, &ask).map_err(|error| format!("the store says: {error}"))?;
        if comparable(found.clone()) != comparable(expected.clone()) {
            return Err(format!("step {step}: asked {ask:?}, {found:?} instead of {expected:?}"));
        }
        answers += 1;
    }
    Ok(answers)
}

/// Without what no client can tell apart: the order of reads, and cursors at nothing.
pub(in crate::testing) fn comparable(mut answer: Answer) -> Answer {
    match &mut answer {
        Answer::Rows(rows) => rows.sort_by(|a, b| a.key.cmp(&b.key)),
        Answer::Changes(page) => {
            page.cursors.retain(|_, epoch| epoch.0 > 0);
            page.floors.retain(|_, epoch| epoch.0 > 0);
        }
        // A collection of which nothing was ever written need not be listed.
        Answer::LiveSets(sets) => sets.retain(|_, (_, epoch)| epoch.0 > 0),
        Answer::Delivered(_)
        | Answer::Forked
        | Answer::TooLarge
        | Answer::StartOver { .. }
        | Answer::Triggers(_)
        | Answer::TriggersTooOld
        | Answer::Busy { .. }
        | Answer::Unauthorised
        | Answer::Offline => {}
    }
    answer
}

/// What clients ask of one account, by chance.
pub(super) struct Session {
    random: Random,
    bunches: u64,
    /// What was delivered, to be delivered again.
    asked: Vec<Ask>,
}

impl Session {
    pub(super) fn new(seed: u64) -> Self {
        Session { random: Random::new(seed), bunches: 0, asked: Vec::new() }
    }

    /// The next ask, of the generation [`GENERATION`] where it names one.
    pub(super) fn ask(&mut self) -> Ask {
        match self.random.below(11) {
            0..=4 => {
                let ask = self.deliver();
                self.asked.push(ask.clone());
                ask
            }
            5 => self.again(),
            6 | 7 => {
                let cursors: Cursors =
                    COLLECTIONS.iter().map(|(of, _)| (name(of), Epoch(self.random.below(12)))).collect();
                let rows_max = usize::try_from(1 + self.random.below(6)).unwrap_or(1);
                Ask::Changes { cursors, floors: Cursors::new(), generation: Some(GENERATION), rows_max }
            }
            8 => {
                let above = Index(self.random.below(30));
                Ask::Triggers { above, generation: Some(GENERATION), triggers_max: 5 }
            }
            9 => Ask::LiveSets { generation: None },
            _ => {
                let keys: BTreeSet<EntityKey> = (0..4).map(|_| self.key()).collect();
                Ask::Reads { keys: keys.into_iter().collect() }
            }
        }
    }

    /// What was delivered before: as it was, or with other bytes under its number.
    fn again(&mut self) -> Ask {
        let place = usize::try_from(self.random.below(self.asked.len() as u64)).unwrap_or(0);
        let Some(ask) = self.asked.get(place).cloned() else { return self.deliver() };
        match ask {
            Ask::Deliver { replica, mut bunch, generation } if self.random.below(4) == 0 => {
                bunch.operations.truncate(1);
                let bunch = lines::bunch(bunch.number, bunch.operations);
                Ask::Deliver { replica, bunch, generation }
            }
            ask => ask,
        }
    }

    fn deliver(&mut self) -> Ask {
        self.bunches += 1;
        let mut keys: BTreeSet<EntityKey> = BTreeSet::new();
        let mut operations = Vec::new();
        for number in 0..1 + self.random.below(4) {
            let key = self.key();
            if keys.insert(key.clone()) {
                operations.push(self.planned(key, number + 1));
            }
        }
        let replica = ReplicaId(Uuid::from_u128(0xA + u128::from(self.random.below(3))));
        let bunch = lines::bunch(BunchNumber(self.bunches), operations);
        Ask::Deliver { replica, bunch, generation: Some(GENERATION) }
    }

    fn key(&mut self) -> EntityKey {
        let place = usize::try_from(self.random.below(3)).unwrap_or(0);
        let (collection, count) = COLLECTIONS.get(place).copied().unwrap_or(("notes", 4));
        let id = 1 + u128::from(self.random.below(count));
        EntityKey::new(name(collection), Uuid::from_u128(id)).expect("an id of the suite's is not nil")
    }

    fn planned(&mut self, key: EntityKey, number: u64) -> Planned {
        let mut fields = serde_json::Map::new();
        for field in ["a", "b"] {
            match self.random.below(3) {
                0 => drop(fields.insert(field.to_owned(), self.random.below(3).into())),
                1 if self.random.below(3) == 0 => drop(fields.insert(field.to_owned(), ().into())),
                _ => {}
            }
        }
        let folder = Uuid::from_u128(1 + u128::from(self.random.below(3))).to_string();
        let note = Uuid::from_u128(1 + u128::from(self.random.below(4))).to_string();
        let mut refer = |field: &str, id: String, random: &mut Random| {
            if random.below(2) == 0 {
                fields.insert(field.to_owned(), id.into());
            }
        };
        match key.collection().as_str() {
            "folders" => refer("in", folder, &mut self.random),
            "notes" => {
                refer("in", folder, &mut self.random);
                fields.insert("title".to_owned(), format!("title {}", self.random.below(4)).into());
                fields.insert("number".to_owned(), self.random.below(2).into());
            }
            _ => {
                refer("on", note, &mut self.random);
                refer("at", folder, &mut self.random);
            }
        }
        let state = || State::from_serialize(&fields).expect("the suite's fields are valid");
        let operation = match self.random.below(5) {
            0 | 1 => Operation::create(key, state()),
            2 => Operation::delete(key),
            3 => Operation::update(key, state()),
            _ => Operation::patch(key, Patch::from_serialize(&fields).expect("the suite's fields are valid")),
        };
        let mut operation =
            operation.at(1_000_000 + self.random.below(50_000)).expect("a time within bounds");
        if self.random.below(3) == 0 {
            operation = operation.in_group(Group::new("together").expect("a word is a name"));
        }
        let base = match self.random.below(4) {
            0 => None,
            1 => Some(Epoch(0)),
            _ => Some(Epoch(self.random.below(12))),
        };
        let revives = matches!(operation.change, Change::Create(_)) && self.random.below(2) == 0;
        let touched = revives.then(|| vec!["a".to_owned()]);
        Planned { operation, base, first: Seq(number), last: Seq(number), operations: 1, touched }
    }
}
