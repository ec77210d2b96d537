//! The server over real connections: what it answers, whom it answers, and what it does not let happen to itself.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod account;
mod http;
#[cfg(feature = "jwt")]
mod jwt;
mod openapi;
mod refusals;
mod room;
mod streams;
mod sync;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use foldlog::algebra::{Millis, Schema};
use foldlog::authority::{Account, MemoryAuthority};
use foldlog::server::{Options, Running, TokenFile, serve};
use http::Client;

/// A server in this process, with an authority in memory.
struct Server {
    running: Running,
    tokens: Arc<TokenFile>,
    _folder: tempfile::TempDir,
}

impl Server {
    fn new() -> Self {
        Server::with(Options::default())
    }

    fn with(options: Options) -> Self {
        let schema = r#"{"collections":{"notes":{"unique":[["title"]]},"tags":{}}}"#;
        let authority = Arc::new(MemoryAuthority::new(Schema::from_json(schema).unwrap()));
        let folder = tempfile::tempdir().unwrap();
        let tokens = Arc::new(TokenFile::new(folder.path().join("tokens")));
        let running = serve("127.0.0.1:0", authority, tokens.clone(), options, None).unwrap();
        Server { running, tokens, _folder: folder }
    }

    /// Somebody with a token of an account.
    fn client(&self, account: &str) -> Client {
        let account = Account::new(account).unwrap();
        let issued = self.tokens.issue(&account, now(), None).unwrap();
        Client::new(self.running.address(), issued.bearer)
    }
}

fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Millis(u64::try_from(since.as_millis()).unwrap())
}
