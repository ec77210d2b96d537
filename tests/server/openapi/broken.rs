//! Requests that break the document: refused as documented, and nothing changes.

use std::io::{Read, Write};

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use super::conforming::{Parameters, body, parameters, pool, send};
use super::document::{Document, Operation};
use super::generate::{drawn, runner};
use crate::Server;
use crate::http::{Client, Response};

/// How many broken bodies of each operation.
const CASES: usize = 250;

/// A server that holds something, with what it says of that.
struct Held {
    server: Server,
    client: Client,
    digests: String,
}

impl Held {
    fn new() -> Self {
        let server = Server::new();
        let client = server.client("anna");
        let document = Document::of(&server);
        let deliver = document.operations().into_iter().find(|one| one.path == "/v1/bunches").unwrap();
        let (pool, mut runner) = (pool(&client), runner());
        for _ in 0..30 {
            let body = body(&document, &deliver, &pool, &mut runner);
            send(&client, &deliver, &Parameters::default(), body.as_ref());
        }
        let digests = client.get("/v1/digests").text();
        assert!(digests.contains("notes"), "{digests}");
        Held { server, client, digests }
    }

    fn is_unchanged(&self) {
        assert_eq!(self.client.get("/v1/digests").text(), self.digests);
    }
}

/// A request that is refused, by this kind of problem.
fn refused(document: &Document, operation: &Operation, response: &Response, status: u16, what: &str) {
    assert_eq!(response.status, status, "{what}: {}", response.text());
    document.check(operation, response);
}

