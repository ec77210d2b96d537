//! Appending by one thread.

use std::time::Instant;

use foldlog::algebra::Operation;

use crate::log::mixed;
use crate::stores::{SYSTEMS, Store};
use crate::table::{Scale, Table};

/// One operation after another, each durable before the next.
pub(crate) fn one_by_one(scale: Scale, table: &mut Table) {
    appended(scale, table, &mixed(scale.of(300, 2_000)), 1);
}

/// 10,000 operations a transaction.
pub(crate) fn in_bulk(scale: Scale, table: &mut Table) {
    appended(scale, table, &mixed(scale.of(100_000, 500_000)), 10_000);
}

fn appended(scale: Scale, table: &mut Table, log: &[Operation], batch: usize) {
    for _ in 0..scale.rounds() {
        for system in &SYSTEMS {
            let folder = tempfile::tempdir().expect("a folder");
            let store = (system.create)(folder.path(), log.len());
            // What a first transaction sets up is none of theirs.
            store.append(&log[..1]);
            let store: &dyn Store = &*store;
            let began = Instant::now();
            log.chunks(batch).for_each(|batch| store.append(batch));
            table.note(system.name, began.elapsed(), log.len());
        }
    }
}
