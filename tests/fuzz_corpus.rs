//! The committed corpora, played through the fuzz targets' bodies: what was found once stays mended, on
//! stable and without a fuzzer.

use std::fs;
use std::path::Path;

use foldlog::testing::fuzz;

fn played(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    assert!(!names.is_empty(), "{} holds no seed", folder.display());
    for name in names {
        // A failing seed is named by the line before the panic.
        println!("{}", name.display());
        body(&fs::read(&name).unwrap());
    }
}

#[test]
fn frames_hold_on_their_corpus() {
    played("frames", fuzz::frames);
}

#[test]
fn lines_hold_on_their_corpus() {
    played("lines", fuzz::lines);
}
