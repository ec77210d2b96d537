//! What the document lists is really answered: no status stands in it for nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use foldlog::algebra::Schema;
use foldlog::authority::MemoryAuthority;
use foldlog::server::{Options, TokenFile, serve};
use serde_json::json;

use super::conforming::{body, pool, send};
use super::document::{Document, Operation};
use super::generate::runner;
use crate::Server;
use crate::http::{Client, Response};
use crate::room::begun;

/// What an operation is answered with, somehow.
fn plain(document: &Document, client: &Client, operation: &Operation) -> Response {
    let pool = vec![("Id", vec![json!("8d56e5d3-d4f3-583e-9955-4d898ddc04c9")])];
    let body = body(document, operation, &pool, &mut runner());
    send(client, operation, &(Vec::new(), Vec::new()), body.as_ref())
}

/// An operation with a parameter, or a body, that is of another generation.
fn of_another_life(client: &Client, operation: &Operation) -> Response {
    let other = "8d56e5d3-d4f3-583e-9955-4d898ddc04c9";
    match operation.method.as_str() {
        "POST" => client.post(&operation.path, &format!(r#"{{"cursors":{{}},"generation":"{other}"}}"#)),
        _ => client.get(&format!("{}?generation={other}", operation.path)),
    }
}

#[test]
fn every_status_that_is_documented_is_given() {
    let server = Server::new();
    let document = Document::of(&server);
    let client = server.client("anna");
    let small = Server::with(Options { body_bytes_max: 1, ..Options::default() });
    let full = Server::with(Options { account_requests_max: 0, ..Options::default() });
    let folder = tempfile::tempdir().unwrap();
    // Tokens that cannot be read: a folder is no file.
    let tokens = Arc::new(TokenFile::new(folder.path()));
    let authority = Arc::new(MemoryAuthority::new(Schema::default()));
    let deaf = serve("127.0.0.1:0", authority, tokens, Options::default(), None).unwrap();
    let unheard = Client::new(deaf.address(), "any".to_owned());
    let busy = Server::with(Options { ending_ms_max: 30, ..Options::default() });
    let busy_client = busy.client("anna");
    // A request whose body does not come keeps the account from being erased.
    let _held = begun(&busy_client);

    for operation in document.operations() {
        let mut seen = BTreeSet::new();
        // An account that was erased has no tokens.
        let (small_client, full_client) = (small.client("anna"), full.client("anna"));
        let asks = |client: &Client| plain(&document, client, &operation);
        let mut answers =
            vec![asks(&small_client), asks(&full_client), asks(&unheard), asks(&client.with("x"))];
        if operation.method == "DELETE" {
            answers.push(asks(&busy_client));
            answers.push(asks(&server.client("ben")));
        } else {
            answers.push(asks(&client));
            answers.push(of_another_life(&client, &operation));
            answers.push(client.send(&operation.method, &operation.path, &[("content-type", "a/b")], b"{}"));
            answers.push(client.get(&format!("{}?above=99", operation.path)));
            answers.push(client.get(&format!("{}?other=1", operation.path)));
            answers.push(client.post(&operation.path, "{}"));
            answers.push(client.post(&operation.path, r#"{"cursors":{}}"#));
            answers.push(client.post(&operation.path, r#"{"reads":[]}"#));
        }
        if operation.path == "/v1/bunches" {
            // Fork: the same replica and number with something else in it.
            let pool = pool(&client);
            let mut runner = runner();
            for _ in 0..40 {
                let body = body(&document, &operation, &pool, &mut runner);
                answers.push(send(&client, &operation, &(Vec::new(), Vec::new()), body.as_ref()));
            }
        }
        for answer in answers.into_iter().filter(|answer| answer.status != 405) {
            document.check(&operation, &answer);
            seen.insert(answer.status.to_string());
        }
        let listed: BTreeSet<String> =
            operation.told["responses"].as_object().unwrap().keys().cloned().collect();
        // A server that ends says so for no longer than it takes.
        let ending = if operation.path == "/healthz" { vec!["503".to_owned()] } else { Vec::new() };
        let missing: Vec<_> = listed.difference(&seen).filter(|status| !ending.contains(status)).collect();
        assert!(missing.is_empty(), "{} {} never answers {missing:?}", operation.method, operation.path);
    }
}
