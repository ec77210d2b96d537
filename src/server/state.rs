//! What all requests of a server share, and who may ask.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::{HeaderMap, header};
use tokio::sync::watch;

use super::hub::Hub;
use super::metrics::Metrics;
use super::options::Options;
use super::tokens::Tokens;
use crate::authority::{Account, Authority};
use crate::clock::now;
use crate::codec::wire::{Details, Kind};

pub(super) struct State {
    pub(super) authority: Arc<dyn Authority>,
    pub(super) tokens: Arc<dyn Tokens>,
    pub(super) options: Options,
    pub(super) hub: Hub,
    pub(super) metrics: Metrics,
    pub(super) requests: Arc<Crowd>,
    pub(super) streams: Arc<Crowd>,
    /// What is read for streams.
    pub(super) readings: Arc<Crowd>,
    /// Accounts that are being erased.
    leaving: Mutex<HashSet<Account>>,
    /// True once the server is to end.
    pub(super) is_ending: watch::Sender<bool>,
}

impl State {
    pub(super) fn new(authority: Arc<dyn Authority>, tokens: Arc<dyn Tokens>, options: Options) -> Self {
        State {
            authority,
            tokens,
            options,
            hub: Hub::default(),
            metrics: Metrics::new(),
            requests: Arc::new(Crowd::new("requests", options.requests_max, options.account_requests_max)),
            streams: Arc::new(Crowd::new("streams", options.streams_max, options.account_streams_max)),
            // A stream reads one thing at a time.
            readings: Arc::new(Crowd::new("streams", usize::MAX, usize::MAX)),
            leaving: Mutex::default(),
            is_ending: watch::Sender::new(false),
        }
    }

    /// Lets nobody in for the account of a token any more, until what this returns is dropped. Whoever is let in then
    /// finds the account as it was, or its tokens gone.
    pub(super) fn leave(self: &Arc<Self>, account: &Account, bearer: &str) -> Result<Leaving, Details> {
        if !self.leaving().insert(account.clone()) {
            return Err(is_leaving());
        }
        let leaving = Leaving { state: Arc::clone(self), account: account.clone() };
        // Another one may have erased it since the token was looked at.
        self.require_good(bearer, account).map(|()| leaving)
    }

    /// A place in a crowd for whoever has a token of an account.
    pub(super) fn enter(
        &self,
        crowd: &Arc<Crowd>,
        account: &Account,
        bearer: &str,
    ) -> Result<Place, Details> {
        let place = crowd.enter(account)?;
        // Whoever erases the account looks for who is inside after nobody is let in: one of the two sees the other. Once
        // it was erased its tokens are gone, so these are looked at last.
        self.require_staying(account)?;
        self.require_good(bearer, account).map(|()| place)
    }

    /// How many are inside who may write to an account, be it by making it.
    pub(super) fn inside(&self, account: &Account) -> usize {
        self.requests.count(account).saturating_add(self.readings.count(account))
    }

    fn require_staying(&self, account: &Account) -> Result<(), Details> {
        if self.leaving().contains(account) { Err(is_leaving()) } else { Ok(()) }
    }

    fn require_good(&self, bearer: &str, account: &Account) -> Result<(), Details> {
        if self.owner(bearer)? == *account { Ok(()) } else { Err(unknown()) }
    }

    fn leaving(&self) -> MutexGuard<'_, HashSet<Account>> {
        self.leaving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The account that a token speaks for. While it is being erased it may still stay, so that whoever comes is to come
    /// again.
    pub(super) fn account_of(&self, bearer: &str) -> Result<Account, Details> {
        let account = self.owner(bearer)?;
        self.require_staying(&account).map(|()| account)
    }

    fn owner(&self, bearer: &str) -> Result<Account, Details> {
        match self.tokens.account_of(bearer, now()) {
            Ok(Some(account)) => Ok(account),
            Ok(None) => Err(unknown()),
            Err(error) => {
                tracing::error!(%error, "tokens cannot be read");
                Err(Details::new(Kind::Unavailable, "the tokens cannot be read"))
            }
        }
    }
}

fn unknown() -> Details {
    Details::new(Kind::Unauthorised, "the token is unknown, revoked or expired")
}

fn is_leaving() -> Details {
    Details::new(Kind::Unavailable, "the account is being erased; ask again")
}

/// The token that a request carries.
pub(super) fn bearer(headers: &HeaderMap) -> Result<&str, Details> {
    let said = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = said.and_then(|said| {
        let (scheme, rest) = said.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(rest.trim())
    });
    let missing = "send authorization: Bearer TOKEN; `foldlog token create ACCOUNT` makes one";
    bearer.ok_or_else(|| Details::new(Kind::Unauthorised, missing))
}

/// An account that nobody comes in for until this is dropped.
pub(super) struct Leaving {
    state: Arc<State>,
    account: Account,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.state.leaving().remove(&self.account);
    }
}

/// So many at once, of all and of one account.
#[derive(Debug)]
pub(super) struct Crowd {
    /// What they are, in words.
    what: &'static str,
    inside: Mutex<(usize, HashMap<Account, usize>)>,
    all_max: usize,
    account_max: usize,
}

/// A place inside; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    crowd: Arc<Crowd>,
    account: Account,
}

impl Crowd {
    fn new(what: &'static str, all_max: usize, account_max: usize) -> Self {
        Crowd { what, inside: Mutex::default(), all_max, account_max }
    }

    /// How many of an account are inside.
    pub(super) fn count(&self, account: &Account) -> usize {
        let inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        inside.1.get(account).copied().unwrap_or(0)
    }

    /// A place for one more, if there is one.
    fn enter(self: &Arc<Self>, account: &Account) -> Result<Place, Details> {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, accounts) = &mut *inside;
        let held = accounts.get(account).copied().unwrap_or(0);
        if *all >= self.all_max || held >= self.account_max {
            let why = format!("too many {} of this account or of all", self.what);
            return Err(Details::new(Kind::Busy, why));
        }
        *all += 1;
        accounts.insert(account.clone(), held + 1);
        Ok(Place { crowd: Arc::clone(self), account: account.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inside = self.crowd.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, accounts) = &mut *inside;
        *all = all.saturating_sub(1);
        if let Some(held) = accounts.get_mut(&self.account) {
            *held = held.saturating_sub(1);
            if *held == 0 {
                accounts.remove(&self.account);
            }
        }
    }
}
