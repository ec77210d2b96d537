//! The server over real connections: what it answers, whom it answers, and what it does not let happen to itself.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod account;
mod erased;
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
use foldlog::authority::{Account, Authority, MemoryAuthority};
use foldlog::server::{Options, Running, TokenFile, Tokens, serve};
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
        Server::over(Arc::new(memory()), options, |tokens| tokens)
    }

    /// One over another authority, and tokens that may do more than those in the file.
    fn over(
        authority: Arc<dyn Authority>,
        options: Options,
        tokens_of: impl FnOnce(Arc<dyn Tokens>) -> Arc<dyn Tokens>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tokens = Arc::new(TokenFile::new(folder.path().join("tokens")));
        let asked = tokens_of(tokens.clone());
        let running = serve("127.0.0.1:0", authority, asked, options, None).unwrap();
        Server { running, tokens, _folder: folder }
    }

    /// Somebody with a token of an account.
    fn client(&self, account: &str) -> Client {
        let account = Account::new(account).unwrap();
        let issued = self.tokens.issue(&account, now(), None).unwrap();
        Client::new(self.running.address(), issued.bearer)
    }
}

fn memory() -> MemoryAuthority {
    let schema = r#"{"collections":{"notes":{"unique":[["title"]]},"tags":{}}}"#;
    MemoryAuthority::new(Schema::from_json(schema).unwrap())
}

fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Millis(u64::try_from(since.as_millis()).unwrap())
}
