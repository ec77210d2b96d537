//! An authority's server on loopback, as small as will do, with faults on demand.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use foldlog::algebra::{Answer, Ask, LiveSets, Millis, Schema};
use foldlog::authority::{Account, Authority, MemoryAuthority};
use foldlog::codec::wire::{Details, Event, EventId, Kind, Reply, Request, Route};

/// What stands for the path of a stream.
pub(crate) const STREAM: &str = "/v1/triggers?stream";

/// What happens to a request.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// The connection is cut before anything was done.
    CutBefore,
    /// It is done, and the connection cut.
    CutAfter,
    /// It is done twice, as by somebody in between who tries again.
    Twice,
    /// It takes this long.
    Delay(Duration),
    /// Nobody answers, until the server is gone.
    Hang,
    /// These bytes come in place of a response.
    Raw(Vec<u8>),
    /// These bytes come over and over, until nobody wants them.
    Endless(Vec<u8>, Vec<u8>),
    /// The head of a response comes, and then a byte at a time.
    Drip,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) token: Option<String>,
    pub(crate) last_event_id: Option<String>,
    pub(crate) is_packed: bool,
}

type Faults = Box<dyn FnMut(&str) -> Fault + Send>;

struct Shared {
    authority: MemoryAuthority,
    account: Account,
    token: Mutex<Option<String>>,
    faults: Mutex<Faults>,
    seen: Mutex<Vec<Seen>>,
    /// Streams of an earlier life end.
    life: AtomicU64,
    /// Streams say nothing.
    is_mute: AtomicBool,
    /// Streams that are open say this next.
    says: Mutex<Option<Event>>,
    alive_ms: AtomicU64,
    is_gone: AtomicBool,
}

pub(crate) struct Server {
    pub(crate) url: String,
    shared: Arc<Shared>,
}

impl Server {
    pub(crate) fn new() -> Self {
        Server::with(Schema::default())
    }

    pub(crate) fn with(schema: Schema) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            authority: MemoryAuthority::new(schema),
            account: Account::new("anna").unwrap(),
            token: Mutex::default(),
            faults: Mutex::new(Box::new(|_| Fault::None)),
            seen: Mutex::default(),
            life: AtomicU64::new(0),
            is_mute: AtomicBool::new(false),
            says: Mutex::default(),
            alive_ms: AtomicU64::new(15_000),
            is_gone: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if accepting.is_gone.load(Ordering::Relaxed) {
                    return;
                }
                let (stream, shared) = (stream.unwrap(), Arc::clone(&accepting));
                // A client that hangs up ends the thread.
                thread::spawn(move || drop(serve(&stream, &shared)));
            }
        });
        Server { url, shared }
    }

    /// What happens to requests from now on, by their paths.
    pub(crate) fn fails(&self, faults: impl FnMut(&str) -> Fault + Send + 'static) {
        *self.shared.faults.lock().unwrap() = Box::new(faults);
    }

    pub(crate) fn works(&self) {
        self.fails(|_| Fault::None);
    }

    /// The one token that counts.
    pub(crate) fn wants_token(&self, token: &str) {
        *self.shared.token.lock().unwrap() = Some(token.to_owned());
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// How often this was asked.
    pub(crate) fn asked(&self, path: &str) -> usize {
        self.seen().iter().filter(|seen| seen.path.starts_with(path)).count()
    }

    /// The streams that were asked for.
    pub(crate) fn streams(&self) -> Vec<String> {
        self.seen().into_iter().filter_map(|seen| seen.last_event_id).collect()
    }

    pub(crate) fn cut_streams(&self) {
        self.shared.life.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn mute_streams(&self, is_mute: bool) {
        self.shared.is_mute.store(is_mute, Ordering::Relaxed);
    }

    pub(crate) fn says(&self, event: Event) {
        *self.shared.says.lock().unwrap() = Some(event);
    }

    pub(crate) fn alive_every(&self, ms: u64) {
        self.shared.alive_ms.store(ms, Ordering::Relaxed);
    }

    pub(crate) fn live_sets(&self) -> LiveSets {
        match self.shared.answer(&Ask::LiveSets { generation: None }) {
            Answer::LiveSets(sets) => sets,
            other => panic!("{other:?}"),
        }
    }

    /// How many entities are live.
    pub(crate) fn count(&self) -> u64 {
        self.live_sets().values().map(|(set, _)| set.count).sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.is_gone.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(self.url.trim_start_matches("http://")));
    }
}

impl Shared {
    fn answer(&self, ask: &Ask) -> Answer {
        self.authority.answer(&self.account, Millis(1_700_000_000_000), ask).unwrap()
    }

    fn has_ended(&self, life: u64) -> bool {
        self.is_gone.load(Ordering::Relaxed) || self.life.load(Ordering::Relaxed) != life
    }
}

struct Heard {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Heard {
    fn header(&self, name: &str) -> Option<String> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }
}

fn hear(reader: &mut impl BufRead) -> std::io::Result<Option<Heard>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (method, target) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let (path, query) = (path.to_owned(), query.to_owned());
    let mut heard = Heard { method, path, query, headers, body: Vec::new() };
    let length = heard.header("content-length").map_or(0, |length| length.parse().unwrap());
    heard.body = vec![0; length];
    reader.read_exact(&mut heard.body)?;
    Ok(Some(heard))
}

