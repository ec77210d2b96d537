//! Connections: taken, served, and ended.

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;

use super::Error;
use super::options::Options;
use super::router::router;
use super::state::State;
use super::tls::Certificate;
use super::tokens::Tokens;
use super::unread::Patient;
use crate::authority::{Account, Authority};

/// The most bytes of a request's head.
pub(super) const HEAD_BYTES_MAX: usize = 32 * 1024;

/// How long to wait when no connection can be taken, as when there are no more files to be had.
const ACCEPT_DELAY: Duration = Duration::from_millis(100);

/// A server that runs. Dropped, it ends.
pub struct Running {
    address: SocketAddr,
    state: Arc<State>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Serves an authority at an address, on threads of its own, until it is told to end.
///
/// # Errors
/// An address that cannot be listened on.
pub fn serve(
    address: &str,
    authority: Arc<dyn Authority>,
    tokens: Arc<dyn Tokens>,
    options: Options,
    certificate: Option<Certificate>,
) -> Result<Running, Error> {
    let failed = |source| Error::Listen { address: address.to_owned(), source };
    let listener = TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    let state = Arc::new(State::new(authority, tokens, options));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("foldlog-server")
        // A request blocks one thread at most, and streams read in turn.
        .max_blocking_threads(options.requests_max.saturating_add(16))
        .enable_all()
        .build()?;
    let listener = {
        let _entered = runtime.enter();
        tokio::net::TcpListener::from_std(listener).map_err(failed)?
    };
    let served = Arc::clone(&state);
    let thread = std::thread::Builder::new().name("foldlog-server".to_owned()).spawn(move || {
        runtime.block_on(listen(listener, &served, certificate));
        // What the authority is about to make durable is waited for.
        runtime.shutdown_timeout(Duration::from_millis(served.options.ending_ms_max));
    })?;
    Ok(Running { address: bound, state, thread: Mutex::new(Some(thread)) })
}

/// Wakes streams of a server: something happened that it did not do itself.
#[derive(Clone)]
pub struct Waker {
    state: Weak<State>,
}

impl Waker {
    /// Wakes the streams of one account, or of all.
    pub fn wake(&self, account: Option<&Account>) {
        if let Some(state) = self.state.upgrade() {
            state.hub.wake(account);
        }
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waker")
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Running({})", self.address)
    }
}

impl Running {
    /// The address that it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Wakes its streams where another server writes to the same data.
    #[must_use]
    pub fn waker(&self) -> Waker {
        Waker { state: Arc::downgrade(&self.state) }
    }

    /// Tells it to end, and waits for that: streams end at once, requests may go on for a while.
    pub fn end(&self) {
        self.state.is_ending.send_replace(true);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A thread that panicked has ended, too.
            let _ = thread.join();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

async fn listen(listener: tokio::net::TcpListener, state: &Arc<State>, certificate: Option<Certificate>) {
    let mut ending = state.is_ending.subscribe();
    let graceful = GracefulShutdown::new();
    let router = router(Arc::clone(state));
    // Some connections of a client are idle; whoever comes when all are taken waits to be taken.
    let Options { streams_max, requests_max, ending_ms_max, .. } = state.options;
    let room = Arc::new(Semaphore::new(
        streams_max.saturating_add(requests_max.saturating_mul(4)).min(Semaphore::MAX_PERMITS),
    ));
    loop {
        let next = async {
            let place = Arc::clone(&room).acquire_owned().await;
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            next = next => next,
            _ = ending.wait_for(|is_ending| *is_ending) => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be taken");
                tokio::time::sleep(ACCEPT_DELAY).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let stream = Patient::new(stream, Duration::from_millis(state.options.unread_ms_max));
        let (watcher, router, options) = (graceful.watcher(), router.clone(), state.options);
        let certificate = certificate.clone();
        tokio::spawn(async move {
            let _place = place;
            let head = Duration::from_millis(options.head_ms_max);
            match certificate {
                None => talk(stream, router, watcher, head).await,
                Some(certificate) => {
                    // Whoever does not finish shaking hands is not waited for.
                    let shaken = tokio::time::timeout(head, certificate.acceptor.accept(stream)).await;
                    if let Ok(Ok(stream)) = shaken {
                        talk(stream, router, watcher, head).await;
                    }
                }
            }
        });
    }
    drop(listener);
    let ended = tokio::time::timeout(Duration::from_millis(ending_ms_max), graceful.shutdown()).await;
    if ended.is_err() {
        tracing::warn!("requests were still being answered when the server ended");
    }
}

async fn talk(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    watcher: hyper_util::server::graceful::Watcher,
    head: Duration,
) {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(head).max_buf_size(HEAD_BYTES_MAX).half_close(false);
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection broke off");
    }
}
