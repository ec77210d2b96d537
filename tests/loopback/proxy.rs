//! Who stands between clients and a server: passes on, cuts, delays and doubles, by a schedule.
//!
//! It never lets go of a client while the server is still at its request. Invariant: whatever a client is told or not
//! told, what it asked is done, or never will be, once its connection is cut; but for what comes again much later, which
//! the server has answered before.

use std::collections::VecDeque;
use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::host::Host;
use crate::http::Message;
use crate::schedule::{Fault, Schedule};

/// How many requests are remembered, to come again.
const RECORDED_MAX: usize = 40;

/// Longer than any server takes, so that a test that hangs ends.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often what happened.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) requests: AtomicU64,
    pub(crate) cut: AtomicU64,
    /// Cut when the server had done it.
    pub(crate) cut_when_done: AtomicU64,
    pub(crate) doubled: AtomicU64,
    pub(crate) late: AtomicU64,
    pub(crate) deaths: AtomicU64,
    pub(crate) streams: AtomicU64,
}

/// A proxy. Dropped, it takes nobody any more.
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    host: Arc<dyn Host>,
    schedule: Mutex<Schedule>,
    is_calm: AtomicBool,
    is_gone: AtomicBool,
    recorded: Mutex<VecDeque<Message>>,
    late: Mutex<Vec<JoinHandle<()>>>,
    /// Connections to the server that are free.
    idle: Mutex<Vec<TcpStream>>,
    counts: Counts,
}