fn serve(stream: &TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut out = stream;
    let mut reader = BufReader::new(stream);
    while let Some(heard) = hear(&mut reader)? {
        let token =
            heard.header("authorization").and_then(|all| Some(all.strip_prefix("Bearer ")?.to_owned()));
        let is_stream = heard.header("accept").is_some_and(|accept| accept == "text/event-stream");
        let place = if is_stream { STREAM.to_owned() } else { heard.path.clone() };
        let seen = Seen {
            path: place.clone(),
            token: token.clone(),
            last_event_id: heard.header("last-event-id"),
            is_packed: heard.header("content-encoding").is_some_and(|encoding| encoding == "gzip"),
        };
        shared.seen.lock().unwrap().push(seen);
        let fault = (shared.faults.lock().unwrap())(&place);
        match fault {
            Fault::CutBefore => return Ok(()),
            Fault::Delay(long) => thread::sleep(long),
            Fault::Hang => {
                while !shared.is_gone.load(Ordering::Relaxed) {
                    thread::sleep(Duration::from_millis(10));
                }
                return Ok(());
            }
            Fault::Raw(bytes) => return out.write_all(&bytes),
            Fault::Endless(head, body) => {
                out.write_all(&head)?;
                loop {
                    out.write_all(&body)?;
                }
            }
            Fault::Drip => {
                out.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")?;
                loop {
                    out.write_all(b" ")?;
                    thread::sleep(Duration::from_millis(20));
                }
            }
            Fault::None | Fault::CutAfter | Fault::Twice => {}
        }
        let wanted = shared.token.lock().unwrap().clone();
        let reply = if wanted.is_some() && wanted != token {
            Reply::problem(&Details::new(Kind::Unauthorised, "log in"))
        } else if is_stream {
            return tell(stream, shared, &heard);
        } else {
            let ask = asked(&heard);
            if matches!(fault, Fault::Twice) {
                shared.answer(&ask);
            }
            Reply::of(&shared.answer(&ask))
        };
        if matches!(fault, Fault::CutAfter) {
            return Ok(());
        }
        write_reply(out, &reply)?;
    }
    Ok(())
}

fn asked(heard: &Heard) -> Ask {
    let route = Route::ALL.into_iter().find(|route| route.path() == heard.path).unwrap();
    assert_eq!(heard.method, if route.has_body() { "POST" } else { "GET" });
    let mut text = heard.query.clone();
    if route.has_body() {
        assert_eq!(heard.header("content-type").as_deref(), Some("application/json"));
        text = String::new();
        match heard.header("content-encoding").as_deref() {
            Some("gzip") => drop(GzDecoder::new(heard.body.as_slice()).read_to_string(&mut text).unwrap()),
            None => text = String::from_utf8(heard.body.clone()).unwrap(),
            Some(other) => panic!("packed as {other}"),
        }
    }
    assert!(heard.header("accept-encoding").unwrap().contains("gzip"));
    Request { route, text }.ask().unwrap()
}

fn write_reply(mut out: &TcpStream, reply: &Reply) -> std::io::Result<()> {
    let mut packed = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(reply.body.as_bytes())?;
    let body = packed.finish()?;
    let retry = reply.retry_after_s.map(|seconds| format!("retry-after: {seconds}\r\n")).unwrap_or_default();
    let kind = if reply.status == 200 { "application/json" } else { "application/problem+json" };
    let head = format!(
        "HTTP/1.1 {} X\r\ncontent-type: {kind}\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n{retry}\r\n",
        reply.status,
        body.len()
    );
    out.write_all(head.as_bytes())?;
    out.write_all(&body)
}

/// The stream of triggers.
fn tell(mut out: &TcpStream, shared: &Shared, heard: &Heard) -> std::io::Result<()> {
    let life = shared.life.load(Ordering::Relaxed);
    let from: EventId = heard.header("last-event-id").unwrap().parse().unwrap();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n";
    out.write_all(head.as_bytes())?;
    let (mut above, mut last) = (from.index, Instant::now());
    while !shared.has_ended(life) {
        thread::sleep(Duration::from_millis(5));
        if shared.is_mute.load(Ordering::Relaxed) {
            continue;
        }
        let mut text = String::new();
        let generation = Some(from.generation);
        let asked = shared.answer(&Ask::Triggers { above, generation, triggers_max: 100 });
        match asked {
            Answer::Triggers(triggers) => {
                for trigger in triggers {
                    above = trigger.index;
                    Event::Trigger { generation: from.generation, trigger }.write(&mut text);
                }
            }
            _ => {
                Event::Resync { until: from }.write(&mut text);
            }
        }
        if let Some(event) = shared.says.lock().unwrap().take() {
            event.write(&mut text);
        }
        if last.elapsed() >= Duration::from_millis(shared.alive_ms.load(Ordering::Relaxed)) {
            Event::Alive.write(&mut text);
        }
        if !text.is_empty() {
            last = Instant::now();
            out.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes())?;
        }
    }
    Ok(())
}
