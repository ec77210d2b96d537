//! Room: who comes when there is none, and who takes too long.

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use foldlog::server::Options;

use super::Server;
use super::http::{Client, read};

/// A request whose body is asked for, and has not come.
pub(crate) fn begun(client: &Client) -> TcpStream {
    let mut stream = client.connect();
    let head = format!(
        "POST /v1/changes HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: 14\r\nexpect: 100-continue\r\n\r\n",
        client.bearer
    );
    stream.write_all(head.as_bytes()).unwrap();
    // The server says so once somebody waits for the body.
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream
}

#[test]
fn a_stream_too_many_is_told_to_come_again_and_may_once_another_ends() {
    let server = Server::with(Options { account_streams_max: 2, streams_max: 3, ..Options::default() });
    let (anna, ben) = (server.client("anna"), server.client("ben"));
    let mut first = anna.listen(None);
    let second = anna.listen(None);
    assert_eq!((first.status, second.status, anna.listen(None).status), (200, 200, 429));
    let of_ben = ben.listen(None);
    assert_eq!((of_ben.status, ben.listen(None).status), (200, 429));
    assert!(first.next().is_some());
    let refused = anna.send("GET", "/v1/triggers", &[("accept", "text/event-stream")], b"");
    assert_eq!(refused.header("retry-after"), Some("1"));
    drop(second);
    let begun = Instant::now();
    while anna.listen(None).status != 200 {
        assert!(begun.elapsed() < Duration::from_secs(5), "the place of a closed stream stays taken");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_request_too_many_of_one_account_is_told_to_come_again() {
    let server = Server::with(Options { account_requests_max: 1, ..Options::default() });
    let (anna, ben) = (server.client("anna"), server.client("ben"));
    // One whose body does not come holds its place.
    let mut slow = begun(&anna);
    let refused = anna.get("/v1/digests");
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")));
    assert_eq!(ben.get("/v1/digests").status, 200, "another account has its own room");
    slow.write_all(br#"{"cursors":{}}"#).unwrap();
    assert_eq!(read(&mut BufReader::new(slow)).unwrap().status, 200);
    assert_eq!(anna.get("/v1/digests").status, 200);
}

#[test]
fn who_takes_too_long_is_not_waited_for() {
    let server = Server::with(Options { head_ms_max: 300, body_ms_max: 300, ..Options::default() });
    let client = server.client("anna");
    let begun = Instant::now();
    for head in ["", "POST /v1/chan", "GET /healthz HTTP/1.1\r\nhost: x\r\n"] {
        let mut stream = client.connect();
        stream.write_all(head.as_bytes()).unwrap();
        let mut all = Vec::new();
        // Closed, with or without a word.
        let _ = stream.read_to_end(&mut all);
        assert!(!String::from_utf8_lossy(&all).contains("200 OK"));
    }
    let mut stream = client.connect();
    let head = format!(
        "POST /v1/changes HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: 14\r\n\r\n{{",
        client.bearer
    );
    stream.write_all(head.as_bytes()).unwrap();
    let response = read(&mut BufReader::new(stream)).unwrap();
    assert_eq!(response.status, 400, "{}", response.text());
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    // One that says no more after it has asked is answered all the same.
    let mut stream = client.connect();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    assert_eq!(read(&mut BufReader::new(stream)).unwrap().status, 200);
}

/// Somebody who asks for far more than systems keep for whoever does not read: a hundred MiB.
fn who_asks_for_much(client: &Client) -> TcpStream {
    let mut stream = client.connect();
    stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    // Nor does the server read on before it can answer.
    let _ = stream.write_all("GET /v1/openapi.json HTTP/1.1\r\nhost: x\r\n\r\n".repeat(3_000).as_bytes());
    stream
}

#[test]
fn who_does_not_read_its_answers_gives_its_place_to_others() {
    // One stream, and four connections for the one request.
    let room = Options { streams_max: 1, requests_max: 1, ..Options::default() };
    let server = Server::with(Options { unread_ms_max: 300, ..room });
    let client = server.client("anna");
    let unread: Vec<TcpStream> = (0..5).map(|_| who_asks_for_much(&client)).collect();
    assert_eq!(client.get("/healthz").status, 200);
    drop(unread);
}

#[test]
fn who_reads_slowly_is_answered() {
    let server = Server::with(Options { unread_ms_max: 2_000, ..Options::default() });
    let mut slow = who_asks_for_much(&server.client("anna"));
    let (mut some, begun) = (vec![0; 1024 * 1024], Instant::now());
    while begun.elapsed() < Duration::from_secs(5) {
        slow.read_exact(&mut some).unwrap();
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_head_that_is_too_long_is_refused() {
    let server = Server::new();
    let client = server.client("anna");
    let mut stream = client.connect();
    stream
        .write_all(format!("GET /healthz HTTP/1.1\r\nhost: {}\r\n\r\n", "x".repeat(200_000)).as_bytes())
        .unwrap();
    let status = read(&mut BufReader::new(stream)).map(|response| response.status);
    assert!(matches!(status, None | Some(431)), "{status:?}");
    assert_eq!(client.get("/healthz").status, 200);
}

#[test]
fn a_server_that_ends_lets_requests_finish_and_streams_not_hold_it() {
    let server = Server::new();
    let client = server.client("anna");
    let mut streams: Vec<_> = (0..20).map(|_| client.listen(None)).collect();
    assert!(streams.iter_mut().all(|stream| stream.next().is_some()));
    let mut slow = begun(&client);
    let begun = Instant::now();
    let ending = std::thread::spawn(move || server.running.end());
    std::thread::sleep(Duration::from_millis(200));
    slow.write_all(br#"{"cursors":{}}"#).unwrap();
    assert_eq!(read(&mut BufReader::new(slow)).unwrap().status, 200);
    ending.join().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(streams.iter_mut().all(|stream| stream.next_told().is_none()));
}
