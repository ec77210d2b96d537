//! A crew's file that is written to and merged into another one, again and again.

use std::path::Path;

use foldlog::Uuid;
use foldlog::algebra::ReplicaId;
use foldlog::journal::{Options, verify};
use foldlog::merge::Resolutions;
use foldlog::replica::Replica;

use crate::{Batches, Moments, Reached, kills, numbered, say, schema, shown, start, with_open_files};

const SHARE: u32 = 2;
const NAMES: [&str; 2] = ["crew.replica", "desk.replica"];

fn opened(files: &Path) -> [Replica; 2] {
    let mut id = 0;
    NAMES.map(|name| {
        id += 1;
        let id = ReplicaId(Uuid::from_u128(id));
        let options = Options::new().schema(schema()).replica(id).clock(|| 1_700_000_000_000);
        Replica::create(files.join(name), options).unwrap()
    })
}

/// What is killed.
pub(crate) fn live(files: &Path, mut batches: Batches) {
    let [crew, desk] = opened(files);
    loop {
        for _ in 0..2 {
            batches.commit(&crew);
        }
        say(format!("merging {}", batches.done));
        desk.merge(&[&crew], &Resolutions::default(), &mut |_| {}).unwrap();
        say(format!("merged {}", batches.done));
    }
}

#[test]
fn a_merge_that_is_killed_is_there_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let files = folder.path();
    let (kills, mut moments) = (kills(SHARE), Moments::new());
    let (mut reached, mut merged, mut merges) = (Reached::default(), Reached::default(), 0_u64);
    for kill in 0..kills {
        for (what, seq) in numbered(start("merge", files, reached.done), &mut moments) {
            match &*what {
                "appending" => reached.begin(seq),
                "appended" => reached.end(seq),
                "merging" => merged.begin(seq),
                _ => {
                    merged.end(seq);
                    merges += 1;
                }
            }
        }
        let _open = with_open_files();
        if reached.done == 0 {
            // It may have died while the files were being made.
            continue;
        }
        for name in NAMES {
            assert_eq!(verify(files.join(name)).unwrap().findings, [], "kill {kill}: {name}");
        }
        let [crew, desk] = opened(files);
        for (replica, reached) in [(&crew, &mut reached), (&desk, &mut merged)] {
            assert_eq!(replica.check().unwrap(), [""; 0], "kill {kill}");
            reached.require_shown(&shown(replica), &format!("kill {kill}"));
        }
    }
    println!("{kills} kills, {} operations, {merges} merges", reached.done);
    assert!(reached.done > 100 && merges > 5, "too slow to show anything: {}, {merges}", reached.done);
}
