//! Law 11, the bounded memory of it: what the fuzz targets hold at most on their committed corpora. A process of its
//! own: the heap is the process's.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod corpus;

use foldlog::testing::fuzz;

#[global_allocator]
static HEAP: dhat::Alloc = dhat::Alloc;

const MIB: usize = 1024 * 1024;

/// The most bytes that any input of a target has on the heap at once; of so many inputs one is looked at.
fn most(target: &str, body: fn(&[u8]), one_of: usize) -> usize {
    // What is made once is not counted.
    body(&[]);
    let inputs = corpus::inputs(target);
    let held = inputs.iter().step_by(one_of).map(|(_, input)| {
        let counted = dhat::Profiler::builder().testing().build();
        body(input);
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
    // A record may ask for as much as the largest one takes, 48 MiB, however short it is; what is text for little more
    // than it has.
    for (target, body, mib) in [
        ("frames", fuzz::frames as fn(&[u8]), 56),
        ("lines", fuzz::lines, 8),
        ("wire", fuzz::wire, 8),
        ("documents", fuzz::documents, 16),
    ] {
        let held = most(target, body, 1);
        assert!(held < mib * MIB, "{target} holds {held} bytes");
    }
    // Several files in memory of 1 MiB and some pages each, and their caches. Counting takes far longer than running.
    for (target, body) in [
        ("hostile_authority", fuzz::hostile_authority as fn(&[u8])),
        ("hostile_client", fuzz::hostile_client),
        ("hostile_file", fuzz::hostile_file),
        ("salvaged", fuzz::salvaged),
    ] {
        let held = most(target, body, 6);
        assert!(held < 24 * MIB, "{target} holds {held} bytes");
    }
}
