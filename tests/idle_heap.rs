//! What an open journal that nobody uses holds in memory, beside its cache. A process of its own: the heap is the
//! process's.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::path::Path;

use foldlog::algebra::{Limits, Seq};
use foldlog::journal::{Durability, Error, Journal, Options, verify};
use foldlog::workload::Workload;

#[global_allocator]
static HEAP: dhat::Alloc = dhat::Alloc;

/// Small, so that what is held beside it is not lost in it.
const CACHE_BYTES: usize = 1024 * 1024;
const BESIDE_BYTES: usize = 2 * 1024 * 1024;
/// The pages of the file, and some.
const VERIFIED_BYTES: usize = 12 * 1024 * 1024;

fn options() -> Options {
    Options::new().cache_bytes(CACHE_BYTES)
}

fn filled(path: &Path) -> Journal {
    let workload = Workload { operations: 200_000, entities: 50_000, ..Workload::default() };
    let journal = options().create(path).unwrap();
    let all = workload.iter().unwrap().map(Ok::<_, Error>);
    journal.append_streamed(all, Durability::Durable).unwrap();
    journal
}

#[test]
fn an_idle_journal_holds_little_beside_its_cache() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.journal");
    for is_compacted in [false, true] {
        if is_compacted {
            options().open(&path).unwrap().compact().unwrap();
        } else {
            drop(filled(&path));
        }
        // What was held before it is not counted.
        let counted = dhat::Profiler::builder().testing().build();
        let held = |when: &str| {
            let held = dhat::HeapStats::get().curr_bytes;
            assert!(held <= CACHE_BYTES + BESIDE_BYTES, "{held} bytes, {when}, compacted: {is_compacted}");
        };
        let journal = options().open(&path).unwrap();
        held("just opened");
        let status = journal.status().unwrap();
        assert_eq!(status.appended, 200_000);
        held("asked how it stands");
        let mut next = 1;
        while let Some(last) = journal.log(Seq(next), 16_384).unwrap().operations.last() {
            next = last.seq.0 + 1;
        }
        drop(journal.plan().unwrap());
        held("read to its end");
        journal.seal(Limits { operations: 100, ..Limits::default() }).unwrap();
        held("sealed");
        drop((journal, counted));
        let counted = dhat::Profiler::builder().testing().build();
        assert_eq!(verify(&path).unwrap().findings, []);
        let most = dhat::HeapStats::get().max_bytes;
        // The slots of all that is pending would be as much again as the pages.
        assert!(most <= VERIFIED_BYTES, "{most} bytes to verify it, compacted: {is_compacted}");
        drop(counted);
    }
}
