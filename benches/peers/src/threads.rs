//! Appending by many threads at once.

use std::thread;

use crate::durable::in_rounds;
use crate::log::mixed;
use crate::table::{Scale, Table};

const THREADS: usize = 128;

/// Each thread appends one operation after another, each durable before its next.
pub(crate) fn at_once(scale: Scale, table: &mut Table) {
    table.against("sqlite");
    let log = mixed(THREADS * scale.of(10, 50));
    in_rounds(scale, table, &log, |store, log| {
        thread::scope(|scope| {
            for share in log.chunks(log.len() / THREADS) {
                scope.spawn(move || share.chunks(1).for_each(|one| store.append(one)));
            }
        });
    });
}
