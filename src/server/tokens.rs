//! Bearer tokens: who may speak for which account. Only hashes are kept.
//!
//! ```text
//! foldlog_<id: 16 hex digits>_<secret: 64 hex digits>
//! ```
//!
//! The id finds the line of the file, the blake3 hash of the whole token is compared with it in constant time.
//!
//! Invariant: the file is replaced as a whole, so whoever reads it sees all changes or none.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use crate::algebra::Millis;
use crate::authority::{Account, NoAccount};

/// How a token begins, so that one that leaked is recognised.
pub(super) const PREFIX: &str = "foldlog_";

/// Says whose a token is.
pub trait Tokens: Send + Sync {
    /// The account that a bearer token speaks for; none where it is unknown, revoked or expired.
    ///
    /// # Errors
    /// What keeps the tokens cannot be read.
    fn account_of(&self, bearer: &str, now: Millis) -> Result<Option<Account>, TokenError>;

    /// Revokes all tokens of an account.
    ///
    /// # Errors
    /// What keeps the tokens cannot be changed.
    fn revoke_all(&self, account: &Account) -> Result<(), TokenError>;
}

/// What is wrong with the tokens.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The file cannot be read or written.
    #[error("the tokens in {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A line of the file is not one of this program's.
    #[error("{path}, line {line}: {why}; restore the file, or take the line out and issue a new token")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// A name that no account can have.
    #[error(transparent)]
    Account {
        /// Why.
        #[from]
        source: NoAccount,
    },
    /// There is no such token.
    #[error("there is no token {id:?}; `foldlog token list` shows them")]
    Unknown {
        /// The id that was given.
        id: String,
    },
}

/// A token as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// By which it is listed and revoked: 16 hexadecimal digits.
    pub id: String,
    /// The account that it speaks for.
    pub account: String,
    /// The blake3 hash of the token, in hexadecimal digits.
    hash: String,
    /// When it was issued, in ms since the Unix epoch.
    pub created: u64,
    /// From when on it is not good any more, in ms since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
}

/// A token that was just issued. Its text is told this once.
#[derive(Clone, PartialEq, Eq)]
pub struct Issued {
    /// What is kept of it.
    pub token: Token,
    /// What a client sends.
    pub bearer: String,
}

/// Tokens in a file, a line of JSON each. Another process may change it at any time; that is noticed at once.
#[derive(Debug)]
pub struct TokenFile {
    path: PathBuf,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// How the file looked when it was read.
    seen: Option<(SystemTime, u64)>,
    tokens: Vec<Token>,
}

impl TokenFile {
    /// The tokens in this file. One that does not exist has none.
    #[must_use]
    pub fn new(path: impl AsRef<Path>) -> Self {
        TokenFile { path: path.as_ref().to_owned(), known: Mutex::default() }
    }

    /// Issues a token for an account.
    ///
    /// # Errors
    /// A file that cannot be read or written.
    pub fn issue(
        &self,
        account: &Account,
        now: Millis,
        expires: Option<Millis>,
    ) -> Result<Issued, TokenError> {
        let id: String = Uuid::new_v4().simple().to_string().chars().take(16).collect();
        // Two random UUIDs have 244 random bits.
        let (first, second) = (Uuid::new_v4(), Uuid::new_v4());
        let bearer = format!("{PREFIX}{id}_{}{}", first.simple(), second.simple());
        let token = Token {
            id,
            account: account.as_str().to_owned(),
            hash: blake3::hash(bearer.as_bytes()).to_hex().to_string(),
            created: now.0,
            expires: expires.map(|at| at.0),
        };
        self.change(|tokens| {
            tokens.push(token.clone());
            Ok(())
        })?;
        Ok(Issued { token, bearer })
    }

