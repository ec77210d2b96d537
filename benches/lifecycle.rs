//! A journal's rarer moments, on a file: sealing, opening it again, verifying it.

use std::fs;
use std::path::Path;

use criterion::{BatchSize, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use foldlog::algebra::{Epoch, Limits, Operation, Outcome, Outcomes, Resulting};
use foldlog::journal::{Durability, Error, Journal, verify};
use foldlog::workload::Workload;

const OPERATIONS: u64 = 1_000_000;

/// A log of so many operations on entities of their own.
fn distinct(operations: u64) -> impl Iterator<Item = Operation> {
    let workload = Workload { operations, entities: u64::MAX, skew: 0, ..Workload::default() };
    workload.iter().expect("a plain name")
}

/// Appends a million operations on 100,000 entities.
fn filled(path: &Path) -> Journal {
    let workload = Workload { operations: OPERATIONS, entities: 100_000, skew: 0, ..Workload::default() };
    let journal = Journal::create(path).expect("a journal");
    let all = workload.iter().expect("a plain name").map(Ok::<_, Error>);
    journal.append_streamed(all, Durability::Durable).expect("room");
    journal
}

fn seal(c: &mut Criterion) {
    const PENDING: usize = 100_000;
    let mut group = c.benchmark_group("seal, 100 k entities pending");
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    for size in [100, 10_000] {
        let folder = tempfile::tempdir().expect("a folder");
        let journal = Journal::create(folder.path().join("bench.journal")).expect("a journal");
        let mut log = distinct(u64::MAX);
        let limits = Limits { operations: size, ..Limits::default() };
        group.throughput(Throughput::Elements(size as u64));
        group.bench_function(format!("a bunch of {size}"), |b| {
            b.iter_batched(
                || {
                    settle(&journal);
                    let pending = journal.status().expect("a journal").pending.entities;
                    let missing = PENDING.saturating_sub(usize::try_from(pending).expect("64 bits"));
                    let more = log.by_ref().take(missing).map(Ok::<_, Error>);
                    journal.append_streamed(more, Durability::Durable).expect("room");
                    // What was appended is folded in first, which is another bench's matter.
                    journal.compact().expect("room");
                },
                |()| journal.seal(limits).expect("room").expect("a bunch"),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

/// Has the open bunch accepted, so that the next seal freezes another.
fn settle(journal: &Journal) {
    if let Some(bunch) = journal.open_bunch().expect("a journal") {
        let accepted = |epoch| Outcome::Accepted {
            epoch: Some(Epoch(epoch)),
            result: Resulting::AsSent,
            overwrote: None,
        };
        let outcomes = (1..).map(accepted).take(bunch.operations.len()).collect();
        journal.settle(&Outcomes { bunch: bunch.number, outcomes }).expect("room");
    }
}

fn reopen(c: &mut Criterion) {
    let mut group = c.benchmark_group("reopen, 1 M operations");
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("bench.journal");
    let copy = folder.path().join("copy.journal");
    let journal = filled(&path);
    // What a process that is killed here leaves: the system has all of it, and nobody closed it.
    fs::copy(&path, &copy).expect("room");
    drop(journal);
    group.bench_function("closed", |b| {
        b.iter_batched(|| (), |()| Journal::open(&path).expect("the journal"), BatchSize::PerIteration);
    });
    group.bench_function("not closed", |b| {
        b.iter_batched(
            // Opening mends it, so each time it is another copy.
            || fs::copy(&copy, &path).expect("room"),
            |_| Journal::open(&path).expect("the journal"),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn verifying(c: &mut Criterion) {
    let mut group = c.benchmark_group("verify");
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("bench.journal");
    drop(filled(&path));
    group.throughput(Throughput::Bytes(fs::metadata(&path).expect("a file").len()));
    group.bench_function("1 M operations", |b| {
        b.iter(|| {
            let report = verify(&path).expect("the journal");
            assert!(report.findings.is_empty(), "{:?}", report.findings);
        });
    });
    group.finish();
}

criterion_group!(benches, seal, reopen, verifying);
criterion_main!(benches);
