//! What clients ask, made of seeds and by hand.

use std::collections::BTreeSet;

use foldlog::Uuid;
use foldlog::algebra::{
    Answer, Ask, Bunch, BunchNumber, CollectionName, Cursors, Digest, EntityKey, Epoch, Generation, Group,
    Index, Millis, Operation, Outcome, Patch, Planned, ReplicaId, Seq, State,
};
use foldlog::authority::{Account, Authority, Error};

/// Collections of every policy, with references of every kind and keys of one and two fields.
pub(crate) const SCHEMA: &str = r#"{"collections":{
    "folders":{"references":{"in":{"to":"folders","on_delete":"cascade"}}},
    "notes":{"policy":"newest","unique":[["title"],["in","number"]],
        "references":{"in":{"to":"folders","on_delete":"cascade"}}},
    "tags":{"policy":"first_to_authority",
        "references":{"on":{"to":"notes","on_delete":"set_null"},"at":{"to":"folders","on_delete":"restrict"}}},
    "marks":{"policy":"manual","references":{"on":{"to":"tags","on_delete":"cascade"}}}}}"#;

pub(crate) const NOW: Millis = Millis(2_000_000);

pub(crate) fn name(text: &str) -> CollectionName {
    CollectionName::new(text).unwrap()
}

pub(crate) fn key(collection: &str, n: u128) -> EntityKey {
    EntityKey::new(name(collection), Uuid::from_u128(n)).unwrap()
}

pub(crate) fn id(n: u128) -> String {
    Uuid::from_u128(n).to_string()
}

pub(crate) fn state(json: &str) -> State {
    State::from_json(json).unwrap()
}

pub(crate) fn create(collection: &str, n: u128, json: &str) -> Operation {
    Operation::create(key(collection, n), state(json))
}

pub(crate) fn patch(collection: &str, n: u128, json: &str) -> Operation {
    Operation::patch(key(collection, n), Patch::from_json(json).unwrap())
}

/// A bunch of operations that claim no base.
pub(crate) fn bunch(number: u64, operations: Vec<Operation>) -> Bunch {
    let planned = |(seq, operation): (u64, Operation)| Planned {
        operation: operation.at(1_000_000 + number % 1_000).unwrap(),
        base: None,
        first: Seq(seq),
        last: Seq(seq),
        operations: 1,
        touched: None,
    };
    let operations: Vec<Planned> = (1..).zip(operations).map(planned).collect();
    made(number, operations)
}

fn made(number: u64, operations: Vec<Planned>) -> Bunch {
    let id = Digest(*blake3::hash(format!("{number} {operations:?}").as_bytes()).as_bytes());
    Bunch { number: BunchNumber(number), id, operations }
}

pub(crate) fn deliver(replica: u128, bunch: Bunch) -> Ask {
    Ask::Deliver { replica: ReplicaId(Uuid::from_u128(replica)), bunch, generation: None }
}