    /// All tokens, in the order in which they were issued.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn list(&self) -> Result<Vec<Token>, TokenError> {
        self.read()
    }

    /// Revokes a token.
    ///
    /// # Errors
    /// There is none of this id, or the file cannot be read or written.
    pub fn revoke(&self, id: &str) -> Result<Token, TokenError> {
        let mut revoked = None;
        self.change(|tokens| {
            let place = tokens.iter().position(|token| token.id == id);
            let place = place.ok_or_else(|| TokenError::Unknown { id: crate::algebra::shortened(id) })?;
            revoked = Some(tokens.remove(place));
            Ok(())
        })?;
        revoked.ok_or_else(|| TokenError::Unknown { id: id.to_owned() })
    }

    fn failed(&self) -> impl Fn(std::io::Error) -> TokenError + '_ {
        |source| TokenError::Io { path: self.path.clone(), source }
    }

    /// Changes the file: reads it, and puts another one in its place. One process at a time.
    fn change(
        &self,
        change: impl FnOnce(&mut Vec<Token>) -> Result<(), TokenError>,
    ) -> Result<(), TokenError> {
        let lock = beside(&self.path, ".lock");
        let lock = options().open(lock).map_err(self.failed())?;
        lock.lock().map_err(self.failed())?;
        let mut tokens = self.read()?;
        change(&mut tokens)?;
        let mut text = String::new();
        for token in &tokens {
            text.push_str(
                &serde_json::to_string(token).map_err(std::io::Error::from).map_err(self.failed())?,
            );
            text.push('\n');
        }
        let new = beside(&self.path, ".new");
        let mut file = options().truncate(true).open(&new).map_err(self.failed())?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(self.failed())?;
        fs::rename(&new, &self.path).map_err(self.failed())?;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        // What the rename did is durable once its folder is; not every system lets a folder be synced.
        let _ = File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all());
        self.known.lock().unwrap_or_else(PoisonError::into_inner).seen = None;
        Ok(())
    }

    fn read(&self) -> Result<Vec<Token>, TokenError> {
        let text = match fs::read_to_string(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            read => read.map_err(self.failed())?,
        };
        let mut tokens = Vec::new();
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
            let wrong = |why: String| TokenError::Line { path: self.path.clone(), line: number, why };
            let token: Token = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
            Account::new(&token.account).map_err(|error| wrong(error.to_string()))?;
            tokens.push(token);
        }
        Ok(tokens)
    }

    /// Looks at the tokens, which are read again if the file looks different.
    fn with<T>(&self, look: impl FnOnce(&[Token]) -> T) -> Result<T, TokenError> {
        let seen = match fs::metadata(&self.path) {
            Ok(found) => Some((found.modified().map_err(self.failed())?, found.len())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(self.failed()(error)),
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.is_none() || known.seen != seen {
            *known = Known { tokens: self.read()?, seen };
        }
        Ok(look(&known.tokens))
    }
}

impl Tokens for TokenFile {
    fn account_of(&self, bearer: &str, now: Millis) -> Result<Option<Account>, TokenError> {
        let id = bearer.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_')).map_or("", |(id, _)| id);
        let given = blake3::hash(bearer.as_bytes());
        let found = self.with(|tokens| {
            let token = tokens.iter().find(|token| token.id == id)?;
            let kept = blake3::Hash::from_hex(&token.hash).ok()?;
            // Hashes compare in constant time.
            let is_good = kept == given && token.expires.is_none_or(|at| now.0 < at);
            is_good.then(|| token.account.clone())
        })?;
        Ok(found.map(|account| Account::new(&account)).transpose()?)
    }

    fn revoke_all(&self, account: &Account) -> Result<(), TokenError> {
        self.change(|tokens| {
            tokens.retain(|token| token.account != account.as_str());
            Ok(())
        })
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Files that only their owner reads, where the system knows owners.
fn options() -> fs::OpenOptions {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> (tempfile::TempDir, TokenFile) {
        let folder = tempfile::tempdir().unwrap();
        let tokens = TokenFile::new(folder.path().join("tokens"));
        (folder, tokens)
    }

    #[test]
    fn a_token_speaks_for_its_account_until_it_is_revoked_or_expires() {
        let (folder, tokens) = file();
        let (anna, ben) = (Account::new("anna").unwrap(), Account::new("ben").unwrap());
        let now = Millis(1_000);
        let first = tokens.issue(&anna, now, None).unwrap();
        let second = tokens.issue(&anna, now, Some(Millis(2_000))).unwrap();
        let third = tokens.issue(&ben, now, None).unwrap();
        let whose = |bearer: &str, now| tokens.account_of(bearer, Millis(now)).unwrap();
        assert_eq!(whose(&first.bearer, 1_000), Some(anna.clone()));
        assert_eq!(whose(&second.bearer, 1_999), Some(anna.clone()));
        assert_eq!(whose(&second.bearer, 2_000), None);
        assert_eq!(whose(&third.bearer, 1_000), Some(ben));
        // Nothing of a token is in the file but its id.
        let text = fs::read_to_string(folder.path().join("tokens")).unwrap();
        let secret = first.bearer.rsplit('_').next().unwrap();
        assert!(!text.contains(secret) && text.contains(&first.token.id));
        for forged in ["", "foldlog_", &first.bearer[1..], &first.bearer.replace(secret, &"0".repeat(64))] {
            assert_eq!(whose(forged, 1_000), None, "{forged}");
        }
        // Another process revokes.
        TokenFile::new(folder.path().join("tokens")).revoke(&first.token.id).unwrap();
        assert_eq!(whose(&first.bearer, 1_000), None);
        assert!(matches!(tokens.revoke(&first.token.id), Err(TokenError::Unknown { .. })));
        tokens.revoke_all(&anna).unwrap();
        assert_eq!(tokens.list().unwrap(), [third.token]);
    }

    #[test]
    fn processes_that_issue_at_once_lose_none() {
        let (folder, tokens) = file();
        let path = folder.path().join("tokens");
        std::thread::scope(|scope| {
            for n in 0..8 {
                let path = &path;
                scope.spawn(move || {
                    for _ in 0..5 {
                        let account = Account::new(&format!("account {n}")).unwrap();
                        TokenFile::new(path).issue(&account, Millis(0), None).unwrap();
                    }
                });
            }
        });
        assert_eq!(tokens.list().unwrap().len(), 40);
    }

    #[test]
    fn a_line_that_is_no_token_is_named() {
        let (folder, tokens) = file();
        fs::write(folder.path().join("tokens"), "\n{\"id\":1}\n").unwrap();
        let error = tokens.list().unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
    }
}
