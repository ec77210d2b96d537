//! Every log of a few operations, on all cores.

use std::sync::atomic::{AtomicU64, Ordering};

use foldlog::algebra::Operation;

/// Calls the check with every log of one to so many of these operations; gives how many that were.
pub(crate) fn every_log(operations: &[Operation], length: usize, check: impl Fn(&[Operation]) + Sync) -> u64 {
    let (logs, first) = (AtomicU64::new(0), AtomicU64::new(0));
    let check = |log: &[Operation]| {
        logs.fetch_add(1, Ordering::Relaxed);
        check(log);
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let place = usize::try_from(first.fetch_add(1, Ordering::Relaxed)).unwrap();
                    let Some(operation) = operations.get(place) else { break };
                    grow(&mut vec![operation.clone()], operations, length, &check);
                }
            });
        }
    });
    logs.into_inner()
}

fn grow(log: &mut Vec<Operation>, operations: &[Operation], length: usize, check: &impl Fn(&[Operation])) {
    check(log);
    if log.len() < length {
        for operation in operations {
            log.push(operation.clone());
            grow(log, operations, length, check);
            log.pop();
        }
    }
}
