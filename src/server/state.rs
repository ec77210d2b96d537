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
            requests: Arc::new(Crowd::new(options.requests_max, options.account_requests_max)),
            streams: Arc::new(Crowd::new(options.streams_max, options.account_streams_max)),
            leaving: Mutex::default(),
            is_ending: watch::Sender::new(false),
        }
    }

    /// Lets nobody in for an account any more.
    pub(super) fn leave(&self, account: &Account) -> Leaving<'_> {
        self.leaving().insert(account.clone());
        Leaving { state: self, account: account.clone() }
    }

    /// Refuses whoever came in while the account is being erased.
    pub(super) fn require_staying(&self, account: &Account) -> Result<(), Details> {
        let is_leaving = self.leaving().contains(account);
        if is_leaving { Err(Details::new(Kind::Unauthorised, "the account is being erased")) } else { Ok(()) }
    }

    fn leaving(&self) -> MutexGuard<'_, HashSet<Account>> {
        self.leaving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The account of whoever asks.
    pub(super) fn account(&self, headers: &HeaderMap) -> Result<Account, Details> {
        self.account_of(bearer(headers)?)
    }

    /// The account that a token speaks for.
    pub(super) fn account_of(&self, bearer: &str) -> Result<Account, Details> {
        match self.tokens.account_of(bearer, now()) {
            Ok(Some(account)) if !self.leaving().contains(&account) => Ok(account),
            Ok(_) => Err(Details::new(Kind::Unauthorised, "the token is unknown, revoked or expired")),
            Err(error) => {
                tracing::error!(%error, "tokens cannot be read");
                Err(Details::new(Kind::Unavailable, "the tokens cannot be read"))
            }
        }
    }
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
pub(super) struct Leaving<'s> {
    state: &'s State,
    account: Account,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.state.leaving().remove(&self.account);
    }
}

/// So many at once, of all and of one account.
#[derive(Debug)]
pub(super) struct Crowd {
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
    fn new(all_max: usize, account_max: usize) -> Self {
        Crowd { inside: Mutex::default(), all_max, account_max }
    }

    /// How many of an account are inside.
    pub(super) fn count(&self, account: &Account) -> usize {
        let inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        inside.1.get(account).copied().unwrap_or(0)
    }

    /// A place for one more, if there is one.
    pub(super) fn enter(self: &Arc<Self>, account: &Account) -> Option<Place> {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, accounts) = &mut *inside;
        let held = accounts.get(account).copied().unwrap_or(0);
        if *all >= self.all_max || held >= self.account_max {
            return None;
        }
        *all += 1;
        accounts.insert(account.clone(), held + 1);
        Some(Place { crowd: Arc::clone(self), account: account.clone() })
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
