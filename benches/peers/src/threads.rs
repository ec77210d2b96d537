//! Appending by many threads at once.

use std::thread;
use std::time::Instant;

use crate::log::mixed;
use crate::stores::{SYSTEMS, Store};
use crate::table::{Scale, Table};

const THREADS: usize = 128;

/// Each thread appends one operation after another, each durable before its next.
pub(crate) fn at_once(scale: Scale, table: &mut Table) {
    table.against("sqlite");
    let log = mixed(THREADS * scale.of(10, 50));
    for _ in 0..scale.rounds() {
        for system in &SYSTEMS {
            let folder = tempfile::tempdir().expect("a folder");
            let store = (system.create)(folder.path(), log.len());
            store.append(&log[..1]);
            let store: &dyn Store = &*store;
            let began = Instant::now();
            thread::scope(|scope| {
                for share in log.chunks(log.len() / THREADS) {
                    scope.spawn(move || share.chunks(1).for_each(|one| store.append(one)));
                }
            });
            table.note(system.name, began.elapsed(), log.len());
        }
    }
}
