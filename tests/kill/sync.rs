//! A replica that is written to and synced, and the authority that it syncs with, in one process.

use std::path::Path;

use foldlog::Uuid;
use foldlog::algebra::{Millis, ReplicaId};
use foldlog::authority::{Account, Authority, FileAuthority};
use foldlog::journal::{Options, verify};
use foldlog::replica::Replica;
use foldlog::sync::{self, Engine, Next, Want};

use crate::{
    Batches, Moments, Reached, kills, numbered, say, schema, shown, shown_up_to, start, with_open_files,
};

const SHARE: u32 = 3;
const AT: Millis = Millis(1_700_000_000_000);

fn opened(path: &Path, id: u128) -> Replica {
    let id = ReplicaId(Uuid::from_u128(id));
    Replica::create(path, Options::new().schema(schema()).replica(id).clock(|| AT.0)).unwrap()
}

fn authority(files: &Path) -> FileAuthority {
    FileAuthority::create(files.join("authority.redb"), schema()).unwrap()
}

/// Asks and is answered until nothing is left to do.
fn synced(replica: &Replica, authority: &FileAuthority) {
    let mut engine = Engine::new(replica.clone(), sync::Options::default());
    engine.want_only(Want::SYNC);
    let account = Account::new("anna").unwrap();
    while let Next::Ask(request) = engine.next(AT).unwrap() {
        let answer = authority.answer(&account, AT, &request.ask).unwrap();
        engine.answer(request.number, answer, AT, 0).unwrap();
    }
}

/// What is killed.
pub(crate) fn live(files: &Path, mut batches: Batches) {
    let replica = opened(&files.join("a.replica"), 1);
    let authority = authority(files);
    loop {
        for _ in 0..3 {
            batches.commit(&replica);
        }
        synced(&replica, &authority);
        say(format!("synced {}", batches.done));
    }
}

#[test]
fn what_was_acknowledged_survives_kills_and_reaches_the_authority() {
    let folder = tempfile::tempdir().unwrap();
    let files = folder.path();
    let (kills, mut moments) = (kills(SHARE), Moments::new());
    let (mut reached, mut syncs) = (Reached::default(), 0_u64);
    for kill in 0..kills {
        for (what, seq) in numbered(start("sync", files, reached.done), &mut moments) {
            match &*what {
                "appending" => reached.begin(seq),
                "appended" => reached.end(seq),
                _ => syncs += 1,
            }
        }
        let _open = with_open_files();
        if reached.done == 0 {
            // It may have died while the files were being made.
            continue;
        }
        let path = files.join("a.replica");
        assert_eq!(verify(&path).unwrap().findings, [], "kill {kill}");
        let replica = opened(&path, 1);
        assert_eq!(replica.check().unwrap(), [""; 0], "kill {kill}");
        reached.require_shown(&shown(&replica), &format!("kill {kill}"));
        if kill % 8 == 7 {
            let authority = authority(files);
            synced(&replica, &authority);
            let other = opened(&files.join(format!("{kill}.replica")), u128::from(kill) + 2);
            synced(&other, &authority);
            assert_eq!(shown(&other), shown_up_to(reached.done), "kill {kill}");
        }
    }
    let done = reached.done;
    println!("{kills} kills, {done} operations, synced {syncs} times");
    assert!(done > 100 && syncs > 5, "too slow to show anything: {done}, {syncs}");
}
