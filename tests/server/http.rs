//! HTTP/1.1 by hand: what a test says is what goes over the connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use foldlog::algebra::{Answer, Ask};
use foldlog::codec::wire::{Event, Events, Reply, Request, Unanswered};

/// How long a test waits for what has to come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Somebody who asks.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    address: SocketAddr,
    pub(crate) bearer: String,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.iter().find(|(held, _)| held == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        match self.header("content-encoding") {
            Some("gzip") => {
                let mut text = String::new();
                flate2::read::GzDecoder::new(&*self.body).read_to_string(&mut text).unwrap();
                text
            }
            _ => String::from_utf8(self.body.clone()).unwrap(),
        }
    }
}

impl Client {
    pub(crate) fn new(address: SocketAddr, bearer: String) -> Self {
        Client { address, bearer }
    }

    /// The same with another token.
    pub(crate) fn with(&self, bearer: &str) -> Self {
        Client::new(self.address, bearer.to_owned())
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends a request with these headers and this body, and reads the response.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        let mut stream = self.connect();
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n");
        if !self.bearer.is_empty() {
            head.push_str(&format!("authorization: Bearer {}\r\n", self.bearer));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        stream.write_all(head.as_bytes()).unwrap();
        // Whoever is refused early is still listened to.
        stream.write_all(body).unwrap();
        read(&mut BufReader::new(stream)).unwrap()
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        self.send("GET", path, &[], b"")
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Response {
        self.send("POST", path, &[("content-type", "application/json")], body.as_bytes())
    }

    pub(crate) fn ask(&self, ask: &Ask) -> Result<Answer, Unanswered> {
        let request = Request::of(ask);
        let path = request.route.path();
        let gzip = ("accept-encoding", "gzip");
        let response = if request.route.has_body() {
            let headers = [("content-type", "application/json"), gzip];
            self.send("POST", path, &headers, request.text.as_bytes())
        } else {
            self.send("GET", &format!("{path}?{}", request.text), &[gzip], b"")
        };
        let retry_after_s = response.header("retry-after").map(|seconds| seconds.parse().unwrap());
        Reply { status: response.status, body: response.text(), retry_after_s }.answer(request.route)
    }

    /// Opens a stream.
    pub(crate) fn listen(&self, last_event_id: Option<&str>) -> Stream {
        let mut stream = self.connect();
        let mut head = format!(
            "GET /v1/triggers HTTP/1.1\r\nhost: test\r\naccept: text/event-stream\r\nauthorization: Bearer {}\r\n",
            self.bearer
        );
        if let Some(id) = last_event_id {
            head.push_str(&format!("last-event-id: {id}\r\n"));
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
        let mut input = BufReader::new(stream);
        let (status, _) = read_head(&mut input).unwrap();
        Stream { status, input, reader: Events::default(), found: Vec::new() }
    }
}

/// A stream of events.
pub(crate) struct Stream {
    pub(crate) status: u16,
    input: BufReader<TcpStream>,
    reader: Events,
    found: Vec<Event>,
}

impl Stream {
    /// The next event; none once the stream has ended.
    pub(crate) fn next(&mut self) -> Option<Event> {
        while self.found.is_empty() {
            let mut size = String::new();
            self.input.read_line(&mut size).ok()?;
            let size = usize::from_str_radix(size.trim(), 16).ok().filter(|size| *size > 0)?;
            let mut chunk = vec![0; size + 2];
            self.input.read_exact(&mut chunk).ok()?;
            chunk.truncate(size);
            self.reader.read(&chunk, &mut self.found).unwrap();
        }
        Some(self.found.remove(0))
    }

    /// The next event that is no sign of life.
    pub(crate) fn next_told(&mut self) -> Option<Event> {
        loop {
            match self.next()? {
                Event::Alive => {}
                told => return Some(told),
            }
        }
    }
}

/// Reads a response; nothing where the connection was closed instead.
pub(crate) fn read(input: &mut impl BufRead) -> Option<Response> {
    let (status, head) = read_head(input)?;
    let length =
        head.iter().find(|(name, _)| name == "content-length").map(|(_, value)| value.parse().unwrap());
    let mut body = vec![0; length.unwrap_or(0)];
    input.read_exact(&mut body).ok()?;
    Some(Response { status, head, body })
}

fn read_head(input: &mut impl BufRead) -> Option<(u16, Vec<(String, String)>)> {
    let mut line = String::new();
    input.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let status = line.split(' ').nth(1)?.parse().ok()?;
    let mut head = Vec::new();
    loop {
        line.clear();
        input.read_line(&mut line).ok()?;
        match line.trim().split_once(": ") {
            Some((name, value)) => head.push((name.to_lowercase(), value.to_owned())),
            None => return Some((status, head)),
        }
    }
}
