//! The hub: who waits for what happens in which account. Each account's triggers are read once for all its streams.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use axum::body::Bytes;
use tokio::sync::watch;

use crate::algebra::{Generation, Index};
use crate::authority::Account;

/// So many events an account are kept as text, for streams that are about as far as the others.
const RECENT_MAX: usize = 1_024;

/// The streams' meeting place.
#[derive(Debug, Default)]
pub(super) struct Hub {
    accounts: Mutex<HashMap<Account, Weak<Channel>>>,
}

/// What the streams of one account share.
#[derive(Debug)]
pub(super) struct Channel {
    /// Counts what happened.
    woken: watch::Sender<u64>,
    recent: Mutex<Recent>,
    /// Held by whoever reads for all.
    pub(super) reading: tokio::sync::Mutex<()>,
}

/// The last events, without a gap.
#[derive(Debug, Default)]
struct Recent {
    generation: Generation,
    events: VecDeque<(Index, Bytes)>,
}

impl Hub {
    /// The channel of an account, for as long as somebody has it.
    pub(super) fn channel(&self, account: &Account) -> Arc<Channel> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = accounts.get(account).and_then(Weak::upgrade) {
            return channel;
        }
        accounts.retain(|_, channel| channel.strong_count() > 0);
        let channel = Arc::new(Channel {
            woken: watch::Sender::new(0),
            recent: Mutex::default(),
            reading: tokio::sync::Mutex::default(),
        });
        accounts.insert(account.clone(), Arc::downgrade(&channel));
        channel
    }

    /// Wakes the streams of an account, or of all: something may have happened.
    pub(super) fn wake(&self, account: Option<&Account>) {
        let accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let of_all = accounts.values().filter(|_| account.is_none());
        for channel in account.and_then(|account| accounts.get(account)).into_iter().chain(of_all) {
            if let Some(channel) = channel.upgrade() {
                channel.woken.send_modify(|count| *count = count.wrapping_add(1));
            }
        }
    }
}

impl Channel {
    pub(super) fn waken(&self) -> watch::Receiver<u64> {
        self.woken.subscribe()
    }

    /// The events above an index as one text, and the index of the last one; none where they are not (all) kept.
    pub(super) fn above(&self, generation: Generation, above: Index) -> Option<(Bytes, Index)> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let (first, _) = recent.events.front()?;
        let (last, newest) = recent.events.back()?;
        if recent.generation != generation || first.0 > above.0.saturating_add(1) || *last <= above {
            return None;
        }
        if last.0 == above.0 + 1 {
            return Some((newest.clone(), *last));
        }
        Some((joined(recent.events.iter().filter(|(index, _)| *index > above)), *last))
    }

    /// Keeps events that were read, without a gap.
    pub(super) fn keep(&self, generation: Generation, read: &[(Index, Bytes)]) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known =
            recent.events.back().zip(read.last()).is_some_and(|((last, _), (read, _))| last >= read);
        // Of a stream that is far behind the others nothing is kept.
        if is_known && recent.generation == generation {
            return;
        }
        for (index, event) in read {
            let follows = recent.events.back().is_some_and(|(last, _)| last.0 + 1 == index.0);
            if !follows || recent.generation != generation {
                recent.events.clear();
                recent.generation = generation;
            }
            recent.events.push_back((*index, event.clone()));
            if recent.events.len() > RECENT_MAX {
                recent.events.pop_front();
            }
        }
    }
}

/// Events as one text.
pub(super) fn joined<'e>(events: impl Iterator<Item = &'e (Index, Bytes)>) -> Bytes {
    let mut text = Vec::new();
    events.for_each(|(_, event)| text.extend_from_slice(event));
    Bytes::from(text)
}