impl Proxy {
    /// A proxy before a server, with nothing wrong at first.
    pub(crate) fn new(host: Arc<dyn Host>, schedule: Schedule) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            host,
            schedule: Mutex::new(schedule),
            is_calm: AtomicBool::new(true),
            is_gone: AtomicBool::new(false),
            recorded: Mutex::default(),
            late: Mutex::default(),
            idle: Mutex::default(),
            counts: Counts::default(),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                if accepting.is_gone.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(client), shared) = (client, Arc::clone(&accepting)) else { continue };
                // A side that hangs up ends the thread.
                thread::spawn(move || drop(shared.serve(&client)));
            }
        });
        Proxy { address, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.shared.counts
    }

    /// From now on nothing goes wrong, and nothing comes any more of what went by; or anything may.
    pub(crate) fn be_calm(&self, is_calm: bool) {
        self.shared.is_calm.store(is_calm, Ordering::SeqCst);
        let late = std::mem::take(&mut *self.shared.late.lock().unwrap());
        late.into_iter().for_each(|late| late.join().unwrap());
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_gone.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn serve(self: &Arc<Self>, client: &TcpStream) -> io::Result<()> {
        client.set_nodelay(true)?;
        let mut reader = BufReader::new(client);
        while let Some(request) = Message::read(&mut reader)? {
            if request.wants_stream() {
                return self.stream(&request, client);
            }
            self.counts.requests.fetch_add(1, Ordering::Relaxed);
            let is_answered = self.pass(&request, client)?;
            if !is_answered {
                self.counts.cut.fetch_add(1, Ordering::Relaxed);
                return client.shutdown(Shutdown::Both);
            }
        }
        Ok(())
    }

    /// Passes a request on, and its answer back; whether that came whole.
    fn pass(self: &Arc<Self>, request: &Message, mut client: &TcpStream) -> io::Result<bool> {
        let fault = self.fault();
        self.repeat_an_older_one();
        let answer = match fault {
            Fault::CutBefore => return Ok(false),
            Fault::CutWithin(share) => {
                let bytes = request.bytes();
                let mut server = self.connected()?;
                server.write_all(part(&bytes, share))?;
                return Ok(false);
            }
            Fault::Die(Some(after)) => {
                let mut server = self.connected()?;
                server.write_all(&request.bytes())?;
                thread::sleep(after);
                self.die();
                // Whether it had come so far shows later.
                drop(Message::read(&mut BufReader::new(server)));
                return Ok(false);
            }
            Fault::Delay(long) => {
                thread::sleep(long);
                self.exchange(request)
            }
            Fault::Double(second_counts) => {
                self.counts.doubled.fetch_add(1, Ordering::Relaxed);
                let (first, second) = thread::scope(|scope| {
                    let second = scope.spawn(|| self.exchange(request));
                    (self.exchange(request), second.join().unwrap())
                });
                if second_counts { second } else { first }
            }
            Fault::None | Fault::CutAfter | Fault::CutAnswer(_) | Fault::Die(None) => self.exchange(request),
        };
        let Ok(answer) = answer else { return Ok(false) };
        let bytes = answer.bytes();
        let (whole, sent) = match fault {
            Fault::CutAfter => (false, &[][..]),
            Fault::CutAnswer(share) => (false, part(&bytes, share)),
            Fault::Die(_) => {
                self.die();
                (false, &[][..])
            }
            Fault::None | Fault::CutBefore | Fault::CutWithin(_) | Fault::Delay(_) | Fault::Double(_) => {
                (true, &bytes[..])
            }
        };
        if !whole {
            self.counts.cut_when_done.fetch_add(1, Ordering::Relaxed);
        }
        if answer.is_good() {
            self.record(request);
        }
        client.write_all(sent)?;
        Ok(whole)
    }

    /// Remembers what the server has done, and so may get again at any time.
    fn record(&self, request: &Message) {
        let mut recorded = self.recorded.lock().unwrap();
        recorded.push_back(request.clone());
        if recorded.len() > RECORDED_MAX {
            recorded.pop_front();
        }
    }

    fn fault(&self) -> Fault {
        if self.is_calm.load(Ordering::SeqCst) {
            return Fault::None;
        }
        self.schedule.lock().unwrap().fault()
    }

    /// Sends something again that was answered before, beside whatever goes on; nobody hears the answer.
    fn repeat_an_older_one(self: &Arc<Self>) {
        if self.is_calm.load(Ordering::SeqCst) {
            return;
        }
        let recorded = self.recorded.lock().unwrap();
        let Some((which, after)) = self.schedule.lock().unwrap().late(recorded.len()) else { return };
        let Some(request) = recorded.get(which).cloned() else { return };
        drop(recorded);
        self.counts.late.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::clone(self);
        let repeating = thread::spawn(move || {
            thread::sleep(after);
            drop(shared.exchange(&request));
        });
        self.late.lock().unwrap().push(repeating);
    }

    fn die(&self) {
        self.counts.deaths.fetch_add(1, Ordering::Relaxed);
        self.host.die();
        self.idle.lock().unwrap().clear();
    }

    /// What the server answers. On a connection that it has closed meanwhile it is asked once more.
    fn exchange(&self, request: &Message) -> io::Result<Message> {
        let idle = self.idle.lock().unwrap().pop();
        if let Some(server) = idle
            && let Ok(answer) = self.exchange_on(server, request)
        {
            return Ok(answer);
        }
        self.exchange_on(self.connected()?, request)
    }

    fn exchange_on(&self, server: TcpStream, request: &Message) -> io::Result<Message> {
        (&server).write_all(&request.bytes())?;
        let answer = Message::read(&mut BufReader::new(&server))?.ok_or(io::ErrorKind::UnexpectedEof)?;
        self.idle.lock().unwrap().push(server);
        Ok(answer)
    }

    fn connected(&self) -> io::Result<TcpStream> {
        let address = self.host.address().ok_or(io::ErrorKind::ConnectionRefused)?;
        let server = TcpStream::connect(address)?;
        server.set_nodelay(true)?;
        server.set_read_timeout(Some(PATIENCE))?;
        Ok(server)
    }

    /// Passes a stream on for as long as it lives.
    fn stream(&self, request: &Message, mut client: &TcpStream) -> io::Result<()> {
        self.counts.streams.fetch_add(1, Ordering::Relaxed);
        let life = match self.is_calm.load(Ordering::SeqCst) {
            true => PATIENCE,
            false => self.schedule.lock().unwrap().stream_life(),
        };
        let until = Instant::now() + life;
        let mut server = self.connected()?;
        server.write_all(&request.bytes())?;
        // Short enough that both ends and the time are looked at.
        server.set_read_timeout(Some(Duration::from_millis(20)))?;
        client.set_read_timeout(Some(Duration::from_millis(1)))?;
        let mut piece = [0; 1_024];
        while Instant::now() < until && !self.is_gone.load(Ordering::SeqCst) {
            match server.read(&mut piece) {
                Ok(0) => break,
                Ok(count) => client.write_all(piece.get(..count).unwrap_or_default())?,
                Err(error) if is_silence(&error) => {}
                Err(error) => return Err(error),
            }
            if matches!(client.read(&mut [0; 16]), Ok(0)) {
                break;
            }
        }
        client.shutdown(Shutdown::Both)
    }
}

fn is_silence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn part(bytes: &[u8], share: u8) -> &[u8] {
    bytes.get(..bytes.len() * usize::from(share) / 256).unwrap_or_default()
}
