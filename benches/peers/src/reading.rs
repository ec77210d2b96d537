//! Reading a log back.

use std::time::Instant;

use crate::log::{Seen, mixed};
use crate::stores::SYSTEMS;
use crate::table::{Scale, Table};

/// Who did what, from the first operation to the last; opening included.
pub(crate) fn read_back(scale: Scale, table: &mut Table) {
    let log = mixed(scale.of(200_000, 1_000_000));
    let expected = Seen::of(&log);
    let folders = SYSTEMS.map(|system| {
        let folder = tempfile::tempdir().expect("a folder");
        let store = (system.create)(folder.path(), log.len());
        log.chunks(10_000).for_each(|batch| store.append(batch));
        drop(store);
        (system, folder)
    });
    for _ in 0..scale.rounds() {
        for (system, folder) in &folders {
            let began = Instant::now();
            let seen = (system.read)(folder.path());
            table.note(system.name, began.elapsed(), log.len());
            assert_eq!(seen, expected, "{} reads back what was appended", system.name);
        }
    }
}
