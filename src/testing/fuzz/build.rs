//! Logs, baselines and schedules out of bytes.

use crate::algebra::{
    Change, CollectionName, Epoch, Existence, Group, Millis, OnDelete, Operation, Patch, Policy, Schema,
    State, Update,
};
use crate::testing::baseline::Baseline;
use crate::testing::schedule::{Answer, Schedule, SealLimits, Step};
use crate::testing::strategies::{ENTITIES, FIELDS, VALUES, entity, known, object, schema_of};

/// Bytes to be taken one by one; zeros when they have run out. A clone reads the same ones again.
#[derive(Clone)]
pub(super) struct Bytes<'d> {
    left: &'d [u8],
}

impl<'d> Bytes<'d> {
    pub(super) fn new(data: &'d [u8]) -> Self {
        Bytes { left: data }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    pub(super) fn next(&mut self) -> u8 {
        match self.left.split_first() {
            Some((byte, left)) => {
                self.left = left;
                *byte
            }
            None => 0,
        }
    }

    /// A number below a small bound.
    pub(super) fn below(&mut self, bound: u8) -> usize {
        usize::from(self.next() % bound.max(1))
    }

    /// In half of the cases a schema.
    pub(super) fn schema(&mut self) -> Option<Schema> {
        let bits = self.next();
        let is_set = |place: u8| bits & (1 << place) != 0;
        is_set(0).then(|| {
            let references = [OnDelete::Cascade, OnDelete::SetNull, OnDelete::Restrict, OnDelete::Restrict];
            let references: Vec<_> = (1..)
                .zip(references)
                .map(|(bit, on_delete)| is_set(bit).then_some((on_delete, bit == 4)))
                .collect();
            schema_of(&references, &[is_set(5), is_set(6), is_set(7)])
        })
    }

    /// A schema, with a policy for each collection.
    pub(super) fn schema_with_policies(&mut self) -> Schema {
        let schema = self.schema().unwrap_or_default();
        let declared = ["folders", "notes"].map(|name| {
            let policy = match self.below(4) {
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

    /// Changes a few bytes of something: another byte, one more, one less, the rest gone, a part of it doubled.
    pub(super) fn bend(&mut self, text: &mut Vec<u8>) {
        for _ in 0..1 + self.below(4) {
            let place = usize::from(self.next()) << 8 | usize::from(self.next());
            let Some(place) = place.checked_rem(text.len()) else { return };
            match self.below(6) {
                0 => text.truncate(place),
                1 => text.insert(place, self.next()),
                2 => drop(text.remove(place)),
                3 => {
                    let end = text.len().min(place + self.below(64));
                    let doubled = text.get(place..end).unwrap_or_default().to_vec();
                    text.splice(place..place, doubled);
                }
                _ => text.splice(place..=place, [self.next()]).for_each(drop),
            }
        }
    }

    /// Sets a number somewhere in a record, as wide as its numbers are, to one that is at some edge.
    pub(super) fn tamper(&mut self, record: &mut [u8]) {
        let place = usize::from(self.next()) << 8 | usize::from(self.next());
        let Some(place) = place.checked_rem(record.len()) else { return };
        let width = [1, 2, 4, 8].get(self.below(4)).copied().unwrap_or(1);
        let number = match self.below(8) {
            0 => u64::MAX,
            1 => i64::MAX.unsigned_abs(),
            2 => 0,
            3 => 1 << self.below(64),
            _ => u64::from(self.next()),
        };
        record.iter_mut().skip(place).take(width).zip(number.to_le_bytes()).for_each(|(at, byte)| *at = byte);
    }

    fn fields(&mut self, allows_null: bool) -> String {
        let values: Vec<Option<&str>> = FIELDS
            .iter()
            .map(|_| match self.below(16) {
                place if allows_null && place == VALUES.len() => Some("null"),
                place => VALUES.get(place).copied(),
            })
            .collect();
        object(&values)
    }

    pub(super) fn state(&mut self) -> State {
        State::from_json(&self.fields(false)).expect("an object")
    }

    fn change(&mut self) -> Change {
        match self.below(5) {
            0 => Change::Create(self.state()),
            1 => Change::Update(Update::State(self.state())),
            2 | 3 => Change::Update(Update::Patch(Patch::from_json(&self.fields(true)).expect("an object"))),
            _ => Change::Delete,
        }
    }

    pub(super) fn operation(&mut self) -> Operation {
        let key = entity(self.below(12) % ENTITIES);
        let extras = self.below(16) as u64;
        let operation =
            Operation { at: (extras > 3).then_some(Millis(extras)), ..Operation::new(key, self.change()) };
        match extras % 8 {
            0 => operation.in_group(Group::new("g").expect("a plain name")),
            1 => operation.in_group(Group::new("h").expect("a plain name")),
            _ => operation,
        }
    }

    pub(super) fn log(&mut self, most: usize) -> Vec<Operation> {
        let mut log = Vec::new();
        while !self.left.is_empty() && log.len() < most {
            log.push(self.operation());
        }
        log
    }

    pub(super) fn existence(&mut self) -> Existence {
        match self.below(3) {
            0 => Existence::Absent,
            1 => Existence::Live(self.state()),
            _ => Existence::Dead(self.state()),
        }
    }

    pub(super) fn baseline(&mut self) -> Baseline {
        let mut baseline = Baseline::new(self.below(2) == 1);
        for number in 0..ENTITIES {
            let how_much = self.next() % 6;
            if how_much < 5 {
                let truth = self.existence();
                let epoch = (how_much > 2).then_some(Epoch(u64::from(how_much)));
                baseline.insert(entity(number), known(&truth, how_much, epoch), truth);
            }
        }
        baseline
    }

    fn answer(&mut self) -> Answer {
        match self.below(12) {
            0 => Answer::AcceptedAs(self.state()),
            1 => Answer::AcceptedGone,
            2 => Answer::AcceptedOver(self.state()),
            3 => Answer::Superseded(Some(self.state())),
            4 => Answer::Superseded(None),
            5 => Answer::Clash(self.below(4)),
            6 => Answer::Refused,
            7 => Answer::Waits(self.below(4)),
            8 => Answer::Retry,
            _ => Answer::Accepted,
        }
    }

    fn step(&mut self) -> Step {
        match self.below(32) {
            0 => Step::Flush,
            1 => Step::Learn { entity: self.below(6), truth: self.existence() },
            2 | 3 => Step::Compact,
            4 => Step::Plan,
            5..=8 => Step::Seal(SealLimits {
                operations_max: u32::try_from(self.below(5)).ok().filter(|most| *most > 0),
                bytes_max: Some(self.below(8) as u64 * 100).filter(|most| *most > 0),
            }),
            9..=11 => Step::Settle((0..self.below(4)).map(|_| self.answer()).collect()),
            12 => Step::SettleAgain,
            13 => Step::Retry(self.below(4)),
            14 => Step::Edit { parked: self.below(4), change: self.change() },
            15 => Step::Drop(self.below(4)),
            16 => Step::Cancel(self.below(8)),
            17 => Step::Crash,
            18 => Step::Reopen,
            19 => Step::Suspend,
            20 => Step::Reclaim,
            21 | 22 => Step::Remote { entity: self.below(6), truth: self.existence() },
            23 => Step::Hear { lost: self.next(), twice: self.below(2) == 1 },
            24 => Step::Hear { lost: 0, twice: false },
            25 => Step::FillGaps,
            26 => Step::Integrate { lost: self.next() },
            27 => Step::IntegrateAgain,
            28 => Step::Deliver((0..self.below(4)).map(|_| self.answer()).collect()),
            _ => {
                let is_durable = self.below(2) == 0;
                Step::Append {
                    operations: (0..self.below(5)).map(|_| self.operation()).collect(),
                    is_durable,
                }
            }
        }
    }

    pub(super) fn schedule(&mut self, most: usize) -> Schedule {
        let mut schedule = Schedule::new();
        while !self.left.is_empty() && schedule.len() < most {
            schedule.push(self.step());
        }
        schedule
    }
}

/// Writes a value into what a change writes, so that it is known again.
pub(super) fn mark(change: &mut Change, value: &str) {
    let patch = Patch::from_serialize(&serde_json::json!({ "v": value })).expect("a plain value");
    match change {
        Change::Create(state) | Change::Update(Update::State(state)) => *state = state.with(&patch),
        Change::Update(Update::Patch(first)) => *first = first.then(&patch),
        Change::Delete => {}
    }
}
