//! The OpenAPI document, held against the server that serves it: what conforms to it is understood, what breaks it is
//! refused, and every answer is one of those that it lists.
#![expect(clippy::indexing_slicing, reason = "a test that panics has failed")]

mod broken;
mod conforming;
mod document;
mod generate;
mod given;

use std::path::Path;

use serde_json::{Value, json};

use super::Server;
use document::Document;

#[test]
fn the_document_is_the_one_that_is_checked_in() {
    let served = Server::new().client("anna").with("").get("/v1/openapi.json");
    assert_eq!((served.status, served.header("content-type")), (200, Some("application/json")));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/server/openapi.json");
    if std::env::var_os("FOLDLOG_RENEW").is_some() {
        std::fs::write(&path, served.text()).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == served.text(),
        "src/server/openapi.json is not what is served; if it should be, renew it: \
         FOLDLOG_RENEW=1 cargo test --features server --test server openapi"
    );
}

#[test]
fn what_the_protocols_page_shows_conforms_to_the_document() {
    let document = Document::of(&Server::new());
    let page = include_str!("../../../src/codec/wire/PROTOCOL.md");
    let shown: Vec<String> = page
        .split("```json\n")
        .skip(1)
        .map(|rest| rest.split_once("```").unwrap().0.replace("5f0c…", &"5f0c".repeat(16)))
        .map(|text| {
            text.replace("<blake3 of the bunch's line without its id, 64 hex digits>", &"0f".repeat(32))
        })
        .collect();
    let names = ["BunchAsked", "Outcomes", "ChangesAsked", "Page", "ReadsAsked", "Digests"];
    assert_eq!(shown.len(), names.len());
    for (name, text) in names.into_iter().zip(&shown) {
        let value: Value = serde_json::from_str(text).unwrap();
        document.schema(name).check(&value);
    }
    let event =
        page.lines().find_map(|line| line.strip_prefix("data: ").filter(|data| data.len() > 2)).unwrap();
    document.schema("Trigger").check(&serde_json::from_str(event).unwrap());
    assert!(page.contains("/v1/openapi.json"));
}

#[test]
fn every_schema_is_one_and_refuses_something() {
    let document = Document::of(&Server::new());
    for name in document.schemas() {
        let schema = document.schema(&name);
        let odd = [json!(-1), json!(""), json!([1]), json!({"x": {"y": 1}}), Value::Null];
        assert!(odd.iter().any(|value| !schema.holds(value)), "{name} takes anything");
    }
}