/// Every place in a value, as pointers.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Array(all) => {
            all.iter().enumerate().for_each(|(n, value)| places(value, &format!("{at}/{n}"), found));
        }
        Value::Object(all) => all.iter().for_each(|(name, value)| {
            places(value, &format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), found);
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Something else in place of what stands there.
fn broken(mut value: Value, runner: &mut TestRunner) -> Value {
    let mut found = Vec::new();
    places(&value, "", &mut found);
    let place = drawn(runner, &prop::sample::select(found));
    let at = value.pointer_mut(&place).unwrap();
    let odd = drawn(runner, &(0..9_u8));
    match (odd, at) {
        (0, Value::Object(all)) if !all.is_empty() => {
            let name = drawn(runner, &prop::sample::select(all.keys().cloned().collect::<Vec<_>>()));
            all.remove(&name);
        }
        (1, Value::Object(all)) => {
            all.insert(
                drawn(runner, &prop::sample::select(vec!["x", "ID", "state ", ""])).to_owned(),
                json!(1),
            );
        }
        (2, Value::String(text)) => {
            text.push_str(drawn(runner, &prop::sample::select(vec!["\0", " ", "/", "\u{7f}", "-"])))
        }
        (3, Value::String(text)) => *text = text.repeat(200),
        (4, Value::Number(number)) => {
            *number = drawn(runner, &prop::sample::select(vec![(-1).into(), i64::MIN.into()]))
        }
        (5, at) => *at = json!(1.5),
        (6, at) => *at = json!([at.take()]),
        (7, at) => *at = Value::Null,
        (_, at) => *at = json!("00000000-0000-0000-0000-000000000000"),
    }
    value
}

#[test]
fn a_body_that_breaks_its_schema_is_refused_and_changes_nothing() {
    let held = Held::new();
    let document = Document::of(&held.server);
    let (pool, mut runner) = (pool(&held.client), runner());
    for operation in document.operations() {
        let content = &operation.told["requestBody"]["content"]["application/json"]["schema"];
        if content.is_null() {
            continue;
        }
        let (schema, mut count) = (document.judge(content), 0);
        while count < CASES {
            let good = body(&document, &operation, &pool, &mut runner).unwrap();
            let bad = broken(good, &mut runner);
            // What says anything that it wants may have been hit.
            if schema.holds(&bad) {
                continue;
            }
            count += 1;
            let response = send(&held.client, &operation, &Parameters::default(), Some(&bad));
            refused(&document, &operation, &response, 400, &bad.to_string());
            // It is not refused for the hash alone, that nobody mended.
            assert!(!response.text().contains("those that its id was made of"), "{bad}: {}", response.text());
        }
    }
    held.is_unchanged();
}

#[test]
fn a_body_that_breaks_a_rule_is_refused_and_changes_nothing() {
    let held = Held::new();
    let document = Document::of(&held.server);
    let id = "8d56e5d3-d4f3-583e-9955-4d898ddc04c9";
    let bunch = |operation: &str| {
        format!(
            r#"{{"replica":"{id}","bunch":{{"bunch":1,"id":"{}","operations":[{operation}]}}}}"#,
            "0f".repeat(32)
        )
    };
    let create = |state: &str| {
        bunch(&format!(r#"{{"op":"create","collection":"notes","id":"{id}","state":{state}}}"#))
    };
    let deep = format!("{}1{}", "[".repeat(121), "]".repeat(121));
    let long = "ä".repeat(128);
    let rules = [
        ("/v1/bunches", create("{}"), "its id"),
        ("/v1/bunches", create(r#"{"a":123456789012345678901234567890}"#), "123456"),
        ("/v1/bunches", create(&format!(r#"{{"a":{deep}}}"#)), "nested"),
        ("/v1/bunches", create(r#"{"a":1,"a":2}"#), "\\\"a\\\""),
        (
            "/v1/bunches",
            bunch(&format!(
                r#"{{"op":"update","collection":"notes","id":"{id}","patch":{{}},"stamps":{{"a":1}}}}"#
            )),
            "stamps",
        ),
        ("/v1/changes", format!(r#"{{"cursors":{{"{long}":1}}}}"#), "128 bytes"),
        ("/v1/changes", r#"{"cursors":{"notes":1.0}}"#.to_owned(), "whole number"),
        ("/v1/changes", r#"{"cursors":{"notes":1e1}}"#.to_owned(), "whole number"),
        ("/v1/changes", r#"{"cursors":{},"cursors":{}}"#.to_owned(), "cursors"),
        (
            "/v1/reads",
            format!(r#"{{"reads":[{{"collection":"a","ids":[]}},{{"collection":"a","ids":["{id}"]}}]}}"#),
            "twice",
        ),
        (
            "/v1/reads",
            format!(r#"{{"reads":[{{"collection":"a","ids":["{id}","{}"]}}]}}"#, id.to_uppercase()),
            "twice",
        ),
    ];
    for (path, text, why) in rules {
        let operation = document.operations().into_iter().find(|one| one.path == path).unwrap();
        // It breaks no schema, so far as a parser lets the judge see it.
        let content = &operation.told["requestBody"]["content"]["application/json"]["schema"];
        document.judge(content).check(&serde_json::from_str(&text).unwrap());
        let response = held.client.post(path, &text);
        refused(&document, &operation, &response, 400, &text);
        assert!(response.text().contains(why), "{text}: {}", response.text());
    }
    held.is_unchanged();
}

#[test]
fn what_is_no_json_or_of_another_type_is_refused_and_changes_nothing() {
    let held = Held::new();
    let document = Document::of(&held.server);
    let (pool, mut runner) = (pool(&held.client), runner());
    let deep = "[".repeat(200_000);
    let json = ("content-type", "application/json");
    for operation in document.operations().into_iter().filter(|one| one.method == "POST") {
        let good = body(&document, &operation, &pool, &mut runner).unwrap().to_string();
        let cut = &good.as_bytes()[..good.len() - 1];
        let (twice, marked) = (format!("{good}{good}"), format!("\u{feff}{good}"));
        let odd: [&[u8]; 9] = [
            b"",
            b"null",
            b"[]",
            b"\"\\ud800\"",
            b"{\"\xff\":1}",
            cut,
            twice.as_bytes(),
            marked.as_bytes(),
            deep.as_bytes(),
        ];
        for text in odd {
            let response = held.client.send("POST", &operation.path, &[json], text);
            refused(&document, &operation, &response, 400, &String::from_utf8_lossy(text));
        }
        let packed = ("content-encoding", "gzip");
        let response = held.client.send("POST", &operation.path, &[json, packed], good.as_bytes());
        refused(&document, &operation, &response, 400, "what is not packed");
        for headers in [
            &[("content-type", "text/plain")][..],
            &[("content-type", "application/jsonx")],
            &[("content-type", "\u{e4}")],
            &[],
            &[json, ("content-encoding", "br")],
        ] {
            let response = held.client.send("POST", &operation.path, headers, good.as_bytes());
            refused(&document, &operation, &response, 415, &format!("{headers:?}"));
        }
    }
    held.is_unchanged();
}

#[test]
fn parameters_that_break_their_schemas_are_refused() {
    let held = Held::new();
    let document = Document::of(&held.server);
    let (pool, mut runner) = (pool(&held.client), runner());
    let gets = document.operations().into_iter().filter(|one| !one.told["parameters"].is_null());
    for operation in gets {
        for told in
            operation.told["parameters"].as_array().unwrap().iter().filter(|told| told["in"] == "query")
        {
            let (name, schema) = (told["name"].as_str().unwrap(), document.judge(&told["schema"]));
            for odd in ["", "x", "-1", "1.5", "18446744073709551616", "%31", "1%00", "\u{e4}", "1;drop"] {
                let number = odd.parse::<u64>().map_or_else(|_| json!(odd), |number| json!(number));
                assert!(!schema.holds(&number), "{name} may be {odd:?}");
                let response = held.client.get(&format!("{}?{name}={odd}", operation.path));
                refused(&document, &operation, &response, 400, &format!("{name}={odd}"));
            }
            let (mut query, _) = parameters(&document, &operation, &pool, &mut runner);
            query.retain(|one| !one.starts_with(name));
            let value = if schema.holds(&json!(1)) { "1" } else { "8d56e5d3-d4f3-583e-9955-4d898ddc04c9" };
            query.extend([format!("{name}={value}"), format!("{name}={value}")]);
            let response = send(&held.client, &operation, &(query.clone(), Vec::new()), None);
            refused(&document, &operation, &response, 400, &format!("{query:?}"));
        }
        let response = held.client.get(&format!("{}?other=1", operation.path));
        refused(&document, &operation, &response, 400, "a parameter that is not documented");
    }
    let triggers = document.operations().into_iter().find(|one| one.path == "/v1/triggers").unwrap();
    let told =
        triggers.told["parameters"].as_array().unwrap().iter().find(|told| told["in"] == "header").unwrap();
    let schema = document.judge(&told["schema"]);
    let stream = ("accept", "text/event-stream");
    let id = "8d56e5d3-d4f3-583e-9955-4d898ddc04c9";
    for odd in ["x", "1", id, &format!("{id}."), &format!("{id}.-1"), &format!("{id}.1.1"), "\u{e4}"] {
        assert!(!schema.holds(&json!(odd)), "an event's id may be {odd:?}");
        for headers in [&[stream, ("last-event-id", odd)][..], &[("last-event-id", odd)]] {
            let response = held.client.send("GET", "/v1/triggers", headers, b"");
            refused(&document, &triggers, &response, 400, odd);
        }
    }
    held.is_unchanged();
}

#[test]
fn head_is_answered_as_get_without_the_body() {
    let held = Held::new();
    for operation in Document::of(&held.server).operations().into_iter().filter(|one| one.method == "GET") {
        let mut stream = held.client.connect();
        let head = format!(
            "HEAD {} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {}\r\n\r\n",
            operation.path, held.client.bearer
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n"), "{answer}");
    }
}

#[test]
fn other_paths_and_methods_and_bad_credentials_are_refused_as_documented() {
    let held = Held::new();
    let document = Document::of(&held.server);
    for operation in document.operations() {
        let methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY"];
        for method in methods.into_iter().filter(|method| *method != operation.method) {
            let response =
                held.client.send(method, &operation.path, &[("content-type", "application/json")], b"{}");
            document.check_named("Method", &response);
            let allowed = response.header("allow").unwrap();
            assert!(allowed.split(',').any(|one| one.trim() == operation.method), "{allowed}");
        }
        for odd in ["/", "%2f", "/%00", "%ff", ";x", ".json", "/..", "/../account", "\\"] {
            let path = format!("{}{odd}", operation.path);
            document.check_named("NotFound", &held.client.send(&operation.method, &path, &[], b""));
        }
        if operation.told["security"].is_null() {
            assert_eq!(held.client.with("").send(&operation.method, &operation.path, &[], b"").status, 200);
            continue;
        }
        for odd in [
            "x",
            "foldlog_",
            "foldlog_0_0",
            "\u{e4}",
            "a b",
            &"x".repeat(10_000),
            &format!("{}x", held.client.bearer),
        ] {
            let response = held.client.with(odd).send(&operation.method, &operation.path, &[], b"");
            refused(&document, &operation, &response, 401, odd);
        }
        for odd in ["", "Bearer", "Basic eDp5", "Bearer\tx", &held.client.bearer] {
            let anybody = held.client.with("");
            let response = anybody.send(&operation.method, &operation.path, &[("authorization", odd)], b"");
            refused(&document, &operation, &response, 401, odd);
        }
    }
    held.is_unchanged();
}
