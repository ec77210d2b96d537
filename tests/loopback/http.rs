//! Just enough of HTTP/1.1 to tell where a message ends. What is in it is passed on byte for byte.

use std::io::{self, BufRead};

/// A request or a response; of a stream, its head alone.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Message {
    /// Reads the next message; none where the other side has closed in between.
    pub(crate) fn read(reader: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut message = Message { head: Vec::new(), body: Vec::new() };
        loop {
            let before = message.head.len();
            if reader.read_until(b'\n', &mut message.head)? == 0 {
                return if before == 0 { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
            if message.head.get(before..) == Some(b"\r\n") {
                break;
            }
        }
        let length = message.header("content-length").map_or(Ok(0), |length| length.parse());
        message.body = vec![0; length.map_err(io::Error::other)?];
        reader.read_exact(&mut message.body)?;
        Ok(Some(message))
    }

    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let head = String::from_utf8_lossy(&self.head);
        let mut fields = head.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
    }

    /// Whether a response says that it is what was asked for.
    pub(crate) fn is_good(&self) -> bool {
        self.head.starts_with(b"HTTP/1.1 200 ")
    }

    /// Whether a request is for a stream.
    pub(crate) fn wants_stream(&self) -> bool {
        self.header("accept").is_some_and(|accept| accept.contains("text/event-stream"))
    }

    /// Its bytes, as they came.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        [self.head.as_slice(), self.body.as_slice()].concat()
    }
}

#[test]
fn messages_that_follow_each_other_are_told_apart_and_one_that_is_cut_is_none() {
    let two = b"POST /v1/reads HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n\r\n";
    let mut reader = two.as_slice();
    let first = Message::read(&mut reader).unwrap().unwrap();
    assert_eq!((first.body.as_slice(), first.header("content-length").as_deref()), (&b"abc"[..], Some("3")));
    let second = Message::read(&mut reader).unwrap().unwrap();
    assert_eq!([first.bytes(), second.bytes()].concat(), two);
    assert!(Message::read(&mut reader).unwrap().is_none());
    for cut in [10, 30, 47] {
        assert!(Message::read(&mut two.get(..cut).unwrap()).is_err(), "{cut}");
    }
}
