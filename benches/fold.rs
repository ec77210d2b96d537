//! The in-memory fold: shapes compose as operations come, payloads are not touched.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use foldlog::algebra::{BaseMap, Fold, Operation, plan};
use foldlog::workload::Workload;

fn log(operations: u64, entities: u64, shares: [u32; 4]) -> Vec<Operation> {
    let [creates, updates, patches, deletes] = shares;
    let workload = Workload {
        operations,
        entities,
        skew: 0,
        creates,
        updates,
        patches,
        deletes,
        payload_bytes: 64,
        ..Workload::default()
    };
    workload.iter().expect("a plain name").collect()
}

fn fold(c: &mut Criterion) {
    const FULL: [u32; 4] = [0, 1, 0, 0];
    const MIXED: [u32; 4] = [1, 1, 3, 1];
    let mut group = c.benchmark_group("fold");
    group.sample_size(10);
    for (name, operations, entities, shares) in [
        ("10 M full states, 1 M entities", 10_000_000, 1_000_000, FULL),
        ("1 M full states, 10 k entities", 1_000_000, 10_000, FULL),
        ("4 M mixed, 1 M entities", 4_000_000, 1_000_000, MIXED),
    ] {
        let log = log(operations, entities, shares);
        group.throughput(Throughput::Elements(operations));
        group.bench_function(name, |b| {
            b.iter_batched(
                Fold::new,
                |mut fold| {
                    fold.extend(&log);
                    fold
                },
                BatchSize::PerIteration,
            );
        });
    }
    let log = log(1_000_000, 250_000, MIXED);
    group.throughput(Throughput::Elements(1_000_000));
    group.bench_function("1 M mixed, 250 k entities, and the plan of it", |b| {
        b.iter(|| {
            let mut fold = Fold::new();
            fold.extend(&log);
            plan(fold.effects(), &BaseMap::new(true), None)
        });
    });
    group.finish();
}

criterion_group!(benches, fold);
criterion_main!(benches);
