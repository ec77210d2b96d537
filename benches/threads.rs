//! Threads that append at once to one journal on a file, each operation durable before its thread's next.

use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use foldlog::algebra::Operation;
use foldlog::journal::{Durability, Journal};
use foldlog::workload::Workload;

fn threads(c: &mut Criterion) {
    let mut group = c.benchmark_group("append, durable, by threads at once");
    group.sampling_mode(SamplingMode::Flat).sample_size(20);
    let workload = Workload { operations: 128, skew: 0, ..Workload::default() };
    let log: Vec<Operation> = workload.iter().expect("a plain name").collect();
    for threads in [1, 8, 32, 128] {
        let folder = tempfile::tempdir().expect("a folder");
        let journal = Journal::create(folder.path().join("bench.journal")).expect("a journal");
        let own = log.get(..threads).expect("a long log");
        // One iteration is one operation of every thread.
        group.throughput(Throughput::Elements(threads as u64));
        let name = if threads == 1 { "1 thread".to_owned() } else { format!("{threads} threads") };
        group.bench_function(name, |b| {
            b.iter_custom(|iterations| {
                let start = Barrier::new(threads + 1);
                thread::scope(|scope| {
                    for operation in own.chunks(1) {
                        let (start, journal) = (&start, &journal);
                        scope.spawn(move || {
                            start.wait();
                            for _ in 0..iterations {
                                journal.append(operation, Durability::Durable).expect("room");
                            }
                        });
                    }
                    start.wait();
                    Instant::now()
                })
                .elapsed()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, threads);
criterion_main!(benches);
