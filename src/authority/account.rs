//! Accounts: whose data an authority keeps apart from all other data.

use std::fmt;
use std::sync::Arc;

use crate::algebra::shortened;

/// The most bytes of an account's name: enough for any mail address or subject of a token.
pub const ACCOUNT_BYTES_MAX: usize = 255;

/// An account's name. What one account holds is for no other there: its ids, cursors and triggers are as if they had
/// never been.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Account(Arc<str>);

/// A name that no account can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} cannot name an account: it takes 1 to 255 bytes without control characters")]
pub struct NoAccount {
    /// The name, shortened.
    pub name: String,
}

impl Account {
    /// Names an account: 1 to [`ACCOUNT_BYTES_MAX`] bytes, no control characters.
    ///
    /// # Errors
    /// Any other text.
    pub fn new(name: &str) -> Result<Self, NoAccount> {
        if name.is_empty() || name.len() > ACCOUNT_BYTES_MAX || name.chars().any(char::is_control) {
            return Err(NoAccount { name: shortened(name) });
        }
        Ok(Account(Arc::from(name)))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_and_shows_all_it_has() {
        for name in ["a", "anna@example.org", "auth0|7", "ä/../'\" %", &"x".repeat(ACCOUNT_BYTES_MAX)] {
            assert_eq!(Account::new(name).unwrap().as_str(), name);
        }
        for name in ["", "a\nb", "\0", "\u{7f}", &"x".repeat(ACCOUNT_BYTES_MAX + 1)] {
            assert!(Account::new(name).is_err(), "{name:?}");
        }
    }
}
