//! The bodies of the fuzz targets on their committed corpora: on stable, in the ordinary tests.

use foldlog::testing::fuzz;

use crate::corpus;

fn each(target: &str, body: fn(&[u8])) {
    let inputs = corpus::inputs(target);
    for (path, input) in &inputs {
        println!("{}", path.display());
        body(input);
    }
    assert!(inputs.len() >= 10, "{target} has {} inputs", inputs.len());
}

#[test]
fn frames() {
    each("frames", fuzz::frames);
}

#[test]
fn lines() {
    each("lines", fuzz::lines);
}

#[test]
fn fold_laws() {
    each("fold_laws", fuzz::fold_laws);
}

#[test]
fn hostile_authority() {
    each("hostile_authority", fuzz::hostile_authority);
}

#[test]
fn hostile_client() {
    each("hostile_client", fuzz::hostile_client);
}

#[test]
fn hostile_file() {
    each("hostile_file", fuzz::hostile_file);
}

#[test]
fn salvaged() {
    each("salvaged", fuzz::salvaged);
}

#[test]
fn documents() {
    each("documents", fuzz::documents);
}

#[cfg(all(feature = "client", feature = "jwt"))]
#[test]
fn doors() {
    each("doors", fuzz::doors);
}

#[test]
fn wire() {
    each("wire", fuzz::wire);
}

#[test]
fn schedules() {
    each("schedules", fuzz::schedules);
}
