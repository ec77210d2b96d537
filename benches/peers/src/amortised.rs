//! Appending with all the folding that it brings with it, over a history of some length.
//!
//! A journal folds when it is told to, or a bunch is sealed; here it is told to every 100,000 operations.

use std::time::Duration;

use foldlog::algebra::Operation;
use foldlog::journal::{Durability, Journal};

use crate::log::{drawn, in_batches};
use crate::stores::Limit;
use crate::table::{Scale, Table, timed};

const A_TRANSACTION: usize = 10_000;
const A_PASS: usize = 100_000;

/// A history of 1 M operations.
pub(crate) fn short(scale: Scale, table: &mut Table) {
    history(scale, table, scale.of(100_000, 1_000_000));
}

/// Ten times as long.
pub(crate) fn long(scale: Scale, table: &mut Table) {
    history(scale, table, scale.of(1_000_000, 10_000_000));
}

fn history(scale: Scale, table: &mut Table, operations: usize) {
    for _ in 0..scale.rounds() {
        let folder = tempfile::tempdir().expect("a folder");
        let limit = Limit::create(folder.path(), operations);
        let took = over(operations, |_, batch| limit.append(batch));
        table.note("limit", took, operations);

        let journal = Journal::create(folder.path().join("journal")).expect("a journal");
        let took = over(operations, |done, batch| {
            journal.append(batch, Durability::Durable).expect("room");
            if done % A_PASS == 0 {
                journal.compact().expect("room");
            }
        });
        table.note("foldlog", took, operations);
    }
}

/// Has each transaction done, with how many operations there are after it: how long all of them take, without drawing
/// the operations.
fn over(operations: usize, mut transaction: impl FnMut(usize, &[Operation])) -> Duration {
    let (mut took, mut done) = (Duration::ZERO, 0);
    for batch in in_batches(drawn(operations), A_TRANSACTION) {
        done += batch.len();
        took += timed(|| transaction(done, &batch)).0;
    }
    took
}
