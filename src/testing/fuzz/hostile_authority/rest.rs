//! The end: an honest authority, which holds what it was sent on the way.

use std::collections::BTreeSet;

use super::{Session, generation};
use crate::algebra::EntityKey;
use crate::replica::Status;
use crate::sync::{self, Next, Want};
use crate::testing::fuzz::build::Bytes;
use crate::testing::strategies::{ENTITIES, entity};
use crate::testing::values::{kept, tokens};

/// More than so many questions are no sync but a circle.
const ASKS_MAX: usize = 400;

impl Session {
    /// The network is good, nobody lies and nobody writes.
    pub(super) fn come_to_rest(&mut self, bytes: &mut Bytes<'_>) {
        // What a liar said of epochs is told from the truth by another generation, or forgotten on demand.
        if bytes.below(2) == 0 {
            self.store.restored_as(generation(9));
        } else {
            self.engine.start_over().expect("a replica that can be written");
        }
        self.account.push("from here on it is honest".to_owned());
        let mut aside = BTreeSet::new();
        for round in 0..4 {
            self.sync(if round == 3 { Want { compare: true, ..Want::SYNC } } else { Want::SYNC });
            aside.extend(self.engine.replica().undecided().expect("what is undecided"));
        }
        let there: Vec<_> =
            self.store.entities().map(|(key, stored)| (key.clone(), stored.clone())).collect();
        let live = || there.iter().filter_map(|(key, stored)| Some((key, stored.version.existence.live()?)));
        let replica = self.engine.replica();
        for key in (0..ENTITIES).map(entity).filter(|key| !aside.contains(key)) {
            let status = replica.entity(&key).expect("an entity").status;
            let seen = replica.get(&key).expect("an entity");
            let held = live().find(|(held, _)| **held == key).map(|(_, state)| state);
            let account = &self.account;
            assert!(seen.as_ref() == held, "{key} is seen as {seen:?}, and there is {held:?}\n{account:#?}");
            assert!(status == Status::Synchronised, "{key} is {status:?}\n{account:#?}");
        }
        let all: Vec<EntityKey> = (0..ENTITIES).map(entity).collect();
        let mut found = kept(replica, &all).expect("a replica that can be read");
        found.extend(live().flat_map(|(key, state)| tokens(key, Some(state))));
        let missing = self.values.missing(&found);
        assert!(missing.is_empty(), "at the end {missing:?} are nowhere\n{:#?}", self.account);
    }

    fn sync(&mut self, want: Want) {
        self.engine.authorised().expect("new credentials");
        self.engine.online().expect("a replica that can be written");
        self.engine.want_only(want);
        for _ in 0..ASKS_MAX {
            self.now.0 += 10;
            let Next::Ask(request) = self.engine.next(self.now).expect("something to do") else { return };
            let honest = self.honest(&request.ask);
            self.account.push(format!("asked {:?}, answered {honest:?}", request.ask));
            let random = u128::from(self.now.0) | 1 << 100;
            let taken = self.engine.answer(request.number, honest, self.now, random);
            if let Ok(sync::Taken::Compared(compared)) = &taken {
                let is_same = *compared == sync::Compared::default();
                assert!(is_same, "what was fetched is not what is there: {compared:?}\n{:#?}", self.account);
            }
            assert!(taken.is_ok(), "an honest answer is refused: {taken:?}\n{:#?}", self.account);
            self.look();
        }
        panic!("there is always more to ask\n{:#?}", self.account);
    }
}
