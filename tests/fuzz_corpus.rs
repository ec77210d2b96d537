//! The bodies of the fuzz targets on their committed corpora: on stable, in the ordinary tests.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod corpus;

use foldlog::testing::fuzz;

fn corpus(target: &str, body: fn(&[u8])) {
    let inputs = corpus::inputs(target);
    for (path, input) in &inputs {
        println!("{}", path.display());
        body(input);
    }
    assert!(inputs.len() >= 10, "{target} has {} inputs", inputs.len());
}

#[test]
fn frames() {
    corpus("frames", fuzz::frames);
}

#[test]
fn lines() {
    corpus("lines", fuzz::lines);
}

#[test]
fn fold_laws() {
    corpus("fold_laws", fuzz::fold_laws);
}

#[test]
fn hostile_authority() {
    corpus("hostile_authority", fuzz::hostile_authority);
}

#[test]
fn hostile_client() {
    corpus("hostile_client", fuzz::hostile_client);
}

#[test]
fn hostile_file() {
    corpus("hostile_file", fuzz::hostile_file);
}

#[test]
fn salvaged() {
    corpus("salvaged", fuzz::salvaged);
}

#[test]
fn documents() {
    corpus("documents", fuzz::documents);
}

#[cfg(all(feature = "client", feature = "jwt"))]
#[test]
fn doors() {
    corpus("doors", fuzz::doors);
}

#[test]
fn wire() {
    corpus("wire", fuzz::wire);
}

#[test]
fn schedules() {
    corpus("schedules", fuzz::schedules);
}
