//! How a server in this process is reached: by whose token, and with how much at once.

use std::sync::Arc;

use foldlog::algebra::Millis;
use foldlog::authority::{Account, Authority};
use foldlog::server::{Options, Running, TokenFile, serve};

use crate::host::ACCOUNT;

/// The tokens of a server, which outlive it.
pub(crate) struct Door {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) token: String,
}

impl Door {
    /// One with a token of the one account.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tokens = TokenFile::new(folder.path().join("tokens"));
        let token = tokens.issue(&Account::new(ACCOUNT).unwrap(), Millis(0), None).unwrap().bearer;
        Door { folder, token }
    }

    pub(crate) fn serve(&self, authority: Arc<dyn Authority>) -> Running {
        let tokens = Arc::new(TokenFile::new(self.folder.path().join("tokens")));
        let options = Options { account_requests_max: 64, ..Options::default() };
        serve("127.0.0.1:0", authority, tokens, options, None).unwrap()
    }
}
