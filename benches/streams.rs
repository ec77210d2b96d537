//! A thousand open streams: what they cost in memory, and when a trigger has reached all of them.
//!
//! The server is a process of its own (`foldlog serve`), so that its memory is its own; each stream is a connection that
//! reads. A write then has to reach every one.
//!
//! `cargo bench --features cli --bench streams [-- STREAMS]`

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use foldlog::algebra::{CollectionName, EntityKey, Operation, State};
use foldlog::client::{Connection, Credentials, Driver, Options};
use foldlog::journal::{self, Durability};
use foldlog::replica::Replica;
use foldlog::{Uuid, sync};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn main() {
    let streams: usize = std::env::args().find_map(|text| text.parse().ok()).unwrap_or(1_000);
    let folder = tempfile::tempdir().expect("a folder");
    let foldlog = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_foldlog"));
        command.current_dir(&folder).args(args);
        command
    };
    let token = foldlog(&["token", "create", "anna"]).output().expect("a token").stdout;
    let token = String::from_utf8(token).expect("a token").trim().to_owned();
    let mut command = foldlog(&["serve", "--listen", "127.0.0.1:0", "--max-streams", "100000"]);
    let mut child = command.stderr(Stdio::piped()).spawn().expect("a server");
    let said = BufReader::new(child.stderr.take().expect("its words")).lines().next();
    let said = said.expect("a line").expect("a line");
    let address = said.rsplit("http://").next().expect("an address").to_owned();
    let server = Server(child);

    let replica = Replica::in_memory(journal::Options::new()).expect("a replica");
    let url = format!("http://{address}").parse().expect("an address");
    let credentials = Credentials::token(&token).expect("a token");
    let connection = Connection::new(url, credentials, Options::new()).expect("a connection");
    let mut driver = Driver::new(replica, sync::Options::default(), connection);
    wrote(&mut driver);
    let before = server.memory_kib();

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut open = Vec::new();
        let began = Instant::now();
        for _ in 0..streams {
            open.push(stream(&address, &token).await);
        }
        println!("{streams} streams open after {:.0?}", began.elapsed());
        tokio::time::sleep(Duration::from_secs(2)).await;
        println!("memory: {before} KiB before, {} KiB with them", server.memory_kib());
        for round in 1..=5 {
            let (said, mut reached) = tokio::sync::mpsc::unbounded_channel();
            for stream in open.drain(..) {
                let said = said.clone();
                tokio::spawn(async move {
                    let _ = said.send((told(stream).await, Instant::now()));
                });
            }
            drop(said);
            // Everybody waits.
            tokio::time::sleep(Duration::from_millis(300)).await;
            let began = Instant::now();
            let writing = tokio::task::spawn_blocking(move || {
                wrote(&mut driver);
                (driver, Instant::now())
            });
            let mut last = began;
            while let Some((stream, at)) = reached.recv().await {
                last = last.max(at);
                open.push(stream);
            }
            let (back, acknowledged);
            (back, acknowledged) = writing.await.expect("a write");
            driver = back;
            println!(
                "round {round}: acknowledged after {:.1?}, the last of {} told after {:.1?}",
                acknowledged - began,
                open.len(),
                last - began
            );
        }
        println!("memory: {} KiB, at most {} KiB", server.memory_kib(), server.memory_kib_max());
    });
}

/// One more entity, sent at once.
fn wrote(driver: &mut Driver) {
    let key = EntityKey::new(CollectionName::new("notes").expect("a name"), Uuid::now_v7()).expect("a key");
    let state = State::from_json(r#"{"title":"milk","done":false}"#).expect("a state");
    driver.replica().commit(&[Operation::create(key, state)], Durability::Durable).expect("a write");
    driver.sync().expect("a sync");
}

/// A stream that is open: its first event has come.
async fn stream(address: &str, token: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let head = format!(
        "GET /v1/triggers HTTP/1.1\r\nhost: {address}\r\naccept: text/event-stream\r\nauthorization: Bearer \
         {token}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("a request");
    let mut answer = Vec::with_capacity(4_096);
    stream.read_buf(&mut answer).await.expect("an answer");
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    stream
}

/// Waits until the stream tells of a trigger.
async fn told(mut stream: TcpStream) -> TcpStream {
    let mut heard = Vec::new();
    loop {
        let read = stream.read_buf(&mut heard).await.expect("an event");
        assert!(read > 0, "the stream ended");
        if String::from_utf8_lossy(&heard).contains("event: trigger") {
            return stream;
        }
    }
}

struct Server(Child);

impl Server {
    /// How much of its memory is in memory.
    fn memory_kib(&self) -> u64 {
        self.said("VmRSS:")
    }

    fn memory_kib_max(&self) -> u64 {
        self.said("VmHWM:")
    }

    /// What Linux says of it.
    fn said(&self, what: &str) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(what));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
