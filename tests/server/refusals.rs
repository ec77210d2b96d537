//! Bad requests: an answer of the documented shape, and nothing changed.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use foldlog::Uuid;
use foldlog::algebra::{Answer, Ask, Cursors, Epoch, Generation, Index, Millis};
use foldlog::authority::Account;
use foldlog::codec::wire::{Details, Kind, Request};
use foldlog::journal::Durability;
use foldlog::server::Options;

use super::http::Response;
use super::sync::{create, engine, key, sync};
use super::{Server, now};

/// A problem of this kind, as documented.
fn expect(response: &Response, kind: Kind) -> Details {
    let (name, status, _) = kind.said();
    let text = response.text();
    assert_eq!(response.status, status, "{name}: {text}");
    assert_eq!(response.header("content-type"), Some("application/problem+json"), "{name}: {text}");
    let details = Details::read(response.status, &text);
    assert_eq!(details.kind, Some(kind), "{text}");
    details
}

#[test]
fn who_has_no_good_token_learns_nothing() {
    let server = Server::new();
    let good = server.client("anna");
    let account = Account::new("anna").unwrap();
    let expired = server.tokens.issue(&account, now(), Some(Millis(1))).unwrap().bearer;
    let revoked = server.tokens.issue(&account, now(), None).unwrap();
    server.tokens.revoke(&revoked.token.id).unwrap();
    let other = |bearer: &str| good.with(bearer);
    let mut texts = Vec::new();
    for bearer in ["x", "foldlog_0_1", &expired, &revoked.bearer, &format!("{}0", good.bearer), "ä"] {
        for (method, path) in [("POST", "/v1/bunches"), ("GET", "/v1/triggers"), ("DELETE", "/v1/account")] {
            let response = other(bearer).send(method, path, &[], b"");
            assert_eq!(response.header("www-authenticate"), Some("Bearer"));
            expect(&response, Kind::Unauthorised);
            texts.push(response.text());
        }
    }
    texts.retain(|text| !text.contains("send authorization"));
    texts.dedup();
    assert_eq!(texts.len(), 1, "unknown, revoked and expired are told apart: {texts:?}");
    expect(&other("").get("/v1/digests"), Kind::Unauthorised);
    let basic = other("").send("GET", "/v1/digests", &[("authorization", "Basic YTpi")], b"");
    expect(&basic, Kind::Unauthorised);
    assert_eq!(good.get("/v1/digests").status, 200);
}

