//! The layers: a lower one never names a higher one, and what a layer hides stays in it.
//!
//! Read from the source text: a name that may not be used is not there.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::fs;
use std::path::{Path, PathBuf};

/// A layer, and the layers that it may name.
const LAYERS: &[(&str, &[&str])] = &[
    // Below all; used by its macro alone.
    ("sabotage", &[]),
    ("algebra", &[]),
    ("codec", &["algebra"]),
    ("clock", &["algebra"]),
    ("storage", &[]),
    ("workload", &["algebra"]),
    ("journal", &["algebra", "clock", "codec", "storage"]),
    ("merge", &["algebra"]),
    ("replica", &["algebra", "codec", "journal", "merge", "storage"]),
    ("sync", &["algebra", "codec", "journal", "replica"]),
    ("client", &["algebra", "clock", "codec", "journal", "replica", "sync"]),
    ("authority", &["algebra", "codec", "storage"]),
    ("server", &["algebra", "authority", "clock", "codec"]),
    ("scenario", &["algebra", "authority", "journal", "merge", "replica", "storage", "sync", "workload"]),
    (
        "testing",
        &[
            "algebra",
            "authority",
            "client",
            "codec",
            "journal",
            "merge",
            "replica",
            "scenario",
            "server",
            "storage",
            "sync",
            "workload",
        ],
    ),
    (
        "cli",
        &[
            "algebra",
            "authority",
            "client",
            "clock",
            "codec",
            "journal",
            "merge",
            "replica",
            "scenario",
            "server",
            "sync",
            "workload",
        ],
    ),
];

/// A dependency, and the only places that may name it.
const HIDDEN: &[(&str, &[&str])] = &[
    ("bincode::", &["codec/binary.rs"]),
    ("redb::", &["authority/file/", "journal/", "replica/", "storage/", "testing/"]),
    ("parking_lot::", &["journal/"]),
    ("clap::", &["cli/", "main.rs"]),
    ("console::", &["cli/"]),
    ("indicatif::", &["cli/"]),
    ("rlimit::", &["cli/"]),
    ("axum::", &["server/"]),
    ("flate2::", &["client/", "server/"]),
    ("hyper::", &["server/"]),
    ("jsonwebtoken::", &["server/jwt/"]),
    ("prometheus_client::", &["server/"]),
    // Not rustls's module of that name.
    ("use ring::", &["server/jwt/"]),
    ("tokio::", &["authority/postgres/", "client/", "server/"]),
    ("tokio_rustls::", &["server/"]),
    ("unicode_width::", &["cli/"]),
    ("utoipa::", &["server/openapi/"]),
    ("tokio_postgres::", &["authority/postgres/"]),
    ("deadpool_postgres::", &["authority/postgres/"]),
    ("proptest::", &["testing/"]),
    ("ureq::", &["client/"]),
    ("reqwest::", &["client/"]),
    ("rustls::", &["client/", "server/"]),
];

/// What the algebra, being pure, never names; its own tests may measure.
const IMPURE: [&str; 7] =
    ["std::fs", "std::io", "std::net", "std::thread", "std::time", "std::env", "Uuid::new_v"];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// Every source file: its path below `src`, with `/`, and its text.
fn texts() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    sources(&root, &mut found);
    assert!(found.len() > 40, "the sources moved");
    found
        .iter()
        .map(|path| {
            let name = path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
            (name, fs::read_to_string(path).unwrap())
        })
        .collect()
}

/// The lines of code: what is behind `//` says nothing of who uses whom.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines()).map(|(number, line)| (number, line.split("//").next().unwrap_or("")))
}

/// Whether a line names a module, and not one whose name only begins like it.
fn names(line: &str, module: &str) -> bool {
    let is_end = |rest: &str| !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_');
    line.match_indices(module).any(|(at, _)| line.get(at + module.len()..).is_some_and(is_end))
}

#[test]
fn a_lower_layer_never_names_a_higher_one() {
    let mut wrong = Vec::new();
    for (name, text) in texts() {
        let layer = name.split(['/', '.']).next().unwrap();
        let Some((_, may)) = LAYERS.iter().find(|(known, _)| *known == layer) else {
            assert!(["lib", "main"].contains(&layer), "{name} is in no layer: add it to this test");
            continue;
        };
        for (other, _) in LAYERS {
            if *other == layer || may.contains(other) {
                continue;
            }
            for (number, line) in code(&text) {
                if ["crate::", "foldlog::"].iter().any(|root| names(line, &format!("{root}{other}"))) {
                    wrong.push(format!("src/{name}:{number}: {layer} names {other}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_a_layer_hides_stays_in_it() {
    let mut wrong = Vec::new();
    for (name, text) in texts() {
        for (number, line) in code(&text) {
            for (hidden, places) in HIDDEN {
                if line.contains(hidden) && !places.iter().any(|place| name.starts_with(place)) {
                    wrong.push(format!("src/{name}:{number}: names {hidden}"));
                }
            }
            for impure in IMPURE {
                if name.starts_with("algebra/") && !name.ends_with("tests.rs") && line.contains(impure) {
                    wrong.push(format!("src/{name}:{number}: the algebra names {impure}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
