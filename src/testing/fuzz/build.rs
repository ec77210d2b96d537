//! Logs, baselines and schedules out of bytes.

use crate::algebra::{
    Change, Epoch, Existence, Group, Millis, OnDelete, Operation, Patch, Schema, State, Update,
};
use crate::testing::baseline::Baseline;
use crate::testing::schedule::{Answer, Schedule, SealLimits, Step};
use crate::testing::strategies::{ENTITIES, FIELDS, VALUES, entity, known, object, schema_of};

/// Bytes to be taken one by one; zeros when they have run out.
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

    fn operation(&mut self) -> Operation {
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
