//! Tokens of a file and signed ones, told apart by how they begin.

use super::Jwt;
use crate::algebra::Millis;
use crate::authority::Account;
use crate::server::tokens::{PREFIX, TokenError, TokenFile, Tokens};

/// Tokens that a file holds, and tokens that a key signs. What begins as one of a file is looked up there and nowhere
/// else.
#[derive(Debug)]
pub struct FileOrJwt {
    /// The tokens of a file. Erasing an account revokes them.
    pub file: TokenFile,
    /// The signed ones. Erasing an account leaves them as they are.
    pub jwt: Jwt,
}

impl Tokens for FileOrJwt {
    fn account_of(&self, bearer: &str, now: Millis) -> Result<Option<Account>, TokenError> {
        if bearer.starts_with(PREFIX) {
            self.file.account_of(bearer, now)
        } else {
            self.jwt.account_of(bearer, now)
        }
    }

    fn revoke_all(&self, account: &Account) -> Result<(), TokenError> {
        self.file.revoke_all(account)
    }
}