#[test]
fn what_is_not_of_the_documented_shape_is_refused_by_name_and_changes_nothing() {
    let server = Server::new();
    let client = server.client("anna");
    let mut device = engine();
    device.replica().commit(&[create(1)], Durability::Durable).unwrap();
    sync(&mut device, &client);
    for (path, body, why) in [
        ("/v1/bunches", "", "object"),
        ("/v1/bunches", "[]", "object"),
        ("/v1/bunches", "{\"replica\":7}", "bunch"),
        (
            "/v1/bunches",
            r#"{"replica":"00000000-0000-0000-0000-000000000001","bunch":{"bunch":1,"id":"00","operations":[]}}"#,
            "blake3",
        ),
        ("/v1/changes", r#"{"cursors":{"notes":-1}}"#, "whole number"),
        ("/v1/changes", r#"{"cursors":{"notes":1}"#, "JSON"),
        ("/v1/reads", r#"{"reads":[{"collection":"","ids":[]}]}"#, "name"),
        ("/v1/reads", r#"{"reads":[{"collection":"notes","ids":["../../etc/passwd"]}]}"#, "UUID"),
    ] {
        let details = expect(&client.post(path, body), Kind::Malformed);
        assert!(details.detail.contains(why), "{body}: {}", details.detail);
    }
    let deep = format!(r#"{{"cursors":{}1{}}}"#, r#"{"a":"#.repeat(5_000), "}".repeat(5_000));
    expect(&client.post("/v1/changes", &deep), Kind::Malformed);
    let not_text =
        client.send("POST", "/v1/changes", &[("content-type", "application/json")], b"{\"\xff\":1}");
    expect(&not_text, Kind::Malformed);
    expect(&client.get("/v1/triggers?above=-1"), Kind::Malformed);
    expect(&client.get("/v1/triggers?above=1&x=%00"), Kind::Malformed);
    assert_eq!(sync(&mut device, &client), foldlog::sync::Compared::default());
    assert_eq!(device.replica().list(key(1).collection()).unwrap().len(), 1);
}

#[test]
fn odd_paths_and_methods_are_refused() {
    let server = Server::new();
    let client = server.client("anna");
    for path in [
        "/",
        "/v2/changes",
        "/v1",
        "/v1/changes/",
        "/v1/../etc/passwd",
        "/%00",
        "/v1/%2e%2e/x",
        "//v1/changes",
    ] {
        expect(&client.get(path), Kind::NotFound);
    }
    for (method, path) in
        [("GET", "/v1/changes"), ("PUT", "/v1/bunches"), ("DELETE", "/v1/triggers"), ("GET", "/v1/account")]
    {
        expect(&client.send(method, path, &[], b""), Kind::Method);
    }
    assert_eq!(client.get("/healthz").text(), r#"{"status":"ok"}"#);
    let metrics = client.get("/metrics").text();
    assert!(metrics.contains("foldlog_requests_total") || metrics.contains("foldlog_streams"), "{metrics}");
}

#[test]
fn bodies_that_are_too_large_or_of_another_kind_are_refused_unread() {
    let server = Server::with(Options { body_bytes_max: 10_000, operations_max: 2, ..Options::default() });
    let client = server.client("anna");
    let json = ("content-type", "application/json");
    let gzip = ("content-encoding", "gzip");
    let spaces = vec![b' '; 10_001];
    expect(&client.send("POST", "/v1/changes", &[json], &spaces), Kind::TooLarge);
    let mut body = br#"{"cursors":{}}"#.to_vec();
    body.resize(10_000, b' ');
    assert_eq!(client.send("POST", "/v1/changes", &[json], &body).status, 200);
    // A bomb: 50 MB in some 50 kB; and one whose packed size is small enough.
    for size in [50_000_000, 2_000_000, 10_001] {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&vec![b' '; size]).unwrap();
        expect(
            &client.send("POST", "/v1/changes", &[json, gzip], &encoder.finish().unwrap()),
            Kind::TooLarge,
        );
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(br#"{"cursors":{}}"#).unwrap();
    let packed = encoder.finish().unwrap();
    assert_eq!(client.send("POST", "/v1/changes", &[json, gzip], &packed).status, 200);
    let cut = packed.get(..packed.len() - 9).unwrap();
    expect(&client.send("POST", "/v1/changes", &[json, gzip], cut), Kind::Malformed);
    expect(&client.send("POST", "/v1/changes", &[json, ("content-encoding", "br")], b"{}"), Kind::MediaType);
    expect(&client.send("POST", "/v1/changes", &[("content-type", "text/plain")], b"{}"), Kind::MediaType);
    expect(&client.send("POST", "/v1/changes", &[], b"{}"), Kind::MediaType);
    let device = engine();
    device.replica().commit(&[create(1), create(2), create(3)], Durability::Durable).unwrap();
    let bunch = device.replica().seal(foldlog::algebra::Limits::default()).unwrap().unwrap();
    let ask = Ask::Deliver { replica: device.replica().id(), bunch, generation: None };
    let text = Request::of(&ask).text;
    let details = expect(&client.send("POST", "/v1/bunches", &[json], text.as_bytes()), Kind::TooLarge);
    assert!(details.detail.contains("at most 2 operations"), "{}", details.detail);
}

/// The server closed the connection while the client was still sending, who then saw a broken pipe instead of a reason.
#[test]
fn whoever_is_still_sending_is_told_why_it_is_refused() {
    let server = Server::with(Options { body_bytes_max: 10_000, ..Options::default() });
    let client = server.client("anna");
    let json = ("content-type", "application/json");
    let long = vec![b' '; 30_000_000];
    for _ in 0..5 {
        expect(&client.send("POST", "/v1/bunches", &[json], &long), Kind::TooLarge);
        expect(&client.send("POST", "/v1/bunches", &[], &long), Kind::MediaType);
        expect(&client.with("x").send("POST", "/v1/bunches", &[json], &long), Kind::Unauthorised);
    }
}

/// Who waits to be told to go on is not waited for.
#[test]
fn whoever_asks_first_is_refused_without_sending() {
    let server = Server::new();
    let client = server.client("anna");
    let mut stream = client.with("x").connect();
    let head =
        "POST /v1/bunches HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\nexpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let response = super::http::read(&mut std::io::BufReader::new(stream)).unwrap();
    expect(&response, Kind::Unauthorised);
}

#[test]
fn cursors_of_another_life_or_from_the_future_are_told_to_start_over() {
    let server = Server::new();
    let client = server.client("anna");
    let mut device = engine();
    device.replica().commit(&[create(1)], Durability::Durable).unwrap();
    sync(&mut device, &client);
    let generation = device.replica().standing().unwrap().generation;
    let other = Some(Generation(Uuid::from_u128(99)));
    let changes = |epoch, generation| {
        let cursors = Cursors::from([(key(1).collection().clone(), Epoch(epoch))]);
        client.ask(&Ask::Changes { cursors, floors: Cursors::new(), generation, rows_max: 9 }).unwrap()
    };
    let over = Answer::StartOver { generation: generation.unwrap() };
    assert!(matches!(changes(1, generation), Answer::Changes(_)));
    assert_eq!(changes(1, other), over);
    assert_eq!(changes(u64::MAX, generation), over);
    let triggers = |above, generation| {
        client.ask(&Ask::Triggers { above: Index(above), generation, triggers_max: 9 }).unwrap()
    };
    assert!(matches!(triggers(0, generation), Answer::Triggers(all) if all.len() == 1));
    assert_eq!(triggers(0, other), over);
    assert_eq!(triggers(77, generation), Answer::TriggersTooOld);
    assert_eq!(client.ask(&Ask::LiveSets { generation: other }).unwrap(), over);
}
