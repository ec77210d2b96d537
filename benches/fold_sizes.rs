//! The in-memory fold to its effects, by how many entities there are, how evenly they are met with, and whether
//! operations are whole states or patches.
//!
//! The largest take some 5 GiB, most of it the log.

use std::cell::LazyCell;

use criterion::{BatchSize, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use foldlog::algebra::{Fold, Operation};
use foldlog::workload::Workload;

/// How many entities, and how many operations on them.
const SIZES: [(&str, u64, u64); 3] = [
    ("1 M operations on 10 k entities", 10_000, 1_000_000),
    ("4 M operations on 1 M entities", 1_000_000, 4_000_000),
    ("16 M operations on 10 M entities", 10_000_000, 16_000_000),
];

/// The entity of rank r is met with about in proportion to r to the power of -0.8: as zipf has it, but for the first few.
const ZIPF: u32 = 4;

fn log(entities: u64, operations: u64, skew: u32, is_patches: bool) -> Vec<Operation> {
    let workload = Workload {
        operations,
        entities,
        skew,
        creates: 0,
        updates: u32::from(!is_patches),
        patches: u32::from(is_patches),
        deletes: 0,
        payload_bytes: 64,
        ..Workload::default()
    };
    // Not collected: that would leave room for twice as many.
    let mut log = Vec::with_capacity(usize::try_from(operations).expect("64 bits"));
    log.extend(workload.iter().expect("a plain name"));
    log
}

fn sizes(c: &mut Criterion) {
    let mut group = c.benchmark_group("fold to effects");
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    for (size, entities, operations) in SIZES {
        group.throughput(Throughput::Elements(operations));
        for (spread, skew) in [("evenly", 0), ("zipf", ZIPF)] {
            for (kind, is_patches) in [("full states", false), ("patches", true)] {
                // Made only where the name is asked for, and gone before the next.
                let log = LazyCell::new(|| log(entities, operations, skew, is_patches));
                group.bench_function(format!("{size}, {spread}, {kind}"), |b| {
                    let log: &[Operation] = &log;
                    b.iter_batched(
                        Fold::new,
                        |mut fold| {
                            fold.extend(log);
                            let all = fold.effects().map(|(_, effect)| u64::from(effect.shape.operations));
                            assert_eq!(all.sum::<u64>(), operations);
                            fold
                        },
                        BatchSize::PerIteration,
                    );
                });
            }
        }
    }
    group.finish();
}

criterion_group!(benches, sizes);
criterion_main!(benches);
