//! The authority's side, as much of it as a journal can tell: epochs, recorded answers, triggers.
//!
//! - Every change gets the next epoch; deleting what is gone changes nothing and gets none.
//! - A bunch is carried out the first time it arrives, and answered from the record every time after.
//! - An operation whose base epoch is older than the entity's is concurrent: the operation that arrives last
//!   wins, but a delete gives way to a change that it had not seen.
//! - What a schedule wants answered otherwise (refusals, clashes, a remote writer that comes first) is so.

use std::collections::BTreeMap;

use super::known::fields_of;
use crate::algebra::{
    Action, Bunch, BunchNumber, Change, Digest, EntityKey, Epoch, Existence, Index, Outcome, Outcomes,
    Planned, Resulting, Row, Stamps, State, Trigger,
};
use crate::testing::laws::{Violation, require};
use crate::testing::oracle::{Thing, World};
use crate::testing::schedule::Answer;

#[derive(Default)]
pub(super) struct Authority {
    pub(super) world: World,
    pub(super) epochs: BTreeMap<EntityKey, Epoch>,
    /// One counter for all collections: stricter than one each.
    epoch: Epoch,
    /// By bunch: the blake3 of its bytes, and the answer.
    record: BTreeMap<BunchNumber, (Digest, Outcomes)>,
    /// The stream of triggers, from index 1.
    pub(super) triggers: Vec<Trigger>,
}

/// Everything as it was before a bunch.
type Before = (World, BTreeMap<EntityKey, Epoch>);

impl Authority {
    /// Another writer makes the entity this.
    pub(super) fn write(&mut self, key: &EntityKey, truth: &Existence) {
        let thing = match truth {
            Existence::Live(_) | Existence::Dead(_) => truth.into(),
            // Nothing is ever unmade: what was there keeps its last fields.
            Existence::Absent => Thing::Dead(fields_of(self.world.thing(key)).unwrap_or_default()),
        };
        self.put(key, thing);
    }

    fn put(&mut self, key: &EntityKey, thing: Thing) -> Epoch {
        self.epoch.0 += 1;
        let action = if thing.live().is_some() { Action::Upsert } else { Action::Delete };
        let index = Index(self.triggers.len() as u64 + 1);
        self.triggers.push(Trigger { index, key: key.clone(), action, epoch: self.epoch, sender: None });
        self.epochs.insert(key.clone(), self.epoch);
        self.world.put(key, thing);
        self.epoch
    }

    /// The entity as a client reads it; none if it was never there.
    pub(super) fn row(&self, key: &EntityKey) -> Option<Row> {
        let epoch = self.epochs.get(key).copied();
        epoch.map(|epoch| Row { key: key.clone(), state: self.state(key), epoch: Some(epoch) })
    }

    fn state(&self, key: &EntityKey) -> Option<State> {
        let thing = self.world.thing(key);
        thing
            .live()
            .map(|fields| State::from_serialize(fields).expect("fields of states are fields of a state"))
    }

    /// Takes a bunch, and answers.
    pub(super) fn deliver(&mut self, bunch: &Bunch, answers: &[Answer]) -> Result<Outcomes, Violation> {
        if let Some((id, outcomes)) = self.record.get(&bunch.number) {
            require("the fence", *id == bunch.id, || {
                format!("bunch {} came with other bytes", bunch.number)
            })?;
            return Ok(outcomes.clone());
        }
        let mut answers = answers.iter().cycle();
        let mut outcomes = Vec::new();
        // What is concurrent is judged by what was there before the bunch.
        let before = (self.world.clone(), self.epochs.clone());
        for planned in &bunch.operations {
            let answer = answers.next().unwrap_or(&Answer::Accepted);
            outcomes.push(self.answer(planned, answer, bunch, &before));
        }
        let outcomes = Outcomes { bunch: bunch.number, outcomes };
        self.record.insert(bunch.number, (bunch.id, outcomes.clone()));
        Ok(outcomes)
    }

    fn answer(&mut self, planned: &Planned, answer: &Answer, bunch: &Bunch, before: &Before) -> Outcome {
        let key = &planned.operation.key;
        let of_bunch = |place: usize| bunch.operations.get(place % bunch.operations.len().max(1));
        match answer {
            Answer::Accepted => self.judge(planned, None, before),
            Answer::AcceptedOver(fields) => self.judge(planned, Some(fields), before),
            Answer::AcceptedGone if planned.operation.change == Change::Delete => {
                let before = self.world.thing(key);
                let is_live = before.live().is_some();
                let epoch = is_live.then(|| self.put(key, before.after(&Change::Delete)));
                Outcome::Accepted { epoch, result: Resulting::Gone(Stamps::default()), overwrote: None }
            }
            Answer::AcceptedAs(state) if planned.operation.change != Change::Delete => {
                let epoch = Some(self.put(key, (&Existence::Live(state.clone())).into()));
                Outcome::Accepted {
                    epoch,
                    result: Resulting::Live(state.clone(), Stamps::default()),
                    overwrote: None,
                }
            }
            Answer::AcceptedGone | Answer::AcceptedAs(_) => self.judge(planned, None, before),
            Answer::Superseded(state) => {
                let truth = state.clone().map_or(Existence::Absent, Existence::Live);
                self.write(key, &truth);
                self.superseded(key)
            }
            Answer::Clash(place) => {
                let holder = of_bunch(*place).map_or(key, |planned| &planned.operation.key).id();
                Outcome::Clash { unique: vec!["a".to_owned()], holder, of: None }
            }
            Answer::Refused => Outcome::Refused { reason: "refused by the schedule".to_owned() },
            Answer::Waits(place) => match of_bunch(*place).map(|planned| &planned.operation.key) {
                Some(on) if on != key => Outcome::Waits { on: on.clone() },
                Some(_) | None => Outcome::Retry,
            },
            Answer::Retry => Outcome::Retry,
        }
    }

    fn superseded(&self, key: &EntityKey) -> Outcome {
        let epoch = self.epochs.get(key).copied().unwrap_or_default();
        Outcome::Superseded { epoch, state: self.state(key), stamps: Stamps::default(), writer: None }
    }

    /// Decides by the epochs.
    fn judge(&mut self, planned: &Planned, overwrote: Option<&State>, before: &Before) -> Outcome {
        let (key, change) = (&planned.operation.key, &planned.operation.change);
        let (world, epochs) = before;
        let was_gone = matches!(world.thing(key), Thing::Dead(_));
        let was_at = epochs.get(key).copied().unwrap_or_default();
        let is_concurrent = planned.base.is_some_and(|base| base < was_at);
        let now = self.world.thing(key);
        let overwrote = overwrote.filter(|_| *change != Change::Delete).cloned();
        if *change == Change::Delete {
            if now.live().is_none() {
                return Outcome::Accepted { epoch: None, result: Resulting::AsSent, overwrote };
            }
            if is_concurrent {
                return self.superseded(key);
            }
        }
        let epoch = Some(self.put(key, now.after(change)));
        let result = match self.state(key) {
            // Told wherever it is not simply the operation laid on the base that it names.
            Some(state) if is_concurrent || planned.base.is_none() || was_gone => {
                Resulting::Live(state, Stamps::default())
            }
            Some(_) | None => Resulting::AsSent,
        };
        Outcome::Accepted { epoch, result, overwrote }
    }
}
