//! The in-memory fold: shapes compose as operations come, payloads are not touched.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use foldlog::algebra::{BaseMap, Fold, plan};

mod common;
use common::{full_states, mixed};

fn fold(c: &mut Criterion) {
    let mut group = c.benchmark_group("fold");
    group.sample_size(10);
    for (name, log) in [
        ("10 M full states, 1 M entities", full_states(10_000_000, 1_000_000)),
        ("4 M mixed, 1 M entities", mixed(4_000_000, 1_000_000)),
        ("1 M full states, 10 k entities", full_states(1_000_000, 10_000)),
    ] {
        group.throughput(Throughput::Elements(log.len() as u64));
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
    let log = mixed(1_000_000, 250_000);
    group.throughput(Throughput::Elements(log.len() as u64));
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
