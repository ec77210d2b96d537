//! Law 11, the bounded memory of it: what the fuzz targets hold at most on their committed corpora. A process of its
//! own: the heap is the process's.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::path::Path;

use foldlog::testing::fuzz;

#[global_allocator]
static HEAP: dhat::Alloc = dhat::Alloc;

const MIB: usize = 1024 * 1024;

/// The most bytes that any input of a target has on the heap at once.
fn most(target: &str, body: fn(&[u8])) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    // What is made once is not counted.
    body(&[]);
    let held = paths.iter().map(|path| {
        let input = std::fs::read(path).unwrap();
        let counted = dhat::Profiler::builder().testing().build();
        body(&input);
        let held = dhat::HeapStats::get().max_bytes;
        drop(counted);
        held
    });
    let most = held.max().unwrap();
    println!("{target}: {most} bytes");
    most
}

#[test]
fn hostile_bytes_are_refused_in_little_memory() {
    // Some tens of bytes decode to little more, whatever they say of themselves.
    for (target, body) in [
        ("frames", fuzz::frames as fn(&[u8])),
        ("lines", fuzz::lines),
        ("wire", fuzz::wire),
        ("documents", fuzz::documents),
    ] {
        let held = most(target, body);
        assert!(held < 8 * MIB, "{target} holds {held} bytes");
    }
    // Several files in memory of 1 MiB and some pages each, and their caches.
    for (target, body) in [
        ("hostile_authority", fuzz::hostile_authority as fn(&[u8])),
        ("hostile_client", fuzz::hostile_client),
        ("hostile_file", fuzz::hostile_file),
    ] {
        let held = most(target, body);
        assert!(held < 48 * MIB, "{target} holds {held} bytes");
    }
}
