//! The journal on a file: appending by the transaction's size, the pass, and coalescing.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use foldlog::algebra::{Action, Epoch, Index, Operation, Trigger, coalesce};
use foldlog::journal::{Durability, Error, Journal};
use foldlog::workload::Workload;

fn log(operations: u64, entities: u64) -> Vec<Operation> {
    let workload = Workload { operations, entities, skew: 0, ..Workload::default() };
    workload.iter().expect("a plain name").collect()
}

fn append(c: &mut Criterion) {
    let mut group = c.benchmark_group("append, durable");
    let log = log(10_000, 1_000);
    for size in [1, 100, 10_000] {
        let folder = tempfile::tempdir().expect("a folder");
        let journal = Journal::create(folder.path().join("bench.journal")).expect("a journal");
        group.throughput(Throughput::Elements(size as u64));
        group.sample_size(if size == 10_000 { 20 } else { 100 });
        let batch = log.get(..size).expect("a long log");
        group.bench_function(format!("{size} a transaction"), |b| {
            b.iter(|| journal.append(batch, Durability::Durable).expect("room"));
        });
    }
    group.finish();
}

fn pass(c: &mut Criterion) {
    let mut group = c.benchmark_group("the pass from disk");
    group.sample_size(10);
    for (name, operations, entities) in [
        ("1 M operations on 100 k entities", 1_000_000, 100_000),
        ("1 M operations on as many", 1_000_000, 1_000_000),
    ] {
        let log = log(operations, entities);
        group.throughput(Throughput::Elements(operations));
        group.bench_function(name, |b| {
            b.iter_batched(
                || {
                    let folder = tempfile::tempdir().expect("a folder");
                    let journal = Journal::create(folder.path().join("bench.journal")).expect("a journal");
                    let all = log.iter().cloned().map(Ok::<_, Error>);
                    journal.append_streamed(all, Durability::Durable).expect("room");
                    (journal, folder)
                },
                |(journal, folder)| {
                    journal.compact().expect("room");
                    (journal, folder)
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

fn coalescing(c: &mut Criterion) {
    let mut group = c.benchmark_group("coalescing");
    let triggers: Vec<Trigger> = (1..)
        .zip(log(100_000, 10_000))
        .map(|(index, operation)| Trigger {
            index: Index(index),
            key: operation.key,
            action: if index % 9 == 0 { Action::Delete } else { Action::Upsert },
            epoch: Epoch(index),
            sender: None,
        })
        .collect();
    group.throughput(Throughput::Elements(triggers.len() as u64));
    group.sample_size(20);
    group.bench_function("100 k triggers on 10 k entities", |b| {
        b.iter(|| coalesce(&triggers, |_| None, |_| false));
    });
    group.finish();
}

criterion_group!(benches, append, pass, coalescing);
criterion_main!(benches);
