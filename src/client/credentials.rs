//! Who asks: a token, and where the next one comes from.
//!
//! Invariant: a token that was refused is renewed at most once, however many requests it was refused for.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::error::Error;

/// The longest token: what servers take for one header.
const TOKEN_BYTES_MAX: usize = 8_000;

/// Gives a new token, or none where there is none to be had.
type Renew = Box<dyn Fn() -> Option<String> + Send + Sync>;

/// The credentials of a client. Cheap to clone; every clone is a handle on the same ones.
#[derive(Clone, Default)]
pub struct Credentials {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    held: Mutex<Held>,
    /// Held while a new token is fetched, so that one is enough for all that wait for it.
    renewing: Mutex<()>,
    renew: Option<Renew>,
}

/// A token, and how many there were before it.
#[derive(Clone, Default)]
pub(super) struct Held {
    pub(super) token: Option<Arc<str>>,
    count: u64,
}

impl Credentials {
    /// No token: for an authority that asks for none.
    #[must_use]
    pub fn none() -> Self {
        Credentials::default()
    }

    /// A token.
    ///
    /// # Errors
    /// One that cannot stand in a header: it takes 1 to 8,000 visible ASCII characters.
    pub fn token(token: &str) -> Result<Self, Error> {
        let credentials = Credentials::default();
        credentials.set_token(token)?;
        Ok(credentials)
    }

    /// Asks this for a new token when one is refused, or there is none yet. It is called on a thread that may wait.
    /// Handles that were cloned before know nothing of it.
    #[must_use]
    pub fn renewed_by(self, renew: impl Fn() -> Option<String> + Send + Sync + 'static) -> Self {
        let held = Mutex::new(self.held());
        let renew: Option<Renew> = Some(Box::new(renew));
        Credentials { shared: Arc::new(Shared { held, renewing: Mutex::default(), renew }) }
    }

    /// Takes another token from now on.
    ///
    /// # Errors
    /// As [`Credentials::token`]; then the old one stays.
    pub fn set_token(&self, token: &str) -> Result<(), Error> {
        if token.is_empty() || token.len() > TOKEN_BYTES_MAX {
            return Err(Error::Token { why: "it takes 1 to 8,000 bytes" });
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::Token {
                why: "it takes visible ASCII characters alone; is there a line end behind it?",
            });
        }
        let mut held = self.shared.held.lock().unwrap_or_else(PoisonError::into_inner);
        *held = Held { token: Some(Arc::from(token)), count: held.count + 1 };
        Ok(())
    }

    pub(super) fn held(&self) -> Held {
        self.shared.held.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether there is another token than the one that was refused, fetched if need be. It may wait for long.
    pub(super) fn renewed(&self, refused: &Held) -> bool {
        let _renewing = self.shared.renewing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.held().count != refused.count {
            return true;
        }
        let renewed = self.shared.renew.as_ref().and_then(|renew| renew());
        renewed.is_some_and(|token| match self.set_token(&token) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%error, "what renews the token gave one that cannot be used");
                false
            }
        })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Logs are read by many.
        let token = if self.held().token.is_some() { "a token" } else { "no token" };
        f.debug_struct("Credentials").field("token", &token).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn a_token_can_stand_in_a_header_and_is_never_shown() {
        for wrong in ["", "a b", "a\n", "ä", &"x".repeat(8_001)] {
            assert!(Credentials::token(wrong).is_err(), "{wrong:?}");
        }
        let credentials = Credentials::token("s3cret").unwrap();
        assert!(!format!("{credentials:?}").contains("s3cret"));
        assert!(credentials.set_token("").is_err());
        assert_eq!(credentials.held().token.as_deref(), Some("s3cret"));
    }

    #[test]
    fn many_who_are_refused_at_once_fetch_one_new_token() {
        let fetched = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&fetched);
        let credentials = Credentials::token("old").unwrap().renewed_by(move || {
            std::thread::sleep(std::time::Duration::from_millis(20));
            Some(format!("new{}", counted.fetch_add(1, Ordering::Relaxed)))
        });
        let refused = credentials.held();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert!(credentials.renewed(&refused)));
            }
        });
        assert_eq!(fetched.load(Ordering::Relaxed), 1);
        assert_eq!(credentials.held().token.as_deref(), Some("new0"));
        // The new one is refused too: that is for whoever asked to tell, and for the next request to try again.
        assert!(credentials.renewed(&credentials.held()));
        assert_eq!(fetched.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn without_a_way_to_a_new_token_there_is_none() {
        let credentials = Credentials::token("old").unwrap();
        let refused = credentials.held();
        assert!(!credentials.renewed(&refused));
        credentials.set_token("new").unwrap();
        assert!(credentials.renewed(&refused), "somebody set another one meanwhile");
        let useless = Credentials::none().renewed_by(|| Some("a b".to_owned()));
        assert!(!useless.renewed(&useless.held()));
    }
}
