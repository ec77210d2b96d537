//! Appending durably.

use std::time::Instant;

use foldlog::algebra::Operation;

use crate::log::mixed;
use crate::stores::{SYSTEMS, Store};
use crate::table::{Scale, Table};

/// One operation after another, each durable before the next.
pub(crate) fn one_by_one(scale: Scale, table: &mut Table) {
    in_rounds(scale, table, &mixed(scale.of(300, 2_000)), |store, log| {
        log.chunks(1).for_each(|one| store.append(one));
    });
}

/// 10,000 operations a transaction.
pub(crate) fn in_bulk(scale: Scale, table: &mut Table) {
    in_rounds(scale, table, &mixed(scale.of(100_000, 500_000)), |store, log| {
        log.chunks(10_000).for_each(|batch| store.append(batch));
    });
}

/// Has a log appended to a new store of each system, in each round.
pub(crate) fn in_rounds(
    scale: Scale,
    table: &mut Table,
    log: &[Operation],
    append: impl Fn(&dyn Store, &[Operation]),
) {
    for _ in 0..scale.rounds() {
        for system in &SYSTEMS {
            let folder = tempfile::tempdir().expect("a folder");
            let store = (system.create)(folder.path(), log.len());
            // What a first transaction sets up is none of theirs.
            store.append(&log[..1]);
            let began = Instant::now();
            append(&*store, log);
            table.note(system.name, began.elapsed(), log.len());
        }
    }
}
