//! The same files, salvaged.
//!
//! | looked at | |
//! |---|---|
//! | the file is as it was, byte for byte | after it, however it ends |
//! | a typed error that names the file, and no other file left behind | after an error |
//! | the new file verifies | else |
//! | all of it can be read, written and synced | then |
//! | its parts agree, and with an honest authority it comes to hold what is there, but what waits for somebody | where nothing lied |

use std::collections::{BTreeMap, BTreeSet};

use super::base::{base, create, patch};
use super::{hurt, options, seen};
use crate::algebra::{EntityKey, Millis};
use crate::journal::{Durability, LostName, Salvaged, salvage, verify};
use crate::replica::{Error, Replica};
use crate::scenario::Link;
use crate::sync::{self, Engine, Next, Taken, Want};
use crate::testing::fuzz::build::Bytes;
use crate::testing::fuzz::scratch::Scratch;

/// More than so many questions are no sync but a circle.
const ASKS_MAX: u64 = 400;

/// Salvages the file that these bytes mean, and goes on with what comes of it.
///
/// # Panics
/// If something is not as it must be.
pub fn salvaged(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let base = base();
    let (file, lied) = hurt(&mut bytes, base);
    let lost_name = if bytes.below(2) == 0 { LostName::Refused } else { LostName::Drawn };
    let scratch = Scratch::new(&file);
    let (damaged, new) = (scratch.path(), scratch.path().with_file_name("new"));
    let done = salvage(damaged, &new, lost_name);
    assert!(std::fs::read(damaged).ok().as_ref() == Some(&file), "the damaged file was written to");
    let account = match done {
        Ok(account) => account,
        Err(error) => {
            let words = error.to_string();
            assert!(words.contains(&damaged.display().to_string()), "{words}: of which file? {error:?}");
            let left = std::fs::read_dir(scratch.folder()).expect("its own folder").count();
            assert!(left == 1, "{words}: something is left behind");
            return;
        }
    };
    let report = verify(&new).expect("a sound file");
    assert!(report.findings.is_empty(), "{account:?}: {report:#?}");
    // Where its record is gone it is a journal, of which a replica is made again by who has the schema.
    let journal = options().schema(base.schema.clone()).open(&new).expect("a sound file");
    let replica = match Replica::of(journal) {
        Ok(replica) => replica,
        Err(error) => return assert!(lied, "{account:?}: {error}"),
    };
    let found = replica.check().expect("a sound file");
    assert!(lied || found.is_empty(), "{account:?}: {found:#?}");
    seen(&replica);
    let written = [create("trees", 30, r#"{"tag":1}"#, 100), patch("plots", 1, r#"{"note":"new"}"#, 100)];
    let refused = replica.commit(&written, Durability::Durable).err();
    // What the entities refer to may be gone, or what a key of theirs was.
    assert!(
        refused.is_none_or(|error| !matches!(error, Error::Journal { source } if source.is_damage())),
        "{account:?}: it cannot be written to"
    );
    let mut session = Session {
        engine: Engine::new(replica, sync::Options { rows_max: 4, ..sync::Options::default() }),
        link: Link::of(base.store.clone(), base.schema.clone()),
        now: Millis(30_000),
        account,
    };
    session.come_to_rest(lied);
}

/// The new replica and its authority.
struct Session {
    engine: Engine,
    link: Link,
    now: Millis,
    account: Salvaged,
}

impl Session {
    /// Syncs until there is nothing more to do, and looks at what has come of it, unless the file lied of what was there.
    fn come_to_rest(&mut self, lied: bool) {
        for compare in [false, false, true] {
            self.sync(Want { compare, ..Want::SYNC }, lied);
        }
        if lied {
            return;
        }
        let replica = self.engine.replica();
        let aside = replica.undecided().expect("a sound file");
        let here: BTreeMap<_, _> = replica.entities(None).expect("a sound file").into_iter().collect();
        let there: BTreeMap<_, _> = self.link.store.entities().collect();
        let keys: BTreeSet<&EntityKey> = here.keys().chain(there.keys().copied()).collect();
        for key in keys.into_iter().filter(|key| !aside.contains(*key)) {
            let seen = here.get(key).and_then(|entity| entity.version.existence.live());
            let held = there.get(key).and_then(|stored| stored.version.existence.live());
            assert!(seen == held, "{key} is seen as {seen:?}, and there is {held:?}: {:?}", self.account);
        }
    }

    fn sync(&mut self, want: Want, lied: bool) {
        self.engine.online().expect("a sound file");
        self.engine.want_only(want);
        for _ in 0..ASKS_MAX {
            self.now.0 += 10;
            let Next::Ask(request) = self.engine.next(self.now).expect("a sound file") else { return };
            let answer = self.link.answer(&request.ask, self.now);
            match self.engine.answer(request.number, answer, self.now, 1 << 100) {
                Ok(Taken::Compared(compared)) => {
                    // What waits for somebody may be there or not.
                    let aside = self.engine.replica().undecided().expect("a sound file");
                    let is_aside = |name| aside.iter().any(|key| key.collection() == name);
                    let is_same = compared.behind.is_empty() && compared.differing.iter().all(is_aside);
                    assert!(lied || is_same, "{compared:?}: {:?}", self.account);
                }
                Ok(_) => {}
                Err(error) => assert!(lied, "an honest answer is refused: {error}: {:?}", self.account),
            }
        }
        assert!(lied, "there is always more to ask: {:?}", self.account);
    }
}
