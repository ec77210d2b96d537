//! An honest client of one account.

use std::collections::BTreeSet;

use super::super::build::mark;
use super::{Bytes, NOW, whole};
use crate::algebra::{Change, EntityKey, Existence, Limits, Millis, Operation, ReplicaId, Schema, State};
use crate::authority::{Account, Authority};
use crate::journal::{Durability, Options};
use crate::replica::{Replica, Status};
use crate::sync::{self, Engine, Next, Want};

/// More than so many questions are no sync but a circle.
const ASKS_MAX: usize = 400;

pub(super) struct Device {
    engine: Engine,
}

impl Device {
    pub(super) fn new(schema: &Schema, id: ReplicaId) -> Self {
        let options = Options::new().cache_bytes(1 << 20).clock(|| NOW).replica(id).schema(schema.clone());
        let options_of_sync = sync::Options {
            rows_max: 4,
            limits: Limits { operations: 4, ..Limits::default() },
            ..sync::Options::default()
        };
        let replica = Replica::in_memory(options).expect("a replica in memory");
        Device { engine: Engine::new(replica, options_of_sync) }
    }

    /// What its program does; with a value that is known again where that is wanted.
    pub(super) fn operations(bytes: &mut Bytes<'_>, value: Option<&str>) -> Vec<Operation> {
        let mut operations: Vec<Operation> = (0..1 + bytes.below(3)).map(|_| bytes.operation()).collect();
        let Some(value) = value else { return operations };
        for Operation { change, .. } in &mut operations {
            if *change == Change::Delete {
                *change = Change::Create(State::empty());
            }
            mark(change, value);
        }
        operations
    }

    /// Does it, unless that is refused here already.
    pub(super) fn write(&mut self, operations: &[Operation]) {
        let _ = self.engine.replica().commit(operations, Durability::Durable);
    }

    /// Asks until there is nothing to ask.
    pub(super) fn sync(
        &mut self,
        authority: &dyn Authority,
        account: &Account,
        now: u64,
        told: &mut Vec<String>,
    ) {
        self.ask_all(authority, account, now, Want::SYNC, told);
    }

    /// Syncs until all is as it is there.
    pub(super) fn come_to_rest(
        &mut self,
        authority: &dyn Authority,
        account: &Account,
        now: u64,
        told: &mut Vec<String>,
    ) {
        let mut aside: BTreeSet<EntityKey> = BTreeSet::new();
        for round in 0..4 {
            let want = if round == 3 { Want { compare: true, ..Want::SYNC } } else { Want::SYNC };
            self.ask_all(authority, account, now + round * 1_000, want, told);
            aside.extend(self.engine.replica().undecided().expect("what is undecided"));
        }
        let replica = self.engine.replica();
        let found = replica.check().expect("a replica that can be read");
        assert!(found.is_empty(), "{found:#?}\n{told:#?}");
        let there = whole::seen(authority, account);
        let mut keys: BTreeSet<EntityKey> = replica.known().expect("keys").into_iter().collect();
        keys.extend(there.rows.iter().map(|row| row.key.clone()));
        for key in keys.difference(&aside) {
            let held = there.rows.iter().find(|row| row.key == *key);
            let held = held.and_then(|row| row.version.existence.live());
            let seen = replica.entity(key).expect("an entity");
            let live = match &seen.version.existence {
                Existence::Live(state) => Some(state),
                Existence::Dead(_) | Existence::Absent => None,
            };
            assert!(live == held, "{account} sees {live:?} of {key}, and there is {held:?}\n{told:#?}");
            assert!(seen.status == Status::Synchronised, "{key} is {:?}\n{told:#?}", seen.status);
        }
    }

    fn ask_all(
        &mut self,
        authority: &dyn Authority,
        account: &Account,
        now: u64,
        want: Want,
        told: &mut Vec<String>,
    ) {
        self.engine.online().expect("a replica that can be written");
        self.engine.want_only(want);
        for number in 0..ASKS_MAX {
            let now = Millis(now + number as u64);
            let Next::Ask(request) = self.engine.next(now).expect("something to do") else { return };
            let answer = authority.answer(account, now, &request.ask).expect("an answer");
            told.push(format!("{account} asks {:?}, is answered {answer:?}", request.ask));
            let random = u128::from(now.0) | 1 << 100;
            let taken = self.engine.answer(request.number, answer, now, random);
            if let Ok(sync::Taken::Compared(compared)) = &taken {
                assert!(*compared == sync::Compared::default(), "{account}: {compared:?}\n{told:#?}");
            }
            assert!(taken.is_ok(), "{account} refuses an honest answer: {taken:?}\n{told:#?}");
        }
        panic!("{account} always has more to ask\n{told:#?}");
    }
}
