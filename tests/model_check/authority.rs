//! The authority as an automaton: the real rules over a store in memory, and what each question makes of it.
//!
//! Triggers are left out of what tells two authorities apart: nobody here asks for them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foldlog::Uuid;
use foldlog::algebra::{Ask, Cursors, Generation, Index, Page, Schema, State};
use foldlog::authority::{MemoryStore, Rules, Store, answer};
use foldlog::testing::values::{Token, tokens};

use super::client::{Clients, NOW, entity};
use super::table::{Memo, Table, digest};

/// An authority at some moment.
#[derive(Clone)]
pub(crate) struct Authority {
    store: MemoryStore,
    pub(crate) live: Option<State>,
    /// The values that it ever held live.
    pub(crate) held: BTreeSet<Token>,
    /// Whether something live was ever deleted.
    pub(crate) has_deleted: bool,
    /// What it answered to which bunch of which client: the bunch's digest and the answer.
    pub(crate) answered: BTreeMap<(usize, u64), String>,
}

/// All authorities that came up.
pub(crate) struct Authorities {
    schema: Schema,
    pub(crate) all: Table<Authority>,
    steps: Memo<(u32, usize, u32), (u32, u32)>,
}

impl Authorities {
    pub(crate) fn new(schema: Schema) -> Self {
        Authorities { schema, all: Table::new(), steps: Memo::new() }
    }

    pub(crate) fn get(&self, authority: u32) -> Arc<Authority> {
        self.all.get(authority)
    }

    pub(crate) fn first(&self) -> u32 {
        let store = MemoryStore::new(self.schema.clone(), Generation(Uuid::from_u128(1)));
        let (held, answered) = (BTreeSet::new(), BTreeMap::new());
        self.put(Authority { store, live: None, held, has_deleted: false, answered })
    }

    /// The same, as if what is live had been live from the beginning.
    pub(crate) fn root(&self, authority: u32) -> u32 {
        let authority = (*self.get(authority)).clone();
        let held = tokens(&entity(), authority.live.as_ref());
        self.put(Authority { has_deleted: false, held, ..authority })
    }

    /// What a client's question makes of it, and the answer's number.
    pub(crate) fn after(&self, authority: u32, which: usize, ask: u32, clients: &Clients) -> (u32, u32) {
        self.steps.get((authority, which, ask), |_| {
            let (mut authority, ask) = ((*self.get(authority)).clone(), clients.asks.get(ask));
            let rules = Rules { schema: &self.schema, now: NOW, refuses: &|_| None };
            let answer = match answer(&mut authority.store, &rules, &ask) {
                Ok(answer) => answer,
                Err(never) => match never {},
            };
            if let Ask::Deliver { bunch, .. } = &*ask {
                authority.answered.insert((which, bunch.number.0), format!("{:?} {answer:?}", bunch.id));
            }
            let live = match authority.store.entity(&entity()) {
                Ok(stored) => stored.and_then(|stored| stored.version.existence.live().cloned()),
                Err(never) => match never {},
            };
            authority.has_deleted |= authority.live.is_some() && live.is_none();
            authority.held.extend(tokens(&entity(), live.as_ref()));
            authority.live = live;
            (self.put(authority), clients.answers.put(digest(&answer), answer))
        })
    }

    fn put(&self, authority: Authority) -> u32 {
        let page = match authority.store.changes(&Cursors::new(), usize::MAX) {
            Ok(page) => Page { triggers_until: Index(0), ..page },
            Err(never) => match never {},
        };
        let stored: Vec<_> = authority.store.entities().collect();
        let Authority { held, has_deleted, answered, .. } = &authority;
        self.all.put(digest(&(page, stored, held, has_deleted, answered)), authority)
    }
}
