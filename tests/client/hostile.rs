//! Whatever comes in place of an answer: a typed error, the next attempt later, nothing changed, memory bounded.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::io::Write;
use std::time::Instant;

use flate2::Compression;
use flate2::write::GzEncoder;
use foldlog::client::{Error, Options};

use super::devices::*;
use super::server::{Fault, Server};

const BYTES_MAX: usize = 200_000;

fn short() -> Options {
    options().silence_ms_max(200).request_ms_max(400).answer_bytes_max(BYTES_MAX)
}

fn raw(head: &str, body: &[u8]) -> Fault {
    let head = format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n", body.len());
    Fault::Raw([head.as_bytes(), body].concat())
}

/// 64 MiB of blanks, packed.
fn bomb() -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    let blanks = vec![b' '; 1 << 20];
    (0..64).for_each(|_| packed.write_all(&blanks).unwrap());
    packed.finish().unwrap()
}

type Is = fn(&Error) -> bool;

/// What comes, and what that is called.
fn answers() -> Vec<(&'static str, Fault, Is)> {
    let is_shape: Is = |error| matches!(error, Error::Unanswered { .. });
    let is_long: Is = |error| matches!(error, Error::TooLong { max: BYTES_MAX });
    let is_packed: Is = |error| matches!(error, Error::Packed { .. });
    let is_silence: Is = |error| matches!(error, Error::Offline { .. });
    let endless = |head: &str| {
        let head = format!("HTTP/1.1 {head}\r\ntransfer-encoding: chunked\r\n\r\n").into_bytes();
        Fault::Endless(head, [b"1000\r\n".as_slice(), &[b'['; 4096], b"\r\n"].concat())
    };
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(b"{}").unwrap();
    let mut cut = gzip.finish().unwrap();
    cut.truncate(cut.len() - 9);
    vec![
        ("a page for people", raw("200 OK\r\ncontent-type: text/html", b"<html>hello</html>"), is_shape),
        ("nothing", raw("200 OK", b""), is_shape),
        ("no text", raw("200 OK", &[0xff, 0xfe, 0]), is_shape),
        ("deep nesting", raw("200 OK", &[b'['; 100_000]), is_shape),
        ("another answer", raw("200 OK", br#"{"rows":[]}"#), is_shape),
        ("nothing there", raw("404 Not Found", b"no such page"), is_shape),
        ("another place", raw("302 Found\r\nlocation: http://127.0.0.1:9/", b""), is_shape),
        ("too much", raw("200 OK", &[b' '; BYTES_MAX + 1]), is_long),
        ("without end", endless("200 OK"), is_long),
        ("without end, packed", endless("200 OK\r\ncontent-encoding: gzip"), is_packed),
        ("a bomb", raw("200 OK\r\ncontent-encoding: gzip", &bomb()), is_long),
        ("cut while packed", raw("200 OK\r\ncontent-encoding: gzip", &cut), is_packed),
        ("another packing", raw("200 OK\r\ncontent-encoding: br", b"{}"), is_packed),
        ("not http", Fault::Raw(b"220 mail.example.org ESMTP\r\n".to_vec()), is_silence),
        ("cut short", Fault::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{".to_vec()), is_silence),
        ("a proxy's page", raw("502 Bad Gateway", b"<html>"), is_silence),
        ("a problem without end", endless("500 X"), is_silence),
        ("silence", Fault::Hang, is_silence),
        ("a byte at a time", Fault::Drip, is_silence),
    ]
}

#[test]
fn whatever_comes_is_a_typed_error_and_changes_nothing() {
    let server = Server::new();
    let clock = Clock::default();
    let mut writer = driver(&server, options());
    commit(writer.replica(), &[create(1), create(2)]);
    writer.sync().unwrap();
    let runtime = runtime();
    let mut one = driver(&server, clock.of(short()));
    let mut other = async_driver(&server, clock.of(short()));
    let mut n = 1;
    for path in ["/v1/changes", "/v1/bunches"] {
        for (what, fault, is) in answers() {
            let is_bunch = path == "/v1/bunches";
            if is_bunch && matches!(fault, Fault::Hang | Fault::Drip) {
                continue;
            }
            if is_bunch {
                n += 2;
                commit(one.replica(), &[create(n)]);
                commit(other.replica(), &[create(n + 1)]);
            }
            let wrong = fault.clone();
            server.fails(move |asked| if asked == path { wrong.clone() } else { Fault::None });
            let before = [observed(one.replica()), observed(other.replica())];
            let begun = Instant::now();
            let errors = [one.sync().unwrap_err(), runtime.block_on(other.sync()).unwrap_err()];
            assert!(begun.elapsed().as_secs() < 5, "{what}: {:?}", begun.elapsed());
            for error in &errors {
                assert!(is(error), "{what} at {path}: {error}");
            }
            for (driver, before) in [one.replica(), other.replica()].into_iter().zip(before) {
                if !is_bunch {
                    assert_eq!(observed(driver), before, "{what}");
                }
                assert!(driver.standing().unwrap().failures > 0, "{what}: the next attempt is later");
            }
            if is_bunch {
                server.works();
                clock.pass(3_600_000);
                one.sync().unwrap();
                runtime.block_on(other.sync()).unwrap();
            }
        }
    }
    server.works();
    assert_eq!(one.compare().unwrap().is_same(), Some(true));
    assert_eq!(runtime.block_on(other.compare()).unwrap().is_same(), Some(true));
    assert_eq!(u128::from(server.count()), n + 1, "nothing that was written is lost");
}