/// Delivers operations under a number of their own; what came of them.
pub(crate) fn try_delivered(
    authority: &dyn Authority,
    account: &Account,
    number: u64,
    operations: Vec<Operation>,
) -> Result<Vec<Outcome>, Error> {
    match authority.answer(account, NOW, &deliver(7, bunch(number, operations)))? {
        Answer::Delivered(outcomes) => Ok(outcomes.outcomes),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn delivered(
    authority: &dyn Authority,
    account: &Account,
    number: u64,
    operations: Vec<Operation>,
) -> Vec<Outcome> {
    try_delivered(authority, account, number, operations).unwrap()
}

/// That every operation was accepted.
pub(crate) fn accepted(outcomes: &[Outcome]) {
    for outcome in outcomes {
        assert!(matches!(outcome, Outcome::Accepted { .. }), "{outcome:?}");
    }
}

/// The live state of an entity, if it is live.
pub(crate) fn live(authority: &dyn Authority, account: &Account, key: &EntityKey) -> Option<State> {
    match authority.answer(account, NOW, &Ask::Reads { keys: vec![key.clone()] }).unwrap() {
        Answer::Rows(rows) => rows.first().and_then(|row| row.version.existence.live().cloned()),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn changes(cursors: Cursors, rows_max: usize, generation: Option<Generation>) -> Ask {
    Ask::Changes { cursors, floors: Cursors::new(), generation, rows_max }
}

/// The generation of an account.
pub(crate) fn generation(authority: &dyn Authority, account: &Account) -> Generation {
    match authority.answer(account, NOW, &changes(Cursors::new(), 1, None)).unwrap() {
        Answer::Changes(page) => page.generation,
        other => panic!("{other:?}"),
    }
}

/// Asks, all made of one seed.
pub(crate) struct Asks {
    random: u64,
    bunches: u64,
    asked: Vec<Ask>,
}

const COLLECTIONS: [(&str, u64); 4] = [("folders", 3), ("notes", 4), ("tags", 3), ("marks", 2)];

/// Values that JSONB refuses or would change, and some that it would not.
const VALUES: [&str; 8] =
    ["1", "1.0", "-0.0", "1e300", r#""a\u0000b""#, r#""1e5 \\ ä 日""#, "[true,{\"z\":1,\"aa\":2}]", "null"];

impl Asks {
    pub(crate) fn new(seed: u64) -> Asks {
        Asks { random: seed, bunches: 0, asked: Vec::new() }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    pub(crate) fn chance(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }

    pub(crate) fn next(&mut self) -> Ask {
        match self.below(12) {
            0..=5 => {
                let ask = self.deliver();
                self.asked.push(ask.clone());
                ask
            }
            6 if !self.asked.is_empty() => {
                let place = usize::try_from(self.below(self.asked.len() as u64)).unwrap();
                self.asked[place].clone()
            }
            6 | 7 => {
                let cursors = COLLECTIONS.map(|(of, _)| (name(of), Epoch(self.below(16))));
                let kept = cursors.into_iter().filter(|_| true).collect();
                let rows_max = usize::try_from(1 + self.below(6)).unwrap();
                changes(kept, rows_max, None)
            }
            8 => changes(Cursors::new(), 100, None),
            9 => Ask::Triggers { above: Index(self.below(30)), generation: None, triggers_max: 5 },
            10 => Ask::LiveSets { generation: None },
            _ => {
                let keys: BTreeSet<EntityKey> = (0..4).map(|_| self.key()).collect();
                Ask::Reads { keys: keys.into_iter().collect() }
            }
        }
    }

    fn key(&mut self) -> EntityKey {
        let (collection, count) = COLLECTIONS[usize::try_from(self.below(4)).unwrap()];
        key(collection, 1 + u128::from(self.below(count)))
    }

    fn deliver(&mut self) -> Ask {
        self.bunches += 1;
        let mut keys: BTreeSet<EntityKey> = BTreeSet::new();
        let mut operations = Vec::new();
        for number in 0..1 + self.below(5) {
            let key = self.key();
            if keys.insert(key.clone()) {
                operations.push(self.planned(key, number + 1));
            }
        }
        deliver(0xA + u128::from(self.below(3)), made(self.bunches, operations))
    }

    fn planned(&mut self, key: EntityKey, number: u64) -> Planned {
        let mut fields: Vec<(&str, String)> = Vec::new();
        for field in ["a", "b"] {
            if self.chance(2) {
                fields.push((field, VALUES[usize::try_from(self.below(8)).unwrap()].to_owned()));
            }
        }
        let mut refer = |asks: &mut Asks, field: &'static str, most: u64| {
            let other = format!("\"{}\"", id(1 + u128::from(asks.below(most))));
            match asks.below(5) {
                0 | 1 => fields.push((field, other)),
                2 => fields.push((field, "null".to_owned())),
                _ => {}
            }
        };
        match key.collection().as_str() {
            "folders" => refer(self, "in", 3),
            "notes" => {
                refer(self, "in", 3);
                fields.push(("title", format!("\"title {}\"", self.below(4))));
                fields.push(("number", self.below(2).to_string()));
            }
            "tags" => {
                refer(self, "on", 4);
                refer(self, "at", 3);
            }
            _ => refer(self, "on", 3),
        }
        let text: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        let text = format!("{{{}}}", text.join(","));
        let operation = match self.below(6) {
            0 | 1 => Operation::create(key, state(&text)),
            2 | 3 => Operation::delete(key),
            4 => Operation::update(key, state(&text)),
            _ => Operation::patch(key, Patch::from_json(&text).unwrap()),
        };
        let mut operation = operation.at(1_000_000 + self.below(50_000)).unwrap();
        if self.chance(3) {
            operation = operation.in_group(Group::new("together").unwrap());
        }
        let base = match self.below(4) {
            0 => None,
            1 => Some(Epoch(0)),
            _ => Some(Epoch(self.below(16))),
        };
        Planned { operation, base, first: Seq(number), last: Seq(number), operations: 1, touched: None }
    }
}

/// An answer without what differs from one authority to the next, and what no client can tell apart.
pub(crate) fn comparable(mut answer: Answer) -> Answer {
    match &mut answer {
        Answer::Rows(rows) => rows.sort_by(|a, b| a.key.cmp(&b.key)),
        Answer::Changes(page) => {
            page.generation = Generation::default();
            page.cursors.retain(|_, epoch| epoch.0 > 0);
            page.floors.retain(|_, epoch| epoch.0 > 0);
        }
        Answer::StartOver { generation } => *generation = Generation::default(),
        Answer::LiveSets(sets) => sets.retain(|_, (_, epoch)| epoch.0 > 0),
        _ => {}
    }
    answer
}
