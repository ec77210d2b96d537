//! Requests that conform: understood, and answered as documented.

use std::collections::{BTreeMap, BTreeSet};

use foldlog::algebra::{Bunch, BunchNumber, Digest, Planned};
use foldlog::codec::lines::Line;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use super::document::{Document, Operation};
use super::generate::{Pool, conforming, drawn, runner};
use crate::Server;
use crate::http::{Client, Response};

/// How many requests of each kind.
const CASES: usize = 150;

/// The parameters of a request: a query, and headers.
pub(super) type Parameters = (Vec<String>, Vec<(String, String)>);

/// Values that are drawn often: few ids, so that they collide, and the generation that there is.
pub(super) fn pool(client: &Client) -> Pool {
    let page: Value = serde_json::from_str(&client.post("/v1/changes", r#"{"cursors":{}}"#).text()).unwrap();
    let id = |n: u128| json!(foldlog::Uuid::from_u128(n).to_string());
    vec![
        ("Id", vec![id(1), id(2), id(3), page["generation"].clone(), page["generation"].clone()]),
        ("Collection", vec![json!("notes"), json!("tags")]),
        ("Group", vec![json!("one"), json!("two")]),
    ]
}

/// A body of an operation that conforms and keeps the rules; none where it has no body.
pub(super) fn body(
    document: &Document,
    operation: &Operation,
    pool: &Pool,
    runner: &mut TestRunner,
) -> Option<Value> {
    let content = &operation.told["requestBody"]["content"]["application/json"];
    let schema = document.judge(content.get("schema")?);
    let strategy = conforming(document, &schema, pool);
    loop {
        let kept = kept(drawn(runner, &strategy));
        if let Some(kept) = kept.filter(|value| schema.holds(value)) {
            return Some(kept);
        }
    }
}

/// The query and the headers of a request, as the document says.
pub(super) fn parameters(
    document: &Document,
    operation: &Operation,
    pool: &Pool,
    runner: &mut TestRunner,
) -> Parameters {
    let (mut query, mut headers) = (Vec::new(), Vec::new());
    for told in operation.told["parameters"].as_array().into_iter().flatten() {
        let value = drawn(runner, &conforming(document, &document.judge(&told["schema"]), pool));
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let name = told["name"].as_str().unwrap().to_owned();
        if drawn(runner, &prop::bool::ANY) {
            match told["in"].as_str().unwrap() {
                "query" => query.push(format!("{name}={text}")),
                // The rule: an index has 64 bits.
                _ if text.rsplit('.').next().is_some_and(|index| index.len() < 20) => {
                    headers.push((name, text))
                }
                _ => {}
            }
        }
    }
    (query, headers)
}

pub(super) fn send(
    client: &Client,
    operation: &Operation,
    parameters: &Parameters,
    body: Option<&Value>,
) -> Response {
    let (query, headers) = parameters;
    let path = if query.is_empty() {
        operation.path.clone()
    } else {
        format!("{}?{}", operation.path, query.join("&"))
    };
    let mut all: Vec<(&str, &str)> =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let text = body.map(Value::to_string).unwrap_or_default();
    if body.is_some() {
        all.push(("content-type", "application/json"));
    }
    client.send(&operation.method, &path, &all, text.as_bytes())
}

/// The same, if it keeps to what no schema can say, mended where that is to be computed.
fn kept(mut body: Value) -> Option<Value> {
    if let Some(lists) = body.get_mut("reads").and_then(Value::as_array_mut) {
        // Each collection has one list, each id stands in it once.
        let mut seen = BTreeSet::new();
        lists.retain(|list| seen.insert(list["collection"].to_string()));
        for list in lists {
            let mut seen = BTreeSet::new();
            list["ids"].as_array_mut().unwrap().retain(|id| seen.insert(id.to_string().to_lowercase()));
        }
    }
    if let Some(bunch) = body.get_mut("bunch") {
        for operation in bunch["operations"].as_array_mut().unwrap() {
            let names: Option<BTreeMap<String, Value>> =
                operation.get("patch").map(|patch| serde_json::from_value(patch.clone()).unwrap());
            if let (Some(names), Some(stamps)) =
                (names, operation.get_mut("stamps").and_then(Value::as_object_mut))
            {
                stamps.retain(|name, _| names.contains_key(name));
            }
        }
        if are_short(bunch) {
            bunch["id"] = json!(id_of(bunch));
        }
    }
    are_short(&body).then_some(body)
}

/// Whether every name has as few bytes as it may have characters. What else is that long is not drawn.
fn are_short(value: &Value) -> bool {
    match value {
        Value::String(text) => text.len() <= 128,
        Value::Array(all) => all.iter().all(are_short),
        Value::Object(all) => all.iter().all(|(name, value)| name.len() <= 128 && are_short(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}

/// What the id of a bunch has to be.
fn id_of(bunch: &Value) -> String {
    let operation = |told: &Value| {
        let read = Planned::from_line(&told.to_string());
        read.unwrap_or_else(|problem| panic!("{told} conforms and is refused: {problem}"))
    };
    let operations = bunch["operations"].as_array().unwrap().iter().map(operation).collect();
    let number = BunchNumber(bunch["bunch"].as_u64().unwrap());
    let line = Bunch { number, id: Digest([0; 32]), operations }.to_line();
    let (before, after) = line.split_once(&format!("\"id\":\"{}\",", "0".repeat(64))).unwrap();
    blake3::hash(format!("{before}{after}").as_bytes()).to_hex().to_string()
}

#[test]
fn what_conforms_is_understood_and_answered_as_documented() {
    let server = Server::new();
    let document = Document::of(&server);
    let client = server.client("anna");
    let pool = pool(&client);
    let mut runner = runner();
    let mut seen = BTreeSet::new();
    for operation in document.operations() {
        for n in 0..CASES {
            let client = match operation.method.as_str() {
                "DELETE" if n < 10 => server.client(&format!("account {n}")),
                "DELETE" => break,
                _ => client.clone(),
            };
            let body = body(&document, &operation, &pool, &mut runner);
            let mut parameters = parameters(&document, &operation, &pool, &mut runner);
            if n % 3 == 0 && operation.told["responses"]["200"]["content"]["text/event-stream"].is_object() {
                parameters.1.push(("accept".to_owned(), "text/event-stream".to_owned()));
            }
            if n % 5 == 0 {
                parameters.1.push(("accept-encoding".to_owned(), "gzip".to_owned()));
            }
            let response = send(&client, &operation, &parameters, body.as_ref());
            document.check(&operation, &response);
            let is_understood = matches!(response.status, 200 | 204 | 409 | 410);
            assert!(is_understood, "{operation:?} {parameters:?} {body:?}: {}", response.text());
            seen.insert((operation.path.clone(), response.status));
        }
    }
    // The values are not such that nothing comes of them.
    let statuses = |path: &str| -> Vec<u16> {
        seen.iter().filter(|(known, _)| known == path).map(|(_, status)| *status).collect()
    };
    assert_eq!(statuses("/v1/bunches"), [200, 409, 410]);
    for path in ["/v1/changes", "/v1/triggers", "/v1/digests"] {
        assert_eq!(statuses(path), [200, 410], "{path}");
    }
    for path in ["/v1/reads", "/healthz", "/metrics", "/v1/openapi.json"] {
        assert_eq!(statuses(path), [200], "{path}");
    }
    assert_eq!(statuses("/v1/account"), [204]);
    let outcomes = client.get("/v1/digests").text();
    assert!(outcomes.contains("notes") && outcomes.contains("tags"), "{outcomes}");
}
